"""Durable writes: after a crash the old or the whole new content is there."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from airgap.errors import Damaged
from airgap.fsio.reading import disk_errors
from airgap.text import printable

#: Modes of directories whatever the umask says: nobody else sees what is in it; others may read, but not change it behind our back.
PRIVATE, UNCHANGEABLE = 0o700, 0o755


def make_directory(path: Path, mode: int = 0o777) -> None:
    """Create a directory and its parents where they are missing.

    Args:
        path: may be there already; then it stays as it is.
        mode: of all that is created, less what the umask takes away: ``PRIVATE``, ``UNCHANGEABLE``, or what the umask says.
    """
    with disk_errors("cannot create the directory", path):
        for ancestor in [one for one in reversed(path.absolute().parents) if not one.exists()]:
            ancestor.mkdir(mode, exist_ok=True)
        path.mkdir(mode, exist_ok=True)


def write_durable(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file so that after a crash either the old or the whole new content is there."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with disk_errors("cannot write", path):
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
            with os.fdopen(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)


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
                raise Damaged("not the file that was read", where=printable(str(path)), hint="try again")
            os.ftruncate(fd, keep)
            try:
                write_at(fd, data, keep)
                os.fsync(fd)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(fd, keep)
                raise
        finally:
            os.close(fd)
        sync_directory(path.parent)


@contextlib.contextmanager
def new_file(path: Path, temporary: Path) -> Iterator[int]:
    """Give the descriptor of a new file; when the block ends well it is flushed and takes the name ``path``, else it is gone.

    Args:
        path: the final name; a file of that name is replaced.
        temporary: the name until then, on the same file system.

    The rename itself survives a crash once the caller has called :func:`sync_directory`.
    """
    with disk_errors("cannot create", path):
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        try:
            yield fd
            with disk_errors("cannot write", path):
                os.fsync(fd)
        finally:
            os.close(fd)
        with disk_errors("cannot rename", temporary):
            temporary.rename(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def rename_durable(old: Path, new: Path) -> None:
    """Rename a file or directory and make the rename survive a crash."""
    with disk_errors("cannot rename", old):
        old.rename(new)
        sync_directory(new.parent)


def sync_directory(path: Path) -> None:
    """Flush a directory's entries to the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # some file systems (FUSE, CIFS) cannot sync a directory
            os.fsync(fd)
    finally:
        os.close(fd)


def write_at(fd: int, data: memoryview | bytes, offset: int) -> None:
    """Write all of ``data`` at ``offset``. Raises ``OSError``."""
    view = memoryview(data)
    while view:
        count = os.pwrite(fd, view, offset)
        view = view[count:]
        offset += count
