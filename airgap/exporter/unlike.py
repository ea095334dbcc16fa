"""How an export is unlike the stream's last one in what an operator sets once: most differences are forgotten options."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator

from airgap.errors import Damaged, MediaError
from airgap.exporter.request import ExportRequest
from airgap.format.names import bundle_name
from airgap.format.outer import Sealed, Unverified
from airgap.format.outline import Outline
from airgap.format.times import parse_time
from airgap.oci.digest import Digest
from airgap.state import State


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
