"""Hand-made DEFLATE (RFC 1951): streams that no compressor writes, to the bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

HEADER = bytes.fromhex("1f8b0800000000000003")
TRAILER = b"checksum"
_ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)

#: A code of code lengths with 16 symbols of four bits: lengths 0 to 15, each written by itself.
_PLAIN_LENGTHS = dict.fromkeys(range(16), 4)


class BitWriter:
    """Bits, lowest first, as DEFLATE packs them."""

    def __init__(self) -> None:
        self.value = 0
        self.count = 0

    def put(self, value: int, count: int) -> BitWriter:
        """Append a number, lowest bit first."""
        self.value |= value << self.count
        self.count += count
        return self

    def code(self, code: tuple[int, int]) -> BitWriter:
        """Append a Huffman code, given as (code, bits), highest bit first."""
        return self.put(int(f"{code[0]:0{code[1]}b}"[::-1], 2), code[1])

    def align(self, padding: int = 0) -> BitWriter:
        """Fill up to a whole byte with the lowest bits of ``padding``."""
        missing = -self.count % 8
        return self.put(padding & ((1 << missing) - 1), missing)

    def data(self) -> bytes:
        """The whole bytes so far."""
        return self.value.to_bytes((self.count + 7) // 8, "little")


def member(bits: BitWriter, header: bytes = HEADER, trailer: bytes = TRAILER) -> bytes:
    """A gzip member around DEFLATE blocks."""
    return header + bits.data() + trailer


def codes(lengths: Sequence[int]) -> dict[int, tuple[int, int]]:
    """The canonical code (RFC 1951 3.2.2): symbol -> (code, bits)."""
    found = {}
    code = 0
    for bits in range(1, 16):
        code <<= 1
        for symbol, length in enumerate(lengths):
            if length == bits:
                found[symbol] = (code, bits)
                code += 1
    return found


def fixed_litlen() -> dict[int, tuple[int, int]]:
    """The literal and length code of fixed blocks."""
    return codes([8] * 144 + [9] * 112 + [7] * 24 + [8] * 8)


def dynamic_counts(bits: BitWriter, litlen_count: int, dist_count: int, code_lengths: Mapping[int, int]) -> None:
    """Append the beginning of the last block, a dynamic one: all up to the lengths of the code of code lengths."""
    bits.put(1, 1).put(2, 2).put(litlen_count - 257, 5).put(dist_count - 1, 5).put(15, 4)
    for symbol in _ORDER:
        bits.put(code_lengths.get(symbol, 0), 3)


def dynamic(bits: BitWriter, litlen: Mapping[int, int], dist: Mapping[int, int], counts: tuple[int, int] | None = None) -> None:
    """Append the header of the last block, a dynamic one whose lengths are written one by one.

    Args:
        bits: where to.
        litlen: bits of the literal and length symbols.
        dist: bits of the distance symbols.
        counts: how many of both there are to be; the fewest that hold them otherwise.
    """
    litlen_count, dist_count = counts or (max(257, max(litlen) + 1), max(0, *dist, 0) + 1)
    dynamic_counts(bits, litlen_count, dist_count, _PLAIN_LENGTHS)
    code = codes([_PLAIN_LENGTHS.get(symbol, 0) for symbol in range(19)])
    for symbol in range(litlen_count):
        bits.code(code[litlen.get(symbol, 0)])
    for symbol in range(dist_count):
        bits.code(code[dist.get(symbol, 0)])
