"""Registries and disks that fail an export: each case ends with its exit code, one clear message, and no bundle."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airgap.errors import RegistryError, exit_code
from airgap.exporter.export import export
from airgap.lists import Entry
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.progress import Silent
from airgap.state import State
from tests.support import hostile, images
from tests.support.bundles import asking, catalog_of
from tests.support.cli import DAMAGED, MEDIA, NETWORK, USAGE, failed, here, tree
from tests.support.desks import OperatorDesk
from tests.support.dockerregistry import DockerRegistry
from tests.support.hostile import HANG_UP, Reply, ranged
from tests.support.mounts import make_read_only, small_disk
from tests.support.platform import publish_platform
from tests.support.site import Site
from tests.support.tools import require

pytestmark = pytest.mark.slow("a wide matrix of inputs over the whole way")

# as a process, with a real registry


def test_every_unknown_tag_and_repository_is_named_at_once(tmp_path: Path) -> None:
    require("docker-registry")
    site = Site.make(tmp_path / "machine")
    with DockerRegistry(tmp_path / "source") as registry:
        published = publish_platform(registry.address, tmp_path / "build", layer_size=500)
        wrong = [f"{registry.address}/shop/web:9.9", f"{registry.address}/nothing/here:1", f"{registry.address}/single:0"]
        image_list = tmp_path / "images.txt"
        image_list.write_text("\n".join([published.references[0], *wrong]) + "\n")
        arguments = ["export", image_list, "--out", tmp_path / "usb", "--stream", "prod", "--key", site.key, "--json"]
        facts = failed(site.run(*arguments, check=False), NETWORK, "3 of 4 images cannot be resolved", "correct the name", *wrong)
        assert [f"images.txt:{number}" in facts["got"] for number in (1, 2, 3, 4)] == [False, True, True, True]
        assert not (tmp_path / "usb").exists()
        image_list.write_text(f"{wrong[0]}\n")
        failed(site.run("plan", image_list, "--json", check=False), NETWORK, "no such image", wrong[0], "images.txt:1")


# names and networks


def test_a_single_unknown_tag_says_where_it_stands(operator: OperatorDesk) -> None:
    name = f"{operator.address}/shop/web:2"
    facts = operator.refused(NETWORK, "the registry has no such image", image_list=operator.list(name))
    assert facts["where"] == f"{name} ({operator.work}/images.txt:1)"
    assert not operator.out.exists()


def test_a_host_name_that_does_not_exist(operator: OperatorDesk) -> None:
    operator.refused(NETWORK, "cannot be resolved", "registry.invalid", image_list=operator.list("registry.invalid/web:1"))
    assert not operator.out.exists()


def test_a_port_where_nobody_listens(operator: OperatorDesk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        free = listener.getsockname()[1]
    operator.refused(NETWORK, "refuses connections", image_list=operator.list(f"127.0.0.1:{free}/web:1"))
    assert not operator.out.exists()


def test_a_registry_without_tls_and_what_to_add(operator: OperatorDesk) -> None:
    address = f"0.0.0.0:{operator.server.port}"  # this machine too, but no loopback address: TLS is expected
    operator.origin.push(f"{address}/shop/web:1", operator.image)
    image_list = operator.list(f"{address}/shop/web:1")
    operator.refused(NETWORK, "does not speak TLS", f"--insecure-registry {address}", image_list=image_list)
    assert not operator.out.exists()
    done = here(*operator.command("--insecure-registry", address, image_list=image_list))
    assert done.returncode == 0, done.stderr


def test_an_answer_that_is_not_http(operator: OperatorDesk) -> None:
    operator.server.app = lambda request: HANG_UP
    options: dict[str, Any] = {"sleep": lambda _: None}
    with pytest.raises(RegistryError) as caught:
        library_export(operator, **options)
    assert exit_code(caught.value) == NETWORK
    assert not operator.out.exists()


# what the registry delivers


def other(raw: bytes) -> bytes:
    return bytes(byte ^ 0xFF for byte in raw)


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (lambda raw: Reply(200, raw + b"more"), "unexpected response"),
        (lambda raw: Reply(200, raw[:-4]), "unexpected response"),
        (lambda raw: Reply(200, raw + b"more", chunked=True), "unexpected response"),
        (lambda raw: Reply(200, other(raw)), "has the wrong digest"),
        (lambda raw: Reply(200, other(raw), chunked=True), "has the wrong digest"),
        (lambda raw: Reply(404), "the registry rejected the request"),
        (lambda raw: Reply(200, raw, {"Content-Encoding": "gzip"}), "compressed"),
    ],
    ids=["too long", "too short", "too long without a length", "other bytes", "other bytes in chunks", "missing", "compressed"],
)
def test_a_layer_that_is_not_what_its_manifest_says(operator: OperatorDesk, reply: Callable[[bytes], Reply], says: str) -> None:
    operator.spoil_layer(reply(operator.layer.raw))
    facts = operator.refused(NETWORK, says)
    if reply(b"").status == 200 and "compressed" not in says:
        assert operator.layer.descriptor.digest in facts["error"]
        assert facts["expected"]
        assert facts["got"]
    unfinished = failed(here("verify", operator.out, "--policy", operator.sender.policy, "--json"), USAGE)
    assert "not finished" in unfinished["next"]
    operator.server.app = operator.origin.answer
    done = here(*operator.command())
    assert done.returncode == 0, done.stderr
    assert here("verify", operator.out, "--policy", operator.sender.policy).returncode == 0


def test_a_truncated_response_whose_rest_is_refused(operator: OperatorDesk) -> None:
    raw = operator.layer.raw

    def answer(request: hostile.Request) -> Reply | None:
        if "/blobs/" not in request.path or not request.path.endswith(operator.layer.descriptor.digest):
            return None
        return Reply(403) if "Range" in request.headers else Reply(200, raw, cut=len(raw) // 2)

    operator.spoil(answer)
    operator.refused(NETWORK, "403")


def test_a_response_that_is_truncated_again_and_again(operator: OperatorDesk) -> None:
    digest, raw = operator.layer.descriptor.digest, operator.layer.raw
    operator.spoil(lambda request: replace(ranged(raw, request), cut=1000) if request.path.endswith(digest) else None)
    with pytest.raises(RegistryError) as caught:
        library_export(operator, sleep=lambda _: None)
    assert exit_code(caught.value) == NETWORK
    assert digest in caught.value.what
    assert "run the same command again" in caught.value.hint
    assert [path.name for path in operator.out.iterdir()] == ["prod-0001.partial"]


def library_export(operator: OperatorDesk, **options: Any) -> None:
    """The same export with a registry client whose waits take no time."""
    entry = Entry(operator.origin.push(f"{operator.address}/shop/web:1", operator.image))
    store = hostile.client(**options)
    request = asking([entry], store, operator.out, [operator.sender.signer])
    try:
        with State(operator.work / "state") as state:
            export(request, state, Silent())
    finally:
        store.close()


def test_a_manifest_whose_digest_lies(operator: OperatorDesk) -> None:
    digest = operator.image.digest
    operator.spoil(lambda request: Reply(200, b"{}") if request.path.endswith(digest) else None)
    reference = f"{operator.address}/shop/web@{digest}"
    facts = operator.refused(NETWORK, "another manifest", image_list=operator.list(reference))
    assert facts["expected"] == digest
    assert facts["got"] == Digest.of(b"{}")
    assert not operator.out.exists()


@pytest.mark.parametrize(
    "raw", [b"", b"{", b'{"schemaVersion":1}', b"[" * 100_000, b"\xff"], ids=["nothing", "cut", "v1", "deep", "bytes"]
)
def test_a_manifest_that_is_not_one(operator: OperatorDesk, raw: bytes) -> None:
    operator.spoil(lambda request: Reply(200, raw) if request.path.endswith("/manifests/1") else None)
    operator.refused(NETWORK)
    assert not operator.out.exists()


def test_an_index_whose_child_is_missing_names_child_and_platform(operator: OperatorDesk) -> None:
    index = images.multi_arch("partly")
    operator.origin.push(f"{operator.address}/shop/partly:1", index)
    lost = index.children[1].digest
    del operator.origin.shelves[f"{operator.address}/shop/partly"].manifests[lost]
    facts = operator.refused(NETWORK, "lacks a part", image_list=operator.list(f"{operator.address}/shop/partly:1"))
    assert lost in facts["expected"]
    assert "linux/arm64" in facts["expected"]
    assert not operator.out.exists()


def test_an_index_that_states_a_wrong_size_for_a_child(operator: OperatorDesk) -> None:
    child = operator.image
    lying = replace(child, descriptor=Descriptor(child.descriptor.media_type, child.digest, child.descriptor.size + 1))
    operator.origin.push(f"{operator.address}/shop/lying:1", images.index([lying]))
    operator.refused(
        NETWORK, "a manifest differs from its descriptor", image_list=operator.list(f"{operator.address}/shop/lying:1")
    )


def test_two_manifests_that_state_different_sizes_for_one_layer(operator: OperatorDesk) -> None:
    blob = operator.layer
    longer = replace(blob, descriptor=replace(blob.descriptor, size=blob.descriptor.size + 1))
    operator.origin.push(f"{operator.address}/shop/longer:1", images.image([longer]))
    names = (f"{operator.address}/shop/web:1", f"{operator.address}/shop/longer:1")
    operator.refused(NETWORK, "different sizes", blob.descriptor.digest, image_list=operator.list(*names))
    assert not operator.out.exists()


# the target


def test_a_bundle_that_cannot_fit_is_not_begun(operator: OperatorDesk) -> None:
    big = images.image([images.content(images.seeded("big", 3_000_000), "application/vnd.oci.image.layer.v1.tar")])
    operator.origin.push(f"{operator.address}/shop/big:1", big)
    with small_disk(operator.work / "stick", "2m") as stick:
        facts = operator.refused(MEDIA, "does not fit", out=stick, image_list=operator.list(f"{operator.address}/shop/big:1"))
        assert "nothing has been written" in facts["next"]
        assert not any(big.blobs[1].descriptor.digest in path for path in operator.server.seen("GET"))
        assert list(stick.iterdir()) == []


def test_space_that_vanishes_under_way_and_comes_back(operator: OperatorDesk) -> None:
    with small_disk(operator.work / "stick", "1m") as stick:
        filler = stick / "somebody-elses-film"

        def fill_the_disk(request: hostile.Request) -> None:
            if request.path.endswith(operator.layer.descriptor.digest) and not filler.exists():
                with filler.open("wb", buffering=0) as file:
                    for size in (64 * 1024, 4096):
                        try:
                            while True:
                                file.write(bytes(size))
                        except OSError:
                            continue

        operator.spoil(fill_the_disk)
        facts = operator.refused(MEDIA, "No space left", out=stick)
        assert "run the same command again" in facts["next"]
        filler.unlink()
        operator.server.app = operator.origin.answer
        done = here(*operator.command(out=stick))
        assert done.returncode == 0, done.stderr
        assert here("verify", stick, "--policy", operator.sender.policy).returncode == 0
        assert catalog_of(stick / "prod-0001").serial == 1


def test_a_target_that_is_read_only(operator: OperatorDesk) -> None:
    with small_disk(operator.work / "stick", "1m") as stick:
        make_read_only(stick)
        operator.refused(MEDIA, "Read-only file system", "choose a writable location", out=stick)
        operator.refused(MEDIA, "Read-only file system", out=stick / "deeper/still")
        assert not any(operator.layer.descriptor.digest in path for path in operator.server.seen("GET"))
        assert list(stick.iterdir()) == []


def test_a_target_that_is_a_file(operator: OperatorDesk) -> None:
    taken = operator.work / "taken"
    taken.write_text("not a directory")
    for out in (taken, taken / "below"):
        failed(here(*operator.command(out=out)), MEDIA, "Not a directory")
    assert taken.read_text() == "not a directory"


def test_a_state_that_cannot_be_written(operator: OperatorDesk) -> None:
    with small_disk(operator.work / "state", "1m") as state:
        make_read_only(state)
        operator.refused(MEDIA, "--state")
    assert not operator.out.exists()


def test_a_finished_bundle_is_never_overwritten(operator: OperatorDesk) -> None:
    assert here(*operator.command("--serial", 1)).returncode == 0
    before = tree(operator.out)
    operator.origin.push(f"{operator.address}/shop/web:1", images.image([images.layer("newer")]))
    failed(here(*operator.command("--serial", 1)), USAGE, "different content already exists", "another --serial")
    assert tree(operator.out) == before


def test_a_finished_bundle_with_a_damaged_catalog_is_not_taken_for_done(operator: OperatorDesk) -> None:
    assert here(*operator.command("--serial", 1)).returncode == 0
    (operator.out / "prod-0001/catalog.json").write_bytes(b"{}")
    before = tree(operator.out)
    failed(here(*operator.command("--serial", 1)), DAMAGED, "unknown schema")
    assert tree(operator.out) == before
