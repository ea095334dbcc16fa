"""Flushing to the disk itself, not only to the page cache (docs/adr/0024).

When write-back fails, Linux marks the pages clean and keeps them: whoever reads gets bytes that the disk does not have, and the
next fsync succeeds (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020). So an fsync that failed is
never repeated and believed: what was written is discarded and written again. And what an earlier run left is believed only as the
disk gives it.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from airgap.fsio.reading import disk_errors, release

#: "This file system cannot do that", of directories on FUSE and CIFS and of files on discs. All else is a failure.
_CANNOT = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})


def from_disk(fd: int) -> None:
    """Make what is read from now on come from the disk: flush what waits for it, then forget what the cache has.

    In this order, because the cache keeps what is not written yet.

    Raises:
        OSError: the disk did not take something that was written before; when that was and by whom is not known. What is there
            has to be looked at once more.
    """
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
    finally:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def settle(path: Path) -> None:
    """As :func:`from_disk`, of a file by its name, where there is one. Raises ``OSError``."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        from_disk(fd)
    finally:
        release(fd)


def flush_names(directory: Path) -> None:
    """:func:`sync_directory` of names that somebody else may have made: a run that died, or could not do it.

    Raises:
        MediaError: the disk refuses.
    """
    with disk_errors("cannot flush", directory):
        sync_directory(directory)


def sync_directory(path: Path) -> None:
    """Flush a directory's entries to the disk. Raises ``OSError``, but where the file system cannot flush directories."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in {*_CANNOT, errno.EBADF}:
            raise
    finally:
        release(fd)
