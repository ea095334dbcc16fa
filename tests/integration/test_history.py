"""``airgap history``: every decision with its reason, and nothing that a terminal would obey."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from airgap.oci.digest import Digest
from airgap.state import Event, State
from tests.support.cli import REFUSED, USAGE, failed, here
from tests.support.yard import Yard

pytestmark = pytest.mark.slow("runs whole exports and imports against real registries")


@pytest.fixture
def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Yard:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return Yard.make(tmp_path)


def told(state: Path, *options: object) -> str:
    done = here("history", "--state", state, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_machine_that_did_nothing_has_no_history_and_gets_no_state(tmp_path: Path) -> None:
    assert told(tmp_path / "state") == "nothing yet\n"
    assert json.loads(told(tmp_path / "state", "--json")) == {"schema": "airgap.history/1", "history": []}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.smoke("history")
def test_every_decision_is_told_with_its_reason(yard: Yard) -> None:
    one, two = yard.bundle(1), yard.bundle(2)
    unsigned = yard.bundle(3, signed=False)
    yard.takes(two)
    yard.refuses(one, "older")
    yard.refuses(unsigned, "signature")
    yard.takes(two)
    events = json.loads(told(yard.state, "--json"))["history"]
    assert [(event["event"], event["stream"], event["serial"]) for event in events] == [
        ("import", "prod", 2),
        ("refused", "prod", 1),
        ("refused", "", 0),
        ("import", "prod", 2),
    ]
    assert [event["outcome"] for event in events][::3] == ["loaded 1 image", "nothing to do"]
    assert yard.sender.signer.key_id in events[0]["reason"]
    assert "serial 2 or higher" in events[1]["reason"]
    assert "no signature at all" in events[2]["reason"]
    assert {event["target"] for event in events} == {f"oci:{yard.store}"}
    assert [event["catalog"] for event in events] == [
        str(Digest.of((bundle / "catalog.json").read_bytes())) for bundle in (two, one, unsigned, two)
    ]
    text = told(yard.state)
    assert re.search(r"^\S+Z  refused   prod-0001  oci:\S+: the bundle prod-0001 is older than", text, re.MULTILINE)
    assert "serial 2 or higher" in text
    assert yard.sender.signer.key_id in told(yard.state, "-v")


def test_exports_are_told_too(yard: Yard) -> None:
    yard.bundle(1)
    state = yard.sender.root / "exporter-state"
    assert [line.split()[1:3] for line in told(state).splitlines()] == [["export", "prod-0001:"]]
    words = [line.split()[1] for line in told(state, "-v").splitlines() if "prod-0001:" in line]
    assert words == ["finish", "export"]


def test_streams_and_limits(tmp_path: Path) -> None:
    with State(tmp_path / "state") as state:
        for serial in range(1, 6):
            state.record_export("prod", serial, Digest.of(b""))
            state.record_export("lab", serial, Digest.of(b""))
    assert [line.split()[2] for line in told(tmp_path / "state", "--stream", "lab", "--limit", 2).splitlines()] == [
        "lab-0004:",
        "lab-0005:",
    ]
    assert len(told(tmp_path / "state").splitlines()) == 10
    assert told(tmp_path / "state", "--stream", "elsewhere") == "nothing yet\n"
    failed(here("history", "--state", tmp_path / "state", "--stream", "../x", "--json"), USAGE)


def test_hostile_text_in_the_history_is_harmless(tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07\r\n2026-01-01T00:00:00Z  import    prod-0009: loaded\u202e\x9b"
    with State(tmp_path / "state") as state:
        state.record_failure(Event("", "refused", "prod", 1, Digest.of(b""), f"oci:{evil}", f"no: {evil}", evil, 3))
    for options in ((), ("-v",), ("--json",)):
        text = told(tmp_path / "state", *options)
        assert all(character.isprintable() or character == "\n" for character in text)
        assert not re.search(r"^2026-01-01", text, re.MULTILINE)


def test_a_damaged_state_has_no_history(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state/state.db").write_bytes(b"garbage" * 1000)
    failed(here("history", "--state", tmp_path / "state", "--json"), REFUSED, "damaged")
