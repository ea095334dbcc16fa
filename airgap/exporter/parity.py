"""Compute the parity files of a filled bundle from the volumes on disk: row by row, on all cores, in pieces."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from airgap import fsio
from airgap.errors import Damaged, Interrupted
from airgap.exporter.digests import Digester
from airgap.format import names
from airgap.format.entries import Volume
from airgap.format.names import BLOCK_SIZE
from airgap.format.parity import Code, block_length, piece_size, read_ahead, read_padded
from airgap.progress import Progress
from airgap.text import printable
from airgap.work import Pool, cores


def write_parity(directory: Path, volumes: Sequence[Volume], count: int, progress: Progress) -> tuple[Volume, ...]:
    """Write ``count`` parity files beside the volumes. After a crash they are rewritten: the same volumes give the same bytes.

    Args:
        directory: the partial bundle, whose volumes are complete and on the disk.
        volumes: their entries in the catalog.
        count: the number of parity files, possibly 0.
        progress: told about every byte read.

    Raises:
        MediaError: the disk cannot write or read the bytes.
    """
    if not count:
        return ()
    progress.stage("computing parity", sum(volume.size for volume in volumes))
    size = max(volume.size for volume in volumes)
    with fsio.disk_errors("cannot write the parity files", directory), _opened(directory, volumes, count) as (sources, targets):
        for fd in targets:
            os.ftruncate(fd, min(size, os.fstat(fd).st_size))
        digester = Digester(targets, [size] * count)
        digester.start()
        try:
            _Encoding(sources, targets, volumes, digester, progress).run()
            progress.stage("flushing to the disk", 0)
            digester.finish()
        except (KeyboardInterrupt, Interrupted):
            raise
        except BaseException:
            digester.stop()
            raise
    entries = zip(digester.volumes, digester.blocks, strict=True)
    return tuple(Volume(names.parity_name(i), size, sha256, tuple(blocks)) for i, (sha256, blocks) in enumerate(entries, 1))


@contextmanager
def _opened(directory: Path, volumes: Sequence[Volume], count: int) -> Iterator[tuple[list[int], list[int]]]:
    """Descriptors of the volumes, to read, and of the parity files, to write."""
    opened: list[int] = []
    try:
        for volume in volumes:
            opened.append(fsio.open_regular(directory / volume.name))
        for number in range(1, count + 1):
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            opened.append(os.open(directory / names.parity_name(number), flags, 0o644))
        yield opened[: len(volumes)], opened[len(volumes) :]
    except (KeyboardInterrupt, Interrupted):
        opened.clear()  # threads may still be in a read: the process is about to end
        raise
    finally:
        for fd in opened:
            fsio.release(fd)


class _Encoding:
    def __init__(
        self, sources: Sequence[int], targets: Sequence[int], volumes: Sequence[Volume], digester: Digester, progress: Progress
    ) -> None:
        self._sources = sources
        self._targets = targets
        self._volumes = volumes
        self._size = max(volume.size for volume in volumes)
        self._digester = digester
        self._progress = progress
        self._code = Code(len(volumes), len(targets))
        self._piece = piece_size(len(volumes) + len(targets))
        self._buffers = threading.local()

    def run(self) -> None:
        """Compute all rows; the first failure stops the others and is raised."""
        with Pool(cores(), "parity") as pool:
            self._progress = pool.watched(self._progress)
            pool.each(self._row, range(-(-self._size // BLOCK_SIZE)))

    def _row(self, row: int) -> None:
        buffers = self._pieces()
        first = row * BLOCK_SIZE
        at, end = first, first + block_length(self._size, row)
        ahead = at
        while at < end:
            if at >= ahead:
                ahead += read_ahead([(fd, at) for fd in self._sources], end - at)
            data = [buffer[: min(len(buffer), end - at)] for buffer in buffers]
            read = sum(
                self._read(fd, volume, part, at) for fd, volume, part in zip(self._sources, self._volumes, data, strict=True)
            )
            made = self._code.encode(data, range(len(data), len(data) + len(self._targets)))
            for number, part in enumerate(made, 1):
                fsio.write_at(self._targets[number - 1], part, at)
                self._digester.wrote(number, at, len(part))
            at += len(data[0])
            self._progress.advance(read)

    def _read(self, fd: int, volume: Volume, part: memoryview, at: int) -> int:
        count = read_padded(fd, volume.size, part, at)
        if count < min(len(part), volume.size - at):
            raise Damaged(
                "a volume became shorter during the export", where=printable(volume.name), hint="run the same command again"
            )
        return count

    def _pieces(self) -> list[memoryview]:
        if not hasattr(self._buffers, "pieces"):
            self._buffers.pieces = [memoryview(bytearray(self._piece)) for _ in self._sources]
        pieces: list[memoryview] = self._buffers.pieces
        return pieces
