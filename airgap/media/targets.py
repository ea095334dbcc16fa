"""The disks that a bundle is to be copied to: what is free there, what is there already, and what goes where."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from airgap import fsio
from airgap.bundle import diagnosis
from airgap.bundle.damage import Damage, Fault, at_hand
from airgap.bundle.volumes import Volumes
from airgap.errors import Damaged, MediaError, UsageError
from airgap.format import names
from airgap.limits import LARGEST_FILE
from airgap.media import disks
from airgap.media.copy import Task
from airgap.media.disks import Disks
from airgap.media.spread import Disk, Spread, overhead, spread
from airgap.media.survey import Survey
from airgap.oci.digest import Digest
from airgap.text import listing, printable


@dataclass(frozen=True)
class DiskTarget:
    """A directory to copy to, looked at.

    Attributes:
        path: the directory.
        place: what fits there.
        disks: what an earlier run of this copy has begun or finished there.
    """

    path: Path
    place: Disk
    disks: Disks | None


def look(one: Survey, dests: Sequence[Path], limits: Sequence[Disk] = ()) -> list[DiskTarget]:
    """Look at the directories to copy to; nothing is written.

    Args:
        one: the bundle.
        dests: the directories.
        limits: what the disk will hold that a directory is made for; one for every directory, or none.

    Raises:
        UsageError: not a directory, given twice, inside the bundle, or with something in the way.
        MediaError: read-only.
    """
    seen: dict[tuple[int, int], Path] = {}
    for path in dests:
        if not path.is_dir():
            what = "not a directory" if path.exists() else "no such directory"
            raise UsageError(what, where=printable(str(path)), expected="the mount point of a disk, or an existing directory")
        status = path.stat()
        twice = seen.setdefault((status.st_dev, status.st_ino), path)
        if twice is not path:
            raise UsageError("the same directory is given twice", where=f"{printable(str(twice))} and {printable(str(path))}")
        _check_writable(path)
        _check_outside(one, path)
    limits = limits or [Disk("", 2**62)] * len(dests)
    return [_target(one, path, limit) for path, limit in zip(dests, limits, strict=True)]


def assign(one: Survey, targets: Sequence[DiskTarget]) -> list[Task]:
    """What goes where: as an earlier run decided it, else as :func:`spread` does. Disks that are not needed get nothing.

    Raises:
        UsageError: the directories hold different spreads of the bundle.
        MediaError: it does not fit.
    """
    begun = [target.disks for target in targets if target.disks]
    if begun:
        return _go_on(one, targets, begun)
    made = spread(one.catalog, [target.place for target in targets], overhead(one.catalog, one.raw))
    used = [number for number, files in enumerate(made.files) if files]
    labels = [disks.label(i) for i in range(len(used))]
    files = {label: made.files[number] for label, number in zip(labels, used, strict=True)}
    listed = Spread(tuple(files.values()), tuple(labels)).listing()
    return [
        Task(targets[number].path, Disks(one.catalog.name, Digest.of(one.raw), label, listed), files[label])
        for label, number in zip(labels, used, strict=True)
    ]


def check_source(one: Survey) -> None:
    """Every file must be there in its size. What a later failure says of all blocks, it says of these files.

    Raises:
        VolumesDamaged: files are missing or of the wrong size; all of them are named.
    """
    faults: list[Fault] = []
    files: dict[int, Path] = {}
    for number, file in enumerate(one.files, 1):
        copies = one.of(file)
        whole = next((copy for copy in copies if copy.regular and not copy.problem), None)
        if whole is not None:
            files[number] = whole.path
        else:
            problem, path = (copies[-1].problem, copies[-1].path) if copies else ("is missing", None)
            faults.append(Fault(number, file, problem, path))
    places = tuple(medium.path for medium in one.media)
    if faults:
        raise Damage(one.catalog, tuple(faults), places, at_hand(one.catalog, places, one.brought)).error()
    count = len(one.catalog.volumes)
    volumes = {number: path for number, path in files.items() if number <= count}
    parity = {number - count: path for number, path in files.items() if number > count}
    diagnosis.attend(one.catalog, Volumes(volumes, places=places), parity)


def _go_on(one: Survey, targets: Sequence[DiskTarget], begun: Sequence[Disks]) -> list[Task]:
    plan = begun[0].files
    owns = [found.own for found in begun]
    free = [label for label in plan if label not in owns]
    new = [target for target in targets if target.disks is None]
    if any(found.files != plan for found in begun) or len(set(owns)) != len(owns) or 0 < len(new) < len(free):
        raise UsageError(
            f"some of these disks belong to another spread of {one.catalog.name}",
            where=listing([str(target.path) for target in targets if target.disks]),
            expected=f"disks {', '.join(plan)} as started, or empty disks",
            got=f"disks {', '.join(owns)}" + (f" and {len(new)} new" if new else ""),
            hint="give the same directories as before, or remove the bundle's directory from these",
        )
    files = {file.name: file for file in one.files}
    if sorted(name for held in plan.values() for name in held) != sorted(files):
        raise UsageError(f"{disks.NAME} does not list the files of {one.catalog.name}", where=printable(str(targets[0].path)))
    chosen = {target.path: target.disks.own for target in targets if target.disks}
    for label in free if new else ():  # the first that has room, as if the others were not needed: they were not at first, either
        needed = sum(files[name].size for name in plan[label])
        place = next((target for target in new if target.place.room >= needed), new[0])
        new.remove(place)
        chosen[place.path] = label
    tasks = []
    for target in targets:
        own = chosen.get(target.path)
        if own is None:
            continue
        tasks.append(
            Task(target.path, Disks(one.catalog.name, Digest.of(one.raw), own, plan), tuple(files[name] for name in plan[own]))
        )
    return tasks


def _target(one: Survey, path: Path, limit: Disk) -> DiskTarget:
    kind = fsio.filesystem_type(path)
    largest = min(LARGEST_FILE.get(kind, 2**62), limit.largest or 2**62)
    found, there = None, 0
    for directory in (path / one.catalog.name, path / f"{one.catalog.name}{names.PARTIAL}"):
        begun = _begun(one, directory)
        if begun is not None and found is not None:
            raise _in_the_way(directory, "two directories of the same bundle")
        found = begun or found
        there += _size(directory)
    free = _free(path) + there
    name = printable(str(path)) + (f" ({kind})" if kind else "")
    place = Disk(name, min(free, limit.room), largest if largest < 2**62 else None, str(path.stat().st_dev), free)
    return DiskTarget(path, place, found)


def _begun(one: Survey, directory: Path) -> Disks | None:
    """What an earlier run left there; None when there is nothing. Raises ``UsageError`` for anything else."""
    if not fsio.is_there(directory):
        return None
    if directory.is_symlink() or not directory.is_dir():
        raise _in_the_way(directory, "not a directory")
    path = directory / disks.NAME
    if not fsio.is_there(path):
        if any(directory.iterdir()):
            raise _in_the_way(directory, f"no {disks.NAME} in it")
        return None
    try:
        found = Disks.from_bytes(fsio.read_capped(path, disks.LIMIT), str(path))
    except Damaged as error:
        raise _in_the_way(directory, f"{disks.NAME}: {error.what}") from error
    if found.catalog != Digest.of(one.raw):
        raise _in_the_way(directory, f"a bundle with another catalog, {found.catalog}")
    return found


def _in_the_way(directory: Path, got: str) -> UsageError:
    return UsageError(
        "the target contains something that this command did not write",
        where=printable(str(directory)),
        got=got,
        hint="move it away, or choose another directory; nothing has been written",
    )


def _size(directory: Path) -> int:
    """Bytes that what is there takes."""
    if not directory.is_dir():
        return 0
    with fsio.disk_errors("cannot read", directory), os.scandir(directory) as entries:
        return sum(entry.stat(follow_symlinks=False).st_blocks * 512 for entry in entries)


def _free(path: Path) -> int:
    """Bytes free; a file system that does not know its own size (some of FUSE) is taken to have room until it says no."""
    with fsio.disk_errors("cannot determine the free space", path):
        unknown = not os.statvfs(path).f_blocks
    return 2**62 if unknown else fsio.free_bytes(path)


def _check_writable(path: Path) -> None:
    with fsio.disk_errors("cannot access", path):
        read_only = os.statvfs(path).f_flag & os.ST_RDONLY
    if read_only or not os.access(path, os.W_OK):
        what = "the disk is read-only" if read_only else "the directory cannot be written"
        raise MediaError(what, where=printable(str(path)), hint="unlock it or mount it for writing, or choose another disk")


def _check_outside(one: Survey, path: Path) -> None:
    real = path.resolve()
    for medium in one.media:
        source = medium.path.resolve()
        if real == source or source in real.parents:
            raise UsageError("the copy would be inside the bundle", where=printable(str(path)))
        if real / one.catalog.name == source:
            raise UsageError("the target is the bundle itself", where=printable(str(path)), expected="another disk")
