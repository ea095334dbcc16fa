"""What can be wrong on the connected side: each case ends with its exit code, one clear message, and no bundle.

The cases in ``as a process`` start the real command; the others run the same code in this process.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from airgap.errors import RegistryError, exit_code
from airgap.exporter.export import Request, export
from airgap.lists import Entry
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.progress import Silent
from airgap.state import State
from tests.support import hostile, images
from tests.support.bundles import CREATED, Sender, catalog_of
from tests.support.cli import DAMAGED, MEDIA, NETWORK, USAGE, failed, here, tree
from tests.support.dockerregistry import DockerRegistry
from tests.support.hostile import HANG_UP, Hostile, Reply, ranged
from tests.support.mounts import make_read_only, small_disk
from tests.support.origin import Origin
from tests.support.platform import publish_platform
from tests.support.site import Site
from tests.support.tools import require
from tests.support.trustkit import gpg_home


@dataclass
class Desk:
    """An operator's desk: a key, a registry that does what the test wants, and a directory for bundles."""

    sender: Sender
    origin: Origin
    server: Hostile
    work: Path
    image: images.Built

    @property
    def out(self) -> Path:
        return self.work / "usb"

    @property
    def address(self) -> str:
        return self.server.address

    @property
    def layer(self) -> images.Content:
        """The layer that the tests spoil."""
        return self.image.blobs[1]

    def list(self, *lines: str) -> Path:
        path = self.work / "images.txt"
        path.write_text("".join(f"{line}\n" for line in lines or (f"{self.address}/shop/web:1",)))
        return path

    def command(self, *options: object, out: Path | None = None, image_list: Path | None = None) -> list[object]:
        key, state = self.sender.key, self.work / "state"
        fixed = ["--stream", "prod", "--created", CREATED, "--key", key, "--state", state, "--json"]
        return ["export", image_list or self.list(), "--out", out or self.out, *fixed, *options]

    def refused(self, code: int, *says: str, options: tuple[object, ...] = (), **where: Path) -> dict[str, Any]:
        """Run the export; it must fail well and leave no sealed bundle."""
        facts = failed(here(*self.command(*options, **where)), code, *says)
        assert not (where.get("out", self.out) / "prod-0001").exists()
        return facts

    def spoil(self, answer: Callable[[hostile.Request], Reply | None]) -> None:
        """Let a function answer first; what it has no answer to is answered rightly."""
        self.server.app = lambda request: answer(request) or self.origin.answer(request)

    def spoil_layer(self, reply: Reply) -> None:
        self.spoil(lambda request: reply if request.path.endswith(f"/blobs/{self.layer.descriptor.digest}") else None)


