"""``airgap prune``: remove what only old generations at a target need."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from airgap import fsio
from airgap.cli.options import inputs
from airgap.cli.options.groups import grouped
from airgap.cli.options.outputs import HELP, Output, check_replaceable, taken
from airgap.cli.options.stores import Reach, ThreadsOption
from airgap.cli.options.turns import TurnOptions, writing
from airgap.cli.terminal.console import Console, Each, InAll, Said
from airgap.errors import UsageError
from airgap.format.names import bundle_name, check_stream
from airgap.layout import PrunableLayout
from airgap.lifecycle.pruneplan import PrunePlan
from airgap.lifecycle.shelves import Choice, Pruner, choose, unlisted
from airgap.limits import MAX_PLAN
from airgap.naming.mapping import LayoutTarget, StoreSpec, parse_store
from airgap.registry import PrunableRegistry
from airgap.state import State
from airgap.text import command, human_size, listing, plural, printable

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
    turns: TurnOptions = TurnOptions(),
    reach: Reach = Reach(),
    threads: ThreadsOption = 4,
    state: inputs.StateOption = None,
    said: Said = Said(),
) -> None:
    """Remove what old bundles brought and nothing needs any more: first a plan, then what it lists, by digest.

    Without --apply nothing is removed. An image is removed if no name refers to it, now or in a kept generation. Content that is
    shared with a kept image, or that airgap did not import, is never removed.

    Example: airgap prune docker://registry.site:5000/mirror --keep 2 --plan prune.json

    Review the plan, then carry it out.

    Example: airgap prune docker://registry.site:5000/mirror --apply prune.json
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
    leasing = turns.leasing(reach.options(threads, console))
    remarks: list[str] = []
    with memory_of(state) as memory, opened_target(_known(spec, memory), reach, threads, console) as store:
        pruner = Pruner(spec, store, memory, console, threads)
        names: frozenset[str] = frozenset()
        fresh = True
        if apply is not None:
            made = PrunePlan.parse(fsio.read_input(apply, MAX_PLAN, "plan"), printable(str(apply)))
            with writing(memory, spec, "airgap prune", turns.wait, console.say, leasing) as turn:
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
    shown = lines if fresh else [f"nothing to do: {apply} was already carried out"]
    console.result(facts, noted + shown, "prune-result")


def _known(spec: StoreSpec, memory: State) -> StoreSpec:
    """The target; one that is not there and was never imported into is a mistake in its name. Raises ``UsageError``."""
    known = memory.generations.targets()
    if isinstance(spec, LayoutTarget) and str(spec) not in known and not fsio.is_there(spec.directory):
        raise UsageError(
            "there is no such target, and no import into it is recorded",
            where=str(spec),
            expected=f"a target as given to import: {listing(list(known), 5)}" if known else "a target as given to import",
        )
    return spec


@contextlib.contextmanager
def memory_of(state: Path | None) -> Iterator[State]:
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
def opened_target(spec: StoreSpec, reach: Reach, threads: int, console: Console) -> Iterator[PrunableLayout | PrunableRegistry]:
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
        "removed_names": [{"name": e.name, "digest": e.digest} for step in made.steps for e in step.removal.names if e.name],
        "removed_manifests": [f"{step.space}@{digest}" for step in made.steps for digest in step.removal.manifests],
        "removed_blobs": [digest for step in made.steps for digest, _ in step.removal.blobs],
        "stay": [name for step in made.steps for name in step.removal.stay],
    }


def _lines(
    made: PrunePlan, spec: StoreSpec, plan: Path | None, applied: Path | None, unlisted_stay: Sequence[str], verbose: bool
) -> list[str]:
    word = "removed" if applied else "would remove"
    lines: list[str] = []
    for one in made.generations:
        state = ", in force" if one.in_force else ""
        lines.append(f"{'keep' if one.stays else 'drop':<12} {bundle_name(one.stream, one.serial)}{state}")
    for step in made.steps:
        lines += [Each(f"{word:<12} {entry.name}  {entry.digest}") for entry in step.removal.names if entry.name]
        lines += [Each(f"stays        {name}: something kept needs it, or somebody has moved it") for name in step.removal.stay]
        if verbose:
            lines += [Each(f"{word:<12} {step.space}@{digest}") for digest in step.removal.manifests]
    names = [entry for step in made.steps for entry in step.removal.names if entry.name]
    stay = sum(len(step.removal.stay) for step in made.steps)
    lines += [InAll(f"{word:<12} {plural(len(names), 'name')}")] if names else []
    lines += [InAll(f"stays        {plural(stay, 'name')}: something kept needs it, or somebody has moved it")] if stay else []
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
        lines.append(f"plan         {plan}: review it, then: {command('airgap', 'prune', made.target, '--apply', plan)}")
    elif applied is None:
        lines.append("plan         nothing was removed; write the plan with --plan FILE, review it, then --apply it")
    return lines
