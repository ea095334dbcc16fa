"""Records that a command writes anew: only an earlier edition of the same one makes way, everything else stays as it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.bundles import flip
from tests.support.cli import USAGE, failed, here
from tests.support.desks import SiteDesk

FOREIGN = [b"", b"docker.io/library/nginx:1\n", b"{}", b'{"schema":"airgap.receipt/1"']


@pytest.mark.parametrize("foreign", FOREIGN, ids=["empty", "list", "json", "cut"])
@pytest.mark.parametrize("command", ["receipt", "check", "plan"])
def test_a_record_is_not_written_over_another_file(site: SiteDesk, command: str, foreign: bytes) -> None:
    path = site.work / "record"
    path.write_bytes(foreign)
    site.is_taken()
    facts = failed(here(*_commands(site, path)[command], "--json"), USAGE, "a different file already exists")
    assert facts["where"] == str(path)
    assert path.read_bytes() == foreign


@pytest.mark.parametrize("command", ["receipt", "check", "plan"])
def test_a_record_of_the_same_is_written_anew(site: SiteDesk, command: str) -> None:
    site.is_taken()
    path = site.work / "record"
    for _ in range(2):
        done = here(*_commands(site, path)[command], "--json")
        assert done.returncode == 0, done.stderr
        assert path.exists()


def test_the_receipt_of_one_site_is_not_written_over_that_of_another(site: SiteDesk) -> None:
    site.is_taken()
    path = site.work / "record"
    assert here("receipt", f"oci:{site.store}", "-o", path, "--site", "plant-7").returncode == 0
    before = path.read_bytes()
    failed(here("receipt", f"oci:{site.store}", "-o", path, "--site", "plant-8", "--json"), USAGE, "plant-8")
    assert path.read_bytes() == before


def test_a_request_is_not_written_over_another_file(site: SiteDesk) -> None:
    flip(site.volume(2), 1000)
    path = site.work / "request"
    path.write_text("mine")
    failed(
        here("media", "repair", site.bundle, "--out", site.work / "out", "--request", path, "--json"),
        USAGE,
        "a different file already exists",
    )
    assert path.read_text() == "mine"
    path.unlink()
    for _ in range(2):
        assert here("media", "repair", site.bundle, "--out", site.work / "out", "--request", path).returncode == 4
        assert json.loads(path.read_bytes())["stream"] == "prod"


def _commands(site: SiteDesk, path: Path) -> dict[str, list[object]]:
    state = ("--state", site.work / "state")
    return {
        "receipt": ["receipt", f"oci:{site.store}", "-o", path, "--site", "plant-7"],
        "check": ["media", "check", site.bundle, "--result", path],
        "plan": ["prune", f"oci:{site.store}", "--keep", "1", "--plan", path, *state],
    }
