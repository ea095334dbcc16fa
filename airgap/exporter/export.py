"""One export from list to sealed bundle, resumable at every point."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from airgap import fsio
from airgap.bundle.media import signatures_in
from airgap.cipher.content import Pieces
from airgap.cipher.sites import SiteKey
from airgap.delta.bases import Base, check_bases, held_by
from airgap.delta.candidates import attempts_for, open_base
from airgap.delta.patching import SCRATCH, Sources, make_patches
from airgap.errors import Damaged, Refused, UsageError
from airgap.exporter.fill import fill
from airgap.exporter.gates import Gates, Outcome, run_gates, unsealed
from airgap.exporter.journal import LOCK, SCHEMA, Journal, unusable
from airgap.exporter.judge import ImageTerms, judge_images
from airgap.exporter.keeping import (
    Own,
    asked_of,
    busy,
    content_key,
    inputs_of,
    is_same,
    outer,
    own_work,
    publish,
    publish_whole,
    record,
    workplace,
)
from airgap.exporter.parity import write_parity
from airgap.exporter.seal import make_catalog, seal, signature_path
from airgap.format import names
from airgap.format.catalog import MAX_CATALOG, Catalog
from airgap.format.outer import Sealed, Unverified
from airgap.format.times import format_time
from airgap.lists import Wish
from airgap.oci.digest import Digest
from airgap.oci.stores import Source
from airgap.patch.zstd import EFFORTS
from airgap.planning import preflight
from airgap.planning.attach import Attached, attach
from airgap.planning.lock import MAX_LOCK, Lock
from airgap.planning.plan import Made, Plan, lay_out
from airgap.planning.resolve import Lookaside, resolve
from airgap.planning.selecting import Tags, expand
from airgap.progress import Progress
from airgap.state import Remembered, Sealing, State
from airgap.text import printable
from airgap.trust.judge.judging import Judgement
from airgap.trust.keys.signers import Signer


@dataclass(frozen=True)
class Request:
    """What the operator asked for.

    Attributes:
        wanted: the list's entries and rules over tags, or a lock.
        out: the directory in which the bundle's directory is made.
        stream: the named series.
        serial: its number, or None for the stream's next.
        created: RFC 3339, or None for now (kept when an export is resumed).
        expires: RFC 3339, a period after ``created``, or None for never.
        volume_size: the most bytes a volume may have, or None for one volume.
        threads: how many blobs are fetched at a time.
        restart: discard an unfinished bundle instead of going on with it.
        lookaside: where GPG signatures of images are kept beside the registries.
        tags: what lists the tags that the rules choose from.
        bases: what the far side has already.
        patch: ``never``, ``auto`` (where a base has an earlier version) or ``always``.
        effort: how hard to try to make patches small: a key of ``patch.zstd.EFFORTS``.
        given: patches that the source has already, of layers that it does not have (a merge).
        follows: a bundle of the stream that this one comes after, whether it was exported from here or not.
        attached: files that become referrers of the images.
        terms: by what images are judged before anything of them is fetched; None: they are not.
        gates: what they must pass before the bundle is sealed.
        parity: how many parity files to make.
        recipients: the sites that can read it; none: it is not encrypted.
        wait: seconds to wait for another command that makes a bundle of the stream.
    """

    wanted: Sequence[Wish] | Lock
    out: Path
    stream: str
    serial: int | None = None
    created: str | None = None
    expires: str | dt.timedelta | None = None
    volume_size: int | None = None
    threads: int = 4
    restart: bool = False
    lookaside: Lookaside | None = None
    tags: Tags | None = None
    bases: Sequence[Base] = ()
    patch: str = "auto"
    effort: str = "default"
    given: Mapping[Digest, Made] = field(default_factory=dict)
    follows: Remembered | None = None
    attached: Sequence[Attached] = ()
    terms: ImageTerms | None = None
    gates: Gates | None = None
    parity: int = 0
    recipients: Sequence[SiteKey] = ()
    wait: float = 0.0


@dataclass(frozen=True)
class Exported:
    """A sealed bundle.

    Attributes:
        path: its directory.
        catalog: its catalog.
        fresh: False when it had been finished by an earlier run.
        judgements: the policy's verdict on every instance, when one was asked for.
        outcomes: what the gates said.
        encrypted_to: the ids of the keys that open it.
        remarks: what must be known of how its attachments were found.
        held: closed when the result has been told; until then nobody else takes the bundle for the work of a run that died.
    """

    path: Path
    catalog: Catalog | Sealed
    fresh: bool
    judgements: Sequence[Judgement] = ()
    outcomes: Sequence[Outcome] = ()
    encrypted_to: Sequence[str] = ()
    remarks: Sequence[str] = ()
    held: contextlib.ExitStack = field(default_factory=contextlib.ExitStack, compare=False)


def export(request: Request, source: Source, signers: Sequence[Signer], state: State, progress: Progress) -> Exported:
    """Make the bundle, or go on with an unfinished one, when no other command makes one of the stream with this state.

    Raises:
        Busy: another one does, for longer than we wait.
        UsageError: a bundle, finished or not, of other content is in the way.
        Refused: an image does not pass.
        RegistryError: something cannot be had from the source.
        MediaError: it does not fit, or the disk refuses.
    """
    with state.turn([f"stream {request.stream}"], "airgap export", request.wait, progress.say):
        return _export(request, source, signers, state, progress)


def _export(request: Request, source: Source, signers: Sequence[Signer], state: State, progress: Progress) -> Exported:
    if own := own_work(request, state, progress):
        return _finished(request, own, source, signers, progress)
    serial = request.serial or _next_serial(request, state)
    final = request.out / names.bundle_name(request.stream, serial)
    partial = final.with_name(final.name + names.PARTIAL)
    publish_whole(state, partial, final, progress)
    if final.exists():
        return _already_there(request, final, source, signers, state, progress)
    work = workplace(state, request.stream, serial, partial, bool(request.recipients))
    lock, judged = None, None
    if request.restart or not (work / names.JOURNAL).exists():
        check_bases(request.bases, request.stream, serial, lambda number: _exported(state, request.stream, number))
        lock = _locked(request, source, progress)
        judged = _judge(request, lock, source, progress)
        if request.patch == "never" or not (request.bases or request.patch == "always"):
            preflight.check(_lay_out(request, lock), request.out, partial)  # nothing is created before it can succeed
    fsio.make_directory(partial, fsio.UNCHANGEABLE)
    fsio.make_directory(work, fsio.PRIVATE)
    with contextlib.ExitStack() as stack:
        for place in dict.fromkeys((partial, work)):
            stack.enter_context(fsio.exclusive_directory(place, busy(partial)))
        if final.exists():  # somebody with another state has finished it since we looked
            fsio.remove_if_empty(partial)
            return _already_there(request, final, source, signers, state, progress)
        done = _make(request, lock, judged, serial, partial, work, source, signers, state, progress)
        return replace(done, held=stack.pop_all())


def _make(
    request: Request,
    lock: Lock | None,
    judged: Sequence[Judgement] | None,
    serial: int,
    partial: Path,
    work: Path,
    source: Source,
    signers: Sequence[Signer],
    state: State,
    progress: Progress,
) -> Exported:
    lock, journal = _begin(request, lock, serial, partial, work) if lock else _resume(request, work, progress)
    try:
        judged = _judge(request, lock, source, progress) if judged is None else judged
        plan = _lay_out(request, lock, _patches(request, lock, work / SCRATCH, source, progress))
        preflight.check(plan, request.out, partial)
        key = content_key(work, plan, journal) if request.recipients else None
        filled = fill(plan, partial, source, journal, progress, request.threads, key)
    finally:
        journal.close()
    known = [found for found in (state.last_exported(request.stream, below=serial), request.follows) if found]
    previous = max(known, key=lambda found: found.serial, default=None)
    catalog = make_catalog(
        plan,
        filled,
        stream=request.stream,
        serial=serial,
        created=journal.header["created"],
        expires=journal.header["expires"],
        previous=previous.catalog if previous else None,
        base=[base.digest for base in request.bases],
    )
    readable = replace(catalog, pieces=Pieces(key, plan.sizes, filled.tags)) if key else catalog
    outcomes = _gate(request, readable, partial, lock, source, progress)
    catalog = replace(catalog, parity=write_parity(partial, catalog.volumes, request.parity, progress))
    progress.stage("sealing", 0)
    shown = outer(catalog, key, request.recipients, filled.tags)
    state.record_sealing(request.stream, Sealing(serial, Digest.of(shown.to_bytes()), asked_of(request)))
    seal(partial, shown, signers)
    path = publish(state, partial)
    return Exported(path, catalog, True, judged, outcomes, [site.key_id for site in request.recipients], lock.remarks)


def _resume(request: Request, work: Path, progress: Progress) -> tuple[Lock, Journal]:
    journal = Journal.resume(work)
    if journal.header.get("inputs") != inputs_of(request):
        journal.close()
        raise UsageError(
            "an unfinished export of other content is in the way",
            where=printable(str(work)),
            hint="repeat the earlier command to finish it, choose another --serial, or add --restart to discard it",
        )
    progress.say(f"going on with the unfinished {names.bundle_name(request.stream, journal.header['serial'])}")
    try:
        raw = fsio.read_capped(work / LOCK, MAX_LOCK)
    except Damaged:
        raw = b""
    if Digest.of(raw) != journal.header["lock"]:  # it decides what the bundle holds: a damaged one must not be believed
        journal.close()
        raise unusable("the lock of the unfinished bundle is missing or damaged", work / LOCK)
    return Lock.from_bytes(raw, LOCK), journal


def _begin(request: Request, lock: Lock, serial: int, partial: Path, work: Path) -> tuple[Lock, Journal]:
    _discard(partial)
    if work != partial:
        work.chmod(0o700)
        _discard(work)
    fsio.write_durable(work / LOCK, lock.to_bytes())
    created = request.created or format_time(dt.datetime.now(dt.UTC))
    header: dict[str, Any] = {
        "schema": SCHEMA,
        "inputs": inputs_of(request),
        "lock": Digest.of(lock.to_bytes()),
        "stream": request.stream,
        "serial": serial,
        "created": created,
        "expires": _expiry(request.expires, created),
    }
    return lock, Journal.begin(work, header)


def _locked(request: Request, source: Source, progress: Progress) -> Lock:
    if isinstance(request.wanted, Lock):
        found = request.wanted
    else:
        entries = expand(request.wanted, request.tags, progress)
        found = resolve(entries, source, progress, request.threads, request.lookaside)
    return attach(found, request.attached, request.created)


def _judge(request: Request, lock: Lock, source: Source, progress: Progress) -> list[Judgement]:
    return judge_images(lock, source, request.terms, progress, request.threads) if request.terms else []


def _gate(
    request: Request, catalog: Catalog | Sealed, directory: Path, lock: Lock, source: Source, progress: Progress
) -> list[Outcome]:
    if request.gates is None:
        return []
    if isinstance(catalog, Sealed):
        raise UsageError("gates cannot look into a finished encrypted bundle", where=printable(str(directory)), hint="omit --gate")
    return run_gates(request.gates, unsealed(catalog, directory, lock, source, request.bases), lock, progress, request.threads)


def _lay_out(request: Request, lock: Lock, patches: Mapping[Digest, Made] | None = None) -> Plan:
    return lay_out(lock, request.volume_size, held_by(request.bases), {**request.given, **(patches or {})}, request.parity)


def _patches(request: Request, lock: Lock, scratch: Path, source: Source, progress: Progress) -> dict[Digest, Made]:
    tried = attempts_for(lock, request.bases, request.patch, source, request.given)
    sources = Sources(source.open, lambda repository, layer: open_base(request.bases, source, repository, layer))
    return make_patches(tried, sources, scratch, EFFORTS[request.effort], progress, request.threads)


def _exported(state: State, stream: str, serial: int) -> Digest | None:
    found = state.last_exported(stream, below=serial + 1)
    return found.catalog if found and found.serial == serial else None


def _expiry(expires: str | dt.timedelta | None, created: str) -> str | None:
    if isinstance(expires, dt.timedelta):
        return format_time(dt.datetime.fromisoformat(created) + expires)
    return expires


def _discard(partial: Path) -> None:
    with fsio.disk_errors("cannot discard the unfinished bundle", partial):
        (partial / names.JOURNAL).unlink(missing_ok=True)  # first: without it nobody goes on with what is left
        for entry in partial.iterdir():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def _next_serial(request: Request, state: State) -> int:
    """The unfinished bundle's serial where there is one, else one more than the highest in the state or in the directory."""
    pattern = re.compile(re.escape(request.stream) + r"-(\d{4,15})(\.partial)?")
    with fsio.disk_errors("cannot read the directory", request.out):
        entries = list(request.out.iterdir()) if request.out.is_dir() else []
        found = [match for entry in entries if (match := pattern.fullmatch(entry.name))]
    unfinished = [int(match[1]) for match in found if match[2]]
    if unfinished:
        return max(unfinished)
    remembered = (state.last_exported(request.stream), state.last_sealing(request.stream), request.follows)
    known = [found for found in remembered if found]
    return 1 + max([int(match[1]) for match in found] + [bundle.serial for bundle in known], default=0)


