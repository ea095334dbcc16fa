"""Import a bundle from media to names, or verify it without loading anything."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from airgap.admission.closure import Closure, walk_all
from airgap.admission.databases import stale_databases
from airgap.admission.door import Found, Judged, Whole
from airgap.admission.gate import next_floor
from airgap.admission.terms import Terms
from airgap.bundle.check import check_volumes
from airgap.bundle.store import BundleStore
from airgap.errors import Damaged
from airgap.format.catalog import Catalog
from airgap.format.times import parse_time
from airgap.importer.attempt import Attempt, Crew, Mended, MendedVolume
from airgap.importer.bringing import brought
from airgap.importer.custody import check_custody, remarks_of, remember_custody
from airgap.importer.deep import Rebuilt, rebuild_all
from airgap.importer.fitting import check_fits
from airgap.importer.held import locate, require_codecs
from airgap.importer.load import Loaded, load
from airgap.importer.owning import check_keeping_tags, check_places, claim_places, unclaimed
from airgap.importer.signing import SiteSigning
from airgap.naming.mapping import FileTarget, TargetSpec, destinations, tagged_name, visible
from airgap.oci import strictjson
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.image import LOOKASIDE, counts
from airgap.oci.reference import Reference, Repository
from airgap.oci.stores import Appearing, Limited, Reader, Target, width
from airgap.progress import Progress
from airgap.state import KnownName, State, Turn
from airgap.text import listing, plural
from airgap.trust.judge.bundles import Verdict
from airgap.work import Pool


@dataclass(frozen=True)
class Imported:
    """The outcome of an import.

    Attributes:
        opened: the bundle.
        names: the destination of every image loaded, by source reference.
        rebuilt: images whose index was rebuilt, so that a signature on it no longer applies.
        left_out: images not loaded because volumes are missing (only with ``partial``).
        loaded: what was sent; None when everything was there already.
        remarks: what is remarkable about the bundle's age, its place in its stream and its images, and what the operator allowed.
        not_held: attachments that the target has no place for.
        without: how many attachments of each kind the operator left out.
        repaired: the volumes that were rebuilt for this import.
    """

    opened: Judged
    names: Mapping[Reference, Reference]
    rebuilt: tuple[Reference, ...]
    left_out: tuple[Reference, ...]
    loaded: Loaded | None
    remarks: tuple[str, ...] = ()
    not_held: tuple[str, ...] = ()
    without: Mapping[str, int] = field(default_factory=dict)
    repaired: tuple[MendedVolume, ...] = ()


@dataclass(frozen=True)
class Destination:
    """A target as named on the command line, a function that opens it for the bundle of a given name, and who sends blobs there."""

    spec: TargetSpec
    build: Callable[[str], contextlib.AbstractContextManager[Target]]
    crew: Crew | None = None


@dataclass(frozen=True)
class Verified:
    """A bundle that passed, and what was rebuilt, if that was asked for."""

    opened: Judged
    rebuilt: Rebuilt | None = None


def verify(
    paths: Sequence[Path], terms: Terms, progress: Progress, deep: bool = False, destination: Destination | None = None
) -> Verified:
    """Check everything that an import would check, and every block of every volume, without loading anything.

    Args:
        paths: bundle directories or mount points.
        terms: the site's terms.
        progress: told about every step.
        deep: also rebuild every blob that is carried as a patch.
        destination: where the blobs are that the bundle does not carry; without it, patches that need them are not rebuilt.

    Raises:
        Refused, Damaged: as an import would.
    """
    progress.stage("reading the bundle", 0)
    admitted = Found.at(paths).signed(terms).admitted()
    media, catalog = admitted.media, admitted.catalog
    # first, because it names all damage there is
    check_volumes(catalog, media.locate(catalog), progress, terms.threads, media.locate_parity(catalog))
    progress.stage("judging the images", 0)
    opened = admitted.whole().judged()
    if not deep:
        return Verified(opened)
    require_codecs(catalog)
    if destination is None:
        return Verified(opened, rebuild_all(opened.store, progress, terms.threads))
    with destination.build(catalog.name) as target:
        names = destinations(_roots(opened.closures), destination.spec)
        held = locate(catalog, opened.closures, names, destination.spec, target, terms.threads)
        return Verified(opened, rebuild_all(_completed(opened, held, target), progress, terms.threads))


def load_bundle(
    paths: Sequence[Path],
    destination: Destination,
    terms: Terms,
    state: State,
    progress: Progress,
    turn: Turn,
    signing: SiteSigning | None,
    attempt: Attempt,
    mended: Mended | None = None,
) -> Imported:
    """Verify a bundle and load it. No other command writes there meanwhile, so the gate and the state stay valid.

    Args:
        paths: bundle directories or mount points.
        destination: the target; its rules decide names, and it is opened only after everything has been verified.
        terms: the site's terms.
        state: the site's state.
        progress: told about every step.
        turn: this command's turn at the target.
        signing: the signatures that the site adds after its policy has accepted the images.
        attempt: told what is known of the bundle.
        mended: rebuilt volumes; their directory is one of the paths, which nobody has carried.

    Raises:
        Refused, Damaged, RegistryError, MediaError: no name was set at the target.
    """
    spec = destination.spec
    turn.check(spec.exclusive_place)
    progress.stage("reading the bundle", 0)
    there = Found.at(paths, [mended.directory] if mended else ())
    attempt.found(there.digest)
    signed = there.signed(terms)
    attempt.signed(signed)
    digest, catalog = signed.digest, signed.catalog
    memory = memory_key(spec, terms, signing)
    known = state.known(catalog.stream, catalog.serial, catalog.previous)
    admitted = signed.admitted(known)
    custody = check_custody(signed, progress)
    progress.stage("judging the images", 0)
    found = examine(admitted.whole().judged(), spec)
    opened, names, closures, left_out = found.opened, found.names, found.closures, found.left_out
    places = check_places(names, spec, state, replace=terms.replace_names)
    turn.begin(spec.exclusive_place)
    remarks = (*opened.remarks, *(f"{place} is taken over (--replace-names)" for place in places))
    remarks = (*remarks, *found.choices, *turn.remarks)
    repaired = mended.volumes if mended else ()
    reason = _reason(opened.verdict, (*remarks, *(f"repaired {one}" for one in repaired)))
    floor = next_floor(known.floor, parse_time(catalog.created), terms.now, terms.allow_clock_behind)
    noted = (*remarks, *remarks_of(custody), *found.remarks, *lacking(opened))
    done = Imported(opened, names, found.rebuilt, left_out, None, noted, without=found.without, repaired=repaired)
    progress.stage("asking the target", 0)
    with destination.build(catalog.name) as target:
        known_there = state.imported_into(catalog.stream, catalog.serial, memory) == digest
        if known_there and _all_there(closures, names, target, terms.threads):
            claim_places(names, spec, state, replace=terms.replace_names)
            remember_custody(state, catalog, digest, custody)
            state.keep_expiry(digest, catalog.expires)
            state.record_repeat(catalog.stream, catalog.serial, digest, memory, reason, floor)
            if not state.generations.knows(str(spec), catalog.stream, catalog.serial):
                _remember_generation(found, spec, target, terms, state, digest, signing, None)
            return done
        work = _work(catalog, digest, memory, closures, names)
        if _is_done(target, state, work):  # by a run that died before it was remembered
            loaded, not_held = None, tuple[str, ...]()
        else:
            held = _hold(opened, closures, names, spec, target, terms, state)
            check_keeping_tags(closures, names, target, terms.threads)
            new = unclaimed(names, spec, state)
            claim_places(names, spec, state, replace=terms.replace_names)
            still = partial(turn.check, spec.exclusive_place)
            store, crew = _completed(opened, held, target), destination.crew
            loaded = load(store, closures, names, target, progress, still, terms.threads, signing, held, new, crew)
            not_held = tuple(target.left_out) if isinstance(target, Limited) else ()
        _remember_generation(found, spec, target, terms, state, digest, signing, loaded)
    outcome = f"loaded {plural(len(closures), 'image')}"
    tagged = sum(source.tag is None and name.tag is not None for source, name in names.items())
    outcome += f", {tagged} by digest alone with a tag" if tagged else ""
    if left_out:  # it counts against older bundles all the same, but not as a bundle that is there already
        outcome, memory = f"{outcome}, left out {len(left_out)}", f"{memory} (partial)"
    if repaired:
        outcome += f", repaired {plural(len(repaired), 'volume')}"
    remember_custody(state, catalog, digest, custody)
    state.keep_expiry(digest, catalog.expires)
    state.record_import(catalog.stream, catalog.serial, digest, memory, outcome, reason, floor, _placed(found, spec), work)
    return replace(done, loaded=loaded, not_held=not_held)


@dataclass(frozen=True)
class Examined:
    """A bundle that passed, as it would be loaded.

    Attributes:
        opened: the bundle.
        names: the destination of every image, by source reference.
        closures: the images.
        left_out: the images that are not complete.
        without: how many attachments of each kind the operator left out; the closures do not have them.
    """

    opened: Judged
    names: Mapping[Reference, Reference]
    closures: Sequence[Closure]
    left_out: tuple[Reference, ...]
    without: Mapping[str, int] = field(default_factory=dict)

    @property
    def choices(self) -> tuple[str, ...]:
        """The attachments that the operator left out, in one line."""
        counted = listing([f"{count} {kind}" for kind, count in sorted(self.without.items())])
        return (f"attachments left out of this import (--without): {counted}",) if self.without else ()

    @property
    def rebuilt(self) -> tuple[Reference, ...]:
        """Images whose index was rebuilt."""
        return tuple(closure.image.reference for closure in self.closures if closure.replaced)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Remarks on images that state no platform, and on databases of scanners that are old."""
        whole = [closure.image.reference for closure in self.closures if closure.is_artifact]
        stale = stale_databases(self.opened.store, self.closures, self.opened.terms.now)
        return (*(f"{name} states no platform, so it is loaded whole as an artifact" for name in whole), *stale)


