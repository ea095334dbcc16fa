"""What a name at a target refers to, and the owner of each repository: the source repository of the first import into it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from airgap.oci.digest import Digest
from airgap.state.place import Database


@dataclass(frozen=True)
class KnownName:
    """The image that a name at a target refers to since the last import that moved it.

    Attributes:
        name: the destination, by tag if there is one.
        source: the source reference that it was mapped from.
        digest: of the image.
    """

    name: str
    source: str
    digest: Digest


class Owners:
    """The owners in a state; see :class:`airgap.state.State`."""

    def __init__(self, place: Database, connection: sqlite3.Connection) -> None:
        self._place = place
        self._connection = connection

    def read(self, places: Mapping[str, str]) -> dict[str, str]:
        """The owners of these repositories, as far as they have one."""
        query = "SELECT source FROM owners WHERE repository = ?"
        with self._place.errors():
            rows = ((place, self._connection.execute(query, (place,)).fetchone()) for place in places)
            return {place: row[0] for place, row in rows if row is not None}

    # within a transaction of State

    def claim(self, places: Mapping[str, str], at: str, *, replace: bool) -> dict[str, str]:
        """Make sources the owners of repositories without one; returns the other owners of the rest.

        Args:
            places: the source repository by the repository at a target.
            replace: take over the rest as well and forget the other owners' names there; nothing is returned then.
        """
        rows = [(place, source, at) for place, source in places.items()]
        self._connection.executemany("INSERT OR IGNORE INTO owners VALUES (?, ?, ?)", rows)  # the first statement locks out others
        taken = {place: owner for place, owner in self.read(places).items() if owner != places[place]}
        if not replace:
            return taken
        for place in taken:
            self._connection.execute("UPDATE owners SET source = ?, at = ? WHERE repository = ?", (places[place], at, place))
            gone = "DELETE FROM names WHERE repository_of(name) = ? AND repository_of(source) <> ?"
            self._connection.execute(gone, (place, places[place]))
        return {}
