"""``airgap media copy``: copy a bundle to one or several disks, and verify the copies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from airgap.bundle.diagnosis import diagnosing
from airgap.cli.options.groups import grouped
from airgap.cli.terminal.console import Console, Said
from airgap.errors import UsageError
from airgap.media import disks, spread
from airgap.media.copy import Copied, Task, copy
from airgap.media.spread import Disk
from airgap.media.survey import Survey, survey
from airgap.media.targets import assign, check_source, look
from airgap.text import human_size, listing, plural


@grouped
def copy_command(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle's directory.")],
    dests: Annotated[list[Path] | None, typer.Argument(metavar="DEST...", help="Mount points of disks, or directories.")] = None,
    media: Annotated[
        list[str] | None,
        typer.Option(
            "--media",
            metavar="[Nx]SIZE",
            help="Disks to plan for: 3x25GB, fat32:32GB, dvd, dvd-dl, bd25, bd50. With DEST: the disks that it is made for.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would go where.")] = False,
    said: Said = Said(),
) -> None:
    """Copy a bundle to disks and read everything back: one or several, of any size and file system.

    Every disk gets a directory with the catalog, its signatures, SHA256SUMS for its files, check scripts, and DISKS.txt, which
    says where the rest is. After a full disk, a pulled cable or a kill, run it again: it continues. Other files are left alone.

    Example: airgap media copy out/prod-site-0007 /media/usb1 /media/usb2

    To see how many disks are needed: airgap media copy out/prod-site-0007 --media bd25
    """
    console = said.console()
    with diagnosing(console):
        _copy(bundle, dests or [], media or [], dry_run, console)


def _copy(bundle: Path, dests: Sequence[Path], media: Sequence[str], dry_run: bool, console: Console) -> None:
    one = survey([bundle])
    check_source(one)
    if not dests:
        if not media:
            raise UsageError("no destination is given", expected="DEST..., or --media SIZE to plan")
        places = _planned_places(one, media)
        made = spread.spread(one.catalog, places, spread.overhead(one.catalog, one.raw))
        used = [(place.name, files) for place, files in zip(places, made.files, strict=True) if files]
        _show_plan(console, one, [(disks.label(i), name, files) for i, (name, files) in enumerate(used)])
        return
    targets = look(one, dests, _limits(media, len(dests)))
    tasks = assign(one, targets)
    unused = [target.path for target in targets if target.path not in {task.dest for task in tasks}]
    rows = [(task.disks.own, str(task.dest), task.files) for task in tasks]
    if dry_run:
        _show_plan(console, one, rows)
        return
    for line in _plan_lines(one, rows):
        console.say(line)
    for path in unused:
        console.say(f"{path} is not needed")
    done = copy(one, tasks, console)
    written = {str(one.task.dest): one.written for one in done}
    console.result(_facts(one, rows) | {"planned": False, "written": written}, _lines(one, done))


def _limits(media: Sequence[str], count: int) -> list[Disk]:
    """The kinds of disks that the directories stand for: one for all, or one for each."""
    if not media:
        return []
    kinds = [place for number, place in spread.planned(media) for _ in range(number or 1)]
    if len(kinds) not in (1, count):
        raise UsageError("--media does not match the directories", expected=f"1 kind of disk, or {count}", got=str(len(kinds)))
    return kinds * count if len(kinds) == 1 else kinds


def _planned_places(one: Survey, media: Sequence[str]) -> list[Disk]:
    """The disks to plan for; of a kind without a number as many as needed."""
    extra = spread.overhead(one.catalog, one.raw)
    places: list[Disk] = []
    for number, place in spread.planned(media):
        wanted = number or spread.media_needed(one.catalog, place.room, place.largest, extra) or 1
        places += [place] * wanted
    return places


def _show_plan(console: Console, one: Survey, rows: Sequence[tuple[str, str, Sequence[Any]]]) -> None:
    console.result(
        _facts(one, rows) | {"planned": True, "written": {}}, [*_plan_lines(one, rows), "plan only    nothing was written"]
    )


def _plan_lines(one: Survey, rows: Sequence[tuple[str, str, Sequence[Any]]]) -> list[str]:
    catalog = one.catalog
    lines = [f"bundle       {catalog.name}: {plural(len(catalog.files), 'file')} on {plural(len(rows), 'disk')}"]
    for label, name, files in rows:
        size = human_size(sum(file.size for file in files))
        lines.append(f"disk {label:<7} {name}: {size}, {listing([file.name for file in files], 8)}")
    return [*lines, *_loss(len(catalog.volumes), len(catalog.parity), [(label, len(files)) for label, _, files in rows])]


def _loss(volumes: int, parity: int, disks: Sequence[tuple[str, int]]) -> list[str]:
    """Whether any one disk may be lost; where not, which one may not, and the parity with which it might."""
    label, most = max(disks, key=lambda disk: disk[1])
    if parity and most <= parity:
        return [f"parity       {plural(parity, 'file')}: any one disk may be lost"]
    if len(disks) < 2:
        return []
    own = label.partition(" ")[0]
    held = f"{plural(parity, 'file')}, and disk {own} holds {plural(most, 'file')}" if parity else "none"
    wanted = spread.parity_against_loss(volumes, len(disks))
    way = f"export with --parity {wanted} to survive that" if wanted else "fewer volumes or more disks would help"
    return [f"parity       {held}: a lost disk {own} cannot be rebuilt: {way}"]


def _lines(one: Survey, done: Sequence[Copied]) -> list[str]:
    lines = []
    for copied in done:
        task: Task = copied.task
        size = human_size(copied.written) if copied.written else "nothing new"
        lines.append(f"disk {task.disks.own:<7} {task.final}: {plural(len(task.files), 'file')} read back intact, {size} written")
    return [*lines, f"copied       {one.catalog.name} to {plural(len(done), 'disk')}; unmount them before you remove them"]


def _facts(one: Survey, rows: Sequence[tuple[str, str, Sequence[Any]]]) -> dict[str, Any]:
    return {
        "bundle": one.catalog.name,
        "disks": [
            {"disk": label, "path": name, "bytes": sum(file.size for file in files), "file_names": [file.name for file in files]}
            for label, name, files in rows
        ],
    }
