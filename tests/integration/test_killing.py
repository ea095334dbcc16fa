"""Whatever ends a command, nothing of it stays: no hidden archive, no scratch directory with images, no half signature."""

from __future__ import annotations

import json
import re
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from airgap import fsio
from tests.support import images
from tests.support.cli import here
from tests.support.crash import crasher
from tests.support.disks import Disk
from tests.support.yard import Yard

INTERRUPTED = 130
#: So many points of a command are tried, more or less.
MOST = 6
pytestmark = pytest.mark.slow("commands are run some hundred times")
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Place:
    """Where commands write to, and what they start from; every run has a state of its own."""

    yard: Yard
    bundle: Path
    target: Path

    @property
    def scratch(self) -> Path:
        return self.yard.work / "tmp"

    def command(self, name: str, run: str) -> list[object]:
        state = ["--state", self.yard.work / f"state-{run}"]
        load = ["import", self.bundle, "--policy", self.yard.sender.policy, *state, "--to"]
        commands: dict[str, list[object]] = {
            "oci-archive": [*load, f"oci-archive:{self.target}/{run}.tar"],
            "docker-archive": [*load, f"docker-archive:{self.target}/{run}.tar"],
            "dir": [*load, f"dir:{self.target}/{run}"],
            "export": [
                "export",
                self.yard.work / "list.txt",
                "--out",
                self.target,
                "--stream",
                run,
                "--key",
                self.yard.sender.key,
                *state,
            ],
            "receipt": ["receipt", f"oci:{self.yard.store}", "--site", "plant", "-o", self.target / f"{run}.json", *state],
            "sign": ["sign", self.unsigned(run.replace("again", "run")), "--key", self.yard.sender.key],
        }
        return commands[name]

    def unsigned(self, run: str) -> Path:
        """A bundle of a run's own that nobody has signed."""
        copy = self.target / "bundles" / run
        if not copy.exists():
            shutil.copytree(self.bundle, copy, ignore=shutil.ignore_patterns("*.sig"))
        return copy

    def hidden(self) -> list[Path]:
        """What nobody sees who lists a directory."""
        return [path for root in (self.target, self.scratch) for path in root.rglob(".*")]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AIRGAP_KEY_PASSPHRASE", "")
    yard = Yard.make(tmp_path / "yard")
    yard.references[:] = [yard.origin.push("docker.io/shop/large:1", images.image([images.layer("large", 3_000_000)]))]
    bundle = yard.bundle(1)
    yard.takes(bundle)
    (yard.work / "list.txt").write_text(f"oci:{yard.store}:docker.io/shop/large:1 as shop.example/large:1\n")
    (yard.work / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(yard.work / "tmp"))
    (tmp_path / "target").mkdir()
    return Place(yard, bundle, tmp_path / "target")


def struck(place: Place, name: str, number: int = signal.SIGKILL) -> int:
    """End a command where it writes and names files; how often something hidden was left, which the next command removed."""
    left = 0
    with crasher(place.yard.work / "home") as crash:
        learned = crash.crash("", *place.command(name, "first"))
        assert learned.returncode == 0, learned.stderr
        wanted = [
            point for point in learned.points if re.search(r"inside write (new file|.*temporary)|before rename|after rename", point)
        ]
        for count, point in enumerate(wanted[:: max(1, len(wanted) // MOST)]):
            point = point.replace("first", f"run{count}")
            done = crash.crash(point, *place.command(name, f"run{count}"), number=number)
            expected = (-signal.SIGKILL,) if number == signal.SIGKILL else (0, INTERRUPTED)
            assert done.returncode in expected, f"{point}: {done.stderr}"
            found = place.hidden()
            if number != signal.SIGKILL:
                assert found == [], point
            if found:
                left += 1
                assert all(fsio.is_temporary(path.name) for path in found), found
                again = crash.run(*place.command(name, f"again{count}"))
                assert again.returncode == 0, again.stderr
                assert "leftovers of a killed command" in again.stderr
                assert place.hidden() == [], point
    assert count
    return left


@pytest.mark.parametrize("name", ["oci-archive", "docker-archive", "export", "receipt", "sign"])
def test_a_killed_command_leaves_nothing_hidden(place: Place, name: str) -> None:
    assert struck(place, name) == 0


def test_a_directory_that_was_not_whole_goes_with_the_next_command(place: Place) -> None:
    """No file system has directories without names."""
    assert struck(place, "dir") > 0


@pytest.mark.parametrize("name", ["oci-archive", "sign"])
def test_where_files_need_names_what_is_left_goes_with_the_next_command(place: Place, tmp_path: Path, name: str) -> None:
    with Disk(tmp_path, "exfat").mounted() as point:
        assert struck(Place(place.yard, place.bundle, point), name) > 0


@pytest.mark.parametrize("number", ENDS)
def test_a_signal_leaves_nothing_hidden(place: Place, tmp_path: Path, number: int) -> None:
    with Disk(tmp_path, "exfat").mounted() as point:
        for name in ("oci-archive", "dir"):
            assert struck(Place(place.yard, place.bundle, point), name, number) == 0


def test_leftovers_of_another_format_stay(place: Place) -> None:
    (place.target / ".someone.elses.tmp").write_bytes(b"x")
    done = here(*place.command("oci-archive", "one"), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
    assert [path.name for path in place.hidden()] == [".someone.elses.tmp"]
