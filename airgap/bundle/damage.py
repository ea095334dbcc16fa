"""What is wrong with the files of a bundle, which images that costs, and what to do: the same sentences for every command.

Only sizes are looked at here. Who has read the files (``check.py``) says which of their blocks are bad.
"""

from __future__ import annotations

import shlex
import stat
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from airgap.errors import Damaged, MediaError, disk_error, one_line
from airgap.format.entries import Volume
from airgap.format.names import BLOCK_SIZE
from airgap.format.outer import Sealed
from airgap.format.outline import Outline
from airgap.text import listing, plural, printable

#: So many files are described in one message.
_MOST = 20
_KINDS: Mapping[int, str] = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
}


@dataclass(frozen=True)
class Fault:
    """A volume or parity file that is not as the catalog says, on none of the media.

    Attributes:
        number: its place in the catalog's files, from 1.
        file: what the catalog says of it.
        problem: what is wrong, with a verb: ``is missing``.
        path: the bad file; None if there is none at all.
        unreadable: whether nothing is wrong with it but that a disk does not give some of it.
    """

    number: int
    file: Volume
    problem: str
    path: Path | None = None
    unreadable: bool = False


@dataclass(frozen=True)
class Damage:
    """What is wrong with a bundle, and what there is to rebuild it from.

    Attributes:
        catalog: what should be there.
        faults: the files that are not good anywhere.
        places: the directories at hand, supplements as well.
        lost: the blocks of every file that are good nowhere, as far as is known, by its name.
    """

    catalog: Outline
    faults: tuple[Fault, ...]
    places: tuple[Path, ...]
    lost: Mapping[str, frozenset[int]]

    @property
    def healable(self) -> bool:
        """Whether parity files and copies at hand are enough, if what nobody has read yet is good."""
        return healable(self.lost, len(self.catalog.parity))

    @property
    def volumes(self) -> list[Volume]:
        """The volumes among the faults: what an import needs."""
        return [fault.file for fault in self.faults if fault.number <= len(self.catalog.volumes)]

    @property
    def faulty(self) -> str:
        """The faults as a sentence."""
        shown = [f"{title(self.catalog, fault.number)} {fault.problem}" for fault in self.faults[:_MOST]]
        more = len(self.faults) - len(shown)
        return "; ".join(shown) + (f"; and {plural(more, 'more file')}" if more else "")

    @property
    def costs(self) -> str:
        """The images that cannot be loaded, in words."""
        return costs(self.catalog, {fault.number for fault in self.faults})

    @property
    def hint(self) -> str:
        """What to do, with the command on a line of its own: ready to be pasted."""
        first = "copy the named files again from the original"
        if any(fault.path is None for fault in self.faults):
            first = "give the directories of the other media as well"
        elif any(fault.unreadable for fault in self.faults):
            first = "try another drive, port or cable"
        if self.healable:
            own = shlex.quote(output_for(self.catalog, self.places))
            return (
                f"{first}, or rebuild what is lost from what is here:\n  {repair_command(self.catalog, self.places)}\n"
                f"then name {own} along with the other directories; import and watch do both by themselves with --repair"
            )
        return f"{first}; if that is not possible, {resend_request(self.catalog, self.places)}"

    @property
    def remark(self) -> str:
        """All of it in one line, for a command that does without what is not good."""
        return one_line(f"{self.faulty}: {self.costs}; {self.hint}")

    def error(self) -> VolumesDamaged | VolumesUnreadable:
        """The error that a command ends with."""
        paths = [str(fault.path) for fault in self.faults if fault.path is not None]
        where = listing(list(dict.fromkeys(paths or [str(place) for place in self.places])))
        expected = f"{plural(len(self.catalog.volumes), 'volume')} with the digests in the catalog"
        if all(fault.unreadable for fault in self.faults):
            what = f"the disk gives an I/O error: {self.faulty}"
            return VolumesUnreadable(self, what, where=where, expected=expected, got=self.costs, hint=self.hint)
        word = "incomplete" if all(fault.path is None for fault in self.faults) else "damaged"
        what = f"the bundle {self.catalog.name} is {word}: {self.faulty}"
        return VolumesDamaged(self, what, where=where, expected=expected, got=self.costs, hint=self.hint)


class VolumesDamaged(Damaged):
    """Volumes are missing or damaged; ``damage`` says what there is to rebuild them from."""

    def __init__(self, damage: Damage, what: str, **facts: str) -> None:
        super().__init__(what, **facts)
        self.damage = damage


class VolumesUnreadable(MediaError):
    """A disk does not give some of the volumes, and nothing else is wrong; ``damage`` as above."""

    def __init__(self, damage: Damage, what: str, **facts: str) -> None:
        super().__init__(what, **facts)
        self.damage = damage


