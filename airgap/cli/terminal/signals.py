"""What SIGINT, SIGTERM and SIGHUP (the terminal is gone) do: the first one interrupts, the second one ends everything at once."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING

from airgap import programs
from airgap.errors import Interrupted, exit_code

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_code = exit_code(Interrupted())
_came = False


def ending() -> tuple[signal.Signals, ...]:
    """The signals that end the work. Under ``nohup`` SIGHUP is ignored, and stays so."""
    return tuple(one for one in programs.ENDING if one != signal.SIGHUP or signal.getsignal(one) != signal.SIG_IGN)


def interrupt() -> None:
    """From now on a signal raises ``Interrupted`` in the main thread."""
    global _came
    _came = False
    sys.unraisablehook = _unraisable
    for number in ending():
        signal.signal(number, _interrupt)


def finish(code: int) -> None:
    """The work is done: from now on a signal only spares the wait for threads, and the exit code is what it would have been."""

    def leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a signal handler
        os._exit(code)

    for number in ending():
        signal.signal(number, leave)


def came() -> bool:
    """Whether a signal has interrupted: whatever else went wrong since is what leaving looked like."""
    return _came


def leave(code: int | None = None) -> None:
    """End this process and the programs that work for it. Threads may still be in a read; nothing they do matters any more."""
    programs.end_all()
    os._exit(_code if code is None else code)


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a signal handler
    global _came
    _came = True
    for again in ending():
        signal.signal(again, _insist)
    if not programs.defer():
        raise Interrupted


def _insist(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a signal handler
    """Somebody insists: leave in the middle of whatever is being cleaned up."""
    leave()


def _unraisable(ignored: UnraisableHookArgs) -> None:
    """A signal that struck in a destructor would be printed and forgotten: leave, as after a crash, which harms nothing."""
    if isinstance(ignored.exc_value, Interrupted):
        leave()
    sys.__unraisablehook__(ignored)
