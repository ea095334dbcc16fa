"""Every import that has begun is in the history, however it ended: refused, failed, interrupted, killed."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import sqlite3
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from airgap.oci.digest import Digest
from airgap.state import Beginning, State
from tests.support.bundles import Sender
from tests.support.cli import DAMAGED, REFUSED, Words, failed, here
from tests.support.crash import crasher
from tests.support.drops import Drop, kinds
from tests.support.yard import Yard

pytestmark = pytest.mark.slow("commands are killed")
INTERRUPTED = 130


@pytest.fixture
def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Yard:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return Yard.make(tmp_path)


def told(state: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(here("history", "--state", state, "--json").stdout)["history"]
    return found


def short(state: Path) -> list[tuple[str, str, int, int]]:
    return [(one["event"], one["stream"], one["serial"], one["exit_code"]) for one in told(state)]


def test_a_failed_import_is_kept_with_reason_exit_code_and_target(yard: Yard) -> None:
    bundle = yard.bundle(1)
    (bundle / "volume-0001.tar").unlink()
    failed(yard.take(bundle), DAMAGED, "is missing")
    (event,) = told(yard.state)
    assert (event["event"], event["stream"], event["serial"], event["exit_code"]) == ("failed", "prod", 1, DAMAGED)
    assert event["target"] == f"oci:{yard.store}"
    assert "volume 1 of 1 (volume-0001.tar) is missing" in event["outcome"]
    assert "1 image cannot be loaded: docker.io/shop/web:1" in event["reason"]
    assert "(exit code 4)" in here("history", "--state", yard.state).stdout


def test_a_bundle_without_a_catalog_is_kept_without_a_name(yard: Yard) -> None:
    bundle = yard.bundle(1)
    (bundle / "catalog.json").unlink()
    failed(yard.take(bundle), DAMAGED, "the catalog is missing")
    assert short(yard.state) == [("failed", "", 0, DAMAGED)]
    assert "failed    -  oci:" in here("history", "--state", yard.state).stdout


def test_a_refused_bundle_whose_signature_does_not_hold_has_no_name(yard: Yard) -> None:
    bundle = yard.bundle(1)
    stranger = Sender.make(yard.work / "stranger")
    failed(yard.take(bundle, policy=stranger.policy), REFUSED)
    assert short(yard.state) == [("refused", "", 0, REFUSED)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_import_that_a_signal_ends_is_kept_as_interrupted(yard: Yard, number: signal.Signals) -> None:
    bundle = yard.bundle(1)
    fixed: Words = ["--policy", yard.sender.policy, "--state"]
    with crasher(yard.work / "home") as driver:
        at = "before write at target #1"
        ended = driver.crash(at, "import", bundle, "--to", f"oci:{yard.store}", *fixed, yard.state, number=number)
        assert ended.returncode in (INTERRUPTED, -number)
    for _ in range(2):
        (event,) = told(yard.state)
        assert (event["event"], event["stream"], event["serial"], event["exit_code"]) == ("interrupted", "prod", 1, INTERRUPTED)
        assert event["target"] == f"oci:{yard.store}"
    yard.takes(bundle)
    assert [one[0] for one in short(yard.state)] == ["interrupted", "import"]
    assert list((yard.state / "underway").iterdir()) == []


def test_an_import_that_runs_is_not_taken_for_a_dead_one(yard: Yard) -> None:
    with State(yard.state) as one:
        beginning = Beginning("2026-01-31T12:00:00Z", "prod", 1, str(Digest.of(b"")), "oci:/a")
        with one.underway.noted(beginning):
            assert told(yard.state) == []
        assert told(yard.state) == []


def test_a_note_without_its_file_is_of_a_dead_import_and_a_file_without_a_note_goes(yard: Yard) -> None:
    """A state that was copied, and a command that was killed while it made its note."""
    beginning = Beginning("2026-01-31T12:00:00Z", "prod", 1, str(Digest.of(b"")), "oci:/a")
    with State(yard.state) as one, one.underway.noted(beginning):
        (file,) = (yard.state / "underway").iterdir()
        file.rename(yard.state / "underway" / "0")
    assert short(yard.state) == []
    assert list((yard.state / "underway").iterdir()) == []
    with State(yard.state) as one:
        raw = json.dumps(asdict(beginning))
        with contextlib.closing(sqlite3.connect(yard.state / "state.db")) as database, database:
            database.execute("INSERT INTO memory VALUES ('underway 1', ?)", (raw,))
    shutil.rmtree(yard.state / "underway")
    assert short(yard.state) == [("interrupted", "prod", 1, INTERRUPTED)]
    assert short(yard.state) == [("interrupted", "prod", 1, INTERRUPTED)]
    assert list((yard.state / "underway").iterdir()) == []


def test_watch_keeps_its_attempts_too_and_a_repeated_failure_once(tmp_path: Path, yard: Yard) -> None:
    drop = Drop(tmp_path / "site", yard.sender)
    drop.put_bundle(yard.bundle(1))
    closed = "docker://localhost:1/mirror"
    for _ in range(2):
        events = drop.once(code=5, to=closed)
        assert kinds(events, "failed") == [("failed", "prod-0001")]
    assert {one[0] for one in short(drop.state)} == {"failed"}
    drop.once()
    assert short(drop.state)[-1] == ("import", "prod", 1, 0)
