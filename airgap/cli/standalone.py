"""``airgap-check.pyz``: ``airgap media check`` for a machine with nothing but Python. Standard library only.

Texts, facts and exit codes come from ``airgap.media``; this module replaces only typer and the live line.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from airgap import __version__
from airgap.errors import AirgapError, Damaged, Interrupted, UsageError, exit_code, system_error
from airgap.limits import MAX_LINE
from airgap.media import words
from airgap.media.check import check
from airgap.schemas.names import headed
from airgap.text import human_size, printable

_STEP = 5  # per cent between two lines on a terminal
_SILENCE = 20  # seconds between two lines elsewhere
_MOST_THREADS = 8
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: Sequence[str]) -> int:
    """Run the check and return the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # no name in a result may end the check
    options = _parser().parse_args(arguments)
    for number in _ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, _interrupt)
    try:
        reports = check(options.paths, _Progress(options.quiet), subset=options.subset, threads=min(options.threads, _MOST_THREADS))
    except Interrupted as error:
        return _failed(error, options.json)
    except AirgapError as error:
        return _failed(error, options.json)
    except OSError as error:
        return _failed(system_error(error), options.json)
    facts = headed("media-check", words.facts(reports))
    shown = json.dumps(facts, indent=2) if options.json else "\n".join(printable(line, MAX_LINE) for line in words.lines(reports))
    sys.stdout.write(f"{shown}\n")
    sys.stdout.flush()
    return int(facts["exit_code"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="airgap-check.pyz",
        description="Read everything on the media of a bundle and report what is missing, damaged, duplicated or foreign, and "
        "which images are affected. Needs neither key nor network, and writes nothing.",
        epilog="Exit codes: 0 complete and good, 2 usage error, 4 damaged or incomplete, 6 a disk cannot be read, 130 interrupted. "
        "Example: python3 airgap-check.pyz /media/usb1 /media/usb2",
    )
    parser.add_argument(
        "paths", metavar="PATH", nargs="+", type=Path, help="bundle directories or mount points; one or several disks"
    )
    parser.add_argument("--subset", action="store_true", help="only some disks are given: do not report files on others as missing")
    parser.add_argument("--threads", type=_threads, default=os.cpu_count() or 2, metavar="N", help="blocks checked at a time")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON document")
    parser.add_argument("-q", "--quiet", action="store_true", help="print only errors and the result")
    parser.add_argument("--version", action="version", version=f"airgap {__version__}")
    return parser


def _threads(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:4]) <= 64:
        raise argparse.ArgumentTypeError("expected a number from 1 to 64")
    return int(text)


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a signal handler
    for again in _ENDING:
        signal.signal(again, signal.SIG_DFL)  # for who insists
    raise Interrupted(hint="run it again")


def _failed(error: AirgapError | Interrupted, as_json: bool) -> int:
    code = exit_code(error)
    hints = {UsageError: "correct it and run the command again", Damaged: "copy the bundle again from the original"}
    error.hint = error.hint or next((hint for kind, hint in hints.items() if isinstance(error, kind)), "check the disk")
    facts = error.facts()
    lines = [f"airgap-check: error: {printable(facts.pop('error'), 4000)}"]
    lines += [f"  {name + ':':<10}{printable(value, 1000)}" for name, value in facts.items()]
    sys.stderr.write("\n".join(lines) + "\n")
    if as_json:
        sys.stdout.write(json.dumps(headed("error", {**error.facts(), "exit_code": code})) + "\n")
    return code


class _Progress:
    """One line every few per cent on stderr where it is a terminal, else one every now and then."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._lock = threading.Lock()
        self._name, self._total, self._done, self._shown, self._spoken = "", 0, 0, 0, time.monotonic()

    def stage(self, name: str, total: int, items: int = 0, noun: str = "image") -> None:  # noqa: ARG002 - bytes are enough
        """As ``Progress.stage``."""
        with self._lock:
            self._name, self._total, self._done, self._shown = name, total, 0, 0
        if total:
            self.say(f"{name}: {human_size(total)}")

    def advance(self, count: int, items: int = 0) -> None:  # noqa: ARG002 - bytes are enough
        """As ``Progress.advance``."""
        with self._lock:
            self._done += count
            percent = self._done * 100 // self._total if self._total else 0
            is_due = percent >= self._shown + _STEP if sys.stderr.isatty() else time.monotonic() - self._spoken >= _SILENCE
            if is_due:
                self._shown, self._spoken = percent, time.monotonic()
        if is_due and self._total:
            self.say(f"{self._name}: {percent} %")

    def at(self, what: str, where: str = "") -> None:
        """As ``Progress.at``: not told."""

    def say(self, message: str) -> None:
        """As ``Progress.say``."""
        if not self._quiet:
            sys.stderr.write(f"airgap-check: {printable(message, 2000)}\n")
            sys.stderr.flush()
