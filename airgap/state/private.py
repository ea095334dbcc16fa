"""Keep a state directory private: whoever can write to it can make a site forget which bundles it must not import again."""

from __future__ import annotations

import contextlib
import os
import pwd
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from airgap.errors import Refused, disk_error
from airgap.fsio import PRIVATE, release
from airgap.text import printable

_WRITABLE = stat.S_IWGRP | stat.S_IWOTH
_ROOT = 0
_Entry = tuple[Path, os.stat_result]


def protect(directory: Path, known: frozenset[str]) -> str:
    """Remove write permission for others from a state directory, if it exists.

    Args:
        directory: the directory, or a link to it.
        known: names of which every state has at least one, old states included.

    Returns:
        What was done, for people; empty if nothing was.

    Raises:
        Refused: others could write, and their changes cannot be told from ours: it belongs to another user, it is shared, or it has
            files of theirs.
        MediaError: the disk fails.
    """
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        raise disk_error(error, "cannot use the state", printable(str(directory))) from error
    try:
        return _protect(fd, directory, known)
    except OSError as error:
        raise disk_error(error, "cannot protect the state", printable(str(directory))) from error
    finally:
        release(fd)


def _protect(fd: int, directory: Path, known: frozenset[str]) -> str:
    status = os.fstat(fd)
    writable = bool(status.st_mode & _WRITABLE)
    if status.st_uid not in (os.geteuid(), _ROOT):
        owner = _name(status.st_uid)
        raise _refusal(directory, f"a directory of {owner}", f"run as {owner}, or name another --state")
    if not status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return ""
    below = list(_below(directory))
    if writable:
        _refuse_shared(directory, status, below, known)
    _refuse_strange(directory, below)
    if writable:
        os.fchmod(fd, PRIVATE)
        if os.fstat(fd).st_mode & _WRITABLE:  # some file systems know no modes, and say nothing
            raise _refusal(directory, "a file system without permissions", "name a directory on another file system with --state")
    mended = [(path, entry) for path, entry in below if entry.st_mode & _WRITABLE and not stat.S_ISLNK(entry.st_mode)]
    for path, entry in mended:
        with contextlib.suppress(FileNotFoundError):
            path.chmod(stat.S_IMODE(entry.st_mode) & ~_WRITABLE)
    if not writable and not mended:
        return ""
    where = printable(str(directory))
    return f"others could write to the state directory {where}; that is corrected, but check what they may have done"


def _refuse_shared(directory: Path, status: os.stat_result, below: Sequence[_Entry], known: frozenset[str]) -> None:
    """What is not only a state, or not ours to mend, stays as it is."""
    got = ""
    if status.st_uid != os.geteuid() or status.st_mode & stat.S_ISVTX:
        got = "a shared directory"
    elif below and not any(os.path.lexists(directory / name) for name in known):
        got = "other files in it"
    if got:
        raise _refusal(directory, f"mode {stat.S_IMODE(status.st_mode):04o}, {got}", "name a separate directory with --state")


def _refuse_strange(directory: Path, below: Sequence[_Entry]) -> None:
    for path, entry in below:
        if entry.st_uid not in (os.geteuid(), _ROOT):
            name = printable(path.name)
            hint = f"find out who put {name} there; remove it, or start again with another --state"
            raise _refusal(directory, f"{name} in it belongs to {_name(entry.st_uid)}", hint)


def _below(directory: Path) -> Iterator[_Entry]:
    def unread(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):  # what cannot be looked at is not known to be ours
            raise error

    for root, folders, files in os.walk(directory, onerror=unread):
        for name in (*folders, *files):
            path = Path(root, name)
            with contextlib.suppress(FileNotFoundError):  # another command has just removed it
                yield path, path.lstat()


def _refusal(directory: Path, got: str, hint: str) -> Refused:
    return Refused(
        "the state directory is not private: whoever can write there can make this machine forget what it has seen",
        where=printable(str(directory)),
        expected=f"a directory of {_name(os.geteuid())} that nobody else can write to (mode 0700)",
        got=got,
        hint=hint,
    )


def _name(number: int) -> str:
    try:
        return printable(pwd.getpwuid(number).pw_name, 40)
    except KeyError:
        return f"user {number}"
