"""Images from every kind of place that is not a registry, made by the real skopeo: exported, imported, and the same digests."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airgap.layout import LayoutStore
from airgap.oci.reference import Repository
from tests.support import images
from tests.support.archives import docker_archive, image_members, member, skopeo, skopeo_digest
from tests.support.dockerregistry import DockerRegistry
from tests.support.site import Site
from tests.support.trustkit import gpg_home
from tests.support.walk import Contents, walk

pytestmark = pytest.mark.slow("starts real skopeo, podman or containerd many times")

VENDOR = Repository("vendor.example", "shop/web")
BASE = images.layer("base", 9000)
WEB = images.index([images.image([BASE, images.layer(p)], platform=p) for p in images.PLATFORMS])
SINGLE = images.image([BASE, images.layer("single"), BASE])
SBOM = images.artifact(WEB, "application/spdx+json", b'{"spdxVersion":"SPDX-2.3"}')
SIGNATURE = images.cosign_signature(images.simple_signing(VENDOR, WEB.digest), "c2lnbmF0dXJl")

#: name at the site -> the line of the list, and what skopeo calls the same thing.
LINES = {
    "oci": ("oci:{work}/origin:vendor.example/shop/web:1.0 as site.example/oci:1", "oci:{work}/origin:vendor.example/shop/web:1.0"),
    "shop/web": ("oci-archive:{work}/named.tar", "oci-archive:{work}/named.tar"),
    "oci-archive": ("oci-archive:{work}/plain.tar:1.0 AS site.example/oci-archive:1", "oci-archive:{work}/plain.tar:1.0"),
    "dir": ("dir:{work}/dir as site.example/dir:1", "dir:{work}/dir"),
    "dir-docker": ("dir:{work}/dir-docker as site.example/dir-docker:1", "dir:{work}/dir-docker"),
    "single": ("docker-archive:{work}/docker.tar", "docker-archive:{work}/docker.tar"),
    "numbered": ("docker-archive:{work}/docker.tar:@0 as site.example/numbered:1", "docker-archive:{work}/docker.tar:@0"),
    "linked": ("docker-archive:{work}/link.tar as site.example/linked:1", "docker-archive:{work}/docker.tar"),
    "modern": ("docker-archive:{work}/modern.tar:site.example/modern:1", ""),
    "gzipped": ("docker-archive:{work}/gzipped.tar as site.example/gzipped:1", ""),
}


@dataclass(frozen=True)
class Carried:
    """One list of everything, exported and imported."""

    work: Path
    site: Site
    bundle: Path
    address: str
    contents: Contents

    def digest(self, name: str) -> str:
        """What the site's registry has under a name."""
        tag = "1.0" if name == "shop/web" else "1"
        return next(digest for full, digest in self.contents.tags.items() if full.partition("/")[2] == f"{name}:{tag}")


def make_places(work: Path) -> None:
    """Everything that ``LINES`` names."""
    with LayoutStore(work / "origin") as layout:
        images.publish(layout, f"{VENDOR}:1.0", WEB)
        images.publish_attachment(layout, VENDOR, WEB.digest, ".sig", SIGNATURE)
        images.attach(layout, VENDOR, WEB, [SBOM])
        images.publish(layout, "vendor.example/single:1", SINGLE)
        layout.commit()
    origin = f"oci:{work}/origin"
    skopeo("copy", "-q", "--all", f"{origin}:{VENDOR}:1.0", f"oci-archive:{work}/named.tar:{VENDOR}:1.0")
    skopeo("copy", "-q", "--all", f"{origin}:{VENDOR}:1.0", f"oci-archive:{work}/plain.tar:1.0")
    skopeo("copy", "-q", "--all", f"{origin}:{VENDOR}:1.0", f"dir:{work}/dir")
    skopeo("copy", "-q", "--format", "v2s2", f"{origin}:vendor.example/single:1", f"dir:{work}/dir-docker")
    skopeo("copy", "-q", f"{origin}:vendor.example/single:1", f"docker-archive:{work}/docker.tar:vendor.example/single:1")
    (work / "link.tar").symlink_to("docker.tar")
    members, item = image_members(SINGLE)
    docker_archive(work / "gzipped.tar", members, [item])
    docker_archive(work / "modern.tar", *modern(SINGLE, "site.example/modern:1"))


