"""A bundle as a ``Source`` and ``Browsable``: blobs read from their extents, straight off the media, or made by their patches."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from airgap.bundle.volumes import Volumes
from airgap.errors import Damaged, Lacking
from airgap.format.catalog import Catalog, Patch
from airgap.limits import MAX_MANIFEST
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.image import REFERRERS_TAG, Attachment
from airgap.oci.manifest import Manifest, sniff_media_type
from airgap.oci.reference import Repository
from airgap.oci.stores import Named, Reader, Referrers
from airgap.oci.verify import CHUNK, VerifiedReader, read_all, skipped
from airgap.patch.codec import rebuild

#: Manifests that are kept, and bytes of them: about 20 MB of memory.
_MOST_KEPT, _MOST_BYTES = 4096, 8 * 1024 * 1024


class Kept:
    """The manifests that one verification has read: what is walked, judged and loaded is read and parsed once, and is the same.

    The first ones are kept, as many as there is room for; a bundle with more is read again for the rest. Thread-safe.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[Digest, Manifest] = {}
        self._bytes = 0

    def find(self, digest: Digest, read: Callable[[], Manifest]) -> Manifest:
        """A manifest, and what ``read`` raises."""
        found = self._found.get(digest)
        if found is None:
            found = read()
            with self._lock:
                if len(self._found) < _MOST_KEPT and self._bytes + len(found.raw) <= _MOST_BYTES and digest not in self._found:
                    self._found[digest] = found
                    self._bytes += len(found.raw)
        return found


