"""gzip of every kind, small: what tokens can say, and what they refuse. Also the seeds of scripts/fuzz-deflate.

python -m tests.support.gzipkinds DIRECTORY      writes seeds to DIRECTORY/decode and DIRECTORY/encode
"""

from __future__ import annotations

import random
import sys
import zlib
from pathlib import Path

from airgap.patch.pydecode import TokenDecoder
from tests.support.deflatebits import HEADER, BitWriter, codes, dynamic, dynamic_counts, fixed_litlen, member

#: A complete code with lengths up to 15.
_LONG_CODES = {symbol: symbol + 1 for symbol in range(14)} | {100: 15, 256: 15}
_STRATEGIES = {"default": 0, "filtered": 1, "huffman": 2, "rle": 3, "fixed": 4}


def text(size: int = 3000, seed: int = 1) -> bytes:
    """Bytes like those in a layer: words, zeros, noise, repeats from far away."""
    source = random.Random(seed)
    words = [source.randbytes(source.randint(2, 9)) for _ in range(60)]
    parts = [b"".join(source.choices(words, k=100)), bytes(700), source.randbytes(400)]
    made = bytearray()
    while len(made) < size:
        made += source.choice(parts)
        made += b"".join(source.choices(words, k=20))
    return bytes(made[:size])


def deflated(data: bytes, level: int = 6, strategy: int = 0, window: int = 15, flushes: tuple[int, ...] = ()) -> bytes:
    """One gzip member by zlib; ``flushes`` are done one after another at even distances."""
    packer = zlib.compressobj(level, zlib.DEFLATED, 16 + window, 8, strategy)
    step = len(data) // (len(flushes) + 1) + 1
    made = b""
    for number, flush in enumerate(flushes):
        made += packer.compress(data[number * step : (number + 1) * step]) + packer.flush(flush)
    return made + packer.compress(data[len(flushes) * step :]) + packer.flush()


def headed(flags: int, *fields: bytes) -> bytes:
    """A member with fields in its header."""
    return HEADER[:3] + bytes([flags]) + HEADER[4:] + b"".join(fields) + deflated(b"headed")[10:]


def _coded(litlen: dict[int, int], dist: dict[int, int], symbols: list[tuple[int, ...]]) -> bytes:
    """A member of one dynamic block; symbols: (literal,) or (length, extra, extra bits, distance, its extra bits)."""
    bits = BitWriter()
    dynamic(bits, litlen, dist)
    litlen_codes = codes([litlen.get(symbol, 0) for symbol in range(286)])
    dist_codes = codes([dist.get(symbol, 0) for symbol in range(30)])
    for symbol, *match in symbols:
        bits.code(litlen_codes[symbol])
        if match:
            bits.put(match[0], match[1]).code(dist_codes[match[2]]).put(0, match[3])
    return member(bits.code(litlen_codes[256]))


def representable() -> dict[str, bytes]:
    """gzip by name that can be turned into tokens."""
    long_text = text()
    kinds = {f"level {level}": deflated(long_text, level) for level in range(10)}
    kinds |= {f"strategy {name}": deflated(long_text, 6, strategy) for name, strategy in _STRATEGIES.items()}
    flushes = (zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH, zlib.Z_PARTIAL_FLUSH, zlib.Z_BLOCK, zlib.Z_SYNC_FLUSH, zlib.Z_SYNC_FLUSH)
    kinds |= {
        "empty": deflated(b""),
        "one byte": deflated(b"a"),
        "stored": deflated(text(70000, 2), 0),
        "zeros": deflated(bytes(20000)),
        "noise": deflated(random.Random(3).randbytes(600)),
        "run of 254": deflated(bytes(range(254)) + b"\0\1\2\3", 9, 4),
        "run of 255": deflated(bytes(range(255)) + b"\0\1\2\3", 9, 4),
        "run of 256": deflated(bytes(range(256)) + b"\0\1\2\3", 9, 4),
        "run of 1000 to the end": deflated(random.Random(4).randbytes(1020), 9, 2),
        "far": deflated(long_text[:300] + random.Random(5).randbytes(32000) + long_text[:300], 9),
        "small window": deflated(long_text, 9, 0, 9),
        "flushes": deflated(long_text, 6, 0, 15, flushes),
        "members": deflated(b"one") + deflated(b"") + deflated(long_text, 1),
        "garbage": deflated(b"one") + b"garbage",
        "trailing zeros": deflated(b"one") + bytes(500),
        "trailing 1f": deflated(b"one") + b"\x1f",
        "trailing 1f 8b": deflated(b"one") + b"\x1f\x8b",
        "trailing 1f 8b 00": deflated(b"one") + b"\x1f\x8b\0 and more",
        "FTEXT": headed(1),
        "FHCRC": headed(2, b"\1\2"),
        "FEXTRA": headed(4, b"\5\0", b"extra"),
        "empty FEXTRA": headed(4, b"\0\0"),
        "FNAME": headed(8, b"name\0"),
        "FCOMMENT": headed(16, b"comment\0"),
        "all fields": headed(31, b"\3\0", b"abc", b"\0", b"comment\0", b"\1\2"),
        "lone end of block": _coded({256: 1}, {}, []),
        "lone distance": _coded({97: 2, 98: 2, 257: 2, 256: 2}, {3: 1}, [(97,), (257, 0, 0, 3, 0)]),
        "no distance": _coded({97: 1, 256: 1}, {}, [(97,)] * 9),
        "long codes": _coded(_LONG_CODES, {}, [(symbol,) for symbol in (*range(14), 100)]),
        "257 but not 258": _coded({97: 1, 284: 2, 256: 2}, {0: 1}, [(284, 30, 5, 0, 0)]),
        "longest match": _coded(
            {97: 2, 284: 2, 285: 2, 256: 2}, {29: 1, 0: 1}, [(285, 0, 0, 29, 13), (284, 30, 5, 0, 0), (284, 0, 5, 29, 13)]
        ),
    }
    return kinds


