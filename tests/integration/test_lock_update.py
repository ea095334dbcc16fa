"""`airgap resolve --update`: what moved since the last lock, and no signature lost in silence. And what `plan` tells beforehand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airgap.layout import LayoutStore
from airgap.oci.reference import Repository
from tests.support import images
from tests.support.dockerregistry import DockerRegistry
from tests.support.site import Site
from tests.support.tools import require

pytestmark = pytest.mark.slow("runs whole exports and imports against real registries")


@dataclass
class Shop:
    """A registry in which an image comes out in versions under one tag, signed or not."""

    registry: DockerRegistry
    site: Site
    work: Path
    released: int = 0

    @property
    def list(self) -> Path:
        path = self.work / "images.txt"
        path.write_text(f"{self.registry.address}/shop/web:stable\n{self.registry.address}/shop/tool:1\n")
        return path

    @property
    def lock(self) -> Path:
        return self.work / "images.lock"

    def release(self, seed: str, *, signed: bool, platforms: tuple[str, ...] = ("linux/amd64", "linux/arm64")) -> str:
        """Move the tag ``stable`` to a new image; its digest."""
        self.released += 1
        repository = Repository("origin.example", "shop/web")
        built = images.multi_arch(seed, platforms=platforms)
        with LayoutStore(self.work / f"release-{self.released}") as layout:
            images.publish(layout, f"{repository}:stable", built)
            images.publish(layout, "origin.example/shop/tool:1", images.multi_arch("tool"))
            if signed:
                signature = images.cosign_signature(images.simple_signing(repository, built.digest), "c2lnbmF0dXJl")
                images.publish_attachment(layout, repository, built.digest, ".sig", signature)
            layout.commit()
            images.push_layout_to_registry(layout, self.registry.address)
        return str(built.digest)

    def update(self, *options: str) -> dict[str, Any]:
        done = self.site.run("resolve", self.list, "--lock", self.lock, "--update", "--json", *options)
        changes: dict[str, Any] = json.loads(done.stdout)["changes"]
        return changes


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    require("docker-registry")
    with DockerRegistry(tmp_path / "registry") as registry:
        yield Shop(registry, Site.make(tmp_path / "machine"), tmp_path)


def resolved(shop: Shop) -> None:
    shop.site.run("resolve", shop.list, "--lock", shop.lock)


def test_a_moved_tag_is_shown_with_both_digests_and_its_new_platforms(shop: Shop) -> None:
    old = shop.release("one", signed=True)
    resolved(shop)
    new = shop.release("two", signed=True, platforms=("linux/amd64", "linux/arm64", "linux/s390x"))
    facts = shop.update()
    [moved] = facts["moved"]
    assert (moved["from"], moved["to"]) == (old, new)
    assert moved["platforms_gained"] == ["linux/s390x"]
    assert facts["unchanged_count"] == 1
    assert new in shop.lock.read_text()
    assert old not in shop.lock.read_text()


def test_people_see_what_moved_line_by_line(shop: Shop) -> None:
    old = shop.release("one", signed=False)
    resolved(shop)
    new = shop.release("two", signed=False)
    done = shop.site.run("resolve", shop.list, "--lock", shop.lock, "--update")
    assert f"{old} -> {new}" in done.stdout
    assert "unchanged    1 image" in done.stdout


@pytest.mark.smoke("resolve")
def test_an_update_without_changes_writes_the_same_lock(shop: Shop) -> None:
    shop.release("one", signed=True)
    resolved(shop)
    before = shop.lock.read_bytes()
    assert shop.update()["same"] is True
    assert shop.lock.read_bytes() == before


def test_a_lost_signature_is_an_error_and_leaves_the_lock_alone(shop: Shop) -> None:
    shop.release("one", signed=True)
    resolved(shop)
    before = shop.lock.read_bytes()
    shop.release("two", signed=False)
    done = shop.site.run("resolve", shop.list, "--lock", shop.lock, "--update", check=False)
    assert done.returncode == 3
    assert "signatures in the last lock are gone" in done.stderr
    assert f"{shop.registry.address}/shop/web:stable" in done.stderr
    assert "--allow-lost-signatures" in done.stderr
    assert shop.lock.read_bytes() == before


def test_a_lost_signature_may_be_allowed(shop: Shop) -> None:
    shop.release("one", signed=True)
    resolved(shop)
    new = shop.release("two", signed=False)
    [moved] = shop.update("--allow-lost-signatures")["moved"]
    assert moved["signatures_lost"] == 1
    assert new in shop.lock.read_text()


@pytest.mark.parametrize("arguments", [[], ["--lock", "-"], ["--lock", "/nowhere/images.lock"]], ids=["none", "stdout", "missing"])
def test_an_update_needs_the_last_lock(shop: Shop, arguments: list[str]) -> None:
    shop.release("one", signed=False)
    done = shop.site.run("resolve", shop.list, "--update", *arguments, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.smoke("plan")
def test_plan_tells_new_shared_and_held_bytes_and_how_long_it_takes(shop: Shop) -> None:
    shop.release("one", signed=True)
    bundle = shop.site.export(shop.list, shop.work / "usb")
    shop.release("two", signed=True)
    options = ["--since", bundle, "--rate", "1kB", "--out", shop.work]
    facts = json.loads(shop.site.run("plan", shop.list, *options, "--json").stdout)
    web, tool = facts["images"]
    assert web["new_bytes"] > tool["new_bytes"]
    assert tool["held_bytes"] > 0
    assert facts["held_bytes"] == tool["held_bytes"] + web["held_bytes"]
    assert facts["seconds"] == -(-facts["download"] // 1000)
    assert facts["free"] > 0
    text = shop.site.run("plan", shop.list, *options).stdout
    assert "held" in text.splitlines()[0]
    assert "2 images" in text
    assert "at that rate" in text


def test_resolving_again_does_not_move_a_pin_in_silence(shop: Shop) -> None:
    """Not without ``--update``, not into a lock that a later ``export`` would take for the reviewed one."""
    shop.release("one", signed=True)
    resolved(shop)
    before = shop.lock.read_bytes()
    assert shop.site.json("resolve", shop.list, "--lock", shop.lock)["changes"]["same"] is True
    new = shop.release("two", signed=False)
    done = shop.site.run("resolve", shop.list, "--lock", shop.lock, "--json", check=False)
    assert done.returncode == 3
    facts = json.loads(done.stdout)
    for fact in (f"{shop.registry.address}/shop/web:stable: moved", new, "1 signature lost"):
        assert fact in facts["got"]
    assert "--update" in facts["next"]
    assert shop.lock.read_bytes() == before


def test_an_image_that_is_new_on_the_list_is_added_to_the_lock_and_told(shop: Shop) -> None:
    shop.release("one", signed=True)
    resolved(shop)
    longer = shop.work / "longer.txt"
    longer.write_text(f"{shop.list.read_text()}{shop.registry.address}/shop/tool@{_digest_of_tool(shop)}\n")
    facts = shop.site.json("resolve", longer, "--lock", shop.lock)
    assert [entry["reference"] for entry in facts["changes"]["added"]] == [longer.read_text().splitlines()[-1]]
    done = shop.site.run("resolve", shop.list, "--lock", shop.lock, check=False)
    assert done.returncode == 3, "the shorter list would drop it again"


def test_the_list_itself_is_never_written_over(shop: Shop) -> None:
    shop.release("one", signed=False)
    before = shop.list.read_text()
    done = shop.site.run("resolve", shop.list, "--lock", shop.list, check=False)
    assert done.returncode == 2
    assert shop.list.read_text() == before


def _digest_of_tool(shop: Shop) -> str:
    [digest] = [image["digest"] for image in json.loads(shop.lock.read_bytes())["images"] if "/tool" in image["reference"]]
    return str(digest)
