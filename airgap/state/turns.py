"""Whose turn it is: of the commands that share a state one at a time writes to a place, and whoever waits is told for whom.

A gate that is asked, a plan that is made and names that are moved are one step only when nobody else moves names in between. So
what writes names asks for a :class:`Turn`, which nothing but a held lock can give.
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
    """Who is at work: the command, its process and machine, and since when (RFC 3339, UTC)."""

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
        """As it is written down."""
        return json.dumps({"command": self.command, "pid": self.pid, "machine": self.machine, "since": self.since}).encode()

    @staticmethod
    def described(note: bytes) -> str:
        """Who wrote a note, for a person. It may be half written, or that of somebody who only reads."""
        try:
            fields = json.loads(note)
            return printable(str(Holder(str(fields["command"]), int(fields["pid"]), str(fields["machine"]), str(fields["since"]))))
        except (ValueError, TypeError, KeyError, RecursionError):
            return "another airgap command"


def identity(state: Path) -> str:
    """What tells this state on this machine from all others, 16 hex digits: a copy of it elsewhere is another one.

    Raises:
        MediaError: the disk refuses.
    """
    with fsio.disk_errors("cannot look at the state", state):
        status = state.stat()
    text = f"{socket.gethostname()} {os.path.realpath(state)} {status.st_dev} {status.st_ino}"
    return Digest.of(text.encode()).hex[:16]


class Turn:
    """Proof that it is this process's turn to write to some places. Only :func:`take` makes one.

    Attributes:
        remarks: what a person must know about how far it holds.
    """

    def __init__(self, places: Sequence[str]) -> None:
        self._places = frozenset(places)
        self._pending: list[Callable[[], Callable[[], None]]] = []
        self._checks: list[Callable[[], None]] = []
        self.remarks: list[str] = []

    def before_writing(self, get: Callable[[], Callable[[], None]]) -> None:
        """Let :meth:`begin` get something else as well, far away, where nobody is asked before all is known here.

        Args:
            get: waits for it; what it returns raises ``AirgapError`` when somebody else has taken over.
        """
        self._pending.append(get)

    def begin(self, place: str) -> None:
        """Be ready to write, or to ask there what decides what is written.

        Raises:
            AirgapError: what else is needed cannot be had.
        """
        self.check(place)
        while self._pending:
            self._checks.append(self._pending.pop()())

    def check(self, place: str) -> None:
        """See that it is still our turn at a place, right before names are moved there.

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
        places: in one spelling each.
        command: what others are told that they wait for.
        patience: seconds to wait at most, for each place.
        told: hears whom it waits for.
        shared: only to read: together with others who do.

    Raises:
        Busy: patience is over.
        MediaError: the disk refuses.
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
                    lambda note, place=place: told(f"waiting for {Holder.described(note)}, which works at {place}"),  # type: ignore[misc]
                    lambda note, place=place: _busy(place, note, patience),  # type: ignore[misc]
                    shared=shared,
                )
            )
        stack.callback(turn._end)
        yield turn


def _busy(place: str, note: bytes, patience: float) -> Busy:
    return Busy(
        "another command is at work at the target" + (f", and was after {patience:g} seconds" if patience else ""),
        where=printable(place),
        got=Holder.described(note),
        hint="nothing was done; run the command again when that one has ended, or let it wait longer (--wait SECONDS)",
    )
