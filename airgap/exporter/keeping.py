"""What an export keeps on its machine: what its bundles were made of, and for encrypted ones whatever must not be on the media.

What a bundle was made of also says whether another one would differ from it.

An unfinished encrypted bundle has its key, lock, journal and scratch files in the state directory. So a medium that is lost before
the bundle is finished reveals nothing, and only this machine can resume it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import shutil
import stat
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path

from airgap import fsio
from airgap.bundle.media import signatures_in
from airgap.cipher.content import ContentKey
from airgap.cipher.forms import KEY_SIZE
from airgap.errors import Damaged, MediaError, UsageError
from airgap.exporter.journal import LOCK, Journal
from airgap.exporter.request import ExportRequest
from airgap.exporter.seal import finish, is_whole, signature_path
from airgap.exporter.worlds import Paths, There, is_own, work_of
from airgap.format import names, sealed
from airgap.format.catalog import Catalog
from airgap.format.outer import Sealed, Unverified
from airgap.format.outline import Outline
from airgap.format.times import parse_time
from airgap.limits import MAX_CATALOG, MAX_LOCK
from airgap.oci import strictjson
from airgap.oci.digest import Digest
from airgap.planning.lock import Lock
from airgap.planning.plan import Plan
from airgap.progress import Progress
from airgap.state import State
from airgap.text import printable

_KEY, _MAX_KEY = "content.key", KEY_SIZE + 32


def content_key(work: Path, plan: Plan, journal: Journal) -> ContentKey:
    """The key of an unfinished bundle, the same for the same layout.

    If the layout has changed, different bytes would be encrypted for the same place: then there is a new key, and nothing that was
    written counts.
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


def publish(state: State, partial: Path, catalog: Unverified | None = None) -> Path:
    """Give a complete bundle its name and record it; returns the final path.

    What it was made of is stored before the bundle becomes visible: without space for that, there is no bundle either. If a run
    dies in here, the next one does the rest.

    Args:
        state: remembers it.
        partial: the directory.
        catalog: what was just written there as its catalog, so that it need not be parsed again.

    Raises:
        Damaged: the catalog cannot be read.
        MediaError: the disk of the bundle or of the state fails.
    """
    catalog = _catalog_in(partial, catalog)
    stream, serial = catalog.claims.stream, catalog.claims.serial
    locks = (work_of(state, stream, serial) / LOCK, partial / LOCK)
    lock = next((found for path in locks if (found := fsio.read_if_there(path, MAX_LOCK)) is not None), None)
    if lock is not None:
        state.catalogs.keep(stream, serial, catalog.raw, signatures_in([partial]), lock)
    final = finish(partial)
    record(state, final, catalog)
    return final


def record(state: State, bundle: Path, catalog: Unverified | None = None) -> None:
    """Record a bundle that has its name, once; what it needed on this machine is removed. ``catalog`` as for :func:`publish`."""
    catalog = _catalog_in(bundle, catalog)
    stream, serial = catalog.claims.stream, catalog.claims.serial
    state.record_export(stream, serial, catalog.digest)
    work = work_of(state, stream, serial)
    with fsio.disk_errors("cannot remove the key of a finished bundle", work):
        if work.exists():
            (work / _KEY).unlink(missing_ok=True)
            shutil.rmtree(work)


def _catalog_in(bundle: Path, known: Unverified | None) -> Unverified:
    raw = fsio.read_capped(bundle / names.CATALOG, MAX_CATALOG)
    return known if known is not None and known.raw == raw else Unverified.read(raw)


def recover_others(request: ExportRequest, state: State, progress: Progress) -> None:
    """What runs of other commands have sealed of the stream, without anybody being told, gets its name and is recorded.

    Raises ``UsageError`` when such a run is still at work.
    """
    for sealing in state.intents.sealings(request.label.stream):
        paths = Paths.of(request, sealing.serial, state)
        if is_own(request, sealing) or not paths.holds(sealing):
            continue
        if not fsio.is_there(paths.final):
            publish_whole(state, paths, progress)
        if fsio.is_there(paths.final):  # else the disk has lost something of it
            with fsio.exclusive_directory(paths.final, busy(paths.final)):
                record(state, paths.final)


