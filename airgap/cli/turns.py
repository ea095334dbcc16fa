"""Take turns at a target: what writes names there waits until nobody else does, and says for whom."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from airgap.importer.mapping import TargetSpec, place_of
from airgap.importer.signing import SiteSigning
from airgap.state import State, Turn

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
#: Seconds: longer than most imports take, shorter than a night.
WAIT = 3600.0


def writing(
    memory: State, spec: TargetSpec, command: str, wait: float, told: Callable[[str], None], signing: SiteSigning | None = None
) -> contextlib.AbstractContextManager[Turn]:
    """The turn to write names to a target, and signatures to the site's lookaside tree.

    Args:
        memory: the state that the commands share.
        spec: the target.
        command: what others are told that they wait for.
        wait: seconds.
        told: hears whom it waits for.
        signing: what the site adds.

    Raises:
        Busy: that was not enough.
    """
    tree = signing.lookaside if signing is not None and signing.kept else None
    return memory.turn([spec.exclusive_place, *([place_of(tree)] if tree is not None else [])], command, wait, told)


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
