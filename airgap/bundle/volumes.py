"""Where the bytes of volumes are: in the files on the media and, block by block, in supplements.

Everything that reads a volume asks here, so a volume that is damaged, cut short or lost is read like any other as soon as a
supplement brings its blocks.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Self

from airgap import fsio
from airgap.cipher.forms import PIECE
from airgap.errors import Damaged
from airgap.format import names
from airgap.format.frame import Extent
from airgap.format.names import BLOCK_SIZE
from airgap.oci.stores import Reader

if TYPE_CHECKING:
    from airgap.bundle.damage import Damage
    from airgap.cipher.content import Pieces

_NOTHING: Mapping[int, Mapping[int, Stretch]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bytes of a file on the media."""

    path: Path
    offset: int
    length: int

    def open(self) -> fsio.FileReader:
        """Stream it. Raises ``Damaged`` and ``MediaError``."""
        return fsio.FileReader(fsio.open_regular(self.path), self.offset, self.length, str(self.path))


class Volumes(Mapping[int, Path]):
    """The volumes at hand, by number from 1: a mapping to the file of each. One that was sent again wholly has the supplement's.

    Args:
        files: the file of every volume that has one.
        resent: for every volume, the blocks (from 0) that are to be read from supplements.
        pieces: how they are decrypted, where they are encrypted and somebody may read them.
        places: the directories that were looked into; None for those of the files.
        lacking: what is wrong with the volumes that are not at hand; None when all are.
    """

    def __init__(
        self,
        files: Mapping[int, Path],
        resent: Mapping[int, Mapping[int, Stretch]] = _NOTHING,
        pieces: Pieces | None = None,
        places: Sequence[Path] | None = None,
        lacking: Damage | None = None,
    ) -> None:
        self._files = dict(files)
        self.pieces = pieces
        self.places = tuple(dict.fromkeys(path.parent for path in files.values()) if places is None else places)
        self.lacking = lacking
        self._resent = {number: blocks for number, blocks in resent.items() if blocks}

    def __getitem__(self, number: int) -> Path:
        """The file that most of a volume is read from."""
        path = self._files.get(number)
        return path if path is not None else next(iter(self._resent[number].values())).path

    def __iter__(self) -> Iterator[int]:
        """The numbers of the volumes at hand."""
        return iter(sorted(self._files.keys() | self._resent.keys()))

    def __len__(self) -> int:
        """How many volumes are at hand."""
        return len(self._files.keys() | self._resent.keys())

    def file(self, number: int) -> Path | None:
        """The volume's own file; None when all of it comes from supplements."""
        return self._files.get(number)

    def resent(self, number: int) -> Mapping[int, Stretch]:
        """The blocks of a volume that are read from supplements."""
        return self._resent.get(number, {})

    def stretches(self, extent: Extent) -> Iterator[Stretch]:
        """The stretches of files that make up a stretch of a volume, in order; encrypted as they are.

        Raises:
            Damaged: it is not at hand.
        """
        resent = self.resent(extent.volume)
        if not resent:
            yield Stretch(self._own(extent.volume), extent.offset, extent.length)
            return
        at, end = extent.offset, extent.offset + extent.length
        while at < end:
            number = at // BLOCK_SIZE
            stop = min(end, (number + 1) * BLOCK_SIZE)
            if (block := resent.get(number)) is not None:
                yield Stretch(block.path, block.offset + at - number * BLOCK_SIZE, stop - at)
            else:
                while stop < end and stop // BLOCK_SIZE not in resent:
                    stop = min(end, stop + BLOCK_SIZE)
                yield Stretch(self._own(extent.volume), at, stop - at)
            at = stop

    def open(self, extents: Iterable[Extent], skip: int = 0) -> Reader:
        """Stream the bytes of several stretches of volumes, but for the first ``skip``.

        What lies in one piece in one file comes as a ``FileReader``, which the kernel can send by itself. Encrypted bytes come
        decrypted and checked, with one piece in memory at a time.
        """
        if self.pieces is not None:
            return _PlainReader(Peek(self, os.POSIX_FADV_SEQUENTIAL), extents, skip)
        found = list(_without(skip, (stretch for extent in extents for stretch in self.stretches(extent))))
        return found[0].open() if len(found) == 1 else _StretchReader(found)

    def peek(self) -> Peek:
        """For many small reads."""
        return Peek(self)

    def place(self, extents: Iterable[Extent]) -> str:
        """Where stretches of volumes lie, for people: ``volume-0002.tar at byte 512``."""
        return ", ".join(text for extent in extents for text in self._places(extent))

    def _places(self, extent: Extent) -> Iterator[str]:
        if extent.volume not in self:
            yield f"{names.volume_name(extent.volume)} at byte {extent.offset}"
        else:
            yield from (f"{stretch.path} at byte {stretch.offset}" for stretch in self.stretches(extent))

    def _own(self, number: int) -> Path:
        path = self._files.get(number)
        if path is None:
            raise Damaged("a volume is missing", where=names.volume_name(number), hint="bring the medium that has this volume")
        return path


