"""The size of every image of a bundle: which blobs it needs, and which of them it shares.

The catalog says where blobs are, not whose they are: that is in the manifests, which are read from the volumes and checked against
their digests. An image whose manifests cannot be read here has no weight, and a reason why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from airgap.bundle.store import BundleStore
from airgap.errors import AirgapError, MediaError
from airgap.format.catalog import Blob
from airgap.oci.descriptor import Descriptor, Platform
from airgap.oci.digest import Digest
from airgap.oci.image import Image
from airgap.progress import Progress

_UNKNOWN = "unknown"


@dataclass(frozen=True)
class Weight:
    """One image.

    Attributes:
        size: bytes of everything that it consists of, its attachments included, each blob once.
        carried: bytes that this bundle carries for that: a patch in place of a layer, nothing for what the site holds.
        own: those of ``carried`` that no other image needs.
        platforms: bytes of what each platform runs.
        unread: why this is not known, or nothing.
    """

    size: int = 0
    carried: int = 0
    own: int = 0
    platforms: Mapping[str, int] = field(default_factory=dict)
    unread: str = ""


@dataclass(frozen=True)
class Weights:
    """All images.

    Attributes:
        images: by the digest of the root.
        shared: carried bytes that several images need; once.
        saved: bytes that would be carried besides if nothing were shared.
        shared_blobs: how many blobs several images need.
    """

    images: Mapping[Digest, Weight]
    shared: int
    saved: int
    shared_blobs: int


@dataclass(frozen=True)
class _Node:
    """The little of a manifest that matters here."""

    children: tuple[Descriptor, ...]
    blobs: tuple[Descriptor, ...]


def carried_bytes(blob: Blob | None, blobs: Mapping[Digest, Blob]) -> int:
    """What a bundle carries for a blob, in bytes."""
    if blob is None or blob.held:
        return 0
    if blob.patch is not None:
        patch = blobs.get(blob.patch.blob)
        return patch.size if patch is not None else 0
    return blob.size


def weigh(store: BundleStore, progress: Progress) -> Weights:
    """Read every manifest once and add up.

    Args:
        store: the bundle; volumes may be missing.
        progress: told about every image.
    """
    progress.stage("reading manifests", 0, len(store.catalog.images))
    walk, catalog = _WeightWalk(store), store.catalog
    parts: dict[Digest, dict[Digest, int]] = {}
    found: dict[Digest, Weight] = {}
    for image in catalog.images:
        progress.at(str(image.reference))
        progress.advance(0, 1)
        if image.root.digest in parts or image.root.digest in found:
            continue
        try:
            parts[image.root.digest], platforms = walk.image(image)
        except MediaError:  # a disk that fails makes no report with less in it
            raise
        except AirgapError as error:
            found[image.root.digest] = Weight(unread=str(error))
            continue
        found[image.root.digest] = Weight(sum(parts[image.root.digest].values()), platforms=platforms)
    users = Counter(digest for one in parts.values() for digest in one)
    costs = {digest: carried_bytes(catalog.blobs.get(digest), catalog.blobs) for digest in users}
    for root, one in parts.items():
        own = sum(costs[digest] for digest in one if users[digest] == 1)
        carried = sum(costs[digest] for digest in one)
        found[root] = Weight(found[root].size, carried, own, found[root].platforms)
    many = [digest for digest, count in users.items() if count > 1]
    saved = sum(costs[digest] * (users[digest] - 1) for digest in many)
    return Weights(found, sum(costs[digest] for digest in many), saved, len(many))


class _WeightWalk:
    """From roots to blobs; a manifest that several images have is read once."""

    def __init__(self, store: BundleStore) -> None:
        self._store = store
        self._nodes: dict[Digest, _Node] = {}

    def image(self, image: Image) -> tuple[dict[Digest, int], dict[str, int]]:
        """Every blob with its size, and bytes by platform. Raises ``AirgapError``: a manifest cannot be read."""
        parts = {signature.digest: signature.size for signature in image.signatures}
        platforms: dict[str, dict[Digest, int]] = {}
        omitted = frozenset(image.omitted)
        for descriptor, inherited, node in self._below(image.root, omitted):
            blobs = {descriptor.digest: descriptor.size} | {blob.digest: blob.size for blob in node.blobs}
            parts |= blobs
            if not node.children:
                platforms.setdefault(_platform(inherited, image), {}).update(blobs)
        for attachment in image.attachments:
            for descriptor, _, node in self._below(attachment.descriptor, frozenset()):
                parts |= {descriptor.digest: descriptor.size} | {blob.digest: blob.size for blob in node.blobs}
        foreign = set(image.foreign)
        return (
            {digest: size for digest, size in parts.items() if digest not in foreign},
            {name: sum(blobs.values()) for name, blobs in platforms.items() if _UNKNOWN not in name},
        )

    def _below(self, root: Descriptor, omitted: frozenset[Digest]) -> Iterator[tuple[Descriptor, Platform | None, _Node]]:
        todo: list[tuple[Descriptor, Platform | None]] = [(root, root.platform)]
        seen: set[Digest] = set()
        while todo:
            descriptor, inherited = todo.pop()
            if descriptor.digest in seen or descriptor.digest in omitted:
                continue
            seen.add(descriptor.digest)
            node = self._node(descriptor.digest)
            yield descriptor, inherited, node
            todo += [(child, child.platform or inherited) for child in node.children]

    def _node(self, digest: Digest) -> _Node:
        node = self._nodes.get(digest)
        if node is None:
            manifest = self._store.find_manifest(digest)
            node = self._nodes[digest] = _Node(manifest.children, tuple(manifest.blobs()))
        return node


def _platform(found: Platform | None, image: Image) -> str:
    if found is not None:
        return str(found)
    return image.platforms[0] if image.platforms else "not stated"
