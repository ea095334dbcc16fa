"""Move the names of a stream back to an earlier bundle, with content that is still at the target: without media."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from airgap.errors import Damaged, NotFound, UsageError
from airgap.format.names import bundle_name
from airgap.naming.mapping import StoreSpec
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Reference, Repository
from airgap.oci.stores import Target
from airgap.progress import Progress
from airgap.state import Brought, Generation, State, Stood, Turn
from airgap.text import listing, plural
from airgap.work import Pool


@dataclass(frozen=True)
class Move:
    """One name: its digest now (None: it does not exist) and its digest after the wanted generation."""

    name: str
    before: Digest | None
    after: Digest


@dataclass(frozen=True)
class Rollback:
    """The result of a rollback.

    Attributes:
        moved: the names that were moved.
        unmoved: how many names were already right.
        new: names that later bundles added and that still exist.
        gone: such names that no longer exist although the state says so: a removal died before recording it.
        taken: names of the generation that ``prune --unlisted`` has removed since.
    """

    moved: tuple[Move, ...]
    unmoved: int
    new: tuple[str, ...]
    taken: tuple[str, ...]
    gone: tuple[str, ...] = ()


def generation_of(generations: Sequence[Generation], stream: str, serial: int, target: str) -> Generation:
    """The wanted generation.

    Raises:
        UsageError: the state does not know it, or parts of it were removed.
    """
    own = [one for one in generations if one.stream == stream]
    have = listing([str(one.serial) for one in own if not one.pruned], 50) or "none"
    for one in own:
        if one.serial == serial and one.pruned:
            raise UsageError(
                "a pruned generation cannot be restored",
                where=f"{bundle_name(stream, serial)} at {target}",
                expected=f"one of the complete serials: {have}",
                hint="import the bundle again from its media: airgap import --allow-older",
            )
        if one.serial == serial:
            return one
    raise UsageError(
        "no such generation of this stream is recorded for the target",
        where=f"{bundle_name(stream, serial)} at {target}",
        expected=f"one of the serials {have}",
        hint="name the target as for airgap import; airgap history --generations lists all",
    )


def names_at(standing: Iterable[Stood], generation: Generation) -> dict[str, Stood]:
    """The digests of the stream's names after a generation, whichever bundle brought them."""
    return {one.name: one for one in standing if one.stream == generation.stream and one.at(generation.moment)}


def attachments_at(generations: Iterable[Generation], generation: Generation, images: Iterable[Brought]) -> list[Brought]:
    """The attachments of these images after a generation, as far as bundles brought them."""
    wanted = {(_repository(one.name), one.digest) for one in images}
    found: dict[str, Brought] = {}
    for one in sorted((g for g in generations if g.moment <= generation.moment), key=lambda g: g.moment):
        own: dict[str, list[Digest]] = {}  # where it is not remembered which image had an attachment, all are thought to
        for image in one.brought:
            if image.image:
                own.setdefault(_repository(image.name), []).append(image.digest)
        for row in one.brought:
            repository = _repository(row.name)
            if not row.image and any((repository, root) in wanted for root in row.roots or own.get(repository, ())):
                found[row.name] = row
    return list(found.values())


def roll_back(
    target: Target, state: State, spec: StoreSpec, turn: Turn, stream: str, serial: int, progress: Progress, threads: int = 4
) -> Rollback:
    """Check that everything is there, move the names, and record it. Repeating it does nothing more.

    Args:
        target: opened.
        state: the site's state.
        spec: the target as named for the imports.
        turn: this command's turn there.
        stream, serial: the generation.
        progress: told about every step.
        threads: requests at a time.

    Raises:
        UsageError: there is no such generation.
        Damaged: parts of it are gone, or the digests of its names are not all known; nothing was moved.
        RegistryError, MediaError: the target failed.
    """
    turn.begin(spec.exclusive_place)
    place = str(spec)
    generations, standing = state.generations.read(place), state.generations.standing.read(place)
    generation = generation_of(generations, stream, serial, place)
    known = names_at(standing, generation)
    images = [Brought(one.name, one.digest, image=True) for one in known.values() if not one.taken]
    _check_owners(images, generations, generation, state)
    now = _resolve(target, [one.name for one in images if "@" not in one.name], threads)
    moved = [one for one in images if one.name in now and now[one.name] != one.digest]
    later = {one.name for one in standing if one.stream == stream and one.until is None and "@" not in one.name} - known.keys()
    there = _resolve(target, sorted(later), threads)
    new = tuple(name for name, digest in there.items() if digest is not None)
    if generation.unsure and new:
        raise Damaged(
            "some names' digests after this bundle are unknown: an earlier version of airgap has pruned without recording them",
            where=f"{bundle_name(stream, serial)} at {place}",
            got=listing(list(new), 100),
            hint="nothing was moved; bring the media of this bundle and import it with --allow-older",
        )
    progress.stage("checking that every part is there", 0)
    own = {(one.name, one.digest) for one in (*generation.brought, *moved)}
    concerned = [one for one in images if (one.name, one.digest) in own]
    missing = _Check(target, threads).missing([*concerned, *attachments_at(generations, generation, concerned)])
    if missing:
        raise Damaged(
            f"the generation is no longer complete: {plural(len(missing), 'part')} missing",
            where=f"{bundle_name(stream, serial)} at {place}",
            got=listing(missing, 100),
            hint="nothing was moved; bring the media of this bundle and import it with --allow-older",
        )
    turn.check(spec.exclusive_place)
    progress.stage("moving names", 0, len(moved), "name")
    for one in moved:
        progress.at(one.name)
        reference = Reference.parse(one.name)
        target.tag(reference, target.manifest(reference.repository, one.digest))
        progress.advance(0, 1)
    target.commit()
    if moved or not any(g.in_force for g in generations if (g.stream, g.serial) == (stream, serial)):
        by_tag = [one for one in images if one.name in now]
        state.record_rollback(place, stream, serial, by_tag, f"moved {plural(len(moved), 'name')} back to this serial")
    moves = tuple(Move(one.name, now[one.name], one.digest) for one in moved)
    taken = tuple(sorted(one.name for one in known.values() if one.taken))
    return Rollback(moves, len(now) - len(moved), new, taken, tuple(name for name in there if name not in new))


