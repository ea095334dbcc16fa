"""Which file of a bundle goes on which disk. Pure.

Without parity files volumes stay together in order, so that a lost disk costs few images. With parity files every disk gets as few
files as possible: any files can be rebuilt from parity, as long as no more are lost than there are parity files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from airgap.errors import MediaError, UsageError
from airgap.format import names
from airgap.format.catalog import Catalog, Volume
from airgap.format.outline import Outline
from airgap.limits import MAX_SHARES
from airgap.media import disks
from airgap.text import human_size, parse_size, plural, printable

#: What a file may take on a disk besides its bytes: the rest of its last cluster, which is at most so large.
CLUSTER = 128 * 1024
#: Kept free on every disk: file system structures that grow, logs of what happens on the way.
RESERVE = 1024 * 1024

#: Files on every disk besides volumes and parity files; a generous number.
_DOCUMENTS = 20
_SPEC = re.compile(r"(?:(\d{1,3})x)?(?:(fat32):)?([a-z0-9.-]+)", re.ASCII | re.IGNORECASE)
_FAT32_LARGEST = names.PRESETS["fat32"]
#: What the file system of a disc takes, in bytes, and of a stick, as a part of its size.
_DISC = 8 * 1024 * 1024
_STICK = 100
#: What disks that are sold can hold, for a proposal.
_SOLD = {
    **{name: size - _DISC for name, size in names.PRESETS.items() if name != "fat32"},
    **{f"{size} GB stick": size * (10**9 - 10**9 // _STICK) for size in (8, 16, 32, 64, 128, 256, 512, 1000, 2000)},
}


@dataclass(frozen=True)
class Disk:
    """A disk, at hand or only planned.

    Attributes:
        name: for messages.
        room: bytes that files may take there.
        largest: the largest file that its file system can hold, in bytes, or None.
        device: places of one device share what is free on it; an empty text shares with nobody.
        free: bytes free on the device.
    """

    name: str
    room: int
    largest: int | None = None
    device: str = ""
    free: int = 2**63


@dataclass(frozen=True)
class Spread:
    """For every place its label and the files that go there, in the order of the places; empty ones have no files."""

    files: tuple[tuple[Volume, ...], ...]
    labels: tuple[str, ...] = field(default=())

    def listing(self) -> dict[str, tuple[str, ...]]:
        """The names of the files on every disk, by label."""
        return {label: tuple(file.name for file in files) for label, files in zip(self.labels, self.files, strict=True)}


def overhead(catalog: Outline, raw: bytes) -> int:
    """What every disk holds besides volumes, in bytes: catalog, signatures, lists, scripts, and room to grow."""
    lists = 200 * len(catalog.files) + 300 * (len(catalog.images) if isinstance(catalog, Catalog) else 0)
    return len(raw) + lists + _DOCUMENTS * CLUSTER + RESERVE


def footprint(file: Volume) -> int:
    """Bytes that a file takes on a disk."""
    return file.size + CLUSTER


def spread(catalog: Outline, places: Sequence[Disk], extra: int) -> Spread:
    """Place all files.

    Args:
        catalog: the bundle.
        places: where to.
        extra: bytes that every place needs besides (:func:`overhead`).

    Raises:
        MediaError: they do not fit; it says how many disks of which size would do.
    """
    counts = _Counts(places, extra)
    balanced = bool(catalog.parity)
    for file in sorted(catalog.files, key=lambda file: -file.size):
        if not counts.add(file, balanced):
            raise _does_not_fit(catalog, places, extra)
    chosen = _in_order(catalog, counts)
    if not _fits(chosen, places, extra):
        chosen = [sorted(files, key=catalog.files.index) for files in counts.files]
    return Spread(tuple(tuple(files) for files in chosen), tuple(disks.label(number) for number in range(len(places))))


def media_needed(catalog: Outline, size: int, largest: int | None, extra: int) -> int | None:
    """How many disks of one size a bundle needs; None when a file does not fit on any."""
    count = 0
    while count < len(catalog.files):
        count += 1
        places = [Disk(str(number), size, largest) for number in range(count)]
        counts = _Counts(places, extra)
        if all(counts.add(file, balanced=False) for file in sorted(catalog.files, key=lambda file: -file.size)):
            return count
    return None


def parity_against_loss(volumes: int, disks: int) -> int:
    """The fewest parity files with which any one of several disks may be lost, when they share all files evenly; 0 for none.

    Parity files lie on the disks as well: with P of them a disk holds a share of volumes + P, which must not be more than P.
    """
    wanted = -(-volumes // (disks - 1))
    return wanted if volumes + wanted <= MAX_SHARES else 0


def proposals(catalog: Outline, extra: int) -> list[str]:
    """How many disks of the sizes that are sold would do: ``2 x bd25``; the fewest that are not needlessly large."""
    found = []
    for name, size in _SOLD.items():
        count = media_needed(catalog, size, None, extra)
        if count is not None and count <= 20:
            found.append(f"{count} x {name}")
            if count == 1 and "stick" in name:
                break
    return found


def planned(specs: Sequence[str]) -> list[tuple[int | None, Disk]]:
    """Read ``--media``: ``3x25GB``, ``dvd``, ``2xfat32:32GB``; how many of each (None: as many as needed) and what one is.

    Raises:
        UsageError: not a valid disk size.
    """
    return [_planned(spec) for text in specs for spec in text.split(",")]


def _planned(text: str) -> tuple[int | None, Disk]:
    match = _SPEC.fullmatch(text.strip())
    try:
        if match is None or match[1] == "0" or match[3].lower() == "fat32":
            raise UsageError("")
        preset = names.PRESETS.get(match[3].lower())
        size = parse_size(match[3]) if preset is None else preset
    except UsageError as error:
        raise UsageError(
            "not a valid disk size",
            got=printable(text, 60),
            expected="a size or dvd, dvd-dl, bd25, bd50, with an optional count before it: 3x25GB, dvd, 2xfat32:32GB",
        ) from error
    room = size - (size // _STICK if preset is None else _DISC)
    place = Disk(text.strip().lower().rpartition("x")[2], room, _FAT32_LARGEST if match[2] else None)
    return (int(match[1]) if match[1] else None), place


class _Counts:
    """How full every place is."""

    def __init__(self, places: Sequence[Disk], extra: int) -> None:
        self.places = places
        self.files: list[list[Volume]] = [[] for _ in places]
        self._left = [place.room - extra for place in places]
        self._free: dict[str, int] = {}
        for place in places:
            if place.device:
                self._free[place.device] = self._free.get(place.device, place.free) - extra

    def add(self, file: Volume, balanced: bool) -> bool:
        """Put a file where it fits: into the first place, or (balanced) into the one with the fewest files."""
        fitting = [number for number in range(len(self.places)) if self._room(number, file)]
        if not fitting:
            return False
        number = min(fitting, key=lambda number: len(self.files[number])) if balanced else fitting[0]
        self.files[number].append(file)
        self._left[number] -= footprint(file)
        if self.places[number].device:
            self._free[self.places[number].device] -= footprint(file)
        return True

    def _room(self, number: int, file: Volume) -> bool:
        place = self.places[number]
        if place.largest is not None and file.size > place.largest:
            return False
        return footprint(file) <= min(self._left[number], self._free.get(place.device, 2**63))


def _in_order(catalog: Outline, counts: _Counts) -> list[list[Volume]]:
    """As many files for each place as counted, but parity files dealt out evenly and volumes in runs."""
    sizes = [len(files) for files in counts.files]
    chosen: list[list[Volume]] = [[] for _ in sizes]
    turn = 0
    for file in catalog.parity:
        open_places = [number for number, size in enumerate(sizes) if len(chosen[number]) < size]
        number = min(open_places, key=lambda number: (len(chosen[number]), (number - turn) % len(sizes)))
        chosen[number].append(file)
        turn = number + 1
    volumes = iter(catalog.volumes)
    return [[next(volumes) for _ in range(size - len(parity))] + parity for size, parity in zip(sizes, chosen, strict=True)]


def _fits(chosen: Sequence[Sequence[Volume]], places: Sequence[Disk], extra: int) -> bool:
    devices: dict[str, int] = {}
    for files, place in zip(chosen, places, strict=True):
        taken = extra + sum(map(footprint, files))
        devices[place.device] = devices.get(place.device, 0) + taken
        if taken > place.room or any(place.largest is not None and file.size > place.largest for file in files):
            return False
    return all(devices[place.device] <= place.free for place in places if place.device)


def _does_not_fit(catalog: Outline, places: Sequence[Disk], extra: int) -> MediaError:
    largest = max(file.size for file in catalog.files)
    needed = sum(map(footprint, catalog.files)) + extra * len(places)
    limited = [place.name for place in places if place.largest is not None and place.largest < largest]
    enough = proposals(catalog, extra)
    if limited and len(limited) == len(places):
        return MediaError(
            "the volumes are too large for these disks: FAT32 cannot hold files of 4 GiB or more",
            where=", ".join(limited),
            got=f"a volume of {human_size(largest)}",
            hint="format them with exFAT, or export again with --volume-size fat32",
        )
    return MediaError(
        f"the bundle {catalog.name} does not fit on {plural(len(places), 'disk')}",
        where=", ".join(f"{place.name} ({human_size(_room(place))})" for place in places),
        expected=f"{human_size(needed)} in {plural(len(catalog.files), 'file')} of up to {human_size(largest)}",
        got=f"{human_size(_total(places))} free, {human_size(extra)} of it needed on each for the catalog and lists",
        hint=_hint(catalog, places, extra, enough),
    )


def _hint(catalog: Outline, places: Sequence[Disk], extra: int, enough: Sequence[str]) -> str:
    said = []
    best = max(places, key=_room)
    count = media_needed(catalog, _room(best), best.largest, extra)
    if count is not None:
        said.append(f"{plural(count, 'disk')} like {best.name}")
    said += enough
    return f"use {' or '.join(said)}" if said else "export again with a smaller --volume-size, or use larger disks"


def _room(place: Disk) -> int:
    return min(place.room, place.free) if place.device else place.room


def _total(places: Sequence[Disk]) -> int:
    shared: Mapping[str, int] = {place.device: place.free for place in places if place.device}
    return sum(place.room for place in places if not place.device) + sum(shared.values())
