"""The difference between two bundles, locks or receipts: images, attachments, blobs, bytes. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from airgap.documents.holdings import SizeTable
from airgap.documents.receipt import Receipt
from airgap.format.blobtable import table_of
from airgap.format.catalog import Catalog, savings
from airgap.oci.digest import Digest
from airgap.oci.image import LOOKASIDE, REFERRER, TAG_KINDS, Image, counts
from airgap.oci.reference import Reference

#: Artifact types of referrers that are signatures: cosign 3 bundles, cosign's in OCI 1.1 mode, and Notary's (notaryproject
#: signature-specification.md).
_SIGNATURE_TYPES = (
    "application/vnd.dev.sigstore.bundle",
    "application/vnd.dev.cosign.artifact.sig",
    "application/vnd.cncf.notary.signature",
)
_SIG = ".sig"


class Sort(NamedTuple):
    """What hangs off an image, whatever its content."""

    kind: str
    artifact_type: str
    of_image: bool
    is_signature: bool

    @property
    def of(self) -> str:
        """``image``, or ``part`` for what hangs off one of its platforms or another attachment."""
        return "image" if self.of_image else "part"


@dataclass(frozen=True, slots=True)
class Hanging:
    """One thing that hangs off an image.

    Attributes:
        kind: as in ``oci.image``.
        artifact_type: of a referrer.
        of_image: it belongs to the image itself, not to one of its platforms or to another attachment.
        place: what it is looked for by: its tag, or its digest where it has none.
        digest: its content.
    """

    kind: str
    artifact_type: str
    of_image: bool
    place: str
    digest: Digest

    @property
    def is_signature(self) -> bool:
        """Whether it vouches for an image; attestations and SBOMs say other things."""
        return self.kind in (LOOKASIDE, TAG_KINDS[_SIG]) or self.artifact_type.startswith(_SIGNATURE_TYPES)

    @property
    def sort(self) -> Sort:
        """What it is, whatever its content."""
        return Sort(self.kind, self.artifact_type, self.of_image, self.is_signature)


@dataclass(frozen=True)
class Shown:
    """What a name refers to. ``platforms`` is None if unknown; ``left_out`` are parts that are not carried."""

    digest: Digest
    platforms: tuple[str, ...] | None = None
    hanging: tuple[Hanging, ...] = ()
    left_out: frozenset[Digest] = frozenset()
    is_signature: bool = False

    def facts(self, name: str) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "reference": name,
            "digest": self.digest,
            "platforms": list(self.platforms or ()),
            "attachment_count": sum(counts(one.kind) for one in self.hanging),
            "signature_count": sum(one.is_signature for one in self.hanging),
            "is_signature": self.is_signature,
        }


@dataclass(frozen=True)
class Compared:
    """One side of a comparison.

    Attributes:
        label: what people call it.
        kind: ``bundle``, ``lock`` or ``receipt``.
        images: what every name refers to.
        blobs: everything that its images consist of, with sizes in bytes; also what the site of a bundle has to make others from.
        carried: bytes of all volumes of a bundle, else None.
        full: bytes that a bundle of all of it would carry as blobs.
        savings: what a bundle leaves out (``catalog.savings``).
    """

    label: str
    kind: str
    images: Mapping[str, Shown]
    blobs: Mapping[Digest, int]
    carried: int | None
    full: int
    savings: Mapping[str, int] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "name": self.label,
            "kind": self.kind,
            "image_count": len(self.images),
            "blob_count": len(self.blobs),
            "bytes": self.carried,
            "full_bytes": self.full,
            **self.savings,
        }


@dataclass(frozen=True)
class Changed:
    """What happened to one name between two sides; ``lost_in_tag`` are signatures gone from a cosign tag that is still there."""

    reference: str
    old: Digest
    new: Digest
    platforms_gained: list[str]
    platforms_lost: list[str]
    left_out: int
    no_longer_left_out: int
    gained: Counter[Sort]
    lost: Counter[Sort]
    replaced: Counter[Sort]
    lost_in_tag: int = 0

    @property
    def signatures_lost(self) -> int:
        """How many signatures are gone."""
        return self.lost_in_tag + sum(count for sort, count in self.lost.items() if sort.is_signature)

    @property
    def is_change(self) -> bool:
        """Whether anything but the digest differs."""
        parts = (self.left_out, self.no_longer_left_out, self.gained, self.lost, self.replaced)
        return any((self.platforms_gained, self.platforms_lost, *parts))

    def facts(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "reference": self.reference,
            "from": self.old,
            "to": self.new,
            "platforms_gained": self.platforms_gained,
            "platforms_lost": self.platforms_lost,
            "left_out_count": self.left_out,
            "no_longer_left_out_count": self.no_longer_left_out,
            **{name: _sorts(getattr(self, name)) for name in ("gained", "lost", "replaced")},
            "signatures_lost": self.signatures_lost,
        }


@dataclass(frozen=True)
class Difference:
    """What is different between two sides: names that only one has, and changes of those that both have."""

    a: Compared
    b: Compared
    added: Mapping[str, Shown]
    removed: Mapping[str, Shown]
    moved: tuple[Changed, ...]
    changed: tuple[Changed, ...]
    unchanged: int

    @property
    def same(self) -> bool:
        """Whether both have the same content by name; how it is carried may differ."""
        return not (self.added or self.removed or self.moved or self.changed)

    def facts(self) -> dict[str, Any]:
        """For ``--json``."""
        a, b = self.a.blobs, self.b.blobs
        return {
            "a": self.a.facts(),
            "b": self.b.facts(),
            "same": self.same,
            "verified": False,
            "added": [shown.facts(name) for name, shown in self.added.items()],
            "removed": [shown.facts(name) for name, shown in self.removed.items()],
            "moved": [change.facts() for change in self.moved],
            "changed": [change.facts() for change in self.changed],
            "unchanged_count": self.unchanged,
            "compared_blobs": {
                "shared": _blobs((digest, size) for digest, size in b.items() if digest in a),
                "only_a": _blobs((digest, size) for digest, size in a.items() if digest not in b),
                "only_b": _blobs((digest, size) for digest, size in b.items() if digest not in a),
            },
        }


def of_catalog(catalog: Catalog) -> Compared:
    """A bundle. Held blobs that only patches need are no content of it, as far as a catalog tells which those are."""
    patches = {blob.patch.blob for blob in catalog.blobs.values() if blob.patch}
    bases = {blob.patch.base for blob in catalog.blobs.values() if blob.patch}
    blobs = SizeTable((digest, size) for digest, size in table_of(catalog.blobs).sizes() if digest not in patches)
    only_bases = {digest for digest in bases if digest and catalog.blobs[digest].held}
    full = sum(size for digest, size in blobs.items() if digest not in only_bases)
    return Compared(catalog.name, "bundle", shown_images(catalog.images), blobs, catalog.total_size, full, savings(catalog.blobs))


def of_receipt(receipt: Receipt) -> Compared:
    """What a site holds. A receipt knows names and digests; attachments appear in it under their own names."""
    blobs = SizeTable((digest, held.size) for digest, held in receipt.holdings.blobs.items())
    images = {name: Shown(digest, is_signature=name.endswith(_SIG)) for name, digest in receipt.holdings.images.items()}
    label = f"{receipt.site} at {receipt.created}"
    return Compared(label, "receipt", images, blobs, None, sum(blobs.values()))


def shown_images(images: Iterable[Image]) -> dict[str, Shown]:
    """The images of a catalog or a lock by name; a tag that is pinned to a digest is a tag."""
    return {name_of(image.reference): _shown(image) for image in images}


def compare(a: Compared, b: Compared) -> Difference:
    """Compare two sides by the names of their images, and by their blobs."""
    both = [name for name in b.images if name in a.images]
    pairs = [(name, a.images[name], b.images[name]) for name in both]
    moved = tuple(_change(name, old, new) for name, old, new in pairs if old.digest != new.digest)
    same = (_change(name, old, new) for name, old, new in pairs if old.digest == new.digest)
    changed = tuple(change for change in same if change.is_change)
    added = {name: shown for name, shown in b.images.items() if name not in a.images}
    removed = {name: shown for name, shown in a.images.items() if name not in b.images}
    return Difference(a, b, added, removed, moved, changed, len(both) - len(moved) - len(changed))


def name_of(reference: Reference) -> str:
    """The name of an image in a comparison: its tag if it has one, whatever it is pinned to."""
    return str(reference.repository.tagged(reference.tag)) if reference.tag else str(reference)


def _shown(image: Image) -> Shown:
    root = image.root.digest
    hanging = [
        Hanging(
            attachment.kind,
            attachment.descriptor.artifact_type if attachment.kind == REFERRER else "",
            attachment.subject == root,
            attachment.tag or attachment.descriptor.digest,
            attachment.descriptor.digest,
        )
        for attachment in image.attachments
    ]
    hanging += [Hanging(LOOKASIDE, "", one.subject == root, f"{one.subject} {one.digest}", one.digest) for one in image.signatures]
    return Shown(root, image.platforms, tuple(hanging), frozenset((*image.omitted, *image.foreign)))


def _change(name: str, old: Shown, new: Shown) -> Changed:
    """What happened to one name. Attachments of another digest cannot be the same ones: then their sorts are compared."""
    if old.digest == new.digest:
        before, after = {one.place: one for one in old.hanging}, {one.place: one for one in new.hanging}
        lost = Counter(one.sort for place, one in before.items() if place not in after)
        gained = Counter(one.sort for place, one in after.items() if place not in before)
        replaced = Counter(one.sort for place, one in after.items() if place in before and before[place].digest != one.digest)
    else:
        first, second = Counter(one.sort for one in old.hanging), Counter(one.sort for one in new.hanging)
        lost, gained, replaced = first - second, second - first, Counter()
    known = old.platforms is not None and new.platforms is not None
    before_on, after_on = dict.fromkeys(old.platforms or ()), dict.fromkeys(new.platforms or ())
    platforms = [
        [one for one in some if one not in others and known] for some, others in ((after_on, before_on), (before_on, after_on))
    ]
    left_out = len(new.left_out - old.left_out), len(old.left_out - new.left_out)
    return Changed(name, old.digest, new.digest, platforms[0], platforms[1], *left_out, gained, lost, replaced)


def _sorts(found: Counter[Sort]) -> list[dict[str, Any]]:
    return [
        {"kind": sort.kind, "artifact_type": sort.artifact_type, "of": sort.of, "is_signature": sort.is_signature, "count": count}
        for sort, count in sorted(found.items())
    ]


def _blobs(chosen: Iterable[tuple[Digest, int]]) -> dict[str, Any]:
    digests, total = list[Digest](), 0
    for digest, size in chosen:
        digests.append(digest)
        total += size
    digests.sort()
    return {"count": len(digests), "bytes": total, "digests": digests}
