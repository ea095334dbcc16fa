"""What an export keeps on its machine: what its bundles were made of, and for encrypted ones whatever must not be on the media.

An unfinished encrypted bundle has its key, lock, journal and scratch files in the state directory. So a medium that is lost before
the bundle is finished reveals nothing, and only this machine can resume it.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from airgap import fsio
from airgap.bundle.media import signatures_in
from airgap.cipher.content import ContentKey
from airgap.cipher.forms import KEY_SIZE
from airgap.errors import Damaged, UsageError
from airgap.exporter.journal import LOCK, Journal
from airgap.exporter.request import ExportRequest
from airgap.exporter.seal import finish, is_whole
from airgap.exporter.worlds import Paths, is_own, work_of
from airgap.format import names, sealed
from airgap.format.catalog import Catalog
from airgap.format.outer import Sealed, Unverified
from airgap.limits import MAX_CATALOG, MAX_LOCK
from airgap.oci import strictjson
from airgap.oci.digest import Digest
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


def publish(state: State, partial: Path) -> Path:
    """Give a complete bundle its name and record it; returns the final path.

    What it was made of is stored before the bundle becomes visible: without space for that, there is no bundle either. If a run
    dies in here, the next one does the rest.

    Raises:
        MediaError: the disk of the bundle or of the state fails.
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
    """Record a bundle that has its name, once; what it needed on this machine is removed."""
    raw = fsio.read_capped(bundle / names.CATALOG, MAX_CATALOG)
    catalog = Unverified.read(raw).claims
    state.record_export(catalog.stream, catalog.serial, Digest.of(raw))
    work = work_of(state, catalog.stream, catalog.serial)
    with fsio.disk_errors("cannot remove the key of a finished bundle", work):
        if work.exists():
            (work / _KEY).unlink(missing_ok=True)
            shutil.rmtree(work)


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
