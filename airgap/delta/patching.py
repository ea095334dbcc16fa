"""Create patches: try each one, prove it by rebuilding, and keep it only if it is clearly smaller than its layer.

Their sizes are not known in advance, so they are created in a scratch directory before the layout is fixed; layers that are carried
whole after all are fetched to their place later. Outcomes are kept, so that an interrupted run continues.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airgap import fsio
from airgap.delta.again import Again
from airgap.delta.candidates import PatchAttempt
from airgap.errors import AirgapError, Damaged, MediaError, RegistryError
from airgap.format.catalog import Patch
from airgap.oci import media, strictjson
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.reference import Repository
from airgap.oci.stores import Reader
from airgap.oci.verify import CHUNK, VerifiedReader, WatchedReader
from airgap.patch import codec
from airgap.patch.tokens import Unrepresentable
from airgap.patch.zstd import Effort
from airgap.planning.plan import Made
from airgap.progress import Progress
from airgap.work import Pool, cores

#: The directory in the unfinished bundle where patches lie until they are in their places.
SCRATCH = "patches"
#: A patch must be smaller than this part of what it makes; else the layer is carried whole, which costs the site less work.
_WORTH = 0.95
_MAX_NOTE = 4096

Open = Callable[[Repository, Descriptor], Reader]


@dataclass(frozen=True)
class PatchSources:
    """Where layers are read from: ``new`` and ``base`` open a blob of a repository; a base may come from a nearer place."""

    new: Open
    base: Open


def make_patches(
    attempts: Sequence[PatchAttempt], sources: PatchSources, scratch: Path, effort: Effort, progress: Progress, threads: int
) -> dict[Digest, Made]:
    """Try every patch.

    Args:
        attempts: the patches to try.
        sources: where layers are read from.
        scratch: the directory for patches; existing ones are reused.
        effort: the effort to make patches small.
        progress: told about every byte read of the new layers.
        threads: patches at a time, at most one per core.

    Returns:
        The patches worth having, by the digest of the layer they rebuild.

    Raises:
        RegistryError: a new layer cannot be read. A base that cannot be read only costs the patch.
        MediaError: the disk of the scratch directory fails.
    """
    if not attempts:
        return {}
    fsio.make_directory(scratch, fsio.UNCHANGEABLE)
    progress.stage("making patches", sum(attempt.new.size for attempt in attempts), len(attempts), "layer")
    largest_first = sorted(attempts, key=lambda attempt: -attempt.new.size)
    with Pool(min(threads, cores()), "patch") as pool:
        outcomes = pool.map(_Patcher(sources, scratch, effort, progress, pool).run, largest_first)
    made = {attempt.new.digest: one for attempt, one in zip(largest_first, outcomes, strict=True) if one}
    return dict(sorted(made.items()))


class _BaseUnavailable(AirgapError):
    """The base cannot be read, which says nothing about the new layer."""


class _Patcher:
    def __init__(self, sources: PatchSources, scratch: Path, effort: Effort, progress: Progress, pool: Pool) -> None:
        self._sources = sources
        self._scratch = scratch
        self._effort = effort
        self._progress = pool.watched(progress)
        self._check = pool.check

    def run(self, attempt: PatchAttempt) -> Made | None:
        known = self._recall(attempt)
        if known is not None:
            self._progress.advance(attempt.new.size)
            return known[0]
        made = self._try(attempt)
        self._note(attempt, made)
        return made

    def _try(self, attempt: PatchAttempt) -> Made | None:
        path = self._path(attempt)
        with contextlib.ExitStack() as stack:
            new, base = self._opener(stack, attempt, attempt.new, lambda: self._new(attempt)), None
            if attempt.base:
                base = self._base(stack, attempt, attempt.base)
            try:
                path.with_suffix(".json").unlink(missing_ok=True)  # of a run that was killed
                with fsio.new_file(path) as fd:
                    size, digest = self._write(attempt, new, base, fd)
                made = Made(Patch(attempt.codec, attempt.base.digest if attempt.base else None, digest), size, path)
                self._prove(attempt, made, base)
            except _NotWorthIt:
                return None
            except Unrepresentable as error:
                self._progress.say(f"carried whole: {attempt.new.digest.short}: {error.got}")
                return None
            except _BaseUnavailable as error:
                self._progress.say(f"carried whole: {attempt.new.digest.short}: its base cannot be read: {error.what}")
                return None
        return made

    def _write(self, attempt: PatchAttempt, new: codec.Opener, base: codec.Opener | None, fd: int) -> tuple[int, Digest]:
        limit, size = int(attempt.new.size * _WORTH), 0
        hasher = hashlib.sha256()
        for piece in codec.make(new, base, attempt.codec, self._effort):
            size += len(piece)
            if size > limit:
                raise _NotWorthIt
            hasher.update(piece)
            with fsio.disk_errors("cannot write", self._path(attempt)):
                fsio.write_at(fd, piece, size - len(piece))
        return size, Digest.sealed(hasher)

    def _prove(self, attempt: PatchAttempt, made: Made, base: codec.Opener | None) -> None:
        """Rebuild, as the importer will, and compare."""
        where = f"patch of {attempt.new.digest}"
        path = self._path(attempt)
        patch = fsio.FileReader(fsio.open_regular(path), 0, made.size, str(path))
        rebuilt = codec.rebuild(patch, base, attempt.codec, where)
        try:
            for _ in _chunks(VerifiedReader(rebuilt, attempt.new, where)):
                self._check()
        except Unrepresentable:
            raise
        except Damaged as error:
            self._progress.say(f"carried whole: {attempt.new.digest.short}: its patch does not rebuild it: {error.what}")
            raise _NotWorthIt from error

    def _opener(self, stack: contextlib.ExitStack, attempt: PatchAttempt, blob: Descriptor, opener: codec.Opener) -> codec.Opener:
        """Opens a blob as often as making and proving want it; until the stack ends, a large one is copied."""
        again = Again(opener, blob, self._scratch, f"{attempt.repository}: blob {blob.digest}")
        stack.callback(again.close)
        return lambda: WatchedReader(again.open(), lambda _: self._check())

    def _new(self, attempt: PatchAttempt) -> Reader:
        return WatchedReader(self._sources.new(attempt.repository, attempt.new), self._progress.advance)

    def _base(self, stack: contextlib.ExitStack, attempt: PatchAttempt, base: Descriptor) -> codec.Opener:
        origin = attempt.origin or attempt.repository
        opener = self._opener(stack, attempt, base, lambda: self._sources.base(origin, base))
        return lambda: _BaseReader(opener)

    def _path(self, attempt: PatchAttempt) -> Path:
        return self._scratch / f"{attempt.new.digest.hex}.patch"

    def _note(self, attempt: PatchAttempt, made: Made | None) -> None:
        facts: dict[str, Any] = {"base": attempt.base.digest if attempt.base else None}
        if made:
            facts |= {"patch": made.patch.blob, "size": made.size}
        else:
            self._path(attempt).unlink(missing_ok=True)
        fsio.write_durable(self._path(attempt).with_suffix(".json"), strictjson.canonical(facts))

    def _recall(self, attempt: PatchAttempt) -> tuple[Made | None] | None:
        """What an earlier run found out about the same attempt. Its patch is hashed: a note is a hint, never a proof."""
        path, base = self._path(attempt), attempt.base.digest if attempt.base else None
        with contextlib.suppress(Damaged):
            raw = fsio.read_if_there(path.with_suffix(".json"), _MAX_NOTE)
            facts = strictjson.parse_object(raw, str(path)) if raw else {"base": ""}
            if facts.get("base") != base:
                return None
            if "patch" not in facts:
                return (None,)
            digest, size = Digest.parse(facts["patch"]), strictjson.integer(facts.get("size"), str(path))
            file = fsio.FileReader(fsio.open_regular(path), 0, size + 1, str(path))
            for _ in _chunks(VerifiedReader(file, Descriptor(media.OCTETS, digest, size), str(path))):
                self._check()
            return (Made(Patch(attempt.codec, base, digest), size, path),)
        return None


class _NotWorthIt(Exception):
    """The patch is not clearly smaller."""


class _BaseReader:
    """The reader of a base: its errors concern the base, not the new layer."""

    def __init__(self, opener: codec.Opener) -> None:
        with _base_errors():
            self._reader = opener()

    def readinto(self, buffer: memoryview, /) -> int:
        with _base_errors():
            return self._reader.readinto(buffer)

    def close(self) -> None:
        self._reader.close()


@contextlib.contextmanager
def _base_errors() -> Iterator[None]:
    try:
        yield
    except (RegistryError, Damaged, MediaError) as error:
        raise _BaseUnavailable(error.what, where=error.where) from error


def _chunks(reader: Reader) -> Iterator[int]:
    """Read to the end and close."""
    buffer = memoryview(bytearray(CHUNK))
    with contextlib.closing(reader):
        while count := reader.readinto(buffer):
            yield count
