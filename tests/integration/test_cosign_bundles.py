"""Cosign 3 bundles from a registry's referrers through a bundle to a site whose policy asks for the vendor's key."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airgap.layout import LayoutReader, LayoutStore
from airgap.oci.digest import Digest
from airgap.oci.reference import Repository
from airgap.trust.keys.evidence import SIGSTORE_BUNDLE
from tests.support import images, signing
from tests.support.cli import REFUSED
from tests.support.dockerregistry import DockerRegistry
from tests.support.serving import Serving
from tests.support.site import Site
from tests.support.tools import require

pytestmark = pytest.mark.slow("runs whole exports and imports against real registries")

OTHER_STATEMENT: dict[str, Any] = {"predicateType": "https://slsa.dev/provenance/v1"}


@dataclass(frozen=True)
class World:
    """A vendor's registry and key, and a site whose policy asks for that key."""

    work: Path
    vendor: DockerRegistry
    key: signing.Key
    site: Site

    @property
    def name(self) -> str:
        """The repository that the site asks for."""
        return f"{self.vendor.address}/team/app"

    def publish(self, bundles: Callable[[bytes], list[bytes]], *names: str) -> Path:
        """Publish an index for each name, whose instances carry these bundles; the list of them."""
        with LayoutStore(self.work / "layout") as layout:
            for name in names:
                index = images.multi_arch(name, platforms=("linux/amd64", "linux/arm64"))
                repository = Repository("example.com", name)
                images.publish(layout, f"{repository}:1", index)
                for child in index.children:
                    made = bundles(child.manifest.raw)
                    found = [images.artifact(child, SIGSTORE_BUNDLE, raw, media_type=SIGSTORE_BUNDLE) for raw in made]
                    images.attach(layout, repository, child, found)
            layout.commit()
        with LayoutStore(self.work / "layout") as layout:
            images.push_layout_to_registry(layout, self.vendor.address)
        (self.work / "images.txt").write_text("".join(f"{self.vendor.address}/{name}:1\n" for name in names))
        return self.work / "images.txt"

    def export(self, bundles: Callable[[bytes], list[bytes]], *names: str) -> Path:
        """Publish such images, by default the one that the site asks for, and export them."""
        return self.site.export(self.publish(bundles, *(names or ("team/app",))), self.work / "out")

    def configured(self, **scopes: bool) -> Path:
        """A configuration that permits signatures without a name for namespaces of the vendor's registry, or takes it back."""
        lines = [f'"{self.vendor.address}/{name.replace("_", "/")}" = {json.dumps(value)}\n' for name, value in scopes.items()]
        path = self.work / "airgap.toml"
        path.write_text(f'[site]\npolicy = "{self.site.policy}"\n[site.unnamed-signatures]\n{"".join(lines)}')
        return path

    def bundle(self, manifest: bytes, name: str | None, key: signing.Key | None = None, **statement: Any) -> bytes:
        """One bundle about a manifest."""
        return json.dumps(signing.bundle_document(key or self.key, manifest, name, **statement)).encode()


def of_cosign(manifest: bytes) -> dict[str, Any]:
    """What cosign 3 signs about an image, beside what every statement has: its digest and no name."""
    return {"subject": [{"digest": {"sha256": Digest.of(manifest).hex}, "annotations": {}}], "predicate": {}}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    require("docker-registry")
    site, key = Site.make(tmp_path / "site"), signing.Key()
    (tmp_path / "vendor.pub").write_bytes(key.pem)
    site.demand_signatures(tmp_path / "vendor.pub")
    with DockerRegistry(tmp_path / "vendor") as vendor:
        yield World(tmp_path, vendor, key, site)


def test_bundles_that_name_the_repository_vouch_beside_garbage_and_travel_on(world: World) -> None:
    def bundles(manifest: bytes) -> list[bytes]:
        foreign, statement = (
            world.bundle(manifest, world.name, signing.Key()),
            world.bundle(manifest, world.name, **OTHER_STATEMENT),
        )
        return [b"garbage", foreign, statement, world.bundle(manifest, world.name)]

    bundle = world.export(bundles)
    store = world.work / "store"
    facts = world.site.import_(f"oci:{store}", bundle)
    decisions = [judgement["decisions"][0] for judgement in facts["judgements"]]
    assert len(decisions) == 2
    assert all(found["accepted"] and found["signature"].startswith("cosign bundle ") for found in decisions)
    assert all(world.key.id in found["key"] for found in decisions)
    layout, repository = LayoutReader(store), Repository("example.com", "team/app")
    for judgement in facts["judgements"]:
        carried = layout.referrers(repository, Digest.parse(judgement["instance"], "test"))
        assert [entry.artifact_type for entry in carried.descriptors] == [SIGSTORE_BUNDLE] * 4


