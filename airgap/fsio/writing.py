"""Changes to existing names: directories, renames, appending to a file."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from airgap.errors import Damaged
from airgap.fsio.flushing import sync_directory
from airgap.fsio.reading import disk_errors, release
from airgap.text import printable

#: Modes of directories whatever the umask says: nobody else sees what is in it; others may read, but not change it behind our back.
PRIVATE, UNCHANGEABLE = 0o700, 0o755


def make_directory(path: Path, mode: int = 0o777) -> None:
    """Create a directory and its parents where they are missing, so that they survive a crash.

    Args:
        path: may be there already; then it stays as it is.
        mode: of all that is created, less what the umask takes away: ``PRIVATE``, ``UNCHANGEABLE``, or what the umask says.
    """
    with disk_errors("cannot create the directory", path):
        whole = path.absolute()
        for missing in [one for one in (*reversed(whole.parents), whole) if not one.exists()]:
            missing.mkdir(mode, exist_ok=True)
            try:
                sync_directory(missing.parent)
            except OSError:
                with contextlib.suppress(OSError):
                    missing.rmdir()
                raise
        path.mkdir(mode, exist_ok=True)


def remove_if_empty(path: Path) -> None:
    """Remove a directory that nothing is in; any other stays."""
    with contextlib.suppress(OSError):
        path.rmdir()


def append_durable(path: Path, data: bytes, keep: int) -> None:
    """Put data behind the first ``keep`` bytes of a file, which stay as they are; what follows them is gone. Made where missing.

    After a crash those bytes are there, and behind them some, none or all of the data.

    Raises:
        Damaged: it is not a regular file, or shorter than that.
        MediaError: the disk refuses; the file ends after ``keep`` bytes then, if the disk lets it.
    """
    with disk_errors("cannot write", path):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or status.st_size < keep:
                raise Damaged("the file was replaced while it was in use", where=printable(str(path)), hint="try again")
            os.ftruncate(fd, keep)
            try:
                write_at(fd, data, keep)
                os.fsync(fd)
                sync_directory(path.parent)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(fd, keep)
                raise
        finally:
            release(fd)


def rename_durable(old: Path, new: Path) -> None:
    """Rename a file or directory and make the rename survive a crash; where it might not, the old name is there again.

    Raises:
        MediaError: the disk refuses.
    """
    with disk_errors("cannot rename", old):
        old.rename(new)
        try:
            sync_directory(new.parent)
        except OSError:  # a name that may be gone after a power cut must not be there now: somebody would believe it
            with contextlib.suppress(OSError):
                new.rename(old)
            raise


def write_at(fd: int, data: memoryview | bytes, offset: int) -> None:
    """Write all of ``data`` at ``offset``. Raises ``OSError``."""
    view = memoryview(data)
    while view:
        count = os.pwrite(fd, view, offset)
        view = view[count:]
        offset += count
