"""The plan: the layout of a lock, with the place of every blob in the volumes, before any layer is fetched. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from airgap.cipher.forms import PIECE, TAG_SIZE
from airgap.documents.holdings import Held
from airgap.errors import RegistryError, UsageError
from airgap.format import frame, names
from airgap.format.blobtable import BlobTable
from airgap.format.catalog import Blob, Patch, layout_members, memory_needed
from airgap.format.entries import blob_json
from airgap.format.frame import Step
from airgap.limits import MAX_ATTESTATION, MAX_CATALOG_MEMORY, MAX_RECIPIENTS, MAX_SHARES, MAX_SIGNATURE_BLOB
from airgap.oci import media, strictjson
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest, DigestTable
from airgap.oci.image import Image
from airgap.planning.lock import Lock, placed_blobs
from airgap.planning.placed import PlacedBlobs
from airgap.text import plural
from airgap.trust.keys.evidence import DSSE_ENVELOPE, SIGSTORE_BUNDLE

#: A base layer may be in hundreds of repositories: so many are named, and where the image goes is looked at anyway.
_MAX_HINTS = 16
#: What a block's digest and a file take in a catalog, and a block's digest more when it is parsed, in bytes: at most.
_BLOCK, _FILE, _PARSED = 67, 256, 112


@dataclass(frozen=True, slots=True)
class Made:
    """A patch that was created and proved: how it is used, its size in bytes, and the file that holds it until it is placed.

    A patch carried over from another bundle has no file: it is read from the source like other blobs.
    """

    patch: Patch
    size: int
    path: Path | None


@dataclass(frozen=True)
class Plan:
    """The whole layout.

    Attributes:
        lock: what is carried.
        volume_size: the largest size of a volume in bytes, or None for one volume.
        images: the images, with the volumes they need.
        blobs: everything that is written, patches included.
        sizes: bytes of every volume.
        held: blobs that are not carried because the site has them, including those that only a patch needs.
        patched: blobs that are rebuilt from a patch.
        parity: the number of parity files.
    """

    lock: Lock
    volume_size: int | None
    images: tuple[Image, ...]
    blobs: PlacedBlobs
    sizes: tuple[int, ...]
    held: Mapping[Digest, Held] = field(default_factory=dict)
    patched: Mapping[Digest, tuple[Descriptor, Made]] = field(default_factory=dict)
    parity: int = 0

    def steps(self) -> Iterator[Step]:
        """Every section of every volume in order (``frame.walk``)."""
        return frame.walk(layout_members(self.lock.images, self.blobs.sized()), self.volume_size)

    @property
    def contents(self) -> dict[Digest, bytes]:
        """Blobs whose bytes the lock holds (``Lock.contents``)."""
        return self.lock.contents

    @property
    def files(self) -> dict[Digest, Path]:
        """Blobs that were created here: patches."""
        return {made.patch.blob: made.path for _, made in self.patched.values() if made.path is not None}

    @property
    def catalog_blobs(self) -> BlobTable:
        """The catalog's entries for all blobs."""
        if not self.held and not self.patched:
            return self.blobs.table
        found = BlobTable(self.blobs.table.items())
        for digest, held in self.held.items():
            found.add(digest, Blob(held.size, held=True, repositories=held.repositories[:_MAX_HINTS]))
        for digest, (one, made) in self.patched.items():
            found.add(digest, Blob(one.size, patch=made.patch))
        return found

    @property
    def download(self) -> int:
        """Bytes to fetch."""
        return sum(size for _, size in self.blobs.sized())

    @property
    def written(self) -> int:
        """Bytes of all volumes."""
        return sum(self.sizes)

    @property
    def parity_sizes(self) -> tuple[int, ...]:
        """Bytes of every parity file: each is as large as the largest volume."""
        return (max(self.sizes),) * self.parity


