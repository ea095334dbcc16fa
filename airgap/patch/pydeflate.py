"""What tokens are, and what both directions of the plain Python codec share (``pydecode``, ``pyencode``).

Slow and complete: it takes over where the C extension ``airgap.native._deflate`` is missing, and the tests hold that against it.

Tokens, version 1 ("deflate-tokens/1"): a byte string that is a pure function of the gzip bytes, from which they follow exactly.
Where the same text was cut in the same way, the tokens are the same, whatever Huffman codes and blocks surround them. ::

    stream  = member member* tail
    member  = 01, number n, the n bytes of the gzip header (RFC 1952 2.3, to the end of its FHCRC; at most 128 KiB),
              block block* (exactly the last with BFINAL = 1), the 8 bytes of CRC32 and ISIZE
    block   = one byte BFINAL + 2 * BTYPE, then by BTYPE (RFC 1951 3.2.3)
              0: LEN in two bytes, the LEN bytes
              1: symbols
              2: number b, the b bits of the block's header from HLIT to the last code length, first bit lowest, in ceil(b / 8)
                 bytes, filled up with zero bits; symbols
    symbols = full* (match full*)* end, where literals come in front of each match and of the end of the block:
              full:  ff, 255 literals (and no match)
              match: r < ff, r literals, distance (1 to 32768) in two bytes, length - 3 in one byte
              end:   r < ff, r literals, 00 00
    tail    = 00: nothing follows the last member
            | 02 and all bytes that follow it: at least one, and they do not begin with 1f 8b 08
    number  = 7 bits a byte, lowest first, 80 added to all bytes but the last (LEB128), as few bytes as possible
    Integers are little-endian, bytes are written in hexadecimal.

Not all of gzip can be said in tokens. Refused with ``ValueError``: padding bits that are not zero (in front of LEN and of CRC32),
the length 258 written as symbol 284 with extra bits 31, and everything that zlib's inflate refuses in the structure of a stream:
other block types, NLEN that is not LEN's complement, more than 286 or 30 codes, codes that are over-subscribed or incomplete
(one distance code of one bit and none at all are fine, and so is one literal code of one bit), repeats of nothing or beyond the
end, no code for the end of the block, symbols without a meaning, reserved gzip flags, an end in the middle. Not looked at: CRC32,
ISIZE, FHCRC, and whether a distance reaches beyond the beginning of the text.

Both directions are one to one: ``encode(decode(x)) == x`` for every x that decodes, and ``decode(encode(t)) == t`` for every t that
encodes.
"""

from __future__ import annotations

import abc

from airgap.patch.huffman import MAX_GZIP_HEADER, Bits, NeedInput

END, MEMBER, TAIL = 0, 1, 2
STORED, FIXED, DYNAMIC = 0, 1, 2
#: Literals in a group without a match.
FULL = 255
#: The most that a step leaves over, in bytes: a member's record that is not whole yet.
MAX_LEFT = MAX_GZIP_HEADER + 4


class Codec(abc.ABC):
    """What both directions share: input, output, and the part of the stream they are in."""

    def __init__(self) -> None:
        self._part = self._start
        self._data = b""
        self._at = 0
        self._final = False
        self._out = bytearray()
        self._raw_left = 0
        self._last_block = False

    def step(self, data: bytes | bytearray | memoryview, final: bool, /) -> tuple[int, bytes]:
        """Consume whole elements from the front of ``data``: how many bytes, and what they became.

        Args:
            data: what the last step left over (at most ``MAX_LEFT`` bytes), and more.
            final: nothing comes after ``data``.

        Raises:
            ValueError: the input cannot be what it should be, or with ``final`` ends too early. Of no use from then on.
        """
        self._data = bytes(data)
        self._at = 0
        self._final = final
        self._out = bytearray()
        try:
            self._run()
            return self._at, bytes(self._out)
        except ValueError:
            self._part = self._broken
            raise
        finally:
            self._data = b""

    def _run(self) -> None:
        try:
            while True:
                self._part()
        except NeedInput:
            if self._final and self._part != self._nothing:
                raise ValueError("the input ends too early") from None

    def _take(self, count: int) -> bytes:
        """The next bytes, all of them or ``NeedInput``."""
        taken = self._data[self._at : self._at + count]
        if len(taken) < count:
            raise NeedInput
        self._at += count
        return taken

    @abc.abstractmethod
    def _start(self) -> None: ...

    @abc.abstractmethod
    def _block(self) -> None: ...

    @abc.abstractmethod
    def _trailer(self) -> None: ...

    def _end_block(self) -> None:
        self._part = self._trailer if self._last_block else self._block

    def _stored(self) -> None:
        part = self._data[self._at : self._at + self._raw_left]
        self._out += part
        self._at += len(part)
        self._raw_left -= len(part)
        if self._raw_left:
            raise NeedInput
        self._end_block()

    def _rest(self) -> None:
        self._out += self._data[self._at :]
        self._at = len(self._data)
        if not self._final:
            raise NeedInput
        self._part = self._nothing

    def _nothing(self) -> None:
        if self._at < len(self._data):
            raise ValueError("bytes after the end")
        raise NeedInput

    def _broken(self) -> None:
        raise ValueError("used again after an error")


def take_padding(bits: Bits) -> None:
    """Skip to the next whole byte."""
    if bits.take(-bits.position % 8):
        raise ValueError("padding bits that are not zero")
