"""Export a list into a finished bundle, resumable at every point."""

from __future__ import annotations

import contextlib
import datetime as dt
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from airgap import fsio
from airgap.bundle.media import signatures_in
from airgap.cipher.content import ContentKey, Pieces
from airgap.delta.bases import check_bases
from airgap.delta.candidates import attempts_for, open_base
from airgap.delta.patching import SCRATCH, PatchSources, make_patches
from airgap.errors import Damaged, Refused, UsageError
from airgap.exporter.fill import Filled, fill
from airgap.exporter.gates import Outcome, run_gates, unsealed
from airgap.exporter.journal import LOCK, SCHEMA, Journal, unusable
from airgap.exporter.judge import judge_images
from airgap.exporter.keeping import (
    busy,
    content_key,
    made_of,
    publish,
    publish_whole,
    record,
    recover_others,
    same_content,
    unchanged,
    unlike_last,
)
from airgap.exporter.parity import write_parity
from airgap.exporter.request import ExportRequest
from airgap.exporter.seal import make_catalog, seal, signature_path
from airgap.exporter.worlds import Fresh, NamedBundle, Paths, There, Unfinished, Unnamed, Untold, World, find, look
from airgap.format import names, sealed
from airgap.format.catalog import Catalog
from airgap.format.outer import Sealed, Unverified
from airgap.format.times import format_time
from airgap.limits import MAX_LOCK
from airgap.oci.digest import Digest
from airgap.patch.zstd import EFFORTS
from airgap.planning import preflight
from airgap.planning.lock import Lock
from airgap.planning.plan import Made, Plan
from airgap.progress import Progress
from airgap.state import Sealing, State
from airgap.text import printable
from airgap.trust.judge.judging import Judgement
from airgap.trust.keys.signers import Signer


@dataclass(frozen=True)
class Exported:
    """A finished bundle.

    Attributes:
        path: its directory.
        catalog: its catalog.
        fresh: False if an earlier run had finished it.
        unchanged: whether it is the stream's latest bundle, and another one would not have differed.
        judgements: the policy's verdict on every instance, if requested.
        outcomes: the outcomes of the gates.
        encrypted_to: the ids of the keys that decrypt it.
        remarks: how it differs from the stream's last one; notes on how its attachments were found.
        held: closed when the result has been printed; until then no command takes the bundle for the work of a run that died.
    """

    path: Path
    catalog: Catalog | Sealed
    fresh: bool
    judgements: Sequence[Judgement] = ()
    outcomes: Sequence[Outcome] = ()
    encrypted_to: Sequence[str] = ()
    remarks: Sequence[str] = ()
    unchanged: bool = False
    held: contextlib.ExitStack = field(default_factory=contextlib.ExitStack, compare=False)


def export(request: ExportRequest, state: State, progress: Progress) -> Exported:
    """Create the bundle, or resume an unfinished one, once no other command creates one of the stream with this state.

    Raises:
        Busy: another command does, for longer than we wait.
        UsageError: a bundle with different content, finished or not, is in the way.
        Refused: an image does not pass.
        RegistryError: the source does not give something.
        MediaError: it does not fit, or the disk fails.
    """
    with state.turn([f"stream {request.label.stream}"], "airgap export", request.wait, progress.say):
        recover_others(request, state, progress)
        return _enter(find(request, state), request, state, progress)


def _enter(world: World, request: ExportRequest, state: State, progress: Progress) -> Exported:
    """What is left to do in each world."""
    match world:
        case Fresh(paths):
            unlike = _tell_unlike(request, paths, state, progress)
            stream, bases, patch = request.label.stream, request.far_side.bases, request.packing.patch
            check_bases(bases, stream, paths.serial, lambda number: _exported(state, stream, number))
            lock = request.lock(progress)
            if (same := unchanged(request, paths, lock, state)) is not None:
                return replace(_finished(request, same, lock, False, progress), unchanged=True)
            begun = _Begun(lock, _judge(request, lock, progress))
            if patch == "never" or not (bases or patch == "always"):
                begun = replace(begun, plan=(plan := request.lay_out(lock, {})))
                _require_room(request, plan, paths)  # nothing is created before it can succeed
            return _noting(unlike, _write(request, paths, begun, state, progress))
        case Unfinished(paths):
            unlike = _tell_unlike(request, paths, state, progress)
            return _noting(unlike, _write(request, paths, None, state, progress))
        case Unnamed(paths, own):
            publish_whole(state, paths, progress)
            return _enter(look(request, paths, own), request, state, progress)  # where the disk lost something it is unfinished
        case Untold(paths, raw, catalog):
            with fsio.exclusive_directory(paths.final, busy(paths.final)):  # else its run is alive, and about to tell
                record(state, paths.final)
            state.catalogs.note(catalog.stream, catalog.serial, request.inputs)
            kept = made_of(state, catalog, raw)
            lock = Lock.from_bytes(kept, LOCK) if kept else request.lock(progress)
            gated = isinstance(catalog, Sealed)  # its gates looked into it before it was
            return _finished(request, world, lock, gated, progress)
        case There(paths, raw, catalog):
            lock_there = same_content(request, world, state, lambda: request.lock(progress))
            if lock_there is None:
                raise UsageError(
                    "a bundle with this name and different content already exists",
                    where=printable(str(paths.final)),
                    hint="choose another --serial or --out; a finished bundle is never overwritten",
                )
            done = _finished(request, world, lock_there, False, progress)
            if state.catalogs.find(catalog.stream, catalog.serial) is None:
                state.catalogs.keep(catalog.stream, catalog.serial, raw, signatures_in([paths.final]), lock_there.to_bytes())
            record(state, paths.final)
            state.catalogs.note(catalog.stream, catalog.serial, request.inputs)
            return done


