"""What every bundle brought to a target: the generations that can be listed, pruned and rolled back to.

Only names and the digests of roots are kept; what hangs below them is read from the target when it is needed. What the other names
stood for at that time is in :mod:`airgap.state.standing`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from airgap.errors import Damaged
from airgap.oci.digest import Digest
from airgap.state.place import Place
from airgap.state.standing import Standing

#: Generations of one stream remembered for one target; what older ones brought is never pruned.
MAX_GENERATIONS = 500


@dataclass(frozen=True)
class Brought:
    """One name that a bundle brought.

    Attributes:
        name: at the target: by tag where there is one, else by digest.
        digest: of the manifest that it stood for after the import.
        image: whether it is an image of the bundle's list, not an attachment.
        roots: of an attachment: the images that it hangs off; none where that was not remembered.
        source: the repository that an image was made from; empty where that was not remembered.
    """

    name: str
    digest: Digest
    image: bool
    roots: tuple[Digest, ...] = ()
    source: str = field(default="", compare=False)


@dataclass(frozen=True)
class Generation:
    """One bundle as it was loaded into one target.

    Attributes:
        at: when it was loaded, RFC 3339 in UTC.
        in_force: whether the names of the stream were last moved to this one, by an import or a rollback.
        pruned: whether some of it was removed, so that there is no way back to it.
        brought: sorted by name.
        moment: when it was loaded, counted in the imports and rollbacks of the target.
        unsure: whether what other names stood for then is not known for certain, because an earlier airgap has pruned since.
    """

    stream: str
    serial: int
    catalog: str
    at: str
    in_force: bool
    pruned: bool
    brought: tuple[Brought, ...]
    moment: int = 0
    unsure: bool = False


class Generations:
    """The generations in a state; see :class:`airgap.state.State`.

    Attributes:
        standing: what the names of the targets stood for over time.
    """

    def __init__(self, place: Place, connection: sqlite3.Connection) -> None:
        self._place = place
        self._connection = connection
        self.standing = Standing(place, connection)

    def read(self, target: str) -> list[Generation]:
        """All generations of a target, by stream and serial."""
        with self._place.errors():
            rows = self._connection.execute(
                "SELECT stream, serial, catalog, at, force, pruned, moment, unsure FROM generations WHERE target = ?"
                " ORDER BY stream, serial",
                (target,),
            ).fetchall()
            forces: dict[str, int] = {}
            for stream, _, _, _, force, *_ in rows:
                forces[stream] = max(force, forces.get(stream, 0))
            return [
                Generation(
                    stream,
                    serial,
                    catalog,
                    at,
                    force == forces[stream],
                    bool(pruned),
                    self._brought(target, stream, serial),
                    moment,
                    bool(unsure),
                )
                for stream, serial, catalog, at, force, pruned, moment, unsure in rows
            ]

    def targets(self) -> list[str]:
        """Every target of which a generation is remembered; sorted."""
        with self._place.errors():
            return [
                row[0] for row in self._connection.execute("SELECT DISTINCT target FROM generations ORDER BY target").fetchall()
            ]

    def elsewhere(self, target: str) -> list[Brought]:
        """What was brought to all other targets, and what names stood for there: two targets may be parts of one registry."""
        with self._place.errors():
            rows = self._connection.execute(
                "SELECT DISTINCT name, digest, image, '', '' FROM brought WHERE target <> ?", (target,)
            ).fetchall()
        stood = (Brought(one.name, one.digest, image=True) for one in self.standing.read(other_than=target))
        return list(dict.fromkeys((*self._parsed(rows), *stood)))

    def known(self, target: str = "") -> list[tuple[str, Digest]]:
        """Everything that is remembered to have been brought to a target, or to any: by which name and digest."""
        query = (
            "SELECT name, digest FROM brought WHERE ? IN ('', target) UNION SELECT name, digest FROM stood WHERE ? IN ('', target)"
        )
        with self._place.errors():
            rows = self._connection.execute(query, (target, target)).fetchall()
        return [(one.name, one.digest) for one in self._parsed((name, digest, 0, "", "") for name, digest in rows)]

    def knows(self, target: str, stream: str, serial: int) -> bool:
        """Whether this generation is remembered, and whole."""
        query = "SELECT 1 FROM generations WHERE target = ? AND stream = ? AND serial = ? AND NOT pruned"
        with self._place.errors():
            return self._connection.execute(query, (target, stream, serial)).fetchone() is not None

    # within a transaction of State

    def keep(self, target: str, stream: str, serial: int, catalog: Digest, at: str, brought: Iterable[Brought]) -> None:
        """Remember a generation; it is the one in force."""
        key = (target, stream, serial)
        moment = self.standing.next_moment(target)
        brought = list(brought)
        self._connection.execute(
            "INSERT OR REPLACE INTO generations VALUES (?, ?, ?, ?, ?, ?, 0, ?, 0)", (*key, str(catalog), at, moment, moment)
        )
        rows = ((*key, one.name, str(one.digest), int(one.image), " ".join(one.roots), one.source) for one in brought)
        self._connection.executemany("INSERT OR REPLACE INTO brought VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        self.standing.move(target, stream, {one.name: one.digest for one in brought if one.image}, moment)
        bound = self._connection.execute(
            "SELECT serial FROM generations WHERE target = ? AND stream = ? ORDER BY serial DESC LIMIT 1 OFFSET ?",
            (target, stream, MAX_GENERATIONS),
        ).fetchone()
        if bound is not None:
            old = (target, stream, bound[0])
            self._connection.execute("DELETE FROM brought WHERE target = ? AND stream = ? AND serial <= ?", old)
            self._connection.execute("DELETE FROM generations WHERE target = ? AND stream = ? AND serial <= ?", old)
            self.standing.sweep(target)

    def put_in_force(self, target: str, stream: str, serial: int, moved: Iterable[Brought]) -> None:
        """The names of a stream stand for this generation again."""
        moment = self.standing.next_moment(target)
        self._connection.execute(
            "UPDATE generations SET force = ? WHERE target = ? AND stream = ? AND serial = ?", (moment, target, stream, serial)
        )
        names = {one.name: one.digest for one in moved}
        rows = [(str(digest), target, name) for name, digest in names.items()]
        self._connection.executemany("UPDATE names SET digest = ? WHERE target = ? AND name = ?", rows)
        self.standing.move(target, stream, names, moment)

    def forget(
        self,
        target: str,
        done: Sequence[tuple[str, int, Brought]],
        touched: Iterable[tuple[str, int]],
        removed: Iterable[tuple[str, Digest]],
    ) -> None:
        """Remember that generations are no longer whole, and forget what of them is gone.

        Args:
            done: what of the generations need not be known any more: the stream and serial, and what.
            touched: the stream and serial of every generation to which there is no way back.
            removed: what is gone from the target: names and what they stood for.
        """
        gone = list(removed)
        run = self._connection.executemany
        run(
            "UPDATE generations SET pruned = 1 WHERE target = ? AND stream = ? AND serial = ?",
            [(target, *generation) for generation in touched],
        )
        run(
            "DELETE FROM brought WHERE target = ? AND stream = ? AND serial = ? AND name = ?",
            [(target, stream, serial, one.name) for stream, serial, one in done],
        )
        run(
            "DELETE FROM names WHERE target = ? AND name = ? AND digest = ?", [(target, name, str(digest)) for name, digest in gone]
        )
        self.standing.remove(target, gone, self.standing.next_moment(target))
        self._connection.execute(
            "DELETE FROM generations WHERE pruned AND target = ? AND NOT EXISTS (SELECT 1 FROM brought WHERE"
            " brought.target = generations.target AND brought.stream = generations.stream AND brought.serial = generations.serial)",
            (target,),
        )
        self.standing.sweep(target)

    def _brought(self, target: str, stream: str, serial: int) -> tuple[Brought, ...]:
        query = (
            "SELECT name, digest, image, roots, source FROM brought WHERE target = ? AND stream = ? AND serial = ? ORDER BY name"
        )
        return tuple(self._parsed(self._connection.execute(query, (target, stream, serial)).fetchall()))

    def _parsed(self, rows: Iterable[tuple[str, str, int, str, str]]) -> list[Brought]:
        try:
            return [
                Brought(name, Digest.parse(digest), bool(image), tuple(Digest.parse(root) for root in roots.split()), source)
                for name, digest, image, roots, source in rows
            ]
        except Damaged as error:
            raise self._place.damaged("the digest of what a bundle brought is none") from error
