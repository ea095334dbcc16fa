"""Files by relative name, wherever they lie, and streams over stretches of them."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from airgap.errors import Damaged, disk_error
from airgap.fsio.reading import open_regular, read_at, read_capped, release
from airgap.text import printable


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
            release(self._fd)
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
            raise Damaged("the directory cannot be read", where=printable(str(self.path)), got=got)
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
            raise disk_error(error, "cannot access a file", printable(path)) from error
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
            release(fd)
            expected = f"{size or offset} bytes"
            raise Damaged("a blob has the wrong size", where=printable(path), expected=expected, got=f"{length} bytes")
        return FileReader(fd, offset, length - offset, path)
