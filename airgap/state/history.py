"""The history of decisions in a state, each with its reason."""

from __future__ import annotations

import datetime as dt
import sqlite3
from dataclasses import astuple, dataclass, replace

from airgap.state.place import Database

_ALL = (
    "SELECT at, event, stream, serial, catalog, target, outcome, reason, code FROM history WHERE ? IN ('', stream)"
    " ORDER BY id DESC LIMIT ?"
)
_LATEST = (
    "SELECT event, stream, serial, catalog, target, outcome, reason, code FROM history WHERE catalog = ? AND target = ?"
    " ORDER BY id DESC LIMIT 1"
)
_ADD = "INSERT INTO history (at, event, stream, serial, catalog, target, outcome, reason, code) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Event:
    """One decision in the history.

    ``at`` is RFC 3339 in UTC; ``reason`` explains it in sentences, or is empty; ``exit_code`` is the command's, 0 if it succeeded.
    """

    at: str
    event: str
    stream: str
    serial: int
    catalog: str
    target: str
    outcome: str
    reason: str
    exit_code: int = 0


#: Words of earlier versions, in states that still have them, by the words of today (docs/glossary.md).
_FORMER = {"sealing": "finishing", "sealed": "finished"}


class History:
    """The history in a state; see :class:`airgap.state.State`."""

    def __init__(self, place: Database, connection: sqlite3.Connection) -> None:
        self._place = place
        self._connection = connection

    def read(self, stream: str, limit: int) -> list[Event]:
        """Every decision, or the latest ``limit``, of a stream if one is given; oldest first."""
        with self._place.errors():
            rows = self._connection.execute(_ALL, (stream, limit or -1)).fetchall()
        events = [Event(*row) for row in reversed(rows)]
        return [replace(one, event=_today(one.event), outcome=_today(one.outcome)) for one in events]

    # within a transaction of State

    def add(self, event: Event, *, unless_said: bool = False) -> None:
        """Add a decision, now. With ``unless_said`` not when the latest of this catalog and target is the same."""
        row = astuple(event)[1:]
        if unless_said and self._connection.execute(_LATEST, (event.catalog, event.target)).fetchone() == row:
            return
        at = dt.datetime.now(dt.UTC).strftime(_TIME)
        self._connection.execute(_ADD, (at, *row))


def _today(word: str) -> str:
    return _FORMER.get(word, word)
