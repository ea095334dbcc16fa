"""Layers carried as patches: made where that is worth it, given back bit for bit or not at all."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airgap.bundle.store import BundleStore
from airgap.layout import LayoutStore
from airgap.oci import media
from airgap.oci.digest import Digest
from airgap.patch import zstd
from airgap.server import Catalogue, RegistryServer
from tests.support import images, versions
from tests.support.bundles import Sender, catalog_of, flip
from tests.support.cli import DAMAGED, NETWORK, USAGE, failed, here
from tests.support.dockerregistry import DockerRegistry
from tests.support.gateway import Gateway
from tests.support.hostile import Reply, Request
from tests.support.tools import require
from tests.support.versions import Far, Stream, blobs_of, make_stream, size_of
from tests.support.walk import walk

pytestmark = pytest.mark.slow("runs whole exports and imports against real registries")


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stream]:
    require("docker-registry")
    work = tmp_path_factory.mktemp("patches")
    with pytest.MonkeyPatch.context() as patch, DockerRegistry(work / "source") as source:
        patch.setenv("HOME", str(work / "home"))
        yield make_stream(work, source, (1, 2))


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def full(stream: Stream, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A first bundle with patches among its own layers."""
    return stream.export(1, tmp_path_factory.mktemp("full"), "--patch", "always")


@pytest.fixture
def far(stream: Stream, tmp_path: Path) -> Iterator[Far]:
    with DockerRegistry(tmp_path / "far") as registry:
        yield Far(stream, registry, tmp_path / "state")


def test_a_first_bundle_with_patches_is_smaller_and_brings_the_same(stream: Stream, full: Path, far: Far) -> None:
    assert size_of(full) < size_of(stream.chain[1]) * 0.75
    patched = [blob["patch"]["base"] for blob in blobs_of(full).values() if "patch" in blob]
    assert len(patched) == 1
    assert "extents" in blobs_of(full)[patched[0]]
    assert far.takes(full)["rebuilt_blobs"] == 1
    assert far.contents() == stream.sources[1]


@pytest.mark.parametrize(("patch", "count"), [("never", 0), ("auto", 3), ("always", 3)])
def test_patches_are_made_when_asked_for(stream: Stream, tmp_path: Path, patch: str, count: int) -> None:
    bundle, facts = stream.exported(2, tmp_path / "usb", "--since", stream.chain[1], "--patch", patch)
    assert facts["patched_blobs"] == count
    assert facts["patch_bytes"] < facts["patched_bytes"] / 3 or not count
    assert not list(bundle.rglob("*.patch"))
    planned = here("plan", stream.locks[2], "--since", stream.chain[1], "--patch", patch, "--json")
    assert json.loads(planned.stdout)["patches_tried"] == count
    if patch == "auto":
        assert not any("patch" in blob for blob in blobs_of(stream.export(1, tmp_path / "first")).values())


def test_the_fastest_level_brings_the_same(stream: Stream, far: Far, tmp_path: Path) -> None:
    bundle = stream.export(2, tmp_path / "usb", "--since", stream.chain[1], "--patch-level", "fast")
    for one in (stream.chain[1], bundle):
        far.takes(one)
    assert far.contents() == stream.sources[2]


def test_the_same_lock_base_and_options_give_the_same_bytes_for_any_number_of_threads(stream: Stream, tmp_path: Path) -> None:
    options = ("--since", stream.chain[1], "--patch", "always", "--volume-size", "30kB")
    made = [stream.export(2, tmp_path / str(threads), *options, "--threads", threads) for threads in (1, 2, 8)]
    files = [{path.name: path.read_bytes() for path in bundle.iterdir() if not path.name.endswith(".sig")} for bundle in made]
    assert len([name for name in files[0] if name.startswith("volume-")]) > 2
    assert files[0] == files[1] == files[2]


# layers of every kind