def modern(built: images.Built, name: str) -> tuple[list[Any], list[dict[str, Any]]]:
    """The members of what Docker 25 and later save: an OCI layout, and a manifest.json that points into it."""
    blobs = {blob.descriptor.digest: blob.raw for blob in built.blobs} | {built.digest: built.manifest.raw}
    names = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rpartition(":")[2]}
    index = {"schemaVersion": 2, "manifests": [{**built.descriptor.to_json(), "annotations": names}]}
    members = [member(f"blobs/sha256/{digest.hex}", data=raw) for digest, raw in blobs.items()]
    members.append(member("index.json", data=json.dumps(index).encode()))
    members.append(member("oci-layout", data=b'{"imageLayoutVersion":"1.0.0"}'))
    config, *layers = [f"blobs/sha256/{blob.descriptor.digest.hex}" for blob in built.blobs]
    return members, [{"Config": config, "RepoTags": [name], "Layers": layers}]


@pytest.fixture(scope="module")
def carried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Carried]:
    work = tmp_path_factory.mktemp("sources")
    make_places(work)
    site = Site.make(work / "machine")
    lines = [line.format(work=work) for line, _ in LINES.values()]
    (work / "images.txt").write_text("# from everywhere\n" + "\n".join(f"{line}   # a comment" for line in lines) + "\n")
    bundle = site.export(work / "images.txt", work / "usb")
    with DockerRegistry(work / "registry") as registry:
        site.import_(f"docker://{registry.address}", bundle)
        yield Carried(work, site, bundle, registry.address, walk(registry.address))


@pytest.mark.parametrize("name", [name for name, (_, place) in LINES.items() if place])
def test_the_site_has_the_digest_that_skopeo_saw_in_the_place(carried: Carried, name: str) -> None:
    expected = skopeo_digest(LINES[name][1].format(work=carried.work))
    assert carried.digest(name) == expected
    host = "site.example" if name in LINES[name][0].rpartition("site.example/")[2] else "vendor.example"
    pulled = f"docker://{carried.address}/{host}/{name}:{'1.0' if name == 'shop/web' else '1'}"
    skopeo("copy", "-q", "--all", "--src-tls-verify=false", pulled, f"dir:{carried.work}/out-{name.replace('/', '-')}")


def test_an_image_keeps_its_digest_on_every_way_that_keeps_manifests(carried: Carried) -> None:
    assert {carried.digest(name) for name in ("oci", "shop/web", "oci-archive", "dir")} == {WEB.digest}
    assert carried.digest("modern") == SINGLE.digest


def test_a_docker_archive_is_one_image_however_it_is_named(carried: Carried) -> None:
    assert carried.digest("single") == carried.digest("numbered") == carried.digest("linked")


def test_compressed_layers_of_a_docker_archive_stay_as_they_are(carried: Carried) -> None:
    layers = {str(blob.descriptor.digest) for blob in SINGLE.blobs[1:]}
    held = {name.rpartition("@")[2] for name in carried.contents.blobs if name.startswith("site.example/gzipped")}
    assert layers < held


def test_attachments_come_along_under_the_new_name(carried: Carried) -> None:
    tags = {name: digest for name, digest in carried.contents.tags.items() if name.startswith("site.example/oci:sha256-")}
    assert SIGNATURE.digest in tags.values()
    assert any(name.endswith(SBOM.digest) for name in carried.contents.manifests if name.startswith("site.example/oci@"))


