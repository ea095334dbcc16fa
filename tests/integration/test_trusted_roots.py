"""A trusted root crosses the gap: carried by a bundle, followed from the root that the site has pinned, installed by a word."""

from __future__ import annotations

import datetime as dt
import json
import os
import pty
import sqlite3
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from airgap.documents.tufrepository import CarriedRepository
from airgap.exporter.seal import write_signatures
from airgap.format import names
from airgap.format.catalog import Catalog
from airgap.limits import MAX_TUF_FILE
from airgap.oci.digest import Digest
from airgap.trust.sigstore.tuftrust import TIMESTAMP
from tests.support import trustedroots
from tests.support.bundles import Sender
from tests.support.cli import DAMAGED, NETWORK, REFUSED, USAGE, failed, here, tree
from tests.support.confidential import Reader
from tests.support.hostile import Hostile, Reply, Request
from tests.support.privateca import PrivateCa
from tests.support.rootworld import World
from tests.support.tufrepository import TufRepository, written

NEWER = trustedroots.root([trustedroots.log("rekor.example", end="2026-01-01T00:00:00Z"), trustedroots.log("rekor2.example")])


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return World.make(tmp_path)


@pytest.mark.smoke("trust pin", "trust update", "trust show")
def test_three_rotations_cross_the_gap_in_one_bundle(world: World) -> None:
    assert world.pin().returncode == 0
    first = world.updated(world.bundle())
    assert (first["root_version"], [one["change"] for one in first["root_changes"]]) == (1, ["added"])
    for _ in range(3):
        world.instance.rotate()
    world.instance.publish(NEWER)
    facts = world.updated(world.bundle(serial=2))
    assert (facts["root_version_before"], facts["root_version"], facts["installed"]) == (1, 4, True)
    assert [(one["change"], one["part"], one["name"]) for one in facts["root_changes"]] == [
        ("added", "log", "https://rekor2.example"),
        ("ended", "log", "https://rekor.example"),
    ]
    shown = world.shown()
    assert (shown["root_version"], shown["age_days"], [one["ends"] for one in shown["parts"]]) == (
        4,
        0,
        ["2026-01-01T00:00:00Z", None],
    )
    history = json.loads(here("history", "--state", world.state, "--json").stdout)["history"]
    assert [(one["event"], one["outcome"]) for one in history] == [
        ("trust", "pinned root version 1"),
        ("trust", "installed root version 1: 1 change"),
        ("trust", "installed root version 4: 2 changes"),
    ]


def test_what_would_change_is_shown_and_nothing_is_installed_without_the_word(world: World) -> None:
    world.pin()
    bundle = world.bundle()
    done = world.update(bundle, options=())
    assert done.returncode == 0
    assert "+ added      log https://rekor.example" in done.stdout
    assert done.stdout.endswith("not changed  nothing was installed: repeat it with --yes\n")
    assert not world.shown()["installed"]
    assert not json.loads(world.update(bundle, options=("--json",)).stdout)["installed"]


@pytest.mark.parametrize(("answer", "installed"), [("y", True), ("n", False)])
def test_at_a_terminal_the_operator_is_asked(world: World, answer: str, installed: bool) -> None:
    world.pin()
    command = [sys.executable, "-m", "airgap", "trust", "update", str(world.bundle()), "--policy", str(world.sender.policy)]
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    done = subprocess.run([*command, "--state", str(world.state)], stdin=theirs, capture_output=True, text=True, check=True)
    os.close(theirs)
    os.close(ours)
    assert "+ added      log https://rekor.example" in done.stderr
    assert "install it?" in done.stderr
    assert world.shown()["installed"] is installed


def test_without_a_pinned_root_nothing_is_believed(world: World) -> None:
    failed(world.update(world.bundle()), REFUSED, "no root is pinned", "airgap trust pin")
    assert not world.shown()["installed"]


def test_the_bundle_must_be_signed_by_whom_the_policy_trusts(world: World) -> None:
    world.pin()
    stranger = Sender.make(world.work / "stranger")
    done = here("trust", "update", world.bundle(), "--policy", stranger.policy, "--state", world.state, "--yes")
    failed(done, REFUSED)
    assert not world.shown()["installed"]


def test_metadata_counts_as_of_the_day_on_which_the_bundle_was_made(world: World) -> None:
    """A week later the timestamp has expired, and the bundle is still on its way."""
    world.pin()
    day = world.instance.now - dt.timedelta(days=30)
    world.instance.now = day
    world.instance.stamp()
    failed(world.export("--json"), REFUSED, "the metadata of the trusted root has expired", TIMESTAMP)
    world.instance.now = day + dt.timedelta(days=30)
    world.instance.stamp()
    bundle = world.bundle("--created", trustedroots.later(-3))
    world.instance.files = {name: raw for name, raw in world.instance.files.items() if name != TIMESTAMP}
    facts = world.updated(bundle)
    assert facts["current"] == trustedroots.later(-3)[:10] + facts["current"][10:]
    assert world.shown()["age_days"] in (2, 3)


