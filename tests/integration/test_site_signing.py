"""``--sign-by`` with a key file: a cosign signature tag at the destination that openssl checks; the vendor's stay."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airgap.layout import LayoutStore
from airgap.oci.digest import Digest
from airgap.oci.image import digest_tag
from airgap.oci.reference import Repository
from tests.support import images
from tests.support.dockerregistry import DockerRegistry
from tests.support.images import Built
from tests.support.served import Reply, ask
from tests.support.site import Site
from tests.support.tools import require

pytestmark = pytest.mark.slow("runs whole exports and imports against real registries")

ACCEPT = "application/vnd.oci.image.manifest.v1+json"


@dataclass(frozen=True)
class World:
    """A signed image in a bundle, and an empty registry."""

    site: Site
    bundle: Path
    vendor: DockerRegistry
    target: DockerRegistry
    index: Built
    signature: Built

    @property
    def path(self) -> str:
        return f"m/{self.vendor.address.replace(':', '-')}/team/app"

    def carry(self, state: str, *options: object) -> Any:
        return self.site.import_(f"docker://{self.target.address}/m", self.bundle, options=options, state=state)

    def tag(self, digest: Digest) -> Reply:
        """What is under the signature tag of a digest at the destination."""
        return ask(self.target.address, f"/v2/{self.path}/manifests/{digest_tag(digest, '.sig')}", Accept=ACCEPT)

    def blob(self, digest: str) -> bytes:
        return ask(self.target.address, f"/v2/{self.path}/blobs/{digest}").body


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    require("docker-registry")
    with DockerRegistry(tmp_path / "vendor") as vendor, DockerRegistry(tmp_path / "target") as target:
        index = images.multi_arch("signed", platforms=("linux/amd64", "linux/arm64"))
        repository = Repository("example.com", "team/app")
        signature = images.cosign_signature(images.simple_signing(repository, index.digest), "dmVuZG9y")
        with LayoutStore(tmp_path / "layout") as layout:
            images.publish(layout, f"{repository}:1", index)
            images.publish_attachment(layout, repository, index.digest, ".sig", signature)
            layout.commit()
        with LayoutStore(tmp_path / "layout") as layout:
            images.push_layout_to_registry(layout, vendor.address)
        site = Site.make(tmp_path / "site")
        (tmp_path / "images.txt").write_text(f"{vendor.address}/team/app:1\n")
        bundle = site.export(tmp_path / "images.txt", tmp_path / "out")
        yield World(site, bundle, vendor, target, index, signature)


def openssl_verifies(public: Path, payload: bytes, signature: bytes, work: Path) -> bool:
    (work / "payload").write_bytes(payload)
    (work / "signature").write_bytes(signature)
    command = [require("openssl"), "dgst", "-sha256", "-verify", str(public), "-signature", str(work / "signature")]
    return subprocess.run([*command, str(work / "payload")], capture_output=True, check=False).returncode == 0


def test_site_signs_every_part_and_openssl_agrees(world: World, tmp_path: Path) -> None:
    world.carry("one", "--sign-by", world.site.key)
    for part in world.index.everything():
        layer = world.tag(part.digest).json["layers"][-1]
        payload = world.blob(layer["digest"])
        critical = json.loads(payload)["critical"]
        assert critical["identity"]["docker-reference"] == f"{world.target.address}/{world.path}:1"
        assert critical["image"]["docker-manifest-digest"] == str(part.digest)
        raw = base64.b64decode(layer["annotations"][images.SIGNATURE_KEY])
        assert openssl_verifies(world.site.public, payload, raw, tmp_path)
        assert not openssl_verifies(world.site.public, payload + b" ", raw, tmp_path)


def test_vendors_signatures_stay_and_a_second_import_neither_loses_nor_doubles(world: World) -> None:
    world.carry("one", "--sign-by", world.site.key)
    before = {part.digest: world.tag(part.digest).body for part in world.index.everything()}
    layers = json.loads(before[world.index.digest])["layers"]
    assert layers[0] == world.signature.manifest.layers[0].to_json()
    assert world.blob(layers[0]["digest"]) == world.signature.blobs[1].raw
    assert [len(json.loads(raw)["layers"]) for raw in before.values()] == [1, 1, 2]
    assert world.carry("one", "--sign-by", world.site.key)["already_there"]
    assert not world.carry("forgetful", "--sign-by", world.site.key)["already_there"]
    assert {digest: world.tag(digest).body for digest in before} == before


def test_import_without_the_key_leaves_the_sites_signatures_alone(world: World) -> None:
    world.carry("one", "--sign-by", world.site.key)
    before = world.tag(world.index.digest).body
    world.carry("forgetful")
    assert world.tag(world.index.digest).body == before


def test_second_site_key_signs_beside_the_first(world: World, tmp_path: Path) -> None:
    world.site.run("keys", "generate", "--no-passphrase", "--out", tmp_path / "second")
    world.carry("one", "--sign-by", world.site.key)
    world.carry("one", "--sign-by", world.site.key, "--sign-by", tmp_path / "second/airgap.key")
    layers = world.tag(world.index.digest).json["layers"]
    assert len(layers) == 3
    assert layers[1]["digest"] == layers[2]["digest"]
    assert layers[1]["annotations"] != layers[2]["annotations"]


def test_vendors_tag_arrives_byte_for_byte_when_the_site_does_not_sign(world: World) -> None:
    world.carry("one")
    assert world.tag(world.index.digest).body == world.signature.manifest.raw
    assert world.tag(world.index.children[0].digest).status == 404