KINDS: dict[str, tuple[str, Callable[[bytes], bytes], int, bool]] = {
    "gzip": (media.OCI_LAYER_GZIP, lambda plain: gzip.compress(plain, 9, mtime=0), 120_000, True),
    "gzip of many members": (
        media.OCI_LAYER_GZIP,
        lambda plain: b"".join(gzip.compress(plain[at : at + 50_000], mtime=0) for at in range(0, len(plain), 50_000)),
        120_000,
        True,
    ),
    "gzip and garbage": (media.OCI_LAYER_GZIP, lambda plain: gzip.compress(plain, mtime=0) + b"garbage" * 9, 120_000, True),
    "a tar that is said to be gzip": (media.OCI_LAYER_GZIP, lambda plain: plain, 120_000, False),
    "docker's gzip": (images.DOCKER_LAYER, lambda plain: gzip.compress(plain, 1, mtime=0), 120_000, True),
    "plain tar": (media.OCI_LAYER, lambda plain: plain, 120_000, True),
    "zstd": (f"{media.OCI_LAYER}+zstd", lambda plain: zstd.compress(plain, None, zstd.EFFORTS["fast"]), 120_000, False),
    "tiny": (media.OCI_LAYER_GZIP, lambda plain: gzip.compress(plain, mtime=0), 60_000, False),
    "empty": (media.OCI_LAYER, lambda plain: b"", 10_000, False),
}


def test_layers_of_every_kind_are_patched_or_carried_whole_and_never_wrong(tmp_path: Path) -> None:
    require("docker-registry")
    sender = Sender.make(tmp_path / "sender")
    built: list[list[images.Content]] = []
    with DockerRegistry(tmp_path / "source") as source, DockerRegistry(tmp_path / "far") as registry:
        stream = Stream(tmp_path, sender, source, {}, {}, {})
        for number in (1, 2):
            layers = [versions.layer(kind, number, size, type_, pack) for kind, (type_, pack, size, _) in KINDS.items()]
            built.append(layers)
            with LayoutStore(tmp_path / f"layout-{number}") as layout:
                images.publish(layout, f"{versions.HOST}/kinds:{number}", images.image(layers))
                layout.commit()
                images.push_layout_to_registry(layout, source.address)
            listed, stream.locks[number] = tmp_path / f"{number}.txt", tmp_path / f"{number}.lock"
            listed.write_text(f"{source.address}/kinds:{number}\n")
            assert here("resolve", listed, "--lock", stream.locks[number]).returncode == 0
        first = stream.export(1, tmp_path / "usb")
        second = stream.export(2, tmp_path / "usb", "--since", first)
        far = Far(stream, registry, tmp_path / "state")
        far.takes(first)
        far.takes(second)
        assert far.contents() == walk(source.address)
    for (kind, (*_, patched)), new in zip(KINDS.items(), built[1], strict=True):
        if kind != "empty":
            assert ("patch" in blobs_of(second)[new.descriptor.digest]) == patched, kind
    codecs = [blobs_of(second)[layer.descriptor.digest].get("patch", {}).get("codec") for layer in built[1]]
    assert codecs[list(KINDS).index("plain tar")] == "bytes/1"
    assert codecs[list(KINDS).index("gzip")] == "deflate-tokens/1"


def test_an_image_that_is_new_to_the_site_is_made_from_the_base_image_of_another(tmp_path: Path) -> None:
    """By a receipt, too, whose names are the site's."""
    require("docker-registry")
    sender = Sender.make(tmp_path / "sender")
    with DockerRegistry(tmp_path / "source") as source, DockerRegistry(tmp_path / "far") as registry:
        stream = Stream(tmp_path, sender, source, {}, {}, {})
        for number, name in ((1, "old/app"), (2, "new/service")):
            layers = [versions.layer("debian", number), versions.layer(name.partition("/")[2], size=90_000)]
            with LayoutStore(tmp_path / f"layout-{number}") as layout:
                images.publish(layout, f"{versions.HOST}/{name}:{number}", images.image(layers))
                layout.commit()
                images.push_layout_to_registry(layout, source.address)
            listed, stream.locks[number] = tmp_path / f"{number}.txt", tmp_path / f"{number}.lock"
            listed.write_text(f"{source.address}/{name}:{number}\n")
            assert here("resolve", listed, "--lock", stream.locks[number]).returncode == 0
        first, far = stream.export(1, tmp_path / "usb"), Far(stream, registry, tmp_path / "state")
        far.takes(first)
        receipt = tmp_path / "receipt.json"
        assert here("receipt", far.target, "-o", receipt, "--state", far.state).returncode == 0
        second, facts = stream.exported(2, tmp_path / "usb", "--since", first)
        by_receipt = stream.exported(2, tmp_path / "more", "--since", receipt)[1]
        assert facts["patched_blobs"] == by_receipt["patched_blobs"] == 1
        far.takes(second)
        assert far.contents() == walk(source.address)


