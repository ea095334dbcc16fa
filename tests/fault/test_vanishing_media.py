"""A medium that is pulled or fails while it is read: the medium is blamed (6), never the bundle (4), and nothing is loaded."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from airgap.format import names
from tests.support import faults
from tests.support.cli import MEDIA, USAGE, failed, here
from tests.support.crash import crasher
from tests.support.disks import Disk
from tests.support.mediaset import make_bundle

pytestmark = pytest.mark.slow("mounts real file systems and starts commands that stop in the middle")

COMMANDS = {
    "verify": "verify {medium} --policy {policy} --state {work}/state",
    "import": "import {medium} --to oci:{work}/store --policy {policy} --state {work}/state --threads 1",
    "check": "media check {medium}",
    "watch": "watch {medium} --to oci:{work}/store --policy {policy} --state {work}/state --once --settle 0",
    "repair": "media repair {medium} --out {work}/repaired",
    "copy": "media copy {medium} {work}/disk",
}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("vanishing")


@pytest.fixture(scope="module")
def bundle(work: Path) -> Path:
    return make_bundle(work, parity=1)


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return faults.build(tmp_path_factory.mktemp("shim"))


class Stick:
    """A stick with a bundle on it, put in read-only."""

    def __init__(self, work: Path, bundle: Path) -> None:
        self.disk = Disk(work, "ext4")
        self.point = self.disk.point
        with self.disk.mounted() as point:
            shutil.copytree(bundle, point / bundle.name)
        self._devices: list[str] = []

    @contextlib.contextmanager
    def put_in(self, point: Path | None = None) -> Iterator[Path]:
        """Mount it, somewhere else if wanted; whatever is left of it is taken out in the end."""
        where = point or self.point
        where.mkdir(parents=True, exist_ok=True)
        device = _run("losetup", "-f", "--show", "-r", str(self.disk.image)).strip()
        try:
            _run("mount", "-o", "ro", device, str(where))
            yield where
        finally:
            subprocess.run(["umount", "-l", str(where)], check=False, capture_output=True)
            _run("losetup", "-d", device)

    def pull(self) -> None:
        """Unmount it although it is in use."""
        _run("umount", "-l", str(self.point))

    def break_(self) -> None:
        """From now on the device has nothing but I/O errors: its content ends after the first page, and nothing is in the cache."""
        os.truncate(self.disk.image, 4096)
        Path("/proc/sys/vm/drop_caches").write_text("3")


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def command(name: str, stick: Path, bundle: Path, work: Path) -> list[str]:
    (work / "disk").mkdir(parents=True, exist_ok=True)
    words = COMMANDS[name].format(medium=stick, policy=bundle.parent.parent / "sender/policy.json", work=work)
    return words.split()


def nothing_is_loaded(work: Path) -> None:
    index = work / "store/index.json"
    assert not index.exists() or json.loads(index.read_bytes())["manifests"] == []
    assert not list(work.rglob("*.request.json"))


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(("kind", "number"), [("list", 1), ("open", 2), ("open", 5), ("read", 8)])
def test_a_medium_that_is_unmounted_in_the_middle_is_missed_and_no_bundle_is_called_damaged(
    bundle: Path, shim: Path, tmp_path: Path, name: str, kind: str, number: int
) -> None:
    stick = Stick(tmp_path, bundle)
    words = command(name, stick.point, bundle, tmp_path)
    at = faults.Fault(str(stick.point), kind, number)
    with stick.put_in(), faults.Paused(shim, at, words, {"HOME": str(tmp_path)}) as paused:
        stick.pull()
        done = paused.end()
    if done.returncode == 0:  # all that it wanted was read, or its drop directory was empty already
        assert name in ("check", "repair") or (name, kind) == ("watch", "list"), done.stdout
        return
    said = done.stdout + done.stderr
    assert done.returncode == MEDIA, said
    assert "medium was removed" in said
    assert "damaged" not in said
    assert "Traceback" not in said
    nothing_is_loaded(tmp_path)
    with stick.put_in():
        again = here(*words)
        assert again.returncode == 0, again.stderr


@pytest.mark.parametrize("name", ["verify", "import", "check", "watch"])
@pytest.mark.parametrize(("kind", "number"), [("list", 1), ("open", 2), ("open", 5), ("read", 8)])
def test_a_medium_that_dies_in_the_middle_gives_no_damaged_bundle(
    bundle: Path, shim: Path, tmp_path: Path, name: str, kind: str, number: int
) -> None:
    stick = Stick(tmp_path, bundle)
    words = command(name, stick.point, bundle, tmp_path)
    whole = stick.disk.image.read_bytes()
    at = faults.Fault(str(stick.point), kind, number)
    with stick.put_in(), faults.Paused(shim, at, words, {"HOME": str(tmp_path)}) as paused:
        stick.break_()
        done = paused.end()
    said = done.stdout + done.stderr
    assert done.returncode == MEDIA, said
    assert "Input/output error" in said or "I/O error" in said or "cannot be read" in said
    assert "Traceback" not in said
    nothing_is_loaded(tmp_path)
    stick.disk.image.write_bytes(whole)
    with stick.put_in():
        again = here(*words)
        assert again.returncode == 0, again.stderr


@pytest.mark.parametrize("name", ["verify", "import", "check"])
def test_an_io_error_at_any_read_is_the_mediums_and_not_damage(bundle: Path, shim: Path, tmp_path: Path, name: str) -> None:
    copy = Path(shutil.copytree(bundle, tmp_path / "stick" / bundle.name))
    with crasher(tmp_path / "home", shim) as driver:
        calls = driver.fail(faults.Fault(str(copy)), *command(name, copy, bundle, tmp_path / "learn")).points
        reads = sum(call.startswith("read ") for call in calls)
        assert reads > 10
        for number in {*range(1, reads, max(1, reads // 15)), reads}:
            site = tmp_path / str(number)
            done = driver.fail(faults.Fault(str(copy), "read", number), *command(name, copy, bundle, site))
            hit = next(call for call in done.points if call.startswith("!"))
            if name == "check" and done.returncode == 0 and hit.endswith("SHA256SUMS"):
                continue  # it is read twice, and the second time told everything
            assert done.returncode == MEDIA, f"{hit}: exit {done.returncode}\n{done.stdout}{done.stderr}"
            nothing_is_loaded(site)


@pytest.mark.parametrize("name", ["verify", "import", "check", "repair"])
def test_a_mount_point_with_nothing_in_it_is_no_bundle_and_a_hint_is_given(bundle: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "stick").mkdir()
    failed(here(*command(name, tmp_path / "stick", bundle, tmp_path)), USAGE, "no bundle here", "is the medium mounted there?")


@pytest.mark.parametrize("back", ["usb", "usb1"])
def test_watch_goes_on_when_a_pulled_stick_is_back_under_any_name(bundle: Path, shim: Path, tmp_path: Path, back: str) -> None:
    stick = Stick(tmp_path, bundle)
    stick.point = tmp_path / "media/usb"
    words = command("watch", tmp_path / "media", bundle, tmp_path)
    words = [*(word for word in words if word != "--once"), "--interval", "0.1", "--json"]
    volume = stick.point / bundle.name / names.volume_name(2)
    with contextlib.ExitStack() as stack:
        stack.enter_context(stick.put_in())
        paused = stack.enter_context(faults.Paused(shim, faults.Fault(str(volume), "open", 2), words, {"HOME": str(tmp_path)}))
        stick.pull()
        process = paused.go_on()
        assert process.stdout is not None
        events = map(json.loads, process.stdout)
        gone = next(event for event in events if event["event"] in ("failed", "refused", "imported"))
        assert (gone["event"], gone["exit_code"]) == ("failed", MEDIA), gone
        assert "medium was removed" in gone["message"]
        nothing_is_loaded(tmp_path)
        stack.enter_context(stick.put_in(tmp_path / "media" / back))
        done = next(event for event in events if event["event"] in ("failed", "refused", "imported"))
        assert done["event"] == "imported", done
    assert json.loads((tmp_path / "store/index.json").read_bytes())["manifests"]
    assert not list((tmp_path / "media").rglob("*.result.json"))  # nothing was written below an empty mount point
