"""The real skopeo and podman pull by the original names through what ``airgap mirror-config`` wrote; the vendor is gone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from airgap.oci.digest import Digest
from tests.support.archives import own_storage
from tests.support.cli import USAGE, failed
from tests.support.mirrored import Host, Mirrored, mirrored
from tests.support.pulling import PLATFORMS, yard

pytestmark = pytest.mark.slow("starts real skopeo, podman or containerd many times")

APP, TOOL = "team/app", "team/deep/tool"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirrored]:
    with yard(tmp_path_factory.mktemp("mirrored")) as place, mirrored(place, (APP, TOOL)) as found:
        yield found


def target(world: Mirrored, kind: str) -> tuple[str, str]:
    """What is pulled from, and the state that knows its names; nobody remembers what is served."""
    return (world.place.target, "site-state") if kind == "registry" else (f"docker://{world.served}", "forgetful")


def pulls_everything(world: Mirrored, host: Host, out: Path) -> None:
    for path, built in world.built.items():
        name = world.place.original(path)
        done = host.skopeo(name, out / f"{path}-all", "--all")
        assert done.returncode == 0, done.stderr
        assert Digest.of((out / f"{path}-all/manifest.json").read_bytes()) == built.digest
        repository = name.removesuffix(":1")
        for platform, child in zip(PLATFORMS, built.children, strict=True):
            for number, wanted in enumerate((name, f"{repository}@{built.digest}", f"{repository}@{child.digest}")):
                place = out / f"{path}-{platform.partition('/')[2]}-{number}"
                done = host.skopeo(wanted, place, platform=platform)
                assert done.returncode == 0, done.stderr
                assert Digest.of((place / "manifest.json").read_bytes()) == child.digest


@pytest.fixture
def out(tmp_path: Path) -> Path:
    for path in (APP, TOOL):
        (tmp_path / "out" / path).parent.mkdir(parents=True, exist_ok=True)
    return tmp_path / "out"


@pytest.mark.parametrize("kind", ["registry", "serve"])
def test_skopeo_and_podman_pull_by_tag_and_digest(world: Mirrored, out: Path, tmp_path: Path, kind: str) -> None:
    to, state = target(world, kind)
    host = world.config(tmp_path / "config", to=to, state=state)
    pulls_everything(world, host, out)
    with own_storage() as storage:
        for path, built in world.built.items():
            name = world.place.original(path)
            for wanted in (name, f"{name.removesuffix(':1')}@{built.digest}"):
                done = host.podman(storage, wanted, PLATFORMS[1])
                assert done.returncode == 0, done.stderr
                assert done.stdout.strip() == built.children[1].blobs[0].descriptor.digest.hex


@pytest.mark.parametrize("kind", ["registry", "serve"])
def test_signatures_are_enforced_on_the_way(world: Mirrored, out: Path, tmp_path: Path, kind: str) -> None:
    to, state = target(world, kind)
    place = world.place
    # what is served has its repositories under their bare paths too: those of the lookaside tree
    more = ("--lookaside", place.signatures) if kind == "registry" else (
        "--lookaside", place.root / "store-signatures", "--map", "strip-host")  # fmt: skip
    options = ("--policy", place.site.policy, "--mode", "original", *more)
    host = world.config(tmp_path / "config", *options, to=to, state=state, kind="policy")
    pulls_everything(world, host, out)
    unsigned = Path(str(tmp_path / "config/registries.d/airgap.yaml"))
    unsigned.write_text(unsigned.read_text().replace("signatures", "no-such-tree"))
    name = place.original(APP)
    done = host.skopeo(name, out / "refused")
    assert done.returncode != 0
    assert "A signature was required, but no signature exists" in done.stderr
    with own_storage() as storage:
        assert "A signature was required, but no signature exists" in host.podman(storage, name).stderr
        unsigned.write_text(unsigned.read_text().replace("no-such-tree", "signatures"))
        for platform in PLATFORMS:
            done = host.podman(storage, name, platform)
            assert done.returncode == 0, done.stderr


def test_names_that_were_flattened_and_renamed_are_found_by_their_original_ones(world: Mirrored, out: Path, tmp_path: Path) -> None:
    place = world.place
    to = f"docker://{place.registry.address}/flat"
    rules = ("--map", f"image={place.original(APP)}=front", "--map", "flatten")
    for path in world.built:
        place.site.import_(to, place.export(path), options=rules, state="flat-state")
    host = world.config(tmp_path / "config", to=to, state="flat-state")
    conf = (tmp_path / "config/registries.conf").read_text()
    assert f'location = "{place.registry.address}/flat/front"' in conf
    assert f'location = "{place.registry.address}/flat/{place.host}-team-deep-tool"' in conf
    pulls_everything(world, host, out)
    options = ("--policy", place.site.policy, "--mode", "original", "--lookaside", place.signatures, *rules)
    world.config(tmp_path / "policy", *options, to=to, state="flat-state", kind="policy")
    assert (tmp_path / "policy/registries.conf").read_text() == conf
    done = place.site.run(
        "mirror-config", "--to", to, "--format", "containerd", "--out", tmp_path / "no", state="flat-state", check=False
    )
    failed(done, USAGE, "containerd can only put a path before names")


def test_only_what_is_really_there_is_led_to_the_target(world: Mirrored, tmp_path: Path) -> None:
    place = world.place
    to = f"docker://{place.registry.address}/half"
    for path in world.built:
        place.site.import_(to, place.export(path), state="half-state")
    stored = place.registry.root / "data/docker/registry/v2/repositories/half" / place.host / TOOL
    (stored / "_manifests/tags/1/current/link").unlink()
    world.config(tmp_path / "list", to=to, state="half-state", kind="list")
    document = json.loads((tmp_path / "list/images.json").read_text())
    assert [one["source"] for one in document["images"]] == [place.original(APP)]
    world.config(tmp_path / "exact", "--exact", to=to, state="half-state")
    assert TOOL not in (tmp_path / "exact/registries.conf").read_text()


def test_the_names_can_be_carried_to_a_machine_that_never_imported(world: Mirrored, tmp_path: Path) -> None:
    world.config(tmp_path / "list", kind="list")
    first = world.config(tmp_path / "first")
    names = tmp_path / "list/images.json"
    second = world.config(tmp_path / "second", "--names", names, state="forgetful")
    third = world.config(tmp_path / "third", "--scan", state="forgetful")
    texts = {(host.config / "registries.conf").read_text() for host in (first, second, third)}
    assert len(texts) == 1
