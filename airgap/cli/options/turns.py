"""Take turns at a target: what writes names there waits until nobody else does, and says for whom."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from airgap.importer.signing import SiteSigning
from airgap.naming.mapping import RegistryTarget, TargetSpec, place_of
from airgap.registry import RegistryOptions, leased
from airgap.state import Holder, State, Turn

WaitOption = Annotated[
    float,
    typer.Option(
        "--wait", min=0.0, metavar="SECONDS", help="Wait so long for another command that is at work at the target; 0: do not."
    ),
]
StreamWaitOption = Annotated[
    float,
    typer.Option(
        "--wait", min=0.0, metavar="SECONDS", help="Wait so long for another command that makes a bundle of the stream; 0: do not."
    ),
]
NoLeaseOption = Annotated[
    bool, typer.Option("--no-lease", help="Write no lease to the registry: no other machine or state imports into it.")
]
BreakLeaseOption = Annotated[
    bool, typer.Option("--break-lease", help="Take the registry's lease away from whoever has it and does not run any more.")
]
#: Seconds: longer than most imports take, shorter than a night.
WAIT = 3600.0


@dataclass(frozen=True)
class Leasing:
    """How a turn is taken among machines.

    Attributes:
        options: how the registry is spoken to.
        wanted: ask the registry for a lease.
        breaking: take it away from whoever has it.
    """

    options: RegistryOptions
    wanted: bool = True
    breaking: bool = False


@contextlib.contextmanager
def writing(
    memory: State,
    spec: TargetSpec,
    command: str,
    wait: float,
    told: Callable[[str], None],
    leasing: Leasing,
    signing: SiteSigning | None = None,
) -> Iterator[Turn]:
    """The turn to write names to a target, and signatures to the site's lookaside tree.

    Args:
        memory: the state that the commands share.
        spec: the target.
        command: what others are told that they wait for.
        wait: seconds.
        told: hears whom it waits for.
        leasing: what is asked of a registry.
        signing: what the site adds.

    Raises:
        Busy: that was not enough.
    """
    tree = signing.lookaside if signing is not None and signing.kept else None
    places = [spec.exclusive_place, *([place_of(tree)] if tree is not None else [])]
    with memory.turn(places, command, wait, told) as turn, contextlib.ExitStack() as stack:

        def lease() -> Callable[[], None]:
            who = (memory.identity, str(Holder.this(command)))
            at = (registry.host, registry.prefix)
            got = stack.enter_context(leased(leasing.options, *at, *who, wait, told, breaking=leasing.breaking))
            turn.remarks += [got] if isinstance(got, str) else got.remarks
            return (lambda: None) if isinstance(got, str) else got.check

        if isinstance(spec, RegistryTarget):
            registry = spec
            if leasing.wanted:
                turn.before_writing(lease)
            else:
                turn.remarks.append("no lease was taken at the registry (--no-lease)")
        yield turn


@contextlib.contextmanager
def reading(directory: Path, spec: TargetSpec, command: str, wait: float, told: Callable[[str], None]) -> Iterator[None]:
    """Nobody of this machine writes names to the target until the block ends. Without a state nobody does.

    Raises:
        Busy: waiting was not enough.
    """
    if not State.exists(directory):
        yield
        return
    with State(directory) as memory, memory.turn([spec.exclusive_place], command, wait, told, shared=True):
        yield