class Peek:
    """Reads small stretches of volumes, mostly of one after the other: one file is open at a time. A context manager.

    What is encrypted is decrypted and checked; the latest piece is kept.
    """

    def __init__(self, volumes: Volumes, advice: int = os.POSIX_FADV_RANDOM) -> None:
        self._volumes = volumes
        self._advice = advice
        self._path: Path | None = None
        self._fd = -1
        self._kept: tuple[int, int, bytes] = (0, 0, b"")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def read(self, extent: Extent) -> bytes:
        """The bytes; fewer where a file ends. Raises ``Damaged`` and ``MediaError``."""
        pieces = self._volumes.pieces
        if pieces is None or not extent.length:
            return self._read(extent)
        parts = []
        end = extent.offset + extent.length
        for number in range(extent.offset // PIECE, -(-end // PIECE)):
            start = number * PIECE
            parts.append(self._piece(pieces, extent.volume, number)[max(extent.offset - start, 0) : end - start])
        return b"".join(parts)

    def close(self) -> None:
        """Close the file. May be called twice."""
        if self._fd >= 0:
            fsio.release(self._fd)
        self._fd, self._path = -1, None

    def _piece(self, pieces: Pieces, volume: int, number: int) -> bytes:
        if self._kept[:2] != (volume, number):
            extent = Extent(volume, number * PIECE, pieces.length(volume, number))
            self._kept = volume, number, pieces.open(volume, number, self._read(extent), self._volumes.place([extent]))
        return self._kept[2]

    def _read(self, extent: Extent) -> bytes:
        buffer, done = memoryview(bytearray(extent.length)), 0
        for stretch in self._volumes.stretches(extent):
            self._turn_to(stretch.path)
            with fsio.disk_errors("cannot read", stretch.path):
                done += fsio.read_at(self._fd, buffer[done : done + stretch.length], stretch.offset)
        return bytes(buffer[:done])

    def _turn_to(self, path: Path) -> None:
        if path != self._path:
            self.close()
            self._fd, self._path = fsio.open_regular(path), path
            os.posix_fadvise(self._fd, 0, 0, self._advice)


class _PlainReader:
    """Reads encrypted stretches of volumes, piece by piece."""

    def __init__(self, peek: Peek, extents: Iterable[Extent], skip: int) -> None:
        self._peek = peek
        self._left = [(one.volume, one.offset, one.offset + one.length) for one in extents][::-1]
        while self._left and skip:
            volume, start, end = self._left.pop()
            if skip < end - start:
                self._left.append((volume, start + skip, end))
            skip -= min(skip, end - start)

    def readinto(self, buffer: memoryview, /) -> int:
        while self._left:
            volume, start, end = self._left.pop()
            if count := min(len(buffer), end - start, PIECE - start % PIECE):
                self._left.append((volume, start + count, end))
                buffer[:count] = self._peek.read(Extent(volume, start, count))
                return count
        return 0

    def close(self) -> None:
        self._left.clear()
        self._peek.close()


class _StretchReader:
    """Reads stretches one after the other; a file is open only while it is read."""

    def __init__(self, stretches: list[Stretch]) -> None:
        self._left = list(reversed(stretches))
        self._current: fsio.FileReader | None = None

    def readinto(self, buffer: memoryview, /) -> int:
        while True:
            if self._current is None:
                if not self._left:
                    return 0
                self._current = self._left.pop().open()
            if count := self._current.readinto(buffer):
                return count
            self._drop()

    def close(self) -> None:
        self._left.clear()
        self._drop()

    def _drop(self) -> None:
        if self._current is not None:
            self._current.close()
            self._current = None


def _without(skip: int, stretches: Iterable[Stretch]) -> Iterator[Stretch]:
    for stretch in stretches:
        skipped = min(skip, stretch.length)
        skip -= skipped
        if skipped < stretch.length:
            yield Stretch(stretch.path, stretch.offset + skipped, stretch.length - skipped)
