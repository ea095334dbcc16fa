"""Receipts and scans see what no tag leads to: what the site remembers to have brought, as far as it is there still."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airgap.documents.receipt import Receipt
from tests.support.bundles import catalog_of
from tests.support.dockerregistry import DockerRegistry
from tests.support.tools import require
from tests.support.year import HOST, Far, RegistryShelf, Vendor, done

pytestmark = pytest.mark.slow("exports and imports against a real registry")


@pytest.fixture
def vendor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vendor:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return Vendor.make(tmp_path / "vendor")


@pytest.fixture(params=["registry", "layout"])
def far(request: pytest.FixtureRequest, tmp_path: Path, vendor: Vendor) -> Iterator[Far]:
    if request.param == "layout":
        yield Far.layout(tmp_path / "far", vendor.sender)
        return
    require("docker-registry")
    with DockerRegistry(tmp_path / "registry") as registry:
        shelf = RegistryShelf(registry.root / "data")
        yield Far(tmp_path / "far", vendor.sender, f"docker://{registry.address}/mirror", shelf)


def receipt(far: Far, *options: object) -> Receipt:
    path = far.root / "site.receipt"
    done(far.run("receipt", far.target, "-o", path, "--site", "plant-7", *options))
    return Receipt.from_bytes(path.read_bytes())


def carried(bundle: Path) -> list[Any]:
    """The layers in a bundle: its largest blobs."""
    return [digest for digest, blob in catalog_of(bundle).blobs.items() if blob.extents and blob.size > 2000]


def test_what_was_brought_by_digest_alone_is_held_and_not_carried_again(vendor: Vendor, far: Far) -> None:
    digest = vendor.release("app:1", 1)
    done(far.take(vendor.export("prod", [f"app@{digest}"])))
    held = receipt(far).holdings
    assert digest in held.manifests
    children = [child["digest"] for child in (far.shelf.manifest("app", digest) or {})["manifests"]]
    referrers = {one for one in vendor.hanging[digest] if ":" in one}
    assert {*children, *referrers} <= held.manifests
    for base in (far.root / "site.receipt", far.target):
        far_state = ["--state", far.state] if base == far.target else []
        again = vendor.export("prod", [f"app@{digest}"], "--since", base, *far_state)
        assert carried(again) == []
        assert far.take(again).returncode == 0


def test_what_a_name_stood_for_before_is_held_until_it_is_gone(vendor: Vendor, far: Far) -> None:
    first = vendor.release("app:latest", 1)
    done(far.take(vendor.export("prod", ["app:latest"])))
    second = vendor.release("app:latest", 2)
    done(far.take(vendor.export("prod", ["app:latest"])))
    assert {first, second} <= receipt(far).holdings.manifests
    far.prune(1)
    assert first not in receipt(far).holdings.manifests
    assert second in receipt(far).holdings.manifests


def test_what_is_remembered_and_gone_is_not_held(vendor: Vendor, far: Far) -> None:
    digest = vendor.release("app:1", 1)
    done(far.take(vendor.export("prod", [f"app@{digest}"])))
    if isinstance(far.shelf, RegistryShelf):
        address = far.target.removeprefix("docker://").partition("/")[0]
        connection = http.client.HTTPConnection(address)
        connection.request("DELETE", f"/v2/mirror/{HOST}/app/manifests/{digest}")
        assert connection.getresponse().read() == b""
        connection.close()
    else:
        (far.root / "store/blobs" / digest.replace(":", "/")).unlink()
    held = receipt(far).holdings
    assert digest not in held.blobs
    assert far.lost(f"app@{digest}", digest) != []


def test_a_machine_without_memory_sees_what_the_lists_say(vendor: Vendor, far: Far, tmp_path: Path) -> None:
    digest = vendor.release("app:1", 1)
    done(far.take(vendor.export("prod", ["app:1"])))
    stranger = Far(tmp_path / "stranger", vendor.sender, far.target, far.shelf)
    stranger.root.mkdir()
    assert digest in receipt(stranger).holdings.manifests
    assert not stranger.state.exists(), "a receipt begins no memory"
    assert json.loads((stranger.root / "site.receipt").read_bytes())["streams"] == {}
