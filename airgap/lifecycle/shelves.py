"""Prune a target: read its content, plan, check that nothing has changed since, remove."""

from __future__ import annotations

import bisect
import contextlib
import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from airgap import fsio
from airgap.errors import Damaged, NotFound, Refused, RegistryError, UsageError
from airgap.format.names import bundle_name
from airgap.format.times import format_time
from airgap.lifecycle.pruneplan import Kept, PlanStep, PrunePlan
from airgap.lifecycle.pruning import HeldManifest, Inventory, ShelfEntry, below, needed, plan_removal
from airgap.limits import MAX_PLAN
from airgap.naming.mapping import LayoutTarget, StoreSpec
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Reference, Repository
from airgap.progress import Progress
from airgap.state import Brought, Generation, State, Stood, Turn
from airgap.text import listing, plural, printable
from airgap.work import Pool

#: What stands for "the repository" where there are none: a layout finds everything by digest.
_LAYOUT = Repository("localhost", "layout")


class Prunable(Protocol):
    """A target that lists all names and removes content (``registry.PrunableRegistry``, ``layout.PrunableLayout``)."""

    def entries(self, repository: Repository) -> Iterator[tuple[str, Digest]]:
        """Every name of a repository or layout with its digest; the name is empty for what is listed without one."""

    def manifest(self, repository: Repository, selector: str) -> Manifest:
        """As ``Source.manifest``; an unreadable manifest is an error whose cause is ``Damaged``."""

    def listed_referrers(self, repository: Repository, subject: Digest) -> Sequence[Descriptor] | None:
        """What an API of the target lists; None without such an API."""

    def begin(self) -> None:
        """Keep others from writing until it is closed, if that is possible."""

    def remove(
        self,
        repository: Repository,
        names: Sequence[tuple[str, Digest]],
        manifests: Sequence[Digest],
        blobs: Sequence[Digest],
        progress: Progress,
    ) -> None:
        """Remove these names, then these manifests in this order, then, if the target allows it, these blobs.

        Content that is already gone is not an error.
        """


@dataclass(frozen=True)
class Choice:
    """What is given up at a target. Everything else is kept, including the images of its names after every kept generation.

    Attributes:
        dropped: the stream and serial of every generation that can no longer be restored.
        names: the names to give up, with all their images, current and earlier.
        spared: names for which dropped generations keep what they brought.
    """

    dropped: frozenset[tuple[str, int]]
    names: frozenset[str] = frozenset()
    spared: frozenset[str] = frozenset()


