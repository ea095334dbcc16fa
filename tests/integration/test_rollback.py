"""``airgap rollback``: back to an earlier bundle and forward again without media, on the real docker-registry and on layouts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airgap.layout import LayoutStore
from tests.support.cli import DAMAGED, USAGE, failed
from tests.support.dockerregistry import DockerRegistry
from tests.support.life import Life, skopeo_has
from tests.support.walk import walk

pytestmark = pytest.mark.slow("runs whole exports and imports against real registries")


def back(life: Life, target: str, serial: int, *options: object) -> Any:
    return life.site.json("rollback", target, "--stream", "prod", "--to", serial, *options, state="site-state")


def test_a_registry_goes_back_and_forward_again_and_prune_keeps_what_is_in_force(life: Life, tmp_path: Path) -> None:
    with DockerRegistry(tmp_path / "registry") as registry:
        target = f"docker://{registry.address}/mirror"
        prefix = f"mirror/{life.origin.replace(':', '-')}/"
        for bundle in life.bundles:
            life.site.import_(target, bundle)
        newest = walk(registry.address).below(prefix).tags
        done = back(life, target, 1)
        assert sorted(one["name"].rpartition("/")[2] for one in done["moved_names"]) == ["app:latest", "tool:1"]
        assert [one["name"].rpartition("/")[2] for one in done["new_names"]] == ["app:2", "app:3"]
        assert walk(registry.address).below(prefix).tags == newest | life.images[0]
        assert back(life, target, 1)["moved_names"] == [], "a second time there is nothing to do"
        events = [e for e in life.site.json("history", state="site-state")["history"] if e["event"] == "rollback"]
        assert [(e["stream"], e["serial"], e["target"]) for e in events] == [("prod", 1, target)]
        life.site.run("prune", target, "--keep", 1, "--unlisted", "--plan", tmp_path / "plan.json", state="site-state")
        life.site.run("prune", target, "--apply", tmp_path / "plan.json", state="site-state")
        left = walk(registry.address).below(prefix).tags
        assert life.images[0].items() <= left.items(), "the one in force is kept"
        assert "shop/app:2" not in left
        failed(_rollback(life, target, 2), USAGE, "1, 3")
        back(life, target, 3)
        assert life.images[2].items() <= walk(registry.address).below(prefix).tags.items()
        skopeo_has(f"docker://{registry.address}/{prefix}shop/app:latest", tmp_path / "app")


@pytest.mark.smoke("rollback")
def test_new_names_can_be_removed_from_a_layout(life: Life, tmp_path: Path) -> None:
    target, store = f"oci:{tmp_path / 'store'}", tmp_path / "store"
    for bundle in life.bundles[:2]:
        life.site.import_(target, bundle)
    assert [one["kept"] for one in back(life, target, 1, "--remove-new")["new_names"]] == [False]
    names = {f"{name.path}:{name.tag}" for name in LayoutStore(store).names() if name.tag and not name.tag.startswith("sha256-")}
    assert names == {f"{life.origin}/{name}" for name in life.images[0]}
    failed(_rollback(life, target, 2), USAGE, "pruned")
    assert life.site.import_(target, life.bundles[1])["already_there"] is False
    assert back(life, target, 2)["moved_names"] == []


def test_nothing_is_moved_when_a_part_is_missing_and_every_missing_part_is_named(life: Life, tmp_path: Path) -> None:
    target, store = f"oci:{tmp_path / 'store'}", tmp_path / "store"
    for bundle in life.bundles:
        life.site.import_(target, bundle)
    blobs, root = store / "blobs/sha256", life.images[0]["shop/app:1"].partition(":")[2]
    child = json.loads((blobs / root).read_bytes())["manifests"][0]["digest"].partition(":")[2]
    layer = json.loads((blobs / child).read_bytes())["layers"][1]["digest"].partition(":")[2]
    (blobs / layer).unlink()
    before = (store / "index.json").read_bytes()
    failed(_rollback(life, target, 1), DAMAGED, layer, "nothing was moved")
    (blobs / child).unlink()
    failed(_rollback(life, target, 1), DAMAGED, child)
    assert (store / "index.json").read_bytes() == before
    assert back(life, target, 2)["moved_names"] != []


def test_what_is_not_remembered_is_told(life: Life, tmp_path: Path) -> None:
    target = f"oci:{tmp_path / 'store'}"
    life.site.import_(target, life.bundles[0])
    failed(_rollback(life, target, 7), USAGE, "one of the serials 1")
    failed(_rollback(life, f"oci:{tmp_path / 'other'}", 1), USAGE, "none")


def _rollback(life: Life, target: str, serial: int) -> Any:
    return life.site.run("rollback", target, "--stream", "prod", "--to", serial, state="site-state", check=False)
