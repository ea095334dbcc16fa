"""The Huffman codes and block headers of DEFLATE (RFC 1951) for the plain Python codec; what zlib's inflate refuses is refused.

Codes are written with their first bit lowest, as they stand in the stream. A *table* is a list of ``1 << width`` entries, indexed
by the next ``width`` bits of the stream.
"""

from __future__ import annotations

from dataclasses import dataclass

MAGIC = b"\x1f\x8b\x08"
MAX_GZIP_HEADER = 128 * 1024
END_OF_BLOCK = 256
MAX_BITS = 15

#: The least length - 3 and the count of extra bits of the symbols 257 to 285.
LENGTHS = (
    (0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0), (7, 0), (8, 1), (10, 1), (12, 1), (14, 1), (16, 2), (20, 2),
    (24, 2), (28, 2), (32, 3), (40, 3), (48, 3), (56, 3), (64, 4), (80, 4), (96, 4), (112, 4), (128, 5), (160, 5), (192, 5),
    (224, 5), (255, 0),
)  # fmt: skip

#: The least distance and the count of extra bits of the distance symbols 0 to 29.
DISTANCES = tuple(
    (symbol + 1, 0) if symbol < 4 else (((2 + symbol % 2) << (symbol // 2 - 1)) + 1, symbol // 2 - 1) for symbol in range(30)
)

_ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)
_REPEATS = {16: (3, 2), 17: (3, 3), 18: (11, 7)}


class NeedInput(Exception):
    """The element is not whole yet."""


@dataclass(frozen=True)
class Lengths:
    """How many bits the codes of one block have, by symbol; 0 for a symbol without a code."""

    litlen: list[int]
    dist: list[int]


FIXED_LENGTHS = Lengths([8] * 144 + [9] * 112 + [7] * 24 + [8] * 8, [5] * 32)


def codes_of(lengths: list[int], *, lone: bool) -> dict[int, tuple[int, int]]:
    """The codes that lengths stand for (RFC 1951 3.2.2): symbol -> (code as it stands in the stream, its bits).

    Args:
        lengths: bits by symbol.
        lone: let a single code of one bit pass, and none at all; every other code must be complete.

    Raises:
        ValueError: over-subscribed or incomplete.
    """
    code = bits = 0
    codes = {}
    for length, symbol in sorted((length, symbol) for symbol, length in enumerate(lengths) if length):
        code <<= length - bits
        bits = length
        if code >> bits:
            raise ValueError("a Huffman code that is over-subscribed or incomplete")
        codes[symbol] = (int(f"{code:0{bits}b}"[::-1], 2), bits)
        code += 1
    if code != 1 << bits and not (lone and bits <= 1):
        raise ValueError("a Huffman code that is over-subscribed or incomplete")
    return codes


#: What a table says of the next bits: how many are the code, how many with the extra bits, and what for (-1: no symbol).
Entry = tuple[int, int, int]
NOTHING = (1, 1, -1)


def table_of(codes: dict[int, tuple[int, int]], entries: dict[int, Entry]) -> tuple[list[Entry], int]:
    """A decoding table and its mask.

    Args:
        codes: from :func:`codes_of`.
        entries: what to put for a symbol; where no symbol's code is, there is ``NOTHING``.
    """
    width = max((bits for _, bits in codes.values()), default=1)
    table = [NOTHING] * (1 << width)
    for symbol, (code, bits) in codes.items():
        table[code :: 1 << bits] = [entries[symbol]] * (1 << (width - bits))
    return table, (1 << width) - 1


class Bits:
    """A place in a byte string, counted in bits."""

    def __init__(self, data: bytes, position: int) -> None:
        self.data = data
        self.position = position
        self.end = 8 * len(data)

    def peek(self) -> int:
        """The next 57 bits at least; zeros follow the end."""
        at = self.position >> 3
        return int.from_bytes(self.data[at : at + 8], "little") >> (self.position & 7)

    def take(self, count: int) -> int:
        """The next bits. Raises ``NeedInput`` where they are not all there."""
        if self.position + count > self.end:
            raise NeedInput
        value = self.peek() & ((1 << count) - 1)
        self.position += count
        return value


def dynamic_lengths(bits: Bits) -> Lengths:
    """Read the header of a dynamic block from HLIT on (RFC 1951 3.2.7); ``bits`` ends behind it.

    Raises:
        ValueError: not a header that inflate takes.
        NeedInput: not whole yet.
    """
    counts = bits.take(14)
    litlen_count = (counts & 31) + 257
    dist_count = (counts >> 5 & 31) + 1
    if litlen_count > 286 or dist_count > 30:
        raise ValueError("too many length or distance codes")
    code_lengths = [0] * 19
    for symbol in _ORDER[: (counts >> 10) + 4]:
        code_lengths[symbol] = bits.take(3)
    codes = codes_of(code_lengths, lone=False)
    table, mask = table_of(codes, {symbol: (count, count, symbol) for symbol, (_, count) in codes.items()})
    found: list[int] = []
    while len(found) < litlen_count + dist_count:
        count, _, symbol = table[bits.peek() & mask]
        bits.take(count)
        if symbol < 16:
            found.append(symbol)
            continue
        least, extra = _REPEATS[symbol]
        times = least + bits.take(extra)
        if (symbol == 16 and not found) or len(found) + times > litlen_count + dist_count:
            raise ValueError("code lengths that repeat nothing or too much")
        found += [found[-1] if symbol == 16 else 0] * times
    if not found[END_OF_BLOCK]:
        raise ValueError("a block without a code for its end")
    return Lengths(found[:litlen_count], found[litlen_count:])


def gzip_header(data: bytes) -> int:
    """The length of the gzip header (RFC 1952 2.3) that ``data`` begins with.

    Raises:
        ValueError: there is none, or it is longer than 128 KiB.
        NeedInput: not whole yet.
    """
    head = data[:MAX_GZIP_HEADER]
    if not head[:3] == MAGIC[: len(head)]:
        raise ValueError("not gzip")
    flags = head[3] if len(head) > 3 else 0
    if flags & 0xE0:
        raise ValueError("a gzip header with reserved flags")
    at: int | None = 10
    if flags & 4 and len(head) >= 12:
        at = 12 + int.from_bytes(head[10:12], "little")
    elif flags & 4:
        at = None
    for flag in (8, 16):
        if flags & flag and at is not None:
            at = head.find(b"\0", at) + 1 or None
    if at is not None and flags & 2:
        at += 2
    if at is None or at > len(head):
        if len(data) >= MAX_GZIP_HEADER:
            raise ValueError("a gzip header of wrong length")
        raise NeedInput
    return at
