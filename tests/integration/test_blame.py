"""Who is to blame: what lies in a bundle, a store or an archive is damage (4), and never sends anybody to a registry (5)."""

from __future__ import annotations

from pathlib import Path

import pytest

from airgap.layout import LayoutStore
from airgap.oci.descriptor import Descriptor
from tests.support import images
from tests.support.cli import DAMAGED, failed, here
from tests.support.desks import WEB, OperatorDesk, SiteDesk
from tests.support.origin import Origin

LARGE = 5 * 1024 * 1024


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> images.Built:
    """An image whose manifest is larger than any may be, and which we can make only by forgetting that."""
    monkeypatch.setattr("airgap.oci.manifest.MAX_MANIFEST", 2 * LARGE)
    built = images.image([images.layer("x")], extra={"annotations": {"padding": "x" * LARGE}})
    monkeypatch.undo()
    return built


def test_a_manifest_above_the_limit_inside_a_bundle_is_damage(
    site: SiteDesk, large: images.Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airgap.oci.manifest.MAX_MANIFEST", 2 * LARGE)
    origin = Origin()
    bundle = site.made.sender.bundle(origin, [origin.push(WEB, large)], site.work / "large", stream="large")
    monkeypatch.undo()
    monkeypatch.setenv("HOME", str(site.work / "home"))
    for command in (
        ("verify", bundle, "--policy", site.made.sender.policy),
        ("import", bundle, "--to", f"oci:{site.store}", "--policy", site.made.sender.policy, "--state", site.work / "state"),
        ("plan", f"bundle:{bundle}", "--bundle-policy", site.made.sender.policy),
    ):
        facts = failed(here(*command, "--json"), DAMAGED, "too large")
        assert "registry" not in facts["next"]
    site.nothing_is_visible()


def test_a_manifest_above_the_limit_inside_a_store_is_damage(operator: OperatorDesk, large: images.Built) -> None:
    path = operator.work / "store"
    with LayoutStore(path) as layout:
        images.publish(layout, "docker.io/shop/large:1", large)
        layout.commit()
    facts = failed(here("plan", f"oci:{path}:docker.io/shop/large:1", "--json"), DAMAGED, "too large")
    assert "registry" not in facts["next"]


def test_a_layer_with_other_bytes_inside_a_store_is_damage(operator: OperatorDesk) -> None:
    path = _store(operator, operator.image)
    _spoil(path, operator.layer.descriptor)
    source = operator.work / "places.txt"
    source.write_text(f"oci:{path}:docker.io/shop/web:1\n")
    facts = operator.refused(DAMAGED, "has the wrong digest", image_list=source)
    assert "registry" not in facts["next"]


def test_a_config_with_other_bytes_inside_a_store_is_damage(operator: OperatorDesk) -> None:
    path = _store(operator, operator.image)
    _spoil(path, operator.image.blobs[0].descriptor)
    facts = failed(here("plan", f"oci:{path}:docker.io/shop/web:1", "--json"), DAMAGED, "has the wrong digest")
    assert "registry" not in facts["next"]


def test_an_index_that_contradicts_itself_inside_a_store_is_damage(operator: OperatorDesk) -> None:
    child = images.image([images.layer("child")])
    lying = images.Built(child.manifest, Descriptor(child.descriptor.media_type, child.digest, 7), child.blobs)
    path = _store(operator, images.index([lying]))
    facts = failed(here("plan", f"oci:{path}:docker.io/shop/web:1", "--json"), DAMAGED, "differs from its descriptor")
    assert "registry" not in facts["next"]


def _store(operator: OperatorDesk, built: images.Built) -> Path:
    path = operator.work / "store"
    with LayoutStore(path) as layout:
        images.publish(layout, "docker.io/shop/web:1", built)
        layout.commit()
    return path


def _spoil(path: Path, blob: Descriptor) -> None:
    file = path / "blobs/sha256" / blob.digest.hex
    raw = file.read_bytes()
    file.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
