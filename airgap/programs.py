"""Other programs that work for us: started, waited for, and ended together with whatever they started.

A program gets a session of its own, so that a Ctrl-C at the terminal reaches us alone and we decide what it means. One that has to
speak with the person (gpg asks for a passphrase) stays at the terminal and may die of the same Ctrl-C: an interruption, never
an answer.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from airgap.errors import Interrupted

#: The signals by which a user ends a program.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: Seconds that a program has to end by itself before it is killed.
_GRACE = 5.0
_running: set[subprocess.Popen[bytes]] = set()
_starting = False
_deferred = False


def run(
    command: Sequence[str],
    data: bytes = b"",
    *,
    output: bool = True,
    complaints: bool = True,
    environment: Mapping[str, str] | None = None,
    seconds: float | None = None,
    at_terminal: bool = False,
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end, as ``subprocess.run`` does.

    Args:
        command: the program and its arguments.
        data: its standard input.
        output: whether what it writes to standard output is wanted.
        complaints: whether what it writes to standard error is.
        environment: all of its environment; None: ours.
        seconds: the longest that it may take.
        at_terminal: it may have to speak with the person.

    Raises:
        Interrupted: the user ended it, or us; nothing of what it said counts.
        OSError: it cannot be started.
        subprocess.TimeoutExpired: its time was up; it is ended.
    """
    with _start(
        command,
        stdout=subprocess.PIPE if output else subprocess.DEVNULL,
        stderr=subprocess.PIPE if complaints else subprocess.DEVNULL,
        env=None if environment is None else dict(environment),
        start_new_session=not at_terminal,
    ) as process:
        try:
            if not at_terminal:
                _running.add(process)
            _started()
            said, complained = process.communicate(data, seconds)
        except BaseException:
            _end(process, group=not at_terminal)
            raise
        finally:
            _running.discard(process)
    require_uninterrupted(process.returncode)
    return subprocess.CompletedProcess(command, process.returncode, said, complained)


def require_uninterrupted(status: int | None) -> None:
    """Raise ``Interrupted`` when a program's exit status (negative: by that signal) says that the user ended it."""
    if status is not None and -status in ENDING:
        raise Interrupted


def defer() -> bool:
    """Asked by the signal handler, in the main thread: whether that thread is just starting a program.

    Nobody would end a program whose start is interrupted, so it gets its ``Interrupted`` a moment later.
    """
    global _deferred
    _deferred = _starting
    return _deferred


def end_all() -> None:
    """Kill what still runs, at once: this process is about to leave without waiting for its threads. Called by signal handlers."""
    for process in tuple(_running):
        _signal(process, signal.SIGKILL, group=True)


def _start(command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    global _starting
    if threading.current_thread() is threading.main_thread():
        _starting = True
    try:
        return subprocess.Popen(command, stdin=subprocess.PIPE, **options)
    except OSError:
        _started()
        raise


def _started() -> None:
    """From here on an interruption finds the program; raise the one that came too early."""
    global _starting, _deferred
    if threading.current_thread() is threading.main_thread():
        _starting = False
        if _deferred:
            _deferred = False
            raise Interrupted


def _end(process: subprocess.Popen[bytes], *, group: bool) -> None:
    """Ask it to end, with all that it started, and insist after a while."""
    _signal(process, signal.SIGTERM, group=group)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE)
    _signal(process, signal.SIGKILL, group=group)


def _signal(process: subprocess.Popen[bytes], number: signal.Signals, *, group: bool) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if group:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
