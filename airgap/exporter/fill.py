"""Fill the volumes: stream every blob from its source straight to its final place, in parallel, and verify it on the way."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airgap import fsio
from airgap.cipher.content import ContentKey
from airgap.errors import Damaged, Interrupted, RegistryError
from airgap.exporter.digests import Digester
from airgap.exporter.journal import Journal
from airgap.format import names
from airgap.limits import AT_A_TIME, SMALL_BLOB
from airgap.oci.digest import Digest
from airgap.oci.stores import Reader, Source
from airgap.oci.verify import CHUNK, BytesReader, VerifiedReader
from airgap.planning.placed import PlacedMember
from airgap.planning.plan import Plan
from airgap.progress import Progress
from airgap.work import Pool

if TYPE_CHECKING:
    from hashlib import _Hash

#: A long blob is journaled every so many bytes, so that a killed run loses at most this much of it.
_NOTE_EVERY = 64 * 1024 * 1024


@dataclass(frozen=True)
class Filled:
    """The digests of the files on disk: SHA-256 of every volume and of every block of every volume, hex.

    For encrypted volumes also the tags of the pieces of each.
    """

    volumes: list[str]
    blocks: list[list[str]]
    tags: tuple[bytes, ...] = ()


def fill(
    plan: Plan,
    directory: Path,
    source: Source,
    journal: Journal,
    progress: Progress,
    threads: int,
    key: ContentKey | None = None,
) -> Filled:
    """Write all volumes to ``directory``.

    Args:
        plan: where everything goes.
        directory: the partial bundle.
        source: where blobs come from.
        journal: what an earlier run has done; this run continues it.
        progress: told about every byte.
        threads: blobs fetched at a time; small ones are fetched in the width of questions.
        key: encrypts every byte before it is written.

    Raises:
        RegistryError, Damaged: a blob is missing or does not match its descriptor, in a registry or another place.
        MediaError: the disk fails or is full.
    """
    progress.stage("fetching", plan.download, len(plan.blobs), "blob")
    files = _open_volumes(directory, len(plan.sizes))
    digester = Digester(files, plan.sizes, key)
    filler = _Filler(plan, source, journal, progress, files, digester, key)
    try:
        with fsio.disk_errors("cannot write the bundle", directory):
            for number, size in enumerate(plan.sizes):
                fsio.from_disk(files[number])  # what an earlier run left counts as the disk has it
                if os.fstat(files[number]).st_size > size:
                    os.ftruncate(files[number], size)
            filler.write_frame()
            digester.start()
            filler.run(threads)
            progress.stage("flushing to the disk", 0)
            digester.finish()
    except (KeyboardInterrupt, Interrupted):
        raise  # writers may still be in a read: the process is about to end, and closing files under them is not safe
    except BaseException:
        digester.stop()
        _close(files)
        raise
    _close(files)
    return Filled(digester.volumes, digester.blocks, tuple(map(bytes, digester.tags)))


def _open_volumes(directory: Path, count: int) -> list[int]:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    files: list[int] = []
    with fsio.disk_errors("cannot create a volume", directory):
        wanted = {names.volume_name(number) for number in range(1, count + 1)}
        for entry in directory.iterdir():
            if names.is_volume(entry.name) and entry.name not in wanted:  # of a run that had fewer patches
                entry.unlink()
        try:
            for number in range(1, count + 1):
                files.append(os.open(directory / names.volume_name(number), flags, 0o644))
        except BaseException:
            _close(files)
            raise
    return files


def _close(files: Sequence[int]) -> None:
    for fd in files:
        fsio.release(fd)


@dataclass
class _Filler:
    _plan: Plan
    _source: Source
    _journal: Journal
    _progress: Progress
    _files: Sequence[int]
    _digester: Digester
    _key: ContentKey | None

    def __post_init__(self) -> None:
        self._buffers = threading.local()
        self._contents, self._paths = self._plan.contents, self._plan.files

    def write_frame(self) -> None:
        """Headers, padding, ``oci-layout`` and ``index.json``."""
        for step in self._plan.steps():
            if step.content is not None:
                self._put(step.extent.volume, step.content, step.extent.offset)
                self._digester.wrote(step.extent.volume, step.extent.offset, step.extent.length)

    def run(self, threads: int) -> None:
        """Fetch all blobs; the first failure stops the others and is raised. Small ones first: they only wait for the network."""
        progress = self._progress
        small: list[PlacedMember] = []
        large: list[PlacedMember] = []
        for placed in self._plan.blobs.values():
            (small if placed.descriptor.size <= SMALL_BLOB else large).append(placed)
        for width, blobs in ((max(threads, AT_A_TIME), small), (threads, large)):
            with Pool(width, "fetch") as pool:
                self._progress = pool.watched(progress)
                pool.each(self._fetch, blobs)

    def _fetch(self, placed: PlacedMember) -> None:
        descriptor = placed.descriptor
        volume = f"volume {placed.extents[0].volume} of {len(self._files)}" if placed.extents else ""
        self._progress.at(str(placed.repository), volume)
        hasher, done = self._recover(placed)
        if done and done == descriptor.size:
            self._progress.advance(0, 1)
            return
        try:
            self._stream(placed, hasher, done, report=not done)
        except (RegistryError, Damaged):
            self._journal.note(descriptor.digest, 0)  # bytes that turned out wrong must not be believed by the next run
            if not done:
                raise
            self._stream(placed, descriptor.digest.hasher(), 0, report=True)
        else:
            if done:
                self._report(placed)
        self._journal.note(descriptor.digest, descriptor.size)
        self._progress.advance(0, 1)

    def _recover(self, placed: PlacedMember) -> tuple[_Hash, int]:
        """Hash what an earlier run left of a blob; how much of it can be kept. A whole blob is kept only if its digest is right."""
        descriptor = placed.descriptor
        count = min(self._journal.progress.get(descriptor.digest, 0), descriptor.size)
        hasher, buffer, at = descriptor.digest.hasher(), self._buffer(), 0
        while at < count:
            part = buffer[: min(len(buffer), count - at)]
            for volume, offset, start, length in self._cut(placed, at, len(part)):
                stretch = part[start : start + length]
                if fsio.read_at(self._files[volume - 1], stretch, offset) != length:
                    return descriptor.digest.hasher(), 0
                if self._key is not None:
                    stretch[:] = self._key.apply(volume, offset, stretch)
            hasher.update(part)
            at += len(part)
        if count == descriptor.size and Digest.sealed(hasher) != descriptor.digest:
            return descriptor.digest.hasher(), 0
        if count and count == descriptor.size:
            self._report(placed)
        self._progress.advance(count)
        return hasher, count

    def _stream(self, placed: PlacedMember, hasher: _Hash, position: int, report: bool) -> None:
        descriptor, buffer, noted = placed.descriptor, self._buffer(), position
        where = f"{placed.repository}: blob {descriptor.digest}"
        reader = VerifiedReader(self._open(placed, position), descriptor, where, hasher=hasher, offset=position)
        with contextlib.closing(reader):
            while count := reader.readinto(buffer):
                for volume, offset, start, length in self._cut(placed, position, count):
                    self._put(volume, buffer[start : start + length], offset)
                    if report:
                        self._digester.wrote(volume, offset, length)
                position += count
                self._progress.advance(count)
                if position - noted >= _NOTE_EVERY:
                    self._journal.note(descriptor.digest, position)
                    noted = position

    def _put(self, volume: int, content: memoryview | bytes, offset: int) -> None:
        content = self._key.apply(volume, offset, content) if self._key else content
        fsio.write_at(self._files[volume - 1], content, offset)

    def _open(self, placed: PlacedMember, position: int) -> Reader:
        """Open a blob where it is: in the lock, created here, or at its source."""
        descriptor = placed.descriptor
        if (content := self._contents.get(descriptor.digest)) is not None:
            return BytesReader(content, position)
        if (path := self._paths.get(descriptor.digest)) is not None:
            return fsio.FileReader(fsio.open_regular(path), position, descriptor.size - position, str(path))
        return self._source.open(placed.repository, descriptor, position)

    def _report(self, placed: PlacedMember) -> None:
        for extent in placed.extents:
            self._digester.wrote(extent.volume, extent.offset, extent.length)

    def _cut(self, placed: PlacedMember, position: int, count: int) -> Iterator[tuple[int, int, int, int]]:
        """Where ``count`` bytes of a blob from ``position`` on lie: (volume, file offset, offset in the stretch, length)."""
        base = 0
        for extent in placed.extents:
            start, end = max(position, base), min(position + count, base + extent.length)
            if start < end:
                yield extent.volume, extent.offset + start - base, start - position, end - start
            base += extent.length

    def _buffer(self) -> memoryview:
        if not hasattr(self._buffers, "view"):
            self._buffers.view = memoryview(bytearray(CHUNK))
        view: memoryview = self._buffers.view
        return view