class Pruner:
    """Plans and carries out removals at one target.

    Args:
        spec: the target.
        store: the target, opened.
        state: the site's state.
        progress: told about every step.
        threads: requests at a time.
    """

    def __init__(self, spec: StoreSpec, store: Prunable, state: State, progress: Progress, threads: int = 4) -> None:
        self._spec = spec
        self._target = str(spec)
        self._store = store
        self._state = state
        self._progress = progress
        self._threads = threads

    def plan(self, choice: Choice) -> PrunePlan:
        """Find out what can be removed.

        Raises:
            RegistryError, Damaged: the target does not list its content.
        """
        generations = self._state.generations.read(self._target)
        kept, leaving = self._split(generations, choice)
        steps = []
        self._progress.stage("reading the target", 0, len(leaving), "repository")
        for space in sorted(leaving):
            self._progress.at(str(space))
            shelf = self._read(space, [*kept.get(space, ()), *leaving[space]], ())
            removal = plan_removal(shelf, kept.get(space, ()), leaving[space])
            going = set(removal.names)
            self._progress.advance(0, 1)
            steps.append(PlanStep(space, removal, tuple(sorted(entry for entry in shelf.entries if entry not in going))))
        seen = tuple(Kept(g.stream, g.serial, g.catalog, g.in_force, _key(g) not in choice.dropped) for g in generations)
        return PrunePlan(self._target, format_time(dt.datetime.now(dt.UTC)), seen, tuple(steps), tuple(sorted(choice.names)))

    def apply(self, plan: PrunePlan, turn: Turn) -> bool:
        """Remove exactly what a plan says, in this command's turn; False if the plan was already carried out.

        Everything is checked before anything is removed. After an interruption, call it again with the same plan.

        Raises:
            UsageError: the plan is for another target.
            Refused: the target or the state has changed since the plan was made.
            RegistryError, MediaError: the target does not remove something.
        """
        turn.begin(self._spec.exclusive_place)
        if plan.target != self._target:
            raise UsageError("the plan is for another target", expected=self._target, got=plan.target)
        if self._state.has_pruned(plan.digest):
            return False
        generations = self._state.generations.read(self._target)
        self._check_generations(plan, generations)
        self._store.begin()
        dropped = frozenset((one.stream, one.serial) for one in plan.generations if not one.stays)
        kept, leaving = self._split(generations, Choice(dropped, frozenset(plan.given_up)))
        missing: set[tuple[str, Digest]] = set()
        for step in plan.steps:
            missing |= self._check_step(step, kept.get(step.space, ()), leaving.get(step.space, ()))
        turn.check(self._spec.exclusive_place)
        for step in plan.steps:
            names = [(entry.name, entry.digest) for entry in step.removal.names]
            blobs = [digest for digest, _ in step.removal.blobs]
            self._store.remove(_repository(step.space), names, step.removal.manifests, blobs, self._progress)
        self._remember(plan, generations, dropped, missing)
        return True

    def apply_unasked(self, plan: PrunePlan, name: str, turn: Turn) -> None:
        """The same for a plan without a file of the user's: it is kept in the state until it is carried out, see :meth:`unasked`.

        Args:
            plan: the plan.
            name: its file name in the state.
            turn: this command's turn at the target.
        """
        kept = self._state.unfinished / name
        fsio.make_directory(kept.parent, fsio.PRIVATE)
        fsio.write_durable(kept, plan.to_bytes(), 0o600)
        self.apply(plan, turn)
        with fsio.disk_errors("cannot remove a plan that was carried out", kept):
            kept.unlink()

    def unasked(self, name: str, turn: Turn) -> PrunePlan | None:
        """Carry out the rest of the plan of a run that died; None if there is none, or if the target has changed since."""
        kept = self._state.unfinished / name
        raw = fsio.read_if_there(kept, MAX_PLAN)
        if raw is None:
            return None
        plan = PrunePlan.parse(raw, printable(str(kept)))
        carried_out = False
        with contextlib.suppress(Refused):
            self.apply(plan, turn)
            carried_out = True
        with fsio.disk_errors("cannot remove a plan that was carried out", kept):
            kept.unlink()
        return plan if carried_out else None

    def _split(
        self, generations: Sequence[Generation], choice: Choice
    ) -> tuple[dict[str, list[Brought]], dict[str, list[Brought]]]:
        """What must be kept whole and what may go, by repository."""
        kept: dict[str, list[Brought]] = {}
        leaving: dict[str, list[Brought]] = {}
        for one, stays in stood_for(generations, self._state.generations.standing.read(self._target), choice):
            (kept if stays else leaving).setdefault(self._space(one), []).append(one)
        if not isinstance(self._spec, LayoutTarget):
            for one in self._state.generations.elsewhere(self._target):
                kept.setdefault(self._space(one), []).append(one)
        images = {(space, one.digest) for space, some in kept.items() for one in some if one.image}
        for generation in generations:
            for one in generation.brought:
                space = self._space(one)
                goes = _key(generation) in choice.dropped and one.name not in choice.spared
                # what hangs off a rebuilt index refers to the original one, so only the memory knows what it belongs to
                stays = not goes or any((space, root) in images for root in one.roots)
                (kept if stays else leaving).setdefault(space, []).append(one)
        return kept, leaving

    def _space(self, one: Brought) -> str:
        return "" if isinstance(self._spec, LayoutTarget) else str(Reference.parse(one.name).repository)

    def _check_generations(self, plan: PrunePlan, generations: Sequence[Generation]) -> None:
        planned = {(g.stream, g.serial): (g.catalog, g.in_force) for g in plan.generations}
        now = {(g.stream, g.serial): (g.catalog, g.in_force) for g in generations}
        changed = sorted(key for key in planned.keys() | now.keys() if planned.get(key) != now.get(key))
        if changed:
            raise _stale("the state's record of the target", [bundle_name(*key) for key in changed])

    def _check_step(self, step: PlanStep, kept: Sequence[Brought], leaving: Sequence[Brought]) -> set[tuple[str, Digest]]:
        """Nothing has come, gone or moved; and nothing that stays needs what goes, however the plan was made.

        Returns:
            What of that which may go is not there: a run that died before it was remembered may have removed it.
        """
        removal = step.removal
        shelf = self._read(step.space, [*kept, *leaving], removal.manifests)
        going = set(removal.names)
        changed = {
            entry.name or entry.digest for entry in set(shelf.entries).symmetric_difference(step.names) if entry not in going
        }
        if changed:
            raise _stale(step.space or self._target, sorted(changed))
        reached = needed(shelf, kept, going, below(shelf, removal.manifests))
        wanted = [digest for digest in (*removal.manifests, *(blob for blob, _ in removal.blobs)) if digest in reached]
        if wanted:
            raise _stale(f"{step.space or self._target}: now needed by what stays", wanted)
        return {(one.name, one.digest) for one in leaving if one.digest not in shelf.nodes}

    def _remember(
        self,
        plan: PrunePlan,
        generations: Sequence[Generation],
        dropped: Collection[tuple[str, int]],
        missing: Collection[tuple[str, Digest]],
    ) -> None:
        """What is gone need not be known any more, nor what a generation that is kept has brought, too."""
        manifests = {(step.space, digest) for step in plan.steps for digest in step.removal.manifests}
        names = {entry for step in plan.steps for entry in step.removal.names}
        known = [Brought(one.name, one.digest, image=True) for one in self._state.generations.standing.read(self._target)]
        gone = {
            (one.name, one.digest)
            for one in (*known, *(one for generation in generations for one in generation.brought))
            if (self._space(one), one.digest) in manifests
            or ShelfEntry(one.name, one.digest) in names
            or (one.name, one.digest) in missing
        }
        twice = {(one.name, one.digest) for g in generations if _key(g) not in dropped for one in g.brought}
        done = [
            (generation.stream, generation.serial, one)
            for generation in generations
            if _key(generation) in dropped
            for one in generation.brought
            if (one.name, one.digest) in gone | twice
        ]
        outcome = f"removed {plural(len(manifests), 'manifest')}, {plural(len(names), 'name')}"
        self._state.record_prune(self._target, done, sorted(dropped), outcome, gone, plan.digest)

    def _read(self, space: str, brought: Iterable[Brought], also: Iterable[Digest]) -> Inventory:
        """Everything of a repository that its names, or what we know, lead to."""
        repository = _repository(space)
        entries = tuple(sorted({ShelfEntry(name, digest) for name, digest in self._store.entries(repository)}))
        nodes: dict[Digest, HeldManifest] = {}
        todo = {*(entry.digest for entry in entries), *(one.digest for one in brought), *also}
        seen = set(todo)
        with Pool(self._threads, "prune") as pool:
            while todo:
                found = zip(todo, pool.map(lambda digest: self._node(repository, digest), todo), strict=True)
                nodes |= {digest: node for digest, node in found if node is not None}
                todo = {below for digest in todo & nodes.keys() for below in (*nodes[digest].children, *nodes[digest].referrers)}
                todo -= seen
                seen |= todo
        return Inventory(entries, nodes, loose_names=not space)

    def _node(self, repository: Repository, digest: Digest) -> HeldManifest | None:
        try:
            manifest = self._store.manifest(repository, digest)
        except NotFound:
            return None
        except RegistryError as error:
            if not isinstance(error.__cause__, Damaged):
                raise
            return HeldManifest()  # a kind that nobody here carries; it was not brought, so it stays
        return HeldManifest(
            children=tuple(child.digest for child in manifest.children),
            blobs=tuple(dict.fromkeys((blob.digest, blob.size) for blob in manifest.blobs())),
            subject=manifest.subject.digest if manifest.subject else None,
            referrers=tuple(one.digest for one in self._store.listed_referrers(repository, digest) or ()),
            size=len(manifest.raw),
        )


