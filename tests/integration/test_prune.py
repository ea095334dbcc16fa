"""``airgap prune`` on the real docker-registry and on layouts: three bundles, what they share, and what others have put there."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from airgap.layout import LayoutStore
from tests.support.cli import NETWORK, REFUSED, USAGE, failed
from tests.support.dockerregistry import DockerRegistry
from tests.support.life import Life, collect_garbage, retag, skopeo_has
from tests.support.walk import walk

pytestmark = pytest.mark.slow("runs whole exports and imports against real registries")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[DockerRegistry]:
    with DockerRegistry(tmp_path / "registry") as found:
        yield found


def filled(life: Life, target: str, *serials: int) -> str:
    for serial in serials or (1, 2, 3):
        life.site.import_(target, life.bundles[serial - 1])
    return target


def prune(life: Life, *options: object) -> dict[str, object]:
    facts: dict[str, object] = life.site.json("prune", *options, state="site-state")
    return facts


def refused(life: Life, code: int, says: str, *options: object) -> None:
    failed(life.site.run(*options, state="site-state", check=False), code, says)


def below(life: Life) -> str:
    return f"mirror/{life.origin.replace(':', '-')}/"


def test_a_registry_keeps_the_last_generation_whole_through_its_garbage_collection(
    life: Life, registry: DockerRegistry, tmp_path: Path
) -> None:
    target, plan = filled(life, f"docker://{registry.address}/mirror"), tmp_path / "plan.json"
    before = walk(registry.address).below(below(life))
    prune(life, target, "--keep", 1, "--unlisted", "--plan", plan)
    assert walk(registry.address).below(below(life)) == before, "a plan removes nothing"
    done = life.site.run("prune", target, "--apply", plan, state="site-state")
    assert "garbage-collect" in done.stdout
    left = walk(registry.address).below(below(life))
    # all that the last release consists of, with its attachments and those of the shared child, and no more
    assert left.tags == life.images[2] | life.attachments[2]
    registry.stop()
    collect_garbage(registry)
    registry.restart()
    assert walk(registry.address).below(below(life)) == left
    for name in life.images[2]:
        skopeo_has(f"docker://{registry.address}/{below(life)}{name}", tmp_path / name.replace("/", "-"))
    gone = set(before.manifests) - set(left.manifests)
    assert gone
    assert not any(registry.blob_path(name.partition("@")[2]).exists() for name in gone)
    assert prune(life, target, "--keep", 1, "--unlisted")["removed_manifests"] == []
    assert life.site.import_(target, life.bundles[2])["already_there"] is True


@pytest.mark.smoke("prune")
def test_a_layout_loses_the_files_that_only_old_generations_need(life: Life, tmp_path: Path) -> None:
    target, plan, fresh = filled(life, f"oci:{tmp_path / 'store'}"), tmp_path / "plan.json", tmp_path / "fresh"
    before = dict(LayoutStore(tmp_path / "store").blobs())
    planned = prune(life, target, "--keep", 1, "--unlisted", "--plan", plan)
    assert dict(LayoutStore(tmp_path / "store").blobs()) == before
    assert prune(life, target, "--apply", plan)["removed_blobs"] == planned["removed_blobs"]
    life.site.import_(f"oci:{fresh}", life.bundles[2], state="other-state")
    left, wanted = LayoutStore(tmp_path / "store"), LayoutStore(fresh)
    assert dict(left.blobs()) == dict(wanted.blobs()), "just what an import of the last bundle alone would have made"
    assert {(n.path, n.tag, n.descriptor.digest) for n in left.names()} == {
        (n.path, n.tag, n.descriptor.digest) for n in wanted.names()
    }
    for i, name in enumerate(life.images[2]):
        skopeo_has(f"oci:{tmp_path / 'store'}:{life.origin}/{name}", tmp_path / f"pulled-{i}")


@pytest.mark.parametrize("kind", ["registry", "layout"])
def test_somebody_elses_name_keeps_its_image_and_all_that_hangs_off_it(
    life: Life, registry: DockerRegistry, tmp_path: Path, kind: str
) -> None:
    if kind == "layout":
        target = filled(life, f"oci:{tmp_path / 'store'}")
        with LayoutStore(tmp_path / "store") as store:
            retag(store, f"{life.origin}/shop/app:1", f"{life.origin}/shop/app:golden")
        image = f"oci:{tmp_path / 'store'}:{life.origin}/shop/app:golden"
    else:
        target = filled(life, f"docker://{registry.address}/mirror")
        image = f"docker://{registry.address}/{below(life)}shop/app:golden"
        _tag(registry, f"{below(life)}shop/app", life.images[0]["shop/app:1"], "golden")
    plan = tmp_path / "plan.json"
    prune(life, target, "--keep", 1, "--unlisted", "--plan", plan)
    prune(life, target, "--apply", plan)
    skopeo_has(image, tmp_path / "golden")
    if kind == "registry":
        found = walk(registry.address).below(below(life)).tags
        assert {name for name in life.attachments[0] if name.startswith("shop/app:")} <= found.keys()


@pytest.mark.parametrize("change", ["tag moved", "tag new", "import", "other target", "edited"])
def test_a_plan_that_is_not_true_any_more_is_refused(life: Life, registry: DockerRegistry, tmp_path: Path, change: str) -> None:
    target, plan = (
        filled(life, f"docker://{registry.address}/mirror", *((1, 2) if change == "import" else ())),
        tmp_path / "plan.json",
    )
    prune(life, target, "--keep", 1, "--unlisted", "--plan", plan)
    where = f"{below(life)}shop/app"
    code, says = REFUSED, "changed since the plan"
    if change == "tag moved":
        _tag(registry, where, life.images[0]["shop/app:1"], "latest")
    elif change == "tag new":
        _tag(registry, where, life.images[0]["shop/app:1"], "golden")
    elif change == "import":
        filled(life, target, 3)
    elif change == "other target":
        target, code, says = f"docker://{registry.address}/other", USAGE, "another target"
    else:
        document = json.loads(plan.read_text())
        document["steps"][0]["remove"]["manifests"].append(life.images[2]["shop/app:3"])
        plan.write_text(json.dumps(document))
        code, says = USAGE, "changed since it was made"
    before = walk(registry.address)
    refused(life, code, says, "prune", target, "--apply", plan)
    assert walk(registry.address) == before


def test_a_run_that_was_killed_is_finished_by_the_same_plan(life: Life, registry: DockerRegistry, tmp_path: Path) -> None:
    target, plan = filled(life, f"docker://{registry.address}/mirror"), tmp_path / "plan.json"
    prune(life, target, "--keep", 1, "--unlisted", "--plan", plan)
    first = json.loads(plan.read_text())["steps"][0]
    for digest in first["remove"]["manifests"][:2]:
        _call(registry, "DELETE", f"{first['repository'].partition('/')[2]}/manifests/{digest}")
    prune(life, target, "--apply", plan)
    assert walk(registry.address).below(below(life)).tags == life.images[2] | life.attachments[2]


def test_a_layout_whose_files_were_not_all_removed_is_finished_by_the_same_plan(life: Life, tmp_path: Path) -> None:
    target, plan = filled(life, f"oci:{tmp_path / 'store'}"), tmp_path / "plan.json"
    prune(life, target, "--keep", 1, "--unlisted", "--plan", plan)
    step = json.loads(plan.read_text())["steps"][0]
    going = {(entry["name"], entry["digest"]) for entry in step["remove"]["names"]}
    index = json.loads((tmp_path / "store/index.json").read_text())  # as a run killed after the names, before the files
    index["manifests"] = [
        item
        for item in index["manifests"]
        if (item.get("annotations", {}).get("org.opencontainers.image.ref.name", ""), item["digest"]) not in going
    ]
    (tmp_path / "store/index.json").write_text(json.dumps(index))
    prune(life, target, "--apply", plan)
    life.site.import_(f"oci:{tmp_path / 'fresh'}", life.bundles[2], state="other-state")
    assert dict(LayoutStore(tmp_path / "store").blobs()) == dict(LayoutStore(tmp_path / "fresh").blobs())


def test_a_registry_that_does_not_delete_says_what_to_change(life: Life, tmp_path: Path) -> None:
    with DockerRegistry(tmp_path / "fixed", delete=False) as registry:
        target, plan = filled(life, f"docker://{registry.address}/mirror"), tmp_path / "plan.json"
        prune(life, target, "--keep", 1, "--unlisted", "--plan", plan)
        before = walk(registry.address)
        refused(life, NETWORK, "storage.delete.enabled", "prune", target, "--apply", plan)
        assert walk(registry.address) == before


def test_only_the_stream_that_was_named_is_pruned(life: Life, tmp_path: Path) -> None:
    target = filled(life, f"oci:{tmp_path / 'store'}")
    assert prune(life, target, "--keep", 1, "--unlisted", "--stream", "lab")["removed_manifests"] == []
    assert prune(life, target, "--keep", 3, "--unlisted")["removed_manifests"] == []
    assert prune(life, target, "--keep", 2, "--unlisted")["removed_manifests"] != []


def test_mistakes_are_told(life: Life, tmp_path: Path) -> None:
    target = filled(life, f"oci:{tmp_path / 'store'}", 1)
    (tmp_path / "plan").write_text("{}")
    refused(life, USAGE, "give either --keep to plan, or --apply", "prune", target)
    refused(life, USAGE, "give either --keep to plan, or --apply", "prune", target, "--keep", 1, "--apply", tmp_path / "plan")
    refused(life, USAGE, "give either --keep to plan, or --apply", "prune", target, "--unlisted", "--apply", tmp_path / "plan")
    refused(life, USAGE, "not a plan", "prune", target, "--apply", tmp_path / "plan")
    refused(life, USAGE, "asked what it holds", "prune", f"oci-archive:{tmp_path / 'x.tar'}", "--keep", 1)
    refused(life, USAGE, "there is no such target", "prune", f"oci:{tmp_path / 'absent'}", "--keep", 1)
    failed(life.site.run("prune", target, "--keep", 1, state="no-state", check=False), USAGE, "no import is recorded")


def _tag(registry: DockerRegistry, path: str, digest: str, tag: str) -> None:
    raw = registry.blob_path(digest).read_bytes()
    _call(registry, "PUT", f"{path}/manifests/{tag}", raw, json.loads(raw)["mediaType"])


def _call(registry: DockerRegistry, method: str, path: str, body: bytes = b"", kind: str = "application/json") -> None:
    connection = http.client.HTTPConnection(registry.address, timeout=30)
    try:
        connection.request(method, f"/v2/{path}", body, {"Content-Type": kind})
        response = connection.getresponse()
        assert response.status in (201, 202), response.read()
        response.read()
    finally:
        connection.close()
