"""``airgap prune`` and ``airgap rollback``: the life of a target between two bundles."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from airgap import fsio
from airgap.bundle.names import bundle_name, check_stream
from airgap.cli import inputs
from airgap.cli.console import Console, Json, Quiet, Verbose
from airgap.cli.stores import Reach, ThreadsOption, reaching
from airgap.errors import UsageError
from airgap.importer.mapping import LayoutTarget, StoreSpec, parse_store
from airgap.importer.pruneplan import MAX_PLAN, PrunePlan
from airgap.importer.rollback import names_after, roll_back
from airgap.importer.shelves import Pruner, choose
from airgap.layout import PrunableLayout
from airgap.registry import PrunableRegistry
from airgap.state import State
from airgap.text import human_size, plural, printable

TargetArgument = Annotated[
    str, typer.Argument(metavar="TARGET", help="docker://HOST[:PORT][/PREFIX] or oci:DIR, as it was given to import.")
]
_COLLECT = "registry     frees the blobs itself: run its garbage collection (docker-registry garbage-collect CONFIG)"


@reaching
def prune_command(
    target: TargetArgument,
    keep: Annotated[
        int | None,
        typer.Option("--keep", min=1, metavar="N", help="Keep the last N generations of each stream, and the one in force."),
    ] = None,
    stream: Annotated[str, typer.Option("--stream", metavar="NAME", help="Drop generations of this stream only.")] = "",
    plan: Annotated[Path | None, typer.Option("--plan", metavar="FILE", help="Write the plan, to be read and applied.")] = None,
    apply: Annotated[Path | None, typer.Option("--apply", metavar="FILE", help="Carry out a plan, if nothing changed.")] = None,
    reach: Reach = Reach(),
    threads: ThreadsOption = 4,
    state: inputs.StateOption = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Plan what can go when old bundles are no longer needed, then remove it by digest.

    Without --apply nothing is removed. Nothing that a kept image shares ever goes, nor what airgap did not bring.

    Example: airgap prune docker://registry.site:5000/mirror --keep 2 --plan prune.json; then read it, and
    airgap prune docker://registry.site:5000/mirror --apply prune.json
    """
    console = Console(as_json, quiet, verbose)
    spec = parse_store(target)
    if (keep is None) == (apply is None) or (apply is not None and (plan is not None or stream)):
        raise UsageError("prune either plans or applies", expected="--keep N [--stream NAME] [--plan FILE], or --apply FILE alone")
    if stream:
        check_stream(stream)
    with _memory(state) as memory, _opened(spec, reach, threads, console) as store:
        pruner = Pruner(spec, store, memory, console, threads)
        if apply is not None:
            made = PrunePlan.parse(fsio.read_input(apply, MAX_PLAN, "plan"), printable(str(apply)))
            pruner.apply(made)
        else:
            dropped = choose(memory.generations.read(str(spec)), keep or 1, stream)
            made = pruner.plan(lambda one, _: (one.stream, one.serial) in dropped, lambda one: (one.stream, one.serial) in dropped)
    if plan is not None:
        fsio.write_durable(plan, made.to_bytes())
    console.result(_facts(made, applied=apply is not None), _lines(made, spec, plan, apply, verbose))


@reaching
def rollback_command(
    target: TargetArgument,
    stream: Annotated[str, typer.Option("--stream", metavar="NAME", help="The stream whose names are moved.")],
    to: Annotated[int, typer.Option("--to", min=1, metavar="SERIAL", help="The bundle that they stood for.")],
    remove_new: Annotated[
        bool, typer.Option("--remove-new", help="Remove names that later bundles brought, and what only those need.")
    ] = False,
    reach: Reach = Reach(),
    threads: ThreadsOption = 4,
    state: inputs.StateOption = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Move the names of a stream to what they were after an earlier bundle, or a later one: without media.

    Everything of it must still be at the target; if anything is missing it is named and nothing is moved.

    Example: airgap rollback docker://registry.site:5000/mirror --stream prod-site --to 6
    """
    console = Console(as_json, quiet, verbose)
    spec = parse_store(target)
    check_stream(stream)
    with _memory(state) as memory, _opened(spec, reach, threads, console) as store:
        done = roll_back(store, memory, str(spec), stream, to, console, threads)
        removed: PrunePlan | None = None
        if remove_new and done.new:
            old = names_after(memory.generations.read(str(spec)), stream, to)
            pruner = Pruner(spec, store, memory, console, threads)
            removed = pruner.plan(
                lambda one, row: one.stream == stream and one.serial > to and row.name not in old,
                lambda one: one.stream == stream and one.serial > to,
            )
            if not removed.is_empty:
                pruner.apply(removed)
    gone = {entry.name for step in removed.steps for entry in step.removal.names} if removed else set()
    new = [{"name": name, "removed": name in gone} for name in done.new]
    moved = [{"name": one.name, "before": one.before, "after": one.after} for one in done.moved]
    lines = [f"moved        {one.name} -> {one.after} (was {one.before or 'gone'})" for one in done.moved]
    lines += [f"{'removed' if name in gone else 'kept':<12} {name}: it did not exist then" for name in done.new]
    lines.append(
        f"in force     {bundle_name(stream, to)}: {plural(len(done.moved), 'name')} moved, {done.unmoved} stood for it already"
    )
    console.result(
        {"target": str(spec), "stream": stream, "serial": to, "moved": moved, "new": new, "unmoved": done.unmoved}, lines
    )


@contextlib.contextmanager
def _memory(state: Path | None) -> Iterator[State]:
    directory = inputs.state_directory(state)
    if not State.exists(directory):
        raise UsageError(
            "this machine remembers no import",
            where=printable(str(directory)),
            hint="run it where airgap import runs, or name its state with --state",
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


def _lines(made: PrunePlan, spec: StoreSpec, plan: Path | None, applied: Path | None, verbose: bool) -> list[str]:
    word = "removed" if applied else "would go"
    lines = []
    for one in made.generations:
        state = ", in force" if one.in_force else ""
        lines.append(f"{'keep' if one.stays else 'drop':<12} {bundle_name(one.stream, one.serial)}{state}")
    for step in made.steps:
        lines += [f"{word:<12} {entry.name}  {entry.digest}" for entry in step.removal.names if entry.name]
        lines += [f"stays        {name}: something that is kept needs it, or somebody has moved it" for name in step.removal.stay]
        if verbose:
            lines += [f"{word:<12} {step.space}@{digest}" for digest in step.removal.manifests]
    blobs = {blob for step in made.steps for blob in step.removal.blobs}
    manifests = sum(len(step.removal.manifests) for step in made.steps)
    lines.append(f"{word:<12} {plural(manifests, 'manifest')}, and {plural(len(blobs), 'blob')} that only they need")
    if isinstance(spec, LayoutTarget):
        lines[-1] += f" ({human_size(sum(size for _, size in blobs))})"
    elif applied and manifests:
        lines.append(_COLLECT)
    if made.is_empty:
        lines.append("nothing to remove")
    elif plan is not None:
        lines.append(f"plan         {plan}: read it, then: airgap prune {made.target} --apply {plan}")
    elif applied is None:
        lines.append("plan         nothing was removed; write the plan with --plan FILE, then --apply it")
    return lines
