"""Move the names of a stream back to what they were after an earlier bundle, with what is still at the target: no media."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from airgap.bundle.names import bundle_name
from airgap.errors import Damaged, NotFound, UsageError
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Reference, Repository
from airgap.oci.stores import Target
from airgap.progress import Progress
from airgap.state import Brought, Generation, State
from airgap.text import listing, plural


@dataclass(frozen=True)
class Move:
    """One name: what it stands for now (None: nothing) and what it did after the generation that is wanted."""

    name: str
    before: Digest | None
    after: Digest


@dataclass(frozen=True)
class Rollback:
    """What a rollback did.

    Attributes:
        moved: the names that stood for something else.
        unmoved: how many did not.
        new: names that later bundles brought and that are there still.
    """

    moved: tuple[Move, ...]
    unmoved: int
    new: tuple[str, ...]


def generation_of(generations: Sequence[Generation], stream: str, serial: int, target: str) -> Generation:
    """The generation that is wanted.

    Raises:
        UsageError: this site does not remember it, or parts of it were removed.
    """
    own = [one for one in generations if one.stream == stream]
    have = listing([str(one.serial) for one in own if not one.pruned], 50) or "none"
    for one in own:
        if one.serial == serial and one.pruned:
            raise UsageError(
                "there is no way back to a generation that was pruned",
                where=f"{bundle_name(stream, serial)} at {target}",
                expected=f"one of the serials that are whole: {have}",
                hint="import it again from its media: airgap import --allow-older",
            )
        if one.serial == serial:
            return one
    raise UsageError(
        "no such generation of this stream is remembered for the target",
        where=f"{bundle_name(stream, serial)} at {target}",
        expected=f"one of the serials {have}",
        hint="name the target as it was named to airgap import; airgap history --generations lists them",
    )


def names_after(generations: Iterable[Generation], stream: str, serial: int) -> dict[str, Brought]:
    """What the stream's names stood for after a generation: what it brought, and before it the earlier ones."""
    found: dict[str, Brought] = {}
    for one in sorted((g for g in generations if g.stream == stream and g.serial <= serial), key=lambda g: g.serial):
        found |= {brought.name: brought for brought in one.brought}
    return found


def roll_back(target: Target, state: State, place: str, stream: str, serial: int, progress: Progress, threads: int = 4) -> Rollback:
    """Check that everything is there, move the names, remember it. Doing it twice does nothing more.

    Args:
        target: opened.
        state: the site's memory.
        place: the target as it was named to the imports.
        stream, serial: the generation.
        progress: told about every step.
        threads: how many questions are asked at a time.

    Raises:
        UsageError: there is no such generation.
        Damaged: parts of it are gone; nothing was moved.
        RegistryError, MediaError: the target failed.
    """
    generations = state.generations.read(place)
    generation = generation_of(generations, stream, serial, place)
    wanted = names_after(generations, stream, serial)
    images = [one for one in wanted.values() if one.image and "@" not in one.name]
    now = _resolve(target, [one.name for one in images], threads)
    moved = [one for one in images if now[one.name] != one.digest]
    progress.stage("looking for every part of it", 0)
    missing = _Check(target, threads).missing(list(dict.fromkeys((*generation.brought, *moved))))
    if missing:
        raise Damaged(
            f"the generation is not whole any more: {plural(len(missing), 'part')} missing",
            where=f"{bundle_name(stream, serial)} at {place}",
            got=listing(missing, 100),
            hint="nothing was moved; bring the media of this bundle and import it with --allow-older",
        )
    later = {one.name for g in generations if g.stream == stream and g.serial > serial for one in g.brought if one.image}
    there = _resolve(target, sorted(name for name in later - wanted.keys() if "@" not in name), threads)
    progress.stage("moving names", 0)
    for one in moved:
        reference = Reference.parse(one.name)
        target.tag(reference, target.manifest(reference.repository, one.digest))
    target.commit()
    if moved or not any(g.in_force for g in generations if (g.stream, g.serial) == (stream, serial)):
        state.record_rollback(place, stream, serial, images, f"moved {plural(len(moved), 'name')} back to this serial")
    moves = tuple(Move(one.name, now[one.name], one.digest) for one in moved)
    return Rollback(moves, len(images) - len(moved), tuple(name for name, digest in there.items() if digest is not None))


def _resolve(target: Target, names: Sequence[str], threads: int) -> dict[str, Digest | None]:
    with ThreadPoolExecutor(threads, thread_name_prefix="names") as pool:
        return dict(zip(names, pool.map(lambda name: target.resolve(Reference.parse(name)), names), strict=True))


class _Check:
    """Finds what is missing below roots: every manifest is read, every blob asked for once in every repository."""

    def __init__(self, target: Target, threads: int) -> None:
        self._target = target
        self._threads = threads

    def missing(self, wanted: Sequence[Brought]) -> list[str]:
        missing: list[str] = []
        blobs: dict[tuple[Repository, Descriptor], None] = {}
        with ThreadPoolExecutor(self._threads, thread_name_prefix="closure") as pool:
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
        """An attachment's tag may have got more signatures since: then it counts as it is now."""
        reference = Reference.parse(one.name)
        digest = one.digest if one.image or reference.digest else self._target.resolve(reference)
        return None if digest is None else (reference.repository, digest)

    def _manifest(self, item: tuple[Repository, Digest]) -> Manifest | None:
        try:
            return self._target.manifest(*item)
        except NotFound:
            return None
