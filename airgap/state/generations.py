"""What every bundle brought to a target: the generations that can be listed, pruned and restored.

Only names and root digests are kept; the content below them is read from the target when needed. The images of all other names at
that time are in :mod:`airgap.state.standing`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from airgap.errors import Damaged
from airgap.oci.digest import Digest
from airgap.state.place import Database
from airgap.state.standing import Standing

#: Generations of one stream remembered for one target; what older ones brought is never pruned.
MAX_GENERATIONS = 500


@dataclass(frozen=True)
class Brought:
    """One name that a bundle brought.

    Attributes:
        name: the name at the target: by tag if there is one, else by digest.
        digest: of the manifest that it referred to after the import.
        image: whether it is an image of the bundle's list, not an attachment.
        roots: for an attachment, the images that it belongs to; empty if unknown.
        source: the repository that an image came from; empty if unknown.
        forms: the forms of the signatures by which the policy accepted an image (``SignatureForm``); empty without one, and for
            imports by earlier versions.
    """

    name: str
    digest: Digest
    image: bool
    roots: tuple[Digest, ...] = ()
    source: str = field(default="", compare=False)
    forms: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Accepted:
    """An image that a name at a target refers to: its source reference, and the forms of the signatures that let it in."""

    name: str
    source: str
    forms: tuple[str, ...]


@dataclass(frozen=True)
class Generation:
    """One bundle as it was loaded into one target.

    Attributes:
        at: when it was loaded, RFC 3339 in UTC.
        in_force: whether the names of the stream were last moved to this one, by an import or a rollback.
        pruned: whether some of it was removed, so that it cannot be restored.
        brought: sorted by name.
        moment: when it was loaded, counted in imports and rollbacks of the target.
        unsure: whether the images of other names at that time are uncertain, because an earlier version has pruned since.
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
        standing: the images of the targets' names over time.
    """

    def __init__(self, place: Database, connection: sqlite3.Connection) -> None:
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
        """Every target with a recorded generation, sorted."""
        with self._place.errors():
            return [
                row[0] for row in self._connection.execute("SELECT DISTINCT target FROM generations ORDER BY target").fetchall()
            ]

    def elsewhere(self, target: str) -> list[Brought]:
        """What was brought to all other targets, and the images of names there: two targets may be parts of one registry."""
        with self._place.errors():
            rows = self._connection.execute(
                "SELECT DISTINCT name, digest, image, '', '', '' FROM brought WHERE target <> ?", (target,)
            ).fetchall()
        stood = (Brought(one.name, one.digest, image=True) for one in self.standing.read(other_than=target))
        return list(dict.fromkeys((*self._parsed(rows), *stood)))

    def known(self, target: str = "") -> list[tuple[str, Digest]]:
        """Everything that was brought to a target, or to any target: name and digest."""
        query = (
            "SELECT name, digest FROM brought WHERE ? IN ('', target) UNION SELECT name, digest FROM stood WHERE ? IN ('', target)"
        )
        with self._place.errors():
            rows = self._connection.execute(query, (target, target)).fetchall()
        return [(one.name, one.digest) for one in self._parsed((name, digest, 0, "", "", "") for name, digest in rows)]

    def accepted(self, target: str) -> list[Accepted]:
        """The images at a target, and at the parts of it, that imports from here let in by signatures; sorted by name.

        Args:
            target: the recorded target, or a prefix of its path.
        """
        query = (
            "SELECT name, names.source, forms FROM names JOIN brought USING (target, name, digest)"
            " JOIN generations USING (target, stream, serial)"
            " WHERE image AND forms <> '' AND (target = ? OR substr(target, 1, ?) = ?) ORDER BY name, moment"
        )
        with self._place.errors():
            rows = self._connection.execute(query, (target, len(target) + 1, f"{target}/")).fetchall()
        return list({name: Accepted(name, source, tuple(forms.split())) for name, source, forms in rows}.values())

    def knows(self, target: str, stream: str, serial: int) -> bool:
        """Whether this generation is recorded and complete."""
        query = "SELECT 1 FROM generations WHERE target = ? AND stream = ? AND serial = ? AND NOT pruned"
        with self._place.errors():
            return self._connection.execute(query, (target, stream, serial)).fetchone() is not None

    # within a transaction of State

    def keep(self, target: str, stream: str, serial: int, catalog: Digest, at: str, brought: Iterable[Brought]) -> None:
        """Record a generation as the one in force."""
        key = (target, stream, serial)
        moment = self.standing.next_moment(target)
        brought = list(brought)
        self._connection.execute(
            "INSERT OR REPLACE INTO generations VALUES (?, ?, ?, ?, ?, ?, 0, ?, 0)", (*key, str(catalog), at, moment, moment)
        )
        rows = (
            (*key, one.name, str(one.digest), int(one.image), " ".join(one.roots), one.source, " ".join(one.forms))
            for one in brought
        )
        self._connection.executemany("INSERT OR REPLACE INTO brought VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
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
        """Record that the names of a stream refer to this generation again."""
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
        """Record that generations are no longer complete, and forget what is gone.

        Args:
            done: what the generations no longer need to record: stream and serial, and what.
            touched: the stream and serial of every generation that can no longer be restored.
            removed: what is gone from the target: names and their digests.
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
            "SELECT name, digest, image, roots, source, forms FROM brought"
            " WHERE target = ? AND stream = ? AND serial = ? ORDER BY name"
        )
        return tuple(self._parsed(self._connection.execute(query, (target, stream, serial)).fetchall()))

    def _parsed(self, rows: Iterable[tuple[str, str, int, str, str, str]]) -> list[Brought]:
        try:
            return [
                Brought(
                    name, Digest.parse(digest), bool(image), tuple(map(Digest.parse, roots.split())), source, tuple(forms.split())
                )
                for name, digest, image, roots, source, forms in rows
            ]
        except Damaged as error:
            raise self._place.damaged("invalid digest of an imported manifest") from error