def examine(opened: Judged, spec: TargetSpec) -> Examined:
    """Find out what of a bundle would be loaded and under which names.

    Raises:
        UsageError: it does not fit the target, or two images would get one name.
    """
    terms, closures = opened.terms, opened.closures
    names = destinations(_roots(closures), spec, digest_tags=terms.digest_tags)
    without = _left_out(closures, terms.without)
    if without:
        closures = tuple(walk_all(opened.store, opened.complete, terms.platforms, terms.without))
    check_fits(spec, opened.store, closures, terms.platforms)
    complete = {image.reference for image in opened.complete}
    left_out = tuple(image.reference for image in opened.catalog.images if image.reference not in complete)
    return Examined(opened, names, closures, left_out, without)


def _left_out(closures: Sequence[Closure], without: Collection[str]) -> dict[str, int]:
    """How many attachments of each kind there are that are left out."""
    counted = {kind for kind in without if counts(kind)}
    found = {(a.kind, a.subject, a.descriptor.digest) for closure in closures for a in closure.attachments if a.kind in counted}
    if LOOKASIDE in without:
        found |= {(LOOKASIDE, s.subject, s.digest) for closure in closures for s in closure.signatures}
    return dict(Counter(kind for kind, _, _ in found))


def _roots(closures: Sequence[Closure]) -> Iterator[tuple[Reference, Digest]]:
    return ((closure.image.reference, closure.root.digest) for closure in closures)


