"""``airgap discover``: the image list of what deployment files name."""

from __future__ import annotations

import enum
import sys
from pathlib import Path
from typing import Annotated

import typer

from airgap import fsio
from airgap.cli.console import Console, Json, Quiet, Verbose
from airgap.discover import Discovery, as_text, as_yaml, discover
from airgap.errors import UsageError
from airgap.text import plural, printable

_MOST_SHOWN = 50


class ListFormat(enum.StrEnum):
    """How the list is written."""

    TEXT = "text"
    YAML = "yaml"


def discover_command(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Files and directories; - is standard input.")],
    out: Annotated[str, typer.Option("--out", "-o", help="File to write the list to; - is standard output.")] = "-",
    form: Annotated[ListFormat, typer.Option("--format", help="text: one reference a line. yaml: the list's YAML form.")] = (
        ListFormat.TEXT
    ),
    include_possible: Annotated[
        bool,
        typer.Option("--include-possible", help="Also list what only looks like an image: Helm values, unknown resources, flags."),
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Write nothing and exit with 2 when something could not be resolved.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Find the images that deployment files name, and write them as an image list with the places they come from.

    Looks through Kubernetes YAML and JSON, what helm template and kustomize build print, Compose files, Quadlet units and
    Containerfiles, told by their content. What cannot be resolved is said with its file and line, never left out in silence.

    Example: airgap discover deploy/ compose.yaml -o images.txt

    Example: helm template web ./chart | airgap discover - -o images.txt
    """
    console = Console(as_json, quiet, verbose)
    found = discover(paths, sys.stdin.buffer.read, include_possible=include_possible)
    if strict and found.unresolved:
        raise _incomplete(found)
    _say(found, console)
    if not found.images:
        raise _nothing(found)
    text = as_text(found) if form is ListFormat.TEXT else as_yaml(found)
    if out != "-":
        fsio.write_durable(Path(out), text.encode())
    elif not as_json:
        sys.stdout.write(text)
        return
    console.result({**found.to_json(), "list": None if out == "-" else out}, [f"list         {out}", *_summary(found)])


def _say(found: Discovery, console: Console) -> None:
    for remark in found.unresolved[:_MOST_SHOWN]:
        console.say(f"not resolved: {remark}" + (f" ({remark.hint})" if remark.hint else ""))
    if len(found.unresolved) > _MOST_SHOWN:
        console.say(f"not resolved: {len(found.unresolved) - _MOST_SHOWN} more; the list has them in its comments")
    for image in found.images:
        for note in image.remarks:
            console.detail(f"{image.places[0]}: {image.reference}: {note}")
    for remark in found.notes:
        console.detail(str(remark))
    if found.possible:
        console.say(f"{plural(len(found.possible), 'possible image')} left out; --include-possible takes them in")


def _summary(found: Discovery) -> list[str]:
    return [
        f"images       {len(found.images)} in {plural(found.files, 'file')}",
        f"possible     {len(found.possible)}",
        f"unresolved   {len(found.unresolved)}",
        f"notes        {len(found.notes)}",
    ]


def _incomplete(found: Discovery) -> UsageError:
    lines = [str(remark) for remark in found.unresolved[:_MOST_SHOWN]]
    more = len(found.unresolved) - len(lines)
    hints = dict.fromkeys(remark.hint for remark in found.unresolved if remark.hint)
    return UsageError(
        f"{plural(len(found.unresolved), 'place')} could not be resolved, and --strict asks for all",
        where="\n".join([*lines, *([f"and {more} more"] if more else [])]),
        hint="; ".join(list(hints)[:3]),
    )


def _nothing(found: Discovery) -> UsageError:
    hints = [remark.hint for remark in found.unresolved if remark.hint]
    hint = "--include-possible takes the possible ones" if found.possible else "name the files that deploy something"
    got = ", ".join(printable(str(image.reference)) for image in found.possible[:5])
    return UsageError(
        f"no image found in {plural(found.files, 'file')}",
        expected="Kubernetes YAML, Compose files, Quadlet units or Containerfiles",
        got=f"possible images: {got}" if got else "",
        hint="; or ".join([*hints[:1], hint]),
    )