def test_a_base_that_nobody_has_any_more_only_costs_the_patch(stream: Stream, tmp_path: Path) -> None:
    with DockerRegistry(tmp_path / "source") as other:
        shutil.copytree(stream.source.root / "data", other.root / "data", dirs_exist_ok=True)
        bases = {blob["patch"]["base"] for blob in blobs_of(stream.chain[2]).values() if "patch" in blob}
        moved = Stream(tmp_path, stream.sender, other, {}, {}, {})
        for number in (1, 2):
            moved.locks[number] = tmp_path / f"{number}.lock"
            moved.locks[number].write_text(stream.locks[number].read_text().replace(stream.source.address, other.address))
        first = moved.export(1, tmp_path / "first")
        catalog = shutil.copy(first / "catalog.json", tmp_path / "alone.json")
        for digest in bases:
            Far(moved, other, tmp_path / "none").forget(digest)
        done = here(*moved.command(2, tmp_path / "usb", "--since", catalog), "--json")
        assert done.returncode == 0, done.stderr
        facts = json.loads(done.stdout)
        assert (facts["held_blobs"], facts["patched_blobs"]) == (1, 0)
        assert done.stderr.count("carried whole") == len(bases)
        assert "its base cannot be read" in done.stderr
        shutil.rmtree(other.root / "data/docker/registry/v2/repositories/tool")
        with_bundle = here(*moved.command(2, tmp_path / "more", "--since", first), "--json")
        assert with_bundle.returncode != 0  # the new layers are gone now, too; and nothing is left half-made
        assert not (tmp_path / "more/prod-0002").exists()


# damage


def damage_patches(bundle: Path, part: float) -> None:
    """Change a byte of every patch, so far from its beginning; a second time changes it back."""
    blobs = blobs_of(bundle)
    for blob in blobs.values():
        if "patch" in blob:
            volume, offset, length = blobs[blob["patch"]["blob"]]["extents"][0]
            flip(bundle / f"volume-{volume:04d}.tar", offset + int(part * (length - 1)))


def test_damaged_patches_are_named_by_verify_and_refused_by_import(stream: Stream, far: Far, tmp_path: Path) -> None:
    bundle = tmp_path / "prod-0002"
    shutil.copytree(stream.chain[2], bundle)
    far.takes(stream.chain[1])
    tags = far.contents().tags
    for part in (0, 0.001, 0.1, 0.5, 1):
        damage_patches(bundle, part)
        verify = here("verify", bundle, "--policy", stream.sender.policy)
        failed(verify, DAMAGED, "volume 1 of 1", "in its only block", "volume-0001.tar")
        failed(here(*far.command(bundle)), DAMAGED, "volume 1 of 1", "in its only block")
        assert far.contents().tags == tags
        damage_patches(bundle, part)
    far.takes(bundle)
    assert far.contents() == stream.sources[2]