def lay_out(
    lock: Lock,
    volume_size: int | None,
    held: Mapping[Digest, Held] | None = None,
    patches: Mapping[Digest, Made] | None = None,
    parity: int = 0,
) -> Plan:
    """Fix the place of every byte.

    Args:
        lock: the resolved list.
        volume_size: the largest size of a volume in bytes, or None for one volume.
        held: what the site has.
        patches: the patches that were created, by the digest of the layer they rebuild.
        parity: the number of parity files.

    Raises:
        RegistryError: two images describe one digest with different sizes.
        UsageError: there are too many volumes for the parity files, or more content than a catalog can hold.
    """
    held, patches = held or {}, patches or {}
    free = holdable(lock) if held or patches else set[Digest]()
    absent = {digest: held[digest] for digest in free if digest in held}
    blobs = PlacedBlobs()
    patched: dict[Digest, tuple[Descriptor, Made]] = {}
    for repository, _, descriptor, metadata in placed_blobs(lock):
        if descriptor.digest in absent:
            continue
        if descriptor.digest in free and (made := patches.get(descriptor.digest)):
            patched[descriptor.digest] = descriptor, made
            descriptor, metadata = Descriptor(media.OCTETS, made.patch.blob, made.size), False
        blobs.add(repository, descriptor, metadata)
    _check_sizes(lock, blobs, patched)
    bases = {made.patch.base for _, made in patched.values() if made.patch.base}
    absent |= {digest: held[digest] for digest in bases & held.keys() if digest not in blobs}  # a base may be carried as well
    volumes: list[int] = []
    members = frame.measured(layout_members(lock.images, blobs.sized()), volume_size, volumes)
    for (digest, size), (_, extents) in zip(blobs.sized(), members, strict=True):
        blobs.table.add(digest, Blob(size, extents))
    images = tuple(replace(image, volumes=_volumes(lock, blobs.table, patched, image)) for image in lock.images)
    plan = Plan(lock, volume_size, images, blobs, tuple(volumes), absent, patched, parity)
    _check_parity(plan)
    _check_readable(plan)
    return plan


def holdable(lock: Lock) -> set[Digest]:
    """The blobs that need not be carried whole: the site has them, or a patch rebuilds them.

    Manifests, small parts of attachments and attestations are always carried: the importer decides by them before it asks the
    target anything.
    """
    found: set[Digest] = set()
    judged: set[Digest] = set()
    for image in lock.images:
        attached = {attachment.descriptor.digest for attachment in image.attachments}
        inside = True
        for node in lock.walk(image):
            inside = inside and node.descriptor.digest not in attached  # attachments come last
            judged |= {node.descriptor.digest}
            judged |= {blob.digest for blob in node.blobs if not inside and blob.size <= _most(blob.media_type)}
            found |= {blob.digest for blob in node.blobs}
        judged |= {signature.digest for signature in image.signatures}
    return found - judged


def _most(media_type: str) -> int:
    """How large a part of an attachment may be that is read to decide about the image, in bytes."""
    return MAX_ATTESTATION if media_type in (DSSE_ENVELOPE, SIGSTORE_BUNDLE) else MAX_SIGNATURE_BLOB


def _check_sizes(
    lock: Lock,
    carried: PlacedBlobs,
    patched: Mapping[Digest, tuple[Descriptor, Made]],
) -> None:
    sizes = {digest: one.size for digest, (one, _) in patched.items()}  # of what is not carried whole
    for image in lock.images:
        for node in lock.walk(image):
            for descriptor in (node.descriptor, *node.blobs, *node.children):
                size = carried.size(descriptor.digest)
                if size is None:
                    size = sizes.setdefault(descriptor.digest, descriptor.size)
                if size != descriptor.size:
                    raise RegistryError(
                        "two descriptors of one blob state different sizes",
                        where=f"{image.reference}: manifest {node.descriptor.digest}: blob {descriptor.digest}",
                        expected=f"{size} bytes, as stated elsewhere",
                        got=f"{descriptor.size} bytes",
                    )


def _check_readable(plan: Plan) -> None:
    """Nobody could open a bundle with more in its catalog than readers take."""
    blobs = plan.catalog_blobs
    needed = memory_needed(plan.images, blobs, (*plan.sizes, *plan.parity_sizes))
    if needed > MAX_CATALOG_MEMORY:
        raise UsageError(
            "there are more images and blobs than one bundle can hold",
            expected=f"what takes {MAX_CATALOG_MEMORY >> 20} MiB to read, such as a million blobs in 100,000 images",
            got=f"{plural(len(plan.images), 'image')} and {plural(len(blobs), 'blob')}, {needed >> 20} MiB",
            hint="split the list and export each part as its own stream",
        )


