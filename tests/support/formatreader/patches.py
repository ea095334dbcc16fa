"""Patches, tokens and columns (docs/format.md, "Held blobs and patches")."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from tests.support.formatreader.strict import want

PIECE = 1048576
#: (first length, extra bits) of the symbols 257 to 285, and (first distance, extra bits) of 0 to 29 (RFC 1951 3.2.5).
LENGTHS = [(3 + i, 0) for i in range(8)] + [((4 + i % 4 << i // 4 - 1) + 3, i // 4 - 1) for i in range(8, 28)] + [(258, 0)]
DISTANCES = [(1 + i, 0) for i in range(4)] + [((2 + i % 2 << i // 2 - 1) + 1, i // 2 - 1) for i in range(4, 30)]
ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)


def apply(codec: str, patch: bytes, base: bytes | None) -> bytes:
    """The blob that a patch makes of its base."""
    want(codec in ("bytes/1", "deflate-tokens/1"), "unknown codec")
    stream = base or b""
    if codec == "bytes/1":
        return _stream(patch, stream, 1)
    return gzip_of(_stream(patch, tokens_of(stream) if base is not None else b"", 5))


def _stream(patch: bytes, base: bytes, columns: int) -> bytes:
    want(patch[:8] == b"AGPATCH1", "not a patch")
    shares = list(_split(base)) if columns == 5 else [0] * len(base)
    at, result = 8, bytearray()
    while True:
        first, count, *sizes = struct.unpack_from(f"<{2 + 2 * columns}I", patch, at)
        at += 8 + 8 * columns
        if not any((first, count, *sizes)):
            break
        want(count <= 128 and 1 <= sum(sizes[::2]) <= 64 * PIECE, "a segment's limits")
        parts = []
        for column in range(columns):
            size, packed = sizes[2 * column : 2 * column + 2]
            window = range(first * PIECE, min((first + count) * PIECE, len(base))) if count else range(0)
            prefix = bytes(base[i] for i in window if shares[i] == column)
            parts.append(_decompressed(patch[at : at + packed], prefix, size))
            at += packed
        result += parts[0] if columns == 1 else _joined(parts, bytes(result))
    want(at == len(patch), "something after the end of a patch")
    return bytes(result)


def _decompressed(frame: bytes, prefix: bytes, size: int) -> bytes:
    if not size:
        want(not frame, "an empty column with a frame")
        return b""
    zstd: Any = _zstd()
    known = zstd.ZstdDict(prefix, is_raw=True).as_prefix if len(prefix) >= 8 else None
    options = {zstd.DecompressionParameter.window_log_max: 27}
    data = zstd.decompress(frame, known, options)
    want(len(data) == size, "a column of another size")
    return bytes(data)


def _zstd() -> Any:
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        from backports import zstd
    return zstd


# columns: literals 0, runs 1, distances 2, lengths 3, framing 4


class _Grammar:
    """Which column the next byte belongs to, from the bytes before it."""

    def __init__(self) -> None:
        self._steps = self._records()
        self.column = next(self._steps)

    def put(self, byte: int) -> None:
        self.column = self._steps.send(byte)

    def _records(self) -> Any:
        while True:
            kind = yield 4
            if kind == 1:
                bad = yield from self._member()
                if not bad:
                    continue
            elif kind not in (0, 2):
                pass  # everything after it is literals, as for 00 and 02
            while True:
                yield 0

    def _member(self) -> Any:
        size = yield from self._number()
        if size is None:
            return True
        for _ in range(size):
            yield 4
        while True:
            head = yield 4
            bad = head > 5 or (yield from self._block(head >> 1))
            if bad:
                return True
            if head & 1:
                break
        for _ in range(8):
            yield 4
        return False

    def _block(self, kind: int) -> Any:
        if kind == 0:
            low = yield 4
            high = yield 4
            for _ in range(low | high << 8):
                yield 0
            return False
        if kind == 2:
            bits = yield from self._number()
            if bits is None:
                return True
            for _ in range((bits + 7) // 8):
                yield 4
        yield from self._symbols()
        return False

    def _symbols(self) -> Any:
        while True:
            run = yield 1
            for _ in range(run):
                yield 0
            if run == 255:
                continue
            low = yield 2
            high = yield 2
            if not low | high:
                return
            yield 3

    def _number(self) -> Any:
        value = 0
        for i in range(4):
            byte = yield 4
            value |= (byte & 0x7F) << 7 * i
            if byte < 0x80:
                return value
        return None


def _split(stream: bytes) -> Iterator[int]:
    grammar = _Grammar()
    for byte in stream:
        yield grammar.column
        grammar.put(byte)


def _joined(parts: list[bytes], before: bytes) -> bytes:
    grammar, used, result = _Grammar(), [0] * 5, bytearray()
    for byte in before:
        grammar.put(byte)
    for _ in range(sum(map(len, parts))):
        column = grammar.column
        want(used[column] < len(parts[column]), "columns that do not fit")
        byte = parts[column][used[column]]
        used[column] += 1
        result.append(byte)
        grammar.put(byte)
    return bytes(result)


# tokens -> gzip


class _Writer:
    def __init__(self) -> None:
        self.data, self._held, self._count = bytearray(), 0, 0

    def bits(self, value: int, count: int) -> None:
        self._held |= value << self._count
        self._count += count
        while self._count >= 8:
            self.data.append(self._held & 0xFF)
            self._held >>= 8
            self._count -= 8

    def code(self, code: tuple[int, int]) -> None:
        """A Huffman code: its first bit is the highest."""
        value, length = code
        self.bits(int(f"{value:0{length}b}"[::-1], 2), length)

    def align(self) -> None:
        if self._count:
            self.bits(0, 8 - self._count)


class _Tokens:
    def __init__(self, raw: bytes) -> None:
        self.raw, self.at = raw, 0

    def take(self, count: int) -> bytes:
        want(self.at + count <= len(self.raw), "tokens that end early")
        self.at += count
        return self.raw[self.at - count : self.at]

    def number(self) -> int:
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value


def gzip_of(raw: bytes) -> bytes:
    """The gzip blob of a token stream."""
    tokens, out = _Tokens(raw), _Writer()
    while (kind := tokens.take(1)[0]) == 1:
        out.data += tokens.take(tokens.number())
        last = False
        while not last:
            last = _block(tokens, out)
        out.align()
        out.data += tokens.take(8)
    want(kind in (0, 2), "a record of another kind")
    tail = tokens.raw[tokens.at :]
    want((kind == 2) == bool(tail) and not tail.startswith(b"\x1f\x8b\x08"), "a wrong tail")
    return bytes(out.data) + tail


def _block(tokens: _Tokens, out: _Writer) -> bool:
    head = tokens.take(1)[0]
    out.bits(head, 3)
    if head >> 1 == 0:
        out.align()
        (length,) = struct.unpack("<H", tokens.take(2))
        out.data += struct.pack("<HH", length, length ^ 0xFFFF) + tokens.take(length)
        return bool(head & 1)
    if head >> 1 == 1:
        literals, distances = _codes([8] * 144 + [9] * 112 + [7] * 24 + [8] * 8), _codes([5] * 30)
    else:
        count = tokens.number()
        header = int.from_bytes(tokens.take(-(-count // 8)), "little")
        out.bits(header, count)
        literals, distances = _dynamic(header)
    while True:
        run = tokens.take(1)[0]
        for byte in tokens.take(run):
            out.code(literals[byte])
        if run == 255:
            continue
        (distance,) = struct.unpack("<H", tokens.take(2))
        if not distance:
            out.code(literals[256])
            return bool(head & 1)
        length = tokens.take(1)[0] + 3
        symbol = max(i for i, (start, _) in enumerate(LENGTHS) if start <= length)
        out.code(literals[257 + symbol])
        out.bits(length - LENGTHS[symbol][0], LENGTHS[symbol][1])
        symbol = max(i for i, (start, _) in enumerate(DISTANCES) if start <= distance)
        out.code(distances[symbol])
        out.bits(distance - DISTANCES[symbol][0], DISTANCES[symbol][1])


def _codes(lengths: list[int]) -> dict[int, tuple[int, int]]:
    """Codes by symbol (RFC 1951 3.2.2)."""
    code, found = 0, {}
    for length in range(1, 16):
        for symbol, own in enumerate(lengths):
            if own == length:
                found[symbol] = code, length
                code += 1
        code <<= 1
    return found


class _Bits:
    """Bits of a number, the lowest first."""

    def __init__(self, value: int) -> None:
        self._value = value
        self.used = 0

    def take(self, count: int) -> int:
        found = self._value >> self.used & (1 << count) - 1
        self.used += count
        return found

    def symbol(self, codes: dict[tuple[int, int], int]) -> int:
        value = length = 0
        while (value, length) not in codes:
            want(length < 15, "no code")
            value, length = value << 1 | self.take(1), length + 1
        return codes[value, length]


def _lengths(bits: _Bits) -> tuple[list[int], list[int]]:
    """The code lengths of a dynamic block's header (RFC 1951 3.2.7)."""
    literals, distances, own = bits.take(5) + 257, bits.take(5) + 1, [0] * 19
    for symbol in ORDER[: bits.take(4) + 4]:
        own[symbol] = bits.take(3)
    codes = {code: symbol for symbol, code in _codes(own).items()}
    found: list[int] = []
    while len(found) < literals + distances:
        symbol = bits.symbol(codes)
        if symbol < 16:
            found.append(symbol)
        elif symbol == 16:
            found += [found[-1]] * (3 + bits.take(2))
        else:
            found += [0] * (3 + bits.take(3) if symbol == 17 else 11 + bits.take(7))
    return found[:literals], found[literals:]


