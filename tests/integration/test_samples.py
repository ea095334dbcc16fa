"""samples/ is what its README says, served by us and loaded into a real registry."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from pathlib import Path

import pytest

from airgap.layout import LayoutStore
from airgap.oci.image import digest_tag
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Reference
from airgap.server import Catalogue, RegistryServer
from tests.support import images
from tests.support.cli import REFUSED, here
from tests.support.dockerregistry import DockerRegistry
from tests.support.lists import listed
from tests.support.served import ask
from tests.support.tools import require

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
WEB = Reference.parse("localhost:5000/shop/web:1.0")


@pytest.fixture
def layout() -> LayoutStore:
    return LayoutStore(SAMPLES / "layout")


def blob(layout: LayoutStore, manifest: Manifest) -> bytes:
    [layer] = manifest.layers
    buffer = memoryview(bytearray(layer.size))
    reader = layout.open(WEB.repository, layer)
    reader.readinto(buffer)
    reader.close()
    return bytes(buffer)


def openssl_verifies(tmp_path: Path, payload: bytes, signature: str) -> bool:
    (tmp_path / "payload").write_bytes(payload)
    (tmp_path / "signature").write_bytes(base64.b64decode(signature))
    words: list[str | Path] = [
        "dgst",
        "-sha256",
        "-verify",
        SAMPLES / "vendor.pub",
        "-signature",
        tmp_path / "signature",
        tmp_path / "payload",
    ]
    return subprocess.run([require("openssl"), *words], capture_output=True, check=False).returncode == 0


def test_samples_stay_small():
    assert sum(file.stat().st_size for file in SAMPLES.rglob("*") if file.is_file()) < 300_000


def test_both_lists_name_the_same_images_and_the_layout_has_them(layout):
    text, yaml = (listed((SAMPLES / name).read_bytes(), name) for name in ("images.txt", "images.yaml"))
    assert text == yaml
    assert all(layout.resolve(reference) for reference in text)


def test_the_vendor_signatures_hold_for_the_index_and_every_platform(layout, tmp_path):
    root = layout.manifest(WEB.repository, "1.0")
    assert len(root.children) == 3
    for digest in (root.digest, *(child.digest for child in root.children)):
        signature = layout.manifest(WEB.repository, digest_tag(digest, ".sig"))
        payload = blob(layout, signature)
        assert json.loads(payload)["critical"]["image"]["docker-manifest-digest"] == digest
        assert openssl_verifies(tmp_path, payload, signature.layers[0].annotations[images.SIGNATURE_KEY])
        assert not openssl_verifies(tmp_path, payload + b" ", signature.layers[0].annotations[images.SIGNATURE_KEY])


def test_the_attestation_is_signed(layout, tmp_path):
    root = layout.manifest(WEB.repository, "1.0")
    envelope = json.loads(blob(layout, layout.manifest(WEB.repository, digest_tag(root.digest, ".att"))))
    body, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"].encode()
    signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(body), body)
    assert openssl_verifies(tmp_path, signed, envelope["signatures"][0]["sig"])


def test_the_sbom_and_its_signature_are_referrers_two_deep(layout):
    root = layout.manifest(WEB.repository, "1.0")
    found = layout.referrers(WEB.repository, root.digest)
    assert [d.artifact_type for d in found.descriptors] == ["application/spdx+json"]
    assert len(found.tagged) == 1
    assert len(layout.referrers(WEB.repository, found.descriptors[0].digest).descriptors) == 1


def test_the_signed_image_is_accepted_under_vendor_pub_on_all_its_platforms_by_the_policy_that_the_readme_makes(tmp_path):
    """An image of the same vendor without signatures is refused by it, so signatures are judged."""
    keys = here("keys", "generate", "--no-passphrase", "--out", tmp_path / "keys")
    assert keys.returncode == 0, keys.stderr
    [command] = re.findall(r"`airgap (policy init .*)`", (SAMPLES / "README.md").read_text())
    words = (
        command.replace("airgap.pub", f"{tmp_path}/keys/airgap.pub")
        .replace("samples/", f"{SAMPLES}/")
        .replace("-o policy", f"-o {tmp_path}/policy")
    )
    assert here(*words.split()).returncode == 0
    state = ("--state", tmp_path / "state")
    (tmp_path / "images.txt").write_text(f"oci:{SAMPLES}/layout:{WEB}\n")
    made = here(
        "export", tmp_path / "images.txt", "--out", tmp_path, "--stream", "shop", "--key", tmp_path / "keys/airgap.key", *state
    )
    assert made.returncode == 0, made.stderr
    judged = here("verify", tmp_path / "shop-0001", "--policy", tmp_path / "policy.json", *state, "--json")
    assert judged.returncode == 0, judged.stderr
    verdicts = json.loads(judged.stdout)["judgements"]
    assert len(verdicts) == 3
    assert all(one["accepted"] for one in verdicts)
    (tmp_path / "other.txt").write_text(f"oci:{SAMPLES}/layout:localhost:5000/shop/api:2.1 as {WEB.repository}:2.1\n")
    assert (
        here(
            "export", tmp_path / "other.txt", "--out", tmp_path, "--stream", "shop", "--key", tmp_path / "keys/airgap.key", *state
        ).returncode
        == 0
    )
    assert here("verify", tmp_path / "shop-0002", "--policy", tmp_path / "policy.json", *state).returncode == REFUSED


def closure(layout: LayoutStore, manifest: Manifest) -> list[Manifest]:
    return [manifest, *(m for child in manifest.children for m in closure(layout, layout.find_manifest(child.digest)))]


def test_a_real_registry_takes_all_of_it_with_the_same_digests(layout, tmp_path):
    require("docker-registry")
    with DockerRegistry(tmp_path / "registry") as registry, RegistryServer(Catalogue(layout), "127.0.0.1", 0, print) as server:
        tags = images.push_layout_to_registry(layout, registry.address, prefix="there")
        assert len(tags) == sum(1 for name in layout.names() if name.path)
        for name, digest in tags.items():
            path, _, tag = name.rpartition(":")
            for manifest in closure(layout, layout.find_manifest(digest)):
                selector = tag if manifest.digest == digest else manifest.digest
                assert ask(registry.address, f"/v2/{path}/manifests/{selector}", Accept=manifest.media_type).body == manifest.raw
                ours = path.removeprefix("there/")
                assert ask(server.address, f"/v2/{ours}/manifests/{selector}", Accept=manifest.media_type).body == manifest.raw
