"""Answer a resend request with a supplement: only the blocks that a site needs again, each proved by the signed catalog."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from airgap import fsio
from airgap.bundle.supplement import Supplement, check_txt
from airgap.documents.request import ResendRequest, block_length, files_of
from airgap.errors import AirgapError, Damaged, NotFound, RegistryError, UsageError
from airgap.format import frame, names
from airgap.format.catalog import Catalog
from airgap.format.frame import Step
from airgap.format.names import BLOCK_SIZE
from airgap.format.outer import Sealed, Unverified
from airgap.format.outline import Outline
from airgap.limits import MAX_SUPPLEMENT
from airgap.oci.digest import Digest
from airgap.oci.stores import Reader, Source
from airgap.oci.verify import CHUNK, BytesReader
from airgap.planning.lock import Lock, placed_blobs
from airgap.progress import Progress
from airgap.text import listing, printable

#: A block of a file of the bundle: its name and the number of the block, from 0.
Block = tuple[str, int]


@dataclass(frozen=True)
class KnownBundle:
    """What the connected side knows of a bundle: its catalog, the exact bytes of it, and its signature files by name."""

    catalog: Catalog | Sealed
    raw: bytes
    signatures: Mapping[str, bytes]

    @classmethod
    def read(cls, raw: bytes, signatures: Mapping[str, bytes]) -> KnownBundle:
        """Parse the bytes. Raises ``Damaged``."""
        return cls(Unverified.read(raw).claims, raw, signatures)


class Blocks(Protocol):
    """A place that can give blocks of a bundle."""

    def read(self, wanted: list[Block]) -> Iterator[tuple[Block, memoryview]]:
        """The blocks in the requested order; each is valid until the next one."""

    def blame(self, block: Block) -> AirgapError:
        """The error for a wrong block."""


@dataclass(frozen=True)
class Resent:
    """A supplement: its directory, bytes and blocks, and whether it was created now."""

    path: Path
    size: int
    blocks: int
    fresh: bool


def answer(
    request: ResendRequest, known: KnownBundle, places: list[tuple[Blocks, list[str]]], out: Path, progress: Progress
) -> Resent:
    """Create the supplement, or resume an unfinished one.

    Args:
        request: the request.
        known: the bundle.
        places: where blocks come from, each with the files whose blocks it gives.
        out: the directory to create the supplement's directory in.
        progress: told about every byte.

    Raises:
        UsageError: the request is for another bundle, or for content that this one does not have.
        Damaged, RegistryError: a block is not available, or does not match the catalog.
        MediaError: the disk fails or is full.
    """
    check(request, known)
    supplement = Supplement.answering(request, known.catalog)
    final = out / names.supplement_name(request.bundle, request.id)
    count, size = sum(1 for _ in request.blocks()), request.size(known.catalog)
    if final.exists():
        return _already_there(final, supplement, Resent(final, size, count, False))
    partial = final.with_name(final.name + names.PARTIAL)
    _check_room(partial, size)
    fsio.make_directory(partial, fsio.UNCHANGEABLE)
    busy = UsageError("another command is writing this supplement", where=printable(str(partial)), hint="wait for it")
    with fsio.exclusive_directory(partial, busy):
        if final.exists():  # another one has finished it since we looked
            fsio.remove_if_empty(partial)
            return _already_there(final, supplement, Resent(final, size, count, False))
        with _Writer(partial, supplement, known.catalog) as writer:
            writer.write(places, progress)
            sums = writer.sums()
        _seal(partial, supplement, known, sums)
        fsio.rename_durable(partial, final)
    return Resent(final, size, count, True)


def check(request: ResendRequest, known: KnownBundle) -> None:
    """Check that a request is for this bundle. Raises ``UsageError``."""
    digest = Digest.of(known.raw)
    if request.catalog != digest:
        raise UsageError(
            "the resend request is for another bundle",
            where=known.catalog.name,
            expected=f"a request for {known.catalog.name}, catalog {digest}",
            got=f"one for {request.bundle}, catalog {request.catalog}",
            hint="name the bundle that the request is for, or omit it",
        )
    request.check(known.catalog)


class _Writer:
    """Writes blocks to their places in the files of the supplement; correct blocks of an earlier run stay."""

    def __init__(self, directory: Path, supplement: Supplement, catalog: Outline) -> None:
        self._directory = directory
        self._known = files_of(catalog)
        self._places = {(name, number): (file, at) for name, number, file, at, _ in supplement.places(catalog)}
        self._files: dict[str, int] = {}

    def __enter__(self) -> _Writer:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with fsio.disk_errors("cannot create a file of the supplement", self._directory):
                for file in dict.fromkeys(file for file, _ in self._places.values()):
                    self._files[file] = os.open(self._directory / file, flags, 0o644)
                    fsio.from_disk(self._files[file])  # what an earlier run left counts as the disk has it
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for fd in self._files.values():
            fsio.release(fd)

    def write(self, places: list[tuple[Blocks, list[str]]], progress: Progress) -> None:
        total = sum(block_length(self._known[name], number) for name, number in self._places)
        progress.stage("resending", total)
        for blocks, files in places:
            wanted = []
            for block in (block for block in self._places if block[0] in files):
                if self._is_there(block):
                    progress.advance(self._length(block))
                else:
                    wanted.append(block)
            for block, content in blocks.read(wanted):
                if not self._is_right(block, content):
                    raise blocks.blame(block)
                file, at = self._places[block]
                with fsio.disk_errors("cannot write the supplement", self._directory):
                    fsio.write_at(self._files[file], content, at)
                progress.advance(len(content))

    def sums(self) -> str:
        """The lines of ``SHA256SUMS`` for the files, computed from the flushed files on disk."""
        lines, buffer = [], memoryview(bytearray(CHUNK))
        with fsio.disk_errors("cannot write the supplement", self._directory):
            for file, fd in self._files.items():
                end = max(at + self._length(block) for block, (name, at) in self._places.items() if name == file)
                os.ftruncate(fd, end)
                hasher, at = hashlib.sha256(), 0
                while count := fsio.read_at(fd, buffer, at):
                    hasher.update(buffer[:count])
                    at += count
                os.fsync(fd)
                lines.append(f"{hasher.hexdigest()}  {file}\n")
        return "".join(lines)

    def _is_there(self, block: Block) -> bool:
        file, at = self._places[block]
        buffer = memoryview(bytearray(self._length(block)))
        with fsio.disk_errors("cannot read the unfinished supplement", self._directory):
            return fsio.read_at(self._files[file], buffer, at) == len(buffer) and self._is_right(block, buffer)

    def _is_right(self, block: Block, content: memoryview) -> bool:
        name, number = block
        return hashlib.sha256(content).hexdigest() == self._known[name].blocks[number]

    def _length(self, block: Block) -> int:
        return block_length(self._known[block[0]], block[1])


class OriginalBlocks:
    """Blocks read from the files of a bundle.

    Args:
        catalog: its catalog.
        files: the available files, by name.
    """

    def __init__(self, catalog: Outline, files: Mapping[str, Path]) -> None:
        self._known = files_of(catalog)
        self._files = files

    def read(self, wanted: list[Block]) -> Iterator[tuple[Block, memoryview]]:
        """As ``Blocks.read``."""
        buffer = memoryview(bytearray(names.BLOCK_SIZE))
        for name, number in wanted:
            path, content = self._files[name], buffer[: block_length(self._known[name], number)]
            with fsio.opened(path) as fd, fsio.disk_errors("cannot read", path):
                count = fsio.read_at(fd, content, number * names.BLOCK_SIZE)
            yield (name, number), content[:count]

    def blame(self, block: Block) -> AirgapError:
        """As ``Blocks.blame``."""
        return Damaged(
            f"block {block[1]} of {block[0]} is damaged here, too",
            where=printable(str(self._files[block[0]])),
            expected="the block digest in the signed catalog",
            hint="name another copy of the bundle, or only its catalog.json to fetch the block from the registries again",
        )


def _check_room(partial: Path, size: int) -> None:
    """The small files and what an earlier run left are not reckoned with: a supplement is small, or a medium."""
    if not partial.is_dir():
        fsio.require_free(partial.parent, size, "the supplement does not fit", "free some space or choose another --out")


def _seal(partial: Path, supplement: Supplement, known: KnownBundle, sums: str) -> None:
    """Write all that is small; only the rename is missing then."""
    raw = supplement.to_bytes()
    documents = {**known.signatures, names.CATALOG: known.raw, names.SUPPLEMENT: raw}
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in sorted(documents.items())]
    documents[names.SUMS] = ("".join(lines) + sums).encode()
    documents[names.CHECK] = check_txt(supplement, known.catalog)
    for name, content in documents.items():
        fsio.write_durable(partial / name, content)


def _already_there(final: Path, supplement: Supplement, done: Resent) -> Resent:
    if fsio.read_if_there(final / names.SUPPLEMENT, MAX_SUPPLEMENT) == supplement.to_bytes():
        fsio.flush_names(final.parent)
        return done
    raise UsageError(
        "the supplement's name is in use", where=printable(str(final)), hint="move that file away, or choose another --out"
    )


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
        why = "it is a patch, which every export creates again" if digest in patches else "no source is known to have it"
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