@pytest.fixture
def desk(tmp_path: Path, sender: Sender, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    origin = Origin()
    built = images.image([images.layer("web", 50_000)])
    with Hostile(origin.answer) as server:
        origin.push(f"{server.address}/shop/web:1", built)
        yield Desk(sender, origin, server, tmp_path, built)


@pytest.fixture(scope="module")
def sender(tmp_path_factory: pytest.TempPathFactory) -> Sender:
    return Sender.make(tmp_path_factory.mktemp("sender"))


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


def test_a_single_unknown_tag_says_where_it_stands(desk: Desk) -> None:
    name = f"{desk.address}/shop/web:2"
    facts = desk.refused(NETWORK, "the registry has no such image", image_list=desk.list(name))
    assert facts["where"] == f"{name} ({desk.work}/images.txt:1)"
    assert not desk.out.exists()


def test_a_host_name_that_does_not_exist(desk: Desk) -> None:
    desk.refused(NETWORK, "cannot be resolved", "registry.invalid", image_list=desk.list("registry.invalid/web:1"))
    assert not desk.out.exists()


def test_a_port_where_nobody_listens(desk: Desk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        free = listener.getsockname()[1]
    desk.refused(NETWORK, "refuses connections", image_list=desk.list(f"127.0.0.1:{free}/web:1"))
    assert not desk.out.exists()


def test_a_registry_without_tls_and_what_to_add(desk: Desk) -> None:
    address = f"127.1:{desk.server.port}"  # this machine, spelled so that it does not count as loopback: TLS is expected
    desk.origin.push(f"{address}/shop/web:1", desk.image)
    image_list = desk.list(f"{address}/shop/web:1")
    desk.refused(NETWORK, "does not speak TLS", f"--insecure-registry {address}", image_list=image_list)
    assert not desk.out.exists()
    done = here(*desk.command("--insecure-registry", address, image_list=image_list))
    assert done.returncode == 0, done.stderr


def test_an_answer_that_is_not_http(desk: Desk) -> None:
    desk.server.app = lambda request: HANG_UP
    options: dict[str, Any] = {"sleep": lambda _: None}
    with pytest.raises(RegistryError) as caught:
        library_export(desk, **options)
    assert exit_code(caught.value) == NETWORK
    assert not desk.out.exists()


# what the registry delivers


def other(raw: bytes) -> bytes:
    return bytes(byte ^ 0xFF for byte in raw)


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (lambda raw: Reply(200, raw + b"more"), "does not come as it should"),
        (lambda raw: Reply(200, raw[:-4]), "does not come as it should"),
        (lambda raw: Reply(200, raw + b"more", chunked=True), "does not come as it should"),
        (lambda raw: Reply(200, other(raw)), "has the wrong digest"),
        (lambda raw: Reply(200, other(raw), chunked=True), "has the wrong digest"),
        (lambda raw: Reply(404), "the registry refused"),
        (lambda raw: Reply(200, raw, {"Content-Encoding": "gzip"}), "compressed"),
    ],
    ids=["too long", "too short", "too long without a length", "other bytes", "other bytes in chunks", "missing", "compressed"],
)
def test_a_layer_that_is_not_what_its_manifest_says(desk: Desk, reply: Callable[[bytes], Reply], says: str) -> None:
    desk.spoil_layer(reply(desk.layer.raw))
    facts = desk.refused(NETWORK, says)
    if reply(b"").status == 200 and "compressed" not in says:
        assert desk.layer.descriptor.digest in facts["error"]
        assert facts["expected"]
        assert facts["got"]
    unfinished = failed(here("verify", desk.out, "--policy", desk.sender.policy, "--json"), USAGE)
    assert "not finished" in unfinished["next"]
    desk.server.app = desk.origin.answer
    done = here(*desk.command())
    assert done.returncode == 0, done.stderr
    assert here("verify", desk.out, "--policy", desk.sender.policy).returncode == 0


