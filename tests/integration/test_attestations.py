"""Attestations in both forms, from a registry through a bundle to a site that demands them beside its policy."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airgap.layout import LayoutReader, LayoutStore
from airgap.oci.digest import Digest
from airgap.oci.image import digest_tag
from airgap.oci.reference import Repository
from tests.support import attesting, images, signing
from tests.support.attesting import BUILDER, SLSA_V1, SOURCE, SPDX, github
from tests.support.cli import REFUSED, USAGE
from tests.support.dockerregistry import DockerRegistry
from tests.support.images import Built
from tests.support.serving import Serving
from tests.support.site import Site
from tests.support.tools import require

pytestmark = pytest.mark.slow("runs whole exports and imports against real registries")

SBOM: dict[str, Any] = {"spdxVersion": "SPDX-2.3", "packages": [{"name": "busybox"}]}
#: What a vendor attests of a manifest: statements in bundles, and statements under the ``.att`` tag.
Attest = Callable[[bytes], tuple[list[bytes], list[bytes]]]


def everything(manifest: bytes) -> tuple[list[bytes], list[bytes]]:
    """Provenance in a bundle, and an SBOM under the tag."""
    return [attesting.statement(manifest)], [attesting.statement(manifest, SPDX, SBOM)]


@dataclass(frozen=True)
class World:
    """A vendor's registry and key, and a site whose policy asks for that key."""

    work: Path
    vendor: DockerRegistry
    key: signing.Key
    site: Site

    @property
    def image(self) -> str:
        """The image that the site asks for."""
        return f"{self.vendor.address}/team/app:1"

    def publish(self, attest: Attest = everything, key: signing.Key | None = None, *, of_index: bool = False) -> Path:
        """Publish the image, whose instances are signed and attested (or its index is attested alone); the image list."""
        repository, signer = Repository("example.com", "team/app"), key or self.key
        index = images.multi_arch("attested", platforms=("linux/amd64", "linux/arm64"))
        with LayoutStore(self.work / "layout") as layout:
            images.publish(layout, f"{repository}:1", index)
            for child in index.children:
                payload = signing.cosign_payload(child.manifest.raw, f"{self.vendor.address}/team/app")
                signature = images.cosign_signature(payload, base64.b64encode(self.key.sign(payload)).decode())
                images.publish_attachment(layout, repository, child.digest, ".sig", signature)
            for subject in [index] if of_index else index.children:
                self._attest(layout, repository, subject, signer, attest)
            layout.commit()
        with LayoutStore(self.work / "layout") as layout:
            images.push_layout_to_registry(layout, self.vendor.address)
        (self.work / "images.txt").write_text(f"{self.image}\n")
        return self.work / "images.txt"

    def _attest(self, layout: LayoutStore, repository: Repository, subject: Built, key: signing.Key, attest: Attest) -> None:
        bundles, classic = attest(subject.manifest.raw)
        images.attach(layout, repository, subject, [attesting.referrer(subject, key, one) for one in bundles])
        if classic:
            images.publish_attachment(layout, repository, subject.digest, ".att", attesting.att_image(key, *classic))

    def export(self, attest: Attest = everything, key: signing.Key | None = None, *options: object, of_index: bool = False) -> Path:
        """Publish and export."""
        return self.site.export(self.publish(attest, key, of_index=of_index), self.work / "out", *options)

    def configured(self, *tables: tuple[str, dict[str, str]]) -> Path:
        """A configuration of the site that demands these attestations, by namespaces of the vendor's registry."""
        text = f'[site]\npolicy = "{self.site.policy}"\n'
        for scope, fields in tables:
            text += f'[[site.attestations."{self.vendor.address}/{scope}"]]\n'
            text += "".join(f"{name} = {json.dumps(value)}\n" for name, value in fields.items())
        path = self.work / "airgap.toml"
        path.write_text(text)
        return path

    def refused(self, bundle: Path, *demands: str) -> str:
        """What verify and import say; nothing is loaded."""
        asked = [word for demand in demands for word in ("--attestations", f"{self.vendor.address}/{demand}")]
        store = self.work / "store"
        for command in (("verify", bundle), ("import", bundle, "--to", f"oci:{store}")):
            done = self.site.run(*command, "--policy", self.site.policy, *asked, state="site-state", check=False)
            assert done.returncode == REFUSED, done.stderr
        assert not (store / "index.json").exists()
        return done.stderr


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    require("docker-registry")
    site, key = Site.make(tmp_path / "site"), signing.Key()
    (tmp_path / "vendor.pub").write_bytes(key.pem)
    site.demand_signatures(tmp_path / "vendor.pub")
    with DockerRegistry(tmp_path / "vendor") as vendor:
        yield World(tmp_path, vendor, key, site)


