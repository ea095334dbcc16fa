"""Entries of image lists, and how those of several lists are joined."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from airgap.errors import UsageError
from airgap.oci.descriptor import Platform
from airgap.oci.digest import Digest
from airgap.oci.reference import Reference, Repository

_MOST_CLASHES = 20


@dataclass(frozen=True)
class Entry:
    """One image that is asked for.

    Attributes:
        reference: fully expanded.
        platforms: the only ones that are wanted; empty means all, byte for byte.
        origin: where it was asked for, ``file:line``, for messages.
    """

    reference: Reference
    platforms: tuple[Platform, ...] = ()
    origin: str = ""


def merge_entries(entries: Iterable[Entry]) -> list[Entry]:
    """Join entries in their order; one that says exactly what an earlier one says is dropped.

    A tag and a digest of the same repository are two wishes, not a contradiction.

    Raises:
        UsageError: entries contradict each other: a tag pinned to two digests, or an image with different platforms.
    """
    first: dict[Reference, Entry] = {}
    pins: dict[tuple[Repository, str], Entry] = {}
    clashes = []
    for entry in entries:
        known = first.setdefault(entry.reference, entry)
        if known is not entry:
            if set(known.platforms) != set(entry.platforms):
                clashes.append(_clash(str(entry.reference), known, _platforms(known), entry, _platforms(entry)))
            continue
        reference = entry.reference
        if reference.tag is not None and reference.digest is not None:
            pinned = pins.setdefault((reference.repository, reference.tag), entry)
            if pinned is not entry:
                name = f"{reference.repository}:{reference.tag}"
                clashes.append(_clash(name, pinned, _pin(pinned.reference.digest), entry, _pin(reference.digest)))
    if clashes:
        raise _clash_error(clashes)
    return list(first.values())


def _clash(name: str, one: Entry, one_says: str, other: Entry, other_says: str) -> str:
    return f"{name}: {one.origin or 'one entry'} says {one_says}, {other.origin or 'another'} says {other_says}"


def _clash_error(clashes: list[str]) -> UsageError:
    more = [f"and {len(clashes) - _MOST_CLASHES} more"] if len(clashes) > _MOST_CLASHES else []
    return UsageError(
        "entries of the image list contradict each other",
        where="\n".join(clashes[:_MOST_CLASHES] + more),
        expected="each image once, with one digest and one choice of platforms",
        hint="keep one of the two entries",
    )


def _platforms(entry: Entry) -> str:
    return "+".join(str(platform) for platform in entry.platforms) or "all platforms"


def _pin(digest: Digest | None) -> str:
    return str(digest)
