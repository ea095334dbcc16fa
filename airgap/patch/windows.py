"""Which part of the base's stream each segment is compressed against, chosen by content (docs/adr/0037). Pure.

Samples are taken of both streams at places that their content picks, so that equal content has equal samples wherever it lies. A
segment votes for the pieces of the base that have its samples. Windows may only move forward (docs/format.md, "Patches"), so they
are chosen together: the row of windows that has the most votes, not each for itself.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Sequence

#: A place is looked at where the low halves of three bytes are these: one in 4096 of random bytes.
_LOW_HALVES = bytes(byte & 15 for byte in range(256))
_ANCHOR = b"\x05\x04\x01"
#: Bytes of a sample; and from one to the next at least so many, so that no content costs much.
_SAMPLE = 32
_STEP = 16
#: Most samples that are remembered of a base: with more, every second one is forgotten.
_MOST = 1 << 16
#: Most places for a window that are compared.
_PLACES = 512
#: What a sample has that several pieces of the base contain.
_ANYWHERE = -1

#: The first piece of a window and how many there are.
Place = tuple[int, int]


class Samples:
    """Where a base's content is. Memory is bounded, however long the base.

    Give it every piece of the base with :meth:`add`, then ask :meth:`votes` about the pieces of the new stream.
    """

    def __init__(self) -> None:
        self._piece_of: dict[int, int] = {}
        self._mask = 0
        self.pieces = 0

    def add(self, piece: bytes) -> None:
        """Take the samples of the base's next piece."""
        for sample in self._of(piece):
            if self._piece_of.setdefault(sample, self.pieces) != self.pieces:
                self._piece_of[sample] = _ANYWHERE
        self.pieces += 1
        while len(self._piece_of) > _MOST:
            self._mask = 2 * self._mask + 1
            self._piece_of = {sample: at for sample, at in self._piece_of.items() if not sample & self._mask}

    def votes(self, piece: bytes) -> Counter[int]:
        """For pieces of the base: how many samples of this piece they have, which no other piece of the base has."""
        found = (self._piece_of.get(sample, _ANYWHERE) for sample in self._of(piece))
        return Counter(at for at in found if at != _ANYWHERE)

    def _of(self, piece: bytes) -> Iterator[int]:
        halves = piece.translate(_LOW_HALVES)
        last = len(piece) - _SAMPLE
        at = halves.find(_ANCHOR)
        while 0 <= at <= last:
            sample = zlib.crc32(piece[at : at + _SAMPLE])
            if not sample & self._mask:
                yield sample
            at = halves.find(_ANCHOR, at + _STEP)


def chosen(votes: Sequence[Counter[int]], pieces: int, count: int) -> list[Place]:
    """The window of every segment.

    Where the votes do not decide, a window lies near the straight line from the beginnings of both streams to their ends.

    Args:
        votes: of every segment, for pieces of the base.
        pieces: how many pieces the base has.
        count: how many a window has at most.
    """
    if pieces <= count:
        return [(0, pieces)] * len(votes)
    last = pieces - count
    step = -(-last // _PLACES)
    places = sorted({*range(0, last, step), last})
    rows = [_worth(one, number / max(len(votes) - 1, 1), pieces, places, count) for number, one in enumerate(votes)]
    return [(places[at], count) for at in _forward(rows)]


def _worth(votes: Counter[int], part: float, pieces: int, places: Sequence[int], count: int) -> list[int]:
    """What each place is worth to one segment: its votes first, then how near it is to the straight line."""
    sums = [0] * (pieces + 1)
    for at in range(pieces):
        sums[at + 1] = sums[at] + votes[at]
    line = int(part * places[-1])
    return [(sums[place + count] - sums[place]) * pieces - abs(place - line) for place in places]


def _forward(rows: Sequence[list[int]]) -> list[int]:
    """Of every row the number of one place, never less than of the row before, so that their worth is the most in sum."""
    best = [0] * len(rows[0]) if rows else []
    came: list[list[int]] = []
    for row in rows:
        reached, before = [0], [best[0] + row[0]]
        for number, worth in enumerate(row[1:], 1):
            reached.append(number if best[number] >= best[reached[-1]] else reached[-1])
            before.append(best[reached[-1]] + worth)
        came.append(reached)
        best = before
    found: list[int] = []
    at = max(range(len(best)), key=best.__getitem__, default=0)
    for reached in reversed(came):
        found.append(at)
        at = reached[at]
    return found[::-1]
