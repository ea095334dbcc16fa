"""Import bundles as they arrive: complete ones in the order of their stream; an incomplete one waits and reports what is missing.

``run.import_bundle`` decides whether a bundle may enter. This module decides only when to call it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airgap.admission.terms import Terms
from airgap.bundle import presence
from airgap.errors import BUG, AirgapError, BaseMissing, MediaError, Refused, RegistryError, disk_error, exit_code
from airgap.format.times import format_time
from airgap.importer.attempt import Mend
from airgap.importer.importing import import_bundle
from airgap.importer.run import Destination, Imported
from airgap.importer.signing import SiteSigning
from airgap.progress import Progress
from airgap.state import State, Turn
from airgap.text import listing, plural, printable
from airgap.watch.arrivals import Arrivals
from airgap.watch.attempts import Attempt, Attempts
from airgap.watch.exceptions import name_import
from airgap.watch.gathering import Gathered, Gathering
from airgap.watch.results import Results

#: Seconds: a registry that failed is left alone for so long at first, and at most.
_FIRST_PAUSE, _LONGEST_PAUSE = 15.0, 900.0
#: At most this many unsigned bundles are refused in one round, so that they do not keep others waiting.
_UNTRUSTED_A_ROUND = 20
#: So many things that are odd are told at a time.
_MAX_REMARKS = 50


@dataclass(frozen=True)
class Site:
    """What the site does with bundles that arrive.

    Attributes:
        destination: the target.
        signing: the signatures that the site adds.
        state: the state directory.
        purpose: everything that distinguishes the outcomes of imports: target, mapping, platforms, keys.
        turn: waits for the turn to write to the target; its second argument is told who is waited for. Raises ``Busy``.
        terms: builds current terms. Raises ``AirgapError``.
        conditions: a stamp that changes when ``terms`` may change, with the policy and its keys.
        describe: the outcome of an import as facts and lines.
        mend: rebuilds missing and damaged volumes, if the site wants that.
        importing: the options with which ``airgap import`` does the same with one bundle.
    """

    destination: Destination
    signing: SiteSigning
    state: Path
    purpose: str
    turn: Callable[[State, Callable[[str], None]], contextlib.AbstractContextManager[Turn]]
    terms: Callable[[], Terms]
    conditions: Callable[[], str]
    describe: Callable[[Imported], tuple[Mapping[str, Any], Sequence[str]]]
    mend: Mend | None = None
    importing: Sequence[str] = ()


@dataclass(frozen=True)
class WatchEvent:
    """One event. ``kind``: remark, waiting, begun, imported, refused, failed. ``detail`` is the traceback of a bug."""

    kind: str
    text: str
    bundle: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    detail: str = ""


@dataclass(frozen=True)
class _Pause:
    """A temporary failure: when to try again, after how many seconds, its exit code, and the files at that time."""

    until: float = 0.0
    seconds: float = 0.0
    code: int = 0
    files: tuple[object, ...] = ()


_NO_PAUSE = _Pause()
_TARGET_FAILED = exit_code(RegistryError(""))


class Watcher:
    """Scans a drop directory and imports complete bundles.

    Args:
        site: what the site does with bundles.
        arrivals: the drop directory.
        attempts: earlier outcomes.
        results: where results are written.
        patience: seconds without new data that an incomplete bundle may delay newer ones of its stream, and before it is repaired.
        progress: told about every import.
        tell: called with every event.
        clock: a monotonic clock, in seconds.

    Attributes:
        importing: the name of the bundle that is being imported, or empty.
    """

    def __init__(
        self,
        site: Site,
        arrivals: Arrivals,
        attempts: Attempts,
        results: Results,
        patience: float,
        progress: Progress,
        tell: Callable[[WatchEvent], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._site, self._arrivals, self._attempts, self._results = site, arrivals, attempts, results
        self._patience, self._progress, self._tell = patience, progress, tell
        self._clock = clock
        self._gathering = Gathering()
        self._conditions = ""
        self._told: dict[str, str] = {}
        self._pauses: dict[str, _Pause] = {}
        self._codes: list[int] = []
        self.importing = ""

    def begin(self) -> None:
        """Scan for the first time; files that do not change from now on settle. Raises ``UsageError``."""
        self._arrivals.look()

    @property
    def code(self) -> int:
        """The exit code of the worst failure in the latest round, 0 if there was none."""
        return max(self._codes, default=0)

    def round(self) -> bool:
        """Scan once and import complete bundles; whether there were any.

        Raises:
            Interrupted: stopped; the next import of the bundle continues where this one stopped.
            Refused, MediaError: the state is damaged or cannot be written.
        """
        self._codes = []
        try:
            folders = self._arrivals.look()
            self._conditions = self._site.conditions()  # before the terms: a policy that changes in between is read once more
            terms = self._site.terms()
        except AirgapError as error:  # the drop directory is gone, or the policy broken: what it said before counts no more
            self._codes.append(exit_code(error))
            self._tell_new({f"remark {error}": WatchEvent("remark", f"nothing is imported: {error}", facts=error.facts())}, set())
            return False
        bundles = self._gathering.bundles(folders, terms, self._conditions, self._attempts.imported(self._purpose))
        self._codes += [exit_code(error) for error in (*self._arrivals.failures, *self._gathering.failures)]
        present = {bundle.digest for bundle in bundles}
        self._pauses = {digest: one for digest, one in self._pauses.items() if digest in present or one.code == _TARGET_FAILED}
        remarks = (*self._arrivals.remarks, *self._gathering.remarks)[:_MAX_REMARKS]
        self._tell_new({f"remark {text}": WatchEvent("remark", text) for text in remarks}, {str(one.digest) for one in bundles})
        return self._go_through(bundles)

    def _go_through(self, bundles: Sequence[Gathered]) -> bool:
        imported = False
        untrusted = 0
        for bundle in bundles:
            if any(self._was_tried(bundle, word) for word in ("refused", "failed")) or self._pauses_still(bundle):
                continue
            waits = self._waits_for(bundle, bundles)
            if waits is not None:
                self._wait(bundle, *waits)
                continue
            if self._was_tried(bundle, "waiting"):
                continue
            untrusted += bundle.catalog is None
            if bundle.catalog is not None or untrusted <= _UNTRUSTED_A_ROUND:
                imported |= self._attempt(bundle)
        return imported

    def _was_tried(self, bundle: Gathered, outcome: str) -> bool:
        """Whether an attempt ended so, and nothing has changed since that could let another one end otherwise."""
        before = self._attempts.find(bundle.digest)
        if before is None or before.outcome != outcome or before.key != self._key(bundle, outcome):
            return False
        self._codes.append(before.code)
        if bundle.digest not in self._told:
            self._told[bundle.digest] = outcome
            text = f"{outcome} as before: its files and the policy are unchanged"
            self._tell(WatchEvent("unchanged", text, before.name, {"outcome": outcome, "exit_code": before.code}))
        return True

    def _pauses_still(self, bundle: Gathered) -> bool:
        pause = self._pauses.get(bundle.digest, _NO_PAUSE)
        if self._clock() >= pause.until or (pause.code != _TARGET_FAILED and pause.files != _files(bundle)):
            return False
        self._codes.append(pause.code)
        return True

    def _waits_for(self, bundle: Gathered, bundles: Iterable[Gathered]) -> tuple[str, int] | None:
        """What a bundle waits for and the exit code of that; None when its time has come."""
        lacks = bundle.lacks()
        if lacks and not (self._site.mend is not None and bundle.healable() and self._is_quiet(bundle)):
            return lacks, 0
        if bundle.catalog is None:
            return None if bundle.signed else ("no signature has arrived yet", 3)
        pending = {other.digest: other for other in bundles if other is not bundle and not self._is_done(other)}
        for base in bundle.catalog.base:
            if base in pending:
                return f"it builds on {pending[base].name}, which has arrived but has not been imported", 4
        reasons = ((other.name, self._why_first(other)) for other in pending.values() if _is_older(other, bundle))
        return next(((f"{name} comes first and {why}", 0) for name, why in reasons if why), None)

    def _why_first(self, older: Gathered) -> str:
        """Why newer bundles of its stream have to wait for a bundle, or empty: after them it would be too old."""
        if self._pauses.get(older.digest, _NO_PAUSE).code == _TARGET_FAILED:
            return "could not be loaded yet"
        if older.lacks():
            return "" if self._is_quiet(older) else "is incomplete"
        return ""

    def _is_quiet(self, bundle: Gathered) -> bool:
        """Whether nothing of a bundle has come for so long that what is missing of it will hardly come."""
        latest = max(self._arrivals.latest_change(folder) for folder in bundle.folders)
        return self._clock() - latest >= self._patience

    def _wait(self, bundle: Gathered, text: str, code: int, facts: Mapping[str, Any] | None = None) -> None:
        self._codes.append(code)
        event = WatchEvent("waiting", text, bundle.name, facts or {"waits_for": text})
        if self._told.get(bundle.digest) != text:
            self._told[bundle.digest] = text
            self._conclude(bundle, event, [f"waits for    {text}"], write=bundle.catalog is not None)

    def _attempt(self, bundle: Gathered) -> bool:
        site = self._site
        with State(site.state) as memory:
            try:
                with site.turn(memory, lambda text: self._wait(bundle, text, 0)) as turn:
                    self._told.pop(bundle.digest, None)
                    self.importing = bundle.name
                    self._tell(WatchEvent("begun", f"from {listing([str(folder.path) for folder in bundle.folders])}", bundle.name))
                    paths = [folder.path for folder in bundle.folders]
                    how = (site.destination, site.terms(), memory, self._progress, turn, site.signing, site.mend)
                    with presence.attending():
                        done = import_bundle(paths, *how, again=bundle.digest in self._pauses)
            except AirgapError as error:
                self._failed(bundle, error)
            except OSError as error:
                self._failed(bundle, disk_error(error, "system error", str(error.filename or "")))
            except Exception as error:  # noqa: BLE001 - one hostile bundle must not end the service again and again
                self._bug(bundle, error)
            else:
                self._imported(bundle, done)
        return self._is_done(bundle)

    def _imported(self, bundle: Gathered, done: Imported) -> None:
        self.importing = ""
        facts, lines = self._site.describe(done)
        text = "everything was already there" if done.loaded is None else plural(len(done.names), "image")
        self._conclude(bundle, WatchEvent("imported", text, bundle.name, facts), lines, keep=("imported", 0))

    def _failed(self, bundle: Gathered, error: AirgapError) -> None:
        self.importing = ""
        name_import(error, [folder.path for folder in bundle.folders], self._site.importing)
        if not isinstance(error, Refused) and not all(folder.is_there() for folder in bundle.folders):
            self._gone(bundle, error)
            return
        code = exit_code(error)
        if isinstance(error, BaseMissing):
            self._keep(bundle, "waiting", code)
            self._wait(bundle, f"its base is missing: {error}", code, {**error.facts(), "exit_code": code})
            return
        self._codes.append(code)
        facts = {**error.facts(), "exit_code": code}
        lines = [f"{name:<12} {line}" for name, text in error.facts().items() for line in text.split("\n") if line]
        if isinstance(error, (RegistryError, MediaError)):
            seconds = min(max(2 * self._pauses.get(bundle.digest, _NO_PAUSE).seconds, _FIRST_PAUSE), _LONGEST_PAUSE)
            self._pauses[bundle.digest] = _Pause(self._clock() + seconds, seconds, code, _files(bundle))
            self._conclude(bundle, WatchEvent("failed", f"{error}; next try in {seconds:.0f} seconds", bundle.name, facts), lines)
            return
        word = "refused" if isinstance(error, Refused) else "failed"
        lines.append("next try     when the files or the policy change")
        self._conclude(bundle, WatchEvent(word, str(error), bundle.name, facts), lines, keep=(word, code))

    def _gone(self, bundle: Gathered, error: AirgapError) -> None:
        """Its medium was pulled: when that is back, wherever, the bundle is gathered and tried as a new one."""
        where = listing([printable(str(folder.path)) for folder in bundle.folders if not folder.is_there()])
        gone = MediaError("its medium was taken away", where=where, got=error.what, hint="insert it again to import the bundle")
        self._codes.append(exit_code(gone))
        event = WatchEvent("failed", str(gone), bundle.name, {**gone.facts(), "exit_code": exit_code(gone)})
        self._conclude(bundle, event, (), write=False)  # its place may be an empty mount point now

    def _bug(self, bundle: Gathered, error: Exception) -> None:
        self.importing = ""
        self._codes.append(BUG)
        text = f"a bug in airgap: {type(error).__name__}"
        event = WatchEvent("failed", text, bundle.name, {"error": text, "exit_code": BUG}, traceback.format_exc())
        self._conclude(bundle, event, [f"error        {text}"], keep=("failed", BUG))

    def _conclude(
        self,
        bundle: Gathered,
        event: WatchEvent,
        lines: Sequence[str],
        *,
        write: bool = True,
        keep: tuple[str, int] | None = None,
    ) -> None:
        """Write the result, record the attempt, report the event: if interrupted in between, it is only done again."""
        head: dict[str, Any] = {
            "bundle": bundle.name,
            "catalog": bundle.digest,
            "outcome": event.kind,
            "at": format_time(dt.datetime.now(dt.UTC)),
            "target": str(self._site.destination.spec),
        }
        if bundle.catalog is not None:
            head |= {"stream": bundle.catalog.stream, "serial": bundle.catalog.serial}
        shown = [f"{name:<12} {head[name]}" for name in ("bundle", "outcome", "at", "target")]
        facts = dict(event.facts)
        if write:
            try:
                lines = [line for line in lines if not line.startswith("bundle ")]
                path = self._results.write(bundle.name, bundle.folders[0].path, {**facts, **head}, [*shown, *lines])
                facts["result_file"] = str(path)
            except MediaError as error:
                self._tell(WatchEvent("remark", f"the result could not be written: {error}", bundle.name))
        if keep is not None:
            self._told[bundle.digest] = keep[0]
            self._keep(bundle, *keep)
        self._tell(WatchEvent(event.kind, event.text, event.bundle, facts, event.detail))

    def _keep(self, bundle: Gathered, outcome: str, code: int) -> None:
        self._pauses.pop(bundle.digest, None)
        self._attempts.keep(bundle.digest, Attempt(bundle.name, outcome, code, self._key(bundle, outcome)))

    def _is_done(self, bundle: Gathered) -> bool:
        before = self._attempts.find(bundle.digest)
        return before is not None and before.outcome == "imported" and before.key == self._purpose

    @property
    def _purpose(self) -> str:
        return hashed(self._site.purpose)

    def _key(self, bundle: Gathered, outcome: str) -> str:
        """What must change before a bundle is tried again: for one that waits for its base, also what was imported since."""
        if outcome == "imported":
            return self._purpose
        since = sorted(self._attempts.imported(self._purpose)) if outcome == "waiting" else []
        return hashed([self._site.purpose, self._conditions, *(folder.stamps() for folder in bundle.folders), since])

    def _tell_new(self, events: Mapping[str, WatchEvent], present: set[str]) -> None:
        """Report new events, and forget those that no longer apply."""
        for key, event in events.items():
            if key not in self._told:
                self._tell(event)
        kept = {key: text for key, text in self._told.items() if key in present}
        self._told = {**kept, **{key: event.text for key, event in events.items()}}
        self._pauses = {digest: pause for digest, pause in self._pauses.items() if digest in present}


def watch(watcher: Watcher, interval: float, settle: float, once: bool, pause: Callable[[float], None] = time.sleep) -> int:
    """Go round by round; the exit code of the worst failure when ``once`` is asked for, else for ever.

    Args:
        watcher: the watcher.
        interval: seconds between two rounds.
        settle: seconds before the first one: what does not change meanwhile is whole.
        once: end when a round imported nothing.
        pause: waits.

    Raises:
        As :meth:`Watcher.round`; and UsageError when there is no drop directory.
    """
    watcher.begin()
    pause(settle)
    while True:
        imported = watcher.round()
        if once and not imported:
            return watcher.code
        if not once and not imported:
            pause(interval)


def _files(bundle: Gathered) -> tuple[object, ...]:
    return tuple(stamp for folder in bundle.folders for stamp in folder.stamps())


def _is_older(one: Gathered, other: Gathered) -> bool:
    mine, others = one.catalog, other.catalog
    return mine is not None and others is not None and mine.stream == others.stream and mine.serial < others.serial


def hashed(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
