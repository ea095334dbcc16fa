"""Who carried the bundles that this site has imported, according to the custody logs on their media."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from airgap.oci.digest import Digest
from airgap.state.place import Database


@dataclass(frozen=True)
class Carried:
    """One entry of a custody log.

    Attributes:
        entry: its digest.
        medium: where it was read.
        at, who, place, note, result: as written in the entry.
        vouched: who signed it, as far as this site could tell at the import.
    """

    entry: str
    medium: str
    at: str
    who: str
    place: str
    note: str
    result: str
    vouched: str


class Custodians:
    """The custody entries in a state; see :class:`airgap.state.State`."""

    def __init__(self, place: Database, connection: sqlite3.Connection) -> None:
        self._place = place
        self._connection = connection

    def read(self, stream: str = "") -> list[tuple[str, int, Carried]]:
        """Every entry with the stream and serial of its bundle, by bundle and time; only of one stream if it is named."""
        query = (
            "SELECT stream, serial, entry, medium, at, who, place, note, result, vouched FROM custody WHERE ? IN ('', stream)"
            " ORDER BY stream, serial, at, entry"
        )
        with self._place.errors():
            rows = self._connection.execute(query, (stream,)).fetchall()
        return [(row[0], row[1], Carried(*row[2:])) for row in rows]

    def keep(self, stream: str, serial: int, catalog: Digest, now: str, entries: Iterable[Carried]) -> int:
        """Record entries within a transaction of ``State``; returns how many are new."""
        before = self._connection.total_changes
        bundle = (stream, serial, str(catalog))
        rows = (
            (one.entry, *bundle, one.medium, one.at, one.who, one.place, one.note, one.result, one.vouched, now) for one in entries
        )
        self._connection.executemany("INSERT OR IGNORE INTO custody VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        return self._connection.total_changes - before