def _placed(found: Examined, spec: TargetSpec) -> list[tuple[str, KnownName]]:
    """The names that an import makes, for the site's memory."""
    placed = [(found.names[closure.image.reference], closure) for closure in found.closures]
    return [(str(spec), KnownName(tagged_name(name), str(one.image.reference), one.root.digest)) for name, one in placed]


def _remember_generation(
    found: Examined,
    spec: TargetSpec,
    target: Target,
    terms: Terms,
    state: State,
    digest: Digest,
    signing: SiteSigning | None,
    loaded: Loaded | None,
) -> None:
    """A target that every import creates afresh can be neither pruned nor rolled back."""
    if not isinstance(spec, FileTarget):
        catalog = found.opened.catalog
        attached = loaded.attached if loaded else {}
        rows = brought(found.closures, found.names, found.opened.judgements, target, signing, terms.threads, attached)
        state.record_generation(str(spec), catalog.stream, catalog.serial, digest, rows)


def _hold(
    opened: Whole,
    closures: Sequence[Closure],
    names: Mapping[Reference, Reference],
    spec: TargetSpec,
    target: Target,
    terms: Terms,
    state: State,
) -> dict[Digest, Repository]:
    """Prove that what the bundle does not carry is at the destination, and find out where."""
    catalog = opened.catalog
    require_codecs(catalog)
    try:
        return locate(catalog, closures, names, spec, target, terms.threads)
    except Damaged as error:
        error.hint = f"{_progress_so_far(catalog, state)}; {error.hint}"
        raise


