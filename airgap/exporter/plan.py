"""The plan: the lock laid out. Which blob goes where in which volume, before the first layer byte moves. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from airgap.bundle import frame, names
from airgap.bundle.catalog import layout_members
from airgap.bundle.frame import Extent, Step
from airgap.errors import RegistryError
from airgap.exporter.lock import Lock, placed_blobs
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.image import Image
from airgap.oci.reference import Repository


@dataclass(frozen=True, slots=True)
class Placed:
    """One blob to fetch: where from, what it must be, and where its bytes go."""

    repository: Repository
    descriptor: Descriptor
    extents: tuple[Extent, ...]
    metadata: bool


@dataclass(frozen=True)
class Plan:
    """The whole layout. ``sizes`` are the bytes of every volume; ``images`` know the volumes they need."""

    lock: Lock
    volume_size: int | None
    images: tuple[Image, ...]
    blobs: dict[Digest, Placed]
    sizes: tuple[int, ...]

    def steps(self) -> Iterator[Step]:
        """Every stretch of every volume in order (``frame.walk``)."""
        blobs = [(digest, placed.descriptor.size) for digest, placed in self.blobs.items()]
        return frame.walk(layout_members(self.lock.images, blobs), self.volume_size)

    @property
    def contents(self) -> dict[Digest, bytes]:
        """Blobs whose bytes the lock holds: signatures from lookaside stores."""
        return {s.digest: s.content for image in self.lock.images for s in image.signatures if s.content is not None}

    @property
    def download(self) -> int:
        """Bytes to fetch."""
        return sum(placed.descriptor.size for placed in self.blobs.values())

    @property
    def written(self) -> int:
        """Bytes of all volumes."""
        return sum(self.sizes)


def lay_out(lock: Lock, volume_size: int | None) -> Plan:
    """Fix the place of every byte.

    Args:
        lock: the resolved list.
        volume_size: the most bytes a volume may have, or None for one volume.

    Raises:
        RegistryError: two images describe one digest with different sizes.
    """
    order: dict[Digest, tuple[Repository, Descriptor, bool]] = {}
    for repository, _, descriptor, metadata in placed_blobs(lock):
        order[descriptor.digest] = (repository, descriptor, metadata)
    _check_sizes(lock, {digest: descriptor.size for digest, (_, descriptor, _) in order.items()})
    sized = [(digest, descriptor.size) for digest, (_, descriptor, _) in order.items()]
    computed = frame.measure(layout_members(lock.images, sized), volume_size)
    blobs = {
        digest: Placed(repository, descriptor, computed.extents[names.blob_path(digest)], metadata)
        for digest, (repository, descriptor, metadata) in order.items()
    }
    images = tuple(replace(image, volumes=_volumes(lock, image, blobs)) for image in lock.images)
    return Plan(lock, volume_size, images, blobs, computed.sizes)


def _check_sizes(lock: Lock, sizes: dict[Digest, int]) -> None:
    for image in lock.images:
        for node in lock.walk(image):
            for descriptor in (node.descriptor, *node.blobs, *node.children):
                size = sizes.get(descriptor.digest, descriptor.size)
                if size != descriptor.size:
                    raise RegistryError(
                        "two descriptors of one blob state different sizes",
                        where=f"{image.reference}: manifest {node.descriptor.digest}: blob {descriptor.digest}",
                        expected=f"{size} bytes, as stated elsewhere",
                        got=f"{descriptor.size} bytes",
                    )


def _volumes(lock: Lock, image: Image, blobs: dict[Digest, Placed]) -> tuple[int, ...]:
    """The volumes an image needs; volume 1 always, for its index."""
    found = {1}
    for node in lock.walk(image):
        for descriptor in (node.descriptor, *node.blobs):
            placed = blobs.get(descriptor.digest)
            found.update(extent.volume for extent in placed.extents) if placed else None
    for signature in image.signatures:
        found.update(extent.volume for extent in blobs[signature.digest].extents)
    return tuple(sorted(found))


def summary(plan: Plan) -> dict[str, Any]:
    """The plan as facts for a table or ``--json``: per image its own and shared bytes, per volume its size."""
    seen: set[Digest] = set()
    rows = []
    for image in plan.images:
        sizes = {d.digest: d.size for node in plan.lock.walk(image) for d in (node.descriptor, *node.blobs)}
        fresh = {digest: size for digest, size in sizes.items() if digest not in seen and digest in plan.blobs}
        seen |= set(sizes)
        rows.append(
            {
                "reference": str(image.reference),
                "digest": str(image.root.digest),
                "platforms": list(image.platforms),
                "attachments": len(image.attachments) + len(image.signatures),
                "new_bytes": sum(fresh.values()),
                "shared_bytes": sum(sizes.values()) - sum(fresh.values()),
                "omitted": len(image.omitted),
                "foreign": [str(digest) for digest in image.foreign],
                "volumes": list(image.volumes),
            }
        )
    volumes = [{"name": names.volume_name(i), "size": size} for i, size in enumerate(plan.sizes, 1)]
    return {"images": rows, "volumes": volumes, "blobs": len(plan.blobs), "download": plan.download, "bundle": plan.written}
