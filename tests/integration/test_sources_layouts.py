"""Layouts as other tools leave them: cosign save, hauler, artifacts without a name, indexes of which only a part is there."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from airgap.layout import LayoutStore
from airgap.layout.index import REF_NAME
from airgap.oci import media
from airgap.oci.digest import Digest
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Repository
from tests.support import images, signing
from tests.support.archives import skopeo
from tests.support.cli import DAMAGED, USAGE, here
from tests.support.dockerregistry import DockerRegistry
from tests.support.site import Site
from tests.support.walk import walk

ANY = Repository("localhost", "any")
WEB = images.multi_arch("layouts")
SIGNATURE = images.cosign_signature(images.simple_signing(Repository("vendor.example", "web"), WEB.digest), "c2lnbmF0dXJl")
ATTESTATION = images.cosign_attachment(b'{"payload":""}', "application/vnd.dsse.envelope.v1+json")
SBOM = images.artifact(WEB, "application/spdx+json", b'{"spdxVersion":"SPDX-2.3"}')
SIGNED_SBOM = images.artifact(SBOM, "application/example", b"about the SBOM")


def layout(path: Path, *entries: tuple[images.Built, Mapping[str, str]]) -> Path:
    """A layout of these, with index.json as another tool writes it: the entries in their order, with their annotations."""
    with LayoutStore(path) as store:
        for built, _ in entries:
            images.store(store, ANY, built)
        store.commit()
    manifests = [{**built.descriptor.to_json(), "annotations": dict(notes)} for built, notes in entries]
    (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": manifests}))
    return path


def cosign(kind: str, **more: str) -> dict[str, str]:
    return {"kind": f"dev.cosignproject.cosign/{kind}", **more}


def resolved(line: str, tmp_path: Path, *options: object) -> Any:
    """What the lock says of the one image of a list."""
    (tmp_path / "images.lock").unlink(missing_ok=True)
    done = here("resolve", line, "--lock", tmp_path / "images.lock", *options)
    assert done.returncode == 0, done.stderr
    (image,) = json.loads((tmp_path / "images.lock").read_text())["images"]
    return image


def attachments(image: Any) -> set[tuple[str, str]]:
    return {(one["kind"], one["digest"]) for one in image.get("attachments", ())}


def refused(line: str, tmp_path: Path, *options: object) -> str:
    (tmp_path / "images.lock").unlink(missing_ok=True)
    done = here("resolve", line, "--lock", tmp_path / "images.lock", *options)
    assert done.returncode in (USAGE, DAMAGED), done.stdout
    return " ".join(done.stderr.split())


@pytest.mark.parametrize("name", ["", "vendor.example/web:1"], ids=["cosign save", "hauler"])
def test_what_cosign_saved_with_an_image_comes_with_it(tmp_path: Path, name: str) -> None:
    more = {REF_NAME: name} if name else {}
    entries = [(WEB, "imageIndex"), (SIGNATURE, "sigs"), (ATTESTATION, "atts")]
    path = layout(tmp_path / "saved", *((built, cosign(kind, **more)) for built, kind in entries))
    image = resolved(f"oci:{path}" if name else f"oci:{path} as vendor.example/web:1", tmp_path)
    assert (image["reference"], image["digest"]) == ("vendor.example/web:1", WEB.digest)
    assert attachments(image) == {("cosign-signature", SIGNATURE.digest), ("cosign-attestation", ATTESTATION.digest)}


def test_signatures_of_several_images_in_one_layout_go_to_their_own(tmp_path: Path) -> None:
    other = images.image([images.layer("other")])
    own, others = {REF_NAME: "vendor.example/web:1"}, {REF_NAME: "vendor.example/other:1"}
    entries = [(other, cosign("image", **others)), (SIGNATURE, cosign("sigs", **own)), (WEB, cosign("imageIndex", **own))]
    path = layout(tmp_path / "saved", *entries)
    assert attachments(resolved(f"oci:{path}:vendor.example/web:1", tmp_path)) == {("cosign-signature", SIGNATURE.digest)}
    assert attachments(resolved(f"oci:{path}:vendor.example/other:1", tmp_path)) == set()


@pytest.mark.parametrize("name", ["", "vendor.example/web:1"], ids=["unnamed image", "named image"])
def test_artifacts_without_a_name_come_with_the_image_that_they_refer_to(tmp_path: Path, name: str) -> None:
    entries: list[tuple[images.Built, dict[str, str]]] = [(SIGNED_SBOM, {}), (SBOM, {}), (WEB, {REF_NAME: name} if name else {})]
    path = layout(tmp_path / "layout", *entries, *((child, {}) for child in WEB.children))
    image = resolved(f"oci:{path} as vendor.example/web:1", tmp_path)
    assert image["digest"] == WEB.digest
    assert {digest for _, digest in attachments(image)} == {SBOM.digest, SIGNED_SBOM.digest}


def test_several_images_without_a_name_are_told_apart_by_their_place_or_digest(tmp_path: Path) -> None:
    other = images.image([images.layer("other")])
    path = layout(tmp_path / "layout", (WEB, {}), (other, {}))
    assert ":@N for entry N of index.json (from 0)" in refused(f"oci:{path} as vendor.example/web:1", tmp_path)
    assert resolved(f"oci:{path}:@1 as vendor.example/web:1", tmp_path)["digest"] == other.digest
    child = WEB.children[1].digest
    assert resolved(f"oci:{path}:@{child} as vendor.example/child:1", tmp_path)["digest"] == child
    for name in ("@2", "@-1", "@sha256:12", f"@sha256:{'0' * 64}", f"@{other.blobs[0].descriptor.digest}"):
        assert "has no such" in refused(f"oci:{path}:{name} as vendor.example/web:1", tmp_path)


def partial(path: Path, *lacking: images.Built, root: images.Built = WEB) -> Path:
    """A layout of an index from which some children were taken away."""
    layout(path, (root, {}))
    for built in lacking:
        (path / "blobs/sha256" / built.digest.hex).unlink()
    return path


def test_advice_about_an_index_of_which_a_part_is_missing_works(tmp_path: Path) -> None:
    path = partial(tmp_path / "part", *WEB.children[1:])
    said = refused(f"oci:{path} as vendor.example/web:1", tmp_path)
    assert "--platform linux/amd64" in said
    assert resolved(f"oci:{path} as vendor.example/web:1", tmp_path, "--platform", "linux/amd64")["digest"] == WEB.digest


def test_advice_about_an_index_without_its_attestations_works(tmp_path: Path) -> None:
    """A platform cannot be selected: what says something about an image goes with it."""
    one = WEB.children[0]
    about = images.image([images.layer("about")])
    said_of = {**about.descriptor.to_json(), "platform": {"os": "unknown", "architecture": "unknown"}}
    said_of["annotations"] = {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": one.digest}
    listed = [{**one.descriptor.to_json(), "platform": {"os": "linux", "architecture": "amd64"}}, said_of]
    root = images.index([one, about], extra={"manifests": listed})
    path = partial(tmp_path / "part", about, root=root)
    said = refused(f"oci:{path} as vendor.example/web:1", tmp_path)
    place = f"oci:{path}:@{one.digest}"
    assert f"{place} as NAME" in said
    assert resolved(f"{place} as vendor.example/web:1", tmp_path)["digest"] == one.digest


def test_odd_documents_that_tools_leave_are_carried_byte_for_byte(tmp_path: Path) -> None:
    """An artifact without layers whose config has no bytes, and an index that knows nothing of a platform."""
    nothing = images.content(b"", media.OCI_CONFIG)
    raw = json.dumps({"schemaVersion": 2, "config": nothing.descriptor.to_json(), "layers": None, "annotations": None}).encode()
    artifact = Manifest.parse(raw, media.OCI_MANIFEST, "test")
    listed = {**artifact.descriptor.to_json(), "platform": {"os": None, "architecture": None}}
    del listed["artifactType"]
    strange = {**WEB.children[0].descriptor.to_json(), "platform": {"os": "plan9", "architecture": "z80"}}
    root = json.dumps({"schemaVersion": 2, "manifests": [listed, strange]}).encode()
    path = layout(tmp_path / "layout", (WEB.children[0], {}))
    for one in (b"", raw, root):
        (path / "blobs/sha256" / Digest.of(one).hex).write_bytes(one)
    entry = {"mediaType": media.OCI_INDEX, "digest": Digest.of(root), "size": len(root)}
    entry["annotations"] = {REF_NAME: "vendor.example/odd:1"}
    (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    site = Site.make(tmp_path / "machine")
    (tmp_path / "images.txt").write_text(f"oci:{path}\n")
    site.import_(f"oci:{tmp_path}/store", site.export(tmp_path / "images.txt", tmp_path / "usb"))
    for one in (b"", raw, root):
        assert (tmp_path / "store/blobs/sha256" / Digest.of(one).hex).read_bytes() == one


def test_damage_of_a_source_is_not_told_as_that_of_a_bundle(tmp_path: Path) -> None:
    path = layout(tmp_path / "layout", (WEB, {}))
    blob = path / "blobs/sha256" / WEB.digest.hex
    harms: tuple[tuple[Path, bytes], ...] = ((blob, blob.read_bytes() + b" "), (path / "index.json", b"{"))
    for file, raw in harms:
        file.write_bytes(raw)
        said = refused(f"oci:{path} as vendor.example/web:1", tmp_path)
        assert "bundle" not in said
        assert "again from the original" in said


def test_what_docker_saves_of_one_platform_is_the_image_that_its_manifest_json_names(tmp_path: Path) -> None:
    path = partial(tmp_path / "part", *WEB.children[1:])
    one, name = WEB.children[0], "vendor.example/shop/web:1"
    index = json.loads((path / "index.json").read_text())
    index["manifests"][0]["annotations"] = {"io.containerd.image.name": name, REF_NAME: "1"}
    (path / "index.json").write_text(json.dumps(index))
    config, *layers = [f"blobs/sha256/{blob.descriptor.digest.hex}" for blob in one.blobs]
    (path / "manifest.json").write_text(json.dumps([{"Config": config, "RepoTags": [name], "Layers": layers}]))
    archive = tmp_path / "saved.tar"
    subprocess.run(["tar", "-cf", archive, "-C", path, "."], check=True)
    done = here("resolve", f"docker-archive:{archive}", "--lock", tmp_path / "images.lock")
    assert f"taking the image that manifest.json names, {one.digest}" in done.stderr
    (image,) = json.loads((tmp_path / "images.lock").read_text())["images"]
    assert (image["reference"], image["digest"]) == (name, one.digest)
    assert "--platform linux/amd64" in refused(f"oci-archive:{archive}", tmp_path)


@pytest.mark.parametrize("program", ["gzip", "bzip2", "xz"])
def test_compressed_archives_are_read_through_a_scratch_directory_that_is_empty_afterwards(tmp_path: Path, program: str) -> None:
    path = layout(tmp_path / "layout", (WEB, {REF_NAME: "vendor.example/web:1"}))
    config, *layers = [f"blobs/sha256/{blob.descriptor.digest.hex}" for blob in WEB.children[0].blobs]
    (path / "manifest.json").write_text(json.dumps([{"Config": config, "RepoTags": ["vendor.example/web:1"], "Layers": layers}]))
    archive = tmp_path / "archive"
    subprocess.run(["tar", "--use-compress-program", program, "-cf", archive, "-C", path, "."], check=True)
    assert "add --scratch DIR" in refused(f"oci-archive:{archive}", tmp_path)
    for transport in ("oci-archive", "docker-archive"):
        done = here("plan", f"{transport}:{archive}", "--scratch", tmp_path / "scratch", "--json")
        assert done.returncode == 0, done.stderr
        assert f"{archive}: uncompressed ({program}), " in done.stderr
        assert [image["digest"] for image in json.loads(done.stdout)["images"]] == [WEB.digest]
        assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.slow("runs a whole export and import against a real registry")
def test_sigstore_signatures_of_a_skopeo_directory_are_judged_and_arrive_at_the_site(tmp_path: Path) -> None:
    built, name, key = images.image([images.layer("signed")]), "vendor.example/shop/web:1", signing.Key()
    with LayoutStore(tmp_path / "origin") as store:
        images.publish(store, name, built)
        store.commit()
    skopeo("copy", "-q", f"oci:{tmp_path}/origin:{name}", f"dir:{tmp_path}/dir")
    payload = signing.cosign_payload(built.manifest.raw, name)
    annotations = {images.SIGNATURE_KEY: base64.b64encode(key.sign(payload)).decode()}
    fields = {"mimeType": images.SIMPLE_SIGNING, "payload": base64.b64encode(payload).decode(), "annotations": annotations}
    (tmp_path / "dir/signature-1").write_bytes(b"\0sigstore-json\n" + json.dumps(fields).encode())
    site = Site.make(tmp_path / "machine")
    (tmp_path / "vendor.pub").write_bytes(key.pem)
    site.demand_signatures(tmp_path / "vendor.pub")
    (tmp_path / "images.txt").write_text(f"dir:{tmp_path}/dir as {name}\n")
    bundle = site.export(tmp_path / "images.txt", tmp_path / "usb")
    with DockerRegistry(tmp_path / "registry") as registry:
        site.import_(f"docker://{registry.address}", bundle)
        arrived = walk(registry.address)
    assert arrived.tags["vendor.example/shop/web:1"] == built.digest
    signature = f"vendor.example/shop/web:sha256-{built.digest.hex}.sig"
    assert signature in arrived.tags
    assert any(one.endswith(str(Digest.of(payload))) for one in arrived.blobs)
