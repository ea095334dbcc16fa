"""Places on local disks: who works there, how much room there is, what kind of file system it is."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from airgap.errors import AirgapError, MediaError
from airgap.fsio.reading import disk_errors, release
from airgap.text import human_size, printable


@contextlib.contextmanager
def exclusive(path: Path, busy: AirgapError) -> Iterator[None]:
    """Hold an exclusive lock on a lock file (created); raises ``busy`` when another process holds it."""
    with disk_errors("cannot lock", path):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with _locked(fd, path, busy):
        yield


@contextlib.contextmanager
def exclusive_directory(path: Path, busy: AirgapError) -> Iterator[None]:
    """Hold an exclusive lock on a directory.

    Raises:
        AirgapError: ``busy``: another process holds it, or held it until now and has given the directory another name.
        MediaError: the disk refuses.
    """
    with disk_errors("cannot lock", path):
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise busy from None
    with _locked(fd, path, busy):
        if not path.exists() or not os.path.samestat(path.stat(), os.fstat(fd)):
            raise busy
        yield


@contextlib.contextmanager
def _locked(fd: int, path: Path, busy: AirgapError) -> Iterator[None]:
    """``fd`` is closed, and with it unlocked, in the end."""
    try:
        with disk_errors("cannot lock", path):
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise busy from None
        yield
    finally:
        release(fd)


def free_bytes(path: Path) -> int:
    """Bytes that can still be written below ``path``, which need not exist yet."""
    with disk_errors("cannot determine the free space", path):
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
