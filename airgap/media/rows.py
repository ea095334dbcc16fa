"""Read a bundle row by row, check every block, and rebuild what is lost from what is left, each byte is read once if nothing fails.

A row (format/parity.py) is taken as a whole by one thread, in pieces: it hashes what it reads and rebuilds what it knows to be lost
in the same pass. Only when a block turns out damaged at its end the row is taken again, without that block or from another copy.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from airgap import fsio
from airgap.format.entries import Volume
from airgap.format.parity import Code, block_length, piece_size, read_ahead
from airgap.progress import Progress
from airgap.work import Pool, cores


@dataclass(frozen=True, slots=True)
class BlockPlace:
    """Where a block may be had: an open file and an offset in it."""

    fd: int
    offset: int


@dataclass
class Row:
    """The result of one row. Shares are files by number: the volumes from 0, then the parity files.

    Attributes:
        number: from 0.
        found: for every share that is at hand, which of its places has the right bytes.
        rebuilt: shares whose block was not to be had and is in the store now.
        lost: shares whose block was not to be had and could not be rebuilt.
    """

    number: int
    found: dict[int, int] = field(default_factory=dict)
    rebuilt: frozenset[int] = frozenset()
    lost: frozenset[int] = frozenset()


class Store(Protocol):
    """Takes what is rebuilt."""

    def write(self, share: int, row: int, at: int, data: memoryview) -> None:
        """Keep bytes of a block, ``at`` bytes behind its beginning. Any thread; they may come again. Raises ``OSError``."""


class Rows:
    """All rows of one bundle.

    Args:
        volumes: the entries of the volumes in the catalog.
        parity: those of the parity files.
        places: where a share's block may be had, best first; none when it is lost.
        store: takes what is rebuilt.
        progress: told about every byte that is read.
    """

    def __init__(
        self,
        volumes: Sequence[Volume],
        parity: Sequence[Volume],
        places: Callable[[int, int], Sequence[BlockPlace]],
        store: Store,
        progress: Progress,
    ) -> None:
        self._files = [*volumes, *parity]
        self._count = len(volumes)
        self._places = places
        self._store = store
        self._progress = progress
        self._code = Code(len(volumes), len(parity)) if parity else None
        self._piece = piece_size(len(self._files))
        self._buffers = threading.local()
        self._zeros = memoryview(bytes(self._piece))

    def run(self) -> list[Row]:
        """Read everything once; what became of every row, in order. Raises ``OSError`` when the store cannot take something."""
        with Pool(cores(), "row") as pool:
            return pool.map(self._row, range(max(len(file.blocks) for file in self._files)))

    def _row(self, number: int) -> Row:
        places = {share: self._places(share, number) for share, file in enumerate(self._files) if block_length(file.size, number)}
        row = Row(number, {share: 0 for share, found in places.items() if found})
        proved: set[int] = set()
        while True:
            missing = frozenset(places) - row.found.keys()
            taken = _Pass(number, {share: places[share][at] for share, at in row.found.items()}, missing, proved)
            wrong = self._take(taken)
            proved |= row.found.keys() - wrong
            if not wrong:
                row.rebuilt = frozenset(taken.made)
                row.lost = missing - row.rebuilt
                return row
            for share in wrong:
                row.found[share] += 1
                if row.found[share] == len(places[share]):
                    del row.found[share]

    def _take(self, taken: _Pass) -> set[int]:
        """Read a row once and rebuild what is missing; the shares whose bytes turned out wrong."""
        length = max(block_length(file.size, taken.row) for file in self._files)
        used = self._used(taken)
        fresh = taken.sources.keys() - taken.proved
        reading = sorted(fresh | (used.keys() & taken.sources.keys() if used else set()))
        hashers = {share: hashlib.sha256() for share in fresh}
        made = {share: hashlib.sha256() for share in sorted(taken.missing)} if used else {}
        wrong: set[int] = set()
        ahead = 0
        for at in range(0, length, self._piece):
            if at >= ahead:
                places = [taken.sources[share] for share in reading]
                ahead += read_ahead([(place.fd, place.offset + at) for place in places], length - at)
            parts = self._read(taken, reading, at, min(self._piece, length - at), hashers, wrong)
            if made and self._code is not None and not wrong:
                shares = {share: parts.get(share, self._zeros[: min(self._piece, length - at)]) for share in used}
                self._keep(self._code, taken.row, at, made, shares)
        wrong |= {share for share in fresh if hashers[share].hexdigest() != self._files[share].blocks[taken.row]}
        if not wrong:
            taken.made = {share for share, hasher in made.items() if hasher.hexdigest() == self._files[share].blocks[taken.row]}
        return wrong

    def _used(self, taken: _Pass) -> dict[int, None]:
        """The shares to rebuild from; none when there is nothing to rebuild, or too little to do it from."""
        if not taken.missing or self._code is None:
            return {}
        empty = [share for share in range(self._count) if not block_length(self._files[share].size, taken.row)]
        found = [*empty, *sorted(taken.sources)][: self._count]  # behind the end of a short volume are zeros: they are never lost
        return dict.fromkeys(found) if len(found) == self._count else {}

    def _read(
        self, taken: _Pass, reading: Iterable[int], at: int, count: int, hashers: Mapping[int, hashlib._Hash], wrong: set[int]
    ) -> dict[int, memoryview]:
        """One piece of every share, with zeros behind the end of short blocks."""
        buffers, parts = self._pieces(), {}
        for share in reading:
            part = parts[share] = buffers[share][:count]
            own = max(0, min(count, block_length(self._files[share].size, taken.row) - at))
            place = taken.sources[share]
            if own and share not in wrong:
                if not _filled(place, at, part[:own]):
                    wrong.add(share)
                elif share in hashers:
                    hashers[share].update(part[:own])
                self._progress.advance(own if share in hashers else 0)
            if own < count:
                part[own:] = self._zeros[: count - own]
        return parts

    def _keep(self, code: Code, row: int, at: int, made: Mapping[int, hashlib._Hash], shares: Mapping[int, memoryview]) -> None:
        for share, data in zip(made, code.rebuild(shares, list(made)), strict=True):
            own = memoryview(data)[: max(0, block_length(self._files[share].size, row) - at)]
            if own:
                made[share].update(own)
                self._store.write(share, row, at, own)

    def _pieces(self) -> list[memoryview]:
        if not hasattr(self._buffers, "pieces"):
            self._buffers.pieces = [memoryview(bytearray(self._piece)) for _ in self._files]
        pieces: list[memoryview] = self._buffers.pieces
        return pieces


@dataclass
class _Pass:
    """Taking a row once: from where, what is missing, which blocks have been checked by an earlier pass; and what was rebuilt."""

    row: int
    sources: dict[int, BlockPlace]
    missing: frozenset[int]
    proved: set[int]
    made: set[int] = field(default_factory=set)


def _filled(place: BlockPlace, at: int, part: memoryview) -> bool:
    try:
        return fsio.read_at(place.fd, part, place.offset + at) == len(part)
    except OSError:  # a bad place on the disk: as good as damaged
        return False
