"""Select, block by block, which copy to read of a volume that is on the media more than once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from airgap import fsio
from airgap.bundle.check import damaged_blocks
from airgap.bundle.volumes import Stretch
from airgap.documents.request import block_length
from airgap.format.entries import Volume
from airgap.format.names import BLOCK_SIZE
from airgap.progress import Silent


def choose(volume: Volume, paths: Sequence[Path]) -> tuple[Path, dict[int, Stretch]]:
    """The copy to read, and where its damaged blocks are good: nobody should have to know which medium is the bad one.

    A single copy is taken as it is, and not read. Of several the first is checked wholly, the others only where it is damaged; what
    is damaged in all of them is left to who reads it.

    Args:
        volume: its entry in the catalog.
        paths: at least one file of the right size.

    Raises:
        Damaged, MediaError: the first copy is gone, or cannot be opened.
    """
    first, *others = _different(paths)
    better: dict[int, Stretch] = {}
    for number in damaged_blocks(volume, first, Silent()) if others else []:
        offset, length = number * BLOCK_SIZE, block_length(volume, number)
        for other in others:
            if _digest(other, offset, length) == volume.blocks[number]:
                better[number] = Stretch(other, offset, length)
                break
    return first, better


def _different(paths: Sequence[Path]) -> list[Path]:
    """Without those that are the same file under another name."""
    found: dict[tuple[int, int], Path] = {}
    for path in paths:
        with fsio.disk_errors("cannot read", path):
            status = path.lstat()
        found.setdefault((status.st_dev, status.st_ino), path)
    return list(found.values())


def _digest(path: Path, offset: int, length: int) -> str:
    with fsio.opened(path) as fd:
        buffer = memoryview(bytearray(length))
        try:
            return hashlib.sha256(buffer[: fsio.read_at(fd, buffer, offset)]).hexdigest()
        except OSError:  # a bad place on the disk
            return ""
