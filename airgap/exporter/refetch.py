"""Recreate blocks of a bundle that is gone: the tar frame follows from the catalog, and the blobs are still at their source."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from airgap.errors import AirgapError, NotFound, RegistryError
from airgap.exporter.resend import Block
from airgap.format import frame, names
from airgap.format.catalog import Catalog
from airgap.format.frame import Step
from airgap.format.names import BLOCK_SIZE
from airgap.oci.digest import Digest
from airgap.oci.stores import Reader, Source
from airgap.oci.verify import BytesReader
from airgap.planning.lock import Lock, placed_blobs
from airgap.text import listing


class SourceBlocks:
    """Blocks of volumes, whose blobs are fetched again, only as much of each as is needed. A context manager.

    Args:
        catalog: the bundle's catalog.
        lock: what was exported, or at least the part that is in the blocks.
        source: the source of the blobs.
    """

    def __init__(self, catalog: Catalog, lock: Lock, source: Source) -> None:
        self._catalog = catalog
        self._source = source
        self._contents = lock.contents
        self._placed = {descriptor.digest: (repository, descriptor) for repository, _, descriptor, _ in placed_blobs(lock)}
        self._digests = {names.blob_path(digest): digest for digest in catalog.blobs}
        self._open: tuple[Digest, int, Reader] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._drop()

    def read(self, wanted: list[Block]) -> Iterator[tuple[Block, memoryview]]:
        """As ``Blocks.read``, but in media order.

        Raises:
            RegistryError: a blob cannot be fetched.
        """
        chosen, buffer = set(wanted), memoryview(bytearray(BLOCK_SIZE))
        for step, position in self._steps() if chosen else ():
            name = names.volume_name(step.extent.volume)
            size = self._catalog.volumes[step.extent.volume - 1].size
            begin, end = step.extent.offset, step.extent.offset + step.extent.length
            for number in range(begin // BLOCK_SIZE, -(-end // BLOCK_SIZE)):
                if (name, number) not in chosen:
                    continue
                base, limit = number * BLOCK_SIZE, min((number + 1) * BLOCK_SIZE, size)
                start, stop = max(begin, base), min(end, limit)
                self._fill(buffer[start - base : stop - base], step, start - begin, position)
                if stop == limit:
                    yield (name, number), buffer[: limit - base]

    def blame(self, block: Block) -> AirgapError:
        """As ``Blocks.blame``."""
        name, number = block
        begin, end = number * BLOCK_SIZE, (number + 1) * BLOCK_SIZE
        inside = [
            str(digest)
            for digest, blob in self._catalog.blobs.items()
            for one in blob.extents
            if names.volume_name(one.volume) == name and one.offset < end and one.offset + one.length > begin
        ]
        return RegistryError(
            f"block {number} of {name} cannot be recreated: something in it has changed",
            where=self._catalog.name,
            expected="the block digest in the signed catalog",
            got=f"blobs in the block: {listing(inside, 8)}",
            hint="name a copy of the bundle instead, if there is one: a registry's copy is damaged",
        )

    def _steps(self) -> Iterator[tuple[Step, int]]:
        """The walk, with how many bytes of a member's blob came before each step."""
        member, position = "", 0
        for step in frame.walk(self._catalog.members(), self._catalog.volume_size):
            if step.member.name != member:
                member, position = step.member.name, 0
            yield step, position
            position += step.extent.length if step.content is None else 0

    def _fill(self, target: memoryview, step: Step, skip: int, position: int) -> None:
        if step.content is not None:
            target[:] = step.content[skip : skip + len(target)]
            return
        digest, at, done = self._digests[step.member.name], position + skip, 0
        reader = self._reader(digest, at) if len(target) else BytesReader(b"")
        while done < len(target):
            count = reader.readinto(target[done:])
            if not count:
                raise RegistryError(f"blob {digest} is truncated", where=self._catalog.name, got=f"{at + done} bytes")
            done += count
        self._open = (digest, at + done, reader) if done else self._open

    def _reader(self, digest: Digest, position: int) -> Reader:
        """A blob from a position on: the open one, if it continues exactly there."""
        if self._open is not None and self._open[:2] == (digest, position):
            return self._open[2]
        self._drop()
        reader = self._opener(digest)(position)
        self._open = digest, position, reader
        return reader

    def _opener(self, digest: Digest) -> Callable[[int], Reader]:
        if (content := self._contents.get(digest)) is not None:
            return lambda position: BytesReader(content, position)
        if digest in self._placed:
            repository, descriptor = self._placed[digest]
            return lambda position: self._source.open(repository, descriptor, position)
        patches = {blob.patch.blob for blob in self._catalog.blobs.values() if blob.patch}
        why = "it is a patch, which every export creates anew" if digest in patches else "no source is known to have it"
        raise NotFound(
            f"blob {digest} cannot be fetched again: {why}",
            where=self._catalog.name,
            hint="name the bundle or a copy of it: airgap export --resend REQUEST BUNDLE",
        )

    def _drop(self) -> None:
        if self._open is not None:
            with contextlib.suppress(AirgapError):
                self._open[2].close()
            self._open = None
