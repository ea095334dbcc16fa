"""Images that a list names by digest alone: they have a name at the target, one that exists and that no garbage collector takes."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airgap.layout import LayoutStore
from airgap.oci.digest import Digest
from airgap.oci.image import keeping_tag
from airgap.oci.reference import Reference
from airgap.registry import RegistryOptions, RegistryStore
from tests.support import images
from tests.support.bundles import Sender
from tests.support.cli import USAGE, failed, here
from tests.support.dockerregistry import BINARY, DockerRegistry
from tests.support.origin import Origin
from tests.support.tools import require

pytestmark = pytest.mark.slow("runs whole imports against a real registry")

WEB = images.index([images.image([images.layer(f"web {p}")], platform=p) for p in images.PLATFORMS])
TOOL = images.image([images.layer("tool")])
PINNED, SINGLE = f"quay.io/shop/web@{WEB.digest}", f"quay.io/shop/tool@{TOOL.digest}"
AMD64 = ("--platform", "linux/amd64")


class Desk:
    """A site with a bundle of images that are wanted by digest alone."""

    def __init__(self, work: Path, sender: Sender, registry: DockerRegistry) -> None:
        self.work, self.sender, self.registry = work, sender, registry
        origin = Origin()
        for name, built in (("quay.io/shop/web", WEB), ("quay.io/shop/tool", TOOL)):
            origin.push(f"{name}:1", built)
        self.bundle = sender.bundle(origin, [Reference.parse(name) for name in (PINNED, SINGLE)], work / "usb")
        self.path = f"{work.name.replace('_', '-').lower()}"
        self.to = f"docker://{registry.address}/{self.path}"

    def run(self, command: str, *options: object, to: str = "") -> Any:
        done = self.done(command, *options, to=to)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def done(self, command: str, *options: object, to: str = "") -> subprocess.CompletedProcess[str]:
        state = ("--state", self.work / "state", "--json")
        if command == "import":
            return here("import", self.bundle, "--to", to or self.to, "--policy", self.sender.policy, *options, *state)
        return here(command, to or self.to, *options, *state)

    def put(self, built: images.Built, name: str) -> None:
        """What somebody else has there."""
        with LayoutStore(self.work / "other") as layout:
            images.publish(layout, "other.example/x:1", built)
            layout.commit()
        copy = [require("skopeo"), "--insecure-policy", "copy", "-q", "--dest-tls-verify=false", f"oci:{self.work / 'other'}"]
        subprocess.run([*copy, f"docker://{name}"], check=True)

    def tags(self, name: str = "quay.io/shop/web") -> dict[str, str]:
        """What every tag of a repository stands for."""
        with RegistryStore(RegistryOptions()) as store:
            place = Reference.parse(f"{self.to.removeprefix('docker://')}/{name}").repository
            return {tag: str(store.resolve(place.tagged(tag))) for tag in store.tags(place)}


@pytest.fixture
def desk(tmp_path: Path, sender: Sender, module_registry: DockerRegistry, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return Desk(tmp_path, sender, module_registry)


def named(facts: dict[str, Any]) -> dict[str, str]:
    """The destination of every source."""
    return {entry["source"]: entry["destination"] for entry in facts["names"]}


def exists(name: str) -> bool:
    """Whether the real skopeo finds an image under the very name that was told."""
    command = [require("skopeo"), "inspect", "--raw", "--tls-verify=false", f"docker://{name}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("platform", [(), AMD64], ids=["whole", "one platform"])
def test_an_image_by_digest_alone_is_not_lost_its_name_is_told_exists_and_stays(desk: Desk, platform: tuple[str, ...]) -> None:
    promised = named(desk.run("import", "--dry-run", *platform))
    done = desk.run("import", *platform)
    assert named(done) == promised
    assert set(promised) == {PINNED, SINGLE}
    assert all(exists(name) for name in promised.values())
    for name in ("quay.io/shop/web", "quay.io/shop/tool"):
        assert all(tag == keeping_tag(Digest.parse(digest)) for tag, digest in desk.tags(name).items())
    assert (promised[PINNED].rpartition("-")[2] == WEB.digest.hex) is (platform == ())
    asked = here("history", "--state", desk.work / "state", "--json")
    assert json.loads(asked.stdout)["history"][-1]["outcome"] == "loaded 2 images, 2 by digest alone with a tag"
    again = desk.run("import", *platform)
    assert (again["already_there"], named(again)) == (True, promised)
    assert {entry["change"] for entry in desk.run("import", "--dry-run", *platform)["names"]} == {"same"}


def test_an_image_by_digest_alone_survives_the_garbage_collector(desk: Desk, tmp_path: Path) -> None:
    with DockerRegistry(tmp_path / "own") as registry:
        to = f"docker://{registry.address}/m"
        desk.run("import", to=to)
        for name in ("web", "tool"):  # or the collector gives up: it knows no repository without tags
            desk.put(images.image([images.layer("other")]), f"{registry.address}/untagged/quay.io/shop/{name}:other")
        desk.run("import", "--no-digest-tags", to=f"docker://{registry.address}/untagged")
        registry.stop()
        assert BINARY is not None
        command = [BINARY, "garbage-collect", "--delete-untagged", str(tmp_path / "own/config.yml")]
        assert subprocess.run(command, capture_output=True, check=False).returncode == 0
        registry.restart()
        assert exists(f"{registry.address}/m/quay.io/shop/web@{WEB.digest}")
        assert not exists(f"{registry.address}/untagged/quay.io/shop/web@{WEB.digest}"), "which is why there are tags"


def test_a_tag_that_was_lost_comes_back_with_the_next_import_of_the_same_bundle(desk: Desk) -> None:
    desk.run("import")
    request = urllib.request.Request(
        f"http://{desk.registry.address}/v2/{desk.path}/quay.io/shop/tool/manifests/{TOOL.digest}", method="DELETE"
    )
    urllib.request.urlopen(request).close()
    assert desk.tags("quay.io/shop/tool") == {}
    assert not desk.run("import")["already_there"]
    assert desk.tags("quay.io/shop/tool") == {keeping_tag(TOOL.digest): str(TOOL.digest)}


@pytest.mark.parametrize("options", [("--dry-run",), ()])
def test_a_tag_of_somebody_else_is_never_moved_to_keep_an_image(desk: Desk, options: tuple[str, ...]) -> None:
    other = images.image([images.layer("of somebody else")])
    place = Reference.parse(f"{desk.to.removeprefix('docker://')}/quay.io/shop/web:{keeping_tag(WEB.digest)}")
    desk.put(other, str(place))
    facts = failed(desk.done("import", *options), USAGE, "refers to another image", "--no-digest-tags")
    assert facts["where"] == str(place)
    assert desk.tags() == {keeping_tag(WEB.digest): str(other.digest)}
    assert not exists(f"{place.repository}@{WEB.digest}"), "nothing was written"
    done = desk.run("import", "--no-digest-tags")
    assert named(done)[PINNED] == f"{place.repository}@{WEB.digest}"
    assert desk.tags() == {keeping_tag(WEB.digest): str(other.digest)}


@pytest.mark.parametrize("platform", [(), AMD64], ids=["whole", "one platform"])
def test_in_a_store_its_name_is_told_and_exists(desk: Desk, platform: tuple[str, ...]) -> None:
    to = f"oci:{desk.work / 'store'}"
    promised = [entry["destination"] for entry in desk.run("import", "--dry-run", *platform, to=to)["names"]]
    done = desk.run("import", *platform, to=to)
    assert [entry["destination"] for entry in done["names"]] == promised
    entries = json.loads((desk.work / "store/index.json").read_bytes())["manifests"]
    named = {entry["annotations"]["org.opencontainers.image.ref.name"]: entry["digest"] for entry in entries}
    assert all(named[name] == name.partition("@")[2] for name in promised)
    assert desk.run("import", *platform, to=to)["already_there"]
    command = [require("skopeo"), "inspect", "--raw", f"oci:{desk.work / 'store'}:{promised[0]}"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_generations_rollback_prune_receipt_and_hosts_know_the_tag(desk: Desk, sender: Sender, tmp_path: Path) -> None:
    desk.run("import")
    origin = Origin()
    newer = images.image([images.layer("newer")])
    origin.push("quay.io/shop/tool:2", newer)
    second = sender.bundle(origin, [Reference.parse(f"quay.io/shop/tool@{newer.digest}")], tmp_path / "usb", serial=2)
    first, desk.bundle = desk.bundle, second
    desk.run("import")
    held = tmp_path / "site.receipt"
    assert here("receipt", desk.to, "-o", held, "--site", "plant", "--state", tmp_path / "state").returncode == 0
    listed = json.loads(held.read_bytes())["images"]
    assert listed[f"{desk.path}/quay.io/shop/web"] == {keeping_tag(WEB.digest): str(WEB.digest)}
    assert set(listed[f"{desk.path}/quay.io/shop/tool"]) == {keeping_tag(TOOL.digest), keeping_tag(newer.digest)}
    back = desk.run("rollback", "--stream", "prod", "--to", 1, "--remove-new")
    assert [one["name"].rpartition(":")[2] for one in back["new_names"]] == [keeping_tag(newer.digest)]
    assert desk.tags("quay.io/shop/tool") == {keeping_tag(TOOL.digest): str(TOOL.digest)}
    out = tmp_path / "hosts"
    done = here("mirror-config", "--to", desk.to, "--format", "list", "--out", out, "--state", tmp_path / "state")
    assert done.returncode == 0, done.stderr
    entries = {entry["source"]: entry for entry in json.loads((out / "images.json").read_bytes())["images"]}
    assert entries[PINNED]["tag"] == keeping_tag(WEB.digest)
    assert entries[PINNED]["pinned"].endswith(f"@{WEB.digest}")
    done = here("mirror-config", "--to", desk.to, "--format", "idms", "--out", out, "--state", tmp_path / "none", "--scan")
    assert done.returncode == 0, done.stderr
    assert "no warnings" in done.stdout
    assert first.exists()


def test_hosts_find_it_by_its_digest_and_are_told_where_it_was_made_anew(desk: Desk) -> None:
    desk.run("import", *AMD64)
    state = desk.work / "state"
    done = here("mirror-config", "--to", desk.to, "--format", "registries.conf", "--out", desk.work / "h", "--state", state)
    assert done.returncode == 0, done.stderr
    assert f"{PINNED} cannot be pulled by its own name" in done.stdout
    assert SINGLE not in done.stdout


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path) -> Iterator[None]:
    yield
    assert not list(tmp_path.glob("**/*.tmp"))