def test_a_bundle_is_a_source_for_another_bundle(carried: Carried, tmp_path: Path) -> None:
    line = f"bundle:{carried.bundle}"
    done = carried.site.run("resolve", line, check=False)
    assert done.returncode == 3
    assert "--bundle-policy" in done.stderr
    everything = carried.site.json("resolve", line, "--bundle-policy", carried.site.policy)["images"]
    assert everything == carried.site.json("resolve", line, "--accept-unverified-bundles")["images"]
    assert len(everything) == len(LINES)
    (tmp_path / "one.txt").write_text(f"{line}:site.example/oci:1 as other.example/web:2\n")
    bundle = carried.site.export(tmp_path / "one.txt", tmp_path, "--bundle-policy", carried.site.policy, stream="second")
    (image,) = carried.site.json("inspect", bundle)["images"]
    (before,) = [one for one in everything if one["reference"] == "site.example/oci:1"]
    assert image["reference"] == "other.example/web:2"
    assert {**image, "reference": "", "volume_numbers": []} == {**before, "reference": "", "volume_numbers": []}


def test_a_changed_bundle_is_no_source(carried: Carried, tmp_path: Path) -> None:
    other = Site.make(tmp_path / "other")
    done = carried.site.run("resolve", f"bundle:{carried.bundle}", "--bundle-policy", other.policy, check=False)
    assert done.returncode == 3, done.stderr


def test_a_lock_knows_where_its_images_come_from(carried: Carried, tmp_path: Path) -> None:
    lock = tmp_path / "images.lock"
    carried.site.run("resolve", carried.work / "images.txt", "--lock", lock)
    again = carried.site.export(lock, tmp_path)
    assert (again / "catalog.json").read_bytes() == (carried.bundle / "catalog.json").read_bytes()


def test_a_yaml_list_takes_places_with_platforms(carried: Carried, tmp_path: Path) -> None:
    entry = f"name: oci-archive:{carried.work}/plain.tar as site.example/web:1"
    (tmp_path / "images.yaml").write_text(
        f"images:\n  - {entry}\n    platforms: [linux/arm64]\n  - dir:{carried.work}/dir as a.example/b:1\n"
    )
    first, second = carried.site.json("resolve", tmp_path / "images.yaml")["images"]
    assert first["platforms"] == ["linux/arm64"]
    assert len(first["omitted"]) == 2
    assert len(second["platforms"]) == 3


def test_an_archive_and_the_registry_share_a_repository(carried: Carried, tmp_path: Path) -> None:
    name = f"{carried.address}/site.example/single-copy"
    skopeo("copy", "-q", "--dest-tls-verify=false", f"oci:{carried.work}/origin:vendor.example/single:1", f"docker://{name}:1")
    (tmp_path / "images.txt").write_text(f"{name}:1\noci-archive:{carried.work}/named.tar as {name}:2\n")
    first, second = carried.site.json("resolve", tmp_path / "images.txt")["images"]
    assert (first["digest"], second["digest"]) == (SINGLE.digest, WEB.digest)


def test_gpg_signatures_of_a_directory_come_along(carried: Carried, tmp_path: Path) -> None:
    with gpg_home() as gpg:
        key = gpg.new_key("Vendor <vendor@example.org>")
        environment = {**os.environ, "GNUPGHOME": str(gpg.path)}
        signed = tmp_path / "signed"
        skopeo("copy", "-q", f"oci:{carried.work}/origin:vendor.example/single:1", f"dir:{signed}")
        command: list[str | Path] = [
            "skopeo",
            "standalone-sign",
            signed / "manifest.json",
            "vendor.example/single:1",
            key,
            "-o",
            signed / "signature-1",
        ]
        subprocess.run(command, env=environment, check=True, stdin=subprocess.DEVNULL)
    (image,) = carried.site.json("resolve", f"dir:{signed} as vendor.example/single:1")["images"]
    (attachment,) = image["attachments"]
    assert attachment["kind"] == "lookaside-signature"
    assert attachment["subject"] == SINGLE.digest
    assert attachment["size"] == (signed / "signature-1").stat().st_size
