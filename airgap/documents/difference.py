"""The difference between two bundles, locks or receipts: images, attachments, blobs, bytes. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airgap.documents.receipt import Receipt
from airgap.format.catalog import Catalog, savings
from airgap.oci.digest import Digest
from airgap.oci.image import LOOKASIDE, REFERRER, TAG_KINDS, Image
from airgap.oci.reference import Reference

#: Artifact types of referrers that are signatures: cosign 3 bundles and Notary's (notaryproject signature-specification.md).
_SIGNATURE_TYPES = ("application/vnd.dev.sigstore.bundle", "application/vnd.cncf.notary.signature")
_SIG = ".sig"


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
    def sort(self) -> tuple[str, str, bool, bool]:
        """What it is, whatever its content."""
        return self.kind, self.artifact_type, self.of_image, self.is_signature


@dataclass(frozen=True)
class Shown:
    """What a name refers to. ``platforms`` is None if unknown; ``left_out`` are parts that are not carried."""

    digest: Digest
    platforms: tuple[str, ...] | None = None
    hanging: tuple[Hanging, ...] = ()
    left_out: frozenset[Digest] = frozenset()
    is_signature: bool = False


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
            "images": len(self.images),
            "blobs": len(self.blobs),
            "bytes": self.carried,
            "full_bytes": self.full,
            **self.savings,
        }


def of_catalog(catalog: Catalog) -> Compared:
    """A bundle. Held blobs that only patches need are no content of it, as far as a catalog tells which those are."""
    patches = {blob.patch.blob for blob in catalog.blobs.values() if blob.patch}
    bases = {blob.patch.base for blob in catalog.blobs.values() if blob.patch}
    blobs = {digest: blob.size for digest, blob in catalog.blobs.items() if digest not in patches}
    only_bases = {digest for digest in bases if digest and catalog.blobs[digest].held}
    full = sum(size for digest, size in blobs.items() if digest not in only_bases)
    return Compared(catalog.name, "bundle", shown_images(catalog.images), blobs, catalog.total_size, full, savings(catalog.blobs))


def of_receipt(receipt: Receipt) -> Compared:
    """What a site holds. A receipt knows names and digests; attachments appear in it under their own names."""
    blobs = {digest: held.size for digest, held in receipt.holdings.blobs.items()}
    images = {name: Shown(digest, is_signature=name.endswith(_SIG)) for name, digest in receipt.holdings.images.items()}
    label = f"{receipt.site} at {receipt.created}"
    return Compared(label, "receipt", images, blobs, None, sum(blobs.values()))


def shown_images(images: Iterable[Image]) -> dict[str, Shown]:
    """The images of a catalog or a lock by name; a tag that is pinned to a digest is a tag."""
    return {name_of(image.reference): _shown(image) for image in images}


def compare(a: Compared, b: Compared) -> dict[str, Any]:
    """All differences as facts.

    ``same`` says that both stand for the same content by name: images, platforms, attachments and signatures. How it is carried may
    differ.
    """
    both = [name for name in b.images if name in a.images]
    pairs = [(name, a.images[name], b.images[name]) for name in both]
    moved = [_change(name, old, new) for name, old, new in pairs if old.digest != new.digest]
    changed = [_change(name, old, new) for name, old, new in pairs if old.digest == new.digest]
    changed = [change for change in changed if _is_change(change)]
    added = [_entry(name, shown) for name, shown in b.images.items() if name not in a.images]
    removed = [_entry(name, shown) for name, shown in a.images.items() if name not in b.images]
    return {
        "a": a.facts(),
        "b": b.facts(),
        "same": not (added or removed or moved or changed),
        "verified": False,
        "added": added,
        "removed": removed,
        "moved": moved,
        "changed": changed,
        "unchanged": len(both) - len(moved) - len(changed),
        "blobs": {
            "shared": _blobs(b.blobs, a.blobs.keys() & b.blobs.keys()),
            "only_a": _blobs(a.blobs, a.blobs.keys() - b.blobs.keys()),
            "only_b": _blobs(b.blobs, b.blobs.keys() - a.blobs.keys()),
        },
    }


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


def _change(name: str, old: Shown, new: Shown) -> dict[str, Any]:
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
    return {
        "reference": name,
        "from": old.digest,
        "to": new.digest,
        "platforms_gained": [one for one in after_on if one not in before_on] if known else [],
        "platforms_lost": [one for one in before_on if one not in after_on] if known else [],
        "left_out": len(new.left_out - old.left_out),
        "no_longer_left_out": len(old.left_out - new.left_out),
        "gained": _sorts(gained),
        "lost": _sorts(lost),
        "replaced": _sorts(replaced),
        "signatures_lost": sum(count for (_, _, _, signature), count in lost.items() if signature),
    }


def _is_change(change: Mapping[str, Any]) -> bool:
    return any(value for name, value in change.items() if name not in ("reference", "from", "to"))


def _entry(name: str, shown: Shown) -> dict[str, Any]:
    return {
        "reference": name,
        "digest": shown.digest,
        "platforms": list(shown.platforms or ()),
        "attachments": len(shown.hanging),
        "signatures": sum(one.is_signature for one in shown.hanging),
        "is_signature": shown.is_signature,
    }


def _sorts(found: Counter[tuple[str, str, bool, bool]]) -> list[dict[str, Any]]:
    return [
        {
            "kind": kind,
            "artifact_type": artifact_type,
            "of": "image" if of_image else "part",
            "signature": signature,
            "count": count,
        }
        for (kind, artifact_type, of_image, signature), count in sorted(found.items())
    ]


def _blobs(sizes: Mapping[Digest, int], chosen: Iterable[Digest]) -> dict[str, Any]:
    digests = sorted(chosen)
    return {"count": len(digests), "bytes": sum(sizes[digest] for digest in digests), "digests": digests}
