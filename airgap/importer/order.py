"""Which of several bundles on the same media need not be imported: those that the site is past. Nothing is written here."""

from __future__ import annotations

from collections.abc import Sequence

from airgap.bundle.several import OnMedia
from airgap.format.names import bundle_name
from airgap.state import State


def passed_over(bundle: OnMedia, bundles: Sequence[OnMedia], state: State, memory: str, allow_older: bool) -> str:
    """Why a bundle is left alone, or an empty string.

    Media are reused, and carry last month's bundle beside this month's. That one may have expired since, and its serial is too old
    after later ones: both would be refused, although nothing is wrong. The last bundle of a stream here is always imported, so
    that media with only old bundles are refused like any old bundle.

    Args:
        bundle: one whose catalog is believed, or not.
        bundles: all bundles on the media.
        state: the site's state.
        memory: the key of this import (``run.memory_key``).
        allow_older: import it even though it is older than one that was imported.
    """
    own = bundle.outline
    if own is None or not any(other.outline and _is_older(bundle, other) for other in bundles):
        return ""
    known = state.known(own.stream, own.serial, None)
    if known.newest is None or known.same not in (None, bundle.digest):
        return ""
    if state.imported_into(own.stream, own.serial, memory) == bundle.digest and not (
        allow_older and own.serial < known.newest.serial
    ):
        return "imported before"
    if own.serial < known.newest.serial and not allow_older:
        newest = bundle_name(own.stream, known.newest.serial)
        return f"older than {newest}, which was imported here; --allow-older imports it all the same"
    return ""


def before(bundle: OnMedia, bundles: Sequence[OnMedia]) -> OnMedia | None:
    """The bundle here that is imported right before this one of its stream."""
    older = [other for other in bundles if other.outline and _is_older(other, bundle)]
    return older[-1] if older else None


def _is_older(one: OnMedia, other: OnMedia) -> bool:
    if one.outline is None or other.outline is None:
        return False
    return one.outline.stream == other.outline.stream and one.outline.serial < other.outline.serial
