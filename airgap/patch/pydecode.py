"""gzip bytes to tokens in plain Python."""

from __future__ import annotations

from airgap.patch.huffman import (
    DISTANCES,
    END_OF_BLOCK,
    FIXED_LENGTHS,
    LENGTHS,
    MAGIC,
    Bits,
    Entry,
    Lengths,
    NeedInput,
    codes_of,
    dynamic_lengths,
    gzip_header,
    table_of,
)
from airgap.patch.pydeflate import DYNAMIC, END, FIXED, FULL, MEMBER, STORED, TAIL, Codec, take_padding

_LENGTH_258 = 255


def _litlen_entry(symbol: int, bits: int) -> Entry:
    if symbol <= END_OF_BLOCK:
        return bits, bits, symbol
    if symbol > END_OF_BLOCK + len(LENGTHS):
        return bits, bits, -1
    base, extra = LENGTHS[symbol - END_OF_BLOCK - 1]
    return bits, bits + extra, END_OF_BLOCK + 1 + base


def _dist_entry(symbol: int, bits: int) -> Entry:
    base, extra = DISTANCES[symbol] if symbol < len(DISTANCES) else (-1, 0)
    return bits, bits + extra, base


class _Tables:
    """The decoding tables of one block."""

    def __init__(self, lengths: Lengths) -> None:
        litlen = codes_of(lengths.litlen, lone=True)
        dist = codes_of(lengths.dist, lone=True)
        self.litlen, self.litlen_mask = table_of(
            litlen, {symbol: _litlen_entry(symbol, bits) for symbol, (_, bits) in litlen.items()}
        )
        self.dist, self.dist_mask = table_of(dist, {symbol: _dist_entry(symbol, bits) for symbol, (_, bits) in dist.items()})


_FIXED_TABLES = _Tables(FIXED_LENGTHS)


class TokenDecoder(Codec):
    """gzip bytes to tokens."""

    def __init__(self) -> None:
        super().__init__()
        self._used = 0  # bits of the first byte that are consumed already
        self._literals = bytearray()
        self._tables = _FIXED_TABLES

    def _bits(self) -> Bits:
        return Bits(self._data, 8 * self._at + self._used)

    def _move(self, bits: Bits) -> None:
        self._at, self._used = divmod(bits.position, 8)

    def _start(self) -> None:
        size = gzip_header(self._data[self._at :])
        self._out.append(MEMBER)
        self._out += _number(size) + self._take(size)
        self._part = self._block

    def _block(self) -> None:
        bits = self._bits()
        head = bits.take(3)
        kind = head >> 1
        if kind == STORED:
            take_padding(bits)
            sizes = bits.take(32)
            self._raw_left = sizes & 0xFFFF
            if sizes >> 16 != self._raw_left ^ 0xFFFF:
                raise ValueError("a stored block whose length and complement differ")
            self._out.append(head)
            self._out += self._raw_left.to_bytes(2, "little")
            self._part = self._stored
        elif kind == FIXED:
            self._tables = _FIXED_TABLES
            self._out.append(head)
            self._part = self._symbols
        elif kind == DYNAMIC:
            start = bits.position
            self._tables = _Tables(dynamic_lengths(bits))
            count = bits.position - start
            whole = int.from_bytes(self._data[start // 8 : bits.position // 8 + 1], "little") >> start % 8
            self._out.append(head)
            self._out += _number(count) + (whole & ((1 << count) - 1)).to_bytes((count + 7) // 8, "little")
            self._part = self._symbols
        else:
            raise ValueError("a block of unknown type")
        self._last_block = bool(head & 1)
        self._move(bits)

    def _symbols(self) -> None:
        bits = self._bits()
        literals = self._literals
        tables = self._tables
        try:
            while True:
                following = bits.peek()
                code, used, value = tables.litlen[following & tables.litlen_mask]
                if bits.position + code > bits.end:
                    raise NeedInput
                if value < 0:
                    raise ValueError("a symbol that does not exist")
                if value > END_OF_BLOCK:
                    self._group(self._match(bits, following, code, used, value - END_OF_BLOCK - 1))
                    continue
                bits.position += used
                if value == END_OF_BLOCK:
                    self._group(b"\0\0")
                    self._end_block()
                    return
                literals.append(value)
                if len(literals) == FULL:
                    self._group(b"")
        finally:
            self._move(bits)

    def _group(self, match: bytes) -> None:
        self._out.append(len(self._literals))
        self._out += self._literals + match
        self._literals.clear()

    def _match(self, bits: Bits, following: int, code: int, used: int, base: int) -> bytes:
        """A match as tokens, taken from ``bits``; its length code has ``code`` bits, ``used`` with the extra bits."""
        if bits.position + used > bits.end:
            raise NeedInput
        length = base + ((following & ((1 << used) - 1)) >> code)
        if length == _LENGTH_258 != base:
            raise ValueError("length 258 written as 227 + 31")
        following >>= used
        code, more, base = self._tables.dist[following & self._tables.dist_mask]
        if bits.position + used + code > bits.end:
            raise NeedInput
        if base < 0:
            raise ValueError("a symbol that does not exist")
        if bits.position + used + more > bits.end:
            raise NeedInput
        distance = base + ((following & ((1 << more) - 1)) >> code)
        bits.position += used + more
        return (distance | length << 16).to_bytes(3, "little")

    def _trailer(self) -> None:
        bits = self._bits()
        take_padding(bits)
        self._move(bits)
        self._out += self._take(8)
        self._part = self._next

    def _next(self) -> None:
        head = self._data[self._at : self._at + 3]
        if head == MAGIC:
            self._part = self._start
        elif head == MAGIC[: len(head)] and not self._final:
            raise NeedInput
        else:
            self._out.append(TAIL if head else END)
            self._part = self._rest if head else self._nothing


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
