"""Answer a resend request with a supplement: only the blocks that a site needs again, each proved by the signed catalog."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from airgap import fsio
from airgap.bundle.supplement import Supplement, check_txt
from airgap.documents.request import ResendRequest, block_length, files_of
from airgap.errors import AirgapError, Damaged, UsageError
from airgap.format import names
from airgap.format.catalog import Catalog
from airgap.format.outer import Sealed, Unverified
from airgap.format.outline import Outline
from airgap.limits import MAX_SUPPLEMENT
from airgap.oci.digest import Digest
from airgap.oci.verify import CHUNK
from airgap.progress import Progress
from airgap.text import printable

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
