"""Output for people and scripts: results on stdout, everything else on stderr; progress as a live line, or plain lines in a log."""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib
import io
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, TextIO

import typer

from airgap.cli.terminal import colours
from airgap.cli.terminal.cells import cells
from airgap.cli.terminal.meter import Meter
from airgap.cli.terminal.translated import label, translated
from airgap.errors import AirgapError, Damaged, Interrupted, MediaError, Refused, RegistryError, UsageError, exit_code
from airgap.format.times import format_time
from airgap.limits import MAX_LINE
from airgap.schemas.names import headed
from airgap.text import printable

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors and a summary of the result.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show more detail.")]

_REFRESH = 0.2  # seconds between two live lines
_SILENCE = 15  # seconds without a line, where there is no terminal
_COLUMNS = 80  # of a terminal that does not tell

#: What to do when an error does not say it itself.
_NEXT: dict[type[AirgapError], str] = {
    UsageError: "correct it and run the command again",
    Refused: "ask the sender of the bundle, or correct the policy",
    Damaged: "copy the bundle again from the original",
    RegistryError: "check the registry, then run the same command again",
    MediaError: "check the disk, then run the same command again",
}


class Each(str):
    """A line of a result that is about one image of many, or one volume: ``--quiet`` leaves it out."""

    __slots__ = ()


class InAll(str):
    """A line of a result that ``--quiet`` shows in place of those about each."""

    __slots__ = ()


def chosen(lines: Iterable[str], quiet: bool) -> list[str]:
    """The lines of a result that are shown: with or without those about each single image."""
    return [line for line in lines if not isinstance(line, Each if quiet else InAll)]


@dataclass(frozen=True)
class Said:
    """How a command was told to speak: the options that every one has."""

    as_json: Json = False
    quiet: Quiet = False
    verbose: Verbose = False

    def console(self, stdout_taken: bool = False) -> Console:
        """The output of the command; ``stdout_taken``: a document goes to standard output."""
        return Console(self.as_json, self.quiet, self.verbose, stdout_taken)