def _already_there(
    request: Request, final: Path, source: Source, signers: Sequence[Signer], state: State, progress: Progress
) -> Exported:
    """A finished bundle of the same content is success; any other is in the way."""
    raw = fsio.read_capped(final / names.CATALOG, MAX_CATALOG)
    catalog = Unverified.read(raw).claims
    same = _same_content(request, catalog, source, state, progress)
    if same is None:
        raise UsageError(
            "a bundle of that name with other content exists",
            where=printable(str(final)),
            hint="choose another --serial or --out; a finished bundle is never overwritten",
        )
    done = _finished(request, Own(final, catalog, same, passed=False), source, signers, progress)
    if state.catalogs.find(catalog.stream, catalog.serial) is None:
        state.catalogs.keep(catalog.stream, catalog.serial, raw, signatures_in([final]), same.to_bytes())
    record(state, final)
    return done


def _finished(request: Request, own: Own, source: Source, signers: Sequence[Signer], progress: Progress) -> Exported:
    """A bundle that an earlier run has sealed: it may have been asked less of its images than this one."""
    fsio.flush_names(own.path.parent)
    _require_signatures(own.path, signers)
    lock = own.lock or _locked(request, source, progress)
    try:
        judged = _judge(request, lock, source, progress)
        closed = own.passed and isinstance(own.catalog, Sealed)  # its gates looked into it before it was
        outcomes = [] if closed else _gate(request, own.catalog, own.path, lock, source, progress)
    except Refused as error:
        error.hint = f"{own.catalog.name} was sealed by an earlier run and is left as it is: do not carry it"
        raise
    encrypted_to = [wrapped.key_id for wrapped in own.catalog.recipients] if isinstance(own.catalog, Sealed) else []
    return Exported(own.path, own.catalog, False, judged, outcomes, encrypted_to, lock.remarks)