def _dynamic(header: int) -> tuple[dict[int, tuple[int, int]], dict[int, tuple[int, int]]]:
    literals, distances = _lengths(_Bits(header))
    return _codes(literals), _codes(distances)


# gzip -> tokens, for the base of a patch


def tokens_of(blob: bytes) -> bytes:
    """The token stream of a gzip blob."""
    out, at = bytearray(), 0
    while blob[at : at + 3] == b"\x1f\x8b\x08":
        end = _end_of_header(blob, at)
        out += b"\1" + _leb(end - at) + blob[at:end]
        bits = _Bits(int.from_bytes(blob[end:], "little"))
        while not _read_block(bits, out):
            pass
        at = end + -(-bits.used // 8) + 8
        out += blob[at - 8 : at]
    return bytes(out) + (b"\2" + blob[at:] if at < len(blob) else b"\0")


def _end_of_header(blob: bytes, at: int) -> int:
    """RFC 1952 2.3."""
    flags, end = blob[at + 3], at + 10
    if flags & 4:
        end += 2 + int.from_bytes(blob[end : end + 2], "little")
    for flag in (8, 16):
        if flags & flag:
            end = blob.index(b"\0", end) + 1
    return end + 2 if flags & 2 else end


def _leb(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _read_block(bits: _Bits, out: bytearray) -> bool:
    head = bits.take(3)
    out.append(head)
    if head >> 1 == 0:
        bits.used += -bits.used % 8
        length = bits.take(16)
        bits.take(16)
        out += struct.pack("<H", length) + bytes(bits.take(8) for _ in range(length))
        return bool(head & 1)
    literals, distances = [8] * 144 + [9] * 112 + [7] * 24 + [8] * 8, [5] * 30
    if head >> 1 == 2:
        start = bits.used
        literals, distances = _lengths(bits)
        count, bits.used = bits.used - start, start
        out += _leb(count) + bits.take(count).to_bytes(-(-count // 8), "little")
    _read_symbols(bits, _turned(literals), _turned(distances), out)
    return bool(head & 1)


def _turned(lengths: list[int]) -> dict[tuple[int, int], int]:
    return {code: symbol for symbol, code in _codes(lengths).items()}


def _read_symbols(bits: _Bits, literals: dict[tuple[int, int], int], distances: dict[tuple[int, int], int], out: bytearray) -> None:
    run = bytearray()
    while True:
        symbol = bits.symbol(literals)
        if symbol < 256:
            run.append(symbol)
            if len(run) == 255:
                out += b"\xff" + run
                run.clear()
            continue
        out += bytes([len(run)]) + run
        run.clear()
        if symbol == 256:
            out += b"\0\0"
            return
        length, extra = LENGTHS[symbol - 257]
        length += bits.take(extra)
        distance, extra = DISTANCES[bits.symbol(distances)]
        out += struct.pack("<HB", distance + bits.take(extra), length - 3)