def title(catalog: Outline, number: int) -> str:
    """A file of the bundle for people, by its number from 1: ``volume 3 of 7 (volume-0003.tar)``."""
    volumes = len(catalog.volumes)
    name = catalog.files[number - 1].name
    if number <= volumes:
        return f"volume {number} of {volumes} ({name})"
    return f"parity file {number - volumes} of {len(catalog.parity)} ({name})"


def costs(catalog: Outline, numbers: Collection[int]) -> str:
    """The images that these volumes cost, in words; parity files cost none."""
    volumes = {number for number in numbers if number <= len(catalog.volumes)}
    lost = catalog.images_on(volumes)
    if not volumes:
        return "no image needs these files"
    if isinstance(catalog, Sealed):
        return "the catalog is encrypted, so the images that need these files cannot be told"
    return f"{plural(len(lost), 'image')} cannot be loaded: {listing(lost)}" if lost else "no image needs these volumes"


def blocks(numbers: Sequence[int], all_of: int) -> str:
    """Damaged blocks in words: ``2 blocks (4, 9)``, ``all 12 blocks``."""
    if len(numbers) == all_of:
        return "its only block" if all_of == 1 else f"all {all_of} blocks"
    return f"{plural(len(numbers), 'block')} ({listing([str(number) for number in numbers], 8)})"


def ailment(file: Volume, path: Path) -> tuple[str, bool]:
    """What is wrong with a file as far as can be seen without reading it, with a verb, and whether it is a file at all.

    Raises:
        MediaError: the disk refuses.
    """
    try:
        status = path.lstat()
    except FileNotFoundError:
        return "was removed", False
    except OSError as error:
        raise disk_error(error, "cannot access a file", printable(str(path))) from error
    if not stat.S_ISREG(status.st_mode):
        return f"is {_KINDS.get(stat.S_IFMT(status.st_mode), 'a device')} instead of a file", False
    return wrong_size(file, status.st_size), True


def wrong_size(file: Volume, size: int) -> str:
    """What is wrong with a file of so many bytes, with a verb; nothing when it is as long as it should be."""
    if size < file.size:
        return f"is truncated: {size:,} of {file.size:,} bytes"
    return f"is too long: {size:,} instead of {file.size:,} bytes" if size > file.size else ""


def lost_blocks(file: Volume, sizes: Iterable[int], brought: Collection[int] = ()) -> frozenset[int]:
    """The blocks that no file of these sizes, in bytes, and no supplement can have."""
    count = len(file.blocks)
    lost = set(range(count)) - set(brought)
    for size in sizes:
        whole = size // BLOCK_SIZE if size < file.size else count - (size > file.size)
        lost -= set(range(min(whole, count)))
    return frozenset(lost)


def at_hand(catalog: Outline, places: Iterable[Path], brought: Mapping[str, Collection[int]]) -> dict[str, frozenset[int]]:
    """The blocks of every file that cannot be in these directories, nor in supplements: by its size, without reading it."""
    directories = list(places)
    return {
        file.name: lost_blocks(file, _sizes([place / file.name for place in directories]), brought.get(file.name, ()))
        for file in catalog.files
    }


def healable(lost: Mapping[str, Collection[int]], parity: int) -> bool:
    """Whether repair can give back all that is lost: of each row of blocks as many as there are parity files.

    Args:
        lost: the lost blocks of volumes and parity files, by name.
        parity: how many parity files the bundle has.
    """
    rows = Counter(block for numbers in lost.values() for block in numbers)
    return max(rows.values(), default=0) <= parity


def output_for(catalog: Outline, places: Iterable[Path]) -> str:
    """A directory for repaired files, beside where the command runs: not one that is read."""
    taken = {place.name for place in places}
    name = f"{catalog.name}.repaired"
    return next(one for one in (name, *(f"{name}-{number}" for number in range(2, len(taken) + 3))) if one not in taken)


def repair_command(catalog: Outline, places: Sequence[Path]) -> str:
    """The command that rebuilds what is lost, quoted for a shell."""
    return shlex.join(["airgap", "media", "repair", *map(str, places), "--out", output_for(catalog, places)])


def request_command(catalog: Outline, places: Sequence[Path]) -> str:
    """The command that writes a request for what cannot be rebuilt, quoted for a shell."""
    return f"{repair_command(catalog, places)} {shlex.join(['--request', f'{catalog.name}.request.json'])}"


def resend_request(catalog: Outline, places: Sequence[Path]) -> str:
    """What to do about what cannot be rebuilt, with the command on a line of its own."""
    command = request_command(catalog, places)
    return f"write a resend request for what is lost, and send it to the sender of the bundle:\n  {command}"


def _sizes(paths: Iterable[Path]) -> list[int]:
    found = []
    for path in paths:
        try:
            status = path.lstat()
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode):
            found.append(status.st_size)
    return found
