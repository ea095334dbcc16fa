"""The state directory on disk: find, open and create it, and refuse it if it is damaged or gone.

The state keeps old bundles out, so it fails closed. Beside the database is a small marker with the same random id: a directory with
the marker but without the database has lost it; a directory without either belongs to a new site.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from airgap import fsio
from airgap.errors import MediaError, Refused
from airgap.state import doubt
from airgap.state.private import protect
from airgap.state.spelling import Functions
from airgap.text import listing, printable

_FILE = "state.db"
_MARKER = ".airgap-state"
_VERSION = 8
_APPLICATION = 0x41475031  # "AGP1"
_MOST_STREAMS = 1000
_SHORT = 0.2  # seconds; somebody waits at a prompt
_SCHEMA = """
CREATE TABLE exported (stream TEXT NOT NULL, serial INTEGER NOT NULL, catalog TEXT NOT NULL, at TEXT NOT NULL,
                       PRIMARY KEY (stream, serial)) STRICT;
CREATE TABLE imported (stream TEXT NOT NULL, serial INTEGER NOT NULL, catalog TEXT NOT NULL, target TEXT NOT NULL, at TEXT NOT NULL,
                       PRIMARY KEY (stream, serial, target)) STRICT;
CREATE TABLE history (id INTEGER PRIMARY KEY, at TEXT NOT NULL, event TEXT NOT NULL, stream TEXT NOT NULL, serial INTEGER NOT NULL,
                      catalog TEXT NOT NULL, target TEXT NOT NULL, outcome TEXT NOT NULL) STRICT;
