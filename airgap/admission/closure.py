"""Walk the content of an image, reading every manifest from the bundle; prove that nothing is missing and nothing is extra."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from airgap.admission.rebuild import rebuild_index
from airgap.bundle.store import BundleStore
from airgap.errors import Damaged, Refused
from airgap.limits import MAX_LEVELS_TAKEN
from airgap.oci import media
from airgap.oci.descriptor import Descriptor, DescriptorsByDigest, Platform
from airgap.oci.digest import Digest, DigestTable
from airgap.oci.image import LOOKASIDE, REFERRERS_TAG, Attachment, Image, LookasideSignature
from airgap.oci.manifest import Manifest
from airgap.oci.selection import PlatformFilter, config_of, platform_in
from airgap.oci.verify import VerifiedReader, read_all
from airgap.text import listing, plural
from airgap.trust.judge.judging import Instances, instances_of


@dataclass(slots=True)
class Closure:
    """One image as it will be loaded.

    Attributes:
        image: the catalog's entry.
        root: its manifest at the target; its digest differs from the image's if an index was rebuilt.
        manifests: every manifest, children before parents.
        rebuilt: indexes that were rebuilt and so are not in the bundle, by their new digest.
        blobs: every config and layer.
        attachments: the attachments whose subject is loaded.
        signatures: lookaside signatures of loaded manifests.
        parts: the manifests reached from the root, indexes included, without attachments.
        replaced: original digests of the indexes that were rebuilt.
        is_artifact: platforms were requested and it states none, so it is loaded whole.
    """

    image: Image
    root: Descriptor
    manifests: dict[Digest, Descriptor] = field(default_factory=dict)
    rebuilt: dict[Digest, Manifest] = field(default_factory=dict)
    blobs: Mapping[Digest, Descriptor] = field(default_factory=dict)
    attachments: list[Attachment] = field(default_factory=list)
    signatures: list[LookasideSignature] = field(default_factory=list)
    replaced: Collection[Digest] = ()
    parts: Sequence[Descriptor] = ()
    is_artifact: bool = False

    @property
    def instances(self) -> Instances:
        """What the policy judges: the image manifests among the parts, which engines pull and verify, or else the root."""
        return instances_of(self.root, self.parts)


def walk(store: BundleStore, image: Image, platforms: Sequence[Platform] = (), without: Collection[str] = ()) -> Closure:
    """The closure of one image.

    Args:
        store: the bundle.
        image: which image.
        platforms: only these; indexes are rebuilt if children are left out (or were left out at export).
        without: kinds of attachments to leave out, with everything attached to them.

    Raises:
        Damaged: a part is missing from the bundle or contradicts its descriptor.
        Refused: the image lacks one of the platforms, or its platform is unknown.
    """
    return _ClosureWalk(store, image, platforms, without).run()


def walk_all(
    store: BundleStore, images: Sequence[Image], platforms: Sequence[Platform] = (), without: Collection[str] = ()
) -> list[Closure]:
    """The closures of all images, with the arguments and errors of :func:`walk`; one error names all images that lack platforms."""
    found: list[Closure] = []
    lacking: list[PlatformsMissing] = []
    for image in images:
        try:
            found.append(walk(store, image, platforms, without))
        except PlatformsMissing as error:
            lacking.append(error)
    if len(lacking) > 1:
        raise Refused(
            f"{len(lacking)} of {plural(len(images), 'image')} lack requested platforms",
            expected=lacking[0].expected,
            got="".join(f"\n  {error.where}: {error.what}; there: {error.got}" for error in lacking),
            hint=lacking[0].hint,
        )
    if lacking:
        raise lacking[0]
    return found


class PlatformsMissing(Refused):
    """An image lacks a requested platform."""

    def __init__(self, image: Image, asked: PlatformFilter) -> None:
        some = len(asked.missing) < len(asked.wishes)
        super().__init__(
            f"the image has {'only some' if some else 'none'} of the requested platforms",
            where=str(image.reference),
            expected=listing([str(platform) for platform in asked.wishes]),
            got=listing([str(platform) for platform in asked.there]) or "no platform",
            hint="choose platforms that every image has, or import without --platform, which loads everything",
        )


def check_extraneous(store: BundleStore, closures: Collection[Closure]) -> None:
    """Refuse a bundle with blobs that no image needs. The closures must be those of all images, without a platform filter."""
    reached = DigestTable()
    for closure in closures:
        for digest in (*closure.manifests, *closure.blobs, *closure.replaced, *(one.digest for one in closure.image.signatures)):
            reached.add(digest)
    for digest in reached:  # what blobs are made from belongs to them: it is reached while this goes on
        blob = store.catalog.blobs.get(digest)
        if blob is not None and blob.patch is not None:
            for part in (blob.patch.blob, blob.patch.base):
                if part:
                    reached.add(part)
    extra = sorted(digest for digest in store.catalog.blobs if digest not in reached)
    if extra:
        raise Damaged("the catalog lists blobs that belong to no image", where=store.catalog.name, got=listing(list(extra), 5))


class _ClosureWalk:
    def __init__(self, store: BundleStore, image: Image, platforms: Sequence[Platform], without: Collection[str]) -> None:
        self._store = store
        self._image = image
        self._filter = PlatformFilter(tuple(platforms))
        self._without = without
        self._closure = Closure(image, image.root)
        self._placed: dict[Digest, Descriptor] = {}
        self._blobs: dict[Digest, Descriptor] = {}
        self._replaced: set[Digest] = set()

    def run(self) -> Closure:
        closure = self._closure
        root = self._manifest(self._image.root, 0, self._filter)
        if root is not None and root.media_type in media.IMAGES and self._filter.wishes:
            self._filter.takes(self._platform_of(root))
        if self._filter.missing:
            raise PlatformsMissing(self._image, self._filter)
        if root is None:
            raise Damaged("the bundle carries no child of an index", where=str(self._image.reference), got=self._image.root.digest)
        closure.root = root
        closure.is_artifact = self._filter.is_beside_the_point
        closure.parts = tuple(closure.manifests.values())
        loaded = set(self._placed)
        signatures = () if LOOKASIDE in self._without else self._image.signatures
        closure.signatures = [signature for signature in signatures if signature.subject in loaded]
        for signature in self._image.signatures:
            self._check_blob(signature.descriptor, "lookaside signature")
            if not self._store.catalog.blobs[signature.digest].extents:  # it is needed before the destination is asked anything
                raise Damaged("a signature is missing from the bundle", where=f"{self._image.reference}: {signature.digest}")
        for attachment in self._image.attachments:
            if attachment.kind in self._without:
                continue
            if attachment.subject in loaded and self._manifest(attachment.descriptor, 1, PlatformFilter(())):
                loaded.add(attachment.descriptor.digest)
                closure.attachments.append(attachment)
        closure.blobs = DescriptorsByDigest(self._blobs.values())
        closure.replaced = frozenset(self._replaced)
        return closure

    def _manifest(self, descriptor: Descriptor, depth: int, wanted: PlatformFilter) -> Descriptor | None:
        """Take in one manifest with all below it; the descriptor it has at the destination, None when nothing of it is wanted."""
        if descriptor.digest in self._placed:
            return self._placed[descriptor.digest]
        manifest = self._read(descriptor, depth)
        placed = self._index(manifest, descriptor, depth, wanted) if manifest.is_index else descriptor
        if placed is None:
            return None
        for blob in manifest.blobs():
            if blob.digest not in self._image.foreign or not media.is_foreign(blob.media_type):
                self._check_blob(blob, f"manifest {manifest.digest}")
                self._blobs[blob.digest] = blob
        self._placed[descriptor.digest] = placed
        self._closure.manifests[placed.digest] = placed
        return placed

    def _index(self, index: Manifest, descriptor: Descriptor, depth: int, wanted: PlatformFilter) -> Descriptor | None:
        present = [child for child in index.children if child.digest not in self._image.omitted]
        placed = {c.digest: self._manifest(c, depth + 1, wanted) for c in wanted.select(present, self._platform_of)}
        kept = {old: new for old, new in placed.items() if new is not None}
        same = len(kept) == len({child.digest for child in index.children}) and all(old == new.digest for old, new in kept.items())
        if same and (kept or not wanted.wishes):  # an index without children has none of the platforms
            return descriptor
        self._replaced.add(index.digest)
        if not kept:
            return None
        new = rebuild_index(index, kept)
        self._closure.rebuilt[new.digest] = new
        return new.descriptor

    def _platform_of(self, child: Descriptor) -> Platform | None:
        """The platform in the config of a single image; None if it states none.

        A config that the bundle does not carry because the site has it is not read: the target is not open yet. The signed catalog
        says what the exporter read in it.
        """
        where = f"{self._image.reference}: {child.digest}"
        config = config_of(self._read(child, 1), where, Refused)
        if config is None:
            return None
        self._check_blob(config, f"manifest {child.digest}")
        if self._store.find_blob(config.digest) is None:
            if child.digest == self._image.root.digest:
                return Platform.stated(self._image.platforms[0]) if self._image.platforms else None
            raise Refused(
                "the platform of an image cannot be determined",
                where=where,
                expected=f"its config {config.digest} in the bundle",
                got="the site has it, so the bundle does not carry it",
                hint="import without --platform",
            )
        reader = VerifiedReader(self._store.open_blob(config.digest), config, self._store.place(config.digest))
        return platform_in(read_all(reader, config.size, where), where)

    def _read(self, descriptor: Descriptor, depth: int) -> Manifest:
        where = f"{self._image.reference}: manifest {descriptor.digest}"
        if depth > MAX_LEVELS_TAKEN:
            raise Damaged("manifests are nested too deeply", where=where)
        blob = self._store.catalog.blobs.get(descriptor.digest)
        if blob is None or blob.size != descriptor.size or descriptor.media_type not in media.MANIFESTS or not blob.extents:
            raise Damaged("the bundle lacks a manifest as its parent describes it", where=where)
        manifest = self._store.find_manifest(descriptor.digest)
        if manifest.media_type != descriptor.media_type:
            raise Damaged(
                "a manifest contradicts its descriptor", where=where, expected=descriptor.media_type, got=manifest.media_type
            )
        return manifest

    def _check_blob(self, blob: Descriptor, owner: str) -> None:
        listed = self._store.catalog.blobs.get(blob.digest)
        if listed is None or listed.size != blob.size:
            raise Damaged(
                "the catalog lacks a blob as its manifest describes it",
                where=f"{self._image.reference}: {owner}: blob {blob.digest}",
                expected=f"{blob.size} bytes",
                got=f"{listed.size} bytes" if listed else "not listed",
            )


def referrers_index(closure: Closure, subject: Digest) -> Digest | None:
    """The fallback-tag index that the bundle carries for a subject, if any."""
    found = [a.descriptor.digest for a in closure.attachments if a.kind == REFERRERS_TAG and a.subject == subject]
    return found[0] if found else None