def publish_whole(state: State, paths: Paths, progress: Progress) -> None:
    """:func:`publish` a bundle that lacks only the rename. Raises ``UsageError`` if another run is active."""
    with fsio.exclusive_directory(paths.partial, busy(paths.partial)):
        if is_whole(paths.partial, progress):
            publish(state, paths.partial)


def busy(partial: Path) -> UsageError:
    """The error for a bundle that another process is writing."""
    return UsageError(
        "another export is writing this bundle", where=printable(str(partial)), hint="wait for it, or choose another --serial"
    )


def made_of(state: State, catalog: Catalog | Sealed, raw: bytes) -> bytes | None:
    """The lock that a bundle was made of, as it is remembered; of an encrypted one also as a run left it that died before."""
    kept = state.catalogs.find(catalog.stream, catalog.serial)
    if kept is not None and kept[0] == raw:
        return kept[2] or None
    work = work_of(state, catalog.stream, catalog.serial)
    try:
        if isinstance(catalog, Sealed):
            sealed.open_with(ContentKey(fsio.read_capped(work / _KEY, _MAX_KEY)[:KEY_SIZE]), catalog)
            return fsio.read_capped(work / LOCK, MAX_LOCK)
    except Damaged:
        pass
    return None


def unchanged(request: ExportRequest, paths: Paths, lock: Lock, state: State) -> There | None:
    """The latest bundle of the stream, if it lies where the next one would be made and that one would not differ from it.

    It counts only if it can be shipped as it is: all of its files there, signed with every key, and not about to expire. The gates
    are the caller's.

    Args:
        request: what is asked for; with a serial or a time of its own it is always made.
        paths: the place of the next bundle.
        lock: what the request's list stands for now.
        state: the exporter's state, which knows the latest bundle.

    Raises:
        MediaError: the disk refuses.
    """
    label, last = request.label, state.last_exported(request.label.stream)
    if request.again or label.serial is not None or label.created is not None or fsio.is_there(paths.partial):
        return None
    if last is None or last.serial + 1 != paths.serial:
        return None
    there = _lying(Paths.of(request, last.serial, state), last.catalog)
    if there is None or _expires_soon(request, there.catalog) or not _is_complete(request, there):
        return None
    if not _carries_the_same(request, there.catalog):
        return None
    if isinstance(there.catalog, Sealed):  # no gate can look into it again, and nobody can tell what it builds on
        if request.demands.gates or state.catalogs.noted(label.stream, last.serial) != request.inputs:
            return None
        return there if made_of(state, there.catalog, there.raw) == lock.to_bytes() else None
    return there if same_content(request, there, state, lambda: lock) is not None else None


def same_content(request: ExportRequest, there: There, state: State, resolve: Callable[[], Lock]) -> Lock | None:
    """The lock of the request, if a finished bundle has exactly that content; ``resolve`` makes it, if it matters."""
    label, packing, catalog = request.label, request.packing, there.catalog
    if label.created not in (None, catalog.created) or label.expiry(catalog.created) != catalog.expires:
        return None
    base = () if isinstance(catalog, Sealed) else catalog.base
    if base != tuple(base.digest for base in request.far_side.bases) or len(catalog.parity) != packing.parity:
        return None
    if isinstance(catalog, Catalog) and (catalog.trusted_root is None) != (request.root is None):
        return None
    lock, same_size = resolve(), packing.volume_size == catalog.volume_size
    if isinstance(catalog, Sealed):  # what is inside is known here from its lock alone
        same = same_size and {one.key_id for one in catalog.recipients} == {site.key_id for site in packing.recipients}
        return lock if same and made_of(state, catalog, there.raw) == lock.to_bytes() else None
    if packing.recipients:
        return None
    plan = request.lay_out(lock, {})
    if any(blob.patch for blob in catalog.blobs.values()):  # their sizes are known only to who makes them again
        bare, found = ([replace(image, volumes=()) for image in images] for images in (plan.images, catalog.images))
        return lock if packing.patch != "never" and same_size and found == bare else None
    same = catalog.images == plan.images and tuple(volume.size for volume in catalog.volumes) == plan.sizes
    return lock if same else None


