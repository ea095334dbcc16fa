"""What bases say is held, and which of them are refused. Pure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from airgap.bundle.store import BundleStore
from airgap.delta.bases import Base, check_bases, held_by, of_catalog
from airgap.documents.holdings import Held, Holdings
from airgap.documents.receipt import Receipt, Taken
from airgap.errors import UsageError
from airgap.format.catalog import Blob, Patch
from airgap.format.names import volume_name
from airgap.oci.digest import Digest
from airgap.oci.reference import Reference
from tests.support import images
from tests.support.bundles import Sender, catalog_of
from tests.support.origin import Origin

A, B, C = (Digest.of(name.encode()) for name in "abc")


def base(held: dict[Digest, Held], label: str = "base", receipt: Receipt | None = None) -> Base:
    return Base(label, Digest.of(label.encode()), Holdings(held), receipt=receipt)


def receipt(serial: int, site: str = "plant-7", stream: str = "prod") -> Base:
    said = Receipt(site, "2026-01-31T12:00:00Z", "airgap 1", "docker://a", {stream: Taken(serial, A)}, Holdings({}))
    return base({}, f"{site}.receipt", said)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    origin = Origin()
    shared = images.layer("shared")
    references = [
        origin.push("docker.io/shop/web:1", images.multi_arch("web", [shared])),
        origin.push("quay.io/tool:2", images.image([shared])),
    ]
    return Sender.make(tmp_path / "sender").bundle(origin, references, tmp_path)


def as_base(bundle: Path, at_hand: bool = True) -> Base:
    catalog = catalog_of(bundle)
    raw = (bundle / "catalog.json").read_bytes()
    return of_catalog("base", raw, catalog, BundleStore(catalog, {1: bundle / volume_name(1)}) if at_hand else None)


def test_a_bundle_says_which_repositories_have_a_blob(bundle: Path) -> None:
    held = as_base(bundle).holdings
    shared, tool = images.layer("shared").descriptor.digest, images.image([images.layer("shared")]).digest
    assert held.blobs[shared].repositories == ("docker.io/shop/web", "quay.io/tool")
    assert held.blobs[tool].repositories == ("quay.io/tool",)
    assert set(held.blobs) == set(catalog_of(bundle).blobs)
    assert set(held.images) == {"docker.io/shop/web:1", "quay.io/tool:2"}


def test_a_catalog_alone_names_all_its_repositories_unless_they_are_many(bundle: Path) -> None:
    assert {held.repositories for held in as_base(bundle, at_hand=False).holdings.blobs.values()} == {
        ("docker.io/shop/web", "quay.io/tool")
    }
    catalog = catalog_of(bundle)
    names = [Reference.parse(f"docker.io/shop/web{number}:1") for number in range(40)]
    wide = replace(catalog, images=tuple(replace(catalog.images[0], reference=name) for name in names))
    assert {held.repositories for held in of_catalog("base", b"", wide, None).holdings.blobs.values()} == {()}


def test_patches_are_not_at_the_far_side_but_what_they_make_and_what_that_is_made_from_is(bundle: Path) -> None:
    catalog = catalog_of(bundle)
    patch, made = sorted(catalog.blobs)[:2]
    blobs = {
        **catalog.blobs,
        made: Blob(catalog.blobs[made].size, patch=Patch("deflate-tokens/1", A, patch)),
        A: Blob(5, held=True, repositories=("old/name",)),
    }
    held = of_catalog("base", b"", replace(catalog, blobs=blobs), None).holdings.blobs
    assert patch not in held
    assert held[made].size == catalog.blobs[made].size
    assert held[A].repositories[:1] == ("old/name",)
    assert len(held[A].repositories) > 1  # it may have come into others with this bundle


def test_a_volume_that_is_not_at_hand_costs_only_the_repositories(bundle: Path) -> None:
    catalog = catalog_of(bundle)
    held = of_catalog("base", b"", catalog, BundleStore(catalog, {})).holdings.blobs
    assert set(held) == set(catalog.blobs)
    assert {one.repositories for one in held.values()} == {()}


def test_several_bases_hold_what_any_of_them_holds() -> None:
    found = held_by([base({A: Held(1, ("x",)), B: Held(2)}), base({A: Held(1, ("y", "x")), C: Held(3)})])
    assert found == {A: Held(1, ("x", "y")), B: Held(2), C: Held(3)}
    with pytest.raises(UsageError, match="different sizes"):
        held_by([base({A: Held(1)}), base({A: Held(2)})])


def nothing(serial: int) -> None:
    """A state that remembers nothing."""


def test_an_earlier_bundle_of_the_stream_that_was_made_here_is_a_base(bundle: Path) -> None:
    earlier = as_base(bundle)
    check_bases([earlier], "prod", 2, nothing)
    check_bases([earlier], "prod", 9, {1: earlier.digest}.get)
    check_bases([earlier, receipt(1)], "prod", 2, nothing)


def test_what_cannot_be_a_base_is_refused(bundle: Path) -> None:
    earlier = as_base(bundle)
    for reason, stream, serial, exported in (
        ("another stream", "test", 2, nothing),
        ("not earlier", "prod", 1, nothing),
        ("not the bundle that was exported", "prod", 2, {1: A}.get),
    ):
        with pytest.raises(UsageError, match=reason):
            check_bases([earlier], stream, serial, exported)


def test_a_receipt_of_a_site_that_is_ahead_or_a_second_one_is_refused() -> None:
    check_bases([receipt(4)], "prod", 5, nothing)
    check_bases([receipt(7, stream="test")], "prod", 5, nothing)
    for serial in (5, 6):
        with pytest.raises(UsageError, match="ahead"):
            check_bases([receipt(serial)], "prod", 5, nothing)
    with pytest.raises(UsageError, match="several receipts") as caught:
        check_bases([receipt(1), receipt(1, "plant-8")], "prod", 5, nothing)
    assert "plant-8" in caught.value.got
