"""What a terminal and a log get to see: the live line, its end, silence, colours."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from airgap.cli.terminal.cells import cells
from airgap.cli.terminal.console import Console, Each, InAll, report_error, tell
from airgap.errors import Damaged
from airgap.text import command

ESCAPES = re.compile(r"\x1b\[[0-9;]*[mK]")


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Screen:
    """A terminal in raw mode, so that what is read is what was written."""

    def __init__(self, columns: int) -> None:
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def shown(self) -> str:
        """Everything written since the last time."""
        os.write(self.slave, b"\0")
        found = b""
        while not found.endswith(b"\0"):
            found += os.read(self.master, 65536)
        return found[:-1].decode()


@contextmanager
def screen(monkeypatch: pytest.MonkeyPatch, columns: int, encoding: str = "utf-8") -> Iterator[Screen]:
    """Standard output and standard error at one terminal."""
    one = Screen(columns)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    with (
        open(one.slave, "w", encoding=encoding, errors="backslashreplace", closefd=False) as stream,
        monkeypatch.context() as patch,
    ):
        patch.setattr(sys, "stdout", stream)
        patch.setattr(sys, "stderr", stream)
        yield one
    os.close(one.slave)
    os.close(one.master)


def work(console: Console, clock: Clock) -> None:
    """Half of a stage, in ten seconds."""
    console.stage("loading", 2_000_000, 20, "blob")
    for number in range(10):
        clock.now += 1
        console.at(f"docker.io/工具/イメージ-{number}:最新", "volume 1 of 3")
        console.advance(100_000, 1)
        console.tick()


@pytest.mark.parametrize("columns", [1, 20, 40, 80, 120, 200])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_the_live_line_never_wraps_and_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, columns: int, encoding: str) -> None:
    clock = Clock()
    with screen(monkeypatch, columns, encoding) as terminal:
        console = Console(clock=clock)
        work(console, clock)
        live = terminal.shown()
        console.result({}, ["finished     it"])
        last = terminal.shown()
    lines = [line for line in live.split("\r") if line]
    assert len(lines) == 10
    assert all(line.endswith("\x1b[K") and "\n" not in line for line in lines)
    assert all(cells(ESCAPES.sub("", line)) < max(2, columns) for line in lines)
    assert last.startswith("\r\x1b[K")
    assert ESCAPES.sub("", last) == "\rfinished     it\n"
    if columns >= 80:
        assert "loading 50%" in lines[-1]
        assert "10/20 blobs" in lines[-1]
        assert "100.0 kB/s" in lines[-1]
        assert "0:10 left" in lines[-1]


def test_a_message_and_an_error_take_the_live_line_away_first(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    with screen(monkeypatch, 80) as terminal:
        console = Console(clock=clock)
        work(console, clock)
        terminal.shown()
        console.say("the registry is busy")
        assert terminal.shown() == "\r\x1b[Kairgap: the registry is busy\n"
        console.tick()
        terminal.shown()
        tell("left over")
        assert terminal.shown() == "\r\x1b[Kairgap: left over\n"
        console.tick()
        terminal.shown()
        report_error(Damaged("a volume is damaged"), as_json=False)
        assert terminal.shown().startswith("\r\x1b[Kairgap: \x1b[1;31merror:\x1b[0m a volume is damaged\n")
        console.tick()
        assert terminal.shown() == "", "nothing is at work any more"


def test_no_name_controls_the_terminal_by_way_of_the_live_line(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    with screen(monkeypatch, 200) as terminal:
        console = Console(clock=clock)
        console.stage("reading \x1b[2J", 0, 3)
        console.at("a\x1b]0;b\x07", "disk\r\n\u202ec")
        console.tick()
        shown = terminal.shown()
    assert ESCAPES.sub("", shown).removeprefix("\r").isprintable()


@pytest.mark.parametrize("how", ["log", "dumb terminal"])
def test_a_log_has_a_line_at_least_every_half_minute_while_work_is_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    clock = Clock()

    def silent_work() -> None:
        console = Console(clock=clock)
        console.stage("resolving", 0, 1000)
        for number in range(300):
            clock.now += 1
            console.at(f"quay.io/team/app:{number}")
            console.advance(0, 1)
            console.tick()
        console.end()

    if how == "log":
        silent_work()
        shown = capsys.readouterr().err
    else:
        with screen(monkeypatch, 80) as terminal:
            monkeypatch.setenv("TERM", "dumb")
            silent_work()
            shown = terminal.shown()
    lines = shown.splitlines()
    assert len(lines) == 20
    assert lines[0] == "airgap: resolving: 1 %, 15 of 1000 images, 1.0/s, 16:25 left, quay.io/team/app:14"
    assert "\x1b" not in shown
    assert "\r" not in shown


def test_a_step_that_tells_nothing_is_not_silent_either(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    console = Console(clock=clock)
    console.stage("flushing to the disk", 0)
    for _ in range(60):
        clock.now += 1
        console.tick()
    times = ("0:15", "0:30", "0:45", "1:00")
    assert capsys.readouterr().err.splitlines() == [f"airgap: flushing to the disk: for {time}" for time in times]


def test_many_short_steps_are_not_silent_either(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    console = Console(clock=clock)
    for number in range(20):
        console.stage(f"step {number}", 0)
        for _ in range(5):
            clock.now += 1
            console.tick()
    assert [line.partition(": for")[0] for line in capsys.readouterr().err.splitlines()] == [
        f"airgap: step {number}" for number in (2, 5, 8, 11, 14, 17)
    ]


def test_quiet_leaves_out_progress_and_what_is_about_each_image(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    each = [Each(f"loaded       {n}") for n in range(250)]
    lines = ["bundle       b", *each, InAll("loaded       250 images"), "warning      look"]
    for quiet in (True, False):
        console = Console(quiet=quiet, clock=clock)
        work(console, clock)
        clock.now += 100
        console.tick()
        console.result({}, lines)
        out, err = capsys.readouterr()
        assert bool(err) != quiet
        assert len(out.splitlines()) == (3 if quiet else 252)
        assert ("250 images" in out) == quiet


@pytest.mark.parametrize(
    ("line", "colour"),
    [
        ("verified     complete", "32"),
        ("finished     /x", "32"),
        ("warning      w", "33"),
        ("note         n", "33"),
        ("DAMAGED      d", "31"),
        ("refused   prod-0001: no", "31"),
        ("result       good: all", "32"),
        ("result       damaged: 1", "31"),
        ("bundle       b", ""),
        ("result       different", ""),
    ],
)
def test_verdicts_have_colours_on_a_terminal_and_nowhere_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str, colour: str
) -> None:
    with screen(monkeypatch, 80) as terminal:
        Console(clock=Clock()).result({}, [line])
        shown = terminal.shown()
        assert ESCAPES.sub("", shown) == f"{line}\n"
        assert re.findall(r"\x1b\[1;([0-9]+)m", shown) == ([colour] if colour else [])
        for name, value in {"NO_COLOR": "1", "TERM": "dumb"}.items():
            with monkeypatch.context() as patch:
                patch.setenv(name, value)
                Console(clock=Clock()).result({}, [line])
            assert terminal.shown() == f"{line}\n"
        monkeypatch.setenv("NO_COLOR", "")  # present and empty is as if it were not there
        Console(clock=Clock()).result({}, [line])
        assert terminal.shown() == shown
        Console(as_json=True, clock=Clock()).result({"a": "verified     b"}, [line], "verify")
        assert "\x1b" not in terminal.shown()
    Console(clock=Clock()).result({}, [line])
    assert capsys.readouterr().out == f"{line}\n"


WORDS = ["plain", "a b", "it's", "$HOME", "`x`", "", "~", "a\nb", "a\\\tb'", "日本 語", "\udcff.tar", "\x1b[31m", "\u202eexe"]


@pytest.mark.parametrize("word", WORDS)
def test_a_printed_command_gives_a_shell_back_what_was_meant(word: str) -> None:
    line = command("printf", "%s", Path(word) if word == "plain" else word)
    assert line.isprintable()
    done = subprocess.run(["bash", "-c", line], capture_output=True, check=True)
    assert done.stdout == os.fsencode(word)
