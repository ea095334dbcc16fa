"""The names of all streams that a state knows, for a shell that completes one: read at once, changing and locking nothing."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from urllib.parse import quote

_MOST = 1000
_PATIENCE = 0.2  # seconds; somebody waits at a prompt


def known_streams(database: Path) -> list[str]:
    """The streams that bundles were exported or imported in; none if the state's database cannot be read."""
    with contextlib.suppress(sqlite3.Error, ValueError):
        address = f"file:{quote(str(database.absolute()))}?mode=ro"
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=_PATIENCE)) as connection:
            query = "SELECT stream FROM exported UNION SELECT stream FROM imported ORDER BY stream LIMIT ?"
            return [str(stream) for (stream,) in connection.execute(query, (_MOST,))]
    return []