class Console:
    """The output of one command; also the ``Progress`` of its flow.

    On a terminal the stage at work is one live line, which is taken away before anything else is printed; without a terminal it is
    a line now and then. A thread sees to it while a stage is at work, so that a long step is never silent.

    Args:
        as_json: print the result as JSON.
        quiet: no progress, and of the result what is not about each single image.
        verbose: also minor stages and notices.
        stdout_taken: a document goes to standard output, so the result is printed on standard error.
        clock: seconds from any beginning; None: the time, and a thread that calls ``tick``.
    """

    def __init__(
        self,
        as_json: bool = False,
        quiet: bool = False,
        verbose: bool = False,
        stdout_taken: bool = False,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.as_json = as_json
        self._stdout_taken = stdout_taken
        self._quiet = quiet
        self._verbose = verbose
        self._live = not colours.is_plain(sys.stderr)
        self._clock = clock or time.monotonic
        self._ticks = clock is None and not quiet
        self._ended: threading.Event | None = None  # of the thread that ticks
        self._meter: Meter | None = None
        self._spoken = 0.0
        self._is_painted = False
        self._lock = threading.RLock()
        global _latest
        _latest = self

    def result(self, facts: dict[str, Any], lines: list[str], name: str = "") -> None:
        """Print the result.

        Args:
            facts: for ``--json``.
            lines: for people; with ``--quiet`` without those about each single image.
            name: of the result, the command's unless it has several.
        """
        self.end()
        stream = sys.stderr if self._stdout_taken else sys.stdout
        text = "\n".join(colours.coloured(printable(line, MAX_LINE), stream) for line in chosen(lines, self._quiet))
        if self.as_json:
            text = json.dumps(headed(name or command_name(), facts), indent=2)
        stream.write(text + "\n")
        stream.flush()

    def event(self, name: str, kind: str, message: str, facts: Mapping[str, Any] = MappingProxyType({})) -> None:
        """With ``--json``, print one event of a service as one line."""
        if self.as_json:
            head = {"at": format_time(dt.datetime.now(dt.UTC)), "event": kind, "message": message}
            sys.stdout.write(json.dumps(headed(name, {**head, **facts})) + "\n")
            sys.stdout.flush()

    def stage(self, name: str, total: int, items: int = 0, noun: str = "image") -> None:
        """As ``Progress.stage``."""
        if self._quiet:
            return
        with self._lock:
            self._wipe()
            if self._meter is None:  # many short stages one after the other are one long silence
                self._spoken = self._clock()
            self._meter = meter = Meter(label(printable(name), sys.stderr), total, items, noun, self._clock)
            if not self._live and (total or self._verbose):
                self._line(meter.opening())
            if self._ticks and self._ended is None:
                self._ended = threading.Event()
                threading.Thread(target=self._keep_ticking, args=(self._ended,), name="progress", daemon=True).start()

    def advance(self, count: int, items: int = 0) -> None:
        """As ``Progress.advance``."""
        with self._lock:
            if self._meter is not None:
                self._meter.done += count
                self._meter.finished += items

    def at(self, what: str, where: str = "") -> None:
        """As ``Progress.at``."""
        with self._lock:
            if self._meter is not None:
                self._meter.what, self._meter.where = printable(what), translated(printable(where), sys.stderr)

    def say(self, message: str) -> None:
        """As ``Progress.say``."""
        if not self._quiet:
            self.tell(message)

    def tell(self, message: str) -> None:
        """Print one line, even with ``--quiet``."""
        with self._lock:
            self._line(message)

    def detail(self, message: str) -> None:
        """Print one line, only with ``--verbose``."""
        if self._verbose:
            self.say(message)

    def tick(self) -> None:
        """Some time has passed: show how far the stage is, on a terminal at once, else where nothing was said for a while."""
        with self._lock:
            if self._meter is None:
                return
            self._meter.sample()
            if self._live:
                line = self._meter.line(max(1, _columns(sys.stderr) - 1), lambda text: _encoded(text, sys.stderr))
                sys.stderr.write(f"\r{line}\x1b[K")
                sys.stderr.flush()
                self._is_painted = True
            elif self._clock() - self._spoken >= _SILENCE:
                self._line(self._meter.plain())

    def end(self) -> None:
        """The stage is over, and nothing follows it for now."""
        with self._lock:
            self._wipe()
            self._meter = None
            if self._ended is not None:
                self._ended.set()
                self._ended = None

    def _keep_ticking(self, ended: threading.Event) -> None:
        with contextlib.suppress(OSError, ValueError):  # nobody reads it any more: what matters says so itself
            while not ended.wait(_REFRESH if self._live else 1):
                self.tick()

    def _line(self, message: str) -> None:
        self._wipe()
        self._spoken = self._clock()
        _write_line(message)

    def _wipe(self) -> None:
        if self._is_painted:
            self._is_painted = False
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


_latest: Console | None = None


def rest() -> None:
    """Take the live line away before something is printed past the console, such as an error. The command is about to end."""
    if _latest is not None:
        with contextlib.suppress(OSError, ValueError):
            _latest.end()


def command_name() -> str:
    """The running command: ``media-check`` for ``airgap media check``."""
    click = typer.Context.__mro__[1].__module__.rpartition(".")[0]  # click itself, or the one that typer brings along
    context = importlib.import_module(f"{click}.globals").get_current_context()
    return "-".join(context.command_path.split()[1:])


def tell(message: str) -> None:
    """Print one line outside of any command's progress."""
    _latest.tell(message) if _latest is not None else _write_line(message)


def survive_any_locale() -> None:
    """Write what the encoding of the locale lacks as an escape, so that no name in a result can end a command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _write_line(message: str) -> None:
    shown = colours.coloured(printable(message, 2000), sys.stderr)
    sys.stderr.write(f"airgap: {shown}\n")
    sys.stderr.flush()


def _encoded(text: str, stream: TextIO) -> str:
    """A text as the stream will show it: what its encoding lacks is an escape, which is wider."""
    encoding = stream.encoding or "ascii"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or _COLUMNS
    except (OSError, ValueError):
        return _COLUMNS


def report_error(error: AirgapError | Interrupted, as_json: bool) -> int:
    """Print one error, for people on stderr and with ``--json`` also on stdout; the exit code."""
    rest()
    code = exit_code(error)
    error.hint = error.hint or next((hint for kind, hint in _NEXT.items() if isinstance(error, kind)), "")
    facts = error.facts()
    what = f"error: {printable(facts.pop('error'), 4000)}"
    lines = [f"airgap: {colours.coloured(what, sys.stderr)}"]
    for name, value in facts.items():
        shown = translated("\n".join(printable(line, 1000) for line in value.split("\n")), sys.stderr)
        word = f"{label(name, sys.stderr)}:"
        lines.append(f"  {word}{' ' * max(1, 10 - cells(word))}{shown}")
    begin = "\n" if isinstance(error, Interrupted) and sys.stderr.isatty() else ""  # behind the terminal's ^C
    sys.stderr.write(begin + "\n".join(lines) + "\n")
    if as_json:
        sys.stdout.write(json.dumps(headed("error", {**error.facts(), "exit_code": code})) + "\n")
    return code