def _same_content(request: Request, catalog: Catalog | Sealed, source: Source, state: State, progress: Progress) -> Lock | None:
    """What is asked for, when a finished bundle is just that."""
    if request.created not in (None, catalog.created) or _expiry(request.expires, catalog.created) != catalog.expires:
        return None
    if len(catalog.parity) != request.parity:
        return None
    if not isinstance(catalog, Sealed) and (request.recipients or catalog.base != tuple(base.digest for base in request.bases)):
        return None
    lock = _locked(request, source, progress)
    if isinstance(catalog, Sealed):
        return lock if is_same(state, catalog, request.volume_size, request.recipients, lock) else None
    plan = _lay_out(request, lock)
    if any(blob.patch for blob in catalog.blobs.values()):  # their sizes are known only to who makes them again
        if request.patch == "never" or request.volume_size != catalog.volume_size:
            return None
        bare = [replace(image, volumes=()) for image in plan.images]
        return lock if [replace(image, volumes=()) for image in catalog.images] == bare else None
    same = catalog.images == plan.images and tuple(volume.size for volume in catalog.volumes) == plan.sizes
    return lock if same else None


def _require_signatures(final: Path, signers: Sequence[Signer]) -> None:
    """A finished bundle is left as it is, so it must not be reported as signed by a key that did not sign it."""
    missing = [signer.key_id for signer in signers if not signature_path(final, signer).is_file()]
    if missing:
        raise UsageError(
            "the bundle is finished, but not signed by every key given",
            where=printable(str(final)),
            expected=f"a signature by {', '.join(missing)}",
            hint="add it with: airgap sign",
        )
