"""Notes on what is about to become visible, dropped once it is recorded as done and reported to the user.

A run that dies in between leaves its note, by which the same command finds its own work again: there is exactly one result.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from airgap.errors import Damaged
from airgap.oci.digest import Digest
from airgap.state.place import Database

_SEALING, _APPEARING = "sealing", "appearing"


@dataclass(frozen=True)
class Sealing:
    """A bundle whose export has reached its catalog. Only its directory tells whether it has its final name.

    Attributes:
        inputs: one digest over the request, as 64 hex digits.
    """

    serial: int
    catalog: Digest
    inputs: str


class Intents:
    """The intents in a state; see :class:`airgap.state.State`."""

    def __init__(self, place: Database, connection: sqlite3.Connection) -> None:
        self._place = place
        self._connection = connection

    def sealings(self, stream: str) -> list[Sealing]:
        """The bundles of a stream that were about to be finished and are not yet reported, the latest first."""
        begin = f"{_SEALING} {stream} "
        with self._place.errors():
            rows = self._connection.execute(
                "SELECT name, value FROM memory WHERE substr(name, 1, ?) = ?", (len(begin), begin)
            ).fetchall()
        try:
            found = []
            for name, value in rows:
                catalog, _, inputs = value.partition(" ")
                found.append(Sealing(int(name.removeprefix(begin)), Digest.parse(catalog), inputs))
        except (Damaged, ValueError) as error:
            raise self._place.damaged("its record of an unfinished export is invalid") from error
        return sorted(found, key=lambda one: -one.serial)

    def appearing(self, what: str) -> Digest | None:
        """The content digest of a file or directory that was about to appear; None if there was none."""
        with self._place.errors():
            row = self._connection.execute("SELECT value FROM memory WHERE name = ?", (f"{_APPEARING} {what}",)).fetchone()
        try:
            return None if row is None else Digest.parse(row[0])
        except Damaged as error:
            raise self._place.damaged("its record of an unfinished import is invalid") from error

    def appear(self, what: str, contents: Digest) -> None:
        """Note the content of a file or directory that is about to appear.

        Args:
            what: names the import: the bundle, the part of it, and the target.
            contents: one digest over its whole content.
        """
        with self._place.errors(), self._connection:
            self._keep(f"{_APPEARING} {what}", contents)

    def settle(self, stream: str, serial: int) -> None:
        """Record that a bundle has been reported."""
        with self._place.errors(), self._connection:
            self._drop(f"{_SEALING} {stream} {serial}")

    # within a transaction of State

    def seal(self, stream: str, one: Sealing) -> None:
        """Note that a bundle is about to be finished."""
        self._keep(f"{_SEALING} {stream} {one.serial}", f"{one.catalog} {one.inputs}")

    def appeared(self, what: str) -> None:
        """Record that what was about to appear is there."""
        self._drop(f"{_APPEARING} {what}")

    def _keep(self, name: str, value: str) -> None:
        self._connection.execute("INSERT OR REPLACE INTO memory VALUES (?, ?)", (name, str(value)))

    def _drop(self, name: str) -> None:
        self._connection.execute("DELETE FROM memory WHERE name = ?", (name,))