"""
#: Begins the history of names (state/standing.py). States of before know what every bundle brought: it is put in the order of the
#: imports, and what names stand for now is known from ``names``. What prune had removed of it cannot be known: such generations
#: are unsure.
_HISTORY_OF_NAMES = (
    "ALTER TABLE generations ADD COLUMN moment INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE generations ADD COLUMN unsure INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE brought ADD COLUMN roots TEXT NOT NULL DEFAULT ''",
    "CREATE TABLE stood (target TEXT NOT NULL, stream TEXT NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL,"
    " since INTEGER NOT NULL, until INTEGER, taken INTEGER NOT NULL, PRIMARY KEY (target, name, stream, since))"
    " STRICT, WITHOUT ROWID",
    "UPDATE generations SET moment = (SELECT count(*) FROM generations AS other WHERE other.target = generations.target"
    " AND (other.at, other.serial, other.stream) <= (generations.at, generations.serial, generations.stream))",
    "UPDATE generations SET unsure = EXISTS (SELECT 1 FROM history WHERE event = 'prune' AND history.target = generations.target"
    " AND history.stream = generations.stream AND history.serial < generations.serial AND history.at >= generations.at)",
    "INSERT INTO stood WITH"
    " event AS (SELECT target, stream, name, digest, moment FROM brought JOIN generations USING (target, stream, serial)"
    " WHERE image),"
    " owner AS (SELECT target, stream, name, min(moment) AS first FROM event GROUP BY target, stream, name)"
    " SELECT event.target, owner.stream, event.name, event.digest, event.moment,"
    " lead(event.moment) OVER (PARTITION BY event.target, owner.stream, event.name ORDER BY event.moment), 0"
    " FROM event JOIN owner ON owner.target = event.target AND owner.name = event.name AND event.moment >= owner.first",
    "INSERT INTO stood WITH next AS (SELECT target, 1 + max(max(force), max(moment)) AS moment FROM generations GROUP BY target)"
    " SELECT target, stream, name, names.digest, next.moment, NULL, 0"
    " FROM stood JOIN names USING (target, name) JOIN next USING (target) WHERE until IS NULL AND names.digest <> stood.digest",
    "UPDATE stood SET until = (SELECT max(since) FROM stood AS later WHERE"
    " (later.target, later.stream, later.name) = (stood.target, stood.stream, stood.name)) WHERE until IS NULL"
    " AND EXISTS (SELECT 1 FROM stood AS later WHERE"
    " (later.target, later.stream, later.name) = (stood.target, stood.stream, stood.name) AND later.since > stood.since)",
)
#: What every version has added to the one before it.
_STEPS = (
    (
        "ALTER TABLE history ADD COLUMN reason TEXT NOT NULL DEFAULT ''",
        "CREATE TABLE memory (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
        "INSERT INTO memory VALUES ('id', lower(hex(randomblob(16))))",
    ),
    (
        "CREATE TABLE names (target TEXT NOT NULL, name TEXT NOT NULL, source TEXT NOT NULL, digest TEXT NOT NULL,"
        " at TEXT NOT NULL, PRIMARY KEY (target, name)) STRICT",
    ),
    (
        "CREATE TABLE generations (target TEXT NOT NULL, stream TEXT NOT NULL, serial INTEGER NOT NULL, catalog TEXT NOT NULL,"
        " at TEXT NOT NULL, force INTEGER NOT NULL, pruned INTEGER NOT NULL, PRIMARY KEY (target, stream, serial)) STRICT",
        "CREATE TABLE brought (target TEXT NOT NULL, stream TEXT NOT NULL, serial INTEGER NOT NULL, name TEXT NOT NULL,"
        " digest TEXT NOT NULL, image INTEGER NOT NULL, PRIMARY KEY (target, stream, serial, name)) STRICT, WITHOUT ROWID",
    ),
    (
        "CREATE TABLE custody (entry TEXT NOT NULL, stream TEXT NOT NULL, serial INTEGER NOT NULL, catalog TEXT NOT NULL,"
        " medium TEXT NOT NULL, at TEXT NOT NULL, who TEXT NOT NULL, place TEXT NOT NULL, note TEXT NOT NULL, result TEXT NOT NULL,"
        " vouched TEXT NOT NULL, taken TEXT NOT NULL, PRIMARY KEY (catalog, entry)) STRICT",
    ),
    _HISTORY_OF_NAMES,
    (
        "UPDATE OR REPLACE imported SET target = respelled_target(target)",
        "UPDATE OR REPLACE names SET target = respelled_target(target)",
        "UPDATE OR REPLACE generations SET target = respelled_target(target)",
        "UPDATE OR REPLACE brought SET target = respelled_target(target), name = respelled_name(name)",
        "UPDATE OR REPLACE stood SET target = respelled_target(target), name = respelled_name(name)",
        "UPDATE OR REPLACE names SET name = respelled_name(name), source = respelled_name(source)",
        "CREATE TABLE owners (repository TEXT PRIMARY KEY, source TEXT NOT NULL, at TEXT NOT NULL) STRICT",
        # a repository that two sources had before is the last one's
        "INSERT OR REPLACE INTO owners SELECT repository_of(name), repository_of(source), at FROM names"
        " WHERE target LIKE 'docker://%' AND repository_of(name) <> '' AND repository_of(source) <> '' ORDER BY at",
        "ALTER TABLE brought ADD COLUMN source TEXT NOT NULL DEFAULT ''",
        "UPDATE brought SET source = coalesce((SELECT repository_of(names.source) FROM names"
        " WHERE names.target = brought.target AND names.name = brought.name), '') WHERE image",
    ),
    (
        "ALTER TABLE history ADD COLUMN code INTEGER NOT NULL DEFAULT 0",
        "UPDATE history SET code = iif(outcome LIKE 'the target lacks %', 4, 3) WHERE event = 'refused'",
    ),
    ("ALTER TABLE brought ADD COLUMN forms TEXT NOT NULL DEFAULT ''",),
)
_BEGUN = (
    "INSERT INTO history (at, event, stream, serial, catalog, target, outcome, reason)"
    " VALUES (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'), 'state', '', 0, '', '', 'begun anew (--init-state)', ?)"
)
_KNOWN = frozenset({_FILE, _MARKER})
_BACKUP = "restore it from a backup"
_BEGIN_HINT = (
    f"{_BACKUP}; only if there is none, start a new state with --init-state: it forgets which serials were exported and imported,"
    " the latest time seen (an old bundle could pass for a new one, a serial could be used twice), who owns which"
    " repository, what prune and rollback need, and the history"
)
_AGAIN = "run the same command again"
_DISK = f"{_AGAIN}; if it fails again, check the disk and keep the state: there is no sign that it is damaged"
_BUSY = f"another command is using it: {_AGAIN} when that one has ended"
#: What can be done about what SQLite or the disk says, by SQLite's primary code.
_NEXT = {
    sqlite3.SQLITE_IOERR: _DISK,
    sqlite3.SQLITE_BUSY: _BUSY,
    sqlite3.SQLITE_LOCKED: _BUSY,
    sqlite3.SQLITE_FULL: f"free some space there, then {_AGAIN}: it continues where it stopped",
    sqlite3.SQLITE_NOMEM: f"{_AGAIN} when more memory is free",
}
_ERRNO = {
    errno.EIO: sqlite3.SQLITE_IOERR,
    errno.ENOSPC: sqlite3.SQLITE_FULL,
    errno.EDQUOT: sqlite3.SQLITE_FULL,
    errno.ENOMEM: sqlite3.SQLITE_NOMEM,
}
_ELSEWHERE = "name a writable directory with --state or AIRGAP_STATE"


class _Unusable(Refused):
    """The state is lost or damaged: the only reason to start a new one in its place."""


class Database:
    """A state directory; see :class:`airgap.state.State`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / _FILE
        self._functions = Functions()

    def exists(self) -> bool:
        """Whether there is, or was, a state. Raises ``MediaError``."""
        return fsio.is_there(self._directory)

    def protect(self) -> str:
        """Remove write permission for others; returns what was done as a sentence, or nothing. See :func:`private.protect`."""
        return protect(self._directory, _KNOWN)

    def begun(self) -> bool:
        """Whether the database exists."""
        return (self._directory / _FILE).exists()

    def open(self, begin: bool) -> sqlite3.Connection:
        """The database.

        Args:
            begin: put a lost or damaged state aside and start a new one; the history says why.

        Raises:
            Refused: it is lost or damaged, or others can write there.
            MediaError: the disk fails.
        """
        self.protect()
        try:
            return self._open()
        except _Unusable as lost:
            if not begin:
                raise
            return self._begin_again(lost.what)

    def _open(self) -> sqlite3.Connection:
        with self.errors():
            if not fsio.is_there(self._directory):
                self._create_directory()
            if not self._path.exists():
                if fsio.is_there(self._directory / _MARKER):
                    raise self._lost()
                self._create()
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        connection = self._bare()
        try:
            self._check(connection)
            self._check_marker(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _bare(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=30)
        self._functions.add(connection)
        return connection

    def _begin_again(self, why: str) -> sqlite3.Connection:
        """The remains are put aside, not removed: somebody may want to find out what happened.

        The marker goes last: until then a run that is killed leaves a state that is refused, never what seems to be a new site's.
        """
        busy = MediaError("another command is starting this state again", where=printable(str(self._directory)), hint="try again")
        with fsio.exclusive_directory(self._directory, busy), self.errors():
            with contextlib.suppress(_Unusable):
                return self._open()  # that one was faster
            mark = secrets.token_hex(4)
            self._put_aside(_FILE, mark)
            self._put_aside(f"{_FILE}-journal", mark)
            self._create(why)
            self._put_aside(_MARKER, mark)
            return self._connect()

    def _put_aside(self, name: str, mark: str) -> None:
        if fsio.is_there(self._directory / name):
            fsio.rename_durable(self._directory / name, self._directory / f"{name}.lost-{mark}")

    def _create_directory(self) -> None:
        """Make it under another name first, so that it appears with the database in it or not at all."""
        fsio.make_directory(self._directory.parent, fsio.PRIVATE)
        with fsio.TemporaryDirectory(self._directory, fsio.PRIVATE) as temporary:
            self._make_database(temporary / _FILE)
            try:
                fsio.rename_durable(temporary, self._directory)
            except MediaError as error:
                reason = error.__cause__
                if not isinstance(reason, OSError) or reason.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise  # else another process has made it meanwhile

    def _create(self, why: str = "") -> None:
        """Make it under another name first: sqlite takes an empty file for a new database, to us it is a state that was lost."""
        with fsio.TemporaryDirectory(self._path, fsio.PRIVATE) as temporary:
            self._make_database(temporary / _FILE, why)
            try:
                self._path.hardlink_to(temporary / _FILE)  # never over a state that another process has made meanwhile
            except FileExistsError:
                return
            except OSError:  # a file system without links
                (temporary / _FILE).rename(self._path)
            fsio.sync_directory(self._path.parent)

    def _check(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA synchronous = EXTRA")  # what is committed does not come undone by a power cut either
        if connection.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION:
            raise self._unusable("it is another program's database, or empty")
        if found := doubt.findings(connection):
            raise self._doubtful(found)
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > _VERSION:
            raise Refused("the state was written by a newer airgap", where=printable(str(self._path)), hint="use that version")
        if version < _VERSION:
            _bring_up_to_date(connection)

    def _check_marker(self, connection: sqlite3.Connection) -> None:
        """The marker is written after the database: where it is missing the last run was killed, or a backup was restored."""
        identity = connection.execute("SELECT value FROM memory WHERE name = 'id'").fetchone()
        path = self._directory / _MARKER
        content = f"airgap state {identity[0] if identity else ''}\n".encode()
        marker = fsio.read_if_there(path, 1024)
        if marker is None:
            fsio.write_durable(path, content, 0o600)
        elif marker != content:
            raise self._unusable(f"its marker {_MARKER} belongs to another state")

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Turn errors of SQLite and the disk into ``Refused`` (damage) and ``MediaError`` (everything else).

        A signal that strikes in a function called by SQLite stays a signal.
        """
        try:
            yield
        except (sqlite3.Error, OSError, MemoryError) as error:
            if raised := self._functions.raised(error):
                raise raised from None
            raise self._error(error) from error

    def damaged(self, why: str) -> Refused:
        """The error for a state with invalid content."""
        return Refused(f"the state is damaged: {why}", where=printable(str(self._path)), hint=_BACKUP)

    def _error(self, error: sqlite3.Error | OSError | MemoryError) -> Refused | MediaError:
        if isinstance(error, OSError):
            return self._failure(error.strerror or str(error), _ERRNO.get(error.errno or 0, sqlite3.SQLITE_CANTOPEN))
        if isinstance(error, MemoryError):
            return self._failure("out of memory", sqlite3.SQLITE_NOMEM)
        if doubt.is_corrupt(error):
            return self._doubtful(str(error))
        code = getattr(error, "sqlite_errorcode", None)
        if code is None:  # nothing that SQLite said: a text that is none
            return self.damaged(printable(str(error)))
        name = getattr(error, "sqlite_errorname", "")
        return self._failure(f"{error} ({name})" if name else str(error), code & 0xFF)

    def _doubtful(self, why: str) -> Refused | MediaError:
        """What to say of a state that SQLite calls corrupt; see :mod:`airgap.state.doubt`."""
        try:
            if not fsio.is_there(self._path):  # the new one, which has no name yet
                return self._failure(why, sqlite3.SQLITE_IOERR)
            found = doubt.damage(self._path, self._bare)
        except MediaError as error:
            return self._failure(error.what, sqlite3.SQLITE_IOERR)
        except (sqlite3.Error, OSError) as error:
            return self._failure(str(error), sqlite3.SQLITE_IOERR)
        if found is None:
            return self._failure("the disk temporarily failed to read it", sqlite3.SQLITE_IOERR)
        return self._unusable(printable(found or why))

    def _failure(self, why: str, code: int) -> MediaError:
        return MediaError(
            f"cannot use the state: {printable(why)}", where=printable(str(self._path)), hint=_NEXT.get(code, _ELSEWHERE)
        )

    def _unusable(self, why: str) -> _Unusable:
        """The error for a state that only a new one could replace."""
        remains = doubt.remains(self._path)
        known = f"; still readable in it: {listing(remains, 10)}" if remains else ""
        return _Unusable(f"the state is damaged: {why}", where=printable(str(self._path)), hint=f"{_BEGIN_HINT}{known}")

    def _lost(self) -> _Unusable:
        return _Unusable(
            "the state of this machine is gone: its marker exists, but not its database",
            where=printable(str(self._path)),
            hint=f"mount the disk it is on, or {_BEGIN_HINT}",
        )

    def _make_database(self, path: Path, why: str = "") -> None:
        """A new state; ``why`` it takes the place of another goes into its history."""
        # sqlite gives its journals the mode of the database
        fsio.release(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with contextlib.closing(sqlite3.connect(path)) as connection:
            self._functions.add(connection)
            connection.execute("PRAGMA synchronous = EXTRA")
            script = f"BEGIN; {_SCHEMA} {'; '.join(_statements(0))}; PRAGMA application_id = {_APPLICATION}; COMMIT;"
            connection.executescript(script)
            if why:
                with connection:
                    connection.execute(_BEGUN, (why,))


def known_streams(directory: Path) -> list[str]:
    """The streams that bundles were exported or imported in, for a shell that completes one: nothing is changed or locked.

    None if the database cannot be read.
    """
    with contextlib.suppress(sqlite3.Error, ValueError):
        address = f"file:{quote(str((directory / _FILE).absolute()))}?mode=ro"
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=_SHORT)) as connection:
            query = "SELECT stream FROM exported UNION SELECT stream FROM imported ORDER BY stream LIMIT ?"
            return [str(stream) for (stream,) in connection.execute(query, (_MOST_STREAMS,))]
    return []


def _bring_up_to_date(connection: sqlite3.Connection) -> None:
    """Add what a state of an earlier version does not have, once."""
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        for statement in _statements(connection.execute("PRAGMA user_version").fetchone()[0]):
            connection.execute(statement)


def _statements(version: int) -> list[str]:
    """What leads from a version to this one."""
    return [statement for step in _STEPS[version:] for statement in step] + [f"PRAGMA user_version = {_VERSION}"]