def choose(generations: Sequence[Generation], keep: int, stream: str = "") -> set[tuple[str, int]]:
    """The generations to drop: all of a stream except the last ``keep`` complete ones and the one in force.

    Args:
        generations: of one target.
        keep: how many to keep; at least 1.
        stream: only generations of this stream; of all streams if empty.
    """
    dropped: set[tuple[str, int]] = set()
    for name in {generation.stream for generation in generations}:
        own = sorted((g for g in generations if g.stream == name), key=lambda g: g.serial)
        if stream in ("", name):
            last = [g for g in own if not g.pruned][-keep:]
            dropped |= {_key(g) for g in own if g not in last and not g.in_force}
    return dropped


def stood_for(generations: Iterable[Generation], standing: Iterable[Stood], choice: Choice) -> Iterator[tuple[Brought, bool]]:
    """The current and earlier images of names, and whether each stays: if it is current, or was after a kept generation."""
    moments: dict[str, list[int]] = {}
    for generation in sorted(generations, key=lambda one: one.moment):
        if _key(generation) not in choice.dropped and not generation.pruned:
            moments.setdefault(generation.stream, []).append(generation.moment)
    for one in standing:
        own = moments.get(one.stream, [])
        first = bisect.bisect_left(own, one.since)
        stays = one.until is None or (first < len(own) and own[first] < one.until)
        yield Brought(one.name, one.digest, image=True), stays and one.name not in choice.names


def unlisted(
    generations: Iterable[Generation], standing: Sequence[Stood], dropped: Collection[tuple[str, int]], stream: str = ""
) -> frozenset[str]:
    """The names that dropped (or forgotten) generations brought and no kept generation has.

    Args:
        generations, standing: of one target.
        dropped: the stream and serial of the generations to drop.
        stream: only names of this stream and of no other; of all streams if empty.
    """
    listed = {row.name for one in generations if _key(one) not in dropped and not one.pruned for row in one.brought}
    others = {one.name for one in standing if stream not in ("", one.stream)}
    return frozenset(one.name for one in standing if one.until is None and one.name not in listed | others)


def _key(generation: Generation) -> tuple[str, int]:
    return generation.stream, generation.serial


def _repository(space: str) -> Repository:
    return Repository(*space.split("/", 1)) if space else _LAYOUT


def _stale(where: str, what: Sequence[str]) -> Refused:
    return Refused(
        "something has changed since the plan was made",
        where=where,
        got=listing(list(what), 10),
        hint="make a new plan, review it and apply it",
    )