def _carries_the_same(request: ExportRequest, catalog: Catalog | Sealed) -> bool:
    """Whether a new bundle would bring nothing new of a TUF repository. Of an encrypted one nobody can tell here."""
    if isinstance(catalog, Sealed):
        return request.root is None
    return catalog.trusted_root == (None if request.root is None else request.root.digest)


def _lying(paths: Paths, digest: Digest) -> There | None:
    if not fsio.is_there(paths.final):
        return None
    try:
        raw = fsio.read_capped(paths.final / names.CATALOG, MAX_CATALOG)
        return There(paths, raw, Unverified.read(raw).claims) if Digest.of(raw) == digest else None
    except Damaged:
        return None


def _is_complete(request: ExportRequest, there: There) -> bool:
    """Whether every file has its size and every key has signed. What is in the files is for ``media check``."""
    final = there.paths.final
    if not all(signature_path(final, signer).is_file() for signer in request.signers):
        return False
    with fsio.disk_errors("cannot look at the bundle", final):
        for file in there.catalog.files:
            try:
                status = (final / file.name).lstat()
            except FileNotFoundError:
                return False
            if not stat.S_ISREG(status.st_mode) or status.st_size != file.size:
                return False
    return True


def _expires_soon(request: ExportRequest, catalog: Catalog | Sealed) -> bool:
    """Whether it has expired, or a new one would have more than twice the time that is left."""
    if catalog.expires is None:
        return False
    expires, now = parse_time(catalog.expires), dt.datetime.now(dt.UTC)
    period = request.label.expires
    return expires <= now or (isinstance(period, dt.timedelta) and expires - now < period / 2)


def unlike_last(request: ExportRequest, serial: int, state: State) -> str:
    """One sentence, or nothing: there is no difference, no last export, or nothing is remembered of it any more.

    Args:
        request: what is asked for.
        serial: of the bundle that is made.
        state: knows the last one's catalog and who signed it.
    """
    stream = request.label.stream
    last = state.last_exported(stream, below=serial)
    if last is None:
        return ""
    try:
        kept = state.catalogs.find(stream, last.serial)
        if kept is None or Digest.of(kept[0]) != last.catalog:
            return ""
        before = Unverified.read(kept[0]).claims
    except (Damaged, MediaError):  # a remark is no reason to stop
        return ""
    found = "; ".join([*_differences(request, before), *_signers(request, kept[1])])
    return f"unlike {names.bundle_name(stream, last.serial)}: {found}" if found else ""


def _differences(request: ExportRequest, before: Outline) -> Iterator[str]:
    packing = request.packing
    if packing.parity != len(before.parity):
        yield f"parity {packing.parity} instead of {len(before.parity)}"
    if packing.volume_size != before.volume_size:
        yield f"volume size {_size(packing.volume_size)} instead of {_size(before.volume_size)}"
    then = parse_time(before.expires) - parse_time(before.created) if before.expires else None
    now = request.label.expires
    # a given moment is another one every time
    if now != then if isinstance(now, dt.timedelta) else (now is None) != (then is None):
        yield f"expiry {_period(now)} instead of {_period(then)}"
    sites = {wrapped.key_id for wrapped in before.recipients} if isinstance(before, Sealed) else set()
    if {site.key_id for site in packing.recipients} != sites:
        yield f"encrypted to {_names([site.key_id for site in packing.recipients])} instead of {_names(sites)}"


def _signers(request: ExportRequest, signatures: Collection[str]) -> Iterator[str]:
    then = {name.split(".")[2] for name in signatures}
    now = {signer.key_id for signer in request.signers}
    if now != then:
        yield f"signed by {_names(now)} instead of {_names(then)}"


def _size(size: int | None) -> str:
    return "without a limit" if size is None else f"{size} bytes"


def _period(period: str | dt.timedelta | None) -> str:
    if isinstance(period, dt.timedelta):
        return f"after {period.days} days" if period == dt.timedelta(days=period.days) else f"after {period}"
    return period or "never"


def _names(keys: Collection[str]) -> str:
    return ", ".join(sorted(keys)) or "nobody"
