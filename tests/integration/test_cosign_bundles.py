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

    def export(self, bundles: Callable[[bytes], list[bytes]]) -> Path:
        """Publish an index whose instances carry these bundles, and export it."""
        index = images.multi_arch("signed", platforms=("linux/amd64", "linux/arm64"))
        repository = Repository("example.com", "team/app")
        with LayoutStore(self.work / "layout") as layout:
            images.publish(layout, f"{repository}:1", index)
            for child in index.children:
                found = [
                    images.artifact(child, SIGSTORE_BUNDLE, raw, media_type=SIGSTORE_BUNDLE) for raw in bundles(child.manifest.raw)
                ]
                images.attach(layout, repository, child, found)
            layout.commit()
        with LayoutStore(self.work / "layout") as layout:
            images.push_layout_to_registry(layout, self.vendor.address)
        (self.work / "images.txt").write_text(f"{self.name}:1\n")
        return self.site.export(self.work / "images.txt", self.work / "out")

    def bundle(self, manifest: bytes, name: str | None, key: signing.Key | None = None, **statement: Any) -> bytes:
        """One bundle about a manifest."""
        return json.dumps(signing.bundle_document(key or self.key, manifest, name, **statement)).encode()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    require("docker-registry")
    site, key = Site.make(tmp_path / "site"), signing.Key()
    (tmp_path / "vendor.pub").write_bytes(key.pem)
    wanted = {"type": "sigstoreSigned", "keyPath": str(tmp_path / "vendor.pub"), "signedIdentity": {"type": "matchRepository"}}
    policy = json.loads(site.policy.read_text())
    policy["transports"]["docker"] = {"": [wanted]}
    site.policy.write_text(json.dumps(policy))
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
