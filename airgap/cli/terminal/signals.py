"""Handle SIGINT, SIGTERM and SIGHUP (the terminal is gone): the first interrupts, the second ends everything at once."""

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
    """The signals that end the work. Under ``nohup`` SIGHUP stays ignored."""
    return tuple(one for one in programs.ENDING if one != signal.SIGHUP or signal.getsignal(one) != signal.SIG_IGN)


def interrupt() -> None:
    """From now on a signal raises ``Interrupted`` in the main thread."""
    global _came
    _came = False
    sys.unraisablehook = _unraisable
    for number in ending():
        signal.signal(number, _interrupt)


def finish(code: int) -> None:
    """The work is done: from now on a signal only skips the wait for threads and does not change the exit code."""

    def leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a signal handler
        os._exit(code)

    for number in ending():
        signal.signal(number, leave)


def came() -> bool:
    """Whether a signal has interrupted the command: any later error is a consequence of that."""
    return _came


def leave(code: int | None = None) -> None:
    """End this process and its child programs. Threads may still be reading; nothing they do matters any more."""
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
    """A second signal: leave even in the middle of cleaning up."""
    leave()


def _unraisable(ignored: UnraisableHookArgs) -> None:
    """A signal that strikes in a destructor would be printed and forgotten: leave, as after a crash, which is safe."""
    if isinstance(ignored.exc_value, Interrupted):
        leave()
    sys.__unraisablehook__(ignored)
