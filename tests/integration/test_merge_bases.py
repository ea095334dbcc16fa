"""Merging chains of any length, of bundles that build on what other streams and receipts brought to the site."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.support.bundles import catalog_of
from tests.support.cli import DAMAGED, failed, here
from tests.support.year import Far, Vendor, done


@pytest.fixture
def vendor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vendor:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return Vendor.make(tmp_path / "vendor")


@pytest.fixture
def far(tmp_path: Path, vendor: Vendor) -> Far:
    return Far.layout(tmp_path / "far", vendor.sender)


def command(vendor: Vendor, *bundles: object) -> list[object]:
    key, state = vendor.sender.key, vendor.root / "exporter-state"
    fixed = ["--out", vendor.root / "out", "--stream", "prod", "--key", key, "--state", state, "--policy", vendor.sender.policy]
    return ["merge", *bundles, *fixed, "--json"]


def merge(vendor: Vendor, *bundles: object) -> Path:
    return Path(done(here(*command(vendor, *bundles)))["path"])


def receipt(far: Far, name: str) -> Path:
    done(far.run("receipt", far.target, "-o", far.root / name, "--site", "plant-7"))
    return far.root / name


def test_a_chain_of_one_is_a_chain(vendor: Vendor, far: Far) -> None:
    vendor.release("app:1", 1)
    merged = merge(vendor, vendor.export("prod", ["app:1"]))
    assert merged.name == "prod-0002"
    done(far.take(merged))
    digest = vendor.now["app:1"]
    assert (far.names(), far.lost("app:1", digest, vendor.hanging[digest])) == ({"app:1": digest}, [])


@pytest.mark.parametrize("since", [False, True])
def test_a_chain_of_one_incremental_bundle_builds_on_what_that_builds_on(vendor: Vendor, far: Far, since: bool) -> None:
    vendor.release("app:1", 1)
    first = vendor.export("prod", ["app:1"])
    vendor.release("app:1", 2)
    second = vendor.export("prod", ["app:1"], "--since", first)
    merged = merge(vendor, second, *(["--since", first, "--since", first] if since else []))
    assert catalog_of(merged).base == (f"sha256:{hashlib.sha256((first / 'catalog.json').read_bytes()).hexdigest()}",)
    failed(far.take(merged), DAMAGED, "the target lacks")
    done(far.take(first))
    done(far.take(merged))
    assert far.names() == {"app:1": vendor.now["app:1"]}


def test_a_merge_that_needs_another_base_names_the_receipt_that_would_do(vendor: Vendor, far: Far) -> None:
    for name in ("app:1", "tool:1"):
        vendor.release(name, 1)
    done(far.take(vendor.export("prod", ["app:1"])))
    vendor.release("app:1", 2)
    second = vendor.export("prod", ["app:1"], "--since", receipt(far, "a.receipt"))
    done(far.take(second))
    done(far.take(vendor.export("lab", ["tool:1"])))
    base = receipt(far, "b.receipt")
    third = vendor.export("prod", ["tool:1"], "--since", base)
    digest = hashlib.sha256(base.read_bytes()).hexdigest()
    said = f"the receipt (or earlier bundle) that prod-0003 was exported since: sha256:{digest}"
    failed(here(*command(vendor, second, third)), DAMAGED, "a blob is in none of the bundles", said, "--since RECEIPT")
    merged = merge(vendor, second, third, "--since", base)
    done(far.take(merged))
    for name, root in far.names().items():
        assert root == vendor.now[name]
        assert far.lost(name, root, vendor.hanging[root]) == []
