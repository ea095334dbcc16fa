"""Find the folders below a drop directory that hold files of bundles, and which of the files no longer change.

Anybody may write there, so this module opens nothing and follows no link: it reads names and sizes only, up to fixed limits. It
polls instead of using inotify, because network and FUSE file systems do not notify and media are mounted later.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from airgap.errors import MediaError, UsageError, disk_error
from airgap.format import names
from airgap.limits import MAX_FOLDER
from airgap.text import printable

#: How deep bundles may lie below the drop directory: a mount point, a directory on it, a bundle.
MAX_DEPTH = 4
#: So many entries, and so many folders, are looked at in all.
MAX_TOTAL = 200_000
MAX_FOLDERS = 2_000

#: What a directory says that is not there (any more), or somebody else's.
_NOT_THE_DISK = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM)

#: What changes when a file changes: size in bytes, modification and change time in ns, inode.
Stamp = tuple[int, int, int, int]


@dataclass(frozen=True)
class Folder:
    """A directory that holds files of a bundle.

    Attributes:
        path: the directory.
        files: every regular file with the name of a bundle's file, with its stamp.
        settled: those that have not changed for a while.
    """

    path: Path
    files: Mapping[str, Stamp]
    settled: frozenset[str]

    @property
    def moving(self) -> list[str]:
        """The files that are still being written, other than volumes and parity files."""
        large = (name for name in self.files if names.is_volume(name) or names.is_parity(name))
        return sorted(self.files.keys() - self.settled - set(large))

    def is_there(self) -> bool:
        """Whether all of its files still exist: not after its medium was removed. A disk with read errors was not removed."""
        try:
            for name in self.files:
                (self.path / name).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True
        return True

    def stamps(self) -> list[tuple[str, Stamp]]:
        """Everything that a decision about the bundle depends on."""
        return [(os.fsencode(self.path / name).hex(), self.files[name]) for name in sorted(self.files)]


class Arrivals:
    """Scans a drop directory repeatedly.

    Args:
        root: the drop directory.
        settle: seconds without change after which a file counts as complete.
        clock: a monotonic clock, in seconds.

    Attributes:
        remarks: what the latest scan skipped, in sentences.
        failures: media that the latest scan could not read.
    """

    def __init__(self, root: Path, settle: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._root = root
        self._settle = settle
        self._clock = clock
        self._since: dict[Path, tuple[Stamp, float]] = {}
        self._left = 0
        self.remarks: list[str] = []
        self.failures: list[MediaError] = []

    def look(self) -> list[Folder]:
        """The folders that hold files of bundles, sorted by path.

        Raises:
            UsageError: the drop directory does not exist or cannot be read.
            MediaError: its disk fails.
        """
        self.remarks, self.failures, self._left = [], [], MAX_TOTAL
        try:
            os.scandir(self._root).close()
        except OSError as error:
            if error.errno not in _NOT_THE_DISK:
                raise disk_error(error, "cannot read the drop directory", printable(str(self._root))) from error
            reason = error.strerror or type(error).__name__
            raise UsageError(f"cannot read the drop directory: {reason}", where=printable(str(self._root))) from error
        now, seen = self._clock(), self._since
        self._since = {}
        folders: list[Folder] = []
        for path, files in self._walk(self._root, MAX_DEPTH):
            if len(folders) == MAX_FOLDERS:
                self.remarks.append(f"more than {MAX_FOLDERS} folders with files of bundles: the rest is ignored")
                break
            folders.append(self._folder(path, files, seen, now))
        return sorted(folders, key=lambda folder: folder.path)

    def latest_change(self, folder: Folder) -> float:
        """When the most recent change of a folder was first seen, by the clock."""
        return max(self._since[folder.path / name][1] for name in folder.files)

    def _folder(self, path: Path, files: Mapping[str, Stamp], seen: Mapping[Path, tuple[Stamp, float]], now: float) -> Folder:
        settled = set()
        for name, stamp in files.items():
            before, since = seen.get(path / name, (stamp, now))
            since = since if before == stamp else now
            self._since[path / name] = (stamp, since)
            if now - since >= self._settle:
                settled.add(name)
        return Folder(path, files, frozenset(settled))

    def _walk(self, path: Path, depth: int) -> Iterator[tuple[Path, dict[str, Stamp]]]:
        try:
            files, below = self._read(path)
        except OSError as error:  # a medium that was pulled or fails, a directory of somebody else
            self.remarks.append(f"cannot read {printable(str(path))}: {error.strerror or type(error).__name__}")
            if error.errno not in _NOT_THE_DISK:
                self.failures.append(disk_error(error, "cannot read a medium", printable(str(path))))
            return
        if files:
            yield path, files
        for name in below if depth else ():
            yield from self._walk(path / name, depth - 1)

    def _read(self, path: Path) -> tuple[dict[str, Stamp], list[str]]:
        files: dict[str, Stamp] = {}
        below: list[str] = []
        with os.scandir(path) as entries:
            for count, entry in enumerate(entries, 1):
                self._left -= 1
                if count > MAX_FOLDER or self._left < 0:
                    self.remarks.append(f"too many files in {printable(str(path))}: the folder is ignored")
                    return {}, []
                if _is_ours(entry.name):
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(status.st_mode):
                        files[entry.name] = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
                    else:
                        self.remarks.append(f"not a regular file: {printable(str(path / entry.name))}")
                elif _may_hold(entry.name) and entry.is_dir(follow_symlinks=False):
                    below.append(entry.name)
        return files, sorted(below)


def _is_ours(name: str) -> bool:
    small = name in (names.CATALOG, names.SUMS, names.CHECK, names.SUPPLEMENT) or names.is_signature(name)
    return small or names.is_volume(name) or names.is_parity(name) or names.is_resend(name)


def _may_hold(name: str) -> bool:
    """Whether to look into a directory: not into the trash of desktops, nor into exports that were not finished."""
    return not name.startswith(".") and not name.endswith(names.PARTIAL)