@pytest.mark.parametrize("at", [0, 300, 20_000, -1])
def test_a_destination_that_serves_wrong_bytes_for_a_base_is_named(stream: Stream, far: Far, at: int) -> None:
    far.takes(stream.chain[1])
    tags = far.contents().tags
    bases = {blob["patch"]["base"] for blob in blobs_of(stream.chain[2]).values() if "patch" in blob}

    def tamper(request: Request, reply: Reply) -> Reply:
        if request.method != "GET" or request.path.rpartition("/")[2] not in bases:
            return reply
        body = bytearray(reply.body)
        body[at] ^= 0x10
        return Reply(reply.status, bytes(body), reply.headers)

    with Gateway(far.registry.address) as gateway:
        gateway.tamper = tamper
        done = here(*far.command(stream.chain[2], to=f"docker://{gateway.address}/mirror"))
        if at == -1 and done.returncode == 0:  # the length in a gzip trailer is not part of what a patch is made from
            return
        failed(done, NETWORK, "has the wrong digest", "the base at the site", "the registry's copy is damaged")
    assert far.contents().tags == tags


@pytest.mark.parametrize("per_host", [0, 1, 2])
def test_what_is_made_from_the_destination_does_not_wait_for_itself(stream: Stream, far: Far, per_host: int) -> None:
    """A transfer to a registry needs another one from it."""
    options = ("--per-host", per_host, "--threads", 4)
    for number in (1, 2):
        far.takes(stream.chain[number], *options)
    assert far.contents() == stream.sources[2]


def test_an_export_with_one_transfer_at_a_time_reads_new_layer_and_base(stream: Stream, tmp_path: Path) -> None:
    catalog = shutil.copy(stream.chain[1] / "catalog.json", tmp_path / "alone.json")
    _, facts = stream.exported(2, tmp_path / "usb", "--since", catalog, "--per-host", 1)
    assert facts["patched_blobs"] == 3


# what cannot be applied here


def _each_patch(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], object]:
    return lambda top: [change(blob["patch"]) for blob in top["blobs"].values() if "patch" in blob]


def test_a_patch_of_an_unknown_kind_touches_nothing(stream: Stream, full: Path, tmp_path: Path) -> None:
    bundle = tmp_path / full.name
    shutil.copytree(full, bundle)
    stream.sender.resign(bundle, _each_patch(lambda patch: patch.update(codec="deflate-tokens/9")))
    far = Far(stream, stream.source, tmp_path / "state")
    for command in (far.command(bundle, to=f"oci:{tmp_path}/store"), ["verify", bundle, "--policy", stream.sender.policy]):
        failed(here(*command), DAMAGED, "the patch has an unknown kind", "deflate-tokens/9", "newer airgap")
    assert not (tmp_path / "store").exists()


def test_without_a_zstd_library_nothing_is_touched(
    stream: Stream, full: Path, far: Far, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("backports.zstd", "compression.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    before = far.stored()
    failed(here(*far.command(full)), USAGE, "zstd library", "pip install")
    assert far.stored() == before
    failed(here(*stream.command(2, tmp_path / "usb", "--since", stream.chain[1])), USAGE, "zstd library", "pip install")
    assert not list((tmp_path / "usb").glob("*/volume-*"))
    stream.export(2, tmp_path / "whole", "--since", stream.chain[1], "--patch", "never")
    assert here("verify", stream.chain[2], "--policy", stream.sender.policy).returncode == 0
    far.takes(stream.chain[1])


# serving


def test_a_patched_bundle_is_served_to_skopeo(stream: Stream, full: Path, tmp_path: Path) -> None:
    require("skopeo")
    volumes = {1: full / "volume-0001.tar"}
    with RegistryServer(Catalogue(BundleStore(catalog_of(full), volumes)), "127.0.0.1", 0, print) as server:
        source = f"docker://{server.address}/{stream.path}shop/web:1"
        out = tmp_path / "out"
        copy = ["skopeo", "copy", "--all", "--src-tls-verify=false", "--insecure-policy", "-q", source, f"dir:{out}"]
        subprocess.run(copy, check=True)
    for digest, blob in blobs_of(full).items():
        if "patch" in blob:
            assert Digest.of((out / digest.removeprefix("sha256:")).read_bytes()) == digest
