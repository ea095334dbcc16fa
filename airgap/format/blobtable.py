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
from airgap.oci.digest import Digest, DigestTable

_KIND = "sha256:"
_MOST = 2**32


class BlobTable(Mapping[Digest, Blob]):
    """Blobs by digest: first those that are carried in one piece, in the order in which they were added, then all others.

    Args:
        entries: what it begins with.
    """

    def __init__(self, entries: Iterable[tuple[Digest, Blob]] = ()) -> None:
        self._digests = DigestTable()
        self._sizes = array("Q")
        self._volumes = array("I")
        self._offsets = array("Q")
        self._others: dict[Digest, Blob] = {}
        for digest, blob in entries:
            self.add(digest, blob)

    def add(self, digest: Digest, blob: Blob) -> None:
        """Add a blob that is not there yet.

        Raises:
            ValueError: it is there.
        """
        plain = is_plain(digest, blob)
        if digest in self._others or (self._digests.add(digest) < len(self._sizes) if plain else digest in self._digests):
            raise ValueError(f"duplicate key {str(digest)!r}")
        if not plain:
            self._others[digest] = blob
            return
        (extent,) = blob.extents
        self._sizes.append(blob.size)
        self._volumes.append(extent.volume)
        self._offsets.append(extent.offset)

    def __getitem__(self, digest: Digest) -> Blob:
        """The blob of a digest. Raises ``KeyError``."""
        row = self._digests.number(digest)
        return self._others[digest] if row is None else self._blob(row)

    def get(self, digest: Digest, default: object = None) -> Blob | None:  # type: ignore[override]
        """The blob of a digest, or ``default``."""
        row = self._digests.number(digest)
        return self._others.get(digest, default) if row is None else self._blob(row)  # type: ignore[arg-type]

    def __contains__(self, digest: object) -> bool:
        return digest in self._digests or digest in self._others

    def __iter__(self) -> Iterator[Digest]:
        yield from self._digests
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
        rows: dict[int, array[int]] = {}  # by volume, so that only few numbers are in memory at a time
        for row, volume in enumerate(self._volumes):
            rows.setdefault(volume, array("I")).append(row)
        ordered = (row for volume in sorted(rows) for row in sorted(rows[volume], key=self._offsets.__getitem__))
        others = sorted(((digest, blob) for digest, blob in self._others.items() if blob.extents), key=_place)
        return heapq.merge(((self._digests[row], self._blob(row)) for row in ordered), others, key=_place)

    def in_digest_order(self) -> Iterator[tuple[Digest, Blob]]:
        """The blobs in the order of their digests."""
        rows = ((self._digests[row], self._blob(row)) for row in self._digests.in_order())
        return heapq.merge(rows, sorted(self._others.items(), key=_digest_in), key=_digest_in)

    def sizes(self) -> Iterator[tuple[Digest, int]]:
        """Every digest and its size in bytes, without its place."""
        yield from zip(self._digests, self._sizes, strict=True)
        yield from ((digest, blob.size) for digest, blob in self._others.items())

    def _entries(self) -> Iterator[tuple[Digest, Blob]]:
        yield from ((self._digests[row], self._blob(row)) for row in range(len(self._sizes)))
        yield from self._others.items()

    def _blobs(self) -> Iterator[Blob]:
        yield from map(self._blob, range(len(self._sizes)))
        yield from self._others.values()

    def _blob(self, row: int) -> Blob:
        size = self._sizes[row]
        return Blob(size, (Extent(self._volumes[row], self._offsets[row], size),))


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


def memory_of(digest: Digest, blob: Blob) -> int:
    """What a blob counts for against the limit of readers, in bytes: more than it takes in a table."""
    if is_plain(digest, blob):
        return 104
    return 360 + 64 * len(blob.extents) + 128 * len(blob.repositories) + 256 * (blob.patch is not None)


def _place(entry: tuple[Digest, Blob]) -> tuple[Extent, Digest]:
    return entry[1].extents[0], entry[0]


def _digest_in(entry: tuple[Digest, Blob]) -> Digest:
    return entry[0]


def is_plain(digest: Digest, blob: Blob) -> bool:
    """Whether a row says all there is to say about a blob."""
    if len(blob.extents) != 1 or blob.held or blob.repositories or blob.patch is not None or not digest.startswith(_KIND):
        return False
    extent = blob.extents[0]
    return extent.length == blob.size < 2**64 and extent.volume < _MOST and extent.offset < 2**64
