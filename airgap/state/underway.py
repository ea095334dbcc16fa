"""Imports that have begun: noted before anything is written, so that one that never ends is in the history all the same.

A note is a row, and beside it a file that the import keeps locked. There is none but while an import is running, so whoever opens
the state looks for some: one whose file nobody has locked belongs to a command that was killed. Files are made and looked at within
a transaction that nobody else can have at the same time, so a file without a lock is never one that is about to get it.
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
        """Note an import that begins, until the block ends: a block that fails is recorded by its caller. Raises ``MediaError``."""
        own = secrets.token_hex(8)
        fsio.make_directory(self._directory, fsio.PRIVATE)
        with contextlib.ExitStack() as held:
            held.callback(self._remove, own)
            with self._place.errors(), self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                held.enter_context(fsio.exclusive(self._directory / own, Busy("running")))
                self._connection.execute("INSERT INTO memory VALUES (?, ?)", (_UNDERWAY + own, json.dumps(asdict(one))))
            self._own = own
            try:
                yield
            finally:
                with contextlib.suppress(AirgapError), self._place.errors(), self._connection:
                    self.ended()

    def ended(self) -> None:
        """Drop the note of this command's import, within the transaction that records how it ended."""
        if self._own:
            self._connection.execute("DELETE FROM memory WHERE name = ?", (_UNDERWAY + self._own,))
            self._own = ""

    def any(self) -> bool:
        """Whether there are notes, of imports that run or of dead ones."""
        with self._place.errors():
            return bool(self._rows()) or bool(self._files())

    def dead(self) -> Iterator[Beginning]:
        """Drop the notes of imports whose commands are gone, within the transaction that records them."""
        self._connection.execute("BEGIN IMMEDIATE")
        fsio.make_directory(self._directory, fsio.PRIVATE)
        rows = self._rows()
        for key in sorted(rows.keys() | self._files()):
            try:
                with fsio.exclusive(self._directory / key, Busy("running")):
                    self._remove(key)
            except MediaError:  # it is running, or this disk knows no locks
                continue
            if key in rows:
                self._connection.execute("DELETE FROM memory WHERE name = ?", (_UNDERWAY + key,))
                try:
                    yield Beginning(**json.loads(rows[key]))
                except (TypeError, ValueError) as error:
                    raise self._place.damaged("its record of an unfinished import is invalid") from error

    def _rows(self) -> dict[str, str]:
        query = "SELECT substr(name, ?), value FROM memory WHERE substr(name, 1, ?) = ?"
        return dict(self._connection.execute(query, (len(_UNDERWAY) + 1, len(_UNDERWAY), _UNDERWAY)))

    def _files(self) -> set[str]:
        return {path.name for path in self._directory.iterdir()} if fsio.is_there(self._directory) else set()

    def _remove(self, key: str) -> None:
        with contextlib.suppress(OSError):  # the next command that opens the state removes it
            (self._directory / key).unlink()