@dataclass(frozen=True)
class _Begun:
    """What is known before anything is created: ``plan`` where no layer is to be patched."""

    lock: Lock
    judged: list[Judgement]
    plan: Plan | None = None


def _write(request: ExportRequest, paths: Paths, begun: _Begun | None, state: State, progress: Progress) -> Exported:
    """Make the bundle of a lock whose images were judged, or what is missing of an unfinished one."""
    fsio.make_directory(paths.partial, fsio.UNCHANGEABLE)
    fsio.make_directory(paths.work, fsio.PRIVATE)
    with contextlib.ExitStack() as held:
        for place in dict.fromkeys((paths.partial, paths.work)):
            held.enter_context(fsio.exclusive_directory(place, busy(paths.partial)))
        if fsio.is_there(paths.final):  # somebody with another state has finished it since we looked
            fsio.remove_if_empty(paths.partial)
            return _enter(look(request, paths), request, state, progress)
        lock, journal = _begin(request, begun.lock, paths) if begun else _resume(request, paths.work, progress)
        with contextlib.closing(journal):
            judged = begun.judged if begun else _judge(request, lock, progress)
            plan = begun.plan if begun else None
            if plan is None:
                plan = request.lay_out(lock, _patches(request, lock, paths.work / SCRATCH, progress))
            key, filled = _fill(request, paths, plan, journal, progress)
        previous = _previous(request, paths.serial, state)
        catalog = make_catalog(request, paths.serial, journal.header, plan, filled, previous)
        pieces = Pieces(key, plan.sizes, filled.tags) if key else None
        outcomes = _gate(request, catalog, paths.partial, lock, progress, pieces)  # they may refuse it, so parity comes later
        catalog = replace(catalog, parity=write_parity(paths.partial, catalog.volumes, plan.parity, progress))
        progress.stage("finishing", 0)
        sites = request.packing.recipients
        shown = sealed.close(catalog, key, sites, filled.tags) if key else catalog
        made = Unverified(shown.to_bytes(), shown)
        state.record_sealing(catalog.stream, Sealing(paths.serial, made.digest, request.asked))
        seal(paths.partial, made, request.signers, request.root)
        path = publish(state, paths.partial, made)
        state.catalogs.note(catalog.stream, catalog.serial, request.inputs)
        return Exported(path, catalog, True, judged, outcomes, [site.key_id for site in sites], lock.remarks, held=held.pop_all())


def _tell_unlike(request: ExportRequest, paths: Paths, state: State, progress: Progress) -> str:
    """Said before the work begins, and once more with its result: nobody reads along while a service works."""
    found = unlike_last(request, paths.serial, state)
    if found:
        progress.say(found)
    return found


def _noting(remark: str, done: Exported) -> Exported:
    return replace(done, remarks=(remark, *done.remarks)) if remark else done


def _fill(
    request: ExportRequest, paths: Paths, plan: Plan, journal: Journal, progress: Progress
) -> tuple[ContentKey | None, Filled]:
    _require_room(request, plan, paths)
    if request.crew is not None:
        return None, request.crew.fill(plan, paths.partial, paths.serial, progress)
    key = content_key(paths.work, plan, journal) if request.packing.recipients else None
    return key, fill(plan, paths.partial, request.cargo.source, journal, progress, request.threads, key)


def _require_room(request: ExportRequest, plan: Plan, paths: Paths) -> None:
    """As ``preflight.check``, unless the volumes go to another place. Raises ``MediaError``."""
    if request.crew is None or not request.crew.is_away:
        preflight.check(plan, request.out, paths.partial)


def _previous(request: ExportRequest, serial: int, state: State) -> Digest | None:
    known = [one for one in (state.last_exported(request.label.stream, below=serial), request.far_side.follows) if one]
    return max(known, key=lambda found: found.serial).catalog if known else None


