"""What is to be fetched and where it goes, for very many blobs: made when somebody asks, out of the lock and a table. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from airgap.format.blobtable import BlobTable
from airgap.format.frame import Extent
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.reference import Repository


@dataclass(frozen=True, slots=True)
class PlacedMember:
    """One blob to fetch: its source, its descriptor, and its place."""

    repository: Repository
    descriptor: Descriptor
    extents: tuple[Extent, ...]
    metadata: bool


@dataclass(frozen=True)
class PlacedBlobs(Mapping[Digest, PlacedMember]):
    """Every blob to fetch, in media order.

    Attributes:
        sources: where each is fetched from, and whether it is metadata.
        table: where each goes.
    """

    sources: Mapping[Digest, tuple[Repository, Descriptor, bool]]
    table: BlobTable

    def __getitem__(self, digest: Digest) -> PlacedMember:
        """As a mapping. Raises ``KeyError``."""
        repository, descriptor, metadata = self.sources[digest]
        return PlacedMember(repository, descriptor, self.table[digest].extents, metadata)

    def __iter__(self) -> Iterator[Digest]:
        return iter(self.sources)

    def sized(self) -> Iterator[tuple[Digest, int]]:
        """Every digest and its size in bytes, without its place."""
        return ((digest, descriptor.size) for digest, (_, descriptor, _) in self.sources.items())

    def __len__(self) -> int:
        return len(self.sources)
