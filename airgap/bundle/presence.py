"""Media that are removed while they are read: the failures that follow are not damage.

A file that was there and is not any more may have been lost, or its stick was pulled, or somebody unmounted it. The file system
answers both alike, and whoever reads cannot tell. So the directories of a bundle are remembered as they are found, and a command
that failed asks whether they are still the same ones: not damaged (4) but a medium (6), and to be put back in.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

from airgap.errors import Damaged, MediaError, UsageError
from airgap.text import listing

#: What tells a directory from another one that takes its name: device and inode; None of one that is not there.
_Identity = tuple[int, int] | None

_attended: ContextVar[dict[Path, _Identity] | None] = ContextVar("attended", default=None)


@contextlib.contextmanager
def attending() -> Iterator[None]:
    """Remember, while the block runs, the directories that bundles are found in, and forget them after it.

    Raises:
        MediaError: the block failed, and one of them is gone.
    """
    token = _attended.set({})
    try:
        yield
    except (Damaged, MediaError, UsageError, OSError) as error:
        if (gone := taken_away()) is not None and not isinstance(error, BrokenPipeError):
            raise gone from error
        raise
    finally:
        _attended.reset(token)


def attend(directory: Path) -> None:
    """Remember a directory as it is now. Does nothing where nobody is attending."""
    known = _attended.get()
    if known is not None:
        known.setdefault(directory, _identity(directory, None))


def taken_away() -> MediaError | None:
    """The error when a directory is gone or is another one; None when all are there."""
    gone = [directory for directory, before in (_attended.get() or {}).items() if before != _identity(directory, before)]
    if not gone:
        return None
    return MediaError(
        "a medium was removed while it was being read",
        where=listing([str(directory) for directory in gone]),
        expected="the medium that was there when the command started",
        hint="insert or mount it again and run the same command again, with the new path if it has changed",
    )


def _identity(directory: Path, before: _Identity) -> _Identity:
    """The identity of a directory. A disk that returns an error has not been removed."""
    try:
        status = directory.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return before
    return status.st_dev, status.st_ino
