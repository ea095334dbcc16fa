"""What lies below a drop directory: the folders with files of bundles in them, and which of the files do not change any more.

Anybody may write there, so nothing is opened here and nothing is followed: names and sizes only, no link, no FIFO, and an end
to how much is looked at. Polling and not inotify: network and FUSE file systems do not notify, and media are mounted later.
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
    """A directory with files of a bundle in it.

    Attributes:
        path: the directory.
        files: every regular file that is called like a bundle's, with its stamp.
        settled: those of them that have not changed for a while.
    """

    path: Path
    files: Mapping[str, Stamp]
    settled: frozenset[str]

    @property
    def moving(self) -> list[str]:
        """The files that are still being written, but for volumes."""
        return sorted(name for name in self.files if name not in self.settled and not names.is_volume(name))

    def is_there(self) -> bool:
        """Whether all of its files still are: not when its medium was pulled. A disk that only gives errors has not been."""
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
    """Looks through a drop directory again and again.

    Args:
        root: the drop directory.
        settle: seconds for which a file must not have changed to be taken for whole.
        clock: seconds that only go forward.

    Attributes:
        remarks: what was passed over in the latest look, in sentences.
        failures: media among it that could not be looked at.
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
        """The folders with files of bundles in them, sorted by path.

        Raises:
            UsageError: the drop directory itself is not there or may not be read.
            MediaError: its disk fails.
        """
        self.remarks, self.failures, self._left = [], [], MAX_TOTAL
        try:
            os.scandir(self._root).close()
        except OSError as error:
            if error.errno not in _NOT_THE_DISK:
                raise disk_error(error, "cannot look into the drop directory", printable(str(self._root))) from error
            reason = error.strerror or type(error).__name__
            raise UsageError(f"cannot look into the drop directory: {reason}", where=printable(str(self._root))) from error
        now, seen = self._clock(), self._since
        self._since = {}
        folders: list[Folder] = []
        for path, files in self._walk(self._root, MAX_DEPTH):
            if len(folders) == MAX_FOLDERS:
                self.remarks.append(f"more than {MAX_FOLDERS} folders with files of bundles: the rest is not looked at")
                break
            folders.append(self._folder(path, files, seen, now))
        return sorted(folders, key=lambda folder: folder.path)

    def latest_change(self, folder: Folder) -> float:
        """When the youngest file of a folder was first seen as it is, by the clock."""
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
            self.remarks.append(f"cannot look into {printable(str(path))}: {error.strerror or type(error).__name__}")
            if error.errno not in _NOT_THE_DISK:
                self.failures.append(disk_error(error, "cannot look into a medium", printable(str(path))))
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
                    self.remarks.append(f"too many files in {printable(str(path))}: it is not looked at")
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
    return small or names.is_volume(name) or names.is_resend(name)


def _may_hold(name: str) -> bool:
    """Whether to look into a directory: not into the trash of desktops, nor into exports that were not finished."""
    return not name.startswith(".") and not name.endswith(names.PARTIAL)
