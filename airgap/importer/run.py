"""One import from media to names, and one verification without loading anything."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from airgap.bundle.catalog import Catalog
from airgap.bundle.check import check_volumes
from airgap.bundle.media import Media
from airgap.errors import Refused
from airgap.importer import closure as closures_of
from airgap.importer.closure import Closure
from airgap.importer.gate import check_serial
from airgap.importer.judge import Judgement, judge_images
from airgap.importer.load import Loaded, load
from airgap.importer.mapping import LayoutTarget, RegistryTarget, destinations
from airgap.importer.opening import Opened, check_expiry, open_content, read_catalog
from airgap.importer.signing import SiteSigning
from airgap.oci.descriptor import Platform
from airgap.oci.digest import Digest
from airgap.oci.image import Image
from airgap.oci.reference import Reference
from airgap.oci.stores import Target
from airgap.progress import Progress
from airgap.state import State
from airgap.trust.policy import Policy


@dataclass(frozen=True)
class Terms:
    """The site's terms for a bundle.

    Attributes:
        policy: the site's containers-policy.json.
        read_key: reads a key file that the policy names.
        now: the current time, UTC.
        require_signed: accept only images that some requirement asked a signature for.
        allow_expired, allow_older: take such a bundle deliberately.
        partial: load the images that are complete and leave the others out.
        platforms: load only these.
        threads: how many blobs move at a time.
    """

    policy: Policy
    read_key: Callable[[str], bytes]
    now: dt.datetime
    require_signed: bool = False
    allow_expired: bool = False
    allow_older: bool = False
    partial: bool = False
    platforms: tuple[Platform, ...] = ()
    threads: int = 4


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
    """

    opened: Opened
    names: Mapping[Reference, Reference]
    rebuilt: tuple[Reference, ...]
    left_out: tuple[Reference, ...]
    loaded: Loaded | None
    judgements: tuple[Judgement, ...] = ()


def verify(paths: Sequence[Path], terms: Terms, progress: Progress) -> tuple[Opened, tuple[Judgement, ...]]:
    """Everything that an import would check, and every block of every volume, without a target.

    Raises:
        Refused, Damaged: as an import would.
    """
    media = Media.find(paths)
    catalog, verdict = read_catalog(media, terms.policy, terms.read_key)
    check_expiry(catalog, terms.now, terms.allow_expired)
    opened = open_content(media, catalog, verdict)
    check_volumes(catalog, opened.volumes, progress, terms.threads)
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
    catalog, verdict = read_catalog(media, terms.policy, terms.read_key)
    digest = Digest.of(media.catalog_raw)
    memory = _memory_key(spec, terms, signing)
    with _remembering(state, catalog, digest, str(spec)):
        check_expiry(catalog, terms.now, terms.allow_expired)
        check_serial(catalog, digest, state.last_imported(catalog.stream), terms.allow_older)
        opened = open_content(media, catalog, verdict, terms.partial)
        complete = [image for image in catalog.images if set(image.volumes) <= set(opened.volumes)]
        names = destinations(complete, spec)
        closures = _closures(opened, complete, terms)
        judgements = _judge(opened, closures, terms)
    left_out = tuple(image.reference for image in catalog.images if image not in complete)
    rebuilt = tuple(closure.image.reference for closure in closures if closure.replaced)
    with build_target() as target:
        if state.imported_into(catalog.stream, catalog.serial, memory) == digest and _all_there(closures, names, target):
            return Imported(opened, names, rebuilt, left_out, None, judgements)
        loaded = load(opened.store, closures, names, target, progress, terms.threads, signing)
    if not left_out:
        state.record_import(catalog.stream, catalog.serial, digest, memory, f"loaded {len(closures)} images")
    return Imported(opened, names, rebuilt, left_out, loaded, judgements)


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
    return tuple(judge_images(opened.store, closures, terms.policy, terms.read_key, terms.now, terms.require_signed))


def _all_there(closures: Sequence[Closure], names: Mapping[Reference, Reference], target: Target) -> bool:
    """Whether every name at the target stands for what this bundle would make of it."""
    return all(target.resolve(names[closure.image.reference]) == closure.root.digest for closure in closures)


@contextlib.contextmanager
def _remembering(state: State, catalog: Catalog, digest: Digest, target: str) -> Iterator[None]:
    try:
        yield
    except Refused as error:
        state.record_refusal(catalog.stream, catalog.serial, digest, target, error.what)
        raise