def _resume(request: ExportRequest, work: Path, progress: Progress) -> tuple[Lock, Journal]:
    journal = Journal.resume(work)
    if journal.header.get("inputs") != request.inputs:
        journal.close()
        raise UsageError(
            "an unfinished export with different content already exists",
            where=printable(str(work)),
            hint="repeat the earlier command to finish it, choose another --serial, or add --restart to discard it",
        )
    progress.say(f"resuming the unfinished {names.bundle_name(request.label.stream, journal.header['serial'])}")
    try:
        raw = fsio.read_capped(work / LOCK, MAX_LOCK)
    except Damaged:
        raw = b""
    if Digest.of(raw) != journal.header["lock"]:  # it decides what the bundle holds: a damaged one must not be believed
        journal.close()
        raise unusable("the lock of the unfinished bundle is missing or damaged", work / LOCK)
    return Lock.from_bytes(raw, LOCK), journal


def _begin(request: ExportRequest, lock: Lock, paths: Paths) -> tuple[Lock, Journal]:
    _discard(paths.partial)
    if paths.work != paths.partial:
        paths.work.chmod(0o700)
        _discard(paths.work)
    raw = lock.to_bytes()
    fsio.write_durable(paths.work / LOCK, raw)
    created = request.label.created or format_time(dt.datetime.now(dt.UTC))
    header: dict[str, Any] = {
        "schema": SCHEMA,
        "inputs": request.inputs,
        "lock": Digest.of(raw),
        "stream": request.label.stream,
        "serial": paths.serial,
        "created": created,
        "expires": request.label.expiry(created),
    }
    return lock, Journal.begin(paths.work, header)


def _judge(request: ExportRequest, lock: Lock, progress: Progress) -> list[Judgement]:
    terms = request.demands.terms
    return judge_images(lock, request.cargo.source, terms, progress, request.threads) if terms else []


def _gate(
    request: ExportRequest, catalog: Catalog | Sealed, directory: Path, lock: Lock, progress: Progress, pieces: Pieces | None
) -> list[Outcome]:
    gates = request.demands.gates
    if gates is None:
        return []
    if isinstance(catalog, Sealed):
        raise UsageError("gates cannot read a finished encrypted bundle", where=printable(str(directory)), hint="omit --gate")
    store = unsealed(catalog, directory, lock, request.cargo.source, request.far_side.bases, pieces)
    return run_gates(gates, store, lock, progress, request.threads)


def _patches(request: ExportRequest, lock: Lock, scratch: Path, progress: Progress) -> dict[Digest, Made]:
    source, known, packing = request.cargo.source, request.far_side, request.packing
    tried = attempts_for(lock, known.bases, packing.patch, source, known.given)
    sources = PatchSources(source.open, lambda repository, layer: open_base(known.bases, source, repository, layer))
    return make_patches(tried, sources, scratch, EFFORTS[packing.effort], progress, request.threads)


def _exported(state: State, stream: str, serial: int) -> Digest | None:
    found = state.last_exported(stream, below=serial + 1)
    return found.catalog if found and found.serial == serial else None


def _discard(partial: Path) -> None:
    with fsio.disk_errors("cannot discard the unfinished bundle", partial):
        (partial / names.JOURNAL).unlink(missing_ok=True)  # first: without it nobody goes on with what is left
        for entry in partial.iterdir():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def _finished(request: ExportRequest, bundle: NamedBundle, lock: Lock, gated: bool, progress: Progress) -> Exported:
    """A bundle that an earlier run has sealed: it may have been asked less of its images than this one."""
    catalog, path = bundle.catalog, bundle.paths.final
    fsio.flush_names(path.parent)
    _require_signatures(path, request.signers)
    try:
        judged = _judge(request, lock, progress)
        outcomes = [] if gated else _gate(request, catalog, path, lock, progress, catalog.pieces)
    except Refused as error:
        error.hint = f"do not ship {catalog.name}: an earlier run has finished it, and it was left unchanged"
        raise
    encrypted_to = [wrapped.key_id for wrapped in catalog.recipients] if isinstance(catalog, Sealed) else []
    return Exported(path, catalog, False, judged, outcomes, encrypted_to, lock.remarks)


def _require_signatures(final: Path, signers: Sequence[Signer]) -> None:
    """A finished bundle is left as it is, so it must not be reported as signed by a key that did not sign it."""
    missing = [signer.key_id for signer in signers if not signature_path(final, signer).is_file()]
    if missing:
        raise UsageError(
            "the bundle is finished, but not signed with every given key",
            where=printable(str(final)),
            expected=f"a signature by {', '.join(missing)}",
            hint="add the signature with: airgap sign",
        )
