"""Names at a registry: the rules of ``--map``, their preview with ``--dry-run``, and names that belong to somebody else."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from airgap.state import State
from tests.support import images
from tests.support.bundles import Sender
from tests.support.cli import DAMAGED, USAGE, failed, here, tree
from tests.support.desks import TOOL, WEB, Made, SiteDesk
from tests.support.dockerregistry import DockerRegistry
from tests.support.hostile import Hostile
from tests.support.origin import Origin

pytestmark = pytest.mark.slow("runs whole exports and imports against real registries")


def run(site: SiteDesk, to: str, *options: object, bundle: Path | None = None) -> Any:
    done = site.import_(*options, to=to, bundle=bundle)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_dry_run_says_what_an_import_then_does(site: SiteDesk, module_registry: DockerRegistry, tmp_path: Path) -> None:
    to = f"docker://{module_registry.address}/dry"
    rules = tmp_path / "rules.yaml"
    rules.write_text(f"- image: {WEB}\n  to: front:stable\n- flatten\n")
    before = tree(tmp_path)
    seen = run(site, to, "--map", rules, "--dry-run")
    assert tree(tmp_path) == before, "nothing is written, not even a state"
    names = {entry["source"]: entry["destination"] for entry in seen["names"]}
    place = to.removeprefix("docker://")
    assert names == {WEB: f"{place}/front:stable", TOOL: f"{place}/quay.io-tools-tool:2"}
    assert {entry["change"] for entry in seen["names"]} == {"new"}
    done = run(site, to, "--map", rules)
    assert {one["source"]: one["destination"] for one in done["names"]} == names
    assert (done["sent_blobs"], done["sent_bytes"]) == (seen["send_blobs"], seen["send_bytes"])
    again = run(site, to, "--map", rules, "--dry-run")
    assert {entry["change"] for entry in again["names"]} == {"same"}
    assert again["send_blobs"] == 0


def test_a_dry_run_says_which_names_would_move(site: SiteDesk, module_registry: DockerRegistry, tmp_path: Path) -> None:
    to = f"docker://{module_registry.address}/moving"
    run(site, to)
    sender = site.made.sender
    origin = Origin()
    newer = sender.bundle(origin, [origin.push(WEB, images.image([images.layer("new")]))], tmp_path / "usb", serial=2)
    fixed = ("--to", to, "--policy", sender.policy, "--state", tmp_path / "state", "--dry-run")
    done = here("import", newer, *fixed)
    assert done.returncode == 0, done.stderr
    assert f"moved        {WEB} -> " in done.stdout
    assert "which is sha256:" in done.stdout
    assert "nothing was written" in done.stdout


def test_a_dry_run_finds_damage_and_names_that_clash(site: SiteDesk, module_registry: DockerRegistry) -> None:
    to = f"docker://{module_registry.address}/clash"
    mapping = ("--map", f"image={WEB}=one:1", "--map", f"image={TOOL}=one:2")
    failed(site.import_(*mapping, "--dry-run", to=to), USAGE, "two source repositories would share")
    data = bytearray(site.volume(2).read_bytes())
    data[len(data) // 2] ^= 1
    site.volume(2).write_bytes(data)
    failed(site.import_("--dry-run", to=to), DAMAGED, "volume 2 of 3 (volume-0002.tar) is damaged")


def test_names_and_their_sources_are_remembered(
    site: SiteDesk, made: Made, module_registry: DockerRegistry, tmp_path: Path
) -> None:
    to = f"docker://{module_registry.address}/remembered"
    run(site, to, "--map", "strip-host")
    with State(tmp_path / "state") as state:
        found = {one.name: one.source for one in state.names(to)}
        assert found == {f"{to[9:]}/shop/web:1": WEB, f"{to[9:]}/tools/tool:2": TOOL}
        assert [one.name for one in state.names(f"docker://{module_registry.address}")] == sorted(found)
        assert state.names(f"{to}x") == []


@pytest.mark.parametrize("tag", ["1", "other"], ids=["the same tag", "another tag"])
def test_a_repository_stays_the_sources_that_it_was_made_for(
    site: SiteDesk, module_registry: DockerRegistry, tmp_path: Path, tag: str
) -> None:
    """Across streams and prefixes, whoever signs, and also where the tag is free."""
    place = f"{module_registry.address}/owned-{tag}"
    to = f"docker://{place}"
    run(site, to, "--map", "strip-host")
    before = tags_of(module_registry, f"owned-{tag}/shop/web")
    sender: Sender = site.made.sender
    origin = Origin()
    other = origin.push(f"quay.io/shop/web:{tag}", images.image([images.layer("another")]))
    bundle = sender.bundle(origin, [other], tmp_path / "usb", stream="other")
    ways = [("--dry-run",), ("--partial",), ("--sign-by", sender.key), ("--platform", "linux/amd64")]
    for options in ways:
        facts = failed(site.import_("--map", "strip-host", *options, to=to, bundle=bundle), USAGE, "belongs to another source")
        assert ("docker.io/shop/web" in facts["expected"], facts["got"]) == (True, "quay.io/shop/web")
    elsewhere = ("--map", f"prefix=quay.io=owned-{tag}")
    failed(site.import_(*elsewhere, to=f"docker://{module_registry.address}", bundle=bundle), USAGE, "belongs to another source")
    assert tags_of(module_registry, f"owned-{tag}/shop/web") == before, "nothing was written"
    done = run(site, to, "--map", "strip-host", "--replace-names", bundle=bundle)
    assert done["remarks"] == [f"{place}/shop/web is taken over (--replace-names)"]
    with State(tmp_path / "state") as state:
        assert {one.source for one in state.names(to)} == {str(other), TOOL}
        assert "taken over" in state.history()[-1].reason
    failed(site.import_("--map", "strip-host", "--allow-older", to=to), USAGE, "belongs to another source")
    done = here("rollback", to, "--to", 1, "--stream", "prod", "--state", tmp_path / "state")
    assert done.returncode == USAGE, done.stdout
    assert "now belongs to another source" in done.stderr


def tags_of(registry: DockerRegistry, path: str) -> set[str]:
    with urllib.request.urlopen(f"http://{registry.address}/v2/{path}/tags/list") as answer:
        return set(json.loads(answer.read())["tags"])


def test_a_dry_run_knows_whether_held_blobs_are_there(site: SiteDesk, module_registry: DockerRegistry, tmp_path: Path) -> None:
    to = f"docker://{module_registry.address}/held"
    origin = Origin()
    with Hostile(origin.answer) as server:
        third = origin.push(f"{server.address}/shop/third:1", images.image([images.layer("base", 60_000), images.layer("third")]))
        image_list = tmp_path / "images.txt"
        image_list.write_text(f"{third}\n")
        options = ["--since", site.bundle, "--state", tmp_path / "exporter", "--serial", 2, "--key", site.made.sender.key]
        done = here("export", image_list, "--out", tmp_path / "usb", "--stream", "prod", *options)
        assert done.returncode == 0, done.stderr
    bundle = tmp_path / "usb/prod-0002"
    failed(site.import_("--dry-run", to=to, bundle=bundle), DAMAGED, "lacks 1 blob")
    failed(
        site.import_("--dry-run", to=f"oci-archive:{tmp_path / 'a.tar'}", bundle=bundle), USAGE, "a new target has none", "merge"
    )
    run(site, to)
    assert run(site, to, "--dry-run", bundle=bundle)["held_blobs"] == 1
