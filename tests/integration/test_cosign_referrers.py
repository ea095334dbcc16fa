"""Cosign signatures among a registry's referrers, through a bundle, to a site whose policy asks for the vendor's key."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from airgap.layout import LayoutReader, LayoutStore
from airgap.oci.digest import Digest
from airgap.oci.reference import Repository
from airgap.trust.keys import evidence as ev
from tests.support import images, signing
from tests.support.cli import REFUSED
from tests.support.dockerregistry import DockerRegistry
from tests.support.images import Built
from tests.support.site import Site
from tests.support.tools import require

pytestmark = pytest.mark.slow("runs whole exports and imports against real registries")

APP = Repository("example.com", "team/app")


@dataclass(frozen=True)
class World:
    """A vendor's registry with an index of two platforms, and a site whose policy asks for the vendor's key."""

    work: Path
    vendor: DockerRegistry
    key: signing.Key
    site: Site

    @property
    def name(self) -> str:
        """The repository that the site asks for."""
        return f"{self.vendor.address}/team/app"

    @property
    def list(self) -> Path:
        """The image list."""
        path = self.work / "images.txt"
        path.write_text(f"{self.name}:1\n")
        return path

    def referrer(self, child: Built, *keys: signing.Key, name: str = "") -> Built:
        """What cosign writes after these keys have signed a manifest."""
        payload = signing.cosign_payload(child.manifest.raw, name or self.name)
        signed = [(payload, {ev.SIGNATURE: base64.b64encode(key.sign(payload)).decode()}) for key in keys]
        return images.cosign_referrer(child, signed)

    def publish(self, *signers: tuple[signing.Key, ...], name: str = "") -> None:
        """Publish the image; each instance has a referrer per group of keys."""
        index = images.multi_arch("signed", platforms=("linux/amd64", "linux/arm64"))
        with LayoutStore(self.work / "layout") as layout:
            images.publish(layout, f"{APP}:1", index)
            for child in index.children:
                images.attach(layout, APP, child, [self.referrer(child, *keys, name=name) for keys in signers])
            layout.commit()
            images.push_layout_to_registry(layout, self.vendor.address)

    def export(self, *options: object, serial: int = 1) -> Path:
        """Export the image."""
        return self.site.export(self.list, self.work / "out", *options, serial=serial)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    require("docker-registry")
    site, key = Site.make(tmp_path / "site"), signing.Key()
    (tmp_path / "vendor.pub").write_bytes(key.pem)
    site.demand_signatures(tmp_path / "vendor.pub")
    with DockerRegistry(tmp_path / "vendor") as vendor:
        yield World(tmp_path, vendor, key, site)


def test_signatures_among_the_referrers_count_wherever_those_of_tags_do(world: World) -> None:
    stranger = signing.Key()
    world.publish((stranger,), (stranger, world.key))
    (resolved,) = world.site.json("resolve", world.list)["images"]
    assert {one["artifact_type"] for one in resolved["attachments"] if one["kind"] == "referrer"} == {ev.SIGNATURE_REFERRER}
    bundle = world.export("--verify-images", world.site.policy)

    explained = world.site.run("policy", "explain", f"{world.name}:1", "--policy", world.site.policy, "--bundle", bundle).stdout
    assert explained.count("cosign signature 2 of referrer ") == 2
    verified = world.site.json("verify", bundle, "--policy", world.site.policy)
    store = world.work / "store"
    imported = world.site.import_(f"oci:{store}", bundle)
    (world.work / "drop").mkdir()
    bundle.rename(world.work / "drop/prod-0001")
    world.site.run(
        *("watch", world.work / "drop", "--once", "--settle", 0, "--policy", world.site.policy),
        *("--to", f"oci:{world.work / 'watched'}"),
        state="watching-state",
    )
    for facts in (verified, imported):
        decisions = [judgement["decisions"][0] for judgement in facts["judgements"]]
        assert len(decisions) == 2
        assert all(found["accepted"] and found["signature"].startswith("cosign signature 2 of referrer ") for found in decisions)
        assert all(world.key.id in found["key"] for found in decisions)
    for judgement in imported["judgements"]:
        for directory in (store, world.work / "watched"):
            carried = LayoutReader(directory).referrers(APP, Digest.parse(judgement["instance"], "test"))
            assert [entry.artifact_type for entry in carried.descriptors] == [ev.SIGNATURE_REFERRER] * 2


def test_signatures_for_another_repository_or_by_strangers_are_refused_everywhere(world: World) -> None:
    world.publish((signing.Key(),))
    refused = world.site.run(
        *("export", world.list, "--out", world.work / "no", "--stream", "prod", "--key", world.site.key),
        *("--verify-images", world.site.policy),
        check=False,
    )
    assert refused.returncode == REFUSED
    assert "not made by this key" in refused.stderr
    world.publish((world.key,), name=f"{world.vendor.address}/team/other")
    bundle = world.export()
    for command in (("import", bundle, "--to", f"oci:{world.work / 'store'}"), ("verify", bundle)):
        refused = world.site.run(*command, "--policy", world.site.policy, state="site-state", check=False)
        assert refused.returncode == REFUSED
        assert "for another name" in refused.stderr
    assert not (world.work / "store/index.json").exists()


def test_a_bundle_without_its_referrers_has_no_such_signatures_and_an_import_without_them_has(world: World) -> None:
    world.publish((world.key,))
    world.export("--without", "referrers")
    refused = world.site.run("verify", world.work / "out/prod-0001", "--policy", world.site.policy, check=False)
    assert refused.returncode == REFUSED
    assert "no sigstore signature exists" in refused.stderr
    bundle = world.export(serial=2)
    facts = world.site.import_(f"oci:{world.work / 'store'}", bundle, options=("--without", "referrers"))
    assert all(judgement["accepted"] for judgement in facts["judgements"])
