"""The only module that writes to local disks: safe opens, capped reads, durable writes, positioned reads and writes.

Media is hostile: files are opened with ``O_NOFOLLOW`` and must be regular files, so a link, FIFO or device in place of a
volume is an error at once instead of a hang or an escape (reference: threats 18 to 20).
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from airgap.errors import AirgapError, Damaged, MediaError, UsageError, disk_error
from airgap.text import human_size, printable

CHUNK = 1 << 20
#: Modes of directories whatever the umask says: nobody else sees what is in it; others may read, but not change it behind our back.
PRIVATE, UNCHANGEABLE = 0o700, 0o755

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
        if Path(path).is_symlink():
            raise Damaged("not a regular file", where=where, got="a symbolic link") from error
        raise disk_error(error, "cannot open", where) from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise Damaged("not a regular file", where=printable(str(path)), got="a directory, FIFO, socket or device")
    return fd


def read_capped(path: Path, limit: int) -> bytes:
    """Read a small regular file wholly.

    Raises:
        Damaged: missing, not regular, or larger than ``limit`` bytes.
        MediaError: the disk refuses.
    """
    fd = open_regular(path)
    with disk_errors("cannot read", path), os.fdopen(fd, "rb", buffering=0) as file:
        if os.fstat(fd).st_size <= limit and len(data := _up_to(file, limit + 1)) <= limit:
            return data
    raise Damaged("a file is too large", where=printable(str(path)), expected=f"{limit} bytes at most")


def _up_to(file: io.FileIO, count: int) -> bytes:
    """The next bytes of a file. A whole regular file is read in one piece, so that nothing is joined and there twice."""
    parts = [file.read(min(count, os.fstat(file.fileno()).st_size + 1))]
    while parts[-1] and (left := count - sum(map(len, parts))):
        parts.append(file.read(min(left, CHUNK)))
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


def read_input(path: Path, limit: int, what: str) -> bytes:
    """Read a file that the user named (links are fine here).

    Raises:
        UsageError: it cannot be read or is larger than ``limit`` bytes.
    """
    try:
        with path.open("rb", buffering=0) as file:
            data = _up_to(file, limit + 1)
    except OSError as error:
        raise UsageError(f"cannot read the {what}: {error.strerror}", where=printable(str(path))) from error
    if len(data) > limit:
        raise UsageError(f"the {what} is too large", where=printable(str(path)), expected=f"{limit} bytes at most")
    return data


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


def read_at(fd: int, buffer: memoryview, offset: int) -> int:
    """Fill ``buffer`` from ``offset``; less than its length only at the end of the file. Raises ``OSError``."""
    done = 0
    while done < len(buffer) and (count := os.preadv(fd, [buffer[done:]], offset + done)):
        done += count
    return done


class FileReader:
    """A ``Reader`` over one stretch of an open file; it owns the descriptor."""

    def __init__(self, fd: int, offset: int, length: int, where: str) -> None:
        self._fd = fd
        self._position = offset
        self._end = offset + length
        self._where = where

    def readinto(self, buffer: memoryview, /) -> int:
        """As ``Reader.readinto``."""
        wanted = min(len(buffer), self._end - self._position)
        if not wanted:
            return 0
        try:
            count = read_at(self._fd, buffer[:wanted], self._position)
        except OSError as error:
            raise disk_error(error, "cannot read", printable(self._where)) from error
        self._position += count
        return count

    def fileno_range(self) -> tuple[int, int, int]:
        """The descriptor and the stretch still unread, as (descriptor, from, to), for ``os.sendfile``."""
        return self._fd, self._position, self._end

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Tree(Protocol):
    """Files by relative name, wherever they lie: in a directory, or in an archive that is never unpacked."""

    def check(self, directories: Sequence[str]) -> None:
        """Refuse what is not a tree, and links in place of these directories. Raises ``Damaged``."""

    def stamp(self, name: str) -> tuple[int, int, int] | None:
        """What changes when the file changes; None when it is not there."""

    def size(self, name: str) -> int | None:
        """The size of a regular file in bytes, or None when there is none of that name."""

    def read(self, name: str, limit: int) -> bytes:
        """A small file wholly. Raises ``Damaged`` when it is missing or larger than ``limit`` bytes."""

    def open(self, name: str, size: int | None, offset: int) -> FileReader:
        """Stream a file from ``offset``. Raises ``Damaged`` when it is missing or not of this size (None: any)."""


class DirectoryTree:
    """A directory as a ``Tree``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def check(self, directories: Sequence[str]) -> None:
        """As ``Tree.check``: ``O_NOFOLLOW`` would not notice a link in the middle of a path."""
        if not self.path.is_dir():
            got = "not a directory" if self.path.exists() else "no such directory"
            raise Damaged("there is no directory to read from", where=printable(str(self.path)), got=got)
        for name in directories:
            if (self.path / name).is_symlink():
                raise Damaged("not a directory", where=printable(str(self.path / name)), got="a symbolic link")

    def stamp(self, name: str) -> tuple[int, int, int] | None:
        """As ``Tree.stamp``."""
        try:
            status = (self.path / name).lstat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def size(self, name: str) -> int | None:
        """As ``Tree.size``."""
        path = f"{self.path}/{name}"
        try:
            status = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise disk_error(error, "cannot look at a file", printable(path)) from error
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def read(self, name: str, limit: int) -> bytes:
        """As ``Tree.read``."""
        return read_capped(self.path / name, limit)

    def open(self, name: str, size: int | None, offset: int) -> FileReader:
        """As ``Tree.open``."""
        path = f"{self.path}/{name}"
        fd = open_regular(path)
        length = os.fstat(fd).st_size
        if offset > length or (size is not None and size != length):
            os.close(fd)
            expected = f"{size or offset} bytes"
            raise Damaged("a blob has the wrong size", where=printable(path), expected=expected, got=f"{length} bytes")
        return FileReader(fd, offset, length - offset, path)