SLSA = {"predicate": "slsa", "builder": BUILDER, "source": "https://github.com/acme/*"}


def test_attestations_of_both_forms_meet_the_demands_and_are_named_everywhere(world: World) -> None:
    bundle = world.export()
    config = world.configured(("team", SLSA), ("team", {"predicate": "spdx"}))
    store, scope = world.work / "store", f"{world.vendor.address}/team"
    verified = world.site.json("verify", bundle, "--config", config)
    imported = world.site.json("import", bundle, "--to", f"oci:{store}", "--config", config, state="site-state")
    for facts in (verified, imported):
        assert len(facts["judgements"]) == 2
        for judgement in facts["judgements"]:
            _, provenance, sbom = judgement["decisions"]
            assert (provenance["demand_scope"], sbom["demand_scope"]) == (scope, scope)
            assert provenance["attestation"]["predicate_type"] == SLSA_V1
            assert (provenance["attestation"]["builder"], provenance["attestation"]["sources"]) == (BUILDER, [SOURCE])
            assert (sbom["attestation"]["predicate_type"], sbom["attestation"]["builder"]) == (SPDX, "")
            assert provenance["key"] == sbom["key"] == f"ECDSA P-256 key {world.key.id}"
    layout, repository = LayoutReader(store), Repository("example.com", "team/app")
    for judgement in imported["judgements"]:
        instance = Digest.parse(judgement["instance"], "test")
        digests = [one["attestation"]["digest"] for one in judgement["decisions"][1:]]
        assert [str(entry.digest) for entry in layout.referrers(repository, instance).descriptors] == digests[:1]
        (tagged,) = (name.descriptor for name in layout.names() if name.tag == digest_tag(instance, ".att"))
        assert [str(layer.digest) for layer in layout.find_manifest(tagged.digest).layers] == digests[1:]


def test_text_of_verify_explain_watch_and_serve_says_what_was_demanded_and_what_met_it(world: World) -> None:
    bundle = world.export()
    config = world.configured(("team", SLSA), ("team", {"predicate": "spdx"}))
    scope = f"{world.vendor.address}/team"
    said = world.site.run("verify", bundle, "--config", config).stdout
    assert f"attested     1 image by the attestations that are demanded (attestations: {scope})" in said.splitlines()
    assert f"of type {SLSA_V1} by ECDSA P-256 key {world.key.id}, builder {BUILDER}, source {SOURCE}" in said
    explained = world.site.run("policy", "explain", world.image, "--bundle", bundle, "--config", config).stdout
    assert f'  attestations "{scope}" demands, signed as sigstoreSigned requires above:' in explained
    assert f"    1. slsa attestation with builder {BUILDER} and source https://github.com/acme/*" in explained
    assert explained.count(f"source {SOURCE}") == 2
    (facts,) = world.site.json("policy", "explain", world.image, "--bundle", bundle, "--config", config)["images"]
    assert (facts["accepted"], facts["demand_scope"], facts["demands"][1]) == (True, scope, "spdx")
    with Serving(world.work, bundle, "--config", config) as serving:
        assert b"team/app" in serving.ask("/v2/_catalog").body
    watch = ["watch", world.work / "out", "--to", f"oci:{world.work / 'watched'}", "--once", "--settle", "0"]
    vuln = world.configured(("team", {"predicate": "vuln"}))
    assert world.site.run("serve", bundle, "--config", vuln, check=False).returncode == REFUSED
    assert world.site.run(*watch, "--config", vuln, state="site-state", check=False).returncode == REFUSED
    config = world.configured(("team", SLSA))
    assert world.site.run(*watch, "--config", config, state="site-state", check=False).returncode == 0
    result = json.loads((world.work / "out/prod-0001.result.json").read_text())
    assert {one["decisions"][1]["attestation"]["builder"] for one in result["judgements"]} == {BUILDER}


def of_another_manifest(_: bytes) -> tuple[list[bytes], list[bytes]]:
    return everything(b"{}")


