"""The images of the names at a target over time: a generation is the state of all names, not just those of its bundle.

A row says that a name, brought by bundles of a stream, referred to a digest from one moment until another. Moments are counted per
target: each import and each rollback is one. So a name from an earlier bundle, or one that another stream or a rollback has moved
since, is known for every later generation without being recorded again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from airgap.errors import Damaged
from airgap.oci.digest import Digest
from airgap.state.place import Database


@dataclass(frozen=True)
class Stood:
    """The image of a name during a period.

    Attributes:
        stream: of the bundles that brought the name; a name may belong to several streams.
        name: at the target.
        digest: of the image.
        since: the first moment.
        until: the moment from which it referred to something else, or to nothing; None: it is current.
        taken: whether prune has removed it on request, although kept generations had it.
    """

    stream: str
    name: str
    digest: Digest
    since: int
    until: int | None
    taken: bool

    def at(self, moment: int) -> bool:
        """Whether the period includes a moment."""
        return self.since <= moment and (self.until is None or moment < self.until)


class Standing:
    """The history of names in a state; see :class:`airgap.state.State`."""

    def __init__(self, place: Database, connection: sqlite3.Connection) -> None:
        self._place = place
        self._connection = connection

    def read(self, target: str = "", other_than: str = "") -> list[Stood]:
        """Everything known about a target, or about all targets except one; sorted."""
        query = (
            "SELECT stream, name, digest, since, until, taken FROM stood WHERE ? IN ('', target) AND target <> ?"
            " ORDER BY stream, name, since"
        )
        with self._place.errors():
            rows = self._connection.execute(query, (target, other_than)).fetchall()
        try:
            return [
                Stood(stream, name, Digest.parse(digest), since, until, bool(taken))
                for stream, name, digest, since, until, taken in rows
            ]
        except Damaged as error:
            raise self._place.damaged("invalid digest of an earlier image") from error

    # within a transaction of State

    def next_moment(self, target: str) -> int:
        """The moment after all known moments of a target."""
        query = (
            "SELECT max(moment) FROM (SELECT max(force, moment) AS moment FROM generations WHERE target = :target"
            " UNION SELECT max(since, coalesce(until, 0)) FROM stood WHERE target = :target)"
        )
        return int(self._connection.execute(query, {"target": target}).fetchone()[0] or 0) + 1

    def move(self, target: str, stream: str, names: Mapping[str, Digest], moment: int) -> None:
        """Record that names refer to these images from a moment on, for this stream and every stream that brought them before."""
        run = self._connection.execute
        for name, digest in names.items():
            known = dict(
                run("SELECT stream, digest FROM stood WHERE target = ? AND name = ? AND until IS NULL", (target, name)).fetchall()
            )
            for owner, before in {stream: "", **known}.items():
                if before != digest:
                    key = (target, owner, name)
                    run("UPDATE stood SET until = ? WHERE target = ? AND stream = ? AND name = ? AND until IS NULL", (moment, *key))
                    run("INSERT OR REPLACE INTO stood VALUES (?, ?, ?, ?, ?, NULL, 0)", (*key, str(digest), moment))
            run("UPDATE stood SET taken = 0 WHERE target = ? AND name = ? AND digest = ?", (target, name, str(digest)))

    def remove(self, target: str, gone: Iterable[tuple[str, Digest]], moment: int) -> None:
        """Record that names no longer refer to these images from a moment on, and that only media can restore them."""
        rows = [(moment, target, name, str(digest)) for name, digest in gone]
        run = self._connection.executemany
        run("UPDATE stood SET until = ? WHERE target = ? AND name = ? AND digest = ? AND until IS NULL", rows)
        run("UPDATE stood SET taken = 1 WHERE target = ? AND name = ? AND digest = ?", [row[1:] for row in rows])

    def sweep(self, target: str) -> None:
        """Forget what no generation can restore any more."""
        self._connection.execute(
            "DELETE FROM stood WHERE target = ? AND until IS NOT NULL AND NOT EXISTS (SELECT 1 FROM generations WHERE"
            " generations.target = stood.target AND generations.stream = stood.stream AND NOT generations.pruned"
            " AND generations.moment >= stood.since AND generations.moment < stood.until)",
            (target,),
        )
