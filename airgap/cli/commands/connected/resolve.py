"""The commands ``resolve`` and ``plan``: resolve a list into a lock, and show what an export would do."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from airgap import fsio
from airgap.cli.commands.connected.diff import image_lines
from airgap.cli.commands.connected.locking import LockFile
from airgap.cli.options import inputs
from airgap.cli.options.bases import PATCHES, PatchOption, Since, SinceKeyOption, SinceOption, one_of, open_bases
from airgap.cli.options.groups import grouped
from airgap.cli.options.outputs import HELP, taken
from airgap.cli.options.places import Elsewhere
from airgap.cli.options.stores import Reach, ThreadsOption, registries
from airgap.cli.terminal.console import Console, Said
from airgap.delta.bases import held_by
from airgap.delta.candidates import attempts_for, estimate
from airgap.errors import UsageError
from airgap.exporter.request import Cargo
from airgap.format import names
from airgap.lists import RegistrySettings, Wish
from airgap.lookaside import LookasideConfig, LookasideReader
from airgap.oci.image import kinds_without
from airgap.planning import preflight
from airgap.planning.lock import Lock
from airgap.planning.plan import Plan, lay_out, summary
from airgap.registry import MirroredSource
from airgap.sources.opened import OpenPlaces
from airgap.text import human_size, parse_size, plural, printable

Lists = Annotated[
    list[str],
    typer.Argument(
        metavar="LIST...", help="Image lists (docs/lists.md), places such as oci-archive:FILE, or one lock; - for standard input."
    ),
]
OptionalLists = Annotated[list[str] | None, Lists.__metadata__[0]]
PlatformOption = Annotated[
    list[str] | None, typer.Option("--platform", help="Only this platform, such as linux/arm64; may be repeated.")
]
WithoutOption = Annotated[
    list[str] | None,
    typer.Option(
        "--without",
        metavar="KIND",
        help="Leave out attachments of this kind: referrers, signatures, all or a single kind; may be repeated. Recorded in the "
        "lock.",
    ),
]
VolumeOption = Annotated[
    str | None, typer.Option("--volume-size", help="Largest volume size: 4GiB, 25GB, or fat32, dvd, dvd-dl, bd25, bd50.")
]
ParityOption = Annotated[
    int,
    typer.Option("--parity", min=0, max=255, help="Parity files: as many lost volumes can be rebuilt (media repair)."),
]
RegistriesDOption = Annotated[
    Path | None,
    typer.Option("--registries-d", metavar="DIR", help="registries.d that says where GPG signatures of images are stored."),
]


@grouped
def resolve_command(
    lists: Lists,
    lock: Annotated[str | None, typer.Option("--lock", metavar="FILE", help=f"Write the lock to this file; {HELP}")] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Show what changed since the last lock and replace it. By default pins are kept.")
    ] = False,
    allow_lost: Annotated[
        bool, typer.Option("--allow-lost-signatures", help="Update even if signatures in the last lock are gone.")
    ] = False,
    platform: PlatformOption = None,
    without: WithoutOption = None,
    reach: Reach = Reach(),
    registries_d: RegistriesDOption = None,
    elsewhere: Elsewhere = Elsewhere(),
    state: inputs.StateOption = None,
    threads: ThreadsOption = 4,
    said: Said = Said(),
) -> None:
    """Pin every reference of an image list to a digest, with all platforms, signatures and referrers.

    An existing lock is compared: additions are added; a change or loss of a pin is refused (exit code 3) unless you give --update.

    Example: airgap resolve images.txt --lock images.lock

    Example: airgap resolve images.txt --lock images.lock --update
    """
    file = LockFile.find(lock)
    console = said.console(taken(file.output))
    if update and file.last is None:
        raise UsageError("--update needs an existing lock", where=printable(lock or ""), expected="--lock FILE with the last lock")
    with OpenPlaces(elsewhere.options(inputs.state_directory(state), console)) as shelf:
        wanted, settings = asked_for(lists, platform, without, reach, console, shelf)
        with registries(reach, threads, console, settings) as store:
            source = shelf.source(store, lookaside_of(store, registries_d).signatures, wanted)
            found = Cargo(wanted, source, store, source).lock(console, threads)
    if taken(file.output):
        for line in remark_lines(found.remarks):
            console.say(line)
    changes = file.accept(found, update=update, allow_lost=allow_lost)
    file.write(found)
    if taken(file.output) and not said.as_json:
        return
    if changes is not None and update:
        said_of_it = changes.facts() | {"remarks": list(found.remarks)}
        console.result(said_of_it, [*image_lines(changes), *remark_lines(found.remarks), f"updated      {lock}"])
        return
    images = [image.to_json() for image in found.images]
    lines = [f"{image.reference}  {image.root.digest}  {_extent(image.to_json())}" for image in found.images]
    if changes is not None:
        lines += [*image_lines(changes), f"{'unchanged' if changes.same else 'added to':<12} {lock}"]
    facts = {"images": images, "manifests": len(found.manifests), "lock": lock, "changes": changes.facts() if changes else None}
    console.result(facts | {"remarks": list(found.remarks)}, [*lines, *remark_lines(found.remarks)])


@grouped
def plan_command(
    lists: Lists,
    volume_size: VolumeOption = None,
    parity: ParityOption = 0,
    out: Annotated[Path | None, typer.Option("--out", help="Directory for the bundle; its free space is checked.")] = None,
    platform: PlatformOption = None,
    without: WithoutOption = None,
    reach: Reach = Reach(),
    registries_d: RegistriesDOption = None,
    elsewhere: Elsewhere = Elsewhere(),
    state: inputs.StateOption = None,
    since: SinceOption = None,
    since_key: SinceKeyOption = None,
    patch: PatchOption = "auto",
    rate: Annotated[
        str, typer.Option("--rate", metavar="SIZE", help="Bytes per second, such as 10MB, to estimate how long it takes.")
    ] = "",
    threads: ThreadsOption = 4,
    said: Said = Said(),
) -> None:
    """Show what an export would fetch and write, without fetching any layer.

    Example: airgap plan images.txt --volume-size fat32 --out /mnt/usb --rate 10MB

    Example: airgap plan images.txt --since /srv/prod-site-0001
    """
    bytes_a_second = parse_size(rate.removesuffix("/s")) if rate else 0
    console = said.console()
    directory = inputs.state_directory(state)
    asked = Since(since or (), since_key or (), threads, directory, elsewhere.no_longer_believed(directory))
    with OpenPlaces(elsewhere.options(directory, console)) as shelf:
        wanted, settings = asked_for(lists, platform, without, reach, console, shelf)
        with registries(reach, threads, console, settings) as store, open_bases(asked, reach, console) as bases:
            source = shelf.source(store, lookaside_of(store, registries_d).signatures, wanted)
            found = Cargo(wanted, source, store, source).lock(console, threads)
            tried = attempts_for(found, bases, one_of(patch, "--patch", PATCHES), source)
    plan = lay_out(found, names.volume_size(volume_size) if volume_size else None, held_by(bases), parity=parity)
    facts = summary(plan) | {"patches_tried": len(tried), "patches_save": estimate(tried), "remarks": list(found.remarks)}
    if bytes_a_second:
        facts["seconds"] = math.ceil(plan.download / bytes_a_second)
    if out is not None:
        preflight.check(plan, out, out / "none")
        facts["free"] = fsio.free_bytes(out)
    console.result(facts, [*_plan_lines(plan, facts), *remark_lines(found.remarks)])


def asked_for(
    lists: list[str], platform: list[str] | None, without: list[str] | None, reach: Reach, console: Console, shelf: OpenPlaces
) -> tuple[Lock | Sequence[Wish], Sequence[RegistrySettings]]:
    """What the lists ask for, and their settings for registries; prints what is not supported."""
    found = inputs.read_lists(lists, platform or (), shelf.images, reach.rules.expand, kinds_without(without or ()))
    if isinstance(found, Lock):
        return found, ()
    for notice in found.notices:
        console.say(notice)
    return found.wanted, found.registries


def remark_lines(remarks: Sequence[str]) -> list[str]:
    """Notes on how attachments were found."""
    return [f"note         {printable(remark, 1000)}" for remark in remarks]


def lookaside_of(store: MirroredSource, directory: Path | None) -> LookasideReader:
    return LookasideReader(LookasideConfig.load([directory] if directory else None), store.fetch_file)


def _extent(image: dict[str, Any]) -> str:
    platforms, attachments = image.get("platforms", []), image.get("attachments", [])
    return f"{plural(len(platforms), 'platform')}, {plural(len(attachments), 'attachment')}"


def _plan_lines(plan: Plan, facts: dict[str, Any]) -> list[str]:
    lines = [*_table(plan, facts), ""]
    lines += [f"{volume['name']}  {human_size(volume['size']):>10}" for volume in facts["volumes"][:20]]
    if len(plan.sizes) > 20:
        lines.append(f"... {plural(len(plan.sizes), 'volume')} in total")
    lines += parity_lines(len(plan.sizes), plan.parity_sizes)
    written = plan.written + sum(plan.parity_sizes)
    lines.append(f"fetch {human_size(plan.download)} in {plural(facts['blobs'], 'blob')}, write {human_size(written)}")
    if facts["patches_tried"]:
        count = plural(facts["patches_tried"], "layer")
        lines.append(f"patches for {count} should save about {human_size(facts['patches_save'])} of that (an estimate)")
    if "seconds" in facts:
        lines.append(f"takes about {dt.timedelta(seconds=facts['seconds'])} (hours:minutes:seconds) at that rate")
    if "free" in facts:
        lines.append(f"free space: {human_size(facts['free'])}")
    return lines


def parity_lines(volumes: int, sizes: Sequence[int]) -> list[str]:
    """What the parity files can rebuild, and their size."""
    if not sizes:
        return []
    count = plural(len(sizes), "parity file")
    worth = "each a copy of the volume" if volumes == 1 else f"any {plural(min(len(sizes), volumes), 'lost volume')} can be rebuilt"
    return [f"parity       {count}, {human_size(sum(sizes))}: {worth}"]


def _table(plan: Plan, facts: dict[str, Any]) -> list[str]:
    """One row per image: bytes that only it needs, that earlier images need too, that the site already has."""
    columns = ["new", "shared", *(["held"] if plan.held else [])]
    width = max(len("image"), *(len(row["reference"]) for row in facts["images"]))

    def row(name: str, cells: Sequence[str], rest: str) -> str:
        return f"{name:<{width}}  {'  '.join(f'{cell:>10}' for cell in cells)}  {rest}".rstrip()

    lines = [row("image", columns, "platforms")]
    for image in facts["images"]:
        notes = f", {plural(image['attachments'], 'attachment')}" if image["attachments"] else ""
        sizes = [human_size(image[f"{column}_bytes"]) for column in columns]
        lines.append(row(image["reference"], sizes, f"{', '.join(image['platforms']) or '-'}{notes}"))
        lines += [row("", (), f"not carried (foreign layer that the registry lacks): {digest}") for digest in image["foreign"]]
    new = sum(image["new_bytes"] for image in facts["images"])
    totals = [human_size(new), "", *([human_size(facts["held_bytes"])] if plan.held else [])]
    return [*lines, row("all", totals, plural(len(facts["images"]), "image"))]
