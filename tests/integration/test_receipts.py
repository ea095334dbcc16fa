"""Receipts of real registries and stores: what is in them, whoever put it there, is what the receipt says, and who signed it."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from airgap.documents.receipt import Receipt
from airgap.documents.receiptsignatures import check_receipt_signatures, signature_files
from airgap.errors import Refused
from airgap.layout import LayoutStore
from airgap.oci.digest import Digest
from airgap.oci.image import digest_tag
from airgap.oci.reference import Repository
from tests.support import images
from tests.support.bundles import flip
from tests.support.cli import NETWORK, USAGE, failed, here
from tests.support.dockerregistry import DockerRegistry
from tests.support.platform import Published, publish_platform
from tests.support.site import Site
from tests.support.tools import require
from tests.support.trustkit import GpgHome, gpg_home

pytestmark = pytest.mark.slow("runs whole exports and imports against real registries")


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    """A registry that never saw this tool: filled by plain HTTP and by skopeo."""
    require("docker-registry")
    with DockerRegistry(tmp_path_factory.mktemp("origin")) as registry:
        yield registry


@pytest.fixture(scope="module")
def published(origin: DockerRegistry, tmp_path_factory: pytest.TempPathFactory) -> Published:
    work = tmp_path_factory.mktemp("work")
    done = publish_platform(origin.address, work)
    with LayoutStore(work / "more") as layout:
        images.publish(layout, "localhost/more:1", images.image([images.layer("by skopeo")]))
        layout.commit()
    destination = f"docker://{origin.address}/skopeo/pushed:1"
    command = [require("skopeo"), "copy", "--all", "--insecure-policy", "--dest-tls-verify=false"]
    subprocess.run([*command, f"oci:{work}/more:localhost/more:1", destination], check=True, capture_output=True)
    return done


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def make(tmp_path: Path, target: str, *options: object) -> Receipt:
    out = tmp_path / "made.receipt"
    done = here("receipt", target, "-o", out, "--site", "plant-7", *options)
    assert done.returncode == 0, done.stderr
    return Receipt.from_bytes(out.read_bytes())


def on_disk(registry: DockerRegistry, below: str = "") -> dict[str, set[str]]:
    """Digest -> repositories, as the registry itself links them in its storage."""
    root = registry.root / "data/docker/registry/v2/repositories"
    found: dict[str, set[str]] = {}
    for kind in ("_layers", "_manifests/revisions"):
        for link in (root / below).glob(f"**/{kind}/sha256/*/link"):
            repository = str(link.relative_to(root)).partition(f"/{kind.partition('/')[0]}/")[0]
            found.setdefault(link.read_text(), set()).add(repository)
    return found


def test_receipt_holds_exactly_what_is_in_the_registrys_storage(
    tmp_path: Path, origin: DockerRegistry, published: Published
) -> None:
    held = make(tmp_path, f"docker://{origin.address}").holdings
    assert {digest: set(one.repositories) for digest, one in held.blobs.items()} == on_disk(origin)
    assert all(one.size == origin.blob_path(digest).stat().st_size for digest, one in held.blobs.items())
    pushed = held.images["skopeo/pushed:1"]
    assert dict(held.images) == {**published.tags, "skopeo/pushed:1": pushed}
    assert pushed in held.manifests
    assert {Digest(digest) for digest in published.tags.values()} <= held.manifests


def test_attachments_are_held_by_tag_and_by_referrer(tmp_path: Path, origin: DockerRegistry, published: Published) -> None:
    held = make(tmp_path, f"docker://{origin.address}").holdings
    web = Digest(published.tags["shop/web:1.0"])
    assert f"shop/web:{digest_tag(web, '.sig')}" in held.images
    fallback = json.loads(origin.blob_path(held.images[f"shop/web:{digest_tag(web)}"]).read_text())
    assert {Digest(one["digest"]) for one in fallback["manifests"]} <= held.manifests


def test_trusting_manifests_finds_the_same_and_asks_for_no_blob(
    tmp_path: Path, origin: DockerRegistry, published: Published
) -> None:
    proved = make(tmp_path, f"docker://{origin.address}").holdings
    before = origin.log.read_text().count("HEAD /v2/")
    assert make(tmp_path, f"docker://{origin.address}", "--trust-manifests").holdings == proved
    assert origin.log.read_text().count("HEAD /v2/") == before > 0


def test_a_prefix_and_named_repositories_limit_what_is_looked_at(
    tmp_path: Path, origin: DockerRegistry, published: Published
) -> None:
    below = make(tmp_path, f"docker://{origin.address}/shop").holdings
    assert {digest: set(one.repositories) for digest, one in below.blobs.items()} == on_disk(origin, "shop")
    named = make(tmp_path, f"docker://{origin.address}", "--repository", "shop/web", "--repository", "shop/nested").holdings
    assert named == below
    assert make(tmp_path, f"docker://{origin.address}/shop", "--repository", "web", "--repository", "nested").holdings == below
    assert not make(tmp_path, f"docker://{origin.address}/sho").holdings.blobs


def test_a_named_repository_that_is_not_there_is_an_error(tmp_path: Path, origin: DockerRegistry) -> None:
    out = tmp_path / "made.receipt"
    failed(here("receipt", f"docker://{origin.address}", "-o", out, "--site", "a", "--repository", "no/such"), NETWORK, "no/such")
    assert not out.exists()


def test_what_is_gone_from_the_registry_is_not_held(tmp_path: Path) -> None:
    require("docker-registry")
    with DockerRegistry(tmp_path / "registry") as registry:
        done = publish_platform(registry.address, tmp_path / "work")
        whole = make(tmp_path, f"docker://{registry.address}").holdings
        index = json.loads(registry.blob_path(done.tags["shop/web:1.0"]).read_text())
        trimmed = Digest(index["manifests"][2]["digest"])
        child = json.loads(registry.blob_path(trimmed).read_text())
        single = json.loads(registry.blob_path(done.tags["single:3"]).read_text())
        lost, cut, own = (
            Digest(d) for d in (single["layers"][1]["digest"], single["config"]["digest"], child["layers"][1]["digest"])
        )
        registry.stop()
        revisions = registry.root / "data/docker/registry/v2/repositories/shop/web/_manifests/revisions/sha256"
        (revisions / trimmed.hex / "link").unlink()
        registry.blob_path(lost).unlink()
        registry.blob_path(cut).write_bytes(b"x")
        registry.restart()
        left = make(tmp_path, f"docker://{registry.address}").holdings
    # a child that an import with --platform left out; a layer whose data is lost; a config whose data is damaged
    assert set(whole.blobs) - set(left.blobs) >= {trimmed, own, lost, cut}
    assert len(whole.blobs) - len(left.blobs) <= 5  # the child's config goes with it, and its referrers' index stays
    assert left.images == whole.images


def test_a_registry_with_nothing_in_it(tmp_path: Path) -> None:
    require("docker-registry")
    with DockerRegistry(tmp_path / "registry") as registry:
        made = make(tmp_path, f"docker://{registry.address}")
    assert not made.holdings.blobs
    assert made.streams == {}
    assert made.target == f"docker://{registry.address}"


def test_thousands_of_tags_are_all_found(tmp_path: Path) -> None:
    require("docker-registry")
    built = images.image([images.layer("many")])
    with DockerRegistry(tmp_path / "registry") as registry, LayoutStore(tmp_path / "layout") as layout:
        images.publish(layout, "localhost/many/tags:first", built)
        layout.commit()
        images.push_layout_to_registry(layout, registry.address)
        registry.stop()
        tags = registry.root / "data/docker/registry/v2/repositories/many/tags/_manifests/tags"
        for number in range(2500):
            current = tags / f"v{number}" / "current"
            current.mkdir(parents=True)
            (current / "link").write_text(built.digest)
        registry.restart()
        held = make(tmp_path, f"docker://{registry.address}").holdings
    assert dict(held.images) == {f"many/tags:{tag}": built.digest for tag in ("first", *(f"v{n}" for n in range(2500)))}
    assert len(held.blobs) == 3


def test_receipt_of_a_store(tmp_path: Path) -> None:
    web = images.multi_arch("web")
    with LayoutStore(tmp_path / "store") as layout:
        images.publish(layout, "docker.io/library/web:1", web)
        images.attach(layout, Repository("docker.io", "library/web"), web, [images.artifact(web, "x/y", b"sbom")])
        layout.commit()
    files = {f"sha256:{path.name}": path.stat().st_size for path in (tmp_path / "store/blobs/sha256").iterdir()}
    made = make(tmp_path, f"oci:{tmp_path}/store")
    assert {digest: one.size for digest, one in made.holdings.blobs.items()} == files
    assert dict(made.holdings.images) == {"docker.io/library/web:1": web.digest}
    assert len(made.holdings.manifests) == 5
    layer, child = web.children[0].blobs[1].descriptor.digest, web.children[1].digest
    (tmp_path / "store/blobs/sha256" / layer.hex).write_bytes(b"cut")
    flip(tmp_path / "store/blobs/sha256" / child.hex, 10)
    left = make(tmp_path, f"oci:{tmp_path}/store").holdings
    assert set(files) - set(left.blobs) == {layer, child}
    out = ("-o", tmp_path / "x", "--site", "a")
    failed(here("receipt", f"oci:{tmp_path}/store", *out, "--repository", "a"), USAGE, "--repository")
    failed(here("receipt", f"oci:{tmp_path}/nowhere", *out), 4)


def test_imported_bundles_are_in_the_receipt(tmp_path: Path, origin: DockerRegistry, published: Published) -> None:
    site = Site.make(tmp_path / "site")
    bundle = site.export(published.list_file(tmp_path), tmp_path / "media", serial=7)
    with DockerRegistry(tmp_path / "registry") as registry:
        site.import_(f"docker://{registry.address}/mirror", bundle)
        made = site.json(
            "receipt", f"docker://{registry.address}/mirror", "-o", tmp_path / "r", "--site", "plant-7", state="site-state"
        )
        other = site.json("receipt", f"docker://{registry.address}/other", "-o", tmp_path / "o", "--site", "p", state="site-state")
        store = on_disk(registry)
    receipt = Receipt.from_bytes((tmp_path / "r").read_bytes())
    catalog = Digest.of((bundle / "catalog.json").read_bytes())
    assert made["streams"] == {"prod": {"serial": 7, "catalog": catalog}}
    assert {digest: set(one.repositories) for digest, one in receipt.holdings.blobs.items()} == store
    carried = json.loads((bundle / "catalog.json").read_text())["blobs"]
    assert set(carried) <= set(receipt.holdings.blobs)
    assert made["blob_count"] + made["manifest_count"] == len(receipt.holdings.blobs)
    assert other["streams"] == {}


@pytest.mark.smoke("receipt")
def test_receipt_is_signed_like_a_catalog(tmp_path: Path, origin: DockerRegistry, published: Published) -> None:
    site = Site.make(tmp_path / "site")
    out = tmp_path / "plant-7.receipt"
    made = site.json("receipt", f"docker://{origin.address}", "-o", out, "--site", "plant-7", "--key", site.key)
    (signature,) = map(Path, made["signature_files"])
    assert signature.name.startswith("plant-7.receipt.")
    assert signature.suffix == ".sig"
    decoded = subprocess.run(["base64", "-d", signature], capture_output=True, check=True).stdout
    (tmp_path / "raw.sig").write_bytes(decoded)
    verify: list[str | Path] = [
        require("openssl"),
        "dgst",
        "-sha256",
        "-verify",
        site.public,
        "-signature",
        tmp_path / "raw.sig",
        out,
    ]
    assert b"Verified OK" in subprocess.run(verify, check=True, capture_output=True).stdout
    keys = [site.public.read_bytes()]
    assert "ECDSA" in check_receipt_signatures(out.read_bytes(), signature_files(out), keys, str(out))[0]
    flip(out, 40)
    assert subprocess.run(verify, check=False, capture_output=True).returncode != 0
    with pytest.raises(Refused, match="not a signature of these bytes"):
        check_receipt_signatures(out.read_bytes(), signature_files(out), keys, str(out))


def test_receipt_is_signed_with_gpg(tmp_path: Path, origin: DockerRegistry, published: Published) -> None:
    with gpg_home() as home, pytest.MonkeyPatch.context() as patch:
        patch.setenv("GNUPGHOME", str(home.path))
        fingerprint, stranger = home.new_key("site"), home.new_key("stranger")
        make(tmp_path, f"docker://{origin.address}", "--key", f"gpg:{fingerprint}")
        out = tmp_path / "made.receipt"
        (signature,) = tmp_path.glob("made.receipt.*.asc")
        home.run("--verify", str(signature), str(out))
        _check_gpg(home, out, fingerprint, stranger)


def _check_gpg(home: GpgHome, out: Path, fingerprint: str, stranger: str) -> None:
    raw, signatures = out.read_bytes(), signature_files(out)
    assert fingerprint[-16:].lower() in check_receipt_signatures(raw, signatures, [home.export(fingerprint)], "r")[0].lower()
    for keys in ([home.export(stranger)], []):
        with pytest.raises(Refused):
            check_receipt_signatures(raw, signatures, keys, "r")
    with pytest.raises(Refused):
        check_receipt_signatures(raw + b" ", signatures, [home.export(fingerprint)], "r")
    with pytest.raises(Refused, match="no signature next to it"):
        check_receipt_signatures(raw, {}, [home.export(fingerprint)], "r")


def test_a_new_receipt_takes_the_old_ones_signatures_away(tmp_path: Path, origin: DockerRegistry, published: Published) -> None:
    site = Site.make(tmp_path / "site")
    make(tmp_path, f"docker://{origin.address}", "--key", site.key)
    beside = tmp_path / "made.receipt.notes.sig"
    beside.write_text("somebody's own")
    assert len(list(tmp_path.glob("made.receipt.*.sig"))) == 2
    make(tmp_path, f"docker://{origin.address}/shop")
    assert list(tmp_path.glob("made.receipt.*")) == [beside]


def test_standard_output_gets_the_receipt_alone_and_unsigned(tmp_path: Path, origin: DockerRegistry, published: Published) -> None:
    site = Site.make(tmp_path / "site")
    done = here("receipt", f"docker://{origin.address}", "-o", "-", "--site", "plant-7")
    assert Receipt.from_bytes(done.stdout.encode()).site == "plant-7"
    failed(here("receipt", f"docker://{origin.address}", "-o", "-", "--site", "a", "--key", site.key), USAGE, "standard output")


def test_same_content_and_time_give_the_same_bytes(
    tmp_path: Path, origin: DockerRegistry, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    found = {
        hashlib.sha256(make(tmp_path, f"docker://{origin.address}", "--threads", threads).to_bytes()).hexdigest()
        for threads in (1, 2, 8)
    }
    assert len(found) == 1


def test_mistakes_of_the_user(tmp_path: Path, origin: DockerRegistry) -> None:
    out = ("-o", tmp_path / "x")
    failed(here("receipt", f"docker://{origin.address}", *out, "--site", "Plant 7"), USAGE, "Plant 7", "--site")
    failed(here("receipt", "nonsense", *out), USAGE, "docker://")
    failed(here("receipt", f"docker://{origin.address}", *out, "--site", "a", "--repository", "A/../b"), USAGE)
    failed(here("receipt", f"docker://{origin.address}", *out, "--site", "a", "--key", tmp_path / "none.key"), USAGE, "none.key")
    failed(here("receipt", f"docker://{origin.address}", "-o", tmp_path / "no/x", "--site", "a"), 6)
    assert list(tmp_path.iterdir()) == []
