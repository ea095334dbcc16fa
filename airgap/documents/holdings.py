"""Holdings: the blobs that the next bundle need not carry, read from a receipt, a scan of a registry or store, or catalogs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from airgap.oci.digest import Digest


@dataclass(frozen=True, slots=True)
class Held:
    """A blob that is there: its size in bytes and the repositories that it can be read from, sorted.

    Repositories are paths as the target names them (``mirror/docker.io/library/nginx``); from a catalog they are the source
    repositories. None are named where a store keeps all content in one place.
    """

    size: int
    repositories: tuple[str, ...] = ()


@dataclass(frozen=True)
class Holdings:
    """Everything that is held.

    Attributes:
        blobs: what is there by digest, manifests included.
        images: what every name refers to (``repository:tag`` -> digest of its manifest or index); attachments have names, too.
        manifests: which of the blobs are manifests and indexes, where that is known.
    """

    blobs: Mapping[Digest, Held]
    images: Mapping[str, Digest] = field(default_factory=dict)
    manifests: frozenset[Digest] = frozenset()

    @property
    def size(self) -> int:
        """Bytes of all blobs together."""
        return sum(held.size for held in self.blobs.values())
