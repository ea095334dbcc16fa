"""Imports that have begun: noted before anything is written, so that one that never ends is in the history all the same.

A note is a row, and beside it a file that the import keeps locked. Whoever opens the state looks at the rows, of which there is
none but while an import is running: a row whose file nobody has locked belongs to a command that was killed.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from airgap import fsio
from airgap.errors import AirgapError, Busy, MediaError
from airgap.state.place import Database

_UNDERWAY = "underway "
_DIRECTORY = "underway"


@dataclass(frozen=True)
class Beginning:
    """An import that has begun: when, of which bundle, into which target. Stream and serial are those of a signed catalog."""

    at: str
    stream: str
    serial: int
    catalog: str
    target: str


class Underway:
    """The imports that have begun, in a state; see :class:`airgap.state.State`."""

    def __init__(self, place: Database, connection: sqlite3.Connection, directory: Path) -> None:
        self._place = place
        self._connection = connection
        self._directory = directory / _DIRECTORY
        self._own = ""

    @contextlib.contextmanager
    def noted(self, one: Beginning) -> Iterator[None]:
        """Note an import that begins, until the block ends: a block that fails is recorded by its caller."""
        own = secrets.token_hex(8)
        fsio.make_directory(self._directory, fsio.PRIVATE)
        path = self._directory / own
        with fsio.exclusive(path, Busy("another import has this note", where=str(path))):
            with self._place.errors(), self._connection:
                self._connection.execute("INSERT INTO memory VALUES (?, ?)", (_UNDERWAY + own, json.dumps(asdict(one))))
            self._own = own
            try:
                yield
            finally:
                with contextlib.suppress(AirgapError), self._place.errors(), self._connection:
                    self.ended()
                with contextlib.suppress(OSError):
                    path.unlink()

    def ended(self) -> None:
        """Drop the note of this command's import, within the transaction that records how it ended."""
        if self._own:
            self._connection.execute("DELETE FROM memory WHERE name = ?", (_UNDERWAY + self._own,))
            self._own = ""

    def dead(self) -> list[tuple[str, Beginning]]:
        """The imports whose commands are gone, each with its key for :meth:`buried`."""
        with self._place.errors():
            rows = self._connection.execute(
                "SELECT name, value FROM memory WHERE substr(name, 1, ?) = ?", (len(_UNDERWAY), _UNDERWAY)
            ).fetchall()
        found = []
        for name, value in rows:
            key = name.removeprefix(_UNDERWAY)
            try:
                with fsio.exclusive(self._directory / key, Busy("running")):
                    found.append((key, Beginning(**json.loads(value))))
            except MediaError:  # it is running, or this disk knows no locks
                continue
            except (TypeError, ValueError) as error:
                raise self._place.damaged("its record of an unfinished import is invalid") from error
        return found

    def buried(self, key: str) -> bool:
        """Drop the note of a dead import, within the transaction that records it; False if another command was faster."""
        gone = self._connection.execute("DELETE FROM memory WHERE name = ?", (_UNDERWAY + key,)).rowcount > 0
        with contextlib.suppress(OSError):
            (self._directory / key).unlink()
        return gone