def _fixed(*parts: tuple[int, int]) -> bytes:
    """A member of one fixed block of codes, its end not included."""
    bits = BitWriter().put(1, 1).put(1, 2)
    for part in parts:
        bits.code(part)
    return member(bits)


def _headers_refused() -> dict[str, tuple[bytes, str]]:
    made = {}
    for name, litlen, dist, counts, reason in (
        ("over-subscribed literals", {97: 1, 98: 1, 256: 1}, {}, None, "over-subscribed"),
        ("incomplete literals", {97: 2, 256: 2}, {}, None, "incomplete"),
        ("incomplete distances", {97: 1, 256: 1}, {0: 2, 1: 2}, None, "incomplete"),
        ("a lone distance of two bits", {97: 1, 256: 1}, {0: 2}, None, "incomplete"),
        ("287 codes", {97: 1, 256: 1}, {}, (287, 1), "too many"),
        ("31 distances", {97: 1, 256: 1}, {}, (257, 31), "too many"),
        ("no end", {97: 1, 98: 1}, {}, None, "without a code for its end"),
    ):
        bits = BitWriter()
        dynamic(bits, litlen, dist, counts)
        made[name] = (member(bits), reason)
    for name, code_lengths, symbols, reason in (
        ("no code of code lengths", {}, (), "incomplete"),
        ("incomplete code of code lengths", {0: 1}, (), "incomplete"),
        ("a repeat of nothing", {16: 1, 18: 1}, ((0, 1), (0, 2)), "repeat nothing"),
        ("a repeat beyond the end", {16: 1, 18: 1}, ((1, 1), (127, 7), (1, 1), (127, 7)), "too much"),
    ):
        bits = BitWriter()
        dynamic_counts(bits, 257, 1, code_lengths)
        for value, count in symbols:
            bits.put(value, count)
        made[name] = (member(bits), reason)
    return made


def refused() -> dict[str, tuple[bytes, str]]:
    """gzip by name that cannot be turned into tokens, and a part of the reason."""
    fixed = fixed_litlen()
    good = deflated(b"good")
    long_258 = _coded({97: 1, 284: 2, 256: 2}, {0: 1}, [(284, 31, 5, 0, 0)])
    return _headers_refused() | {
        "nothing": (b"", "too early"),
        "text": (b"hello", "not gzip"),
        "zstd": (bytes.fromhex("28b52ffd0400"), "not gzip"),
        "another method": (b"\x1f\x8b\7" + good[3:], "not gzip"),
        "reserved flags": (good[:3] + b"\x20" + good[4:], "reserved flags"),
        "long name": (headed(8, b"n" * (1 << 17) + b"\0"), "wrong length"),
        "block type 3": (member(BitWriter().put(7, 3)), "unknown type"),
        "padding before a stored block": (member(BitWriter().put(1, 3).align(1).put(0xFFFF0000, 32)), "padding"),
        "padding at the end": (member(BitWriter().put(3, 3).code(fixed[256]).align(4)), "padding"),
        "complement": (member(BitWriter().put(1, 3).align().put(0xFFFE0000, 32)), "complement"),
        "symbol 286": (_fixed(fixed[286]), "does not exist"),
        "symbol 287": (_fixed(fixed[287]), "does not exist"),
        "distance 30": (_fixed(fixed[257], (30, 5)), "does not exist"),
        "distance 31": (_fixed(fixed[257], (31, 5)), "does not exist"),
        "a distance without codes": (_no_distance(), "does not exist"),
        "258 the long way": (long_258, "258"),
        "truncated": (good[:-1], "too early"),
        "a second member that is none": (good + good[:5], "too early"),
        "a second member with reserved flags": (good + good[:3] + b"\xe0" + good[4:], "reserved flags"),
    }


def _no_distance() -> bytes:
    bits = BitWriter()
    dynamic(bits, {257: 1, 256: 1}, {})
    return member(bits.code((1, 1)).code((0, 1)).put(0, 30))


def tokens(data: bytes) -> bytes:
    """The tokens of a gzip, by the plain Python codec."""
    return TokenDecoder().step(data, True)[1]


def write_seeds(folder: Path) -> None:
    """Write every kind as a file: gzip to ``decode``, tokens to ``encode``."""
    for name in ("decode", "encode"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(representable().values()):
        (folder / "decode" / f"good-{number:02}").write_bytes(data)
        (folder / "encode" / f"good-{number:02}").write_bytes(tokens(data))
    for number, (data, _) in enumerate(refused().values()):
        (folder / "decode" / f"bad-{number:02}").write_bytes(data)
    made = tokens(deflated(b"hello hello hello"))
    for number in range(len(made)):
        (folder / "encode" / f"bad-{number:02}").write_bytes(made[:number] + b"\xff" + made[number + 1 :])


if __name__ == "__main__":
    write_seeds(Path(sys.argv[1]))
