"""What is about to become visible: noted before, and given up when it is remembered as done and whoever asked for it knows.

A run that dies in between leaves its note, and the same command again finds its own work by it: exactly one result comes of it.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from airgap.errors import Damaged
from airgap.oci.digest import Digest
from airgap.state.place import Place

_SEALING, _APPEARING = "sealing", "appearing"


@dataclass(frozen=True)
class Sealing:
    """A bundle whose export has come as far as its catalog; whether it has its name, a look at its directory must tell.

    Attributes:
        inputs: one digest over what was asked for, as 64 hex digits.
    """

    serial: int
    catalog: Digest
    inputs: str


class Intents:
    """The intents in a state, kept among what it remembers by name; see :class:`airgap.state.State`."""

    def __init__(self, place: Place, connection: sqlite3.Connection) -> None:
        self._place = place
        self._connection = connection

    def sealings(self, stream: str) -> list[Sealing]:
        """The bundles of a stream that were about to be sealed and of which nobody has been told yet, the latest first."""
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
            raise self._place.damaged("what it says of an unfinished export cannot be read") from error
        return sorted(found, key=lambda one: -one.serial)

    def appearing(self, what: str) -> Digest | None:
        """What a file or directory would hold that was about to appear; None when nothing was."""
        with self._place.errors():
            row = self._connection.execute("SELECT value FROM memory WHERE name = ?", (f"{_APPEARING} {what}",)).fetchone()
        try:
            return None if row is None else Digest.parse(row[0])
        except Damaged as error:
            raise self._place.damaged("what it says of an unfinished import cannot be read") from error

    def appear(self, what: str, contents: Digest) -> None:
        """Note what a file or directory will hold in a moment.

        Args:
            what: names the import: of which bundle, what of it, and into what.
            contents: one digest over all that is in it.
        """
        with self._place.errors(), self._connection:
            self._keep(f"{_APPEARING} {what}", contents)

    def settle(self, stream: str, serial: int) -> None:
        """Whoever asked for a bundle knows that it is there."""
        with self._place.errors(), self._connection:
            self._drop(f"{_SEALING} {stream} {serial}")

    # within a transaction of State

    def seal(self, stream: str, one: Sealing) -> None:
        """Note that a bundle is about to be sealed."""
        self._keep(f"{_SEALING} {stream} {one.serial}", f"{one.catalog} {one.inputs}")

    def appeared(self, what: str) -> None:
        """What was about to appear is remembered as there."""
        self._drop(f"{_APPEARING} {what}")

    def _keep(self, name: str, value: str) -> None:
        self._connection.execute("INSERT OR REPLACE INTO memory VALUES (?, ?)", (name, str(value)))

    def _drop(self, name: str) -> None:
        self._connection.execute("DELETE FROM memory WHERE name = ?", (name,))
