"""What one machine remembers: serials and catalogs of every stream, exported or imported, and the history of decisions.

It is the memory that keeps an old bundle out, so it fails closed: a state that cannot be read or written stops the work.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import secrets
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from airgap import fsio
from airgap.errors import AirgapError, Damaged, MediaError, Refused
from airgap.oci.digest import Digest
from airgap.text import printable

_FILE = "state.db"
_APPLICATION = 0x41475031  # "AGP1"
_SCHEMA = """
CREATE TABLE exported (stream TEXT NOT NULL, serial INTEGER NOT NULL, catalog TEXT NOT NULL, at TEXT NOT NULL,
                       PRIMARY KEY (stream, serial)) STRICT;
CREATE TABLE imported (stream TEXT NOT NULL, serial INTEGER NOT NULL, catalog TEXT NOT NULL, target TEXT NOT NULL, at TEXT NOT NULL,
                       PRIMARY KEY (stream, serial, target)) STRICT;
CREATE TABLE history (id INTEGER PRIMARY KEY, at TEXT NOT NULL, event TEXT NOT NULL, stream TEXT NOT NULL, serial INTEGER NOT NULL,
                      catalog TEXT NOT NULL, target TEXT NOT NULL, outcome TEXT NOT NULL) STRICT;
"""


@dataclass(frozen=True)
class Remembered:
    """A bundle that this state knows."""

    serial: int
    catalog: Digest


class State:
    """The state directory, opened. Use as a context manager.

    Args:
        directory: created when missing.

    Raises:
        Refused: the state is damaged.
        MediaError: it cannot be opened or written.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / _FILE
        fsio.make_directory(directory)
        self._connection = self._open()

    def __enter__(self) -> State:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def last_exported(self, stream: str, below: int | None = None) -> Remembered | None:
        """The highest bundle of a stream exported from here, below a serial if one is given."""
        bound = below if below is not None else 2**62
        return self._one(
            "SELECT serial, catalog FROM exported WHERE stream = ? AND serial < ? ORDER BY serial DESC", (stream, bound)
        )

    def last_sealing(self, stream: str) -> Remembered | None:
        """The bundle of a stream that was about to be sealed when its run ended, so that :meth:`record_export` was never called."""
        query = (
            "SELECT serial, catalog FROM history WHERE event = 'sealing' AND stream = ?"
            " AND serial NOT IN (SELECT serial FROM exported WHERE stream = ?) ORDER BY id DESC"
        )
        return self._one(query, (stream, stream))

    def record_sealing(self, stream: str, serial: int, catalog: Digest) -> None:
        """Remember that a bundle is about to be sealed and get its final name."""
        with self._writing():
            self._history("sealing", stream, serial, catalog, "", "begun")

    def record_export(self, stream: str, serial: int, catalog: Digest) -> None:
        """Remember a sealed bundle."""
        with self._writing():
            row = (stream, serial, str(catalog), _now())
            self._connection.execute("INSERT OR REPLACE INTO exported VALUES (?, ?, ?, ?)", row)
            self._history("export", stream, serial, catalog, "", "sealed")

    def last_imported(self, stream: str) -> Remembered | None:
        """The highest bundle of a stream that this site has taken, whatever the target."""
        return self._one("SELECT serial, catalog FROM imported WHERE stream = ? ORDER BY serial DESC, at DESC", (stream,))

    def imported_into(self, stream: str, serial: int, target: str) -> Digest | None:
        """The catalog of this serial that was loaded into a target, or None."""
        query = "SELECT serial, catalog FROM imported WHERE stream = ? AND serial = ? AND target = ?"
        found = self._one(query, (stream, serial, target))
        return found.catalog if found else None

    def record_import(self, stream: str, serial: int, catalog: Digest, target: str, outcome: str) -> None:
        """Remember a bundle that was loaded completely."""
        with self._writing():
            row = (stream, serial, str(catalog), target, _now())
            self._connection.execute("INSERT OR REPLACE INTO imported VALUES (?, ?, ?, ?, ?)", row)
            self._history("import", stream, serial, catalog, target, outcome)

    def record_refusal(self, stream: str, serial: int, catalog: Digest, target: str, reason: str) -> None:
        """Remember that a bundle was refused, and why."""
        with self._writing():
            self._history("refused", stream, serial, catalog, target, reason)

    def _history(self, event: str, stream: str, serial: int, catalog: Digest, target: str, outcome: str) -> None:
        row = (_now(), event, stream, serial, str(catalog), target, outcome)
        self._connection.execute(
            "INSERT INTO history (at, event, stream, serial, catalog, target, outcome) VALUES (?, ?, ?, ?, ?, ?, ?)", row
        )

    def _one(self, query: str, values: tuple[object, ...]) -> Remembered | None:
        with self._errors():
            row = self._connection.execute(query + " LIMIT 1", values).fetchone()
        try:
            return Remembered(row[0], Digest.parse(row[1])) if row else None
        except Damaged as error:
            raise self._damaged("a catalog's digest is none") from error

    def _open(self) -> sqlite3.Connection:
        with self._errors():
            if not self._path.exists():
                self._create()
            connection = sqlite3.connect(self._path, timeout=30)
            try:
                self._check(connection)
            except BaseException:
                connection.close()
                raise
            return connection

    def _create(self) -> None:
        """Make it under another name first: sqlite takes an empty file for a new database, to us it is a state that was lost."""
        temporary = self._path.with_name(f".{_FILE}.{secrets.token_hex(4)}.tmp")
        try:
            with contextlib.closing(sqlite3.connect(temporary)) as connection:
                connection.execute("PRAGMA synchronous = FULL")
                connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA application_id = {_APPLICATION}; COMMIT;")
            temporary.chmod(0o600)
            try:
                self._path.hardlink_to(temporary)  # never over a state that another process has made meanwhile
            except FileExistsError:
                return
            except OSError:  # a file system without links
                temporary.rename(self._path)
            fsio.sync_directory(self._path.parent)
        finally:
            temporary.unlink(missing_ok=True)

    def _check(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA synchronous = FULL")
        if connection.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION:
            raise self._damaged("it is a database of something else, or empty")
        if connection.execute("PRAGMA quick_check").fetchone()[0] != "ok":
            raise self._damaged("its integrity check fails")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        with self._errors(), self._connection:
            yield

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.OperationalError, OSError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise MediaError(
                f"cannot use the state: {printable(why)}",
                where=printable(str(self._path)),
                hint="name a writable directory with --state or AIRGAP_STATE",
            ) from error
        except sqlite3.DatabaseError as error:
            raise self._damaged(printable(str(error))) from error

    def _damaged(self, why: str) -> AirgapError:
        return Refused(
            f"the state is damaged: {why}",
            where=printable(str(self._path)),
            hint="restore it from a backup: without it an old bundle could be taken for a new one",
        )


def _now() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
