"""Open the places that hold images: each lists its names and gives one image of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from airgap import fsio
from airgap.admission.door import Signed, UnverifiedBundle, Whole, open_bundle
from airgap.admission.terms import Terms
from airgap.archives import (
    DockerArchive,
    ImageDirectory,
    MadeArtifact,
    PlacedImage,
    TarTree,
    chart_artifact,
    copy_from_storage,
    file_artifact,
    save_from_daemon,
)
from airgap.archives.unpacking import compression, unpack
from airgap.bundle.store import BundleStore
from airgap.errors import Damaged, NotFound, Refused, UsageError
from airgap.fsio import DirectoryTree, Tree
from airgap.layout import LayoutReader
from airgap.layout.index import NAMELESS
from airgap.limits import MAX_SIGNATURE_BLOB
from airgap.oci.digest import Digest
from airgap.oci.image import Image
from airgap.oci.manifest import Manifest
from airgap.oci.places import Place
from airgap.oci.reference import Reference, Repository
from airgap.oci.verify import read_all
from airgap.registry import WebFiles
from airgap.sources.partial import Inside
from airgap.text import human_size, like, listing, printable

#: Bytes that are left free where an archive is uncompressed.
_KEPT_FREE = 64 * 1024 * 1024


class OpenPlace(Protocol):
    """A place that has been opened."""

    def names(self) -> list[str]:
        """The images that have a full reference, each by the name that ``pick`` takes."""

    def pick(self, name: str) -> PlacedImage:
        """One image: by name, or the only one. Raises ``UsageError`` if that is ambiguous or there is none."""


@dataclass(frozen=True)
class PlaceOptions:
    """What the operator says about places.

    Attributes:
        scratch: where copies out of container engines may be put; None when nowhere.
        terms: makes the site's terms for other bundles; None when no policy vouches for them.
        accept_unverified: take bundles whose signature has not been verified.
        allow_expired: take bundles that have expired.
        say: tells the operator something.
        web: opens what reads web servers; None where the command reads none.
    """

    scratch: Path | None = None
    terms: Callable[[], Terms] | None = None
    accept_unverified: bool = False
    allow_expired: bool = False
    say: Callable[[str], None] = lambda _: None
    web: Callable[[], WebFiles] | None = None


def open_place(place: Place, options: PlaceOptions, stack: contextlib.ExitStack) -> OpenPlace:
    """Open what a place's path names; the stores of container engines are copied first.

    Args:
        place: its name of an image matters only for container engines.
        options: what the operator allows.
        stack: closes the place and removes copies at the end.

    Raises:
        UsageError: it does not exist, or is not what its transport says.
        Damaged: it is damaged.
        Refused: the policy does not accept a source bundle.
        MediaError: a copy does not fit, or a disk fails.
    """
    path = Path(place.path)
    if place.transport == "oci":
        return _layout(LayoutReader(path), DirectoryTree(path), place)
    if place.transport in ("file", "chart"):
        return MadePlace(file_artifact(path) if place.transport == "file" else chart_artifact(path), str(path))
    if place.transport == "dir":
        return _DirectoryPlace(ImageDirectory(path))
    if place.transport == "bundle":
        return _BundlePlace(_open_bundle(path, options))
    if place.transport == "containers-storage":
        copy = _scratch(place, options, stack) / "image"
        copy_from_storage(place.name, copy)
        return _DirectoryPlace(ImageDirectory(copy), place.name)
    if place.transport == "docker-daemon":
        path = _scratch(place, options, stack) / "image.tar"
        save_from_daemon(place.name, path)
    kind = compression(path) if options.scratch is not None else ""
    tree = TarTree(path, _uncompressed(place, kind, options, stack) if kind else None)
    stack.callback(tree.close)
    if place.transport == "oci-archive":
        return _layout(LayoutReader(path, tree), tree, place)
    archive = DockerArchive(tree)
    layout = LayoutReader(path, tree) if _has_layout(tree) else None
    return _ArchivePlace(archive, layout, place, options.say)


class _LayoutPlace:
    def __init__(self, layout: LayoutReader, place: Place) -> None:
        self._layout = layout
        self._place = str(place.called(""))
        self._where = printable(str(layout.path))

    def names(self) -> list[str]:
        images = self._layout.index().images()
        return [str(entry.reference) for entry in images if entry.reference is not None and not entry.plain]

    def pick(self, name: str) -> PlacedImage:
        entry = self._layout.pick(name)
        repository = entry.reference.repository if entry.reference is not None else NAMELESS
        with _missing_is_damage(self._where):
            root = self._layout.manifest(repository, entry.descriptor.digest)
        return self.placed(repository, root)

    def placed(self, repository: Repository, root: Manifest) -> PlacedImage:

        def way_out() -> str:
            return self.inside(root).way_out(printable(self._place))

        return PlacedImage(self._layout, repository, root, self._where, way_out=way_out)

    def inside(self, root: Manifest) -> Inside:
        return Inside.of(self._layout, root)


class _ArchivePlace:
    """A docker archive; an OCI layout in it is preferred because it keeps the original digests."""

    def __init__(self, archive: DockerArchive, layout: LayoutReader | None, place: Place, say: Callable[[str], None]) -> None:
        self._archive = archive
        self._layout = None if layout is None else _LayoutPlace(layout, Place("oci-archive", place.path, ""))
        #: what only the layout names: containerd lists one name of images that share what it exports, none of foreign platforms
        self._beside = [] if self._layout is None else [one for one in self._layout.names() if one not in archive.names()]
        self._where = printable(str(place))
        self._single = place.transport == "docker-daemon"
        self._say = say
        self._said: set[Digest] = set()

    def names(self) -> list[str]:
        return [*self._archive.names(), *self._beside]

    def pick(self, name: str) -> PlacedImage:
        name = "" if self._single else _full(name)
        if self._layout is not None and self._beside and (not name or name in self._beside):
            return self._layout.pick(name)
        tags = self._archive.tags(name)
        if self._layout is not None and tags:
            tag = name if name in tags else tags[0]  # images with two names here may be two indexes there
            with contextlib.suppress(UsageError):  # not in the layout under this name: then as a plain archive
                found = self._in_layout(self._layout, tag, self._archive.config(name))
                if found is not None:
                    return found
        root = self._archive.pick(name)
        repository = Reference.parse(tags[0]).repository if tags else NAMELESS
        return PlacedImage(self._archive, repository, root, self._where)

    def _in_layout(self, place: _LayoutPlace, tag: str, config: Digest) -> PlacedImage | None:
        """What the layout has under a name; of an index that is not all there the image that manifest.json names, as skopeo."""
        whole = place.pick(tag)
        inside = place.inside(whole.root)
        if not inside.lacking:
            return whole
        one = inside.instance(config)
        if one is not None and one.digest not in self._said:
            self._said.add(one.digest)
            self._say(f"{self._where}: {tag} is an index and {inside}: taking the image that manifest.json names, {one.digest}")
        return None if one is None else place.placed(whole.repository, one)


class _DirectoryPlace:
    def __init__(self, directory: ImageDirectory, name: str = "") -> None:
        self._directory = directory
        self._name = name

    def names(self) -> list[str]:
        return [self._name] if self._name else []

    def pick(self, name: str) -> PlacedImage:
        root = self._directory.pick("" if name == self._name else name)

        def signatures(repository: Repository, digest: Digest) -> tuple[bytes, ...]:  # noqa: ARG001
            return self._directory.signatures(digest)

        return PlacedImage(self._directory, NAMELESS, root, printable(str(self._directory.path)), signatures)


class MadePlace:
    """A plain file or a chart: one artifact, whose name the list says."""

    def __init__(self, artifact: MadeArtifact, where: str) -> None:
        self._artifact = artifact
        self._where = printable(where)

    def names(self) -> list[str]:
        return []

    def pick(self, name: str) -> PlacedImage:
        del name  # the transport has none
        return PlacedImage(self._artifact, NAMELESS, self._artifact.root, self._where)


class _BundlePlace:
    def __init__(self, store: BundleStore) -> None:
        self._store = store

    def names(self) -> list[str]:
        return [str(image.reference) for image in self._store.catalog.images]

    def pick(self, name: str) -> PlacedImage:
        images = [image for image in self._store.catalog.images if not name or str(image.reference) == _full(name)]
        if len(images) != 1:
            raise UsageError(
                "the bundle has no such image" if name else "the bundle holds several images",
                where=self._store.catalog.name,
                expected="bundle:DIR:NAME with one of its names",
                got=f"{printable(name, 200)}; it has {like(_full(name), self.names())}" if name else listing(self.names()),
            )
        image = images[0]
        with _missing_is_damage(self._store.catalog.name):
            root = self._store.find_manifest(image.root.digest)
        return PlacedImage(self._store, image.reference.repository, root, self._store.catalog.name, self._signatures(image))

    def _signatures(self, image: Image) -> Callable[[Repository, Digest], tuple[bytes, ...]]:
        def signatures(repository: Repository, digest: Digest) -> tuple[bytes, ...]:  # noqa: ARG001
            wanted = [signature for signature in image.signatures if signature.subject == digest]
            opened = (self._store.open_blob(one.digest) for one in wanted)
            return tuple(read_all(one, MAX_SIGNATURE_BLOB, self._store.catalog.name) for one in opened)

        return signatures


def _open_bundle(path: Path, options: PlaceOptions) -> BundleStore:
    if options.terms is None and not options.accept_unverified:
        raise Refused(
            "the source bundle's signature has not been verified",
            where=printable(str(path)),
            expected="a policy that trusts its signature",
            hint="give --bundle-policy FILE, or accept the bundle unverified with --accept-unverified-bundles",
        )
    opened = UnverifiedBundle.at([path]) if options.terms is None else open_bundle([path], options.terms().told(), Signed)
    catalog = opened.catalog
    if isinstance(opened, UnverifiedBundle):
        options.say(f"{catalog.name}: signature not verified")
    elif opened.expired and not options.allow_expired:  # before its volumes are read: what is refused may be damaged as well
        raise Refused(
            f"the source bundle {catalog.name} has expired",
            where=printable(str(path)),
            expected=f"a time before {catalog.expires}",
            hint="use a newer bundle, or accept this one with --allow-expired-bundles",
        )
    if opened.expired:
        options.say(f"{catalog.name} expired at {catalog.expires}")
    if isinstance(opened, UnverifiedBundle):
        return opened.store
    whole: Whole = opened.admitted().whole()
    return whole.store


def _scratch(place: Place, options: PlaceOptions, stack: contextlib.ExitStack) -> Path:
    if options.scratch is None:
        raise UsageError(
            "there is no directory for a copy of an image that must be taken out of its container engine",
            where=printable(str(place)),
            expected="--scratch DIR, with room for the unpacked image",
            hint="add --scratch DIR; the copy is removed at the end",
        )
    fsio.make_directory(options.scratch, fsio.PRIVATE)
    with fsio.disk_errors("cannot create a directory", options.scratch):
        directory = fsio.TemporaryDirectory(options.scratch / "images")
    options.say(f"copying {place} to {options.scratch}")
    return stack.enter_context(directory)


def _uncompressed(place: Place, kind: str, options: PlaceOptions, stack: contextlib.ExitStack) -> Path:
    """A copy of a compressed archive without compression, on a disk that must not get full of it."""
    copy = _scratch(place, options, stack) / "archive.tar"
    size = unpack(Path(place.path), kind, copy, max(0, fsio.free_bytes(copy.parent) - _KEPT_FREE))
    options.say(f"{printable(place.path)}: uncompressed ({kind}), {human_size(size)} in {options.scratch} until the end")
    return copy


def _layout(layout: LayoutReader, tree: Tree, place: Place) -> OpenPlace:
    if not _has_layout(tree):
        where = printable(str(layout.path))
        raise UsageError("not an OCI image layout", where=where, expected="oci-layout and index.json in it", got="not both")
    return _LayoutPlace(layout, place)


def _has_layout(tree: Tree) -> bool:
    return tree.size("oci-layout") is not None and tree.size("index.json") is not None


@contextlib.contextmanager
def _missing_is_damage(where: str) -> Iterator[None]:
    try:
        yield
    except NotFound as error:
        raise Damaged("a listed image is missing", where=where, expected=error.expected or error.got) from error


def _full(name: str) -> str:
    return name if not name or name.startswith("@") else str(Reference.parse(name))
