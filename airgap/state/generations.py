"""What every bundle brought to a target: the generations that can be listed, pruned and rolled back to.

Only names and the digests of roots are kept; what hangs below them is read from the target when it is needed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from airgap.errors import Damaged
from airgap.oci.digest import Digest
from airgap.state.place import Place

#: Generations of one stream remembered for one target; what older ones brought is never pruned.
MAX_GENERATIONS = 500


@dataclass(frozen=True)
class Brought:
    """One name that a bundle brought.

    Attributes:
        name: at the target: by tag where there is one, else by digest.
        digest: of the manifest that it stood for after the import.
        image: whether it is an image of the bundle's list, not an attachment.
    """

    name: str
    digest: Digest
    image: bool


@dataclass(frozen=True)
class Generation:
    """One bundle as it was loaded into one target.

    Attributes:
        at: when it was loaded, RFC 3339 in UTC.
        in_force: whether the names of the stream were last moved to this one, by an import or a rollback.
        pruned: whether some of it was removed, so that there is no way back to it.
        brought: sorted by name.
    """

    stream: str
    serial: int
    catalog: str
    at: str
    in_force: bool
    pruned: bool
    brought: tuple[Brought, ...]


class Generations:
    """The generations in a state; see :class:`airgap.state.State`."""

    def __init__(self, place: Place, connection: sqlite3.Connection) -> None:
        self._place = place
        self._connection = connection

    def read(self, target: str) -> list[Generation]:
        """All generations of a target, by stream and serial."""
        with self._place.errors():
            rows = self._connection.execute(
                "SELECT stream, serial, catalog, at, force, pruned FROM generations WHERE target = ? ORDER BY stream, serial",
                (target,),
            ).fetchall()
            forces: dict[str, int] = {}
            for stream, _, _, _, force, _ in rows:
                forces[stream] = max(force, forces.get(stream, 0))
            return [
                Generation(
                    stream, serial, catalog, at, force == forces[stream], bool(pruned), self._brought(target, stream, serial)
                )
                for stream, serial, catalog, at, force, pruned in rows
            ]

    def targets(self) -> list[str]:
        """Every target of which a generation is remembered; sorted."""
        with self._place.errors():
            return [
                row[0] for row in self._connection.execute("SELECT DISTINCT target FROM generations ORDER BY target").fetchall()
            ]

    def elsewhere(self, target: str) -> list[Brought]:
        """What was brought to all other targets: two targets may be parts of one registry."""
        with self._place.errors():
            rows = self._connection.execute(
                "SELECT DISTINCT name, digest, image FROM brought WHERE target <> ?", (target,)
            ).fetchall()
        return self._parsed(rows)

    def knows(self, target: str, stream: str, serial: int) -> bool:
        """Whether this generation is remembered, and whole."""
        query = "SELECT 1 FROM generations WHERE target = ? AND stream = ? AND serial = ? AND NOT pruned"
        with self._place.errors():
            return self._connection.execute(query, (target, stream, serial)).fetchone() is not None

    # within a transaction of State

    def keep(self, target: str, stream: str, serial: int, catalog: Digest, at: str, brought: Iterable[Brought]) -> None:
        """Remember a generation; it is the one in force."""
        key = (target, stream, serial)
        self._connection.execute(
            "INSERT OR REPLACE INTO generations VALUES (?, ?, ?, ?, ?, ?, 0)", (*key, str(catalog), at, self._next_force(target))
        )
        rows = ((*key, one.name, str(one.digest), int(one.image)) for one in brought)
        self._connection.executemany("INSERT OR REPLACE INTO brought VALUES (?, ?, ?, ?, ?, ?)", rows)
        bound = self._connection.execute(
            "SELECT serial FROM generations WHERE target = ? AND stream = ? ORDER BY serial DESC LIMIT 1 OFFSET ?",
            (target, stream, MAX_GENERATIONS),
        ).fetchone()
        if bound is not None:
            old = (target, stream, bound[0])
            self._connection.execute("DELETE FROM brought WHERE target = ? AND stream = ? AND serial <= ?", old)
            self._connection.execute("DELETE FROM generations WHERE target = ? AND stream = ? AND serial <= ?", old)

    def put_in_force(self, target: str, stream: str, serial: int, moved: Iterable[Brought]) -> None:
        """The names of a stream stand for this generation again."""
        self._connection.execute(
            "UPDATE generations SET force = ? WHERE target = ? AND stream = ? AND serial = ?",
            (self._next_force(target), target, stream, serial),
        )
        rows = [(str(one.digest), target, one.name) for one in moved]
        self._connection.executemany("UPDATE names SET digest = ? WHERE target = ? AND name = ?", rows)

    def forget(self, target: str, gone: Sequence[tuple[str, int, Brought]], touched: Iterable[tuple[str, int]]) -> None:
        """Remember that generations are no longer whole, and forget what of them is gone.

        Args:
            gone: what was removed: of which stream and serial, and what.
            touched: the stream and serial of every generation to which there is no way back.
        """
        run = self._connection.executemany
        run(
            "UPDATE generations SET pruned = 1 WHERE target = ? AND stream = ? AND serial = ?",
            [(target, *generation) for generation in touched],
        )
        run(
            "DELETE FROM brought WHERE target = ? AND stream = ? AND serial = ? AND name = ?",
            [(target, stream, serial, one.name) for stream, serial, one in gone],
        )
        run(
            "DELETE FROM names WHERE target = ? AND name = ? AND digest = ?",
            [(target, one.name, str(one.digest)) for *_, one in gone],
        )
        self._connection.execute(
            "DELETE FROM generations WHERE pruned AND target = ? AND NOT EXISTS (SELECT 1 FROM brought WHERE"
            " brought.target = generations.target AND brought.stream = generations.stream AND brought.serial = generations.serial)",
            (target,),
        )

    def _next_force(self, target: str) -> int:
        row = self._connection.execute("SELECT max(force) FROM generations WHERE target = ?", (target,)).fetchone()
        return (row[0] or 0) + 1

    def _brought(self, target: str, stream: str, serial: int) -> tuple[Brought, ...]:
        query = "SELECT name, digest, image FROM brought WHERE target = ? AND stream = ? AND serial = ? ORDER BY name"
        return tuple(self._parsed(self._connection.execute(query, (target, stream, serial)).fetchall()))

    def _parsed(self, rows: Iterable[tuple[str, str, int]]) -> list[Brought]:
        try:
            return [Brought(name, Digest.parse(digest), bool(image)) for name, digest, image in rows]
        except Damaged as error:
            raise self._place.damaged("the digest of what a bundle brought is none") from error