def resealed(world: World, directory: Path, files: dict[str, bytes]) -> Path:
    """A bundle by the trusted sender, whose machine an enemy has: it carries these files."""
    raw = CarriedRepository("https://enemy.example", files).to_bytes()
    (directory / names.TRUSTED_ROOT).write_bytes(raw)
    catalog = Catalog.from_bytes((directory / names.CATALOG).read_bytes())
    changed = Catalog(**{**vars(catalog), "trusted_root": Digest.of(raw)}).to_bytes()
    (directory / names.CATALOG).write_bytes(changed)
    write_signatures(directory, changed, [world.sender.signer])
    return directory


def enemy_files(world: World, attack: str) -> dict[str, bytes]:
    """What the enemy carries, once version 2 is installed."""
    here_, old = world.instance, world.instance.copy()
    if attack == "rollback":
        return dict(old.files)
    if attack == "fork":
        fork = old.copy()
        fork.files.pop("2.root.json")
        fork.root.version = 1
        fork.rotate()
        fork.publish(NEWER)
        return dict(fork.files)
    if attack == "wrong threshold":
        here_.rotate(sign=1)
    if attack == "expired timestamp":
        here_.publish(NEWER, days=-1)
    if attack == "expired root":
        here_.rotate(days=-1)
    if attack == "another instance":
        return dict(TufRepository().files)
    return dict(here_.files)


@pytest.mark.parametrize(
    ("attack", "says"),
    [
        ("rollback", "not the version that must follow"),
        ("fork", "a fork: another root of version 2"),
        ("wrong threshold", "not signed by enough of the keys"),
        ("expired timestamp", "has expired"),
        ("expired root", "has expired"),
        ("another instance", "a fork: another root of version 1"),
    ],
)
def test_what_a_signed_bundle_carries_is_refused_and_the_former_root_stays(world: World, attack: str, says: str) -> None:
    world.pin()
    world.instance.rotate()
    before = world.instance.copy()
    world.instance.publish(trustedroots.plain())
    world.updated(world.bundle())
    installed = world.shown()
    source = World(world.work, world.sender, before) if attack == "rollback" else world
    bundle = resealed(world, world.bundle(serial=2), enemy_files(source, attack))
    failed(world.update(bundle), REFUSED, says)
    assert world.shown() == installed


def test_the_carried_file_is_the_one_in_the_signed_catalog(world: World) -> None:
    world.pin()
    bundle = world.bundle()
    path = bundle / names.TRUSTED_ROOT
    good = path.read_bytes()
    path.write_bytes(good.replace(b'"source":"', b'"source":"x'))
    failed(world.update(bundle), DAMAGED, "not the one in the signed catalog")
    facts = failed(here("verify", bundle, "--policy", world.sender.policy, "--state", world.state, "--json"), DAMAGED)
    assert facts["error"] == "trusted-root.json does not agree with the signed catalog"
    path.unlink()
    failed(world.update(bundle), DAMAGED, "the carried trusted root is missing")
    assert here("verify", bundle, "--policy", world.sender.policy, "--state", world.state).returncode == 0
    path.write_bytes(good)
    assert world.updated(bundle)["installed"]


def test_a_bundle_that_carries_none_is_a_mistake(world: World) -> None:
    world.pin()
    fixed = ["--out", world.work / "usb", "--stream", "prod", "--key", world.sender.key, "--state", world.work / "exporter"]
    assert here("export", f"oci:{world.work / 'source'}", *fixed).returncode == 0
    failed(world.update(world.work / "usb/prod-0001"), USAGE, "carries no trusted root", "--carry-root")


def test_a_carried_root_disturbs_neither_images_nor_receipts_and_copies_bring_it(world: World) -> None:
    bundle = world.bundle()
    store = f"oci:{world.work / 'store'}"
    done = here("import", bundle, "--to", store, "--policy", world.sender.policy, "--state", world.state, "--json")
    assert [one["source"] for one in json.loads(done.stdout)["names"]] == ["origin.example/shop/web:1"]
    disk = world.work / "disk"
    disk.mkdir()
    assert here("media", "copy", bundle, disk).returncode == 0
    assert (disk / "prod-0001" / names.TRUSTED_ROOT).read_bytes() == (bundle / names.TRUSTED_ROOT).read_bytes()
    assert here("media", "check", disk).returncode == 0
    assert "carries      trusted-root.json" in here("inspect", disk).stdout
    world.pin()
    assert world.updated(disk)["installed"]


def test_an_encrypted_bundle_carries_it_for_the_sites_that_can_read_it(world: World) -> None:
    reader = Reader.make(world.work / "reader")
    done = world.export("--encrypt-to", reader.public, "--json")
    assert done.returncode == 0, done.stderr
    bundle = Path(json.loads(done.stdout)["path"])
    world.pin()
    failed(world.update(bundle), REFUSED, "encrypted")
    done = world.update(bundle, options=("--yes", "--decrypt-key", reader.private))
    assert done.returncode == 0, done.stderr
    assert world.shown()["installed"]


