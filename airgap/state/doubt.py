"""Decide whether a database that SQLite calls corrupt is damaged, or only could not be read.

SQLite also reports "malformed" for a page that the disk did not give (EIO becomes SQLITE_IOERR_CORRUPTFS, and that SQLITE_CORRUPT;
an integrity check lists such pages among its findings). Believing that would put a good state aside. So this module reads the bytes
again and checks them in memory, where no disk can interfere.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

from airgap import fsio
from airgap.errors import AirgapError, Damaged

#: No state is larger, in bytes: one that is, is judged by what SQLite said.
_MAX_STATE = 1 << 30
_SERIALS = (
    ("SELECT stream, max(serial) FROM imported GROUP BY stream ORDER BY stream", "taken"),
    ("SELECT stream, max(serial) FROM exported GROUP BY stream ORDER BY stream", "exported"),
)


def findings(connection: sqlite3.Connection) -> str:
    """The first integrity error of a database; empty if there is none. Raises ``sqlite3.Error``."""
    found: str = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    return "" if found == "ok" else found


def damage(path: Path, reopen: Callable[[], sqlite3.Connection]) -> str | None:
    """Examine a database that is reported as damaged.

    Args:
        path: the database.
        reopen: opens it again.

    Returns:
        What is wrong with its bytes; None if nothing is, because the disk failed only temporarily.

    Raises:
        MediaError: the disk cannot be read.
        sqlite3.Error, OSError: the database cannot be read after reopening either.
    """
    # closing a second descriptor gives up SQLite's locks: whoever comes here only has bad news to tell
    try:
        raw = _bytes(path)
    except Damaged as error:
        return error.what
    journal = fsio.read_if_there(path.with_name(f"{path.name}-journal"), _MAX_STATE)
    try:
        # without its journal, a database that a crash left in the middle of a change cannot be judged by its own bytes
        with contextlib.closing(reopen() if journal else _in_memory(raw)) as connection:
            return findings(connection) or None
    except sqlite3.DatabaseError as error:
        if is_corrupt(error):
            return str(error)
        raise


def is_corrupt(error: sqlite3.Error) -> bool:
    """Whether SQLite calls the database corrupt, or not a database."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def remains(path: Path) -> list[str]:
    """What a damaged database still says about its streams, for people; empty if nothing."""
    found: list[str] = []
    with (
        contextlib.suppress(sqlite3.Error, AirgapError),
        contextlib.closing(_in_memory(fsio.read_capped(path, _MAX_STATE))) as known,
    ):
        for query, word in _SERIALS:
            with contextlib.suppress(sqlite3.Error):
                found += [f"{stream} ({word} up to serial {serial})" for stream, serial in known.execute(query).fetchall()]
    return found


def _bytes(path: Path) -> bytes:
    return fsio.read_capped(path.resolve(), _MAX_STATE)


def _in_memory(raw: bytes) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    if raw:  # an empty one is what a new connection has
        connection.deserialize(raw)
    return connection