class BundleStore:
    """Reads the content of one bundle whose catalog has been verified.

    Args:
        catalog: the catalog.
        volumes: the volumes at hand (``Media.locate``), or the file of every one by number.
        outside: opens a blob that the site holds; None where nobody knows where.
        kept: keeps manifests; without it every one is read each time, as who goes on for days wants it.
    """

    def __init__(
        self,
        catalog: Catalog,
        volumes: Mapping[int, Path],
        outside: Callable[[Digest], Reader] | None = None,
        kept: Kept | None = None,
    ) -> None:
        self.catalog = catalog
        self.kept = kept
        self._outside = outside
        self.volumes = volumes if isinstance(volumes, Volumes) else Volumes(volumes, pieces=catalog.pieces)
        self._names = {(n.path, n.tag or n.descriptor.digest): n.descriptor for n in self.names()}
        self._kinds = {n.descriptor.digest: n.descriptor.media_type for n in self.names()}

    @cached_property
    def _attached(self) -> dict[tuple[Repository, Digest], list[Attachment]]:
        """What hangs off each manifest."""
        found: dict[tuple[Repository, Digest], list[Attachment]] = {}
        for image in self.catalog.images:
            for attachment in image.attachments:
                found.setdefault((image.reference.repository, attachment.subject), []).append(attachment)
        return found

    def manifest(self, repository: Repository, selector: str) -> Manifest:
        """As ``Source.manifest``."""
        named = self._names.get((str(repository), selector))
        if named is None and ":" not in selector:
            raise Lacking("not in the bundle", where=self.catalog.name, got=f"{repository}:{selector}")
        return self.find_manifest(named.digest if named else Digest.parse(selector))

    def referrers(self, repository: Repository, subject: Digest) -> Referrers:
        """As ``Source.referrers``, from the catalog."""
        found = self._attached.get((repository, subject), [])
        lists = [a.descriptor for a in found if a.kind == REFERRERS_TAG]
        others = {a.descriptor.digest: a.descriptor for a in found if a.kind == "referrer"}
        return Referrers(tuple(others.values()), (self.find_manifest(lists[0].digest),) if lists else ())

    def has(self, repository: Repository, descriptor: Descriptor) -> bool:  # noqa: ARG002 - one content store for all
        """As ``Source.has``."""
        return self.find_blob(descriptor.digest) == descriptor.size

    def open(self, repository: Repository, descriptor: Descriptor, offset: int = 0) -> Reader:  # noqa: ARG002
        """As ``Source.open``."""
        return self.open_blob(descriptor.digest, offset)

    def names(self) -> Iterator[Named]:
        """As ``Browsable.names``."""
        for image in self.catalog.images:
            repository = str(image.reference.repository)
            yield Named(repository, image.reference.tag, image.root)
            for attachment in image.attachments:
                yield Named(repository, attachment.tag, attachment.descriptor)

    def find_manifest(self, digest: Digest) -> Manifest:
        """As ``Browsable.find_manifest``: read, hashed, parsed. Raises ``NotFound`` or ``Damaged``."""
        return self._read_manifest(digest) if self.kept is None else self.kept.find(digest, lambda: self._read_manifest(digest))

    def _read_manifest(self, digest: Digest) -> Manifest:
        size = self.find_blob(digest)
        if size is None:
            raise Lacking("no such manifest in the bundle", where=self.catalog.name, got=str(digest))
        where = f"{self.catalog.name}: manifest {digest}"
        if size > MAX_MANIFEST:
            raise Damaged("the manifest is too large", where=where, expected=f"at most {MAX_MANIFEST} bytes", got=f"{size} bytes")
        reader = VerifiedReader(self.open_blob(digest), Descriptor("", digest, size), self.place(digest))
        raw = read_all(reader, size, where)
        return Manifest.parse(raw, self._kinds.get(digest) or sniff_media_type(raw, where), where, digest.algorithm)

    def find_blob(self, digest: Digest) -> int | None:
        """As ``Browsable.find_blob``. A blob that is made by a patch is there when what it is made from is."""
        blob = self.catalog.blobs.get(digest)
        if blob is None or (blob.held and self._outside is None):
            return None
        base = blob.patch.base if blob.patch else None
        return blob.size if base is None or self.find_blob(base) is not None else None

    def open_blob(self, digest: Digest, offset: int = 0) -> Reader:
        """As ``Browsable.open_blob``. One that is made by a patch is rebuilt from its start up to ``offset``."""
        blob = self.catalog.blobs.get(digest)
        if blob is None:
            raise Lacking("no such blob in the bundle", where=self.catalog.name, got=str(digest))
        if blob.held:
            return skipped(self._open_held(digest), offset)
        if blob.patch is not None:
            return skipped(self._rebuilt(digest, blob.patch), offset)
        return self.volumes.open(blob.extents, offset)

    def _rebuilt(self, digest: Digest, patch: Patch) -> Reader:
        where = f"{self.place(digest)}: blob {digest}"
        openers = [lambda: VerifiedReader(self.open_blob(patch.blob), self._descriptor(patch.blob), self.place(patch.blob))]
        if (base := patch.base) is not None:
            openers.append(lambda: self._base(base))
        made = rebuild(openers[0](), openers[1] if base else None, patch.codec, where)
        return _MadeReader(VerifiedReader(made, self._descriptor(digest), where), openers)

    def _open_held(self, digest: Digest) -> Reader:
        if self._outside is None:
            raise Damaged("the bundle does not carry a blob that is needed", where=self.catalog.name, got=str(digest))
        return self._outside(digest)

    def _base(self, digest: Digest) -> VerifiedReader:
        held = self.catalog.blobs[digest].held
        where = f"{'the base at the site' if held else self.place(digest)}: blob {digest}"
        return VerifiedReader(self.open_blob(digest), self._descriptor(digest), where)

    def _descriptor(self, digest: Digest) -> Descriptor:
        return Descriptor("", digest, self.catalog.blobs[digest].size)

    def place(self, digest: Digest) -> str:
        """Where a blob lies, for people: ``volume-0002.tar at byte 512``."""
        blob = self.catalog.blobs[digest]
        if blob.patch is not None:
            return f"patch in {self.place(blob.patch.blob)}"
        return self.volumes.place(blob.extents[:3]) or self.catalog.name


class _MadeReader:
    """A blob that is made by a patch. When that fails, its parts are read to their ends: the error should name the one to blame."""

    def __init__(self, reader: Reader, parts: Sequence[Callable[[], Reader]]) -> None:
        self._reader = reader
        self._parts = parts

    def readinto(self, buffer: memoryview, /) -> int:
        try:
            return self._reader.readinto(buffer)
        except Damaged:
            scratch = memoryview(bytearray(CHUNK))
            for opener in self._parts:
                with contextlib.closing(opener()) as part:
                    while part.readinto(scratch):
                        pass
            raise

    def close(self) -> None:
        self._reader.close()