def test_the_same_root_again_makes_no_new_bundle_and_another_one_does(world: World) -> None:
    first = json.loads(world.export("--json").stdout)
    again = json.loads(world.export("--json").stdout)
    assert (first["serial"], again["serial"], again["unchanged"]) == (1, 1, True)
    world.instance.stamp()
    assert json.loads(world.export("--json").stdout)["serial"] == 2


def test_a_copy_of_the_repository_is_taken_as_it_is_today(world: World) -> None:
    world.pin()
    mirror = world.instance.write(world.work / "mirror")
    assert world.updated(mirror)["source"] == str(mirror)
    apart = world.work / "apart"
    for name, raw in world.instance.files.items():
        written({name: raw}, apart if name.startswith("targets/") else apart / "metadata")
    assert world.updated(apart)["installed"]
    world.instance.stamp(days=-1)
    failed(world.update(world.instance.write(mirror)), REFUSED, "has expired", TIMESTAMP)


def test_the_copy_is_read_without_following_links(world: World) -> None:
    world.pin()
    mirror = world.instance.write(world.work / "mirror")
    (mirror / "1.root.json").rename(world.work / "elsewhere.json")
    (mirror / "1.root.json").symlink_to(world.work / "elsewhere.json")
    failed(world.update(mirror), DAMAGED, "not a regular file")


def test_pinning_again_is_done_already_and_another_root_needs_the_word(world: World) -> None:
    assert not json.loads(world.pin(1, "--json").stdout)["already_there"]
    assert json.loads(world.pin(1, "--json").stdout)["already_there"]
    other = World(world.work, world.sender, TufRepository())
    failed(other.pin(), USAGE, "a root is pinned already", "--replace")
    assert other.pin(1, "--replace").returncode == 0
    assert not other.shown()["installed"]


def test_nothing_leads_back_to_a_root_that_the_site_has_left_behind(world: World) -> None:
    world.pin()
    world.instance.rotate()
    world.instance.publish(trustedroots.plain())
    world.updated(world.bundle())
    failed(world.pin(1, "--replace"), REFUSED, "the site has gone beyond this root")
    assert world.shown()["root_version"] == 2


@pytest.mark.parametrize("content", [b"", b"{}", b"nothing"])
def test_what_is_no_root_is_not_pinned(world: World, content: bytes) -> None:
    path = world.work / "none.json"
    path.write_bytes(content)
    failed(here("trust", "pin", path, "--state", world.state), REFUSED)
    assert world.shown()["root_version"] is None


def test_a_write_that_fails_leaves_the_former_root(world: World) -> None:
    world.pin()
    world.updated(world.bundle())
    before = world.shown()
    world.instance.rotate()
    world.instance.publish(NEWER)
    bundle = world.bundle(serial=2)
    with sqlite3.connect(world.state / "state.db") as database:  # the second half of what is written at once does not succeed
        database.execute("CREATE TRIGGER full BEFORE INSERT ON history BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    database.close()
    assert world.update(bundle).returncode != 0
    with sqlite3.connect(world.state / "state.db") as database:
        database.execute("DROP TRIGGER full")
    database.close()
    assert world.shown() == before
    assert world.updated(bundle)["root_version"] == 2


@pytest.mark.parametrize("absent", [403, 404])
def test_a_repository_on_the_web_is_carried_and_nobody_is_logged_in_there(world: World, absent: int) -> None:
    ca, files = PrivateCa(world.work / "ca"), world.instance.files
    world.instance.rotate()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*ca.issue("server"))
    (world.work / "certs").mkdir()
    (world.work / "certs/ca.crt").write_bytes(ca.file.read_bytes())

    def app(request: Request) -> Reply:
        raw = files.get(request.path.removeprefix("/tuf/"))
        return Reply(absent) if raw is None else Reply(200, raw)

    with Hostile(app, tls) as server:
        certs = ("--cert-dir", f"{server.address}={world.work / 'certs'}")
        done = world.export(*certs, "--json", root=f"{server.url}/tuf/")
        assert done.returncode == 0, done.stderr
        assert not [one for one in server.requests if "authorization" in {name.lower() for name in one.headers}]
        files["3.root.json"] = b" " * (MAX_TUF_FILE + 1)
        failed(world.export(*certs, root=f"{server.url}/tuf"), NETWORK)
        failed(world.export(root=f"{server.url}/tuf"), NETWORK, "certificate")
    world.pin()
    facts = world.updated(json.loads(done.stdout)["path"])
    assert (facts["root_version"], facts["source"]) == (2, f"prod-0001, which has it from {server.url}/tuf")


def test_an_exporter_is_told_what_does_not_fit_together_before_media_travel(world: World) -> None:
    world.instance.rotate(sign=1)
    failed(world.export(), REFUSED, "not signed by enough of the keys", "2.root.json")
    failed(world.export(root=world.work / "empty"), USAGE, "not a TUF repository")
    failed(world.export(root="http://tuf.example"), USAGE, "not an https URL", hint=False)
    assert tree(world.work / "usb") == {} or not (world.work / "usb").exists()
