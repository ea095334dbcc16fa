"""What can be wrong with media, bundles and sites: each case ends with its exit code and one clear message, and changes nothing.

Every case is tried on ``verify`` and on ``import`` where both can meet it. The commands run in this process; that the real command
behaves the same is shown for one case of every exit code.
"""

from __future__ import annotations

import datetime as dt
import http.client
import json
import os
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airgap.bundle import frame, names
from airgap.oci.reference import Reference
from airgap.trust.templates import site_policy
from tests.support import images
from tests.support.bundles import CREATED, Sender, catalog_of, flip
from tests.support.cli import DAMAGED, MEDIA, NETWORK, REFUSED, USAGE, failed, here, tree
from tests.support.dockerregistry import DockerRegistry
from tests.support.hostile import Hostile
from tests.support.mounts import make_read_only, small_disk
from tests.support.origin import Origin
from tests.support.site import Site
from tests.support.tools import require
from tests.support.trustkit import gpg_home

WEB, TOOL = "docker.io/shop/web:1", "quay.io/tools/tool:2"
VOLUME_SIZE = 40_000
LATER = "2026-02-28T12:00:00Z"


@dataclass(frozen=True)
class Made:
    """What all tests of this module take copies of: a sender and a bundle of several volumes; ``newer`` is the next serial."""

    sender: Sender
    origin: Origin
    references: list[Reference]
    bundle: Path
    newer: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    work = tmp_path_factory.mktemp("made")
    sender, origin = Sender.make(work / "sender"), Origin()
    base = images.layer("base", 60_000)
    web = images.index([images.image([base, images.layer(f"web {p}")], platform=p) for p in images.PLATFORMS])
    references = [origin.push(WEB, web), origin.push(TOOL, images.image([base, images.layer("tool", 20_000)]))]
    origin.push("docker.io/shop/web", images.artifact(web, "application/spdx+json", b'{"spdx":1}'))
    bundle = sender.bundle(origin, references, work / "usb", volume_size=VOLUME_SIZE)
    newer = sender.bundle(origin, references[:1], work / "usb", serial=2, volume_size=VOLUME_SIZE)
    return Made(sender, origin, references, bundle, newer)


