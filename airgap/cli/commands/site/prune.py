"""``airgap prune`` and ``airgap rollback``: remove or restore generations at a target."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from airgap import fsio
from airgap.cli.options import inputs
from airgap.cli.options.groups import grouped
from airgap.cli.options.outputs import HELP, Output, taken
from airgap.cli.options.records import check_replaceable
from airgap.cli.options.stores import Reach, ThreadsOption
from airgap.cli.options.turns import WAIT, BreakLeaseOption, Leasing, NoLeaseOption, WaitOption, writing
from airgap.cli.terminal.console import Console, Said
from airgap.errors import UsageError
from airgap.format.names import bundle_name, check_stream
from airgap.layout import PrunableLayout
from airgap.lifecycle.pruneplan import PrunePlan
from airgap.lifecycle.rollback import roll_back
from airgap.lifecycle.shelves import Choice, Pruner, choose, unlisted
from airgap.limits import MAX_PLAN
from airgap.naming.mapping import LayoutTarget, StoreSpec, parse_store
from airgap.oci.digest import Digest
from airgap.registry import PrunableRegistry
from airgap.state import State
from airgap.text import human_size, plural, printable

TargetArgument = Annotated[
    str, typer.Argument(metavar="TARGET", help="docker://HOST[:PORT][/PREFIX] or oci:DIR, as given to import.")
]
_COLLECT = "next         run the registry's garbage collection to free the blobs (docker-registry garbage-collect CONFIG)"


@grouped
def prune_command(
    target: TargetArgument,
    keep: Annotated[
        int | None,
        typer.Option("--keep", min=1, metavar="N", help="Keep the last N generations of each stream, and the one in force."),
    ] = None,
    stream: Annotated[str, typer.Option("--stream", metavar="NAME", help="Drop only generations of this stream.")] = "",
    also_unlisted: Annotated[
        bool, typer.Option("--unlisted", help="Also remove names that no kept bundle contains; kept generations lose them, too.")
    ] = False,
    plan: Annotated[
        Path | None, typer.Option("--plan", metavar="FILE", help=f"Write the plan for review and --apply; {HELP}")
    ] = None,
    apply: Annotated[Path | None, typer.Option("--apply", metavar="FILE", help="Carry out a plan, if nothing changed.")] = None,
    wait: WaitOption = WAIT,
    no_lease: NoLeaseOption = False,
    break_lease: BreakLeaseOption = False,
    reach: Reach = Reach(),
    threads: ThreadsOption = 4,
    state: inputs.StateOption = None,
    said: Said = Said(),
) -> None:
    """Plan what can be removed when old bundles are no longer needed, then remove it by digest.

    Without --apply nothing is removed. An image is removed if no name refers to it, now or in a kept generation. Content that is
    shared with a kept image, or that airgap did not import, is never removed.

    Example: airgap prune docker://registry.site:5000/mirror --keep 2 --plan prune.json; then review it, and
    airgap prune docker://registry.site:5000/mirror --apply prune.json
    """
    output = Output(plan, "--plan") if plan is not None else None
    console = said.console(taken(output))
    spec = parse_store(target)
    if (keep is None) == (apply is None) or (apply is not None and (plan is not None or stream or also_unlisted)):
        expected = "--keep N [--stream NAME] [--unlisted] [--plan FILE], or --apply FILE alone"
        raise UsageError("give either --keep to plan, or --apply", expected=expected)
    if stream:
        check_stream(stream)
    if plan is not None and output is not None and output.exists:
        check_replaceable(plan, MAX_PLAN, f"a plan for {spec}", lambda raw: PrunePlan.parse(raw, str(plan)).target == str(spec))
    leasing = Leasing(reach.options(threads, console), not no_lease, break_lease)
    remarks: list[str] = []
    with _memory(state) as memory, _opened(spec, reach, threads, console) as store:
        pruner = Pruner(spec, store, memory, console, threads)
        names: frozenset[str] = frozenset()
        fresh = True
        if apply is not None:
            made = PrunePlan.parse(fsio.read_input(apply, MAX_PLAN, "plan"), printable(str(apply)))
            with writing(memory, spec, "airgap prune", wait, console.say, leasing) as turn:
                fresh = pruner.apply(made, turn)
                remarks = turn.remarks
        else:
            generations = memory.generations.read(str(spec))
            dropped = frozenset(choose(generations, keep or 1, stream))
            names = unlisted(generations, memory.generations.standing.read(str(spec)), dropped, stream)
            made = pruner.plan(Choice(dropped, names if also_unlisted else frozenset()))
    if output is not None:
        output.write(made.to_bytes())
    unlisted_stay = sorted(names) if not also_unlisted else []
    facts = {**_facts(made, applied=apply is not None), "unlisted": unlisted_stay, "already_applied": not fresh, "remarks": remarks}
    noted = [f"note         {remark}" for remark in remarks]
    lines = _lines(made, spec, plan, apply, unlisted_stay, said.verbose)
    console.result(facts, noted + (lines if fresh else [f"nothing to do: {apply} was already carried out"]))


@grouped
def rollback_command(
    target: TargetArgument,
    stream: Annotated[str, typer.Option("--stream", metavar="NAME", help="Stream whose names are moved.")],
    to: Annotated[int, typer.Option("--to", min=1, metavar="SERIAL", help="Serial of the bundle to return to.")],
    remove_new: Annotated[
        bool, typer.Option("--remove-new", help="Remove names that later bundles added, and content that only they need.")
    ] = False,
    wait: WaitOption = WAIT,
    no_lease: NoLeaseOption = False,
    break_lease: BreakLeaseOption = False,
    reach: Reach = Reach(),
    threads: ThreadsOption = 4,
    state: inputs.StateOption = None,
    said: Said = Said(),
) -> None:
    """Move the names of a stream back to an earlier bundle, or forward to a later one, without media.

    All content of that bundle must still be at the target; if anything is missing, it is listed and nothing is moved.

    Example: airgap rollback docker://registry.site:5000/mirror --stream prod-site --to 6
    """
    console = said.console()
    spec = parse_store(target)
    check_stream(stream)
    leasing = Leasing(reach.options(threads, console), not no_lease, break_lease)
    with (
        _memory(state) as memory,
        writing(memory, spec, "airgap rollback", wait, console.say, leasing) as turn,
        _opened(spec, reach, threads, console) as store,
    ):
        done = roll_back(store, memory, spec, turn, stream, to, console, threads)
        removed: PrunePlan | None = None
        if remove_new:
            pruner = Pruner(spec, store, memory, console, threads)
            own = f"rollback-{Digest.of(f'{spec} {stream} {to}'.encode()).hex}.json"
            removed = pruner.unasked(own, turn)
            if removed is None and (done.new or done.gone):
                removed = pruner.plan(_newer(memory, str(spec), stream, to, [*done.new, *done.gone]))
                if done.gone or not removed.is_empty:
                    pruner.apply_unasked(removed, own, turn)
    gone = {entry.name for step in removed.steps for entry in step.removal.names} if removed else set()
    new = [{"name": name, "removed": name in gone} for name in done.new]
    moved = [{"name": one.name, "before": one.before, "after": one.after} for one in done.moved]
    lines = [f"note         {remark}" for remark in turn.remarks]
    lines += [f"moved        {one.name} -> {one.after} (was {one.before or 'gone'})" for one in done.moved]
    lines += [f"{'removed' if name in gone else 'kept':<12} {name}: it did not exist then" for name in done.new]
    lines += [f"not moved    {name}: its image was removed (airgap prune --unlisted)" for name in done.taken]
    lines.append(f"in force     {bundle_name(stream, to)}: {plural(len(done.moved), 'name')} moved, {done.unmoved} already there")
    facts = {"target": str(spec), "stream": stream, "serial": to, "moved": moved, "new": new, "unmoved": done.unmoved}
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


@contextlib.contextmanager
def _memory(state: Path | None) -> Iterator[State]:
    directory = inputs.state_directory(state)
    if not State.exists(directory):
        raise UsageError(
            "no import is recorded on this machine",
            where=printable(str(directory)),
            hint="run this where airgap import runs, or name that state with --state",
        )
    with State(directory) as memory:
        yield memory


@contextlib.contextmanager
def _opened(spec: StoreSpec, reach: Reach, threads: int, console: Console) -> Iterator[PrunableLayout | PrunableRegistry]:
    if isinstance(spec, LayoutTarget):
        with contextlib.closing(PrunableLayout(spec.directory)) as layout:
            yield layout
    else:
        with contextlib.closing(PrunableRegistry(reach.options(threads, console))) as registry:
            yield registry


def _facts(made: PrunePlan, applied: bool) -> dict[str, Any]:
    return {
        "target": made.target,
        "applied": applied,
        "generations": [
            {"stream": one.stream, "serial": one.serial, "in_force": one.in_force, "keep": one.stays} for one in made.generations
        ],
        "names": [{"name": e.name, "digest": e.digest} for step in made.steps for e in step.removal.names if e.name],
        "manifests": [f"{step.space}@{digest}" for step in made.steps for digest in step.removal.manifests],
        "blobs": [digest for step in made.steps for digest, _ in step.removal.blobs],
        "stay": [name for step in made.steps for name in step.removal.stay],
    }


def _lines(
    made: PrunePlan, spec: StoreSpec, plan: Path | None, applied: Path | None, unlisted_stay: Sequence[str], verbose: bool
) -> list[str]:
    word = "removed" if applied else "would remove"
    lines = []
    for one in made.generations:
        state = ", in force" if one.in_force else ""
        lines.append(f"{'keep' if one.stays else 'drop':<12} {bundle_name(one.stream, one.serial)}{state}")
    for step in made.steps:
        lines += [f"{word:<12} {entry.name}  {entry.digest}" for entry in step.removal.names if entry.name]
        lines += [f"stays        {name}: something kept needs it, or somebody has moved it" for name in step.removal.stay]
        if verbose:
            lines += [f"{word:<12} {step.space}@{digest}" for digest in step.removal.manifests]
    blobs = {blob for step in made.steps for blob in step.removal.blobs}
    manifests = sum(len(step.removal.manifests) for step in made.steps)
    lines.append(f"{word:<12} {plural(manifests, 'manifest')}, and {plural(len(blobs), 'blob')} that only they need")
    if isinstance(spec, LayoutTarget):
        lines[-1] += f" ({human_size(sum(size for _, size in blobs))})"
    elif applied and manifests:
        lines.append(_COLLECT)
    if unlisted_stay:
        lines.append(f"stays        {plural(len(unlisted_stay), 'name')} that no kept bundle contains: --unlisted removes them")
    if made.is_empty:
        lines.append("nothing to remove")
    elif plan is not None:
        lines.append(f"plan         {plan}: review it, then: airgap prune {made.target} --apply {plan}")
    elif applied is None:
        lines.append("plan         nothing was removed; write the plan with --plan FILE, review it, then --apply it")
    return lines
