"""Every way into a bundle knows the keys that the site has revoked, and says when a bundle has expired."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from airgap.format import names
from airgap.format.times import format_time
from tests.support.cli import REFUSED, failed, here
from tests.support.yard import Yard

EXPIRED = "2026-02-01T12:00:00Z"
Door = Callable[[Yard, Path], list[object]]


def source(command: str, *options: object) -> Door:
    def arguments(yard: Yard, bundle: Path) -> list[object]:
        name = f"bundle:{bundle}:docker.io/shop/web:1"
        return [command, name, "--bundle-policy", yard.sender.policy, *options]

    return arguments


def export(yard: Yard, bundle: Path) -> list[object]:
    made = ["--out", yard.work / "made", "--stream", "other", "--key", yard.sender.key]
    return ["export", f"bundle:{bundle}:docker.io/shop/web:1", "--bundle-policy", yard.sender.policy, *made]


def merge(yard: Yard, bundle: Path) -> list[object]:
    made = ["--out", yard.work / "merged", "--stream", "prod", "--key", yard.sender.key]
    return ["merge", bundle, *made, "--policy", yard.sender.policy]


#: Commands that open a bundle and check its signature; each by the policy that trusts the sender.
DOORS: dict[str, Door] = {
    "verify": lambda yard, bundle: ["verify", bundle, "--policy", yard.sender.policy],
    "import": lambda yard, bundle: ["import", bundle, "--to", f"oci:{yard.store}", "--policy", yard.sender.policy],
    "import --dry-run": lambda yard, bundle: [
        "import", bundle, "--to", f"oci:{yard.store}", "--policy", yard.sender.policy, "--dry-run",
    ],
    "serve": lambda yard, bundle: ["serve", bundle, "--policy", yard.sender.policy, "--listen", "127.0.0.1:0"],
    "report": lambda yard, bundle: ["report", bundle, "-o", yard.work / "page.html", "--policy", yard.sender.policy],
    "policy explain": lambda yard, bundle: [
        "policy", "explain", "docker.io/shop/web:1", "--bundle", bundle, "--policy", yard.sender.policy,
    ],
    "merge": merge,
    "resolve": source("resolve", "--lock", "-"),
    "plan": source("plan"),
    "export": export,
}  # fmt: skip
SOURCES = ("resolve", "plan", "export")
#: Runs a command line of ours, and says how often it opened a file.
COUNTED = """
import sys
from airgap.cli.main import run
opened = []
sys.addaudithook(lambda event, args: opened.append(args[0]) if event == "open" and args[0] == sys.argv[1] else None)
run(sys.argv[2:])
print(f"\\nread {len(opened)} times", end="", file=sys.stderr)
"""


@pytest.fixture
def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Yard:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return Yard.make(tmp_path)


def enter(yard: Yard, door: str, bundle: Path, *options: object) -> subprocess.CompletedProcess[str]:
    return here(*DOORS[door](yard, bundle), *options)


@pytest.mark.parametrize("door", DOORS)
def test_a_revoked_key_opens_no_door(yard: Yard, door: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle, state = yard.bundle(1), yard.work / "site"
    state.mkdir(mode=0o700)
    (state / "revoked.txt").write_text(f"{yard.sender.signer.key_id} # lost in a train\n", encoding="ascii")
    failed(enter(yard, door, bundle, "--state", state), REFUSED, "lost in a train")
    failed(enter(yard, door, bundle, "--revoked", state / "revoked.txt"), REFUSED, "lost in a train")
    monkeypatch.setenv("AIRGAP_STATE", str(state))
    failed(enter(yard, door, bundle), REFUSED, "lost in a train")
    assert not yard.store.exists()


@pytest.mark.parametrize("door", [door for door in DOORS if door.partition(" ")[0] not in ("serve", "import", "merge")])
def test_a_catalog_is_read_once_so_that_what_is_vouched_for_is_what_is_used(yard: Yard, door: str) -> None:
    """``serve`` does not end; ``import`` looks once before it waits for its turn, ``merge`` to see which paths belong together."""
    bundle = yard.bundle(1)
    counted = (sys.executable, "-c", COUNTED, str(bundle / names.CATALOG), *map(str, DOORS[door](yard, bundle)))
    done = subprocess.run(counted, capture_output=True, text=True, check=False)
    assert done.stderr.endswith("\nread 1 times"), done.stderr


@pytest.mark.parametrize("door", [door for door in DOORS if door not in ("report", "policy explain", "merge")])
def test_an_expired_bundle_opens_no_door(yard: Yard, door: str) -> None:
    bundle = yard.bundle(1, expires=EXPIRED)
    failed(enter(yard, door, bundle), REFUSED, "has expired")


@pytest.mark.parametrize("door", [door for door in DOORS if door not in ("report", "policy explain", "merge")])
def test_an_expired_bundle_that_is_damaged_as_well_is_refused(yard: Yard, door: str) -> None:
    """What may not enter is not read: who holds it is told so, and is not sent for another copy of it."""
    bundle = yard.bundle(1, expires=EXPIRED)
    (bundle / names.volume_name(1)).write_bytes(b"")
    failed(enter(yard, door, bundle), REFUSED, "has expired")


@pytest.mark.parametrize("door", ["merge", "policy explain", *SOURCES])
def test_an_expired_bundle_is_not_taken_without_a_word(yard: Yard, door: str) -> None:
    bundle = yard.bundle(1, expires=EXPIRED)
    done = enter(yard, door, bundle, *(["--allow-expired-bundles"] if door in SOURCES else []))
    assert done.returncode == 0 or door == "merge", done.stderr  # which wants more than one
    assert f"expired at {EXPIRED}" in done.stderr + done.stdout


@pytest.mark.parametrize("door", SOURCES)
def test_an_expired_bundle_that_nobody_vouches_for_is_not_taken_without_a_word(yard: Yard, door: str) -> None:
    arguments = DOORS[door](yard, yard.bundle(1, expires=EXPIRED))
    at = arguments.index("--bundle-policy")
    done = here(*arguments[:at], "--accept-unverified-bundles", *arguments[at + 2 :])
    assert done.returncode == 0, done.stderr
    assert f"expired at {EXPIRED}" in done.stderr


@pytest.mark.parametrize("door", ["verify", "serve", *SOURCES])
def test_a_clock_set_back_makes_no_expired_bundle_fresh(yard: Yard, door: str) -> None:
    """The site has seen a later time than the clock says now: what had expired by then is expired."""
    now = dt.datetime.now(dt.UTC)
    yard.take_at(now + dt.timedelta(hours=20), yard.bundle(1))
    bundle = yard.bundle(2, expires=format_time(now + dt.timedelta(hours=10)))
    failed(enter(yard, door, bundle, "--state", yard.state), REFUSED, "has expired")
    if door == "verify":
        assert enter(yard, door, bundle).returncode == 0, "this state has seen nothing"


def test_explaining_an_expired_bundle_says_so_to_programs_too(yard: Yard) -> None:
    done = enter(yard, "policy explain", yard.bundle(1, expires=EXPIRED), "--json")
    assert EXPIRED in json.loads(done.stdout)["remarks"][0]
