"""Safe opens and capped reads.

Media is hostile: files are opened with ``O_NOFOLLOW`` and must be regular files, so a link, FIFO or device in place of a
volume is an error at once instead of a hang or an escape (docs/threats.md, rows 18 to 20).
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from airgap.errors import Damaged, UsageError, disk_error
from airgap.text import printable

CHUNK = 1 << 20

#: What is said of a name that is wrong, or not for us; all else is a disk that fails.
_NAMING = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL}
)
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def open_regular(path: Path | str) -> int:
    """Open an existing regular file for reading without following a link in its last component; the descriptor.

    Takes a text as well: a server opens many, and a ``Path`` costs more than the opening.

    Raises:
        Damaged: it is missing, a link, or not a regular file.
        MediaError: the disk refuses.
    """
    try:
        fd = os.open(path, _READ_FLAGS)
    except FileNotFoundError as error:
        raise Damaged("a file is missing", where=printable(str(path))) from error
    except OSError as error:
        where = printable(str(path))
        if _is_link(path):
            raise Damaged("not a regular file", where=where, got="a symbolic link") from error
        raise disk_error(error, "cannot open", where) from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        release(fd)
        raise Damaged("not a regular file", where=printable(str(path)), got="a directory, FIFO, socket or device")
    return fd


@contextlib.contextmanager
def opened(path: Path) -> Iterator[int]:
    """The descriptor of a regular file, to read from while the block runs. Raises as :func:`open_regular`."""
    fd = open_regular(path)
    try:
        yield fd
    finally:
        release(fd)


def _is_link(path: Path | str) -> bool:
    try:
        return Path(path).is_symlink()
    except OSError:  # the disk that would not open it does not tell, either
        return False


def read_capped(path: Path, limit: int) -> bytes:
    """Read a small regular file wholly.

    Raises:
        Damaged: missing, not regular, or larger than ``limit`` bytes.
        MediaError: the disk refuses.
    """
    with opened(path) as fd, disk_errors("cannot read", path):
        if os.fstat(fd).st_size <= limit and len(data := _up_to(fd, limit + 1)) <= limit:
            return data
    raise Damaged("a file is too large", where=printable(str(path)), expected=f"at most {limit} bytes")


def release(fd: int) -> None:
    """Close a descriptor. What was written through it counts since its fsync, so it does not matter what ``close`` says."""
    with contextlib.suppress(OSError):
        os.close(fd)


def _up_to(fd: int, count: int) -> bytes:
    """The next bytes of a file. A whole regular file is read in one piece, so that nothing is joined and there twice."""
    parts = [os.read(fd, min(count, os.fstat(fd).st_size + 1))]
    while parts[-1] and (left := count - sum(map(len, parts))):
        parts.append(os.read(fd, min(left, CHUNK)))
    return b"".join(parts) if any(parts[1:]) else parts[0]


def read_if_there(path: Path, limit: int) -> bytes | None:
    """Read a small regular file wholly, or None when nothing of that name exists.

    Raises:
        As :func:`read_capped`, but for a missing file.
    """
    try:
        return read_capped(path, limit)
    except Damaged as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise


def is_there(path: Path) -> bool:
    """Whether anything has that name, even a dangling link.

    Other than ``os.path.lexists``, which says no when the disk does not answer: who believes that writes over what is there.

    Raises:
        MediaError: the disk refuses.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise disk_error(error, "cannot access a file", printable(str(path))) from error
    return True


def read_input(path: Path, limit: int, what: str) -> bytes:
    """Read a file that the user named (links are fine here).

    Raises:
        UsageError: it cannot be read or is larger than ``limit`` bytes.
        MediaError: the disk does not give it.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = _up_to(fd, limit + 1)
        finally:
            release(fd)
    except OSError as error:
        if error.errno in _NAMING:
            raise UsageError(f"cannot read the {what}: {error.strerror}", where=printable(str(path))) from error
        raise disk_error(error, f"cannot read the {what}", printable(str(path))) from error
    if len(data) > limit:
        raise UsageError(f"the {what} is too large", where=printable(str(path)), expected=f"at most {limit} bytes")
    return data


def read_at(fd: int, buffer: memoryview, offset: int) -> int:
    """Fill ``buffer`` from ``offset``; less than its length only at the end of the file. Raises ``OSError``."""
    done = 0
    while done < len(buffer) and (count := os.preadv(fd, [buffer[done:]], offset + done)):
        done += count
    return done


@contextlib.contextmanager
def disk_errors(what: str, path: Path) -> Iterator[None]:
    """Turn every ``OSError`` of the block into a ``MediaError`` about ``path``."""
    try:
        yield
    except OSError as error:
        raise disk_error(error, what, printable(str(path))) from error
