"""``--repair``: rebuild what is damaged or missing on the media, in a directory of our own, for one import."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from airgap import fsio
from airgap.bundle.damage import Damage, resend_request
from airgap.errors import Damaged, MediaError
from airgap.importer.attempt import Mend, Mended, MendedVolume
from airgap.media import repair
from airgap.progress import Progress
from airgap.text import human_size, listing, plural, printable

#: What files and directories beside the volumes may take, in bytes.
_BESIDE = 1 << 20


def mender(wanted: bool, scratch: Path | None, state: Path, progress: Progress) -> Mend | None:
    """What repairs for an import; None when that is not wanted.

    Args:
        wanted: whether it is.
        scratch: where repaired volumes go; None for the system's directory of temporary files, or the state's when that is full.
        state: the state directory.
        progress: told about the repair.
    """
    if not wanted:
        return None

    @contextlib.contextmanager
    def mend(damage: Damage, paths: Sequence[Path]) -> Iterator[Mended]:
        needed = sum(volume.size for volume in damage.volumes) + _BESIDE
        place = _place([scratch] if scratch is not None else [Path(tempfile.gettempdir()), state], needed)
        progress.say(f"{damage.faulty}: repairing in {printable(str(place))}")
        with fsio.disk_errors("cannot create a directory", place):
            directory = fsio.TemporaryDirectory(place / damage.catalog.name)
        with directory:
            out = directory.path / damage.catalog.name  # a place of its own: repair locks it
            done = repair.repair(paths, out, progress, parity=False)
            if done.request is not None:
                raise _beyond(damage, done.files)
            yield Mended(
                out, tuple(MendedVolume(one.file.name, one.title, one.present, one.rebuilt, one.copied) for one in done.files)
            )

    return mend


def _place(places: Sequence[Path], needed: int) -> Path:
    """The first place with room. Raises ``MediaError``."""
    for place in places:
        if fsio.free_bytes(place) >= needed:
            return place
    room = listing([f"{human_size(fsio.free_bytes(place))} in {place}" for place in places])
    raise MediaError(
        "no space for repaired volumes",
        where=listing([str(place) for place in places]),
        expected=f"{human_size(needed)} ({needed} bytes) free",
        got=room,
        hint="free some space or name another directory with --scratch; nothing has been written",
    )


def _beyond(damage: Damage, files: Sequence[repair.Mended]) -> Damaged:
    """The error when more turned out to be lost than there was reason to think."""
    left = [f"{one.title} in {plural(len(one.left), 'block')}" for one in files if one.left]
    return Damaged(
        f"the bundle {damage.catalog.name} cannot be repaired from what is here",
        where=listing([str(place) for place in damage.places]),
        expected="enough good parity files or other copies",
        got=f"lost: {listing(left)}; {damage.costs}",
        hint="give the directories of the other media as well; if that is not possible, "
        + resend_request(damage.catalog, damage.places),
    )
