"""What one machine remembers: serials and catalogs of every stream, exported or imported, and the history of decisions."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from airgap.errors import Damaged, Interrupted, exit_code
from airgap.oci.digest import Digest
from airgap.state.catalogs import Catalogs
from airgap.state.custody import Carried, Custodians
from airgap.state.generations import Brought, Generations
from airgap.state.history import Event, History
from airgap.state.intents import Intents, Sealing
from airgap.state.owners import KnownName, Owners
from airgap.state.place import Database
from airgap.state.turns import Turn, identity, take
from airgap.state.underway import Underway

_TIME = "%Y-%m-%dT%H:%M:%SZ"
_SIGSTORE_ROOT = "sigstore-root"
_KILLED = exit_code(Interrupted())


@dataclass(frozen=True)
class Remembered:
    """A bundle that this state knows."""

    serial: int
    catalog: Digest


@dataclass(frozen=True)
class Known:
    """What a site remembers that matters for one bundle.

    Attributes:
        newest: the highest bundle of its stream imported so far.
        same: the catalog that was imported with its serial.
        before: the highest bundle with a lower serial.
        predecessor: the serial with which the catalog of its predecessor was imported.
        floor: the latest time that the site has seen.
    """

    newest: Remembered | None = None
    same: Digest | None = None
    before: Remembered | None = None
    predecessor: int | None = None
    floor: dt.datetime | None = None


class State:
    """The state directory, opened. Use as a context manager.

    Args:
        directory: created if it does not exist; it may be one that never had a state.
        begin: if the state is lost or damaged, put the remains aside, start a new one, and record that in the history.

    Attributes:
        generations: what every bundle brought to every target.
        intents: what is about to become visible.
        underway: imports that have begun. One whose command is gone is in the history as interrupted from now on.
        catalogs: what was exported.
        unfinished: a directory for files that exports keep off the media until they are done.

    Raises:
        Refused: the state is damaged or lost, or others can write there.
        MediaError: it cannot be opened or written.
    """

    def __init__(self, directory: Path, begin: bool = False) -> None:
        self._directory = directory
        self._place = Database(directory)
        self._connection = self._place.open(begin)
        self.generations = Generations(self._place, self._connection)
        self.intents = Intents(self._place, self._connection)
        self._owners = Owners(self._place, self._connection)
        self.catalogs = Catalogs(directory)
        self.unfinished = directory / "unfinished"
        self._events = History(self._place, self._connection)
        self.custody = Custodians(self._place, self._connection)
        self.underway = Underway(self._place, self._connection, directory)
        self._record_dead()

    @staticmethod
    def exists(directory: Path) -> bool:
        """Whether there is a state, or the directory of one that was lost."""
        return Database(directory).exists()

    @staticmethod
    def protect(directory: Path) -> str:
        """Remove write permission for others from a state directory, if it exists; returns what was done as a sentence, or nothing.

        Opening a state does the same silently.

        Raises:
            Refused: it belongs to another user, or is shared.
            MediaError: the disk fails.
        """
        return Database(directory).protect()

    @staticmethod
    def begun(directory: Path) -> bool:
        """Whether there is a database, intact or not."""
        return Database(directory).begun()

    def __enter__(self) -> State:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def turn(
        self, places: Sequence[str], command: str, patience: float, told: Callable[[str], None], *, shared: bool = False
    ) -> contextlib.AbstractContextManager[Turn]:
        """The turn to write to some places; see :func:`airgap.state.turns.take`."""
        return take(self._directory, places, command, patience, told, shared=shared)

    @property
    def identity(self) -> str:
        """See :func:`airgap.state.turns.identity`."""
        return identity(self._directory)

    def last_exported(self, stream: str, below: int | None = None) -> Remembered | None:
        """The highest bundle of a stream exported here, below a serial if one is given."""
        bound = below if below is not None else 2**62
        return self._one(
            "SELECT serial, catalog FROM exported WHERE stream = ? AND serial < ? ORDER BY serial DESC", (stream, bound)
        )

    def record_sealing(self, stream: str, sealing: Sealing) -> None:
        """Record that a bundle is about to be finished and get its final name."""
        with self._writing():
            self.intents.seal(stream, sealing)
            self._history("finishing", stream, sealing.serial, sealing.catalog, "", "begun")

    def record_export(self, stream: str, serial: int, catalog: Digest) -> None:
        """Record a finished bundle, once."""
        query = "SELECT serial, catalog FROM exported WHERE stream = ? AND serial = ?"
        if self._one(query, (stream, serial)) == Remembered(serial, catalog):
            return
        with self._writing():
            row = (stream, serial, str(catalog), _now())
            self._connection.execute("INSERT OR REPLACE INTO exported VALUES (?, ?, ?, ?)", row)
            self._history("export", stream, serial, catalog, "", "finished")

    def last_imported(self, stream: str) -> Remembered | None:
        """The highest bundle of a stream that this site has imported, whatever the target."""
        return self._one("SELECT serial, catalog FROM imported WHERE stream = ? ORDER BY serial DESC, at DESC", (stream,))

    def taken_into(self, target: str) -> dict[str, Remembered]:
        """The newest bundle of every stream that was loaded, whole or in part, into a target or a part of it.

        Args:
            target: as given to ``record_import``; what follows a space there says how, what follows ``/`` where in it.
        """
        query = (
            "SELECT stream, serial, catalog FROM imported WHERE target = ? OR substr(target, 1, ?) IN (?, ?) ORDER BY serial, at"
        )
        with self._place.errors():
            rows = self._connection.execute(query, (target, len(target) + 1, f"{target} ", f"{target}/")).fetchall()
        try:
            return {stream: Remembered(serial, Digest.parse(catalog)) for stream, serial, catalog in rows}
        except Damaged as error:
            raise self._place.damaged("invalid catalog digest") from error

    def names(self, target: str) -> list[KnownName]:
        """The names at a target, and at the parts of it, that imports from here have set; sorted.

        Args:
            target: the recorded target, or a prefix of its path.
        """
        query = "SELECT name, source, digest FROM names WHERE target = ? OR substr(target, 1, ?) = ? ORDER BY name, at"
        with self._place.errors():
            rows = self._connection.execute(query, (target, len(target) + 1, f"{target}/")).fetchall()
        try:
            return list({name: KnownName(name, source, Digest.parse(digest)) for name, source, digest in rows}.values())
        except Damaged as error:
            raise self._place.damaged("invalid image digest") from error

    def owners(self, places: Mapping[str, str]) -> dict[str, str]:
        """The source repositories that own these repositories at targets, as far as they have an owner."""
        return self._owners.read(places)

    def claim(self, places: Mapping[str, str], *, replace: bool = False) -> dict[str, str]:
        """Record that repositories at a target belong to these sources from now on.

        Args:
            places: the source repository by the repository at the target.
            replace: also those that belong to other sources.

        Returns:
            The other owners, by repository. If there are any, nothing is recorded.
        """
        with self._writing():
            taken = self._owners.claim(places, _now(), replace=replace)
            if taken:
                self._connection.rollback()
        return taken

    def imported_into(self, stream: str, serial: int, target: str) -> Digest | None:
        """The catalog with this serial that was loaded into a target, or None."""
        query = "SELECT serial, catalog FROM imported WHERE stream = ? AND serial = ? AND target = ?"
        found = self._one(query, (stream, serial, target))
        return found.catalog if found else None

    def known(self, stream: str, serial: int, previous: Digest | None) -> Known:
        """What matters for a bundle of this stream and serial with the predecessor ``previous``."""
        query = "SELECT serial, catalog FROM imported WHERE stream = ? AND "
        same = self._one(query + "serial = ?", (stream, serial))
        predecessor = self._one(query + "serial < ? AND catalog = ?", (stream, serial, str(previous)))
        return Known(
            newest=self.last_imported(stream),
            same=same.catalog if same else None,
            before=self._one(query + "serial < ? ORDER BY serial DESC, at DESC", (stream, serial)),
            predecessor=predecessor.serial if predecessor else None,
            floor=self._floor(),
        )

    def latest_time(self) -> dt.datetime | None:
        """The latest time that this site has seen at an import."""
        return self._floor()

    def record_import(
        self,
        stream: str,
        serial: int,
        catalog: Digest,
        target: str,
        outcome: str,
        reason: str = "",
        floor: dt.datetime | None = None,
        names: Iterable[tuple[str, KnownName]] = (),
        work: str = "",
    ) -> None:
        """Record a loaded bundle with the reason, the latest time that the site has seen, and the names at each target.

        This also settles the import's note in ``intents``.
        """
        with self._writing():
            self.intents.appeared(work)
            self.underway.ended()
            row = (stream, serial, str(catalog), target, _now())
            self._connection.execute("INSERT OR REPLACE INTO imported VALUES (?, ?, ?, ?, ?)", row)
            rows = ((place, one.name, one.source, str(one.digest), _now()) for place, one in names)
            self._connection.executemany("INSERT OR REPLACE INTO names VALUES (?, ?, ?, ?, ?)", rows)
            self._keep_floor(floor)
            self._history("import", stream, serial, catalog, target, outcome, reason)

    def keep_expiry(self, catalog: Digest, expires: str | None) -> None:
        """Remember when a bundle that is imported says that it expires (RFC 3339); None: never."""
        with self._writing():
            self._connection.execute("INSERT OR REPLACE INTO memory VALUES (?, ?)", (f"expires {catalog}", expires or ""))

    def expiry(self, catalog: Digest) -> str | None:
        """What :meth:`keep_expiry` was told, ``""`` for never; None for bundles that were imported before it was."""
        return self._memory(f"expires {catalog}")

    def record_generation(self, target: str, stream: str, serial: int, catalog: Digest, brought: Iterable[Brought]) -> None:
        """Record what a bundle brought to a target; the names there refer to it now."""
        with self._writing():
            self.generations.keep(target, stream, serial, catalog, _now(), brought)

    def record_rollback(self, target: str, stream: str, serial: int, moved: Sequence[Brought], outcome: str) -> None:
        """Record that the names of a stream refer to an earlier (or later) generation again."""
        with self._writing():
            self.generations.put_in_force(target, stream, serial, moved)
            self._history("rollback", stream, serial, "", target, outcome)

    def record_prune(
        self,
        target: str,
        done: Sequence[tuple[str, int, Brought]],
        touched: Sequence[tuple[str, int]],
        outcome: str,
        removed: Iterable[tuple[str, Digest]] = (),
        plan: Digest | None = None,
    ) -> None:
        """Record what was removed from a target, and that this plan was carried out; see :meth:`Generations.forget`."""
        with self._writing():
            if plan is not None:
                self._connection.execute("INSERT OR REPLACE INTO memory VALUES (?, ?)", (_pruned(plan), _now()))
            self.generations.forget(target, done, touched, removed)
            for stream, serial in touched:
                self._history("prune", stream, serial, "", target, outcome)

    def has_pruned(self, plan: Digest) -> bool:
        """Whether a plan was carried out here."""
        return self._memory(_pruned(plan)) is not None

    def record_repeat(
        self, stream: str, serial: int, catalog: Digest, target: str, reason: str = "", floor: dt.datetime | None = None
    ) -> None:
        """Record that a bundle was imported again and everything was already there."""
        with self._writing():
            self._keep_floor(floor)
            self.underway.ended()
            self._history("import", stream, serial, catalog, target, "nothing to do", reason)

    def record_custody(
        self, stream: str, serial: int, catalog: Digest, entries: Iterable[Carried], outcome: str, problems: str = ""
    ) -> None:
        """Record who carried a bundle, unless everything is already known and nothing is wrong."""
        with self._writing():
            if self.custody.keep(stream, serial, catalog, _now(), entries) or problems:
                self._history("custody", stream, serial, catalog, "", outcome, problems)

    @property
    def sigstore_root(self) -> str | None:
        """What is installed of a Sigstore instance, as ``record_sigstore_root`` was given it; None: nothing."""
        return self._memory(_SIGSTORE_ROOT)

    def record_sigstore_root(self, document: str, outcome: str, reason: str) -> None:
        """Replace what is installed, and say so in the history: both, or neither."""
        with self._writing():
            self._connection.execute("INSERT OR REPLACE INTO memory VALUES (?, ?)", (_SIGSTORE_ROOT, document))
            self._history("trust", "", 0, "", "", outcome, reason)

    def record_failure(self, event: Event, *, again: bool = False) -> None:
        """Record that an import did not succeed, and why. ``event.at`` is filled in here.

        Args:
            event: refused, failed or interrupted. Stream and serial are empty and 0 if they could not be trusted.
            again: it was tried again by itself, so the same failure as before is not worth another line.
        """
        with self._writing():
            self.underway.ended()
            self._events.add(event, unless_said=again)

    def history(self, stream: str = "", limit: int = 0) -> list[Event]:
        """Every decision, oldest first.

        Args:
            stream: only those of this stream.
            limit: only this many of the latest; 0 for all.
        """
        return self._events.read(stream, limit)

    def _history(self, event: str, stream: str, serial: int, catalog: str, target: str, outcome: str, reason: str = "") -> None:
        self._events.add(Event("", event, stream, serial, str(catalog), target, outcome, reason))

    def _record_dead(self) -> None:
        if not self.underway.any():
            return
        with self._writing():
            for one in self.underway.dead():
                reason = f"it began at {one.at}: its command was killed, its machine stopped, or the state could not be written"
                row = (one.stream, one.serial, one.catalog, one.target, "it never ended", reason, _KILLED)
                self._events.add(Event("", "interrupted", *row))

    def _floor(self) -> dt.datetime | None:
        text = self._memory("floor")
        try:
            return None if text is None else dt.datetime.strptime(text, _TIME).replace(tzinfo=dt.UTC)
        except ValueError as error:
            raise self._place.damaged("invalid latest time") from error

    def _keep_floor(self, floor: dt.datetime | None) -> None:
        if floor is not None:
            row = (floor.astimezone(dt.UTC).strftime(_TIME),)
            self._connection.execute("INSERT OR REPLACE INTO memory VALUES ('floor', ?)", row)

    def _memory(self, name: str) -> str | None:
        with self._place.errors():
            row = self._connection.execute("SELECT value FROM memory WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def _one(self, query: str, values: tuple[object, ...]) -> Remembered | None:
        with self._place.errors():
            row = self._connection.execute(query + " LIMIT 1", values).fetchone()
        try:
            return Remembered(row[0], Digest.parse(row[1])) if row else None
        except Damaged as error:
            raise self._place.damaged("invalid catalog digest") from error

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        with self._place.errors(), self._connection:
            yield


def _pruned(plan: Digest) -> str:
    return f"pruned {plan}"


def _now() -> str:
    return dt.datetime.now(dt.UTC).strftime(_TIME)
