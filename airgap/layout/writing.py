"""Adding to an OCI image layout directory.

Order on disk, true at any instant: a blob has its final name only when it is whole and flushed; index.json names only what
is stored; all names of one run appear in one replacement of index.json. So what has a name was flushed; whether the name itself was
is not known of an earlier run, and commit flushes all directories.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from airgap import fsio
from airgap.errors import Damaged, MediaError, UsageError
from airgap.layout.index import Index, name_of
from airgap.layout.reading import BLOBS, INDEX, LAYOUT_VERSION, MARKER, LayoutReader
from airgap.limits import MAX_INDEX
from airgap.oci import strictjson
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.image import digest_tag, may_list_referrers
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Reference, Repository
from airgap.oci.stores import Reader, Referring
from airgap.oci.verify import CHUNK

LOCK = ".airgap.lock"


class LayoutStore(LayoutReader):
    """A layout directory as a ``Source``, a ``Target`` and a ``Browsable``.

    Made where it is missing, at the first write. From then to ``commit`` or ``close`` this process alone may write to it.
    ``write``, ``put_manifest`` and ``has`` may be called from several threads.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._guard = threading.Lock()
        self._held: contextlib.ExitStack | None = None
        self._names: dict[str, Descriptor] = {}
        self._unnamed: dict[Digest, Descriptor] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the lock and forget the names that were not committed."""
        self._names.clear()
        self._unnamed.clear()
        with self._guard:
            if self._held is not None:
                self._held.close()
                self._held = None

    def prepare(self) -> None:
        """Make the layout where it is missing and lock it; every writing method does this by itself.

        Raises:
            UsageError: the path is taken by something that is not a layout.
            MediaError: another process is writing to it, or the disk refuses.
        """
        with self._guard:
            if self._held is None:
                self._exists()
                fsio.make_directory(self.path)
                with contextlib.ExitStack() as stack:
                    stack.enter_context(fsio.exclusive(self.path / LOCK, self._busy()))
                    self._create()
                    self._sweep()
                    self._held = stack.pop_all()

    def rehearse(self) -> Path:
        """As ``Rehearsing.rehearse``. Raises ``UsageError`` when the path is taken by something that is not a layout."""
        self._exists()
        return self.path

    def blobs(self) -> Iterator[tuple[Digest, int]]:
        """Every blob in the directory with its size in bytes, whether or not a name leads to it; sorted. Nothing is hashed.

        Raises:
            Damaged: there is no layout, or not one that can be read.
        """
        self.index()
        directory = self.path / BLOBS
        with fsio.disk_errors("cannot read the directory", directory):
            names = [f"{below.name}:{entry.name}" for below in directory.iterdir() if below.is_dir() for entry in below.iterdir()]
        for name in sorted(names):
            try:
                digest = Digest.parse(name)
            except Damaged:  # what an interrupted run left, or nothing of ours
                continue
            size = self.find_blob(digest)
            if size is not None:
                yield digest, size

    # Target

    def mount(self, repository: Repository, descriptor: Descriptor, origin: Repository) -> bool:  # noqa: ARG002
        """As ``Target.mount``: a layout has one content store, so what is there is there for all."""
        return self.has(repository, descriptor)

    def write(self, repository: Repository, descriptor: Descriptor, opener: Callable[[], Reader]) -> None:  # noqa: ARG002
        """As ``Target.write``."""
        self.prepare()
        path = self._blob_path(descriptor.digest)
        reader = opener()
        try:
            with self._new_blob(path) as fd:
                _copy(reader, fd, path, descriptor.size)
        finally:
            reader.close()

    def has_manifest(self, repository: Repository, digest: Digest) -> bool:  # noqa: ARG002
        """As ``Target.has_manifest``. The bytes are hashed: without a size there is nothing else to trust."""
        if self.find_blob(digest) is None:
            return False
        try:
            self.find_manifest(digest)
        except Damaged:
            return False
        return True

    def put_manifest(self, repository: Repository, manifest: Manifest) -> None:
        """As ``Target.put_manifest``."""
        self._media_types[manifest.digest] = manifest.media_type
        if self.has_manifest(repository, manifest.digest):
            return
        self.prepare()
        path = self._blob_path(manifest.digest)
        with self._new_blob(path) as fd, fsio.disk_errors("cannot write", path):
            fsio.write_at(fd, manifest.raw, 0)

    def link_referrers(self, found: Referring) -> None:
        """As ``Target.link_referrers``: they go into index.json without a name; ``original`` goes under its tag, if it may."""
        repository, subject, referrers, original, tag_is_free = found
        for descriptor in referrers:
            self._require(descriptor)
            self._unnamed[descriptor.digest] = descriptor
        if original is not None and tag_is_free and self._may_list(repository, subject):
            self.put_manifest(repository, original)
            self.tag(repository.tagged(digest_tag(subject)), original)

    def _may_list(self, repository: Repository, subject: Digest) -> bool:
        """Whether nothing else is under the fallback tag: somebody may keep an image there."""
        reference = repository.tagged(digest_tag(subject))
        if self.resolve(reference) is None:
            return True
        there = self.manifest(repository, digest_tag(subject))
        return may_list_referrers(there, subject) and all(self._refers(child.digest, subject) for child in there.children)

    def _refers(self, digest: Digest, subject: Digest) -> bool:
        if self.find_blob(digest) is None:
            return True  # a list may name what is gone; an image without its children is of no use
        try:
            found = self.find_manifest(digest)
        except Damaged:
            return False
        return found.subject is not None and found.subject.digest == subject

    def resolve(self, reference: Reference) -> Digest | None:
        """As ``Target.resolve``; names not yet committed do not count."""
        if not self._exists() or not (self.path / INDEX).exists():
            return None
        found = self.index().find(reference)
        return None if found is None else found.digest

    def tag(self, reference: Reference, manifest: Manifest) -> None:
        """As ``Target.tag``; visible after ``commit``."""
        descriptor = Descriptor(manifest.media_type, manifest.digest, len(manifest.raw), artifact_type=manifest.artifact_type)
        self._require(descriptor)
        self._names[name_of(reference)] = descriptor

    def commit(self) -> None:
        """As ``Target.commit``: every name at once, in one durable replacement of index.json, which then is unlocked."""
        if self._names or self._unnamed:
            self.prepare()
            with fsio.disk_errors("cannot flush", self.path):
                for directory in sorted((self.path / BLOBS).iterdir()):
                    fsio.sync_directory(directory)
            index = self.index()
            raw = index.merged(self._names, self._unnamed.values())
            if len(raw) > MAX_INDEX:
                raise MediaError("the layout holds too many names", where=self._where, expected=f"at most {MAX_INDEX} bytes")
            if raw != strictjson.canonical(index.value):
                fsio.write_durable(self.path / INDEX, raw)
            else:
                fsio.flush_names(self.path)
        self.close()

    # inside

    def _exists(self) -> bool:
        """Whether there is a layout already. Raises ``UsageError`` when there is something else."""
        if fsio.is_there(self.path / MARKER):
            return True
        with fsio.disk_errors("cannot read the directory", self.path):
            if not fsio.is_there(self.path):
                return False
            foreign = not self.path.is_dir() or any(not _ours(child.name) for child in self.path.iterdir())
        if foreign:
            raise UsageError(
                "not an OCI image layout, and not empty",
                where=self._where,
                expected="a layout, an empty directory or a new path",
                hint="choose another directory for the store",
            )
        return False

    def _create(self) -> None:
        """The marker first: with it the directory is ours, and a run killed here can be resumed."""
        if not fsio.is_there(self.path / MARKER):
            fsio.write_durable(self.path / MARKER, strictjson.canonical({"imageLayoutVersion": LAYOUT_VERSION}))
        self._check_layout()
        fsio.make_directory(self.path / BLOBS / "sha256")
        if not fsio.is_there(self.path / INDEX):
            fsio.write_durable(self.path / INDEX, strictjson.canonical(Index.empty().value))

    def _sweep(self) -> None:
        with fsio.disk_errors("cannot look for leftovers of an interrupted run", self.path):
            for directory in (self.path, *(self.path / BLOBS).iterdir()):
                if directory.is_dir() and not directory.is_symlink():
                    fsio.sweep(directory)

    def _new_blob(self, path: Path) -> contextlib.AbstractContextManager[int]:
        if not path.parent.is_dir():
            fsio.make_directory(path.parent)
        return fsio.new_file(path, durable=False)

    def _require(self, descriptor: Descriptor) -> None:
        if self.find_blob(descriptor.digest) != descriptor.size:
            raise Damaged("the manifest to be named is not stored", where=self._where, expected=descriptor.digest)

    def _busy(self) -> MediaError:
        return MediaError(
            "another process is writing to this layout", where=self._where, hint="wait until it is done, then run the command again"
        )


def _ours(name: str) -> bool:
    return name == LOCK or fsio.is_temporary(name)


def _copy(reader: Reader, fd: int, path: Path, size: int) -> None:
    buffer = memoryview(bytearray(min(CHUNK, size + 1)))
    position = 0
    while count := reader.readinto(buffer):
        with fsio.disk_errors("cannot write", path):
            fsio.write_at(fd, buffer[:count], position)
        position += count
