"""An export beside the stream's latest bundle: the same, so that no second one is needed, or unlike it in what is set once.

Most of those differences are forgotten options.
"""

from __future__ import annotations

import datetime as dt
import stat
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace

from airgap import fsio
from airgap.errors import Damaged, MediaError
from airgap.exporter.keeping import made_of
from airgap.exporter.request import ExportRequest
from airgap.exporter.seal import signature_path
from airgap.exporter.worlds import Paths, There
from airgap.format import names
from airgap.format.catalog import Catalog
from airgap.format.names import bundle_name
from airgap.format.outer import Sealed, Unverified
from airgap.format.outline import Outline
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
    return f"unlike {bundle_name(stream, last.serial)}: {found}" if found else ""


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