def test_a_truncated_response_whose_rest_is_refused(desk: Desk) -> None:
    raw = desk.layer.raw

    def answer(request: hostile.Request) -> Reply | None:
        if "/blobs/" not in request.path or not request.path.endswith(desk.layer.descriptor.digest):
            return None
        return Reply(403) if "Range" in request.headers else Reply(200, raw, cut=len(raw) // 2)

    desk.spoil(answer)
    desk.refused(NETWORK, "403")


def test_a_response_that_is_truncated_again_and_again(desk: Desk) -> None:
    digest, raw = desk.layer.descriptor.digest, desk.layer.raw
    desk.spoil(lambda request: replace(ranged(raw, request), cut=1000) if request.path.endswith(digest) else None)
    with pytest.raises(RegistryError) as caught:
        library_export(desk, sleep=lambda _: None)
    assert exit_code(caught.value) == NETWORK
    assert digest in caught.value.what
    assert "run the same command again" in caught.value.hint
    assert [path.name for path in desk.out.iterdir()] == ["prod-0001.partial"]


def library_export(desk: Desk, **options: Any) -> None:
    """The same export with a registry client whose waits take no time."""
    entry = Entry(desk.origin.push(f"{desk.address}/shop/web:1", desk.image))
    request = Request([entry], desk.out, "prod", created=CREATED)
    store = hostile.client(**options)
    try:
        with State(desk.work / "state") as state:
            export(request, store, [desk.sender.signer], state, Silent())
    finally:
        store.close()


def test_a_manifest_whose_digest_lies(desk: Desk) -> None:
    digest = desk.image.digest
    desk.spoil(lambda request: Reply(200, b"{}") if request.path.endswith(digest) else None)
    reference = f"{desk.address}/shop/web@{digest}"
    facts = desk.refused(NETWORK, "another manifest", image_list=desk.list(reference))
    assert facts["expected"] == digest
    assert facts["got"] == Digest.of(b"{}")
    assert not desk.out.exists()


@pytest.mark.parametrize(
    "raw", [b"", b"{", b'{"schemaVersion":1}', b"[" * 100_000, b"\xff"], ids=["nothing", "cut", "v1", "deep", "bytes"]
)
def test_a_manifest_that_is_not_one(desk: Desk, raw: bytes) -> None:
    desk.spoil(lambda request: Reply(200, raw) if request.path.endswith("/manifests/1") else None)
    desk.refused(NETWORK)
    assert not desk.out.exists()


def test_an_index_whose_child_is_missing_names_child_and_platform(desk: Desk) -> None:
    index = images.multi_arch("partly")
    desk.origin.push(f"{desk.address}/shop/partly:1", index)
    lost = index.children[1].digest
    del desk.origin.shelves[f"{desk.address}/shop/partly"].manifests[lost]
    facts = desk.refused(NETWORK, "lacks a part", image_list=desk.list(f"{desk.address}/shop/partly:1"))
    assert lost in facts["expected"]
    assert "linux/arm64" in facts["expected"]
    assert not desk.out.exists()


def test_an_index_that_states_a_wrong_size_for_a_child(desk: Desk) -> None:
    child = desk.image
    lying = replace(child, descriptor=Descriptor(child.descriptor.media_type, child.digest, child.descriptor.size + 1))
    desk.origin.push(f"{desk.address}/shop/lying:1", images.index([lying]))
    desk.refused(NETWORK, "a manifest differs from its descriptor", image_list=desk.list(f"{desk.address}/shop/lying:1"))


def test_two_manifests_that_state_different_sizes_for_one_layer(desk: Desk) -> None:
    blob = desk.layer
    longer = replace(blob, descriptor=replace(blob.descriptor, size=blob.descriptor.size + 1))
    desk.origin.push(f"{desk.address}/shop/longer:1", images.image([longer]))
    names = (f"{desk.address}/shop/web:1", f"{desk.address}/shop/longer:1")
    desk.refused(NETWORK, "different sizes", blob.descriptor.digest, image_list=desk.list(*names))
    assert not desk.out.exists()


# lists and arguments


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("docker.io/library/nginx:1\ndocker.io/UPPER/case:1\n", "2:1", "lower case"),
        ("nginx:1\n\n   nginx:1:2  # comment\n", "3:4", "not a valid image reference"),
        ("images:\n  - nginx:1\n  - name: x:1\n    platfroms: [linux/amd64]\n", "4:5", "unknown key"),
        ("images:\n  - nginx:1\n  - name: x:1\n    platforms: [linux]\n", "4:17", "not a platform"),
        ("images: [nginx:1\n", "2:1", "not valid YAML"),
        ("nginx@sha256:123\n", "1:1", "not a sha256 digest"),
        ("# nothing\n", "1:1", "empty"),
    ],
    ids=["case", "two tags", "key", "platform", "yaml", "digest", "empty"],
)
def test_a_typo_in_the_list_is_found_to_the_column(desk: Desk, text: str, place: str, says: str) -> None:
    path = desk.work / "list"
    path.write_text(text)
    assert desk.refused(USAGE, says, image_list=path)["where"] == f"{path}:{place}"
    assert not desk.out.exists()
    assert not desk.server.requests


def test_several_typos_are_told_together(desk: Desk) -> None:
    path = desk.list("nginx:1", "docker.io/Nope", "also nope", "ok:1")
    facts = desk.refused(USAGE, "2 mistakes in the image list", image_list=path)
    assert f"{path}:2:1" in facts["got"]
    assert f"{path}:3:1" in facts["got"]


def test_two_entries_that_pin_one_tag_to_two_digests(desk: Desk) -> None:
    one, two = (f"{desk.address}/shop/web:1@sha256:{digit * 64}" for digit in "12")
    facts = desk.refused(USAGE, "contradict each other", image_list=desk.list(one, two))
    assert "images.txt:1" in facts["where"]
    assert "images.txt:2" in facts["where"]
    assert not desk.server.requests


def test_a_tag_and_a_pin_of_it_that_turn_out_to_be_two_images(desk: Desk) -> None:
    old = images.image([images.layer("old")])
    desk.origin.push(f"{desk.address}/shop/web@{old.digest}", old)
    names = (f"{desk.address}/shop/web:1", f"{desk.address}/shop/web:1@{old.digest}")
    desk.refused(USAGE, "one name, two images", image_list=desk.list(*names))
    assert not desk.out.exists()