def check_sealable(plan: Plan) -> None:
    """Nobody could open an encrypted bundle with more in its catalog than readers take of one that is encrypted.

    Raises:
        UsageError: there is more.
    """
    files = (*plan.sizes, *plan.parity_sizes)
    blocks = sum(-(-size // names.BLOCK_SIZE) for size in files)
    inside = sum(len(strictjson.canonical(image.to_json())) + 1 for image in plan.images) + _BLOCK * blocks + _FILE * len(files)
    inside += sum(len(digest) + 4 + len(strictjson.canonical(blob_json(blob))) for digest, blob in plan.catalog_blobs.items())
    tags = sum(-(-size // PIECE) * TAG_SIZE for size in plan.sizes)
    text = (inside + tags) * 4 // 3 + _BLOCK * blocks + _FILE * (len(files) + MAX_RECIPIENTS)
    if 2 * text + _PARSED * blocks > strictjson.MAX_MEMORY:
        raise UsageError(
            "there is more than one encrypted bundle can hold",
            expected=f"a catalog that takes {strictjson.MAX_MEMORY >> 20} MiB to read, such as 250,000 blobs in 1 TB",
            got=f"{plural(len(plan.images), 'image')}, {plural(len(plan.blobs), 'blob')} and {plan.written >> 30} GiB",
            hint="split the list and export each part as its own stream",
        )


def _check_parity(plan: Plan) -> None:
    if plan.parity and len(plan.sizes) + plan.parity > MAX_SHARES:
        enough = -(-plan.written * 21 // 20 // (MAX_SHARES - plan.parity) // 10**6) + 1
        raise UsageError(
            "too many volumes for parity",
            expected=f"{MAX_SHARES} volumes and parity files at most",
            got=f"{plural(len(plan.sizes), 'volume')} and {plural(plan.parity, 'parity file')}",
            hint=f"use larger volumes: --volume-size {enough}MB or more; nothing has been fetched",
        )


def _volumes(lock: Lock, blobs: BlobTable, patched: Mapping[Digest, tuple[Descriptor, Made]], image: Image) -> tuple[int, ...]:
    """The volumes an image needs; volume 1 always, for its index."""
    found = {1}
    needed = [d.digest for node in lock.walk(image) for d in (node.descriptor, *node.blobs)]
    needed += [signature.digest for signature in image.signatures]
    while needed:
        digest = needed.pop()
        if placed := blobs.get(digest):
            found.update(extent.volume for extent in placed.extents)
        elif digest in patched:
            patch = patched[digest][1].patch
            needed += [patch.blob, *([patch.base] if patch.base else [])]
    return tuple(sorted(found))


def summary(plan: Plan) -> dict[str, Any]:
    """The plan as facts for a table or ``--json``: per image its own and shared bytes, per volume its size."""
    seen = DigestTable()
    rows = []
    for image in plan.images:
        sizes = {d.digest: d.size for node in plan.lock.walk(image) for d in (node.descriptor, *node.blobs)}
        held = {digest: size for digest, size in sizes.items() if digest in plan.held}
        fresh = {d: size for d, size in sizes.items() if d not in seen and (d in plan.blobs or d in plan.patched)}
        for digest in sizes:
            seen.add(digest)
        rows.append(
            {
                "reference": str(image.reference),
                "digest": str(image.root.digest),
                "platforms": list(image.platforms),
                "attachment_count": image.attachment_count,
                "new_bytes": sum(fresh.values()),
                "shared_bytes": sum(sizes.values()) - sum(fresh.values()) - sum(held.values()),
                "held_bytes": sum(held.values()),
                "omitted_count": len(image.omitted),
                "foreign_layers": [str(digest) for digest in image.foreign],
                "volume_numbers": list(image.volumes),
            }
        )
    volumes = [{"name": names.volume_name(i), "size": size} for i, size in enumerate(plan.sizes, 1)]
    parity = [{"name": names.parity_name(i), "size": size} for i, size in enumerate(plan.parity_sizes, 1)]
    held_parts = [held.size for digest, held in plan.held.items() if digest in seen]
    return {
        "images": rows,
        "volumes": volumes,
        "parity": parity,
        "parity_bytes": sum(plan.parity_sizes),
        "blob_count": len(plan.blobs),
        "download": plan.download,
        "bundle_bytes": plan.written,
        "held_blobs": len(held_parts),
        "held_bytes": sum(held_parts),
    }
