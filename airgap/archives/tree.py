"""A tar file as a ``Tree``: its members read in place, straight from the archive."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from airgap import fsio
from airgap.archives.tarindex import TarIndex, TarMember
from airgap.errors import Damaged, UsageError, disk_error
from airgap.text import printable


class TarTree:
    """An open archive. The file is opened once, so one that is replaced meanwhile changes nothing. Thread-safe.

    Args:
        path: the archive; the user named it, so it may be a link.
        content: where its bytes are, if not there: an uncompressed copy.

    Raises:
        UsageError: not there, not a regular file, not a tar, or a compressed one.
        Damaged: a tar that is truncated, contradicts itself, or is of a kind that is refused.
        MediaError: the disk refuses.
    """

    def __init__(self, path: Path, content: Path | None = None) -> None:
        self.path = path
        self._where = printable(str(path))
        self._fd = _open(content or path, self._where)
        try:
            self._index = TarIndex(self._fd, self._where)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the archive. Open readers stay usable."""
        if self._fd >= 0:
            fsio.release(self._fd)
            self._fd = -1

    @property
    def length(self) -> int:
        """Bytes of the whole archive."""
        return self._index.length

    def members(self) -> Mapping[str, TarMember]:
        """The regular files and links, by name."""
        return self._index.members

    def check(self, directories: Sequence[str]) -> None:
        """As ``Tree.check``."""

    def stamp(self, name: str) -> tuple[int, int, int] | None:
        """As ``Tree.stamp``."""
        member = self._index.find(name)
        return None if member is None else (0, member.offset, member.size)

    def size(self, name: str) -> int | None:
        """As ``Tree.size``."""
        member = self._index.find(name)
        return None if member is None else member.size

    def read(self, name: str, limit: int) -> bytes:
        """As ``Tree.read``."""
        member = self._member(name)
        if member.size > limit:
            raise Damaged(
                "a member is too large", where=self._at(name), expected=f"at most {limit} bytes", got=f"{member.size} bytes"
            )
        buffer = bytearray(member.size)
        with fsio.disk_errors("cannot read", self.path):
            if fsio.read_at(self._fd, memoryview(buffer), member.offset) != member.size:
                raise Damaged("an archive is truncated", where=self._at(name))
        return bytes(buffer)

    def open(self, name: str, size: int | None, offset: int) -> fsio.FileReader:
        """As ``Tree.open``."""
        member = self._member(name)
        if offset > member.size or (size is not None and size != member.size):
            raise Damaged(
                "a member has the wrong size",
                where=self._at(name),
                expected=f"{offset if size is None else size} bytes",
                got=f"{member.size} bytes",
            )
        return fsio.FileReader(os.dup(self._fd), member.offset + offset, member.size - offset, self._at(name))

    def _member(self, name: str) -> TarMember:
        member = self._index.find(name)
        if member is None:
            raise Damaged("a member is missing", where=self._where, expected=printable(name, 200))
        return member

    def _at(self, name: str) -> str:
        return printable(f"{self.path}: {name}")


def _open(path: Path, where: str) -> int:
    try:
        return fsio.open_regular(path.resolve())
    except Damaged as error:
        raise UsageError(f"cannot read the archive: {error.what}", where=where, expected="a tar file", got=error.got) from error
    except (OSError, RuntimeError) as error:  # RuntimeError: a circle of links, in Python before 3.13
        if isinstance(error, OSError) and error.errno != errno.ELOOP:
            raise disk_error(error, "cannot read the archive", where) from error
        raise UsageError("cannot read the archive", where=where, got=printable(str(error), 200)) from error
