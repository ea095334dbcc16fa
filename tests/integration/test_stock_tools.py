"""No lock-in: a bundle is checked, opened and loaded with sha256sum, openssl, gpg, tar and skopeo, without us."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from airgap.format.names import SCRIPTS
from tests.support.dockerregistry import DockerRegistry
from tests.support.platform import Published, publish_platform
from tests.support.site import CREATED, Site
from tests.support.tools import require
from tests.support.trustkit import GpgHome, gpg_home
from tests.support.walk import Contents, walk

pytestmark = pytest.mark.slow("runs the stock tools over whole bundles")


@dataclass(frozen=True)
class Bundles:
    """The same list as one volume and as many, each signed by an ECDSA and by a GPG key."""

    site: Site
    published: Published
    source: Contents
    single: Path
    many: Path
    gpg: GpgHome


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundles]:
    for tool in ("docker-registry", "gpg"):
        require(tool)
    work = tmp_path_factory.mktemp("stock")
    site = Site.make(work / "machine")
    with DockerRegistry(work / "source") as registry, gpg_home() as gpg, pytest.MonkeyPatch.context() as patch:
        patch.setenv("GNUPGHOME", str(gpg.path))
        fingerprint = gpg.new_key("Exporter <exporter@example.org>")
        published = publish_platform(registry.address, work / "build")
        image_list = published.list_file(work)
        options = ("--key", f"gpg:{fingerprint}")
        single = site.export(image_list, work / "usb", *options, serial=1)
        many = site.export(image_list, work / "usb", *options, "--volume-size", "40kB", serial=2)
        yield Bundles(site, published, walk(registry.address), single, many, gpg)


def test_sha256sum_checks_catalog_and_volumes(bundles: Bundles) -> None:
    for bundle in (bundles.single, bundles.many):
        done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=bundle, capture_output=True, text=True, check=True)
        assert len(done.stdout.splitlines()) == 1 + len(SCRIPTS) + len(list(bundle.glob("volume-*.tar")))


@pytest.mark.smoke("sign")
@pytest.mark.parametrize("kind", ["ecdsa", "ed25519"])
def test_openssl_verifies_the_signature(bundles: Bundles, tmp_path: Path, kind: str) -> None:
    signer = Site.make(tmp_path / "second", kind)
    bundle = tmp_path / bundles.single.name
    bundle.mkdir()
    (bundle / "catalog.json").write_bytes((bundles.single / "catalog.json").read_bytes())
    written = signer.json("sign", bundle, "--key", signer.key)["signatures"]
    (tmp_path / "sig.bin").write_bytes(base64.b64decode((bundle / written[0]).read_bytes(), validate=True))
    how = ["dgst", "-sha256", "-verify", signer.public, "-signature", tmp_path / "sig.bin", bundle / "catalog.json"]
    if kind == "ed25519":
        where = ["-inkey", signer.public, "-sigfile", tmp_path / "sig.bin", "-in", bundle / "catalog.json"]
        how = ["pkeyutl", "-verify", "-rawin", "-pubin", *where]
    subprocess.run(["openssl", *map(str, how)], check=True, capture_output=True)


def test_gpg_verifies_the_signature(bundles: Bundles) -> None:
    (signature,) = bundles.single.glob("catalog.json.*.asc")
    bundles.gpg.run("--verify", str(signature), str(bundles.single / "catalog.json"))


def test_tar_restores_the_layout_from_many_volumes(bundles: Bundles, tmp_path: Path) -> None:
    volumes = sorted(bundles.many.glob("volume-*.tar"))
    assert len(volumes) > 3
    arguments = [argument for volume in volumes for argument in ("-f", str(volume))]
    done = subprocess.run(["tar", "-xM", *arguments, "-C", str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    blobs = {path.name for path in (tmp_path / "blobs/sha256").iterdir()}
    assert blobs == {name.rpartition(":")[2] for name in bundles.source.manifests | bundles.source.blobs}
    subprocess.run(["sha256sum", "-c", "-"], input=_sums(tmp_path), cwd=tmp_path, text=True, check=True, capture_output=True)


def test_one_volume_is_an_oci_archive_for_skopeo(bundles: Bundles, tmp_path: Path) -> None:
    require("skopeo")
    reference = bundles.published.references[0]
    archive = f"oci-archive:{bundles.single}/volume-0001.tar:{reference}"
    command = ["skopeo", "copy", "--all", "--insecure-policy", "-q", archive, f"dir:{tmp_path}/out"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    raw = (tmp_path / "out/manifest.json").read_bytes()
    assert len(json.loads(raw)["manifests"]) == 3
    digest = subprocess.run(["sha256sum"], input=raw, capture_output=True, check=True).stdout.split()[0].decode()
    assert f"sha256:{digest}" == bundles.source.tags["shop/web:1.0"]


def test_check_txt_lists_the_volumes_with_their_digests(bundles: Bundles) -> None:
    text = (bundles.many / "CHECK.txt").read_text()
    for line in (bundles.many / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split()
        assert digest in text
        assert name in text
    assert CREATED in text


def test_the_policy_accepts_either_signature_and_both_together(bundles: Bundles, tmp_path: Path) -> None:
    (tmp_path / "gpg.pub").write_bytes(bundles.gpg.export(*bundles.gpg.fingerprints()))
    for number, keys in enumerate((["gpg"], ["pem"], ["gpg", "pem"])):
        files = {"gpg": tmp_path / "gpg.pub", "pem": bundles.site.public}
        policy = tmp_path / f"policy{number}.json"
        bundles.site.run("policy", "init", *[part for key in keys for part in ("--key", files[key])], "-o", policy)
        assert len(bundles.site.json("verify", bundles.many, "--policy", policy)["signers"]) == len(keys)


def _sums(directory: Path) -> str:
    return "".join(f"{path.name}  blobs/sha256/{path.name}\n" for path in (directory / "blobs/sha256").iterdir())
