"""A signal ends the work and decides nothing: exit 130, no verdict, no history, no result that says "damaged"."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.bundles import Sender
from tests.support.cli import here
from tests.support.hostile import Hostile, Reply
from tests.support.striking import moments, strike
from tests.support.trustkit import GpgHome, gpg_home
from tests.support.yard import Yard

pytestmark = pytest.mark.slow("starts programs and strikes them with signals")

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 130


@pytest.fixture
def gpg() -> Iterator[GpgHome]:
    with gpg_home() as home:
        yield home


@pytest.fixture
def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Yard:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return Yard.make(tmp_path)


class Stuck:
    """A program, first in PATH, that waits for ever when its arguments have a certain word in them, and else is the real one."""

    def __init__(self, directory: Path, name: str, word: str) -> None:
        directory.mkdir()
        self.path = f"{directory}:{os.environ['PATH']}"
        self._pid = directory / "pid"
        real = shutil.which(name) or "true"
        script = directory / name
        waits = f'*" {word} "*) echo $$ > {self._pid}.new; mv {self._pid}.new {self._pid}; exec sleep 600;;'
        script.write_text(f'#!/bin/sh\ncase " $* " in\n{waits}\nesac\nexec {real} "$@"\n')
        script.chmod(0o755)

    def pid(self, process: subprocess.Popen[str]) -> int:
        """Wait until it hangs."""
        while not self._pid.exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        return int(self._pid.read_text())

    def gone(self) -> bool:
        status = Path(f"/proc/{self._pid.read_text().strip()}/stat")
        return not status.exists() or ") Z " in status.read_text()


def start(*arguments: object, home: Path, path: str, **environment: str) -> subprocess.Popen[str]:
    """As a shell starts it: in a process group of its own."""
    home.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "airgap", *map(str, arguments)],
        env={"PATH": path, "HOME": str(home), "AIRGAP_KEY_PASSPHRASE": "", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


Strike = Callable[[subprocess.Popen[str], int], None]


def _to_us(number: int) -> Strike:
    return lambda process, _: process.send_signal(number)


def _to_the_program(number: int) -> Strike:
    return lambda _, pid: os.kill(pid, number)


#: Who gets the signal: airgap alone; everybody at the terminal; only the program that works for it.
STRIKES: dict[str, Strike] = {
    **{f"airgap {number.name}": _to_us(number) for number in SIGNALS},
    "the terminal's Ctrl-C": lambda process, _: os.killpg(process.pid, signal.SIGINT),
    "a dropped terminal": lambda process, _: os.killpg(process.pid, signal.SIGHUP),
    **{f"the program {number.name}": _to_the_program(number) for number in SIGNALS},
}


def ended(process: subprocess.Popen[str]) -> str:
    """It said once that it was interrupted, and nothing else; what it printed."""
    output, errors = process.communicate()
    assert process.returncode == INTERRUPTED, errors
    assert errors.count("airgap: error: interrupted") == 1, errors
    assert errors.count("airgap: error:") == 1, errors
    assert "Traceback" not in errors
    return output


def history(state: Path) -> list[dict[str, object]]:
    """What was decided: that an attempt was interrupted is no decision."""
    found: list[dict[str, object]] = json.loads(here("history", "--state", state, "--json").stdout)["history"]
    return [event for event in found if event["event"] != "interrupted"]


@pytest.fixture
def signed(yard: Yard, gpg: GpgHome, monkeypatch: pytest.MonkeyPatch) -> tuple[Yard, Path, Path]:
    """A bundle signed by gpg, and the policy that asks for it."""
    key = gpg.new_key("Sender <sender@example.org>")
    (yard.work / "sender.gpg").write_bytes(gpg.export(key))
    bundle = yard.bundle(1, signed=False)
    monkeypatch.setenv("GNUPGHOME", str(gpg.path))
    assert here("sign", bundle, "--key", f"gpg:{key}").returncode == 0
    return yard, bundle, yard.policy([{"type": "signedBy", "keyType": "GPGKeys", "keyPath": str(yard.work / "sender.gpg")}])


@pytest.mark.parametrize("who", STRIKES)
def test_ctrl_c_while_gpg_verifies_is_no_missing_signature(signed: tuple[Yard, Path, Path], who: str) -> None:
    yard, bundle, policy = signed
    stuck = Stuck(yard.work / "bin", "gpg", "--verify")
    options = ("import", bundle, "--to", f"oci:{yard.store}", "--policy", policy, "--state", yard.state, "--json")
    with start(*options, home=yard.work / "home", path=stuck.path) as process:
        STRIKES[who](process, stuck.pid(process))
        assert json.loads(ended(process)) == {
            "schema": "airgap.error/1",
            "error": "interrupted",
            "next": "run the same command again to continue",
            "exit_code": INTERRUPTED,
        }
    assert stuck.gone()
    assert history(yard.state) == []
    assert not yard.store.exists()
    yard.takes(bundle, policy=policy)


@pytest.mark.parametrize("who", ["airgap SIGINT", "the terminal's Ctrl-C", "the program SIGINT"])
def test_ctrl_c_while_watch_verifies_leaves_no_result(signed: tuple[Yard, Path, Path], who: str) -> None:
    yard, bundle, policy = signed
    stuck = Stuck(yard.work / "bin", "gpg", "--verify")
    options = ("watch", bundle.parent, "--to", f"oci:{yard.store}", "--policy", policy, "--state", yard.state, "--settle", 0.1)
    with start(*options, home=yard.work / "home", path=stuck.path) as process:
        STRIKES[who](process, stuck.pid(process))
        output, errors = process.communicate()
    assert process.returncode in (0, INTERRUPTED), errors  # 0: it was looking, no import was under way
    assert "refused" not in output
    assert "stopped" in output
    assert "Traceback" not in errors
    assert sorted(bundle.parent.iterdir()) == [bundle]
    assert history(yard.state) == []
    assert here("watch", *options[1:], "--once").returncode == 0


@pytest.mark.parametrize("who", STRIKES)
def test_ctrl_c_while_gpg_signs_is_no_failure_of_the_key(yard: Yard, gpg: GpgHome, who: str) -> None:
    key = gpg.new_key("Sender <sender@example.org>")
    bundle = yard.bundle(1, signed=False)
    stuck = Stuck(yard.work / "bin", "gpg", "--detach-sign")
    arguments = ("sign", bundle, "--key", f"gpg:{key}")
    with start(*arguments, home=yard.work / "home", path=stuck.path, GNUPGHOME=str(gpg.path)) as process:
        STRIKES[who](process, stuck.pid(process))
        ended(process)
    assert stuck.gone()
    assert list(bundle.glob("*.asc")) == []


@pytest.mark.parametrize("who", STRIKES)
def test_ctrl_c_while_skopeo_copies_is_no_mistake_in_the_list(tmp_path: Path, who: str) -> None:
    sender = Sender.make(tmp_path / "sender")
    stuck = Stuck(tmp_path / "bin", "skopeo", "copy")
    scratch = tmp_path / "scratch"
    lines = tmp_path / "list"
    lines.write_text("containers-storage:registry.example/shop/web:1\n")
    arguments = ("export", lines, "--out", tmp_path / "out", "--scratch", scratch, "--state", tmp_path / "state")
    with start(*arguments, "--stream", "prod", "--key", sender.key, home=tmp_path / "home", path=stuck.path) as process:
        STRIKES[who](process, stuck.pid(process))
        ended(process)
    assert stuck.gone()
    assert list(scratch.iterdir()) == []
    assert history(tmp_path / "state") == []


@pytest.mark.parametrize("who", ["the terminal's Ctrl-C", "the program SIGINT", "the program SIGTERM"])
def test_ctrl_c_while_a_credential_helper_runs_is_no_failure_of_the_registry(tmp_path: Path, who: str) -> None:
    stuck = Stuck(tmp_path / "bin", "docker-credential-vault", "get")
    auth = tmp_path / "auth.json"
    lines = tmp_path / "list"
    asks = Reply(401, headers={"WWW-Authenticate": 'Basic realm="shop"'})
    with Hostile(lambda _: asks) as server:
        auth.write_text(json.dumps({"credHelpers": {server.address: "vault"}}))
        lines.write_text(f"{server.address}/shop/web:1\n")
        options = ("--authfile", auth, "--insecure-registry", server.address)
        with start("resolve", lines, *options, home=tmp_path / "home", path=stuck.path) as process:
            STRIKES[who](process, stuck.pid(process))
            ended(process)


def test_a_program_that_crashes_is_no_interruption(signed: tuple[Yard, Path, Path]) -> None:
    """A stranger's bytes may make gpg crash; that must not look like the user's wish, and is no good signature."""
    yard, bundle, policy = signed
    stuck = Stuck(yard.work / "bin", "gpg", "--verify")
    options = ("import", bundle, "--to", f"oci:{yard.store}", "--policy", policy, "--state", yard.state)
    with start(*options, home=yard.work / "home", path=stuck.path) as process:
        os.kill(stuck.pid(process), signal.SIGSEGV)
        _, errors = process.communicate()
    assert process.returncode == 3, errors


def test_nohup_outlives_the_terminal(signed: tuple[Yard, Path, Path]) -> None:
    yard, bundle, policy = signed
    stuck = Stuck(yard.work / "bin", "gpg", "--verify")
    command = [sys.executable, "-m", "airgap", "verify", str(bundle), "--policy", str(policy)]
    environment = {"PATH": stuck.path, "HOME": str(yard.work)}
    with subprocess.Popen(
        ["nohup", *command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        pid = stuck.pid(process)
        process.send_signal(signal.SIGHUP)
        time.sleep(0.2)
        assert process.poll() is None
        os.kill(pid, signal.SIGKILL)
        process.communicate()
    assert process.returncode == 3


@pytest.mark.parametrize("how", ["Ctrl-C", "hang up"])
def test_ctrl_c_where_a_passphrase_is_asked_for_makes_no_key_and_gives_the_echo_back(tmp_path: Path, how: str) -> None:
    """At a terminal of its own: one that sends the signal for the key, or is closed as a dropped ssh session closes it."""
    command = [sys.executable, "-m", "airgap", "keys", "generate", "--out", str(tmp_path / "keys")]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, command, {"PATH": os.environ["PATH"], "HOME": str(tmp_path)})
    shown = b""
    while not shown.endswith(b": "):
        shown += os.read(terminal, 1000)
    assert not termios.tcgetattr(terminal)[3] & termios.ECHO
    if how == "Ctrl-C":
        os.write(terminal, b"\x03")
        with contextlib.suppress(OSError):  # the other end is closed
            while part := os.read(terminal, 1000):
                shown += part
        assert termios.tcgetattr(terminal)[3] & termios.ECHO
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == INTERRUPTED
    assert b"Traceback" not in shown
    assert list(tmp_path.iterdir()) == []


def words(document: object) -> set[str]:
    """All texts in a document, but for its keys: those say what may be said."""
    if isinstance(document, dict):
        return words(list(document.values()))
    if isinstance(document, list):
        return set().union(*map(words, document))
    return {document} if isinstance(document, str) else set()


def _commands(yard: Yard, bundle: Path) -> dict[str, tuple[object, ...]]:
    fixed = ("--policy", yard.sender.policy, "--state", yard.state)
    return {
        "import": ("import", bundle, "--to", f"oci:{yard.store}", *fixed),
        "verify": ("verify", bundle, *fixed),
        "media check": ("media", "check", bundle, "--result", yard.work / "result.json"),
        "media copy": ("media", "copy", bundle, yard.work / "disk"),
        "media repair": ("media", "repair", bundle, "--out", yard.work / "repaired"),
        "report": ("report", bundle, "-o", yard.work / "report.html"),
        "watch": ("watch", bundle.parent, "--to", f"oci:{yard.store}", *fixed, "--once", "--settle", 0.1, "--interval", 0.1),
    }


@pytest.mark.parametrize("name", ["import", "verify", "media check", "media copy", "media repair", "report", "watch"])
def test_a_signal_at_any_moment_is_no_verdict(yard: Yard, name: str) -> None:
    bundle = yard.bundle(1)
    home = yard.work / "home"

    def fresh() -> tuple[object, ...]:
        for made in ("store", "state", "disk", "repaired", "result.json", "report.html"):
            path = yard.work / made
            if path.is_dir():
                shutil.rmtree(path)
            path.unlink(missing_ok=True)
        for stale in bundle.parent.glob("*.result.*"):
            stale.unlink()
        (yard.work / "disk").mkdir()
        return _commands(yard, bundle)[name]

    total = moments(*fresh(), home=home)
    assert total > 20
    points = {1, total // 4, total // 2, 4 * total // 5, total - 5}
    for number, point in enumerate(sorted(points)):
        done = strike(point, SIGNALS[number % 3], *fresh(), home=home)
        shown = f"{name} at {point} of {total}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, shown
        if name == "watch" or point > total - 50:  # it may have been done just before
            assert done.returncode in (0, INTERRUPTED), shown
        else:
            assert done.returncode == INTERRUPTED, shown
        assert done.stderr.count("airgap: error: ") == (done.returncode == INTERRUPTED), shown
        assert all(event["event"] == "import" for event in history(yard.state)), shown
        told = [*bundle.parent.glob("*.result.json"), *yard.work.glob("result.json")]
        said = [json.loads(path.read_text()) for path in told]
        assert {"refused", "damaged", "failed"}.isdisjoint(words(said)), shown
    again = strike(0, 0, *_commands(yard, bundle)[name], home=home)
    assert again.returncode == 0, again.stderr
