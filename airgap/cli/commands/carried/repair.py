"""The command ``media repair``: rebuild lost and damaged files from parity."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from airgap import fsio
from airgap.cli.options.groups import grouped
from airgap.cli.options.outputs import HELP, Output, check_replaceable, taken
from airgap.cli.terminal.console import Said
from airgap.documents.request import ResendRequest
from airgap.limits import MAX_REQUEST
from airgap.media.repair import Mended, Repaired, repair
from airgap.text import command, human_size, listing, plural

_DAMAGED = 4


@grouped
def repair_command(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="All directories or media of the bundle that you have.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Directory for the repaired files; the media are only read.")
    ] = None,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Overwrite the damaged blocks instead; lost files go to --out or the first PATH.")
    ] = False,
    request: Annotated[
        Path | None,
        typer.Option(
            "--request",
            metavar="FILE",
            help=f"File for the resend request, if something cannot be repaired; {HELP}",
            show_default="STREAM-SERIAL.request.json in --out, else in the first PATH",
        ),
    ] = None,
    said: Said = Said(),
) -> None:
    """Rebuild lost volumes and damaged blocks: from parity files, other copies and supplements. Needs no key.

    Every block is checked against the catalog. For check and import, name the directory of repaired files along with the media.
    What cannot be repaired is written to a resend request, and the exit code is 4.

    Interrupted? Run the same command again.

    Example: airgap media repair /media/disk-a /media/disk-c --out /srv/repaired
    """
    named = Output(request, "--request") if request is not None else None
    console = said.console(taken(named))
    done = repair(paths, out, console, in_place)
    asked = None
    if done.request is not None:
        asked = request or (out or paths[0]) / f"{done.request.bundle}.request.json"
        wanted = (done.request.bundle, done.request.catalog)
        output = named or Output(asked, "--request")
        if output.exists:
            check_replaceable(asked, MAX_REQUEST, f"a request for {wanted[0]}", lambda raw: _asked_for(raw, str(asked)) == wanted)
        if output.is_file:
            fsio.make_directory(asked.absolute().parent)
        output.write(done.request.to_bytes())
    console.result(_facts(done, asked), _lines(done, out, asked))
    if asked is not None:
        raise typer.Exit(_DAMAGED)


def _asked_for(raw: bytes, where: str) -> tuple[str, str]:
    """What a request is about; a newer one about the same replaces it."""
    request = ResendRequest.from_bytes(raw, where)
    return request.bundle, request.catalog


def _facts(done: Repaired, asked: Path | None) -> dict[str, Any]:
    catalog = done.survey.catalog
    return {
        "bundle": catalog.name,
        "volume_count": len(catalog.volumes),
        "parity_count": len(catalog.parity),
        "repaired": [
            {
                "file": one.file.name,
                "present": one.present,
                "rebuilt_blocks": one.rebuilt,
                "copied_blocks": one.copied,
                "damaged_blocks": list(one.left),
                "path": str(one.path) if one.path else None,
            }
            for one in done.files
        ],
        "spare_blocks": done.worst,
        "rows_by_spare_blocks": {str(spare): rows for spare, rows in done.spare.items()},
        "request": str(asked) if asked else None,
    }


def _lines(done: Repaired, out: Path | None, asked: Path | None) -> list[str]:
    catalog = done.survey.catalog
    parity = plural(len(catalog.parity), "parity file") if catalog.parity else "no parity files"
    lines = [f"bundle       {catalog.name}: {plural(len(catalog.volumes), 'volume')}, {parity}"]
    lines += [line for one in done.files for line in _file_lines(one)]
    if not done.files:
        lines.append("nothing to repair: every file is present and intact")
    lines.append(f"spare        {_spare(done)}")
    if done.request is not None:
        count, size = sum(1 for _ in done.request.blocks()), human_size(done.request.size(catalog))
        lines.append(f"request      {asked}: {plural(count, 'block')}, {size}, cannot be repaired from what is here")
        resend = command("airgap", "export", "--resend", asked.name if asked else "REQUEST")
        lines.append(
            "next         find the missing media and run this again with them; or send the request to the bundle's sender "
            f"({resend}), and name the supplement along with the media"
        )
    elif out is not None and any(one.path for one in done.files):
        lines.append(
            f"next         name {out} along with the media: airgap import MEDIA... {command(out)} --to TARGET --policy POLICY"
        )
    return lines


def _file_lines(one: Mended) -> list[str]:
    total = len(one.file.blocks)
    before = "is damaged" if one.present else "is lost"
    parts = [f"{plural(one.rebuilt, 'block')} rebuilt"] if one.rebuilt else []
    parts += [f"{plural(one.copied, 'block')} taken from other copies"] if one.copied else []
    if one.left:
        parts.append(f"still damaged in {len(one.left)} of {plural(total, 'block')} ({listing([str(b) for b in one.left], 8)})")
    word = "repaired" if not one.left else "partly" if one.rebuilt or one.copied else "not repaired"
    return [
        f"{word:<12} {one.title} {before}: {', '.join(parts) or 'its length was wrong'}",
        *([f"             -> {one.path}"] if one.path else []),
    ]


def _spare(done: Repaired) -> str:
    if not done.survey.catalog.parity:
        return "none: the bundle has no parity files"
    worst = done.worst
    total = sum(done.spare.values())
    rows = f"{done.spare.get(worst, 0)} of {plural(total, 'row')}"
    if worst < 0:
        return f"none: in {rows}, {plural(-worst, 'block')} more than parity can rebuild are lost"
    if worst == 0:
        return f"none: in {rows}, one more damaged block could not have been repaired"
    return (
        f"any {plural(worst, 'more file')} could have been lost, or {plural(worst, 'more block')} in every row (no more in {rows})"
    )
