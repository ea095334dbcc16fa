"""Where rebuilt blocks wait until all of a file is known: in the new file, or in a scratch file before they go back in place."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from airgap import fsio
from airgap.errors import MediaError
from airgap.format.entries import Volume
from airgap.format.names import BLOCK_SIZE
from airgap.format.parity import block_length
from airgap.media.rows import BlockPlace
from airgap.text import printable


class NewFiles:
    """New files in a directory: they get their names when they are complete.

    Args:
        directory: where.
        files: the files of the bundle that are wanted, by share; blocks of others are dropped.
    """

    def __init__(self, directory: Path, files: Sequence[Volume]) -> None:
        self._directory = directory
        self._files = files
        self._open: dict[int, fsio.NewFile] = {}
        self._guard = threading.Lock()

    def write(self, share: int, row: int, at: int, data: memoryview) -> None:
        """As ``Store.write``."""
        if share < len(self._files):
            fsio.write_at(self.descriptor(share), data, row * BLOCK_SIZE + at)

    def place(self, share: int, row: int) -> BlockPlace:
        """Where a block is that was written."""
        return BlockPlace(self.descriptor(share), row * BLOCK_SIZE)

    def descriptor(self, share: int) -> int:
        """The file, which is created when it is first asked for. Raises ``OSError``."""
        with self._guard:
            if share not in self._open:
                self._open[share] = fsio.NewFile(self._directory / self._files[share].name)
            return self._open[share].fd

    def finish(self, share: int) -> Path:
        """Give a file its size and its name, flushed to the disk; its path. Raises ``OSError``."""
        new = self._open.pop(share)
        try:
            os.ftruncate(new.fd, self._files[share].size)
            new.keep()
        finally:
            new.drop()
        return new.path

    def drop(self) -> None:
        """Close and remove what was not finished."""
        for share in list(self._open):
            self._open.pop(share).drop()


class InPlace:
    """Blocks that go back into the damaged files, and new files for those that are lost.

    Rebuilt blocks wait in a file without a name (in TMPDIR, for the media may be full) until they are known to be good, so that a
    block which only could not be read this time is never written over with something worse.

    Args:
        new: takes what is lost.
        lost: the shares that are.
    """

    def __init__(self, new: NewFiles, lost: frozenset[int]) -> None:
        self._new = new
        self._lost = lost
        self._scratch = tempfile.TemporaryFile()  # noqa: SIM115 - closed by drop
        self._slots: dict[tuple[int, int], int] = {}
        self._guard = threading.Lock()

    def write(self, share: int, row: int, at: int, data: memoryview) -> None:
        """As ``Store.write``."""
        place = self.place(share, row)
        fsio.write_at(place.fd, data, place.offset + at)

    def place(self, share: int, row: int) -> BlockPlace:
        """Where a block is or will be."""
        if share in self._lost:
            return self._new.place(share, row)
        with self._guard:
            slot = self._slots.setdefault((share, row), len(self._slots))
        return BlockPlace(self._scratch.fileno(), slot * BLOCK_SIZE)

    def drop(self) -> None:
        """Close everything, and remove what was not finished."""
        self._scratch.close()
        self._new.drop()


def put_block(source: BlockPlace, file: Volume, row: int, target: int) -> int:
    """Copy one block to its place in a file, when it is what the catalog says; its bytes.

    Raises:
        MediaError: what was good a moment ago is not any more.
        OSError: the disk refuses.
    """
    buffer = memoryview(bytearray(block_length(file.size, row)))
    count = fsio.read_at(source.fd, buffer, source.offset)
    if hashlib.sha256(buffer[:count]).hexdigest() != file.blocks[row]:
        raise MediaError(
            "a disk returns different bytes each time it is read",
            where=f"{printable(file.name)}, block {row}",
            hint="copy this file to another disk, or try another cable and port, then run the same command again",
        )
    fsio.write_at(target, buffer, row * BLOCK_SIZE)
    return count