def from_elsewhere(manifest: bytes) -> tuple[list[bytes], list[bytes]]:
    found = [github(builder="https://github.com/evil/builder@refs/tags/v1"), github(source="https://github.com/acme-evil/app")]
    return [attesting.statement(manifest, predicate=one) for one in found], []


def nothing(_: bytes) -> tuple[list[bytes], list[bytes]]:
    return [], []


def malformed(manifest: bytes) -> tuple[list[bytes], list[bytes]]:
    return [attesting.statement(manifest, Predicate={})], [attesting.statement(manifest, predicate=[])]


@pytest.mark.parametrize(
    ("attest", "demand", "says"),
    [
        (nothing, "team=slsa", ["no attestation hangs off this manifest"]),
        (everything, "team=cyclonedx", ["2 signed statements of another predicate type", SPDX, SLSA_V1]),
        (everything, "team=slsa,builder=https://github.com/other/builder", ["states another builder", f"got {BUILDER}"]),
        (everything, "team=slsa,source=https://github.com/acme/ap", ["states another source", f"got {SOURCE}"]),
        (from_elsewhere, f"team=slsa,builder={BUILDER},source=https://github.com/acme/*", ["another builder", "another source"]),
        (of_another_manifest, "team=slsa", ["for another manifest"]),
        (malformed, "team=slsa", ["would confuse this key", "predicate: not an object"]),
    ],
    ids=["absent", "predicate", "builder", "source", "both", "digest", "malformed"],
)
def test_what_does_not_meet_the_demand_is_refused_with_a_sentence(
    world: World, attest: Attest, demand: str, says: list[str]
) -> None:
    said = world.refused(world.export(attest), demand)
    for text in says:
        assert text in said
    assert "2 of 2 image instances" in said
    assert "carry the attestations that are demanded" in said


def test_attestations_by_another_key_are_refused(world: World) -> None:
    said = world.refused(world.export(everything, signing.Key()), "team=slsa")
    assert "not made by this key" in said
    assert world.site.run("verify", world.work / "out/prod-0001", "--policy", world.site.policy).returncode == 0


def test_attestations_of_the_index_alone_do_not_count_for_its_instances(world: World) -> None:
    said = world.refused(world.export(of_index=True), "team=slsa")
    assert "what hangs off the index (2) does not count for its instances" in said


def test_export_notes_what_it_leaves_out_and_judges_by_the_same_demands(world: World) -> None:
    asked = world.publish()
    export = ["export", asked, "--out", world.work / "out", "--stream", "prod", "--key", world.site.key]
    judged = ["--verify-images", world.site.policy, "--attestations", f"{world.vendor.address}=spdx"]
    refused = world.site.run(*export, *judged, "--without", "cosign-attestation", check=False)
    assert refused.returncode == REFUSED
    assert "of another predicate type" in refused.stderr
    left = world.site.run(*export, "--without", "cosign-attestation")
    assert "a site that demands attestations will refuse what lacks them" in left.stdout
    said = world.refused(world.work / "out/prod-0001", "team=spdx")
    assert "of another predicate type" in said
    whole = world.site.run(*export, *judged).stdout
    assert f"by the attestations that are demanded (attestations: {world.vendor.address})" in whole
    alone = world.site.run(*export, *judged[2:], check=False)
    assert (alone.returncode, "--attestations needs a policy" in alone.stderr) == (USAGE, True)


def test_import_without_attestations_still_judges_by_them(world: World) -> None:
    bundle, config = world.export(), world.configured(("team", SLSA), ("team", {"predicate": "spdx"}))
    store = world.work / "store"
    command = ("import", bundle, "--to", f"oci:{store}", "--config", config, "--without", "all")
    facts = world.site.json(*command, state="site-state")
    assert all(judgement["accepted"] for judgement in facts["judgements"])
    assert facts["without"] == {"cosign-attestation": 2, "cosign-signature": 2, "referrer": 2}


def test_demand_that_the_policy_cannot_verify_is_a_mistake(world: World) -> None:
    bundle = world.export()
    document = json.loads(world.site.policy.read_text())
    document["transports"]["docker"] = {"": [{"type": "insecureAcceptAnything"}]}
    world.site.policy.write_text(json.dumps(document))
    config = world.configured(("team", SLSA))
    for command in (("verify", bundle), ("policy", "explain", world.image), ("serve", bundle)):
        done = world.site.run(*command, "--config", config, check=False)
        assert done.returncode == USAGE
        assert "nothing can verify the attestations that are demanded here" in done.stderr
