"""New files: complete and flushed before they get their names, removed if that does not happen."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from airgap.fsio import leftovers
from airgap.fsio.flushing import sync_directory
from airgap.fsio.reading import disk_errors, release
from airgap.fsio.writing import write_at


class NewFile:
    """A file that is written before it has its name: without one, or under a temporary one where the file system cannot do that.

    Args:
        path: the name that it will have, in a directory that exists.
        mode: less what the umask takes away.

    Attributes:
        path: as given.
        fd: its descriptor, to read and write.

    Raises:
        OSError: the disk refuses.
    """

    def __init__(self, path: Path, mode: int = 0o644) -> None:
        self.path = path
        self._temporary: Path | None = None
        leftovers.sweep_once(path.parent)
        fd = leftovers.nameless(path.parent, mode)
        if fd is None:
            fd, self._temporary = leftovers.create(path, mode)
        self.fd = fd

    def keep(self, *, replace: bool = True, durable: bool = True) -> None:
        """Flush it and give it its name; then it is closed, and :meth:`drop` does nothing any more.

        Args:
            replace: a file of that name gives way.
            durable: flush the directory, too; else the caller does (:func:`sync_directory`), for many files at once.

        Raises:
            OSError: the disk refuses. Then there is no new name; an old file of that name may be gone, when only the flush of the
                directory failed.
        """
        os.fsync(self.fd)
        replaced = replace and os.path.lexists(self.path)
        self.take_name(replace=replace)
        self._temporary = None
        self.drop()
        if durable:
            try:
                sync_directory(self.path.parent)
            except OSError:  # a name that may be gone after a power cut must not be there now: somebody would believe it
                if not replaced:
                    with contextlib.suppress(OSError):
                        self.path.unlink()
                raise

    def drop(self) -> None:
        """Close it; gone is what has not got its name."""
        if self.fd < 0:
            return
        if self._temporary is not None:
            with contextlib.suppress(OSError):
                self._temporary.unlink(missing_ok=True)
        release(self.fd)
        self.fd = -1

    def take_name(self, *, replace: bool) -> None:
        """The step in which it appears under its name, all at once. Raises ``OSError``; ``FileExistsError`` without ``replace``."""
        if self._temporary is None:
            try:
                self._link(self.path)
                return
            except FileExistsError:
                if not replace:
                    raise
            leftovers.own(self.fd)
            self._temporary = leftovers.temporary_name(self.path)
            self._link(self._temporary)
        elif not replace and os.path.lexists(self.path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self.path))
        self._temporary.rename(self.path)

    def _link(self, path: Path) -> None:
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:  # without dst_dir_fd Python calls link(2), which does not follow what is in /proc (bpo-37612)
            os.link(f"/proc/self/fd/{self.fd}", path.name, dst_dir_fd=directory, follow_symlinks=True)
        finally:
            release(directory)


@contextlib.contextmanager
def new_file(path: Path, mode: int = 0o644, *, durable: bool = True) -> Iterator[int]:
    """Give the descriptor of a new file; when the block ends well it is flushed and takes the name ``path``, else it is gone.

    Args:
        path: the final name; a file of that name is replaced.
        mode: less what the umask takes away.
        durable: as of :meth:`NewFile.keep`.
    """
    with disk_errors("cannot create", path):
        file = NewFile(path, mode)
    try:
        yield file.fd
        with disk_errors("cannot write", path):
            file.keep(durable=durable)
    finally:
        file.drop()


def write_durable(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file so that after a crash either the old or the whole new content is there. Raises ``MediaError``."""
    with disk_errors("cannot write", path):
        file = NewFile(path, mode)
        try:
            write_at(file.fd, data, 0)
            file.keep()
        finally:
            file.drop()
