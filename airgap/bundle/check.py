"""Check volumes and parity files against the block digests in the catalog.

Several threads hash, but only one of them reads at a time, and in order: discs, sticks and cables are slow when they are asked
for two places at once, and hashing is what takes the time anyway. Blocks say all there is to know about the bytes, and can be
hashed in parallel; who asks for the digest of the file, too, has both in one pass where the processor can. Whether the catalog
tells stock tools the same (``Volume.sha256``) is asked by those who judge the catalog.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path

from airgap import fsio
from airgap.bundle.damage import Damage, Fault, at_hand, blocks
from airgap.bundle.volumes import Stretch, Volumes
from airgap.errors import Damaged
from airgap.format.catalog import Volume
from airgap.format.names import BLOCK_SIZE
from airgap.format.outline import Outline
from airgap.fsio.hashes import file_hash
from airgap.oci.verify import CHUNK
from airgap.progress import Progress
from airgap.work import Pool

THREADS = 2


@dataclass(frozen=True)
class Checked:
    """The result of reading a file to its end. Blocks are counted from 0.

    Attributes:
        damaged: the blocks that differ from the catalog; in a file that is too long, the last block counts as damaged.
        unreadable: those of them that the disk would not give.
        sha256: of the whole file, when it was asked for; means nothing if a block is damaged.
    """

    damaged: tuple[int, ...]
    unreadable: tuple[int, ...] = ()
    sha256: str = ""


def damaged_blocks(volume: Volume, path: Path, progress: Progress, threads: int = THREADS, fresh: bool = False) -> list[int]:
    """The numbers of the damaged blocks of a file, from 0, in order. As :func:`check_file`."""
    return list(check_file(volume, path, progress, threads, fresh).damaged)


def check_file(
    volume: Volume, path: Path, progress: Progress, threads: int = THREADS, fresh: bool = False, whole: bool = False
) -> Checked:
    """Read a volume or parity file once and compare every block.

    Args:
        volume: its entry in the catalog.
        path: the file.
        progress: told about every block, as many bytes in all as the catalog says.
        threads: how many blocks are hashed at a time; each takes 16 MiB of memory.
        fresh: ask the device, not the page cache; what waits to be written is flushed first.
        whole: take the digest of the whole file, too: that is one thread's work.

    Raises:
        Damaged: it is missing, or not a regular file. That it is too short or too long, or that the disk cannot read
            some of it, is told by block.
        MediaError: it cannot be opened.
    """
    with fsio.opened(path) as fd:
        with fsio.disk_errors("cannot read", path):
            if fresh:
                fsio.from_disk(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
            size = os.fstat(fd).st_size
        work = _Work(fd, volume, progress, whole)
        work.run(min(threads, len(volume.blocks)))
    if size > volume.size and volume.blocks:
        work.damaged.add(len(volume.blocks) - 1)
    return Checked(tuple(sorted(work.damaged)), tuple(sorted(work.unreadable)), work.whole.hexdigest() if work.whole else "")


def check_volumes(
    catalog: Outline,
    paths: Mapping[int, Path],
    progress: Progress,
    threads: int = THREADS,
    parity: Mapping[int, Path] | None = None,
) -> None:
    """Read every volume, and the parity files given, once.

    Raises:
        VolumesDamaged: naming every damaged file, its blocks, and the images that need it.
        VolumesUnreadable: a disk cannot be read, and what can be read of it is good.
        Damaged: the catalog contradicts itself.
    """
    found = paths if isinstance(paths, Volumes) else Volumes(paths)
    asked = [_Asked(n, catalog.volumes[n - 1], found.file(n), found.resent(n)) for n in found]
    asked += [_Asked(len(catalog.volumes) + n, catalog.parity[n - 1], path) for n, path in (parity or {}).items()]
    progress.stage("checking volumes", sum(one.volume.size for one in asked), len(asked), "file")
    bad = [wrong for one in asked if (wrong := _damage(one, progress, threads)).blocks]
    if not bad:
        return
    brought = {one.volume.name: one.resent for one in asked}
    lost = at_hand(catalog, found.places, brought)
    lost |= {one.asked.volume.name: lost[one.asked.volume.name] | one.blocks.keys() for one in bad}
    raise Damage(catalog, tuple(one.fault() for one in bad), found.places, lost).error()


@dataclass(frozen=True)
class _Asked:
    """A file to check: its number in the catalog, its own file if there is one, and the blocks that supplements bring instead."""

    number: int
    volume: Volume
    path: Path | None
    resent: Mapping[int, Stretch] = field(default_factory=dict)


@dataclass(frozen=True)
class _Damage:
    """The faults of a file: its bad blocks, each with the file it would be read from, and the unreadable ones."""

    asked: _Asked
    blocks: Mapping[int, Path]
    unreadable: Set[int]

    def fault(self) -> Fault:
        all_of = len(self.asked.volume.blocks)
        damaged = sorted(self.blocks.keys() - self.unreadable)
        said = [f"cannot be read in {blocks(sorted(self.unreadable), all_of)}"] if self.unreadable else []
        said += [f"is damaged in {blocks(damaged, all_of)}"] if damaged else []
        path = next(iter(self.blocks.values()))
        return Fault(self.asked.number, self.asked.volume, " and ".join(said), path, unreadable=not damaged)


def _damage(one: _Asked, progress: Progress, threads: int) -> _Damage:
    progress.at(one.volume.name)
    bad: dict[int, Path] = {}
    unreadable: Set[int] = set()
    if one.path is not None:
        own = check_file(one.volume, one.path, progress, threads, whole=True)
        if not own.damaged and own.sha256 != one.volume.sha256:
            raise Damaged("the catalog's digest of a volume contradicts its block digests", where=one.volume.name)
        bad = {number: one.path for number in own.damaged if number not in one.resent}
        unreadable = bad.keys() & set(own.unreadable)
    resent = {number: block.path for number, block in damaged_resent(one.volume, one.resent).items()}
    progress.advance(0, 1)
    return _Damage(one, bad | resent, unreadable)


def damaged_resent(volume: Volume, resent: Mapping[int, Stretch]) -> dict[int, Stretch]:
    """The blocks of supplements that are not what the catalog says. Raises ``MediaError``."""
    bad = {}
    buffer = memoryview(bytearray(min(BLOCK_SIZE, volume.size) if resent else 0))
    for number, block in sorted(resent.items()):
        with contextlib.closing(block.open()) as reader:
            count = reader.readinto(buffer[: block.length])
        if count != block.length or hashlib.sha256(buffer[:count]).hexdigest() != volume.blocks[number]:
            bad[number] = block
    return bad


def lost_images(catalog: Outline, lost: Iterable[Volume]) -> list[str]:
    """The references of the images that are incomplete without these files, in list order."""
    gone = {volume.name for volume in lost}
    numbers = {number for number, volume in enumerate(catalog.volumes, 1) if volume.name in gone}
    return catalog.images_on(numbers)


class _Work:
    """The blocks of one open file, taken one after another by the threads that hash them."""

    def __init__(self, fd: int, volume: Volume, progress: Progress, whole: bool) -> None:
        self.whole = file_hash() if whole else None
        self._fd = fd
        self._volume = volume
        self._progress = progress
        self._turn = threading.Lock()
        self._next = 0
        self.damaged: set[int] = set()
        self.unreadable: set[int] = set()

    def run(self, threads: int) -> None:
        """Check all blocks. Raises what a thread ran into."""
        if not threads:
            return
        with Pool(threads, "check", patient=None) as pool:  # nobody may close the file as long as a thread reads it
            self._progress = pool.watched(self._progress)
            pool.each(self._check, range(threads))

    def _check(self, _: int) -> None:
        buffer = memoryview(bytearray(min(BLOCK_SIZE, self._volume.size)))
        while (taken := self._take(buffer)) is not None:
            number, count, digest = taken
            if (digest or hashlib.sha256(buffer[:count]).hexdigest()) != self._volume.blocks[number]:
                self.damaged.add(number)
            self._progress.advance(min(BLOCK_SIZE, self._volume.size - number * BLOCK_SIZE))

    def _take(self, buffer: memoryview) -> tuple[int, int, str] | None:
        """Read the next block: its number, how many bytes there were, its digest if that cost nothing. None if none is left."""
        with self._turn:
            number = self._next
            if number >= len(self._volume.blocks):
                return None
            self._next += 1
            start = number * BLOCK_SIZE
            wanted = min(BLOCK_SIZE, self._volume.size - start)
            done = 0
            while done < wanted:
                part = buffer[done : min(done + CHUNK, wanted)]
                try:
                    count = fsio.read_at(self._fd, part, start + done)
                except OSError:  # a bad place on the disk: the blocks behind it may be good
                    self.unreadable.add(number)
                    self.damaged.add(number)
                    return number, done, ""
                done += count
                if count < len(part):
                    break
            if self.whole is None or done < wanted:
                return number, done, ""
            return number, done, self.whole.block([buffer[:done]])  # in the order of the file, while others hash the blocks before