def test_a_platform_that_no_image_has(desk: Desk) -> None:
    desk.origin.push(f"{desk.address}/shop/multi:1", images.multi_arch("multi"))
    options = ("--platform", "linux/s390x")
    desk.refused(USAGE, "none of the platforms", options=options, image_list=desk.list(f"{desk.address}/shop/multi:1"))
    assert not desk.out.exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--volume-size", "nonsense"), "not a size"),
        (("--volume-size", "4 elephants"), "fat32"),
        (("--volume-size", "0"), "larger than zero"),
        (("--volume-size", "5kB"), "too small"),
        (("--volume-size", "-5GB"), "not a size"),
        (("--stream", "Prod Site"), "not a stream name"),
        (("--stream", "../../etc"), "not a stream name"),
        (("--stream", "x" * 49), "not a stream name"),
        (("--stream", ""), "not a stream name"),
        (("--serial", "0"), "--serial"),
        (("--serial", "-1"), "--serial"),
        (("--serial", "seven"), "--serial"),
        (("--serial", str(2**53)), "--serial"),
        (("--created", "yesterday"), "RFC 3339"),
        (("--created", "2026-01-31"), "RFC 3339"),
        (("--created", "2026-01-31T12:00:00"), "RFC 3339"),
        (("--created", "0001-01-01T00:00:00+23:00"), "RFC 3339"),
        (("--expires", "soon"), "90d"),
        (("--expires", "0d"), "before it is made"),
        (("--expires", "2020-01-01T00:00:00Z"), "before it is made"),
        (("--created", "9999-12-01T00:00:00Z", "--expires", "90d"), "calendar"),
        (("--threads", "0"), "--threads"),
        (("--key", "/nowhere/airgap.key"), "cannot read the key file"),
        (("--key", "/"), "cannot read the key file"),
        (("--key", "/dev/null"), "not a private key"),
        (("--passphrase-file", "/nowhere/passphrase"), None),
        (("--bogus",), "No such option"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_an_argument_that_makes_no_sense(desk: Desk, options: tuple[str, ...], says: str | None) -> None:
    if says is None:  # asked for only when a key is encrypted
        assert here(*desk.command(*options)).returncode == 0
        return
    desk.refused(USAGE, says, options=options)
    assert not desk.out.exists()
    assert not desk.server.requests


@pytest.mark.parametrize("epoch", ["now", "-1", "9" * 30])
def test_a_source_date_epoch_that_is_none(desk: Desk, epoch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    arguments = [a for a in desk.command() if a not in ("--created", CREATED)]
    failed(here(*arguments), USAGE, "SOURCE_DATE_EPOCH")


def test_a_missing_list_a_missing_option_and_a_lock_beside_a_list(desk: Desk) -> None:
    desk.refused(USAGE, "cannot read the image list", "No such file", image_list=desk.work / "nowhere.txt")
    failed(here("export", desk.list(), "--out", desk.out, "--json"), USAGE, "Missing option", "see airgap export --help")
    lock = desk.work / "images.lock"
    assert here("resolve", desk.list(), "--lock", lock).returncode == 0
    both = ["export", lock, desk.list(), *desk.command()[2:]]
    failed(here(*both), USAGE, "a lock stands alone")


def test_a_lock_that_was_cut_or_edited(desk: Desk) -> None:
    lock = desk.work / "images.lock"
    assert here("resolve", desk.list(), "--lock", lock).returncode == 0
    whole = lock.read_bytes()
    lock.write_bytes(whole[: len(whole) // 2])
    desk.refused(USAGE, "not acceptable JSON", image_list=lock)
    lock.write_bytes(whole.replace(b'"manifests":[\n{', b'"manifests":[\n],"x":[{'))
    desk.refused(USAGE, "the lock is incomplete", image_list=lock)
    assert not desk.out.exists()


def test_a_wrong_passphrase_and_none(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRGAP_KEY_PASSPHRASE", "right")
    assert here("keys", "generate", "--out", desk.work / "locked").returncode == 0
    monkeypatch.setenv("AIRGAP_KEY_PASSPHRASE", "wrong")
    options = ("--key", desk.work / "locked/airgap.key")
    desk.refused(USAGE, "the wrong passphrase", "airgap.key", options=options)
    monkeypatch.delenv("AIRGAP_KEY_PASSPHRASE")
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    desk.refused(USAGE, "no passphrase", "--passphrase-file", options=options)
    assert not desk.out.exists()
    assert not desk.server.requests


def test_a_gpg_key_that_nobody_has(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    require("gpg")
    with gpg_home() as home:
        monkeypatch.setenv("GNUPGHOME", str(home.path))
        desk.refused(USAGE, options=("--key", f"gpg:{'A' * 40}"))
        desk.refused(USAGE, options=("--key", "gpg:not a fingerprint"))
    assert not desk.out.exists()


# the target


def test_a_bundle_that_cannot_fit_is_not_begun(desk: Desk) -> None:
    big = images.image([images.content(images.seeded("big", 3_000_000), "application/vnd.oci.image.layer.v1.tar")])
    desk.origin.push(f"{desk.address}/shop/big:1", big)
    with small_disk(desk.work / "stick", "2m") as stick:
        facts = desk.refused(MEDIA, "does not fit", out=stick, image_list=desk.list(f"{desk.address}/shop/big:1"))
        assert "nothing has been written" in facts["next"]
        assert not any(big.blobs[1].descriptor.digest in path for path in desk.server.seen("GET"))
        assert list(stick.iterdir()) == []


def test_space_that_vanishes_under_way_and_comes_back(desk: Desk) -> None:
    with small_disk(desk.work / "stick", "1m") as stick:
        filler = stick / "somebody-elses-film"

        def fill_the_disk(request: hostile.Request) -> None:
            if request.path.endswith(desk.layer.descriptor.digest) and not filler.exists():
                with filler.open("wb", buffering=0) as file:
                    for size in (64 * 1024, 4096):
                        try:
                            while True:
                                file.write(bytes(size))
                        except OSError:
                            continue

        desk.spoil(fill_the_disk)
        facts = desk.refused(MEDIA, "No space left", out=stick)
        assert "run the same command again" in facts["next"]
        filler.unlink()
        desk.server.app = desk.origin.answer
        done = here(*desk.command(out=stick))
        assert done.returncode == 0, done.stderr
        assert here("verify", stick, "--policy", desk.sender.policy).returncode == 0
        assert catalog_of(stick / "prod-0001").serial == 1


def test_a_target_that_is_read_only(desk: Desk) -> None:
    with small_disk(desk.work / "stick", "1m") as stick:
        make_read_only(stick)
        desk.refused(MEDIA, "Read-only file system", "choose a writable place", out=stick)
        desk.refused(MEDIA, "Read-only file system", out=stick / "deeper/still")
        assert not any(desk.layer.descriptor.digest in path for path in desk.server.seen("GET"))
        assert list(stick.iterdir()) == []


def test_a_target_that_is_a_file(desk: Desk) -> None:
    taken = desk.work / "taken"
    taken.write_text("not a directory")
    for out in (taken, taken / "below"):
        failed(here(*desk.command(out=out)), MEDIA, "Not a directory")
    assert taken.read_text() == "not a directory"


def test_a_state_that_cannot_be_written(desk: Desk) -> None:
    with small_disk(desk.work / "state", "1m") as state:
        make_read_only(state)
        desk.refused(MEDIA, "--state")
    assert not desk.out.exists()


def test_a_finished_bundle_is_never_overwritten(desk: Desk) -> None:
    assert here(*desk.command("--serial", 1)).returncode == 0
    before = tree(desk.out)
    desk.origin.push(f"{desk.address}/shop/web:1", images.image([images.layer("newer")]))
    failed(here(*desk.command("--serial", 1)), USAGE, "other content exists", "another --serial")
    assert tree(desk.out) == before


def test_a_finished_bundle_with_a_damaged_catalog_is_not_taken_for_done(desk: Desk) -> None:
    assert here(*desk.command("--serial", 1)).returncode == 0
    (desk.out / "prod-0001/catalog.json").write_bytes(b"{}")
    before = tree(desk.out)
    failed(here(*desk.command("--serial", 1)), DAMAGED, "unknown schema")
    assert tree(desk.out) == before
