"""The table of blobs is a mapping like any other, in a fraction of the memory."""

from __future__ import annotations

import tracemalloc

import pytest

from airgap.format.blobtable import BlobTable
from airgap.format.entries import Blob, Patch
from airgap.format.frame import Extent
from airgap.oci.digest import Digest

EMPTY, SPLIT = Digest.of(b"empty"), Digest.of(b"split")
BASE, MADE, LONG = Digest.of(b"base"), Digest.of(b"made"), Digest.of(b"long", "sha512")
MIXED = {
    EMPTY: Blob(0, (Extent(1, 1024, 0),)),
    SPLIT: Blob(30, (Extent(1, 2048, 10), Extent(2, 512, 20))),
    BASE: Blob(5, held=True, repositories=("shop/web",)),
    MADE: Blob(6, patch=Patch("tokens/1", BASE, EMPTY)),
    LONG: Blob(7, (Extent(2, 4096, 7),)),
}


def _one(number: int) -> tuple[Digest, Blob]:
    return Digest(f"sha256:{number:064x}"), Blob(number, (Extent(1 + number % 3, number * 512, number),))


def test_it_holds_what_a_dictionary_holds() -> None:
    entries = MIXED | dict(map(_one, range(1000)))
    table = BlobTable(entries.items())
    assert dict(table.items()) == entries
    assert set(table) == set(entries)
    assert len(table) == len(table.values()) == len(entries)
    assert all(table[digest] == table.get(digest) == blob for digest, blob in entries.items())


@pytest.mark.parametrize("missing", ["sha256:" + "f" * 64, "sha512:" + "f" * 128, "sha256:short", "sha256:" + "x" * 64, ""])
def test_what_is_not_there_is_not_found(missing: str) -> None:
    table = BlobTable(MIXED.items())
    assert Digest(missing) not in table
    assert table.get(Digest(missing)) is None
    with pytest.raises(KeyError):
        table[Digest(missing)]


@pytest.mark.parametrize("digest", MIXED)
def test_nothing_is_added_twice(digest: Digest) -> None:
    table = BlobTable(MIXED.items())
    with pytest.raises(ValueError, match="duplicate"):
        table.add(digest, Blob(1, (Extent(1, 0, 1),)))
    assert table[digest] == MIXED[digest]


def test_the_order_of_the_media_is_kept_across_pieces() -> None:
    assert [digest for digest, _ in BlobTable(MIXED.items()).in_media_order()] == [EMPTY, SPLIT, LONG]


def test_a_blob_in_one_piece_takes_little_memory() -> None:
    tracemalloc.start()
    try:
        table = BlobTable(map(_one, range(50_000)))
        assert tracemalloc.get_traced_memory()[1] / len(table) < 112
    finally:
        tracemalloc.stop()