def test_bundles_without_a_name_need_the_operators_word(world: World) -> None:
    bundle = world.export(lambda manifest: [world.bundle(manifest, None)])
    target = f"oci:{world.work / 'store'}"
    for command in (("import", bundle, "--to", target), ("verify", bundle)):
        refused = world.site.run(*command, "--policy", world.site.policy, state="site-state", check=False)
        assert refused.returncode == REFUSED
        assert "names no image" in refused.stderr
    assert not (world.work / "store/index.json").exists()
    verified = world.site.json("verify", bundle, "--policy", world.site.policy, "--accept-unnamed-sigstore-bundles")
    imported = world.site.import_(target, bundle, options=("--accept-unnamed-sigstore-bundles",))
    for facts in (verified, imported):
        reasons = [judgement["decisions"][0]["reason"] for judgement in facts["judgements"]]
        assert len(reasons) == 2
        assert all(reason.endswith('names no image (unnamed-signatures "" = true)') for reason in reasons)


def test_bundles_for_another_image_are_refused_even_with_the_operators_word(world: World) -> None:
    bundle = world.export(lambda manifest: [world.bundle(manifest, f"{world.vendor.address}/team/other")])
    command = ("verify", bundle, "--policy", world.site.policy, "--accept-unnamed-bundles")
    refused = world.site.run(*command, check=False)
    assert refused.returncode == REFUSED
    assert "names another image" in refused.stderr


def test_bundles_without_a_name_count_in_the_permitted_scope_and_are_refused_one_scope_beside(world: World) -> None:
    def bundles(manifest: bytes) -> list[bytes]:
        return [world.bundle(manifest, None, **of_cosign(manifest))]

    bundle = world.export(bundles, "team/app", "team/old", "other/app")
    target, address = f"oci:{world.work / 'store'}", world.vendor.address
    refused = world.site.run("import", bundle, "--to", target, "--config", world.configured(team=True, team_old=False), check=False)
    assert refused.returncode == REFUSED
    assert f"{address}/other/app:1 linux/amd64" in refused.stderr
    assert f"{address}/team/old:1 linux/arm64" in refused.stderr
    assert f"{address}/team/app" not in refused.stderr
    assert not (world.work / "store/index.json").exists()
    config = world.configured(team=True, other_app=True)
    for facts in (
        world.site.json("verify", bundle, "--config", config),
        world.site.json("import", bundle, "--to", target, "--config", config, state="site-state"),
    ):
        scopes = {judgement["image"]: judgement["decisions"][0]["unnamed_scope"] for judgement in facts["judgements"]}
        assert scopes == {
            f"{address}/other/app:1": f"{address}/other/app",
            f"{address}/team/app:1": f"{address}/team",
            f"{address}/team/old:1": f"{address}/team",
        }
    said = world.site.run("verify", bundle, "--config", config).stdout
    line = f"unnamed      3 images by signatures that name no image (unnamed-signatures: {address}/other/app, {address}/team)"
    assert line in said.splitlines()
    assert f'names no image (unnamed-signatures "{address}/team" = true)' in said


def test_permission_for_a_scope_holds_wherever_images_are_judged(world: World) -> None:
    def bundles(manifest: bytes) -> list[bytes]:
        return [world.bundle(manifest, None, **of_cosign(manifest))]

    asked, out = world.publish(bundles, "team/app"), world.work / "out"
    right, beside = f"{world.vendor.address}/team", f"{world.vendor.address}/team/application"
    export = ["export", asked, "--out", out, "--stream", "prod", "--key", world.site.key, "--verify-images", world.site.policy]
    assert world.site.run(*export, "--unnamed-signatures", beside, check=False).returncode == REFUSED
    exported = world.site.run(*export, "--unnamed-signatures", right).stdout
    assert f"by signatures that name no image (unnamed-signatures: {right})" in exported
    explain = ["policy", "explain", f"{world.name}:1", "--bundle", out / "prod-0001"]
    watch = ["watch", out, "--to", f"oci:{world.work / 'store'}", "--once", "--settle", "0"]
    for scope, accepted in (("team_application", False), ("team", True)):
        config = ["--config", world.configured(**{scope: True})]
        (explained,) = world.site.json(*explain, *config)["images"]
        assert (explained["accepted"], explained["unnamed_accepted"]) == (accepted, accepted)
        watched = world.site.run(*watch, *config, state="site-state", check=False)
        assert watched.returncode == (0 if accepted else REFUSED)
    result = json.loads((out / "prod-0001.result.json").read_text())
    assert {one["decisions"][0]["unnamed_scope"] for one in result["judgements"]} == {right}
    assert world.site.run("serve", out / "prod-0001", "--policy", world.site.policy, check=False).returncode == REFUSED
    with Serving(world.work, out / "prod-0001", "--config", world.configured(team=True)) as serving:
        assert b"team/app" in serving.ask("/v2/_catalog").body
