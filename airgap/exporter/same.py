"""Whether a finished bundle is what an export would make: then there is no need for a second one."""

from __future__ import annotations

import datetime as dt
import stat
from collections.abc import Callable
from dataclasses import replace

from airgap import fsio
from airgap.errors import Damaged
from airgap.exporter.keeping import made_of
from airgap.exporter.request import ExportRequest
from airgap.exporter.seal import signature_path
from airgap.exporter.worlds import Paths, There
from airgap.format import names
from airgap.format.catalog import Catalog
from airgap.format.outer import Sealed, Unverified
from airgap.format.times import parse_time
from airgap.limits import MAX_CATALOG
from airgap.oci.digest import Digest
from airgap.planning.lock import Lock
from airgap.state import State


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
