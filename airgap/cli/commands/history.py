"""``airgap history``: every decision of this machine, with its reason."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from airgap.cli.options import inputs
from airgap.cli.options.groups import grouped
from airgap.cli.terminal.console import Said
from airgap.format.names import bundle_name, check_stream
from airgap.state import Event, State
from airgap.state.custody import Carried
from airgap.state.generations import Brought
from airgap.text import plural

#: Recorded right before a bundle gets its name: of use only when the command was killed there.
_FINISHING = "finishing"


@grouped
def history_command(
    stream: Annotated[str, typer.Option("--stream", help="Only the bundles of this stream.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=0, metavar="N", help="Only the latest N; 0 for all.")] = 0,
    generations: Annotated[
        bool, typer.Option("--generations", help="Show the bundles that each target holds instead, for prune and rollback.")
    ] = False,
    custody: Annotated[
        bool, typer.Option("--custody", help="Show who carried the bundles instead, according to their custody logs.")
    ] = False,
    state: inputs.StateOption = None,
    said: Said = Said(),
) -> None:
    """Show what was exported, imported, refused or interrupted here: when and why.

    The oldest comes first. With -v, also show the catalog's digest, the reason for everything that was accepted, and when the
    finishing of a bundle began.

    Example: airgap history --stream prod-site --limit 20

    Example: airgap history --generations

    Example: airgap history --custody
    """
    if stream:
        check_stream(stream)
    directory = inputs.state_directory(state)
    if generations:
        said.console().result(*_generations(directory, stream), "history-generations")
        return
    if custody:
        said.console().result(*_custody(directory, stream), "history-custody")
        return
    events: list[Event] = []
    if State.exists(directory):
        with State(directory) as memory:
            events = memory.history(stream, limit)
    shown = [event for event in events if said.verbose or event.event != _FINISHING]
    lines = [line for event in shown for line in _lines(event, said.verbose)]
    said.console().result({"history": [asdict(event) for event in events]}, lines or ["nothing yet"])


def _generations(directory: Path, stream: str) -> tuple[dict[str, Any], list[str]]:
    facts: list[dict[str, Any]] = []
    lines: list[str] = []
    with State(directory) if State.exists(directory) else contextlib.nullcontext() as memory:
        for target in memory.generations.targets() if memory is not None else ():
            for one in memory.generations.read(target) if memory is not None else ():
                if stream in ("", one.stream):
                    images = sum(brought.image for brought in one.brought)
                    facts.append({**asdict(one), "target": target, "brought": [_brought(brought) for brought in one.brought]})
                    notes = [word for word, holds in (("in force", one.in_force), ("pruned", one.pruned)) if holds]
                    content = ", ".join([plural(images, "image"), *notes])
                    lines.append(f"{one.at}  {bundle_name(one.stream, one.serial)}  {target}: {content}")
    return {"generations": facts}, lines or ["none yet"]


def _custody(directory: Path, stream: str) -> tuple[dict[str, Any], list[str]]:
    facts: list[dict[str, Any]] = []
    lines: list[str] = []
    with State(directory) if State.exists(directory) else contextlib.nullcontext() as memory:
        for of_stream, serial, one in memory.custody.read(stream) if memory is not None else ():
            facts.append({"stream": of_stream, "serial": serial, **_carried(one)})
            where = f" at {one.place}" if one.place else ""
            result = f"; check: {one.result}" if one.result else ""
            note = f"; {one.note}" if one.note else ""
            lines.append(f"{one.at}  {bundle_name(of_stream, serial)}  {one.who}{where}{result}{note} ({one.vouched})")
    return {"custody": facts}, lines or ["none yet"]


def _brought(one: Brought) -> dict[str, Any]:
    facts = asdict(one)
    return {"is_image": facts.pop("image"), "signed_as": facts.pop("forms"), **facts}


def _carried(one: Carried) -> dict[str, Any]:
    facts = asdict(one)
    return {"digest": facts.pop("entry"), "where": facts.pop("place"), **facts}


def _lines(event: Event, verbose: bool) -> Iterator[str]:
    # a bundle whose signature did not hold has no name that could be believed
    name = bundle_name(event.stream, event.serial) if event.stream else event.catalog[:19] or "-"
    place = f"  {event.target}" if event.target else ""
    code = f" (exit code {event.exit_code})" if event.exit_code else ""
    word = "finish" if event.event == _FINISHING else event.event
    yield f"{event.at}  {word:<8}  {name}{place}: {event.outcome}{code}"
    if event.reason and (verbose or event.event not in ("import", "export")):
        yield from (f"    {line}" for line in event.reason.split("\n"))
    if verbose and event.catalog:
        yield f"    catalog {event.catalog}"
