"""What is to be fetched and where it goes, for very many blobs: made when somebody asks, out of tables. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from airgap.format.blobtable import BlobTable
from airgap.format.frame import Extent
from airgap.oci.descriptor import Descriptor, DescriptorTable
from airgap.oci.digest import Digest
from airgap.oci.reference import Repository


@dataclass(frozen=True, slots=True)
class PlacedMember:
    """One blob to fetch: its source, its descriptor, and its place."""

    repository: Repository
    descriptor: Descriptor
    extents: tuple[Extent, ...]
    metadata: bool


class PlacedBlobs(Mapping[Digest, PlacedMember]):
    """Every blob to fetch, in media order.

    Attributes:
        table: where each goes.
    """

    def __init__(self) -> None:
        self.table = BlobTable()
        self._descriptors = DescriptorTable()
        self._repositories: dict[Repository, int] = {}
        self._named: list[Repository] = []
        self._from = array("I")
        self._metadata = bytearray()

    def add(self, repository: Repository, descriptor: Descriptor, metadata: bool) -> None:
        """Add a blob behind all others, unless it is there; its place is told to ``table`` when all are there."""
        if self._descriptors.add(descriptor) < len(self._from):
            return
        number = self._repositories.setdefault(repository, len(self._named))
        if number == len(self._named):
            self._named.append(repository)
        self._from.append(number)
        self._metadata.append(metadata)

    def __getitem__(self, digest: Digest) -> PlacedMember:
        """As a mapping. Raises ``KeyError``."""
        number = self._descriptors.number(digest)
        if number is None:
            raise KeyError(digest)
        repository, metadata = self._named[self._from[number]], bool(self._metadata[number])
        return PlacedMember(repository, self._descriptors[number], self.table[digest].extents, metadata)

    def __contains__(self, digest: object) -> bool:
        return isinstance(digest, Digest) and self._descriptors.number(digest) is not None

    def __iter__(self) -> Iterator[Digest]:
        return self._descriptors.digests()

    def size(self, digest: Digest) -> int | None:
        """The size of a blob in bytes; None where it is not there."""
        number = self._descriptors.number(digest)
        return None if number is None else self._descriptors.size(number)

    def sized(self) -> Iterator[tuple[Digest, int]]:
        """Every digest and its size in bytes, without its place."""
        return ((digest, self._descriptors.size(number)) for number, digest in enumerate(self._descriptors.digests()))

    def __len__(self) -> int:
        return len(self._descriptors)
