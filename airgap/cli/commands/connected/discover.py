"""``airgap discover``: the image list of what deployment files name."""

from __future__ import annotations

import enum
import sys
from typing import Annotated, NoReturn

import typer

from airgap.cli.options.outputs import HELP, Output, taken
from airgap.cli.terminal.console import Console, Json, Quiet, Verbose, report_error
from airgap.discover import Discovery, as_text, as_yaml, discover
from airgap.errors import UsageError, exit_code
from airgap.text import listing, plural

_MOST_SHOWN = 50


class ListFormat(enum.StrEnum):
    """How the list is written."""

    TEXT = "text"
    YAML = "yaml"


def discover_command(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Files and directories; - is standard input.")],
    out: Annotated[
        str | None, typer.Option("--out", "-o", metavar="FILE", help=f"File to write the list to; {HELP}", show_default="-")
    ] = None,
    form: Annotated[ListFormat, typer.Option("--format", help="text: one reference a line. yaml: the list's YAML form.")] = (
        ListFormat.TEXT
    ),
    include_possible: Annotated[
        bool,
        typer.Option("--include-possible", help="Also list what only looks like an image: Helm values, unknown resources, flags."),
    ] = False,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Write nothing and exit with 2 while anything is possible or unresolved."),
    ] = False,
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Possible images that you know are none, such as docs.example.com/*; repeatable."),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Find the images that deployment files name, and write them as an image list with the places they come from.

    Looks through Kubernetes YAML and JSON, what helm template and kustomize build print, Compose files, Quadlet units and
    Containerfiles, told by their content. A full reference, HOST/PATH:TAG or HOST/PATH@sha256:..., is found wherever it stands
    in a text file. What cannot be resolved and what is not read is said with its file, never left out in silence.

    Example: airgap discover deploy/ compose.yaml -o images.txt

    Example: helm template web ./chart | airgap discover - -o images.txt
    """
    output = None if out is None and as_json else Output(out or "-", "--out")
    console = Console(as_json, quiet, verbose, taken(output))
    found = discover(paths, sys.stdin.buffer.read, include_possible=include_possible, ignore=ignore or ())
    if strict and (found.unresolved or found.possible):
        _fail(_incomplete(found), found, console)
    _say(found, console)
    if not found.images:
        _fail(_nothing(found), found, console)
    text = as_text(found) if form is ListFormat.TEXT else as_yaml(found)
    if output is not None:
        output.write(text.encode())
    if as_json or not taken(output):
        facts = {**found.to_json(), "list": output.name if output is not None else None}
        console.result(facts, [f"list         {out}", *_summary(found)])


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


def _fail(error: UsageError, found: Discovery, console: Console) -> NoReturn:
    """End with an error; the JSON document has everything that was found all the same."""
    if not console.as_json:
        raise error
    console.result({**found.to_json(), "list": None, **error.facts(), "exit_code": exit_code(error)}, [])
    raise typer.Exit(report_error(error, as_json=False))


def _incomplete(found: Discovery) -> UsageError:
    possible = [f"{image.places[0]}: possible: {image.reference}" for image in found.possible]
    lines = [*(str(remark) for remark in found.unresolved), *possible]
    more = [f"and {len(lines) - _MOST_SHOWN} more"] if len(lines) > _MOST_SHOWN else []
    counts = [plural(len(found.unresolved), "place") + " could not be resolved"] if found.unresolved else []
    counts += [plural(len(found.possible), "possible image")] if found.possible else []
    hints = dict.fromkeys(remark.hint for remark in found.unresolved if remark.hint)
    judge = ["take the possible images in with --include-possible, or name those that are none with --ignore"] if possible else []
    return UsageError(
        f"{' and '.join(counts)}, and --strict asks for certainty",
        where="\n".join([*lines[:_MOST_SHOWN], *more]),
        hint="; ".join([*list(hints)[:3], *judge]),
    )


def _nothing(found: Discovery) -> UsageError:
    hints = [remark.hint for remark in found.unresolved if remark.hint]
    hint = "--include-possible takes the possible ones" if found.possible else "name the files that deploy something"
    got = listing([str(image.reference) for image in found.possible], _MOST_SHOWN)
    return UsageError(
        f"no image found in {plural(found.files, 'file')}",
        expected="Kubernetes YAML, Compose files, Quadlet units or Containerfiles",
        got=f"possible images: {got}" if got else "",
        hint="; or ".join([*hints[:1], hint]),
    )
