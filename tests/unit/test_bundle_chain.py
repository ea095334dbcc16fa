"""Which bundles belong together, where each blob of a chain comes from, and what the site had before. Catalogs only, no content."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from airgap.bundle.chain import Chain, Link, arrange
from airgap.errors import Damaged, NotFound, UsageError
from airgap.format.catalog import Blob, Catalog, Patch
from airgap.format.frame import Extent
from airgap.oci.digest import Digest
from airgap.patch.kinds import DEFLATE


def named(name: str) -> Digest:
    return Digest.of(name.encode())


CARRIED = Blob(5, (Extent(1, 0, 5),))
HELD = Blob(5, held=True, repositories=("origin.example/app",))


def patched(base: str | None) -> Blob:
    return Blob(5, patch=Patch(DEFLATE, None if base is None else named(base), named("patch")))


def link(
    serial: int,
    blobs: Mapping[str, Blob],
    previous: str | None = None,
    base: tuple[str, ...] = (),
    stream: str = "prod",
    digest: str = "",
) -> Link:
    """A bundle whose catalog is known as ``digest``, by default as its serial."""
    listed = {named(name): blob for name, blob in blobs.items()}
    catalog = Catalog(
        stream=stream,
        serial=serial,
        created="2026-01-31T12:00:00Z",
        expires=None,
        tool="airgap 1",
        previous=named(previous) if previous else None,
        base=tuple(named(name) for name in base),
        volume_size=None,
        images=(),
        blobs=listed,
        volumes=(),
    )
    return Link(named(digest or str(serial)), catalog, {})


def test_bundles_are_put_in_the_order_of_the_stream() -> None:
    links = [link(9, {}, previous="3"), link(1, {}), link(3, {}, previous="1")]
    assert [one.catalog.serial for one in arrange(links, "prod")] == [1, 3, 9]
    assert [one.catalog.serial for one in arrange(links[:1], "prod")] == [9], "a chain of one is a chain"


@pytest.mark.parametrize(
    ("links", "says"),
    [
        ([], "no bundles given"),
        ([link(1, {}), link(2, {}, previous="1", stream="test")], "another stream"),
        ([link(1, {}), link(3, {}, previous="2")], "a bundle is missing from the chain"),
        ([link(1, {}), link(2, {}, previous="other")], "different histories"),
        ([link(1, {}), link(2, {})], "different histories"),
        ([link(1, {}), link(7, {})], "different histories"),
        ([link(1, {}), link(1, {}, digest="other")], "two different bundles have the same serial"),
    ],
)
def test_what_is_no_chain_is_refused(links: list[Link], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        arrange(links, "prod")


def test_a_blob_is_there_when_it_can_be_rebuilt_from_what_is_there() -> None:
    chain = Chain(
        [
            link(1, {"a": CARRIED, "alone": patched(None)}),
            link(2, {"a": HELD, "b": patched("a"), "gone": HELD, "lost": patched("gone")}, base=("1",)),
            link(3, {"b": HELD, "c": patched("b"), "d": patched("alone"), "worse": patched("lost")}, base=("2",)),
        ]
    )
    there = {name for name in ("a", "alone", "b", "c", "d", "gone", "lost", "worse") if chain.find_blob(named(name)) == 5}
    assert there == {"a", "alone", "b", "c", "d"}
    with pytest.raises(NotFound):
        chain.open_blob(named("worse"))


def test_blobs_that_are_made_from_each_other_are_not_there() -> None:
    chain = Chain([link(1, {"a": HELD, "b": patched("a")}), link(2, {"b": HELD, "a": patched("b"), "self": patched("self")})])
    assert [chain.find_blob(named(name)) for name in ("a", "b", "self")] == [None, None, None]


def test_two_sizes_of_one_blob_are_a_contradiction() -> None:
    with pytest.raises(Damaged, match="different sizes for one blob"):
        Chain([link(1, {"a": CARRIED}), link(2, {"a": Blob(6, held=True)})])


def test_what_a_full_bundle_does_not_bring_was_not_there_before() -> None:
    assert Chain([link(1, {"a": CARRIED}), link(2, {"a": HELD, "x": HELD}, base=("1",))]).held_before() == {}


def test_what_the_site_had_before_is_what_no_bundle_of_the_chain_brought() -> None:
    second = link(2, {"a": HELD, "b": CARRIED, "c": patched("a")}, base=("1",))
    third = link(3, {"a": HELD, "b": HELD, "c": HELD, "x": HELD}, base=("1", "2"))
    assert set(Chain([second, third]).held_before()) == {named("a"), named("x")}


def test_what_another_base_held_is_not_what_the_first_bundle_builds_on() -> None:
    second = link(2, {"a": HELD}, base=("a receipt",))
    third = link(3, {"a": HELD, "x": HELD}, base=("2", "a later receipt"))
    assert set(Chain([second, third]).held_before()) == {named("a")}
