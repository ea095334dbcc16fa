"""One import from media to names, and one verification without loading anything."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from airgap.bundle.catalog import Catalog, parse_time
from airgap.bundle.check import check_volumes
from airgap.bundle.media import Media
from airgap.errors import Refused
from airgap.importer import closure as closures_of
from airgap.importer.closure import Closure
from airgap.importer.gate import admit, check_times, next_floor
from airgap.importer.judge import Judgement, judge_images
from airgap.importer.load import Loaded, load
from airgap.importer.mapping import LayoutTarget, RegistryTarget, destinations
from airgap.importer.opening import Opened, open_content, read_catalog
from airgap.importer.signing import SiteSigning
from airgap.importer.terms import Terms
from airgap.oci.digest import Digest
from airgap.oci.image import Image
from airgap.oci.reference import Reference
from airgap.oci.stores import Target
from airgap.progress import Progress
from airgap.state import State
from airgap.text import plural
from airgap.trust.bundle import Verdict


@dataclass(frozen=True)
class Imported:
    """The outcome of an import.

    Attributes:
        opened: the bundle.
        names: the destination of every image loaded, by source reference.
        rebuilt: images whose index was rebuilt, so that a signature on it no longer applies.
        left_out: images not loaded because volumes are missing (only with ``partial``).
        loaded: what was sent; None when everything was there already.
        judgements: the policy's verdict on every instance.
        remarks: what is remarkable about the bundle's age and place in its stream, and what the operator allowed.
    """

    opened: Opened
    names: Mapping[Reference, Reference]
    rebuilt: tuple[Reference, ...]
    left_out: tuple[Reference, ...]
    loaded: Loaded | None
    judgements: tuple[Judgement, ...] = ()
    remarks: tuple[str, ...] = ()


def verify(paths: Sequence[Path], terms: Terms, progress: Progress) -> tuple[Opened, tuple[Judgement, ...]]:
    """Everything that an import would check, and every block of every volume, without a target.

    Raises:
        Refused, Damaged: as an import would.
    """
    media = Media.find(paths)
    catalog, verdict = read_catalog(media, terms.policy, terms.read_key, terms.revoked)
    check_times(catalog, None, terms)
    check_volumes(catalog, media.locate(catalog), progress, terms.threads)  # first, because it names all damage there is
    opened = open_content(media, catalog, verdict)
    return opened, _judge(opened, _closures(opened, catalog.images, terms), terms)


def import_bundle(
    paths: Sequence[Path],
    spec: RegistryTarget | LayoutTarget,
    build_target: Callable[[], contextlib.AbstractContextManager[Target]],
    terms: Terms,
    state: State,
    progress: Progress,
    signing: SiteSigning | None = None,
) -> Imported:
    """Verify a bundle and load it.

    Args:
        paths: bundle directories or mount points.
        spec: the target as named by the operator; decides names.
        build_target: opens the target; called only after everything was verified.
        terms: the site's terms.
        state: the site's memory.
        progress: told about every step.
        signing: what the site adds after its policy passed.

    Raises:
        Refused, Damaged, RegistryError, MediaError: nothing became visible at the destination.
    """
    media = Media.find(paths)
    digest = Digest.of(media.catalog_raw)
    with _remembering(state, None, digest, str(spec)):
        catalog, verdict = read_catalog(media, terms.policy, terms.read_key, terms.revoked)
    memory = _memory_key(spec, terms, signing)
    known = state.known(catalog.stream, catalog.serial, catalog.previous)
    with _remembering(state, catalog, digest, str(spec)):
        remarks = tuple(admit(catalog, digest, known, terms))
        opened = open_content(media, catalog, verdict, terms.partial)
        complete = [image for image in catalog.images if set(image.volumes) <= set(opened.volumes)]
        names = destinations(complete, spec)
        closures = _closures(opened, complete, terms)
        judgements = _judge(opened, closures, terms)
    reason = _reason(verdict, remarks)
    floor = next_floor(known.floor, parse_time(catalog.created), terms.now, terms.allow_clock_behind)
    left_out = tuple(image.reference for image in catalog.images if image not in complete)
    rebuilt = tuple(closure.image.reference for closure in closures if closure.replaced)
    with build_target() as target:
        if state.imported_into(catalog.stream, catalog.serial, memory) == digest and _all_there(closures, names, target):
            state.record_repeat(catalog.stream, catalog.serial, digest, memory, reason, floor)
            return Imported(opened, names, rebuilt, left_out, None, judgements, remarks)
        loaded = load(opened.store, closures, names, target, progress, terms.threads, signing)
    outcome = f"loaded {plural(len(closures), 'image')}"
    if left_out:  # it counts against older bundles all the same, but not as a bundle that is there already
        outcome, memory = f"{outcome}, left out {len(left_out)}", f"{memory} (partial)"
    state.record_import(catalog.stream, catalog.serial, digest, memory, outcome, reason, floor)
    return Imported(opened, names, rebuilt, left_out, loaded, judgements, remarks)


def _memory_key(spec: RegistryTarget | LayoutTarget, terms: Terms, signing: SiteSigning | None) -> str:
    """What "this bundle is there already" refers to: the target, and everything that makes the outcome different."""
    platforms = ",".join(sorted(map(str, terms.platforms)))
    parts = (str(spec), f"only {platforms}" if platforms else "", signing.label if signing else "")
    return " ".join(part for part in parts if part)


def _closures(opened: Opened, complete: Sequence[Image], terms: Terms) -> list[Closure]:
    whole = [closures_of.walk(opened.store, image) for image in complete]
    if len(complete) == len(opened.catalog.images):
        closures_of.check_extraneous(opened.store, whole)
    if not terms.platforms:
        return whole
    return [closures_of.walk(opened.store, image, terms.platforms) for image in complete]


def _judge(opened: Opened, closures: Sequence[Closure], terms: Terms) -> tuple[Judgement, ...]:
    return tuple(judge_images(opened.store, closures, terms))


def _all_there(closures: Sequence[Closure], names: Mapping[Reference, Reference], target: Target) -> bool:
    """Whether every name at the target stands for what this bundle would make of it."""
    return all(target.resolve(names[closure.image.reference]) == closure.root.digest for closure in closures)


@contextlib.contextmanager
def _remembering(state: State, catalog: Catalog | None, digest: Digest, target: str) -> Iterator[None]:
    """Keep a refusal in the history; what an unsigned catalog says about itself is not kept."""
    try:
        yield
    except Refused as error:
        facts = [f"{name} {value}" for name, value in error.facts().items() if name != "error"]
        stream, serial = (catalog.stream, catalog.serial) if catalog else ("", 0)
        state.record_refusal(stream, serial, digest, target, error.what, "; ".join(facts))
        raise


def _reason(verdict: Verdict, remarks: Sequence[str]) -> str:
    return "; ".join([verdict.scope, *verdict.reasons, *remarks])
