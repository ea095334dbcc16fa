"""Writing a tar with several threads: a member gets its offset when it starts, so blobs stream to their final position."""

from __future__ import annotations

import os
import tarfile
import threading
from pathlib import Path

from airgap import fsio
from airgap.errors import UsageError
from airgap.oci.stores import Reader
from airgap.oci.verify import CHUNK
from airgap.text import printable

_BLOCK = 512
#: Bytes of zeros at the end of an archive.
END = 2 * _BLOCK


def space(name: str, size: int) -> int:
    """Bytes that a member takes in an archive: its header, ``size`` bytes of content, and zeros up to a whole block."""
    return len(_header(name, size)) + _padded(size)


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


class TarWriter:
    """A new archive with fixed metadata (mode 0644, uid and gid 0, time 0); it has its name only when it is finished.

    Args:
        path: the archive; nothing may be there yet. Begun at the first member.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._guard = threading.Lock()
        self._file: fsio.NewFile | None = None
        self._end = 0

    def add(self, name: str, content: bytes) -> None:
        """A member whose content is at hand. Raises ``MediaError``, and ``UsageError`` when the path is taken."""
        at = self._reserve(name, len(content))
        with fsio.disk_errors("cannot write", self.path):
            fsio.write_at(self._begun().fd, content, at)

    def stream(self, name: str, reader: Reader, size: int) -> int:
        """A member whose content comes from a verifying reader; the offset of its content. Raises as :meth:`add`."""
        at = position = self._reserve(name, size)
        buffer = memoryview(bytearray(min(CHUNK, size + 1)))
        while count := reader.readinto(buffer):
            with fsio.disk_errors("cannot write", self.path):
                fsio.write_at(self._begun().fd, buffer[:count], position)
            position += count
        return at

    def read(self, offset: int, size: int) -> Reader:
        """What was written at ``offset``."""
        return fsio.FileReader(os.dup(self._begun().fd), offset, size, str(self.path))

    def finish(self) -> None:
        """Make the archive appear under its name, whole and flushed."""
        file = self._begun()
        with fsio.disk_errors("cannot write", self.path):
            os.ftruncate(file.fd, self._end + END)
            try:
                file.keep(replace=False)
            except FileExistsError:
                self.refuse_taken()
                raise

    def close(self) -> None:
        """Remove what is not finished."""
        if self._file is not None:
            self._file.drop()

    def _reserve(self, name: str, size: int) -> int:
        header = _header(name, size)
        with self._guard:
            file = self._begun()
            start = self._end
            self._end += len(header) + _padded(size)
        with fsio.disk_errors("cannot write", self.path):
            fsio.write_at(file.fd, header, start)
        return start + len(header)

    def _begun(self) -> fsio.NewFile:
        if self._file is None:
            self.refuse_taken()
            fsio.make_directory(self.path.parent)
            with fsio.disk_errors("cannot create", self.path):
                self._file = fsio.NewFile(self.path)
        return self._file

    def refuse_taken(self) -> None:
        """Raise ``UsageError`` when something is there already."""
        if fsio.is_there(self.path):
            raise UsageError(
                "the archive already exists",
                where=printable(str(self.path)),
                expected="a new file",
                hint="choose another name or move the old one away: airgap never appends to an archive",
            )