def _completed(opened: Whole, held: Mapping[Digest, Repository], target: Target) -> BundleStore:
    """The bundle's content; what it does not carry is read at the destination."""
    blobs = opened.catalog.blobs

    def outside(digest: Digest) -> Reader:
        return target.open(held[digest], Descriptor("", digest, blobs[digest].size))

    return BundleStore(opened.catalog, opened.volumes, outside, opened.store.kept)


def _progress_so_far(catalog: Catalog, state: State) -> str:
    """Why blobs may be missing: what this site has taken of the stream, and which of the bundle's bases it has never seen."""
    newest = state.last_imported(catalog.stream)
    if newest is None:
        return f"this site has imported no bundle of stream {catalog.stream} yet"
    return f"the newest bundle of stream {catalog.stream} that this site has imported is serial {newest.serial}"


def _work(catalog: Catalog, digest: Digest, memory: str, closures: Sequence[Closure], names: Mapping[Reference, Reference]) -> str:
    """What names an import in the state's intents: the bundle, what of it gets which name, where, and how."""
    placed = sorted([tagged_name(names[one.image.reference]), one.root.digest] for one in closures)
    return f"{catalog.name} {digest} {Digest.of(strictjson.canonical(placed))} {memory}"


def _is_done(target: Target, state: State, work: str) -> bool:
    """Whether just this was about to appear at the target, and is there. Else what will appear is noted before it does."""
    if not isinstance(target, Appearing):
        return False
    noted = state.intents.appearing(work)
    target.announce = partial(state.intents.appear, work)
    return noted is not None and target.contents() == noted


def memory_key(spec: TargetSpec, terms: Terms, signing: SiteSigning | None) -> str:
    """The key under which an import is recorded: the target, and every option that changes the outcome."""
    platforms = ",".join(sorted(map(str, terms.platforms)))
    without = ",".join(sorted(terms.without))
    left_out = f"without {without}" if without else ""
    parts = (str(spec), f"only {platforms}" if platforms else "", left_out, signing.label if signing else "")
    return " ".join(part for part in parts if part)


def _all_there(closures: Sequence[Closure], names: Mapping[Reference, Reference], target: Target, threads: int) -> bool:
    """Whether every name at the target already refers to this bundle's image, and no blob has been lost there."""
    roots = {visible(names[closure.image.reference]): closure.root.digest for closure in closures}
    with Pool(width(target, threads), "there") as pool:
        if not all(pool.unordered(lambda item: target.resolve(item[0]) == item[1], roots.items())):
            return False
        if isinstance(target, Limited):  # these appear whole or not at all, and do not look into what an earlier run made
            return True
        wanted = {(names[closure.image.reference].repository, blob) for closure in closures for blob in closure.blobs.values()}
        return all(pool.unordered(lambda item: target.has(*item), wanted))


def lacking(opened: Whole) -> tuple[str, ...]:
    """What is missing of a bundle that is imported in part, and what to do."""
    damage = opened.volumes.lacking
    return (damage.remark,) if damage is not None else ()


def _reason(verdict: Verdict, remarks: Sequence[str]) -> str:
    return "; ".join([verdict.scope, *verdict.reasons, *remarks])
