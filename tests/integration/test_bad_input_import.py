"""Bundles that may not enter, and targets that cannot take them: each case has its exit code and message, and changes nothing."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import sqlite3

import pytest

from airgap.trust.policy.templates import PolicyKey, site_policy
from tests.support import images
from tests.support.bundles import CREATED, Sender, catalog_of, flip
from tests.support.cli import DAMAGED, MEDIA, NETWORK, REFUSED, USAGE, failed, here, tree
from tests.support.desks import VOLUME_SIZE, SiteDesk, free_port
from tests.support.hostile import Hostile
from tests.support.mounts import make_read_only, small_disk
from tests.support.origin import Origin
from tests.support.site import Site
from tests.support.tools import require
from tests.support.trustkit import gpg_home

pytestmark = pytest.mark.slow("a wide matrix of inputs over the whole way")

LATER = "2026-02-28T12:00:00Z"

# the real command, one case of every exit code


@pytest.mark.smoke("import")
def test_the_real_command_fails_the_same_way_and_then_works(site: SiteDesk) -> None:
    machine = Site(site.work / "machine")
    policy, target = ("--policy", site.made.sender.policy), ("--to", f"oci:{site.store}")
    arguments = ["import", site.bundle, "--json"]
    assert failed(machine.run(*arguments, *policy, check=False), USAGE, "--to")
    assert failed(machine.run(*arguments, *target, check=False), REFUSED, "no policy")
    flip(site.volume(2), 1000)
    assert failed(machine.run(*arguments, *target, *policy, check=False), DAMAGED, "volume-0002.tar")
    flip(site.volume(2), 1000)
    site.nothing_is_visible()
    closed = f"docker://127.0.0.1:{free_port()}/mirror"
    assert failed(machine.run(*arguments, "--to", closed, *policy, check=False), NETWORK, "refuses connections")
    (machine.root / "taken").write_text("a file where the state should be")
    assert failed(machine.run(*arguments, *target, *policy, state="taken", check=False), MEDIA, "taken")
    assert machine.run(*arguments, *target, *policy).returncode == 0


# trust


def test_no_policy_says_how_to_write_one(site: SiteDesk) -> None:
    for command in (["verify", site.bundle, "--json"], ["import", site.bundle, "--to", f"oci:{site.store}", "--json"]):
        failed(here(*command), REFUSED, "no policy says which bundles to trust", "airgap policy init")
    assert not site.store.exists()


def test_a_policy_that_was_found_and_accepts_everything_does_not_count(site: SiteDesk) -> None:
    found = site.work / "home/.config/containers/policy.json"
    found.parent.mkdir(parents=True)
    found.write_text('{"default":[{"type":"insecureAcceptAnything"}]}')
    failed(here("verify", site.bundle, "--json"), REFUSED, "no policy says which bundles to trust")
    found.write_text(site.made.sender.policy.read_text())
    done = here("verify", site.bundle)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("text", "code"),
    [("", USAGE), ("{", USAGE), ('{"default":[]}', USAGE), ('{"default":[{"type":"reject"}]}', REFUSED), (None, USAGE)],
    ids=["empty", "cut", "no requirement", "rejects", "missing"],
)
def test_a_policy_that_does_not_accept(site: SiteDesk, text: str | None, code: int) -> None:
    policy = site.work / "policy.json"
    if text is not None:
        policy.write_text(text)
    site.refused(code, policy=policy)


def test_the_wrong_key_names_both(site: SiteDesk) -> None:
    stranger = Sender.make(site.work / "stranger")
    facts = site.refused(
        REFUSED, "no accepted key made it: the file is named after another key", "airgap sign", policy=stranger.policy
    )
    assert stranger.signer.key_id in facts["expected"]
    assert site.made.sender.signer.key_id in facts["got"]


def test_a_key_file_that_is_gone(site: SiteDesk) -> None:
    policy = site.work / "policy.json"
    policy.write_text(json.dumps(site_policy([PolicyKey(path=str(site.work / "gone.pub"))])))
    site.refused(REFUSED, "gone.pub", policy=policy)


def test_a_policy_for_another_stream(site: SiteDesk) -> None:
    policy = site.work / "policy.json"
    policy.write_text(json.dumps(site_policy([PolicyKey(path=str(site.made.sender.root / "sender.pub"))], stream="staging")))
    site.refused(REFUSED, policy=policy)


def test_two_signatures_wanted_and_one_there(site: SiteDesk) -> None:
    second = Sender.make(site.work / "second")
    policy = site.work / "policy.json"
    policy.write_text(json.dumps(site_policy([PolicyKey(path=str(one.root / "sender.pub")) for one in (site.made.sender, second)])))
    site.refused(REFUSED, second.signer.key_id, policy=policy)
    assert here("sign", site.bundle, "--key", second.key).returncode == 0
    assert site.verify(policy=policy).returncode == 0


def test_an_unsigned_bundle(site: SiteDesk) -> None:
    next(site.bundle.glob("*.sig")).unlink()
    site.refused(REFUSED, "no signature at all")


def test_a_signature_over_another_catalog(site: SiteDesk) -> None:
    signature = next(site.bundle.glob("*.sig"))
    shutil.copy(site.made.newer / signature.name, signature)
    site.refused(REFUSED, "not a signature of these bytes")


def test_a_good_signature_under_a_name_that_is_none(site: SiteDesk) -> None:
    signature = next(site.bundle.glob("*.sig"))
    signature.rename(signature.with_name("catalog.json.sig"))
    site.refused(REFUSED, "no signature at all")


def test_gpg_signs_and_verifies_and_another_gpg_key_does_not(site: SiteDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    require("gpg")
    with gpg_home() as home:
        monkeypatch.setenv("GNUPGHOME", str(home.path))
        ours, theirs = home.new_key("ours"), home.new_key("theirs")
        for name, fingerprint in (("ours", ours), ("theirs", theirs)):
            (site.work / f"{name}.asc").write_bytes(home.export(fingerprint))
            init = ["policy", "init", "--key", site.work / f"{name}.asc", "-o", site.work / f"{name}.json"]
            assert here(*init).returncode == 0
        origin = Origin()
        with Hostile(origin.answer) as server:
            origin.push(f"{server.address}/shop/web:1", images.multi_arch("gpg"))
            (site.work / "list").write_text(f"{server.address}/shop/web:1\n")
            fixed = ["--out", site.work / "gpg", "--stream", "prod", "--state", site.work / "exporter"]
            done = here("export", site.work / "list", *fixed, "--key", f"gpg:{ours}")
        assert done.returncode == 0, done.stderr
    site.bundle = site.work / "gpg/prod-0001"
    site.refused(REFUSED, theirs[-16:].lower(), policy=site.work / "theirs.json")
    site.refused(REFUSED, site.made.sender.signer.key_id)
    ours_policy = site.work / "ours.json"
    armor = next(site.bundle.glob("*.asc"))
    size = armor.stat().st_size
    for position in (0, size // 3, size // 2, size - 40, size - 1):
        flip(armor, position)
        site.refused(REFUSED, policy=ours_policy)
        flip(armor, position)
    assert site.verify(policy=ours_policy).returncode == 0
    done = site.import_(policy=ours_policy)
    assert done.returncode == 0, done.stderr


# serials and expiry


def test_an_older_serial_unless_it_is_allowed(site: SiteDesk) -> None:
    assert site.import_(bundle=site.made.newer).returncode == 0
    before = tree(site.store)
    failed(site.import_(), REFUSED, "is older than the newest one imported here", "--allow-older")
    assert tree(site.store) == before
    site.is_taken("--allow-older")
    failed(site.import_(), REFUSED, "is older than the newest one imported here")


def test_the_same_serial_with_another_catalog(site: SiteDesk) -> None:
    site.is_taken()
    before = tree(site.store)
    site.made.sender.resign(site.bundle, lambda top: top.update(created=LATER))
    for options in ((), ("--allow-older",), ("--allow-expired",)):
        failed(site.import_(*options), REFUSED, "serial 1", "a serial is used only once")
    assert tree(site.store) == before


def test_a_refusal_is_remembered(site: SiteDesk) -> None:
    assert site.import_(bundle=site.made.newer).returncode == 0
    failed(site.import_(), REFUSED)
    connection = sqlite3.connect(site.work / "state/state.db")
    rows = connection.execute("SELECT event, serial FROM history ORDER BY id").fetchall()
    connection.close()
    assert rows == [("import", 2), ("refused", 1)]


def test_an_expired_bundle_unless_it_is_allowed(site: SiteDesk) -> None:
    yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    site.made.sender.resign(site.bundle, lambda top: top.update(expires=yesterday.strftime("%Y-%m-%dT%H:%M:%SZ")))
    site.refused(REFUSED, "has expired", "--allow-expired")
    assert site.verify("--allow-expired").returncode == 0
    site.is_taken("--allow-expired")


# targets and the site's own state


def test_a_registry_that_is_down(site: SiteDesk) -> None:
    failed(site.import_(to=f"docker://127.0.0.1:{free_port()}/mirror"), NETWORK, "refuses connections")
    site.is_taken()


@pytest.mark.parametrize(
    "target", ["", "docker://", "docker://UPPER CASE/x", "docker://h/UPPER", "oci:", "ftp://h/x", "registry.example:5000"]
)
def test_a_target_that_is_none(site: SiteDesk, target: str) -> None:
    arguments = [
        "import",
        site.bundle,
        "--to",
        target,
        "--policy",
        site.made.sender.policy,
        "--state",
        site.work / "state",
        "--json",
    ]
    failed(here(*arguments), USAGE)
    failed(here(*arguments, "--map", "rename"), USAGE)


def test_a_store_that_is_something_else(site: SiteDesk) -> None:
    site.store.mkdir()
    (site.store / "holiday.jpg").write_text("not private")
    before = tree(site.store)
    failed(site.import_(), USAGE, "not an OCI image layout", "choose another directory")
    assert tree(site.store) == before
    failed(site.import_(to=f"oci:{site.store}/holiday.jpg"), USAGE, "not an OCI image layout")


def test_a_store_whose_index_is_damaged_stays_as_it_is(site: SiteDesk) -> None:
    site.is_taken()
    (site.store / "index.json").write_text("{")
    failed(site.import_(bundle=site.made.newer), DAMAGED, "index.json")
    assert (site.store / "index.json").read_text() == "{"


def test_a_full_disk_below_the_store(site: SiteDesk) -> None:
    with small_disk(site.work / "disk", "60k") as disk:
        failed(site.import_(to=f"oci:{disk}/store"), MEDIA, "No space left")
        index = disk / "store/index.json"
        assert not index.exists() or json.loads(index.read_bytes())["manifests"] == []


def test_a_read_only_disk_below_the_store(site: SiteDesk) -> None:
    with small_disk(site.work / "disk", "1m") as disk:
        make_read_only(disk)
        failed(site.import_(to=f"oci:{disk}/store"), MEDIA, "Read-only file system")
        assert list(disk.iterdir()) == []


def test_two_images_that_would_get_one_name(site: SiteDesk) -> None:
    origin = Origin()
    clash = [origin.push(f"{host}/shop/web:1", images.image([images.layer(host)])) for host in ("docker.io", "quay.io")]
    site.bundle = site.made.sender.bundle(origin, clash, site.work / "clash")
    target = f"docker://127.0.0.1:{free_port()}/mirror"
    facts = failed(
        site.import_("--map", "strip-host", to=target), USAGE, "two source repositories would share", "keep the source host"
    )
    assert all(str(reference.repository) in facts["got"] for reference in clash)


def test_a_platform_that_is_in_no_image(site: SiteDesk) -> None:
    failed(site.import_("--platform", "linux/s390x"), REFUSED, "none of the requested platforms")
    site.nothing_is_visible()


@pytest.mark.parametrize(
    "content", [b"", b"garbage" * 1000, b"SQLite format 3\0" + bytes(4080)], ids=["empty", "garbage", "header only"]
)
def test_a_damaged_state(site: SiteDesk, content: bytes) -> None:
    state = site.work / "state/state.db"
    state.parent.mkdir()
    state.write_bytes(content)
    failed(site.import_(), REFUSED, "the state is damaged", "backup")
    assert state.read_bytes() == content
    site.nothing_is_visible()


def test_a_state_of_something_else(site: SiteDesk) -> None:
    state = site.work / "state/state.db"
    state.parent.mkdir()
    connection = sqlite3.connect(state)
    connection.execute("CREATE TABLE cookies (name TEXT)")
    connection.commit()
    connection.close()
    failed(site.import_(), REFUSED, "another program's database")


def test_a_state_that_cannot_be_written(site: SiteDesk) -> None:
    with small_disk(site.work / "state", "1m") as state:
        make_read_only(state)
        failed(site.import_(), MEDIA, "--state")
    site.nothing_is_visible()


def test_a_state_that_became_read_only(site: SiteDesk) -> None:
    with small_disk(site.work / "state", "1m") as state:
        assert site.import_(bundle=site.made.newer).returncode == 0
        before = tree(site.store)
        make_read_only(state)
        failed(site.import_(), MEDIA)
        assert tree(site.store) == before


def test_an_empty_layer_arrives(site: SiteDesk) -> None:
    origin = Origin()
    empty = images.content(b"", "application/vnd.oci.image.layer.v1.tar")
    name = origin.push("docker.io/shop/empty:1", images.image([empty, images.layer("behind the empty one")]))
    site.bundle = site.made.sender.bundle(origin, [name], site.work / "empty")
    assert site.verify().returncode == 0
    site.is_taken()
    assert (site.store / "blobs/sha256" / empty.descriptor.digest.hex).read_bytes() == b""


def test_bundles_made_at_one_time_are_the_same(site: SiteDesk) -> None:
    again = site.made.sender.bundle(site.made.origin, site.made.references, site.work / "again", volume_size=VOLUME_SIZE)
    assert catalog_of(again).created == CREATED
    assert {p.name: p.read_bytes() for p in again.iterdir()} == {p.name: p.read_bytes() for p in site.made.bundle.iterdir()}
