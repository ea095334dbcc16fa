"""Very many blobs in little memory: a mapping from digests to :class:`~airgap.format.entries.Blob`, kept as numbers in a row. Pure.

Of a blob that is carried in one piece, which nearly all are, it keeps 52 bytes and makes the ``Blob`` when somebody asks. All
others it keeps as they are. A million blobs take some 65 MB; as objects in a dictionary they would take half a gigabyte.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import ItemsView, Iterable, Iterator, Mapping, ValuesView

from airgap.format.entries import Blob
from airgap.format.frame import Extent
from airgap.oci.digest import Digest

_KIND = "sha256:"
_WIDTH = 32
#: Slots of the index for each row, at least: the fewer are free, the longer the search.
_SPARE = 2
_MOST = 2**32


class BlobTable(Mapping[Digest, Blob]):
    """Blobs by digest: first those that are carried in one piece, in the order in which they were added, then all others.

    Args:
        entries: what it begins with.
    """

    def __init__(self, entries: Iterable[tuple[Digest, Blob]] = ()) -> None:
        self._digests = bytearray()
        self._sizes = array("Q")
        self._volumes = array("I")
        self._offsets = array("Q")
        self._others: dict[Digest, Blob] = {}
        self._slots = array("I", bytes(array("I").itemsize * 16))  # row + 1, or 0
        for digest, blob in entries:
            self.add(digest, blob)

    def add(self, digest: Digest, blob: Blob) -> None:
        """Add a blob that is not there yet.

        Raises:
            ValueError: it is there.
        """
        if digest in self:
            raise ValueError(f"duplicate key {str(digest)!r}")
        if not is_plain(digest, blob):
            self._others[digest] = blob
            return
        if _SPARE * (len(self._sizes) + 1) > len(self._slots):
            self._grow()
        (extent,) = blob.extents
        raw = bytes.fromhex(digest[len(_KIND) :])
        self._digests += raw
        self._sizes.append(blob.size)
        self._volumes.append(extent.volume)
        self._offsets.append(extent.offset)
        self._enter(raw, len(self._sizes))

    def __getitem__(self, digest: Digest) -> Blob:
        """The blob of a digest. Raises ``KeyError``."""
        row = self._row(digest)
        return self._others[digest] if row is None else self._blob(row)

    def get(self, digest: Digest, default: object = None) -> Blob | None:  # type: ignore[override]
        """The blob of a digest, or ``default``."""
        row = self._row(digest)
        return self._others.get(digest, default) if row is None else self._blob(row)  # type: ignore[arg-type]

    def __contains__(self, digest: object) -> bool:
        return isinstance(digest, str) and (self._row(digest) is not None or digest in self._others)

    def __iter__(self) -> Iterator[Digest]:
        yield from map(self._digest, range(len(self._sizes)))
        yield from self._others

    def __len__(self) -> int:
        return len(self._sizes) + len(self._others)

    def items(self) -> ItemsView[Digest, Blob]:
        """Digests and blobs, without a search for each."""
        return _Items(self)

    def values(self) -> ValuesView[Blob]:
        """The blobs, without a search for each."""
        return _Values(self)

    def in_media_order(self) -> Iterator[tuple[Digest, Blob]]:
        """The blobs that are carried, in the order in which they lie on the media."""
        rows = sorted(range(len(self._sizes)), key=lambda row: self._volumes[row] << 64 | self._offsets[row])
        others = sorted(((digest, blob) for digest, blob in self._others.items() if blob.extents), key=_place)
        return heapq.merge(((self._digest(row), self._blob(row)) for row in rows), others, key=_place)

    def _entries(self) -> Iterator[tuple[Digest, Blob]]:
        yield from ((self._digest(row), self._blob(row)) for row in range(len(self._sizes)))
        yield from self._others.items()

    def _blobs(self) -> Iterator[Blob]:
        yield from map(self._blob, range(len(self._sizes)))
        yield from self._others.values()

    def _digest(self, row: int) -> Digest:
        return Digest(_KIND + self._digests[row * _WIDTH : (row + 1) * _WIDTH].hex())

    def _blob(self, row: int) -> Blob:
        size = self._sizes[row]
        return Blob(size, (Extent(self._volumes[row], self._offsets[row], size),))

    def _row(self, digest: str) -> int | None:
        """The row of a digest; None where it has none."""
        if not digest.startswith(_KIND) or not self._sizes:
            return None
        try:
            raw = bytes.fromhex(digest[len(_KIND) :])
        except ValueError:
            return None
        mask = len(self._slots) - 1
        at = hash(raw) & mask  # secret to this process, so nobody can choose digests that meet in one place
        while number := self._slots[at]:
            if self._digests[(number - 1) * _WIDTH : number * _WIDTH] == raw:
                return number - 1
            at = (at + 1) & mask
        return None

    def _enter(self, raw: bytes, number: int) -> None:
        mask = len(self._slots) - 1
        at = hash(raw) & mask
        while self._slots[at]:
            at = (at + 1) & mask
        self._slots[at] = number

    def _grow(self) -> None:
        self._slots = array("I", bytes(self._slots.itemsize * 2 * len(self._slots)))
        for number in range(1, len(self._sizes) + 1):
            self._enter(bytes(self._digests[(number - 1) * _WIDTH : number * _WIDTH]), number)


class _Items(ItemsView[Digest, Blob]):
    _mapping: BlobTable

    def __iter__(self) -> Iterator[tuple[Digest, Blob]]:
        return self._mapping._entries()


class _Values(ValuesView[Blob]):
    _mapping: BlobTable

    def __iter__(self) -> Iterator[Blob]:
        return self._mapping._blobs()


def table_of(blobs: Mapping[Digest, Blob]) -> BlobTable:
    """The same blobs as a table."""
    return blobs if isinstance(blobs, BlobTable) else BlobTable(blobs.items())


def memory_of(blob: Blob) -> int:
    """What a blob counts for against the limit of readers, in bytes: more than it takes in a table."""
    return 360 + 64 * len(blob.extents) + 128 * len(blob.repositories) + 256 * (blob.patch is not None)


def _place(entry: tuple[Digest, Blob]) -> tuple[Extent, Digest]:
    return entry[1].extents[0], entry[0]


def is_plain(digest: Digest, blob: Blob) -> bool:
    """Whether a row says all there is to say about a blob."""
    if len(blob.extents) != 1 or blob.held or blob.repositories or blob.patch is not None or not digest.startswith(_KIND):
        return False
    extent = blob.extents[0]
    return extent.length == blob.size < 2**64 and extent.volume < _MOST and extent.offset < 2**64
