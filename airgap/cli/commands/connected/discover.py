"""``airgap discover``: write an image list from deployment files."""

from __future__ import annotations

import enum
import sys
from typing import Annotated, NoReturn

import typer

from airgap.cli.options.groups import grouped
from airgap.cli.options.outputs import HELP, Output, taken
from airgap.cli.terminal.console import Console, Said, report_error
from airgap.discover import Discovery, as_text, as_yaml, discover
from airgap.errors import UsageError, exit_code
from airgap.text import listing, plural

_MOST_SHOWN = 50


class ListFormat(enum.StrEnum):
    """How the list is written."""

    TEXT = "text"
    YAML = "yaml"


@grouped
def discover_command(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Files and directories; - is standard input.")],
    out: Annotated[
        str | None, typer.Option("--out", "-o", metavar="FILE", help=f"File to write the list to; {HELP}", show_default="-")
    ] = None,
    form: Annotated[ListFormat, typer.Option("--format", help="text: one reference per line. yaml: the YAML form of a list.")] = (
        ListFormat.TEXT
    ),
    include_possible: Annotated[
        bool,
        typer.Option("--include-possible", help="Also list what only looks like an image: Helm values, unknown resources, flags."),
    ] = False,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Write nothing and exit with 2 if any image is only possible or unresolved."),
    ] = False,
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Ignore possible images that match, such as docs.example.com/*; may be repeated."),
    ] = None,
    said: Said = Said(),
) -> None:
    """Find the images that deployment files name: an image list, with the place of each.

    Reads Kubernetes YAML and JSON, the output of helm template and kustomize build, Compose files, Quadlet units and
    Containerfiles, recognised by content. A full reference, HOST/PATH:TAG or HOST/PATH@sha256:..., is found anywhere in a text
    file. Whatever cannot be resolved or is not read is reported with its file, never silently left out.

    Example: airgap discover deploy/ compose.yaml -o images.txt

    Example: helm template web ./chart | airgap discover - -o images.txt
    """
    output = None if out is None and said.as_json else Output(out or "-", "--out")
    console = said.console(taken(output))
    found = discover(paths, sys.stdin.buffer.read, include_possible=include_possible, ignore=ignore or ())
    if strict and (found.unresolved or found.possible):
        _fail(_incomplete(found), found, console)
    _say(found, console)
    if not found.images:
        _fail(_nothing(found), found, console)
    text = as_text(found) if form is ListFormat.TEXT else as_yaml(found)
    if output is not None:
        output.write(text.encode())
    if said.as_json or not taken(output):
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
        console.say(f"{plural(len(found.possible), 'possible image')} left out; include them with --include-possible")


def _summary(found: Discovery) -> list[str]:
    return [
        f"images       {len(found.images)} in {plural(found.files, 'file')}",
        f"possible     {len(found.possible)}",
        f"unresolved   {len(found.unresolved)}",
        f"notes        {len(found.notes)}",
    ]


def _fail(error: UsageError, found: Discovery, console: Console) -> NoReturn:
    """End with an error; the JSON document still has everything that was found."""
    if not console.as_json:
        raise error
    console.result({**found.to_json(), "list": None, **error.facts(), "exit_code": exit_code(error)}, [])
    raise typer.Exit(report_error(error, as_json=False))


def _incomplete(found: Discovery) -> UsageError:
    possible = [f"{image.places[0]}: possible: {image.reference}" for image in found.possible]
    lines = [*(str(remark) for remark in found.unresolved), *possible]
    more = [f"and {len(lines) - _MOST_SHOWN} more"] if len(lines) > _MOST_SHOWN else []
    counts = [plural(len(found.unresolved), "unresolved place")] if found.unresolved else []
    counts += [plural(len(found.possible), "possible image")] if found.possible else []
    hints = dict.fromkeys(remark.hint for remark in found.unresolved if remark.hint)
    judge = ["include the possible images with --include-possible, or exclude false ones with --ignore"] if possible else []
    return UsageError(
        f"--strict does not allow {' and '.join(counts)}",
        where="\n".join([*lines[:_MOST_SHOWN], *more]),
        hint="; ".join([*list(hints)[:3], *judge]),
    )


def _nothing(found: Discovery) -> UsageError:
    hints = [remark.hint for remark in found.unresolved if remark.hint]
    hint = "include the possible ones with --include-possible" if found.possible else "name the files that deploy something"
    got = listing([str(image.reference) for image in found.possible], _MOST_SHOWN)
    return UsageError(
        f"no image found in {plural(found.files, 'file')}",
        expected="Kubernetes YAML, Compose files, Quadlet units or Containerfiles",
        got=f"possible images: {got}" if got else "",
        hint="; or ".join([*hints[:1], hint]),
    )
