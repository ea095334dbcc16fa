"""Several bundles on the same media: sort the directories by bundle, in the order in which bundles are imported.

Directories with the same catalog form one bundle. One with volumes but no catalog belongs to the bundle whose catalog has the first
block of one of its files; names say nothing, because every bundle has a ``volume-0001.tar``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from airgap import fsio
from airgap.bundle.media import bundle_directories, entries
from airgap.errors import Damaged, MediaError
from airgap.format import names
from airgap.format.outer import Unverified
from airgap.format.outline import Outline
from airgap.limits import MAX_CATALOG
from airgap.oci.digest import Digest
from airgap.text import listing, printable

#: Reads the catalog in these directories; None if it is not believed.
Reading = Callable[[Sequence[Path]], Outline | None]


@dataclass(frozen=True)
class OnMedia:
    """What lies on the media of one bundle.

    Attributes:
        directories: those with its catalog, then those with only volumes.
        digest: of its catalog.
        outline: its catalog, as far as whoever asked believes it, or None.
    """

    directories: tuple[Path, ...]
    digest: Digest
    outline: Outline | None = None

    @property
    def name(self) -> str:
        """Its name; where its catalog is not believed, where it lies."""
        return self.outline.name if self.outline else listing([str(path) for path in self.directories], 3)

    @property
    def stream(self) -> str:
        """Its stream, or an empty string."""
        return self.outline.stream if self.outline else ""


def unverified(directories: Sequence[Path]) -> Outline | None:
    """What the catalog says about itself, for commands that verify nothing. Raises ``MediaError``."""
    try:
        return Unverified.read(fsio.read_capped(directories[0] / names.CATALOG, MAX_CATALOG)).claims
    except Damaged:
        return None


def several(paths: Iterable[Path], read: Reading, say: Callable[[str], None] = lambda _: None) -> list[OnMedia]:
    """The bundles on these media, in the order of stream and serial; those whose catalogs are not believed last.

    One bundle needs no sorting, and neither do media without any catalog: ``Media.find`` takes them or says what is wrong.

    Args:
        paths: bundle directories, mount points, or directories with only volumes.
        read: reads a catalog that was found, and decides whether it is believed.
        say: told about directories that belong to no bundle.

    Returns:
        Nothing unless there are at least two. A directory whose catalog is not believed, but which has a volume or the name of
        another bundle, counts as one of that bundle's: ``Media.find`` says that the catalogs differ.

    Raises:
        UsageError: a path is not a directory, or no bundle is in it.
        Damaged: a directory holds too many files.
        MediaError: the disk refuses.
    """
    directories = list(dict.fromkeys(found for path in paths for found in bundle_directories(path)))
    if sum(fsio.is_there(directory / names.CATALOG) for directory in directories) < 2:
        return []  # and is not read: what is vouched for must be what is used
    holders, loose = _by_catalog(directories)
    if len(holders) < 2:
        return []
    found = []
    for digest, held in holders.items():
        if all(fsio.is_there(directory / names.SUPPLEMENT) for directory in held):
            say(f"{listing([str(directory) for directory in held])}: a supplement for a bundle that is not here")
        else:
            found.append(OnMedia(tuple(held), digest, read(held)))
    believed = [bundle for bundle in found if bundle.outline is not None]
    strange = []
    for bundle in found:
        if bundle.outline is None and not _add(believed, bundle.directories, by_name=True):
            strange.append(bundle)
    for directory in loose:
        if not _add(believed, [directory]):
            say(f"{printable(str(directory))}: its volumes belong to none of the bundles here")
    sorted_apart = [*in_order(believed), *strange]
    return sorted_apart if len(sorted_apart) > 1 else []


def _by_catalog(directories: Iterable[Path]) -> tuple[dict[Digest, list[Path]], list[Path]]:
    """The directories with each catalog, and those without one."""
    holders: dict[Digest, list[Path]] = {}
    loose: list[Path] = []
    for directory in directories:
        try:
            raw = fsio.read_capped(directory / names.CATALOG, MAX_CATALOG)
        except Damaged as error:
            if isinstance(error.__cause__, FileNotFoundError):
                loose.append(directory)
            else:  # a link, or too long: no other directory has the same
                holders[Digest.of(str(directory).encode())] = [directory]
        else:
            holders.setdefault(Digest.of(raw), []).append(directory)
    return holders, loose


def in_order(bundles: Sequence[OnMedia]) -> list[OnMedia]:
    """By stream and serial, as ``watch`` imports them."""
    return sorted(bundles, key=lambda one: (one.outline.stream, one.outline.serial) if one.outline else ("", 0))


def first_block(path: Path, size: int) -> str:
    """The digest of the first block of a file of ``size`` bytes. Raises ``Damaged`` or ``MediaError``."""
    buffer = memoryview(bytearray(min(names.BLOCK_SIZE, size)))
    with fsio.opened(path) as fd, fsio.disk_errors("cannot read", path):
        count = fsio.read_at(fd, buffer, 0)
    return hashlib.sha256(buffer[:count]).hexdigest()


def _add(bundles: list[OnMedia], directories: Sequence[Path], *, by_name: bool = False) -> bool:
    """Give directories to the bundles that they belong to; whether there was one."""
    owners = [n for n, one in enumerate(bundles) if any(_belongs(directory, one, by_name) for directory in directories)]
    for number in owners:
        bundles[number] = replace(bundles[number], directories=(*bundles[number].directories, *directories))
    return bool(owners)


def _belongs(directory: Path, bundle: OnMedia, by_name: bool) -> bool:
    if bundle.outline is None:
        return False
    if by_name and directory.name == bundle.name:
        return True
    known = {file.name: file for file in bundle.outline.files if file.blocks}
    for name in sorted(entries(directory)):
        file, path = known.get(name), directory / name
        try:
            if file is not None and path.lstat().st_size == file.size and first_block(path, file.size) == file.blocks[0]:
                return True
        except (OSError, Damaged, MediaError):
            continue
    return False
