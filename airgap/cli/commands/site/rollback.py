"""``airgap rollback``: move the names of a stream back to an earlier bundle, or forward again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from airgap.cli.commands.site.prune import TargetArgument, memory_of, opened_target
from airgap.cli.options import inputs
from airgap.cli.options.groups import grouped
from airgap.cli.options.stores import Reach, ThreadsOption
from airgap.cli.options.turns import TurnOptions, writing
from airgap.cli.terminal.console import Each, Said
from airgap.format.names import bundle_name, check_stream
from airgap.lifecycle.pruneplan import PrunePlan
from airgap.lifecycle.rollback import roll_back
from airgap.lifecycle.shelves import Choice, Pruner
from airgap.naming.mapping import parse_store
from airgap.oci.digest import Digest
from airgap.state import State
from airgap.text import plural


@grouped
def rollback_command(
    target: TargetArgument,
    stream: Annotated[str, typer.Option("--stream", metavar="NAME", help="Stream whose names are moved.")],
    serial: Annotated[int, typer.Option("--serial", min=1, metavar="N", help="Serial of the bundle to return to.")],
    remove_new: Annotated[
        bool, typer.Option("--remove-new", help="Remove names that later bundles added, and content that only they need.")
    ] = False,
    turns: TurnOptions = TurnOptions(),
    reach: Reach = Reach(),
    threads: ThreadsOption = 4,
    state: inputs.StateOption = None,
    said: Said = Said(),
) -> None:
    """Move the names of a stream to an earlier or later bundle: without media.

    All content of that bundle must still be at the target; if anything is missing, it is listed and nothing is moved.

    Example: airgap rollback docker://registry.site:5000/mirror --stream prod-site --serial 6
    """
    console = said.console()
    spec = parse_store(target)
    check_stream(stream)
    leasing = turns.leasing(reach.options(threads, console))
    with (
        memory_of(state) as memory,
        writing(memory, spec, "airgap rollback", turns.wait, console.say, leasing) as turn,
        opened_target(spec, reach, threads, console) as store,
    ):
        done = roll_back(store, memory, spec, turn, stream, serial, console, threads)
        removed: PrunePlan | None = None
        if remove_new:
            pruner = Pruner(spec, store, memory, console, threads)
            own = f"rollback-{Digest.of(f'{spec} {stream} {serial}'.encode()).hex}.json"
            removed = pruner.unasked(own, turn)
            if removed is None and (done.new or done.gone):
                removed = pruner.plan(_newer(memory, str(spec), stream, serial, [*done.new, *done.gone]))
                if done.gone or not removed.is_empty:
                    pruner.apply_unasked(removed, own, turn)
    gone = {entry.name for step in removed.steps for entry in step.removal.names} if removed else set()
    new = [{"name": name, "kept": name not in gone} for name in done.new]
    moved = [{"name": one.name, "before": one.before, "after": one.after} for one in done.moved]
    lines = [f"note         {remark}" for remark in turn.remarks]
    lines += [Each(f"moved        {one.name} -> {one.after} (was {one.before or 'gone'})") for one in done.moved]
    lines += [Each(f"{'removed' if name in gone else 'kept':<12} {name}: it did not exist then") for name in done.new]
    lines += [f"not moved    {name}: its image was removed (airgap prune --unlisted)" for name in done.taken]
    lines.append(
        f"in force     {bundle_name(stream, serial)}: {plural(len(done.moved), 'name')} moved, {done.unmoved} already there"
    )
    facts = {"target": str(spec), "stream": stream, "serial": serial, "moved_names": moved, "new_names": new}
    facts |= {"unmoved": done.unmoved}
    console.result({**facts, "taken": list(done.taken), "remarks": turn.remarks}, lines)


def _newer(memory: State, target: str, stream: str, serial: int, new: Sequence[str]) -> Choice:
    """Give up the generations after one, with the names that only they have; names of another stream stay."""
    generations = memory.generations.read(target)
    moment = next(one.moment for one in generations if (one.stream, one.serial) == (stream, serial))
    newer = [one for one in generations if one.stream == stream and one.moment > moment]
    standing = memory.generations.standing.read(target)
    names = frozenset(new) - {one.name for one in standing if one.stream != stream and one.until is None}
    own = {one.name for one in standing if one.stream == stream}
    return Choice(frozenset((one.stream, one.serial) for one in newer), names, frozenset(own - names))
