"""Holdings: the blobs that the next bundle need not carry, read from a receipt, a scan of a registry or store, or catalogs."""

from __future__ import annotations

from array import array
from collections.abc import ItemsView, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from airgap.oci.digest import Digest, DigestTable


@dataclass(frozen=True, slots=True)
class Held:
    """A blob that is there: its size in bytes and the repositories that it can be read from, sorted.

    Repositories are paths as the target names them (``mirror/docker.io/library/nginx``); from a catalog they are the source
    repositories. None are named where a store keeps all content in one place.
    """

    size: int
    repositories: tuple[str, ...] = ()


class SizeTable(Mapping[Digest, int]):
    """Sizes of very many blobs in little memory. The first size of a digest counts.

    Args:
        entries: digests and sizes in bytes.
    """

    def __init__(self, entries: Iterable[tuple[Digest, int]] = ()) -> None:
        self._digests = DigestTable()
        self._sizes = array("Q")
        for digest, size in entries:
            self.add(digest, size)

    def add(self, digest: Digest, size: int) -> bool:
        """Add a blob; whether it is new."""
        is_new = self._digests.add(digest) == len(self._sizes)
        if is_new:
            self._sizes.append(size)
        return is_new

    def number(self, digest: object) -> int | None:
        """The number of a blob, in the order of adding; None where it is not there."""
        return self._digests.number(digest)

    def __getitem__(self, digest: Digest) -> int:
        """The size of a blob in bytes. Raises ``KeyError``."""
        number = self._digests.number(digest)
        if number is None:
            raise KeyError(digest)
        return self._sizes[number]

    def __contains__(self, digest: object) -> bool:
        return self._digests.number(digest) is not None

    def __iter__(self) -> Iterator[Digest]:
        return iter(self._digests)

    def __len__(self) -> int:
        return len(self._sizes)

    def items(self) -> ItemsView[Digest, int]:
        """Digests and sizes, without a search for each."""
        return _Sizes(self)

    def entries(self) -> Iterator[tuple[Digest, int]]:
        """As :meth:`items`."""
        return zip(self._digests, self._sizes, strict=True)


class _Sizes(ItemsView[Digest, int]):
    _mapping: SizeTable

    def __iter__(self) -> Iterator[tuple[Digest, int]]:
        return self._mapping.entries()


class HeldTable(Mapping[Digest, Held]):
    """Very many blobs that are there, in little memory; many share their repositories."""

    def __init__(self) -> None:
        self._sizes = SizeTable()
        self._places = array("I")
        self._numbers: dict[tuple[str, ...], int] = {}
        self._known: list[tuple[str, ...]] = []

    def add(self, digest: Digest, size: int, repositories: tuple[str, ...] = ()) -> bool:
        """Add a blob; whether it is new. What was added first counts."""
        is_new = self._sizes.add(digest, size)
        if is_new:
            number = self._numbers.setdefault(repositories, len(self._known))
            if number == len(self._known):
                self._known.append(repositories)
            self._places.append(number)
        return is_new

    def __getitem__(self, digest: Digest) -> Held:
        """What is there of a digest. Raises ``KeyError``."""
        number = self._sizes.number(digest)
        if number is None:
            raise KeyError(digest)
        return Held(self._sizes[digest], self._known[self._places[number]])

    def __contains__(self, digest: object) -> bool:
        return digest in self._sizes

    def __iter__(self) -> Iterator[Digest]:
        return iter(self._sizes)

    def __len__(self) -> int:
        return len(self._sizes)

    def items(self) -> ItemsView[Digest, Held]:
        """Digests and what is there, without a search for each."""
        return _Rows(self)

    def entries(self) -> Iterator[tuple[Digest, Held]]:
        """As :meth:`items`."""
        for (digest, size), number in zip(self._sizes.entries(), self._places, strict=True):
            yield digest, Held(size, self._known[number])


class _Rows(ItemsView[Digest, Held]):
    _mapping: HeldTable

    def __iter__(self) -> Iterator[tuple[Digest, Held]]:
        return self._mapping.entries()


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
        return sum(held.size for _, held in self.blobs.items())
