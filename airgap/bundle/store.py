"""A bundle as a ``Source`` and ``Browsable``: blobs read from their extents, straight off the media."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from airgap import fsio
from airgap.bundle import names
from airgap.bundle.catalog import Catalog
from airgap.bundle.frame import Extent
from airgap.errors import Damaged, NotFound
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.image import REFERRERS_TAG
from airgap.oci.manifest import MAX_MANIFEST, Manifest, sniff_media_type
from airgap.oci.reference import Repository
from airgap.oci.stores import Named, Reader, Referrers
from airgap.oci.verify import VerifiedReader, read_all


class BundleStore:
    """Reads the content of one bundle whose catalog has been verified.

    Args:
        catalog: the catalog.
        volumes: the file of every volume, by number (``Media.locate``).
    """

    def __init__(self, catalog: Catalog, volumes: Mapping[int, Path]) -> None:
        self.catalog = catalog
        self._volumes = volumes
        self._names = {(n.path, n.tag or n.descriptor.digest): n.descriptor for n in self.names()}
        self._kinds = {n.descriptor.digest: n.descriptor.media_type for n in self.names()}

    def manifest(self, repository: Repository, selector: str) -> Manifest:
        """As ``Source.manifest``."""
        named = self._names.get((str(repository), selector))
        if named is None and ":" not in selector:
            raise NotFound("not in the bundle", where=self.catalog.name, got=f"{repository}:{selector}")
        return self.find_manifest(named.digest if named else Digest.parse(selector))

    def referrers(self, repository: Repository, subject: Digest) -> Referrers:
        """As ``Source.referrers``, from the catalog."""
        found = [
            attachment
            for image in self.catalog.images
            if image.reference.repository == repository
            for attachment in image.attachments
            if attachment.subject == subject
        ]
        lists = [a.descriptor for a in found if a.kind == REFERRERS_TAG]
        others = {a.descriptor.digest: a.descriptor for a in found if a.kind == "referrer"}
        return Referrers(tuple(others.values()), self.find_manifest(lists[0].digest) if lists else None)

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
        size = self.find_blob(digest)
        if size is None or size > MAX_MANIFEST:
            raise NotFound("no such manifest in the bundle", where=self.catalog.name, got=str(digest))
        where = f"{self.catalog.name}: manifest {digest}"
        reader = VerifiedReader(self.open_blob(digest), Descriptor("", digest, size), self.place(digest))
        raw = read_all(reader, size, where)
        return Manifest.parse(raw, self._kinds.get(digest) or sniff_media_type(raw, where), where, digest.algorithm)

    def find_blob(self, digest: Digest) -> int | None:
        """As ``Browsable.find_blob``."""
        blob = self.catalog.blobs.get(digest)
        return None if blob is None or blob.held else blob.size

    def open_blob(self, digest: Digest, offset: int = 0) -> Reader:
        """As ``Browsable.open_blob``."""
        blob = self.catalog.blobs.get(digest)
        if blob is None or blob.held:
            raise NotFound("no such blob in the bundle", where=self.catalog.name, got=str(digest))
        return _ExtentReader(self._volumes, blob.extents, offset)

    def place(self, digest: Digest) -> str:
        """Where a blob lies, for people: ``volume-0002.tar at byte 512``."""
        blob = self.catalog.blobs[digest]
        volumes = (self._volumes.get(e.volume, names.volume_name(e.volume)) for e in blob.extents[:3])
        return (
            ", ".join(f"{volume} at byte {e.offset}" for volume, e in zip(volumes, blob.extents, strict=False)) or self.catalog.name
        )


class _ExtentReader:
    def __init__(self, volumes: Mapping[int, Path], extents: tuple[Extent, ...], skip: int) -> None:
        self._volumes = volumes
        self._extents = list(reversed(extents))
        self._current: fsio.FileReader | None = None
        self._skip = skip

    def readinto(self, buffer: memoryview, /) -> int:
        while True:
            self._current = self._current or self._next()
            if self._current is None:
                return 0
            if count := self._current.readinto(buffer):
                return count
            self.close()

    def _next(self) -> fsio.FileReader | None:
        while self._extents:
            extent = self._extents.pop()
            skipped = min(self._skip, extent.length)
            self._skip -= skipped
            if skipped < extent.length:
                path = self._volumes.get(extent.volume)
                if path is None:
                    raise Damaged(
                        "a volume is missing", where=names.volume_name(extent.volume), hint="bring the medium that has this volume"
                    )
                fd = fsio.open_regular(path)
                return fsio.FileReader(fd, extent.offset + skipped, extent.length - skipped, str(path))
        return None

    def close(self) -> None:
        if self._current is not None:
            self._current.close()
            self._current = None
