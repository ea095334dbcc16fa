"""Digests and descriptors in tables and runs are those that were put in."""

from __future__ import annotations

import tracemalloc

import pytest

from airgap.documents.holdings import Held, HeldTable, SizeTable
from airgap.oci.descriptor import Descriptor, DescriptorsByDigest, DescriptorTable, Platform, packed
from airgap.oci.digest import Digest, DigestTable

LAYERS = tuple(Descriptor("layer", Digest.of(b"%d" % number), number) for number in range(9))
SAYS_MORE = Descriptor("layer", Digest.of(b"more"), 4, Platform("linux", "amd64"), annotations={"key": "text"})
LONG = Descriptor("config", Digest.of(b"long", "sha512"), 5)


def test_a_set_of_digests_numbers_them_in_the_order_of_adding() -> None:
    digests = [one.digest for one in (*LAYERS, LONG, SAYS_MORE)]
    table = DigestTable(digests)
    assert [table.add(digest) for digest in digests] == list(range(len(digests)))
    assert list(table) == digests
    assert [table.number(digest) for digest in digests] == list(range(len(digests)))
    assert [table[number] for number in table.in_order()] == sorted(digests)


@pytest.mark.parametrize("missing", ["sha256:" + "f" * 64, "sha512:" + "f" * 128, "sha256:", "", "sha256:" + "x" * 64, None, 7])
def test_what_was_not_added_is_not_in_a_set_of_digests(missing: object) -> None:
    assert missing not in DigestTable([LAYERS[0].digest, LONG.digest])


def test_digests_that_are_added_on_the_way_are_gone_through() -> None:
    table = DigestTable([LAYERS[0].digest])
    for number, _ in enumerate(table, 1):
        if number < len(LAYERS):
            table.add(LAYERS[number].digest)
    assert len(table) == len(LAYERS)


@pytest.mark.parametrize("items", [(), LAYERS[:1], LAYERS, (*LAYERS, SAYS_MORE), (*LAYERS, LONG)])
def test_a_run_is_as_the_tuple_of_its_descriptors(items: tuple[Descriptor, ...]) -> None:
    run = packed(items)
    assert tuple(run) == items
    assert run == items
    assert (run[1:], run[:1], run[:-1]) == (items[1:], items[:1], items[:-1])
    by_digest = DescriptorsByDigest(items)
    assert dict(by_digest) == {one.digest: one for one in items}
    assert Digest.of(b"missing") not in by_digest


def test_a_run_keeps_what_a_descriptor_says_besides() -> None:
    assert (packed((SAYS_MORE, *LAYERS))[0].platform, packed((SAYS_MORE, *LAYERS))[0].annotations) == (
        SAYS_MORE.platform,
        SAYS_MORE.annotations,
    )


def test_a_table_of_descriptors_has_each_content_once() -> None:
    table = DescriptorTable()
    items = (*LAYERS, SAYS_MORE, LONG)
    assert [table.add(one) for one in (*items, *items)] == 2 * list(range(len(items)))
    assert tuple(table) == items
    assert [table.size(number) for number in range(len(table))] == [one.size for one in items]
    assert table[9].annotations == SAYS_MORE.annotations


def test_runs_and_sets_take_little_memory() -> None:
    tracemalloc.start()
    try:
        runs = [packed(Descriptor("layer", Digest.of(b"%d %d" % (run, n)), n) for n in range(10)) for run in range(500)]
        assert tracemalloc.get_traced_memory()[0] / 5000 < 80
        before = tracemalloc.get_traced_memory()[0]
        table = DigestTable(one.digest for run in runs for one in run)
        assert (tracemalloc.get_traced_memory()[0] - before) / len(table) < 64
    finally:
        tracemalloc.stop()


def test_what_is_held_is_kept_with_its_repositories() -> None:
    table = HeldTable()
    entries = {one.digest: Held(one.size, ("shop/web",) if one.size % 2 else ()) for one in (*LAYERS, LONG)}
    assert all(table.add(digest, held.size, held.repositories) for digest, held in entries.items())
    assert not table.add(LONG.digest, 6, ("other",))
    assert dict(table.items()) == dict(table) == entries
    assert Digest.of(b"missing") not in table


def test_sizes_are_those_that_were_added_first() -> None:
    sizes = SizeTable((one.digest, one.size) for one in (*LAYERS, LONG))
    assert dict(sizes.items()) == dict(sizes) == {one.digest: one.size for one in (*LAYERS, LONG)}
    with pytest.raises(KeyError):
        sizes[Digest.of(b"missing")]
