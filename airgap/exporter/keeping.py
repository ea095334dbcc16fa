"""What an export keeps on its own machine: what its bundles were made of, and of encrypted ones all that must not be on the media.

An unfinished encrypted bundle has its key, lock, journal and scratch files in the state directory. So a medium that is lost before
it was sealed says nothing, and nobody but this machine can go on with it.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airgap import fsio
from airgap.bundle.media import signatures_in
from airgap.cipher.content import ContentKey
from airgap.cipher.forms import KEY_SIZE
from airgap.cipher.sites import SiteKey
from airgap.errors import Damaged, UsageError
from airgap.exporter.journal import LOCK, Journal
from airgap.exporter.seal import finish, is_whole
from airgap.format import names, sealed
from airgap.format.catalog import MAX_CATALOG, Catalog
from airgap.format.outer import Sealed, Unverified
from airgap.format.outline import Outline
from airgap.oci import strictjson
from airgap.oci.digest import Digest
from airgap.planning.lock import MAX_LOCK, Lock
from airgap.planning.plan import Plan
from airgap.progress import Progress
from airgap.state import State
from airgap.text import printable

if TYPE_CHECKING:
    from airgap.exporter.export import Request

_KEY, _MAX_KEY = "content.key", KEY_SIZE + 32


def workplace(state: State, stream: str, serial: int, partial: Path, encrypted: bool) -> Path:
    """Where the lock, the journal and scratch files of an unfinished bundle lie: in it, or in the state when it is encrypted.

    Raises:
        UsageError: there is an unfinished bundle of the other kind.
    """
    private = work_of(state, stream, serial)
    work, other = (private, partial) if encrypted else (partial, private)
    if (other / names.JOURNAL).exists():
        raise UsageError(
            f"an unfinished bundle that is {'not ' if encrypted else ''}encrypted is in the way",
            where=printable(str(partial)),
            hint=f"finish it with the earlier command, or choose another --serial; to discard it remove {printable(str(other))}",
        )
    return work


def inputs_of(request: Request) -> str:
    """One digest over everything that decides the bytes of the bundle."""
    if isinstance(request.wanted, Lock):
        wanted: Any = str(Digest.of(request.wanted.to_bytes()))
    else:
        wanted = [wish.facts() for wish in request.wanted]  # rules, not what they chose: newer tags must not stop a resume
    facts = [wanted, request.created, str(request.expires), request.volume_size]
    if request.bases or request.patch == "always":
        facts += [[base.digest for base in request.bases], request.patch, request.effort]
    if request.attached:
        facts.append([one.facts() for one in request.attached])
    if request.given:
        facts.append([made.patch.blob for _, made in sorted(request.given.items())])
    if request.recipients:
        facts.append({"recipients": sorted(site.key_id for site in request.recipients)})
    if request.parity:
        facts.append({"parity": request.parity})
    return hashlib.sha256(strictjson.canonical(facts)).hexdigest()


def asked_of(request: Request) -> str:
    """One digest over all that was asked for: what decides the bytes, and what the images had to pass."""
    hooks = [str(hook) for hook in request.gates.hooks] if request.gates else []
    return hashlib.sha256(strictjson.canonical([inputs_of(request), hooks])).hexdigest()


def content_key(work: Path, plan: Plan, journal: Journal) -> ContentKey:
    """The key of an unfinished bundle, the same for the same layout.

    Where the layout has changed, other bytes would be encrypted for the same place: then there is a new key, and nothing of what
    was written counts.
    """
    extents = {digest: [[e.volume, e.offset, e.length] for e in placed.extents] for digest, placed in plan.blobs.items()}
    layout = hashlib.sha256(strictjson.canonical([extents, list(plan.sizes)])).digest()
    kept = fsio.read_if_there(work / _KEY, _MAX_KEY) or b""
    if kept[KEY_SIZE:] == layout:
        return ContentKey(kept[:KEY_SIZE])
    key = ContentKey()
    journal.progress.clear()
    fsio.write_durable(work / _KEY, key.secret + layout, 0o600)
    return key


def publish(state: State, partial: Path) -> Path:
    """Give a bundle that is whole its name and remember it; the final path.

    What it was made of is kept before anybody can see it: where there is no room for that, there is no bundle either. A run that
    dies in here leaves the rest to the next one.

    Raises:
        MediaError: the disk refuses, that of the bundle or that of the state.
    """
    raw = fsio.read_capped(partial / names.CATALOG, MAX_CATALOG)
    catalog = Unverified.read(raw).claims
    locks = (work_of(state, catalog.stream, catalog.serial) / LOCK, partial / LOCK)
    lock = next((found for path in locks if (found := fsio.read_if_there(path, MAX_LOCK)) is not None), None)
    if lock is not None:
        state.catalogs.keep(catalog.stream, catalog.serial, raw, signatures_in([partial]), lock)
    final = finish(partial)
    record(state, final)
    return final


def record(state: State, bundle: Path) -> None:
    """Remember a bundle that has its name, once; what it needed on this machine is removed."""
    raw = fsio.read_capped(bundle / names.CATALOG, MAX_CATALOG)
    catalog = Unverified.read(raw).claims
    state.record_export(catalog.stream, catalog.serial, Digest.of(raw))
    work = work_of(state, catalog.stream, catalog.serial)
    with fsio.disk_errors("cannot remove the key of a finished bundle", work):
        if work.exists():
            (work / _KEY).unlink(missing_ok=True)
            shutil.rmtree(work)


@dataclass(frozen=True)
class Own:
    """A sealed bundle that is the answer to a request, and what it was made of; ``passed``: it has passed its gates already."""

    path: Path
    catalog: Catalog | Sealed
    lock: Lock | None
    passed: bool


def own_work(request: Request, state: State, progress: Progress) -> Own | None:
    """What an earlier run of the same command has sealed without anybody being told; its name and the record of it are made good.

    Bundles that runs of other commands have left so are made good, too.

    Raises:
        UsageError: that run is still at work.
        MediaError: the disk refuses.
    """
    for mark in state.intents.sealings(request.stream):
        final = request.out / names.bundle_name(request.stream, mark.serial)
        partial = final.with_name(final.name + names.PARTIAL)
        place = final if fsio.is_there(final) else partial
        raw = fsio.read_if_there(place / names.CATALOG, MAX_CATALOG)
        if raw is None or Digest.of(raw) != mark.catalog:
            continue
        publish_whole(state, partial, final, progress)
        if not fsio.is_there(final):  # the disk has lost something of it
            continue
        with fsio.exclusive_directory(final, busy(final)):  # else its run is alive, and about to tell
            record(state, final)
        if mark.inputs == asked_of(request) and request.serial in (None, mark.serial):
            catalog = Unverified.read(raw).claims
            return Own(final, catalog, _kept_lock(state, catalog, raw), passed=True)
    return None


def publish_whole(state: State, partial: Path, final: Path, progress: Progress) -> None:
    """:func:`publish` what an earlier run has made but for the rename. Raises ``UsageError`` when somebody is at it."""
    if partial.is_dir() and not fsio.is_there(final):
        with fsio.exclusive_directory(partial, busy(partial)):
            if is_whole(partial, progress):
                publish(state, partial)


def busy(partial: Path) -> UsageError:
    """The error for a bundle that another process is making."""
    return UsageError(
        "another export is writing this bundle", where=printable(str(partial)), hint="wait for it, or choose another --serial"
    )


def work_of(state: State, stream: str, serial: int) -> Path:
    """The directory in the state of an encrypted bundle that is not finished."""
    return state.unfinished / f"{stream}-{serial}"


def _kept_lock(state: State, catalog: Outline, raw: bytes) -> Lock | None:
    """What a bundle was made of, as it is remembered."""
    kept = state.catalogs.find(catalog.stream, catalog.serial)
    return Lock.from_bytes(kept[2], LOCK) if kept is not None and kept[0] == raw and kept[2] else None


def is_same(state: State, catalog: Sealed, volume_size: int | None, recipients: Sequence[SiteKey], lock: Lock) -> bool:
    """Whether a finished bundle that is encrypted is what would be made now: its content is known here from its lock alone."""
    if catalog.volume_size != volume_size:
        return False
    sites = {wrapped.key_id for wrapped in catalog.recipients}
    return sites == {site.key_id for site in recipients} and _lock_of(state, catalog) == lock.to_bytes()


def _lock_of(state: State, catalog: Sealed) -> bytes | None:
    """What an encrypted bundle was made of: as it is remembered, or as a run left it that died before it could."""
    kept = state.catalogs.find(catalog.stream, catalog.serial)
    if kept is not None and kept[0] == catalog.raw:
        return kept[2]
    work = work_of(state, catalog.stream, catalog.serial)
    try:
        secret = fsio.read_capped(work / _KEY, _MAX_KEY)[:KEY_SIZE]
        sealed.open_with(ContentKey(secret), catalog)
        return fsio.read_capped(work / LOCK, MAX_LOCK)
    except Damaged:
        return None


def outer(catalog: Catalog, key: ContentKey | None, recipients: Sequence[SiteKey], tags: Sequence[bytes]) -> Catalog | Sealed:
    """The catalog as it is signed and lies on the media."""
    return catalog if key is None else sealed.close(catalog, key, recipients, tags)
