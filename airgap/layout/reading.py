"""Reading an OCI image layout."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from airgap.errors import Damaged, Lacking, NotFound, UsageError
from airgap.fsio import DirectoryTree, FileReader, Tree
from airgap.layout.index import Index, IndexEntry
from airgap.limits import MAX_INDEX, MAX_MANIFEST
from airgap.oci import media, strictjson
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.image import digest_tag
from airgap.oci.manifest import Manifest, sniff_media_type
from airgap.oci.reference import Repository
from airgap.oci.stores import Named, Referrers
from airgap.text import printable

MARKER = "oci-layout"
INDEX = "index.json"
BLOBS = "blobs"
LAYOUT_VERSION = "1.0.0"


class LayoutReader:
    """A layout as a ``Source`` and a ``Browsable``. May be used from several threads.

    Content is found by digest alone, so the repository matters only for names. index.json is read again when it has changed.

    Args:
        path: the directory, or the archive that ``tree`` reads.
        tree: where the files really are; the directory, when left out.
    """

    def __init__(self, path: Path, tree: Tree | None = None) -> None:
        self.path = path
        self._tree = DirectoryTree(path) if tree is None else tree
        self._where = printable(str(path))
        self._cached: tuple[tuple[int, int, int], Index] | None = None
        self._attached: tuple[Index, dict[Digest, list[Descriptor]]] | None = None
        self._media_types: dict[Digest, str] = {}

    def index(self) -> Index:
        """What index.json says now.

        Raises:
            Damaged: there is no layout, or not one that can be read.
        """
        stamp = self._tree.stamp(INDEX)
        if self._cached is not None and self._cached[0] == stamp:
            return self._cached[1]
        self._check_layout()
        raw = self._tree.read(INDEX, MAX_INDEX)
        index = Index.parse(raw, self._at(INDEX), self.path.absolute().name)
        for entry in index.entries:
            self._media_types.setdefault(entry.descriptor.digest, entry.descriptor.media_type)
        if stamp is not None:
            self._cached = (stamp, index)
        return index

    def pick(self, name: str) -> IndexEntry:
        """The image of a name, as ``Index.pick``; ``@DIGEST`` is any manifest in the layout.

        Where several entries have no name, those do not count that another one lists, or that refer to another one.
        """
        index = self.index()
        if name.startswith("@") and ":" in name:
            return self._by_digest(name)
        unnamed = [entry for entry in index.images() if entry.reference is None]
        if not name and len(unnamed) > 1:
            below = self._below(unnamed)
            index = Index(index.value, tuple(entry for entry in index.entries if entry.descriptor.digest not in below))
        return index.pick(name, self._where)

    # Source

    def manifest(self, repository: Repository, selector: str) -> Manifest:
        """As ``Source.manifest``."""
        if ":" in selector:
            self.index()
            return self.find_manifest(Digest.parse(selector, self._where))
        descriptor = self.index().find(repository.tagged(selector))
        if descriptor is None:
            raise Lacking("the layout has no such name", where=self._where, expected=printable(f"{repository}:{selector}"))
        return self._described(descriptor)

    def referrers(self, repository: Repository, subject: Digest) -> Referrers:
        """As ``Source.referrers``: entries of index.json with this subject, and what is under the fallback tag."""
        tag = self.index().find(repository.tagged(digest_tag(subject)))
        tagged = () if tag is None else (self._described(tag),)
        found = {descriptor.digest: descriptor for descriptor in self._attachments().get(subject, ())}
        return Referrers(tuple(found.values()), tagged)

    def has(self, repository: Repository, descriptor: Descriptor) -> bool:  # noqa: ARG002
        """As ``Source.has`` and ``Target.has``: a regular file of the right size counts."""
        return self.find_blob(descriptor.digest) == descriptor.size

    def open(self, repository: Repository, descriptor: Descriptor, offset: int = 0) -> FileReader:  # noqa: ARG002
        """As ``Source.open``.

        Raises:
            Damaged: the blob is missing or its file has another size than the descriptor says.
        """
        return self._reader(descriptor.digest, descriptor.size, offset)

    # Browsable

    def names(self) -> Iterator[Named]:
        """As ``Browsable.names``; entries without a readable name come with an empty path and no tag."""
        for entry in self.index().entries:
            if entry.reference is None:
                yield Named("", None, entry.descriptor)
            else:
                repository = entry.reference.repository
                yield Named(repository.path if entry.plain else str(repository), entry.reference.tag, entry.descriptor)

    def find_manifest(self, digest: Digest) -> Manifest:
        """As ``Browsable.find_manifest``.

        Raises:
            NotFound: no such blob.
            Damaged: its bytes are not what the digest says, or not a manifest.
        """
        name = _blob_name(digest)
        where = self._at(name)
        if self.find_blob(digest) is None:
            raise Lacking("the layout has no such manifest", where=self._where, expected=digest)
        raw = self._tree.read(name, MAX_MANIFEST)
        found = Digest.of(raw, digest.algorithm)
        if found != digest:
            raise Damaged("a manifest has the wrong digest", where=where, expected=digest, got=found)
        media_type = self._media_types.get(digest) or sniff_media_type(raw, where)
        manifest = Manifest.parse(raw, media_type, where, digest.algorithm)
        for child in manifest.children:
            self._media_types.setdefault(child.digest, child.media_type)
        return manifest

    def find_blob(self, digest: Digest) -> int | None:
        """As ``Browsable.find_blob``."""
        return self._tree.size(_blob_name(digest))

    def open_blob(self, digest: Digest, offset: int = 0) -> FileReader:
        """As ``Browsable.open_blob``."""
        return self._reader(digest, None, offset)

    # inside

    def _blob_path(self, digest: Digest) -> Path:
        return self.path / _blob_name(digest)

    def _described(self, descriptor: Descriptor) -> Manifest:
        """A manifest that index.json points at: there it must be, with the size it says."""
        try:
            manifest = self.find_manifest(descriptor.digest)
        except NotFound as error:
            raise Damaged("index.json names a manifest that is missing", where=self._where, expected=descriptor.digest) from error
        if len(manifest.raw) != descriptor.size:
            raise Damaged(
                f"manifest {descriptor.digest} has the wrong size",
                where=self._where,
                expected=f"{descriptor.size} bytes",
                got=f"{len(manifest.raw)} bytes",
            )
        return manifest

    def _by_digest(self, name: str) -> IndexEntry:
        try:
            digest = Digest.parse(name[1:], self._where)
            return IndexEntry(self.find_manifest(digest).descriptor, None, plain=False)
        except (Damaged, NotFound) as error:
            got = printable(name, 200)
            raise UsageError("the layout has no such manifest", where=self._where, got=got, expected=error.expected) from error

    def _below(self, entries: Iterable[IndexEntry]) -> set[Digest]:
        """What is a part of another of these entries, or refers to something that is in the layout."""
        found: set[Digest] = set()
        for entry in entries:
            if entry.descriptor.media_type in media.MANIFESTS:
                manifest = self._described(entry.descriptor)
                found |= {child.digest for child in manifest.children}
                if manifest.subject is not None and self.find_blob(manifest.subject.digest) is not None:
                    found.add(entry.descriptor.digest)
        return found

    def _attachments(self) -> dict[Digest, list[Descriptor]]:
        """Subject -> what refers to it, from every manifest that index.json points at; read once."""
        index = self.index()
        if self._attached is None or self._attached[0] is not index:
            found: dict[Digest, list[Descriptor]] = {}
            pointed = {entry.descriptor.digest: entry.descriptor for entry in index.entries}
            for descriptor in pointed.values():
                manifest = self._described(descriptor) if descriptor.media_type in media.MANIFESTS else None
                if manifest is not None and manifest.subject is not None:
                    described = replace(manifest.descriptor, annotations=manifest.annotations)
                    found.setdefault(manifest.subject.digest, []).append(described)
            self._attached = (index, found)
        return self._attached[1]

    def _reader(self, digest: Digest, size: int | None, offset: int) -> FileReader:
        return self._tree.open(_blob_name(digest), size, offset)

    def _at(self, name: str) -> str:
        return printable(f"{self.path}/{name}")

    def _check_layout(self) -> None:
        """Refuse what is not a layout, and links in place of its directories, which ``O_NOFOLLOW`` would not notice."""
        self._tree.check((BLOBS, f"{BLOBS}/sha256", f"{BLOBS}/sha512"))
        where = self._at(MARKER)
        version = strictjson.parse_object(self._tree.read(MARKER, 4096), where).get("imageLayoutVersion")
        if version != LAYOUT_VERSION:
            raise Damaged(
                "the OCI image layout has an unknown version", where=where, expected=LAYOUT_VERSION, got=printable(str(version), 40)
            )


def _blob_name(digest: Digest) -> str:
    return f"{BLOBS}/{digest.algorithm}/{digest.hex}"