@contextlib.contextmanager
def exclusive(path: Path, busy: AirgapError) -> Iterator[None]:
    """Hold an exclusive lock on a directory or a lock file (created); raises ``busy`` when another process holds it."""
    flags = os.O_RDONLY | os.O_DIRECTORY if path.is_dir() else os.O_RDWR | os.O_CREAT
    with disk_errors("cannot lock", path):
        fd = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise busy from None
        yield
    finally:
        os.close(fd)


@contextlib.contextmanager
def disk_errors(what: str, path: Path) -> Iterator[None]:
    """Turn every ``OSError`` of the block into a ``MediaError`` about ``path``."""
    try:
        yield
    except OSError as error:
        raise disk_error(error, what, printable(str(path))) from error


def free_bytes(path: Path) -> int:
    """Bytes that can still be written below ``path``, which need not exist yet."""
    with disk_errors("cannot ask for the free space", path):
        status = os.statvfs(existing_parent(path))
    return status.f_bavail * status.f_frsize


def require_free(path: Path, needed: int, what: str, hint: str, reused: int = 0) -> None:
    """Stop before anything is written that has no room.

    Args:
        path: where it is written.
        needed: bytes it takes.
        what: the error when they are not there.
        hint: what to do then, but for "nothing has been written".
        reused: bytes of it that are there already.

    Raises:
        MediaError: too little space.
    """
    available = free_bytes(path) + reused
    if needed > available:
        raise MediaError(
            what,
            where=printable(str(path)),
            expected=f"{human_size(needed)} ({needed} bytes) free",
            got=f"{human_size(available)} ({available} bytes)",
            hint=f"{hint}; nothing has been written",
        )


def existing_parent(path: Path) -> Path:
    """The path itself or its nearest ancestor that exists."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def filesystem_type(path: Path) -> str:
    """The kernel's name of the file system ``path`` is on (``vfat``, ``exfat``, ``ext4``), or ``""`` when unknown."""
    target = str(existing_parent(path).resolve())
    best, kind = "", ""
    with contextlib.suppress(OSError), Path("/proc/self/mounts").open(encoding="utf-8", errors="replace") as mounts:
        for line in mounts:
            point, name = line.split(" ")[1:3]
            point = point.replace("\\040", " ").rstrip("/")
            if (target == point or target.startswith(point + "/")) and len(point) >= len(best):
                best, kind = point, name
    return kind
