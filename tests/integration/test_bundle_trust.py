"""Attacks with bundles that are signed well: replay, freeze, fast-forward, forks, a deleted memory. See docs/threats.md."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import pytest

from airgap.errors import Refused
from airgap.format.times import format_time, parse_time
from airgap.state import State
from tests.support import images
from tests.support.bundles import CREATED
from tests.support.cli import DAMAGED, REFUSED, USAGE, failed, here
from tests.support.yard import Yard, claim

pytestmark = pytest.mark.slow("runs whole exports and imports against real registries")

NOW = dt.datetime.now(dt.UTC)
YEAR = dt.timedelta(days=365)


@pytest.fixture
def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Yard:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return Yard.make(tmp_path)


# rollback


def test_rollback_replay_of_an_older_bundle_is_refused(yard: Yard) -> None:
    four, five = yard.bundle(4), yard.bundle(5)
    yard.takes(five)
    yard.refuses(four, "is older than the newest one imported here", "--allow-older")
    assert yard.takes(five)["already_there"]
    assert "serial 5" in yard.takes(four, "--allow-older")["remarks"][0]
    yard.refuses(four, "is older than the newest one imported here")
    with State(yard.state) as state:
        assert [event.event for event in state.history()] == ["import", "refused", "import", "import", "refused"]
        assert "--allow-older" in state.history()[3].reason


def test_rollback_into_a_second_target_is_refused_too(yard: Yard) -> None:
    four = yard.bundle(4)
    yard.takes(yard.bundle(5))
    failed(yard.take(four, to=f"oci:{yard.work}/second"), REFUSED, "is older than the newest one imported here")
    assert not (yard.work / "second").exists()


def test_rollback_after_a_partial_import_is_refused(yard: Yard) -> None:
    old = yard.bundle(1)
    yard.references.append(yard.origin.push("docker.io/shop/large:1", images.image([images.layer("large", 60_000)])))
    new = yard.bundle(2, volume_size=20_000)
    sorted(new.glob("volume-*"))[-1].unlink()
    assert yard.takes(new, "--partial")["left_out"] == ["docker.io/shop/large:1"]
    yard.refuses(old, "is older than the newest one imported here")


def test_rollback_by_a_second_bundle_of_a_serial_is_refused_even_when_older_ones_are_allowed(yard: Yard) -> None:
    four = yard.bundle(4)
    yard.takes(four)
    yard.takes(yard.bundle(5))
    yard.sender.resign(four, claim(tool="another"))
    yard.refuses(four, "another bundle with serial 4", options=("--allow-older",))


def test_rollback_after_the_memory_was_deleted_fails_closed(yard: Yard) -> None:
    four, five = yard.bundle(4), yard.bundle(5)
    yard.takes(five)
    (yard.state / "state.db").unlink()
    for bundle in (four, five):
        failed(yard.take(bundle), REFUSED, "is gone", "--init-state")
    failed(here("history", "--state", yard.state, "--json"), REFUSED, "is gone")
    yard.takes(five, "--init-state")
    yard.refuses(four, "is older than the newest one imported here", options=("--init-state",))
    with State(yard.state) as state:
        assert [event.event for event in state.history()] == ["state", "import", "refused"]


# fast-forward


@pytest.mark.parametrize("serial", [1_000_003, 2**53 - 1])
def test_fast_forward_to_a_huge_serial_is_refused_and_the_memory_stays(yard: Yard, serial: int) -> None:
    yard.takes(yard.bundle(1))
    huge = yard.bundle(2, claim(serial=serial))
    yard.refuses(huge, "far ahead", "--allow-jump")
    shutil.rmtree(huge)
    yard.takes(yard.bundle(2))


@pytest.mark.parametrize("serial", [2**53, 2**63 - 1])
def test_fast_forward_beyond_what_a_serial_can_be_is_damage(yard: Yard, serial: int) -> None:
    yard.takes(yard.bundle(1))
    yard.refuses(yard.bundle(2, claim(serial=serial)), "not a valid number", code=DAMAGED)


# freeze


def test_freeze_an_expired_bundle_is_refused_and_so_is_the_clock_set_back(yard: Yard) -> None:
    old = yard.bundle(1, expires=format_time(NOW - dt.timedelta(days=100)))
    yard.refuses(old, "has expired", "--allow-expired")
    yard.takes(yard.bundle(2))
    before = yard.remembered()
    for allowed in (False, True):
        with pytest.raises(Refused) as caught:
            yard.take_at(NOW - YEAR, old, allow_older=True, allow_clock_behind=allowed)
        assert ("expired" if allowed else "clock") in caught.value.what
    assert yard.remembered() == before


def test_freeze_with_a_clock_set_back_before_the_first_import_is_noticed(yard: Yard) -> None:
    yard.take_at(parse_time(CREATED) - YEAR, yard.bundle(1))
    with State(yard.state) as state:
        assert "future" in state.history()[-1].reason


def test_freeze_is_bounded_by_the_sites_own_age_limit(yard: Yard) -> None:
    bundle = yard.bundle(1)
    age = (NOW - parse_time(CREATED)).days
    yard.refuses(bundle, "too old", options=("--max-age", f"{age - 1}d"))
    failed(here("verify", bundle, "--policy", yard.sender.policy, "--max-age", f"{age - 1}d", "--json"), REFUSED, "too old")
    failed(yard.take(bundle, "--max-age", "soon"), USAGE, "90d")
    yard.takes(bundle, "--max-age", f"{age + 2}d")


def test_freeze_by_a_clock_that_is_behind_can_be_allowed_and_is_logged(yard: Yard) -> None:
    yard.takes(yard.bundle(1))
    second = yard.bundle(2)
    yard.take_at(NOW - dt.timedelta(days=30), second, allow_clock_behind=True)
    with State(yard.state) as state:
        assert "--allow-clock-behind" in state.history()[-1].reason


# forks


def test_fork_of_the_stream_by_a_second_exporter_is_refused(yard: Yard) -> None:
    yard.takes(yard.bundle(1))
    yard.takes(yard.bundle(2))
    shutil.rmtree(yard.sender.root / "exporter-state")
    (yard.work / "usb").rename(yard.work / "moved")
    yard.bundle(2, created="2026-02-01T00:00:00Z")
    third = yard.bundle(3)
    yard.refuses(third, "not the bundle that was imported here", "--allow-fork")
    assert "--allow-fork" in yard.takes(third, "--allow-fork")["remarks"][0]
    yard.takes(third)


def test_a_gap_in_the_serials_is_no_fork(yard: Yard) -> None:
    yard.takes(yard.bundle(1))
    yard.bundle(2)
    assert yard.takes(yard.bundle(3))["remarks"] == []


def test_a_sender_that_lost_its_memory_is_remarked(yard: Yard) -> None:
    yard.takes(yard.bundle(1))
    assert "lost its state" in yard.takes(yard.bundle(2, claim(previous=None)))["remarks"][0]
