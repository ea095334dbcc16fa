"""Temporary names in one form, by which a later run finds leftovers of a killed one, and a lock that marks those in use.

A process that makes something under a temporary name holds an flock on it while it has that name; the kernel releases the lock
with the process, however that ends. So what has the form and is not locked belongs to nobody any more.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from airgap.fsio.reading import release
from airgap.fsio.space import filesystem_type
from airgap.text import listing, printable

_FORM = re.compile(r"\..+\.airgap-[0-9a-f]{16}\.tmp", re.DOTALL)
#: Bytes of the final name that are kept: no file system takes names of more than 255.
_KEPT = 200
_TRIES = 100
#: File systems without owners: everything in them belongs to whoever it was mounted for.
_WITHOUT_OWNERS = frozenset({"vfat", "exfat", "msdos", "ntfs", "ntfs3", "fuseblk"})


def _nobody(message: str) -> None:
    """Nobody is told."""


_tell: Callable[[str], None] = _nobody
_swept: set[str] = set()


def temporary_name(path: Path) -> Path:
    """A name for what will be ``path``, beside it, that nothing else has."""
    kept = os.fsencode(path.name)[:_KEPT].decode("utf-8", "ignore")
    return path.with_name(f".{kept}.airgap-{secrets.token_hex(8)}.tmp")


def is_temporary(name: str) -> bool:
    """Whether a name is one of those."""
    return _FORM.fullmatch(name) is not None


def begin(tell: Callable[[str], None]) -> None:
    """A command begins: directories are swept again, and ``tell`` is told in a sentence what was removed."""
    global _tell
    _tell = tell
    _swept.clear()


def own(fd: int) -> bool:
    """Lock what was just made under a temporary name; False when somebody has taken it for a leftover meanwhile."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: there nobody can lock it, and nothing is ever removed
        pass
    return os.fstat(fd).st_nlink > 0


def sweep(directory: Path) -> None:
    """Remove what killed runs left in a directory.

    Removed are files and directories with a temporary name that are ours and that nobody has locked. What cannot be looked at
    or removed stays: it harms nobody. Of a place that cannot be looked through, ``tell`` hears.
    """
    place = str(directory.absolute())
    try:
        fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            found = sorted(filter(is_temporary, os.listdir(fd)))  # noqa: PTH208 - of the directory that is open
            gone = [printable(name) for name in found if _remove(fd, name, place)]
        finally:
            release(fd)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        _tell(f"cannot look for leftovers of a killed command in {printable(place)}: {error.strerror}")
        return
    if gone:
        _tell(f"removed leftovers of a killed command from {printable(place)}: {listing(gone, 4)}")


def sweep_once(directory: Path) -> None:
    """As :func:`sweep`, of a place that is about to be written to; once in a run, for the directory has to be read for that."""
    place = str(directory.absolute())
    if place not in _swept:
        _swept.add(place)
        sweep(directory)


def _remove(directory: int, name: str, place: str) -> bool:
    """Remove one, unless it is in use or not ours. Nothing is followed: it is the very thing that was locked that goes."""
    with contextlib.suppress(OSError):
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
        try:
            status = os.fstat(fd)
            kind = stat.S_IFMT(status.st_mode)
            if kind not in (stat.S_IFREG, stat.S_IFDIR) or not _is_ours(status.st_uid, place):
                return False
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(status, os.stat(name, dir_fd=directory, follow_symlinks=False)):
                return False
            if kind == stat.S_IFREG:
                os.unlink(name, dir_fd=directory)
            else:
                shutil.rmtree(name, dir_fd=directory)
        finally:
            release(fd)
        return True
    return False


def _is_ours(owner: int, place: str) -> bool:
    return owner == os.geteuid() or (os.geteuid() == 0 and filesystem_type(Path(place)) in _WITHOUT_OWNERS)


class TemporaryDirectory:
    """A directory under a temporary name, with all that is put into it: for scratch, or until it gets its final name, whole.

    Args:
        path: the final name; or, of a scratch place, what it is for.
        mode: of the directory.

    Attributes:
        path: the temporary name.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, path: Path, mode: int = 0o700) -> None:
        sweep_once(path.parent)
        while True:
            self.path = temporary_name(path)
            self.path.mkdir(mode)
            with contextlib.suppress(FileNotFoundError):
                self._fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
                if own(self._fd):
                    return
                release(self._fd)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Remove it, unless it has got its final name; it may be gone already."""
        if self._fd >= 0:
            for _ in range(_TRIES):  # threads of a command that was interrupted may still put something in
                shutil.rmtree(self.path, ignore_errors=True)
                if not os.path.lexists(self.path):
                    break
            release(self._fd)
            self._fd = -1


def create(path: Path, mode: int) -> tuple[int, Path]:
    """A new file under a temporary name, locked: its descriptor and that name. Raises ``OSError``."""
    while True:
        temporary = temporary_name(path)
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        if own(fd):
            return fd, temporary
        release(fd)


def nameless(directory: Path, mode: int) -> int | None:
    """A new file without a name in a directory, gone with its descriptor unless it gets one; None where that cannot be.

    Raises:
        OSError: the disk refuses.
    """
    if not Path("/proc/self/fd").is_dir():  # through which it would get its name
        return None
    try:
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, mode)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):  # EISDIR: a kernel that does not know the flag
            return None
        raise
