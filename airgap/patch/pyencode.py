"""Tokens to gzip bytes in plain Python."""

from __future__ import annotations

from bisect import bisect

from airgap.patch.huffman import (
    DISTANCES,
    END_OF_BLOCK,
    FIXED_LENGTHS,
    LENGTHS,
    MAGIC,
    MAX_GZIP_HEADER,
    Bits,
    Lengths,
    NeedInput,
    codes_of,
    dynamic_lengths,
    gzip_header,
)
from airgap.patch.pydeflate import DYNAMIC, END, FIXED, FULL, MEMBER, STORED, TAIL, Codec, take_padding

_MAX_BLOCK_HEADER = 4096  # bits
_FIRST_DISTANCES = [base for base, _ in DISTANCES]


class _Codes:
    """How one block writes literals and the end, lengths (with their extra bits), and distance symbols: as (bits, their count)."""

    def __init__(self, lengths: Lengths) -> None:
        self.litlen = codes_of(lengths.litlen, lone=True)
        self.dist = codes_of(lengths.dist, lone=True)
        self.lengths: dict[int, tuple[int, int]] = {}
        for symbol, (base, extra) in enumerate(LENGTHS, END_OF_BLOCK + 1):
            self.lengths.pop(base, None)  # 258 is not written with the symbol below, even where its own has no code
            if symbol in self.litlen:
                code, bits = self.litlen[symbol]
                self.lengths |= {base + more: (code | more << bits, bits + extra) for more in range(1 << extra)}


_FIXED_CODES = _Codes(FIXED_LENGTHS)


class TokenEncoder(Codec):
    """Tokens to gzip bytes."""

    def __init__(self) -> None:
        super().__init__()
        self._pending = 0  # bits that do not fill a byte yet
        self._pending_count = 0
        self._tail_start = b""
        self._codes = _FIXED_CODES

    def _put(self, value: int, count: int) -> None:
        self._pending |= value << self._pending_count
        self._pending_count += count
        if self._pending_count >= 8:
            whole = self._pending_count // 8
            self._out += (self._pending & ((1 << 8 * whole) - 1)).to_bytes(whole, "little")
            self._pending >>= 8 * whole
            self._pending_count -= 8 * whole

    def _pad(self) -> None:
        self._put(0, -self._pending_count % 8)

    def _number_at(self, at: int) -> tuple[int, int]:
        """A number in the input and how many bytes it has. Raises as ``step``, or ``NeedInput``."""
        value = 0
        for size in range(3):
            if at + size >= len(self._data):
                raise NeedInput
            byte = self._data[at + size]
            value |= (byte & 0x7F) << 7 * size
            if byte < 0x80 and (byte or not size):
                return value, size + 1
            if byte == 0:
                break
        raise ValueError("a number that is too long")

    def _start(self) -> None:
        if self._data[self._at : self._at + 1] not in (b"", bytes([MEMBER])):
            raise ValueError("an unknown record")
        self._record()

    def _record(self) -> None:
        if self._at == len(self._data):
            raise NeedInput
        record = self._data[self._at]
        if record == MEMBER:
            self._member()
        elif record == END:
            self._at += 1
            self._part = self._nothing
        elif record == TAIL:
            self._at += 1
            self._part = self._tail
        else:
            raise ValueError("an unknown record")

    def _member(self) -> None:
        count, number_size = self._number_at(self._at + 1)
        if count > MAX_GZIP_HEADER:
            raise ValueError("a gzip header of wrong length")
        start = self._at + 1 + number_size
        header = self._data[start : start + count]
        try:
            size = gzip_header(header)
        except NeedInput:
            size = -1
            if len(header) < count:
                raise
        if size != count:
            raise ValueError("a gzip header of wrong length")
        self._out += header
        self._at = start + count
        self._part = self._block

    def _block(self) -> None:
        if self._at == len(self._data):
            raise NeedInput
        head = self._data[self._at]
        kind = head >> 1
        if kind > DYNAMIC:
            raise ValueError("a block of unknown type")
        if kind == STORED:
            size = self._take(3)[1:]
            self._put(head, 3)
            self._pad()
            self._raw_left = int.from_bytes(size, "little")
            self._put(self._raw_left | (self._raw_left ^ 0xFFFF) << 16, 32)
            self._part = self._stored
        elif kind == FIXED:
            self._at += 1
            self._codes = _FIXED_CODES
            self._put(head, 3)
            self._part = self._symbols
        else:
            self._dynamic(head)
        self._last_block = bool(head & 1)

    def _dynamic(self, head: int) -> None:
        count, number_size = self._number_at(self._at + 1)
        if count > _MAX_BLOCK_HEADER:
            raise ValueError("a block header of wrong length")
        start = self._at + 1 + number_size
        header = self._data[start : start + (count + 7) // 8]
        if len(header) < (count + 7) // 8:
            raise NeedInput
        bits = Bits(header, 0)
        try:
            lengths = dynamic_lengths(bits)
        except NeedInput:
            raise ValueError("a block header of wrong length") from None
        if bits.position != count:
            raise ValueError("a block header of wrong length")
        take_padding(bits)
        self._codes = _Codes(lengths)
        self._put(head, 3)
        self._put(int.from_bytes(header, "little"), count)
        self._at = start + len(header)
        self._part = self._symbols

    def _symbols(self) -> None:
        data = self._data
        while self._part == self._symbols:
            at = self._at
            if at == len(data):
                raise NeedInput
            run = data[at]
            match = at + 1 + run
            if len(data) < match or (run < FULL and len(data) < match + 2):
                raise NeedInput
            distance = data[match] | data[match + 1] << 8 if run < FULL else 0
            if distance and len(data) < match + 3:
                raise NeedInput
            self._put_group(data[at + 1 : match], run < FULL, distance, data[match + 2] if distance else 0)
            self._at = match if run == FULL else match + 3 if distance else match + 2

    def _put_group(self, literals: bytes, has_match: bool, distance: int, length: int) -> None:
        if distance > 32768:
            raise ValueError("a distance above 32768")
        try:
            for literal in literals:
                self._put(*self._codes.litlen[literal])
            if distance:
                self._put(*self._codes.lengths[length])
                symbol = bisect(_FIRST_DISTANCES, distance) - 1
                self._put(*self._codes.dist[symbol])
                self._put(distance - DISTANCES[symbol][0], DISTANCES[symbol][1])
            elif has_match:
                self._put(*self._codes.litlen[END_OF_BLOCK])
                self._end_block()
        except KeyError:
            raise ValueError("a literal, length or distance that has no code in its block") from None

    def _trailer(self) -> None:
        self._pad()
        self._out += self._take(8)
        self._part = self._record

    def _tail(self) -> None:
        start = self._tail_start + self._data[self._at : self._at + 3]
        self._tail_start = start[:3]
        if self._tail_start == MAGIC or (self._final and not start):
            raise ValueError("a tail that is empty or begins like a member")
        self._rest()