def _repository(name: str) -> str:
    """The repository of a name, which is by tag or by digest."""
    return name.partition("@")[0] if "@" in name else name.rpartition(":")[0]


def _check_owners(images: Iterable[Brought], generations: Iterable[Generation], generation: Generation, state: State) -> None:
    """A repository that was given to another source meanwhile (``import --replace-names``) is not given back by the way.

    Raises:
        UsageError: there is one.
    """
    before = sorted(
        (g for g in generations if g.stream == generation.stream and g.moment <= generation.moment), key=lambda g: g.moment
    )
    sources = {row.name: row.source for one in before for row in one.brought if row.source}
    wanted = {_repository(one.name): sources[one.name] for one in images if one.name in sources}
    for place, owner in state.owners(wanted).items():
        if owner != wanted[place]:
            raise UsageError(
                "a repository at the target now belongs to another source",
                where=place,
                expected=wanted[place],
                got=owner,
                hint="nothing was moved; restore it by importing the older bundle with --allow-older --replace-names",
            )


def _resolve(target: Target, names: Sequence[str], threads: int) -> dict[str, Digest | None]:
    with Pool(threads, "names") as pool:
        return dict(zip(names, pool.map(lambda name: target.resolve(Reference.parse(name)), names), strict=True))


class _Check:
    """Finds what is missing below roots: reads every manifest and asks for every blob once per repository."""

    def __init__(self, target: Target, threads: int) -> None:
        self._target = target
        self._threads = threads

    def missing(self, wanted: Sequence[Brought]) -> list[str]:
        missing: list[str] = []
        blobs: dict[tuple[Repository, Descriptor], None] = {}
        with Pool(self._threads, "closure") as pool:
            roots = dict(zip(wanted, pool.map(self._root, wanted), strict=True))
            missing += [one.name for one, root in roots.items() if root is None]
            todo = {root for root in roots.values() if root is not None}
            seen = set(todo)
            while todo:
                found = dict(zip(todo, pool.map(self._manifest, todo), strict=True))
                missing += [f"{repository}@{digest}" for (repository, digest), manifest in found.items() if manifest is None]
                todo = set()
                for (repository, _), manifest in found.items():
                    if manifest is not None:
                        todo |= {(repository, child.digest) for child in manifest.children}
                        own = (blob for blob in manifest.blobs() if not media.is_foreign(blob.media_type))
                        blobs |= dict.fromkeys((repository, blob) for blob in own)
                todo -= seen
                seen |= todo
            there = pool.map(lambda item: self._target.has(*item), blobs)
            missing += [
                f"{repository}: blob {blob.digest}" for (repository, blob), has in zip(blobs, there, strict=True) if not has
            ]
        return sorted(missing)

    def _root(self, one: Brought) -> tuple[Repository, Digest] | None:
        """The tag of an attachment may have more signatures by now; then its current content is used."""
        reference = Reference.parse(one.name)
        digest = one.digest if one.image or reference.digest else self._target.resolve(reference)
        return None if digest is None else (reference.repository, digest)

    def _manifest(self, item: tuple[Repository, Digest]) -> Manifest | None:
        try:
            return self._target.manifest(*item)
        except NotFound:
            return None
