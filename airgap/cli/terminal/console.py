"""Output for people and scripts: results on stdout, everything else on stderr; progress bars on a terminal, else plain lines."""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from airgap.errors import AirgapError, Damaged, Interrupted, MediaError, Refused, RegistryError, UsageError, exit_code
from airgap.limits import MAX_LINE
from airgap.text import human_size, printable

if TYPE_CHECKING:
    from tqdm import tqdm

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors and the result.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show more detail.")]

_STEP = 10  # plain lines every so many per cent
_PLAIN_FROM = 64 * 1024 * 1024

#: What to do when an error does not say it itself.
_NEXT: dict[type[AirgapError], str] = {
    UsageError: "correct it and run the command again",
    Refused: "ask the sender of the bundle, or correct the policy",
    Damaged: "copy the bundle again from the original",
    RegistryError: "check the registry, then run the same command again",
    MediaError: "check the disk, then run the same command again",
}


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

    Args:
        as_json: print the result as JSON.
        quiet: no progress.
        verbose: also minor stages and notices.
        stdout_taken: a document goes to standard output, so the result is printed on standard error.
    """

    def __init__(self, as_json: bool = False, quiet: bool = False, verbose: bool = False, stdout_taken: bool = False) -> None:
        self.as_json = as_json
        self._stdout_taken = stdout_taken
        self._quiet = quiet
        self._verbose = verbose
        self._bars = sys.stderr.isatty() and not quiet
        self._bar: tqdm[Any] | None = None
        self._lock = threading.Lock()
        self._name, self._total, self._done, self._shown = "", 0, 0, 0

    def result(self, facts: dict[str, Any], lines: list[str]) -> None:
        """Print the result: facts for ``--json``, lines for people."""
        self._end_bar()
        text = json.dumps(facts, indent=2) if self.as_json else "\n".join(printable(line, MAX_LINE) for line in lines)
        stream = sys.stderr if self._stdout_taken else sys.stdout
        stream.write(text + "\n")
        stream.flush()

    def stage(self, name: str, total: int) -> None:
        """As ``Progress.stage``."""
        with self._lock:
            self._end_bar()
            self._name, self._total, self._done, self._shown = name, total, 0, 0
            if self._bars and total:
                from tqdm import tqdm  # here, for it takes a tenth of a second to load and few commands need it

                self._bar = tqdm(total=total, desc=name, unit="B", unit_scale=True, leave=False, dynamic_ncols=True)
            elif not self._quiet and (total or self._verbose or self._bars):
                self._line(f"{name}: {human_size(total)}" if total else name)

    def advance(self, count: int) -> None:
        """As ``Progress.advance``."""
        with self._lock:
            self._done += count
            if self._bar is not None:
                self._bar.update(count)
            elif self._total >= _PLAIN_FROM and not self._quiet:
                percent = self._done * 100 // self._total // _STEP * _STEP
                if percent > self._shown:
                    self._shown = percent
                    self._line(f"{self._name}: {percent} %")

    def say(self, message: str) -> None:
        """As ``Progress.say``."""
        if not self._quiet:
            with self._lock:
                self._line(message)

    def detail(self, message: str) -> None:
        """Print one line, only with ``--verbose``."""
        if self._verbose:
            self.say(message)

    def _line(self, message: str) -> None:
        text = f"airgap: {printable(message, 2000)}"
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def tell(message: str) -> None:
    """Print one line outside of any command's progress."""
    sys.stderr.write(f"airgap: {printable(message, 2000)}\n")
    sys.stderr.flush()


def report_error(error: AirgapError | Interrupted, as_json: bool) -> int:
    """Print one error, for people on stderr and with ``--json`` also on stdout; the exit code."""
    code = exit_code(error)
    error.hint = error.hint or next((hint for kind, hint in _NEXT.items() if isinstance(error, kind)), "")
    facts = error.facts()
    lines = [f"airgap: error: {printable(facts.pop('error'), 4000)}"]
    for name, value in facts.items():
        shown = "\n".join(printable(line, 1000) for line in value.split("\n"))
        lines.append(f"  {name + ':':<10}{shown}")
    begin = "\n" if isinstance(error, Interrupted) and sys.stderr.isatty() else ""  # behind the bar and the terminal's ^C
    sys.stderr.write(begin + "\n".join(lines) + "\n")
    if as_json:
        sys.stdout.write(json.dumps({**error.facts(), "exit_code": code}) + "\n")
    return code
