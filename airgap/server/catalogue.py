"""What a browsable store offers as a registry: its repositories and their content.

It is built once, at the start. A request is then a look-up in dictionaries: nothing that a client sends becomes a file name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from airgap.archives.titles import has_name
from airgap.errors import Damaged, NotFound, UsageError
from airgap.limits import MAX_LEVELS
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.hosts import begins_with_host, canonical_host, flat_host
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Repository
from airgap.oci.stores import Browsable, Named, Reader
from airgap.oci.verify import VerifiedReader, read_all
from airgap.text import printable


@dataclass(frozen=True)
class ContentFacts:
    """The facts about a manifest that stay in memory; ``titled`` are the layers that are files with names."""

    descriptor: Descriptor
    children: tuple[Digest, ...]
    blobs: tuple[Digest, ...]
    subject: Digest | None
    titled: tuple[Descriptor, ...] = ()


@dataclass
class Served:
    """One repository as it is served."""

    tags: dict[str, Digest] = field(default_factory=dict)
    manifests: dict[Digest, ContentFacts] = field(default_factory=dict)
    blobs: set[Digest] = field(default_factory=set)
    referrers: dict[Digest, list[ContentFacts]] = field(default_factory=dict)

    def agrees(self, other: Served) -> bool:
        """Whether no tag refers to something else in ``other``."""
        return all(other.tags.get(tag, digest) == digest for tag, digest in self.tags.items())

    def joined(self, other: Served) -> Served:
        """Both repositories under one name."""
        result = Served({**self.tags, **other.tags}, {**self.manifests, **other.manifests}, self.blobs | other.blobs)
        result.link()
        return result

    def link(self) -> None:
        """Collect the referrers of every manifest."""
        self.referrers.clear()
        for facts in self.manifests.values():
            if facts.subject is not None:
                self.referrers.setdefault(facts.subject, []).append(facts)


class Catalogue:
    """Everything a store offers, by repository name.

    An image ``HOST/PATH:TAG`` is served as ``HOST/PATH`` (a port's colon written ``-``), and as ``PATH`` alone if no other host has
    the same path with a tag that refers to something else. A client that names the registry it wants to reach gets only that
    registry's images.

    Args:
        browsable: the store.
        hashing: whether a blob that is read from its start to its end is hashed on the way.

    Raises:
        Damaged: the manifest of a name is missing or damaged, or indexes are nested more than four deep.
    """

    def __init__(self, browsable: Browsable, *, hashing: bool = False) -> None:
        self._browsable = browsable
        self._hashing = hashing
        self._facts: dict[Digest, ContentFacts | None] = {}
        self._attached: dict[Digest, list[Digest]] = {}
        self._own: dict[tuple[str, str], Served] = {}
        #: Names that are not served because they could mean several repositories -> the names to use instead.
        self.ambiguous: dict[str, list[str]] = {}
        #: The names that say all there is: with the host, where a repository has one.
        self.full_names: list[str] = []
        self._repositories = self._name(self._collect())
        self._names = sorted(self._repositories)
        self._facts.clear()

    @property
    def names(self) -> list[str]:
        """The names of all repositories, sorted."""
        return self._names

    def repository(self, name: str, host: str = "") -> Served | None:
        """A repository by the name a client uses.

        Args:
            name: the path in the URL.
            host: the registry that the client wants to reach, if it says so (containerd's ``ns`` parameter). Then only images from
                there are found, by path or full name: a client that finds none continues with the next mirror.
        """
        if not host:
            return self._repositories.get(name)
        try:
            asked = canonical_host(host)
        except UsageError:
            return None
        return self._own.get((asked, name)) or self._own.get((asked, name.removeprefix(f"{flat_host(asked)}/")))

    def manifest(self, digest: Digest) -> Manifest:
        """The manifest itself, read and verified again. Raises ``NotFound``."""
        return self._browsable.find_manifest(digest)

    def manifest_bytes(self, facts: ContentFacts) -> bytes:
        """A manifest with known facts, read and verified again. Raises ``NotFound`` or ``Damaged``."""
        descriptor = facts.descriptor
        if self._browsable.find_blob(descriptor.digest) is None:
            raise NotFound("a manifest no longer exists", got=descriptor.digest)
        reader = VerifiedReader(self._browsable.open_blob(descriptor.digest), descriptor, f"manifest {descriptor.digest}")
        return read_all(reader, descriptor.size, descriptor.digest)

    def blob_size(self, digest: Digest) -> int | None:
        """The size of a blob in bytes, or None if the store does not have it."""
        return self._browsable.find_blob(digest)

    def open_whole(self, digest: Digest, size: int, *, hashing: bool = False) -> Reader:
        """Stream a blob. Where blobs are hashed, or with ``hashing``, a damaged one raises instead of giving its last bytes."""
        reader = self._browsable.open_blob(digest)
        if not (self._hashing or hashing):
            return reader
        where = "the media: `airgap media check` says which volume is damaged" if self._hashing else "the store"
        return VerifiedReader(reader, Descriptor("", digest, size), where)

    def open_blob(self, digest: Digest, offset: int) -> Reader:
        """Stream a blob from ``offset``."""
        return self._browsable.open_blob(digest, offset)

    def _collect(self) -> dict[str, Served]:
        """Path as the store names it -> repository."""
        roots: dict[str, list[Named]] = {}
        for name in self._browsable.names():
            if name.descriptor.media_type in media.MANIFESTS:
                facts = self._known(name.descriptor.digest)
                if facts is None:
                    raise Damaged("the manifest of a name is missing", where=printable(name.path), got=name.descriptor.digest)
                roots.setdefault(name.path, []).append(name)
                if name.tag is None and facts.subject is not None:
                    self._attached.setdefault(facts.subject, []).append(name.descriptor.digest)
        return {path: self._walk(named) for path, named in roots.items() if path}

    def _walk(self, named: Iterable[Named]) -> Served:
        """One repository: its names, everything under them, and everything attached to that."""
        result = Served()
        waiting: list[tuple[Digest, int]] = []
        for name in named:
            waiting.append((name.descriptor.digest, 0))
            if name.tag is not None:
                result.tags.setdefault(name.tag, name.descriptor.digest)
        while waiting:
            digest, depth = waiting.pop()
            facts = None if digest in result.manifests else self._known(digest)
            if facts is not None:
                if depth > MAX_LEVELS:
                    raise Damaged("indexes are nested too deeply", where=digest, expected=f"{MAX_LEVELS} levels at most")
                result.manifests[digest] = facts
                result.blobs.update(facts.blobs)
                waiting += [(child, depth + 1) for child in facts.children]
                waiting += [(attachment, 0) for attachment in self._attached.get(digest, ())]
        result.link()
        return result

    def _known(self, digest: Digest) -> ContentFacts | None:
        """The facts of a manifest, read once; None for a child that is not there (an index may be sparse)."""
        if digest not in self._facts:
            try:
                manifest = self._browsable.find_manifest(digest)
            except NotFound:
                self._facts[digest] = None
            else:
                self._facts[digest] = _facts(manifest)
        return self._facts[digest]

    def _name(self, collected: dict[str, Served]) -> dict[str, Served]:
        """Give every repository its names: with the host always, without it where that is unambiguous."""
        result: dict[str, Served] = {}
        bare: dict[str, list[tuple[str, Served]]] = {}
        meant: dict[str, list[str]] = {}
        for path, served in sorted(collected.items()):
            full, short = self._named(path, served)
            meant.setdefault(full, []).append(path)
            result[full] = served
            if short != full:
                bare.setdefault(short, []).append((full, served))
        for full, paths in meant.items():  # reg.corp-5000 and reg.corp:5000: whoever says the host with ns= still gets them
            if len(paths) > 1:
                self.ambiguous[full] = [f"{path.partition('/')[2]}?ns={path.partition('/')[0]}" for path in paths]
                del result[full]
        self.full_names = sorted(result)
        for short, candidates in bare.items():
            merged: Served | None = result.get(short)
            for _, served in candidates:
                if merged is not None and not merged.agrees(served):
                    self.ambiguous[short] = [full for full, _ in candidates]
                    break
                merged = served if merged is None else merged.joined(served)
            if merged is not None and short not in self.ambiguous:
                result[short] = merged
        return result

    def _named(self, path: str, served: Served) -> tuple[str, str]:
        """The name with the host and the one without; twice the same for a path that has no host."""
        if not begins_with_host(path):
            return path, path
        try:
            repository = Repository(*path.split("/", 1))
        except UsageError as error:
            raise Damaged(error.what, where=printable(path)) from error
        self._own[repository.host, repository.path] = served
        return f"{repository.flat_host}/{repository.path}", repository.path


def _facts(manifest: Manifest) -> ContentFacts:
    """Children that are not supported manifests are content like any other."""
    others = (child for child in manifest.children if child.media_type not in media.MANIFESTS)
    return ContentFacts(
        descriptor=manifest.descriptor,
        children=tuple(child.digest for child in manifest.children if child.media_type in media.MANIFESTS),
        blobs=tuple(blob.digest for blob in (*manifest.blobs(), *others)),
        subject=None if manifest.subject is None else manifest.subject.digest,
        titled=tuple(_title_only(layer) for layer in manifest.layers if has_name(layer)),
    )


def _title_only(layer: Descriptor) -> Descriptor:
    """It stays in memory for as long as it is served; other annotations may be large."""
    return replace(layer, annotations={media.TITLE: layer.annotations[media.TITLE]} if media.TITLE in layer.annotations else {})
