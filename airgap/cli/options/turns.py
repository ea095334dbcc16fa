"""Take turns at a target: a command that writes names waits until no other command does, and says for which."""

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
        "--wait", min=0.0, metavar="SECONDS", help="Wait this long for another command that is using the target; 0: do not wait."
    ),
]
StreamWaitOption = Annotated[
    float,
    typer.Option(
        "--wait", min=0.0, metavar="SECONDS", help="Wait this long for another export or merge of the stream; 0: do not wait."
    ),
]
NoLeaseOption = Annotated[
    bool, typer.Option("--no-lease", help="Write no lease to the registry; safe only if no other machine or state imports into it.")
]
BreakLeaseOption = Annotated[
    bool, typer.Option("--break-lease", help="Take over the registry's lease from a holder that is no longer running.")
]
#: Seconds: longer than most imports take, shorter than a night.
WAIT = 3600.0


@dataclass(frozen=True)
class Leasing:
    """How a turn is taken among several machines.

    Attributes:
        options: how the registry is reached.
        wanted: take a lease at the registry.
        breaking: take the lease over from its holder.
    """

    options: RegistryOptions
    wanted: bool = True
    breaking: bool = False


@dataclass(frozen=True)
class TurnOptions:
    """How ``prune`` and ``rollback`` take their turn."""

    wait: WaitOption = WAIT
    no_lease: NoLeaseOption = False
    break_lease: BreakLeaseOption = False

    def leasing(self, options: RegistryOptions) -> Leasing:
        """How the lease at the registry is taken."""
        return Leasing(options, not self.no_lease, self.break_lease)


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
        command: this command's name, for those who wait for it.
        wait: seconds.
        told: called with a sentence that says who is waited for.
        leasing: how the lease at a registry is taken.
        signing: the signatures that the site adds.

    Raises:
        Busy: the wait was not long enough.
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
    """No command of this machine writes names to the target until the block ends. Without a state none does.

    Raises:
        Busy: the wait was not long enough.
    """
    if not State.exists(directory):
        yield
        return
    with State(directory) as memory, memory.turn([spec.exclusive_place], command, wait, told, shared=True):
        yield
