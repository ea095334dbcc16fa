"""``airgap plan``: show what an export would fetch and write."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from airgap import fsio
from airgap.cli.commands.connected.making import ParityOption, VolumeOption, parity_lines
from airgap.cli.options.asking import Asking, Lists, remark_lines
from airgap.cli.options.bases import PATCHES, PatchOption, Since, SinceKeyOption, SinceOption, one_of, open_bases
from airgap.cli.options.groups import grouped
from airgap.cli.options.stores import Reach, ThreadsOption, registries
from airgap.cli.terminal.console import Each, InAll, Said
from airgap.delta.bases import held_by
from airgap.delta.candidates import attempts_for, estimate
from airgap.format import names
from airgap.planning import preflight
from airgap.planning.plan import Plan, lay_out, summary
from airgap.text import human_size, parse_rate, plural


@grouped
def plan_command(
    lists: Lists,
    volume_size: VolumeOption = None,
    parity: ParityOption = 0,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Directory for the bundle; its free space is checked.")] = None,
    asking: Asking = Asking(),
    reach: Reach = Reach(),
    since: SinceOption = None,
    since_key: SinceKeyOption = None,
    patch: PatchOption = "auto",
    rate: Annotated[
        str, typer.Option("--rate", metavar="SIZE", help="Bytes per second, such as 10MB, to estimate how long it takes.")
    ] = "",
    threads: ThreadsOption = 4,
    said: Said = Said(),
) -> None:
    """Show what an export would fetch and write: no layer is fetched.

    Example: airgap plan images.txt --volume-size fat32 --out /mnt/usb --rate 10MB

    Example: airgap plan images.txt --since /srv/prod-site-0001
    """
    bytes_a_second = parse_rate(rate) if rate else 0
    size, how = names.volume_size(volume_size) if volume_size else None, one_of(patch, "--patch", PATCHES)
    console = said.console()
    known = Since(since or (), since_key or (), threads, asking.directory, asking.no_longer_believed)
    with (
        asking.read(lists, reach, threads, console) as asked,
        registries(reach, threads, console, asked.settings) as store,
        open_bases(known, reach, console) as bases,
    ):
        cargo = asked.cargo(store)
        found = cargo.lock(console, threads)
        tried = attempts_for(found, bases, how, cargo.source)
    plan = lay_out(found, size, held_by(bases), parity=parity)
    facts = summary(plan) | {"patches_tried": len(tried), "patches_save": estimate(tried), "remarks": list(found.remarks)}
    if bytes_a_second:
        facts["seconds"] = math.ceil(plan.download / bytes_a_second)
    if out is not None:
        preflight.check(plan, out, out / "none")
        facts["free"] = fsio.free_bytes(out)
    console.result(facts, [*_plan_lines(plan, facts), *remark_lines(found.remarks)])


def _plan_lines(plan: Plan, facts: dict[str, Any]) -> list[str]:
    lines = [*_table(plan, facts), ""]
    lines += [Each(f"{volume['name']}  {human_size(volume['size']):>10}") for volume in facts["volumes"][:20]]
    if len(plan.sizes) > 20:
        lines.append(Each(f"... {plural(len(plan.sizes), 'volume')} in total"))
    lines.append(InAll(plural(len(plan.sizes), "volume")))
    lines += parity_lines(len(plan.sizes), plan.parity_sizes)
    written = plan.written + sum(plan.parity_sizes)
    lines.append(f"fetch {human_size(plan.download)} in {plural(facts['blob_count'], 'blob')}, write {human_size(written)}")
    if facts["patches_tried"]:
        count = plural(facts["patches_tried"], "layer")
        lines.append(f"patches for {count} should save about {human_size(facts['patches_save'])} of that (an estimate)")
    if "seconds" in facts:
        lines.append(f"takes about {dt.timedelta(seconds=facts['seconds'])} (hours:minutes:seconds) at that rate")
    if "free" in facts:
        lines.append(f"free space: {human_size(facts['free'])}")
    return lines


def _table(plan: Plan, facts: dict[str, Any]) -> list[str]:
    """One row per image: bytes that only it needs, that earlier images need too, that the site already has."""
    columns = ["new", "shared", *(["held"] if plan.held else [])]
    width = max(len("image"), *(len(row["reference"]) for row in facts["images"]))

    def row(name: str, cells: Sequence[str], rest: str) -> str:
        return f"{name:<{width}}  {'  '.join(f'{cell:>10}' for cell in cells)}  {rest}".rstrip()

    lines = [row("image", columns, "platforms")]
    for image in facts["images"]:
        notes = f", {plural(image['attachment_count'], 'attachment')}" if image["attachment_count"] else ""
        sizes = [human_size(image[f"{column}_bytes"]) for column in columns]
        lines.append(Each(row(image["reference"], sizes, f"{', '.join(image['platforms']) or '-'}{notes}")))
        lines += [
            row("", (), f"not carried (foreign layer that the registry lacks): {digest}") for digest in image["foreign_layers"]
        ]
    new = sum(image["new_bytes"] for image in facts["images"])
    totals = [human_size(new), "", *([human_size(facts["held_bytes"])] if plan.held else [])]
    return [*lines, row("all", totals, plural(len(facts["images"]), "image"))]