@dataclass
class Desk:
    """A site's desk: a copy of the bundle, an empty store, and the site's own state."""

    made: Made
    work: Path
    bundle: Path

    @property
    def store(self) -> Path:
        return self.work / "store"

    def verify(self, *options: object, policy: Path | None = None) -> subprocess.CompletedProcess[str]:
        return here("verify", self.bundle, "--policy", policy or self.made.sender.policy, "--json", *options)

    def import_(
        self, *options: object, bundle: Path | None = None, to: str = "", policy: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        target = to or f"oci:{self.store}"
        fixed = ["--to", target, "--policy", policy or self.made.sender.policy, "--state", self.work / "state", "--json"]
        return here("import", bundle or self.bundle, *fixed, *options)

    def refused(self, code: int, *says: str, policy: Path | None = None, options: tuple[object, ...] = ()) -> dict[str, Any]:
        """Neither verify nor import takes the bundle, and the store does not come into being. What import says."""
        failed(self.verify(*options, policy=policy), code, *says)
        facts = failed(self.import_(*options, policy=policy), code, *says)
        self.nothing_is_visible()
        return facts

    def nothing_is_visible(self) -> None:
        index = self.store / "index.json"
        assert not index.exists() or json.loads(index.read_bytes())["manifests"] == []

    def is_taken(self, *options: object) -> None:
        done = self.import_(*options)
        assert done.returncode == 0, done.stderr

    def volume(self, number: int) -> Path:
        return self.bundle / names.volume_name(number)


@pytest.fixture
def desk(tmp_path: Path, made: Made, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    bundle = tmp_path / "media" / made.bundle.name
    shutil.copytree(made.bundle, bundle)
    return Desk(made, tmp_path, bundle)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    require("docker-registry")
    with DockerRegistry(tmp_path_factory.mktemp("registry")) as target:
        yield target


def tags(address: str, prefix: str) -> list[str]:
    """Every tag in the repositories below a prefix that the bundle's images would get."""
    connection = http.client.HTTPConnection(address, timeout=60)
    found = []
    try:
        for path in ("docker.io/shop/web", "quay.io/tools/tool"):
            connection.request("GET", f"/v2/{prefix}/{path}/tags/list")
            response = connection.getresponse()
            found += json.loads(response.read()).get("tags") or [] if response.status == 200 else []
            response.read()
    finally:
        connection.close()
    return found


# the real command, one case of every exit code


def test_the_real_command_fails_the_same_way_and_then_works(desk: Desk) -> None:
    site = Site(desk.work / "machine")
    policy, target = ("--policy", desk.made.sender.policy), ("--to", f"oci:{desk.store}")
    arguments = ["import", desk.bundle, "--json"]
    assert failed(site.run(*arguments, *policy, check=False), USAGE, "--to")
    assert failed(site.run(*arguments, *target, check=False), REFUSED, "no policy")
    flip(desk.volume(2), 1000)
    assert failed(site.run(*arguments, *target, *policy, check=False), DAMAGED, "volume-0002.tar")
    flip(desk.volume(2), 1000)
    desk.nothing_is_visible()
    closed = f"docker://127.0.0.1:{free_port()}/mirror"
    assert failed(site.run(*arguments, "--to", closed, *policy, check=False), NETWORK, "refuses connections")
    (site.root / "taken").write_text("a file where the state should be")
    assert failed(site.run(*arguments, *target, *policy, state="taken", check=False), MEDIA, "taken")
    assert site.run(*arguments, *target, *policy).returncode == 0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


# one byte flipped


def places(bundle: Path) -> Iterator[tuple[str, Path, int]]:
    """One place in every stretch of every volume (its kind, file, position), and many in every other file."""
    catalog = catalog_of(bundle)
    for number, step in enumerate(frame.walk(catalog.members(), catalog.volume_size)):
        if step.extent.length:
            kind = "blob" if step.content is None else step.member.name or "end"
            at = step.extent.offset + (step.extent.length - 1, 0, step.extent.length // 2)[number % 3]
            yield kind, bundle / names.volume_name(step.extent.volume), at
    for path in sorted(bundle.iterdir()):
        if not names.is_volume(path.name):
            size = path.stat().st_size
            yield from (("file", path, at) for at in sorted({0, size - 1, *range(0, size, max(1, size // 8))}))


def test_one_byte_flipped_anywhere_is_found_by_verify(desk: Desk) -> None:
    kinds = set()
    for number, (kind, path, position) in enumerate(places(desk.bundle)):
        kinds.add(kind.partition("/")[0])
        flip(path, position, 1 << number % 8)
        facts = failed(desk.verify(), REFUSED if path.name.startswith(names.CATALOG) else DAMAGED)
        assert path.name.startswith(names.CATALOG) or path.name in facts["error"] + facts["where"], (path, position, facts)
        flip(path, position, 1 << number % 8)
    assert kinds == {"oci-layout", "index.json", "blobs", "blob", "end", "file"}
    assert desk.verify().returncode == 0


def test_every_byte_of_the_signature_file_counts(desk: Desk) -> None:
    signature = next(desk.bundle.glob("*.sig"))
    for position in range(signature.stat().st_size):
        for bit in (position % 8,) if position + 4 < signature.stat().st_size else range(8):
            flip(signature, position, 1 << bit)
            assert desk.verify().returncode == REFUSED, (position, bit)
            flip(signature, position, 1 << bit)
    assert desk.verify().returncode == 0


def test_one_byte_flipped_anywhere_leaves_a_registry_without_a_tag(desk: Desk, registry: DockerRegistry) -> None:
    """One place of every kind in every file; each time into repositories of its own, so that nothing is there already."""
    seen = set()
    for number, (kind, path, position) in enumerate(places(desk.bundle)):
        if (kind if kind == "file" else (kind == "blob", kind[:5]), path) in seen:
            continue
        seen.add((kind if kind == "file" else (kind == "blob", kind[:5]), path))
        flip(path, position, 1 << number % 8)
        prefix = f"flip{number}"
        code = REFUSED if path.name.startswith(names.CATALOG) else DAMAGED
        facts = failed(desk.import_(to=f"docker://{registry.address}/{prefix}"), code)
        assert code == REFUSED or path.name in facts["error"] + facts["where"]
        assert tags(registry.address, prefix) == []
        flip(path, position, 1 << number % 8)
    assert {path for _, path in seen} == set(desk.bundle.iterdir())
    done = desk.import_(to=f"docker://{registry.address}/whole")
    assert done.returncode == 0, done.stderr
    assert "1" in tags(registry.address, "whole")


def test_one_byte_flipped_in_a_blob_leaves_the_names_of_a_store_as_they_were(desk: Desk) -> None:
    desk.is_taken()
    before = (desk.store / "index.json").read_bytes()
    shutil.rmtree(desk.bundle)
    shutil.copytree(desk.made.newer, desk.bundle)
    for kind, path, position in places(desk.bundle):
        if kind == "blob":
            shutil.rmtree(desk.store / "blobs/sha256", ignore_errors=True)  # what the store has already is not read
            flip(path, position)
            failed(desk.import_(), DAMAGED, path.name)
            assert (desk.store / "index.json").read_bytes() == before
            flip(path, position)
    desk.is_taken()
    assert (desk.store / "index.json").read_bytes() == before


# volumes that are not what they should be


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_missing_volume_is_named_with_the_images_that_it_costs(desk: Desk, number: int) -> None:
    desk.volume(number).unlink()
    facts = desk.refused(DAMAGED, f"volume {number} of 3", "missing", "bring the missing media")
    needing = [str(image.reference) for image in catalog_of(desk.bundle).images if number in image.volumes]
    assert needing
    assert [name in facts["expected"] for name in needing] == [True] * len(needing)


def test_a_directory_with_the_catalog_alone(desk: Desk) -> None:
    for number in (1, 2, 3):
        desk.volume(number).unlink()
    desk.refused(DAMAGED, "volume 1 of 3", "volume 2 of 3", "volume 3 of 3")


def test_volumes_without_a_catalog(desk: Desk) -> None:
    (desk.bundle / names.CATALOG).unlink()
    desk.refused(DAMAGED, "the catalog is missing")


def test_nothing_of_a_bundle_at_all(desk: Desk) -> None:
    shutil.rmtree(desk.bundle)
    desk.refused(USAGE, "no such directory")
    desk.bundle.mkdir()
    desk.refused(USAGE, "no bundle here")
    (desk.bundle.parent / "prod-0001.partial").mkdir()
    desk.bundle.rmdir()
    failed(here("verify", desk.bundle.parent, "--policy", desk.made.sender.policy, "--json"), USAGE, "run the same export again")


def cut(path: Path, count: int) -> None:
    os.truncate(path, path.stat().st_size - count)


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def replaced(path: Path, make: Callable[[Path], object]) -> None:
    path.rename(path.parent.parent / "moved-away")
    make(path)


SPOILERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a byte short": (lambda p: cut(p, 1), "wrong size"),
    "cut in the middle": (lambda p: cut(p, p.stat().st_size // 2), "wrong size"),
    "empty": (lambda p: os.truncate(p, 0), "wrong size"),
    "a byte long": (lambda p: append(p, b"\0"), "wrong size"),
    "another archive behind it": (lambda p: append(p, p.read_bytes()), "wrong size"),
    "a link to it": (lambda p: replaced(p, lambda q: q.symlink_to(q.parent.parent / "moved-away")), "not a regular file"),
    "a dangling link": (lambda p: replaced(p, lambda q: q.symlink_to("/nowhere")), "not a regular file"),
    "a link to itself": (lambda p: replaced(p, lambda q: q.symlink_to(q.name)), "not a regular file"),
    "a FIFO": (lambda p: replaced(p, os.mkfifo), "not a regular file"),
    "a directory": (lambda p: replaced(p, Path.mkdir), "not a regular file"),
    "a socket": (lambda p: replaced(p, lambda q: os.mknod(q, 0o140644)), "not a regular file"),
}


@pytest.mark.parametrize("spoil", SPOILERS)
@pytest.mark.parametrize("number", [1, 3])
def test_a_volume_that_is(desk: Desk, spoil: str, number: int) -> None:
    make, says = SPOILERS[spoil]
    make(desk.volume(number))
    desk.refused(DAMAGED, names.volume_name(number), says)


@pytest.mark.parametrize("name", [names.CATALOG, names.SUMS, names.CHECK, "signature"])
@pytest.mark.parametrize("spoil", ["a link to it", "a dangling link", "a FIFO", "a directory"])
def test_another_file_that_is(desk: Desk, name: str, spoil: str) -> None:
    path = next(desk.bundle.glob("*.sig")) if name == "signature" else desk.bundle / name
    SPOILERS[spoil][0](path)
    desk.refused(DAMAGED, "not a regular file", path.name)


def test_a_volume_of_another_bundle_with_the_right_size(desk: Desk) -> None:
    other = images.image([images.layer("other", 100_000)])
    origin = Origin()
    stranger = desk.made.sender.bundle(
        origin, [origin.push("docker.io/other/image:1", other)], desk.work / "else", serial=9, volume_size=VOLUME_SIZE
    )
    assert (stranger / desk.volume(2).name).stat().st_size == desk.volume(2).stat().st_size
    shutil.copy(stranger / desk.volume(2).name, desk.volume(2))
    desk.refused(DAMAGED, desk.volume(2).name, "copy this volume again")


def test_two_volumes_in_each_others_place(desk: Desk) -> None:
    desk.volume(1).rename(desk.work / "one")
    desk.volume(2).rename(desk.volume(1))
    (desk.work / "one").rename(desk.volume(2))
    desk.refused(DAMAGED, desk.volume(1).name)


def test_a_volume_too_many(desk: Desk) -> None:
    shutil.copy(desk.volume(3), desk.volume(4))
    desk.refused(DAMAGED, "volume-0004.tar", "does not belong", "move it away")


def test_media_of_two_bundles_at_once(desk: Desk) -> None:
    arguments = ["verify", desk.bundle, desk.made.newer, "--policy", desk.made.sender.policy, "--json"]
    failed(here(*arguments), DAMAGED, "two different bundles", "one bundle at a time")


def test_a_bundle_on_two_media_without_the_second_one(desk: Desk) -> None:
    second = desk.work / "second"
    second.mkdir()
    for number in (2, 3):
        desk.volume(number).rename(second / desk.volume(number).name)
    desk.refused(DAMAGED, "volume 2 of 3", "volume 3 of 3")
    done = here("verify", desk.bundle, second, "--policy", desk.made.sender.policy)
    assert done.returncode == 0, done.stderr


# trust


def test_no_policy_says_how_to_write_one(desk: Desk) -> None:
    for command in (["verify", desk.bundle, "--json"], ["import", desk.bundle, "--to", f"oci:{desk.store}", "--json"]):
        failed(here(*command), REFUSED, "no policy says which bundles to trust", "airgap policy init")
    assert not desk.store.exists()


def test_a_policy_that_was_found_and_accepts_everything_does_not_count(desk: Desk) -> None:
    found = desk.work / "home/.config/containers/policy.json"
    found.parent.mkdir(parents=True)
    found.write_text('{"default":[{"type":"insecureAcceptAnything"}]}')
    failed(here("verify", desk.bundle, "--json"), REFUSED, "no policy says which bundles to trust")
    found.write_text(desk.made.sender.policy.read_text())
    done = here("verify", desk.bundle)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("text", "code"),
    [("", REFUSED), ("{", REFUSED), ('{"default":[]}', REFUSED), ('{"default":[{"type":"reject"}]}', REFUSED), (None, USAGE)],
    ids=["empty", "cut", "no requirement", "rejects", "missing"],
)
def test_a_policy_that_does_not_accept(desk: Desk, text: str | None, code: int) -> None:
    policy = desk.work / "policy.json"
    if text is not None:
        policy.write_text(text)
    desk.refused(code, policy=policy)


def test_the_wrong_key_names_both(desk: Desk) -> None:
    stranger = Sender.make(desk.work / "stranger")
    facts = desk.refused(REFUSED, "not a signature over this catalog by this key", "airgap sign", policy=stranger.policy)
    assert stranger.signer.key_id in facts["expected"]
    assert desk.made.sender.signer.key_id in facts["got"]


def test_a_key_file_that_is_gone(desk: Desk) -> None:
    policy = desk.work / "policy.json"
    policy.write_text(json.dumps(site_policy([desk.work / "gone.pub"])))
    desk.refused(REFUSED, "gone.pub", policy=policy)


def test_a_policy_for_another_stream(desk: Desk) -> None:
    policy = desk.work / "policy.json"
    policy.write_text(json.dumps(site_policy([desk.made.sender.root / "sender.pub"], stream="staging")))
    desk.refused(REFUSED, policy=policy)


def test_two_signatures_wanted_and_one_there(desk: Desk) -> None:
    second = Sender.make(desk.work / "second")
    policy = desk.work / "policy.json"
    policy.write_text(json.dumps(site_policy([desk.made.sender.root / "sender.pub", second.root / "sender.pub"])))
    desk.refused(REFUSED, second.signer.key_id, policy=policy)
    assert here("sign", desk.bundle, "--key", second.key).returncode == 0
    assert desk.verify(policy=policy).returncode == 0


def test_an_unsigned_bundle(desk: Desk) -> None:
    next(desk.bundle.glob("*.sig")).unlink()
    desk.refused(REFUSED, "no signature at all")


def test_a_signature_over_another_catalog(desk: Desk) -> None:
    signature = next(desk.bundle.glob("*.sig"))
    shutil.copy(desk.made.newer / signature.name, signature)
    desk.refused(REFUSED, "not a signature over this catalog")


def test_a_good_signature_under_a_name_that_is_none(desk: Desk) -> None:
    signature = next(desk.bundle.glob("*.sig"))
    signature.rename(signature.with_name("catalog.json.sig"))
    desk.refused(REFUSED, "no signature at all")


def test_gpg_signs_and_verifies_and_another_gpg_key_does_not(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    require("gpg")
    with gpg_home() as home:
        monkeypatch.setenv("GNUPGHOME", str(home.path))
        ours, theirs = home.new_key("ours"), home.new_key("theirs")
        for name, fingerprint in (("ours", ours), ("theirs", theirs)):
            (desk.work / f"{name}.asc").write_bytes(home.export(fingerprint))
            init = ["policy", "init", "--key", desk.work / f"{name}.asc", "-o", desk.work / f"{name}.json"]
            assert here(*init).returncode == 0
        origin = Origin()
        with Hostile(origin.answer) as server:
            origin.push(f"{server.address}/shop/web:1", images.multi_arch("gpg"))
            (desk.work / "list").write_text(f"{server.address}/shop/web:1\n")
            fixed = ["--out", desk.work / "gpg", "--stream", "prod", "--state", desk.work / "exporter"]
            done = here("export", desk.work / "list", *fixed, "--key", f"gpg:{ours}")
        assert done.returncode == 0, done.stderr
    desk.bundle = desk.work / "gpg/prod-0001"
    desk.refused(REFUSED, theirs[-16:].lower(), policy=desk.work / "theirs.json")
    desk.refused(REFUSED, desk.made.sender.signer.key_id)
    ours_policy = desk.work / "ours.json"
    armor = next(desk.bundle.glob("*.asc"))
    size = armor.stat().st_size
    for position in (0, size // 3, size // 2, size - 40, size - 1):
        flip(armor, position)
        desk.refused(REFUSED, policy=ours_policy)
        flip(armor, position)
    assert desk.verify(policy=ours_policy).returncode == 0
    done = desk.import_(policy=ours_policy)
    assert done.returncode == 0, done.stderr


# serials and expiry


def test_an_older_serial_unless_it_is_allowed(desk: Desk) -> None:
    assert desk.import_(bundle=desk.made.newer).returncode == 0
    before = tree(desk.store)
    failed(desk.import_(), REFUSED, "an older bundle", "--allow-older")
    assert tree(desk.store) == before
    desk.is_taken("--allow-older")
    failed(desk.import_(), REFUSED, "an older bundle")


def test_the_same_serial_with_another_catalog(desk: Desk) -> None:
    desk.is_taken()
    before = tree(desk.store)
    desk.made.sender.resign(desk.bundle, lambda top: top.update(created=LATER))
    for options in ((), ("--allow-older",), ("--allow-expired",)):
        failed(desk.import_(*options), REFUSED, "serial 1", "a serial is used once")
    assert tree(desk.store) == before


def test_a_refusal_is_remembered(desk: Desk) -> None:
    assert desk.import_(bundle=desk.made.newer).returncode == 0
    failed(desk.import_(), REFUSED)
    connection = sqlite3.connect(desk.work / "state/state.db")
    rows = connection.execute("SELECT event, serial FROM history ORDER BY id").fetchall()
    connection.close()
    assert rows == [("import", 2), ("refused", 1)]


def test_an_expired_bundle_unless_it_is_allowed(desk: Desk) -> None:
    yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    desk.made.sender.resign(desk.bundle, lambda top: top.update(expires=yesterday.strftime("%Y-%m-%dT%H:%M:%SZ")))
    desk.refused(REFUSED, "has expired", "--allow-expired")
    assert desk.verify("--allow-expired").returncode == 0
    desk.is_taken("--allow-expired")


# signed, and wrong all the same


def first_blob(top: dict[str, Any]) -> dict[str, Any]:
    return max(top["blobs"].values(), key=lambda blob: blob["size"])


def shift(top: dict[str, Any]) -> None:
    first_blob(top)["extents"][0][1] += 512


def drop_layer(top: dict[str, Any]) -> None:
    digest = max(top["blobs"], key=lambda name: top["blobs"][name]["size"])
    del top["blobs"][digest]


def add_blob(top: dict[str, Any]) -> None:
    top["blobs"]["sha256:" + "0" * 64] = {"size": 5, "extents": [[3, 0, 5]]}


def resize(blob: dict[str, Any], by: int) -> None:
    blob["size"] += by
    blob["extents"][0][2] += by


def attachment(top: dict[str, Any]) -> dict[str, Any]:
    return next(image for image in top["images"] if "attachments" in image)["attachments"][0]


EDITS: dict[str, Callable[[dict[str, Any]], object]] = {
    "unknown schema": lambda top: top.update(schema="airgap.catalog/2"),
    "no schema": lambda top: top.pop("schema"),
    "stream like a path": lambda top: top.update(stream="../../etc"),
    "no stream": lambda top: top.pop("stream"),
    "serial as text": lambda top: top.update(serial="1"),
    "negative serial": lambda top: top.update(serial=-1),
    "huge serial": lambda top: top.update(serial=2**53),
    "serial true": lambda top: top.update(serial=True),
    "serial 1.0": lambda top: top.update(serial=1.0),
    "created not a time": lambda top: top.update(created="now"),
    "created out of range": lambda top: top.update(created="0001-01-01T00:00:00+23:00"),
    "expires not a time": lambda top: top.update(expires="2026-13-45T00:00:00Z"),
    "previous not a digest": lambda top: top.update(previous="sha256:../../x"),
    "other block size": lambda top: top.update(block_size=4096),
    "parity": lambda top: top.update(parity=[{"name": "parity-0001.bin"}]),
    "no images": lambda top: top.update(images=[]),
    "no volumes": lambda top: top.update(volumes=[]),
    "volume size nothing fits into": lambda top: top.update(volume_size=0),
    "volume size of one record": lambda top: top.update(volume_size=512),
    "other volume size": lambda top: top.update(volume_size=VOLUME_SIZE + 512),
    "volume named otherwise": lambda top: top["volumes"][0].update(name="../volume-0001.tar"),
    "volume size lies": lambda top: top["volumes"][1].update(size=VOLUME_SIZE // 512 * 512 - 512),
    "volume without blocks": lambda top: top["volumes"][1].update(blocks=[]),
    "volume digest lies": lambda top: top["volumes"][1].update(sha256="0" * 64),
    "volume digest not hex": lambda top: top["volumes"][1].update(sha256="../" * 21 + "x"),
    "blob moved": shift,
    "blob outside its volume": lambda top: first_blob(top)["extents"][0].__setitem__(1, 10**12),
    "blob in volume 9": lambda top: first_blob(top)["extents"][0].__setitem__(0, 9),
    "extent of two numbers": lambda top: first_blob(top)["extents"][0].pop(),
    "extents do not add up": lambda top: first_blob(top)["extents"][0].__setitem__(2, 7),
    "no extents": lambda top: first_blob(top).update(extents=[]),
    "blob size lies": lambda top: first_blob(top).update(size=first_blob(top)["size"] + 1),
    "manifest size lies": lambda top: resize(top["blobs"][top["images"][0]["digest"]], 1),
    "blob name not a digest": lambda top: top["blobs"].update({"sha256:../../etc/passwd": {"size": 1, "extents": [[1, 0, 1]]}}),
    "layer missing": drop_layer,
    "extra blob": add_blob,
    "held blob": lambda top: top["blobs"].update({d: {"size": b["size"], "held": True} for d, b in [*top["blobs"].items()][-1:]}),
    "image of an unknown manifest": lambda top: top["images"][0].update(digest="sha256:" + "1" * 64),
    "image of another size": lambda top: top["images"][0].update(size=1),
    "image of another media type": lambda top: top["images"][1].update(mediaType="application/vnd.oci.image.index.v1+json"),
    "image in no grammar": lambda top: top["images"][0].update(reference="Docker.io/UPPER:1"),
    "image not written in full": lambda top: top["images"][0].update(reference="shop/web:1"),
    "image pinned to another digest": lambda top: top["images"][0].update(reference=f"docker.io/shop/web@sha256:{'2' * 64}"),
    "two images of one name": lambda top: top["images"][1].update(reference=top["images"][0]["reference"]),
    "image in volume 9": lambda top: top["images"][0].update(volumes=[1, 2, 3, 9]),
    "image in no volume": lambda top: top["images"][0].pop("volumes"),
    "attachment of an unknown kind": lambda top: attachment(top).update(kind="magic"),
    "attachment under the name of an image": lambda top: attachment(top).update(tag="1"),
    "attachment of something else": lambda top: attachment(top).update(subject="sha256:" + "3" * 64),
    "attachment dropped": lambda top: next(i for i in top["images"] if "attachments" in i).pop("attachments"),
    "images of a wrong type": lambda top: top.update(images={}),
    "blobs of a wrong type": lambda top: top.update(blobs=[]),
    "volumes of a wrong type": lambda top: top.update(volumes="three"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_signed_catalog_with(desk: Desk, edit: str) -> None:
    desk.made.sender.resign(desk.bundle, EDITS[edit])
    if edit == "volume digest lies":  # import hashes blobs and compares the frame: it does not need the digests of volumes
        failed(desk.verify(), DAMAGED)
        return
    desk.refused(DAMAGED)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b'{"schema":"airgap.catalog/1","schema":"x"}',
        b"[" * 200_000,
        b'{"a":NaN}',
    ],
    ids=["nothing", "cut", "a list", "null", "bytes", "bom", "twice", "deep", "nan"],
)
def test_a_signed_catalog_that_is_not_one(desk: Desk, raw: bytes) -> None:
    desk.made.sender.sign(desk.bundle, raw)
    desk.refused(DAMAGED)
    failed(here("inspect", desk.bundle, "--json"), DAMAGED)


def test_an_ordinary_layer_that_the_catalog_calls_foreign_is_loaded_all_the_same(desk: Desk) -> None:
    layer = max((size.size, digest) for digest, size in catalog_of(desk.bundle).blobs.items())[1]
    desk.made.sender.resign(desk.bundle, lambda top: [image.update(foreign=[layer]) for image in top["images"]])
    desk.is_taken()
    assert (desk.store / "blobs/sha256" / layer.hex).exists()


def test_a_lying_list_of_volumes_with_partial(desk: Desk) -> None:
    desk.made.sender.resign(desk.bundle, lambda top: [image.update(volumes=[1]) for image in top["images"]])
    desk.volume(3).unlink()
    failed(desk.import_("--partial"), DAMAGED, desk.volume(3).name)
    desk.nothing_is_visible()


def test_inspect_shows_what_a_stranger_wrote_without_obeying_it(desk: Desk) -> None:
    desk.made.sender.resign(desk.bundle, lambda top: top["images"][0].update(platforms=["\x1b]0;owned\x07", "\u202egnp.exe"]))
    for options in ((), ("--json",)):
        done = here("inspect", desk.bundle, *options)
        assert done.returncode == 0, done.stderr
        assert "\x1b" not in done.stdout
        assert "\u202e" not in done.stdout


# targets and the site's own state


def test_a_registry_that_is_down(desk: Desk) -> None:
    failed(desk.import_(to=f"docker://127.0.0.1:{free_port()}/mirror"), NETWORK, "refuses connections")
    desk.is_taken()


@pytest.mark.parametrize(
    "target", ["", "docker://", "docker://UPPER CASE/x", "docker://h/UPPER", "oci:", "ftp://h/x", "registry.example:5000"]
)
def test_a_target_that_is_none(desk: Desk, target: str) -> None:
    arguments = [
        "import",
        desk.bundle,
        "--to",
        target,
        "--policy",
        desk.made.sender.policy,
        "--state",
        desk.work / "state",
        "--json",
    ]
    failed(here(*arguments), USAGE)
    failed(here(*arguments, "--map", "rename"), USAGE)


def test_a_store_that_is_something_else(desk: Desk) -> None:
    desk.store.mkdir()
    (desk.store / "holiday.jpg").write_text("not ours")
    before = tree(desk.store)
    failed(desk.import_(), USAGE, "not an OCI image layout", "choose another directory")
    assert tree(desk.store) == before
    failed(desk.import_(to=f"oci:{desk.store}/holiday.jpg"), USAGE, "not an OCI image layout")


def test_a_store_whose_index_is_damaged_stays_as_it_is(desk: Desk) -> None:
    desk.is_taken()
    (desk.store / "index.json").write_text("{")
    failed(desk.import_(bundle=desk.made.newer), DAMAGED, "index.json")
    assert (desk.store / "index.json").read_text() == "{"


def test_a_full_disk_below_the_store(desk: Desk) -> None:
    with small_disk(desk.work / "disk", "60k") as disk:
        failed(desk.import_(to=f"oci:{disk}/store"), MEDIA, "No space left")
        index = disk / "store/index.json"
        assert not index.exists() or json.loads(index.read_bytes())["manifests"] == []


def test_a_read_only_disk_below_the_store(desk: Desk) -> None:
    with small_disk(desk.work / "disk", "1m") as disk:
        make_read_only(disk)
        failed(desk.import_(to=f"oci:{disk}/store"), MEDIA, "Read-only file system")
        assert list(disk.iterdir()) == []


def test_two_images_that_would_get_one_name(desk: Desk) -> None:
    origin = Origin()
    clash = [origin.push(f"{host}/shop/web:1", images.image([images.layer(host)])) for host in ("docker.io", "quay.io")]
    desk.bundle = desk.made.sender.bundle(origin, clash, desk.work / "clash")
    target = f"docker://127.0.0.1:{free_port()}/mirror"
    facts = failed(desk.import_("--map", "strip-host", to=target), USAGE, "the same name", "keep the source host")
    assert all(str(reference) in facts["got"] for reference in clash)


def test_a_platform_that_is_in_no_image(desk: Desk) -> None:
    failed(desk.import_("--platform", "linux/s390x"), REFUSED, "none of the platforms")
    desk.nothing_is_visible()


@pytest.mark.parametrize(
    "content", [b"", b"garbage" * 1000, b"SQLite format 3\0" + bytes(4080)], ids=["empty", "garbage", "header only"]
)
def test_a_damaged_state(desk: Desk, content: bytes) -> None:
    state = desk.work / "state/state.db"
    state.parent.mkdir()
    state.write_bytes(content)
    failed(desk.import_(), REFUSED, "the state is damaged", "backup")
    assert state.read_bytes() == content
    desk.nothing_is_visible()


def test_a_state_of_something_else(desk: Desk) -> None:
    state = desk.work / "state/state.db"
    state.parent.mkdir()
    connection = sqlite3.connect(state)
    connection.execute("CREATE TABLE cookies (name TEXT)")
    connection.commit()
    connection.close()
    failed(desk.import_(), REFUSED, "something else")


def test_a_state_that_cannot_be_written(desk: Desk) -> None:
    with small_disk(desk.work / "state", "1m") as state:
        make_read_only(state)
        failed(desk.import_(), MEDIA, "--state")
    desk.nothing_is_visible()


def test_a_state_that_became_read_only(desk: Desk) -> None:
    with small_disk(desk.work / "state", "1m") as state:
        assert desk.import_(bundle=desk.made.newer).returncode == 0
        before = tree(desk.store)
        make_read_only(state)
        failed(desk.import_(), MEDIA)
        assert tree(desk.store) == before


def test_an_empty_layer_arrives(desk: Desk) -> None:
    origin = Origin()
    empty = images.content(b"", "application/vnd.oci.image.layer.v1.tar")
    name = origin.push("docker.io/shop/empty:1", images.image([empty, images.layer("behind the empty one")]))
    desk.bundle = desk.made.sender.bundle(origin, [name], desk.work / "empty")
    assert desk.verify().returncode == 0
    desk.is_taken()
    assert (desk.store / "blobs/sha256" / empty.descriptor.digest.hex).read_bytes() == b""


def test_bundles_made_at_one_time_are_the_same(desk: Desk) -> None:
    again = desk.made.sender.bundle(desk.made.origin, desk.made.references, desk.work / "again", volume_size=VOLUME_SIZE)
    assert catalog_of(again).created == CREATED
    assert {p.name: p.read_bytes() for p in again.iterdir()} == {p.name: p.read_bytes() for p in desk.made.bundle.iterdir()}
