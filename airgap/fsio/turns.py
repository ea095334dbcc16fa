"""Locks with a wait and a known holder. The kernel releases them when their process ends, however it ends.

The file stays when it is unlocked: were it removed, somebody who has it open and somebody who makes a new one would both have "it".
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from airgap.fsio.reading import disk_errors, release

_MOST_NOTE = 4096
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 0.5


@contextlib.contextmanager
def waiting(
    path: Path, note: bytes, patience: float, told: Callable[[bytes], None], given_up: Callable[[bytes], Exception], *, shared: bool
) -> Iterator[None]:
    """Hold a lock on a file, made where it is missing.

    Args:
        path: the file.
        note: what others who wait are told; a shared lock leaves none.
        patience: seconds to wait for others at most.
        told: hears once of every other note, before it is waited for.
        given_up: makes the error for when patience is over, from the last note.
        shared: together with others who share it, instead of alone.

    Raises:
        MediaError: the disk refuses.
    """
    with disk_errors("cannot lock", path):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        _wait(fd, path, patience, told, given_up, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        with disk_errors("cannot write", path):
            os.ftruncate(fd, 0)  # what a killed process left
            os.pwrite(fd, b"" if shared else note[:_MOST_NOTE], 0)
        yield
    finally:
        release(fd)


def _wait(
    fd: int, path: Path, patience: float, told: Callable[[bytes], None], given_up: Callable[[bytes], Exception], kind: int
) -> None:
    end = time.monotonic() + patience
    pause, before = _FIRST_PAUSE, None
    while not _lock(fd, path, kind):
        note = os.pread(fd, _MOST_NOTE, 0)
        left = end - time.monotonic()
        if left <= 0:
            raise given_up(note)
        if note != before:
            before = note
            told(note)
        time.sleep(min(pause, left))
        pause = min(2 * pause, _LONGEST_PAUSE)


def _lock(fd: int, path: Path, kind: int) -> bool:
    with disk_errors("cannot lock", path):
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
