"""Turns: of the commands that share a state, only one at a time writes to a place; the others are told who they wait for.

Asking the gate or making a plan and then moving names is atomic only if nobody else moves names in between. So code that writes
names requires a :class:`Turn`, which only a held lock can give.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from airgap import fsio
from airgap.errors import Busy
from airgap.oci.digest import Digest
from airgap.text import printable

_DIRECTORY = "turns"
_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Holder:
    """Who has the turn: the command, its process and machine, and since when (RFC 3339, UTC)."""

    command: str
    pid: int
    machine: str
    since: str

    @classmethod
    def this(cls, command: str) -> Holder:
        """This process, from now on."""
        return cls(command, os.getpid(), socket.gethostname(), dt.datetime.now(dt.UTC).strftime(_TIME))

    def __str__(self) -> str:
        return f"{self.command} (process {self.pid} on {self.machine}, since {self.since})"

    def to_bytes(self) -> bytes:
        """The note as written to the lock file."""
        return json.dumps({"command": self.command, "pid": self.pid, "machine": self.machine, "since": self.since}).encode()

    @staticmethod
    def described(note: bytes) -> str:
        """Who wrote a note, for people. It may be incomplete, or by a command that only reads."""
        try:
            fields = json.loads(note)
            return printable(str(Holder(str(fields["command"]), int(fields["pid"]), str(fields["machine"]), str(fields["since"]))))
        except (ValueError, TypeError, KeyError, RecursionError):
            return "another airgap command"


def identity(state: Path) -> str:
    """Identifies this state on this machine, in 16 hex digits: a copy of it elsewhere has another identity.

    Raises:
        MediaError: the disk fails.
    """
    with fsio.disk_errors("cannot access the state", state):
        status = state.stat()
    text = f"{socket.gethostname()} {os.path.realpath(state)} {status.st_dev} {status.st_ino}"
    return Digest.of(text.encode()).hex[:16]


class Turn:
    """Proof that this process has the turn to write to some places. Only :func:`take` creates one.

    Attributes:
        remarks: notes for people on its limits.
    """

    def __init__(self, places: Sequence[str]) -> None:
        self._places = frozenset(places)
        self._pending: list[Callable[[], Callable[[], None]]] = []
        self._checks: list[Callable[[], None]] = []
        self.remarks: list[str] = []

    def before_writing(self, get: Callable[[], Callable[[], None]]) -> None:
        """Let :meth:`begin` also acquire something remote, which must not be asked for before everything is known here.

        Args:
            get: waits for it and returns a check, which raises ``AirgapError`` if somebody else has taken over.
        """
        self._pending.append(get)

    def begin(self, place: str) -> None:
        """Prepare to write, or to ask the target what decides what is written.

        Raises:
            AirgapError: something needed is not available.
        """
        self.check(place)
        while self._pending:
            self._checks.append(self._pending.pop()())

    def check(self, place: str) -> None:
        """Check that this process still has the turn at a place, right before names are moved there.

        Raises:
            AirgapError: somebody else has taken over.
        """
        if place not in self._places:
            raise RuntimeError(f"it is not this command's turn at {place}")
        for one in self._checks:
            one()

    def _end(self) -> None:
        self._places = frozenset()


@contextlib.contextmanager
def take(
    state: Path, places: Sequence[str], command: str, patience: float, told: Callable[[str], None], *, shared: bool = False
) -> Iterator[Turn]:
    """Wait for the turn at all of these places and keep it until the block ends.

    Args:
        state: the state directory.
        places: each in one spelling.
        command: this command's name, for those who wait for it.
        patience: most seconds to wait for each place.
        told: called with a sentence that says who is waited for.
        shared: only read, together with other readers.

    Raises:
        Busy: the wait was not long enough.
        MediaError: the disk fails.
    """
    directory = state / _DIRECTORY
    fsio.make_directory(directory, fsio.PRIVATE)
    note = Holder.this(command).to_bytes()
    turn = Turn(places)
    with contextlib.ExitStack() as stack:
        for place in sorted(set(places)):  # in one order, so that no two commands wait for each other
            path = directory / f"{Digest.of(os.fsencode(place)).hex[:32]}.lock"
            stack.enter_context(
                fsio.waiting(
                    path,
                    note,
                    patience,
                    lambda note, place=place: told(f"waiting for {Holder.described(note)}, which is using {place}"),  # type: ignore[misc]
                    lambda note, place=place: _busy(place, note, patience),  # type: ignore[misc]
                    shared=shared,
                )
            )
        stack.callback(turn._end)
        yield turn


def _busy(place: str, note: bytes, patience: float) -> Busy:
    return Busy(
        "another command is using the target" + (f" and still was after {patience:g} seconds" if patience else ""),
        where=printable(place),
        got=Holder.described(note),
        hint="run the command again when the other one has ended, or wait longer (--wait SECONDS); nothing was done",
    )
