"""A blob that is read more than once: the first time from where it is, then from a copy on the disk."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from airgap import fsio
from airgap.oci.descriptor import Descriptor
from airgap.oci.stores import Reader
from airgap.oci.verify import VerifiedReader

#: Smaller blobs are read from where they are, in bytes: mostly once or twice, and soon done.
_SMALL = 4 << 20


class Again:
    """Opens a blob as often as wanted. Every reading is checked by size and digest, for a copy on a disk proves nothing.

    The copy is a file without a name, gone with this object. A disk that has no room for it costs only time: then the blob is read
    from its source again.

    Args:
        opener: opens the blob where it is.
        blob: the blob.
        directory: for the copy.
        where: what it is, for messages.
    """

    def __init__(self, opener: Callable[[], Reader], blob: Descriptor, directory: Path, where: str) -> None:
        self._opener = opener
        self._blob = blob
        self._directory = directory
        self._where = where
        self._copy: fsio.NewFile | None = None
        self._complete = False

    def open(self) -> Reader:
        """The blob, from its first byte. Not while another reading of it is under way."""
        if self._complete and self._copy:
            path = self._directory / f"{self._blob.digest.hex}.copy"
            return VerifiedReader(_Shared(self._copy.fd, self._blob.size, str(path)), self._blob, self._where)
        self.close()
        if self._blob.size < _SMALL:
            return VerifiedReader(self._opener(), self._blob, self._where)
        with contextlib.suppress(OSError):
            self._copy = fsio.NewFile(self._directory / f"{self._blob.digest.hex}.copy", 0o600)
        return _Copied(VerifiedReader(self._opener(), self._blob, self._where), self)

    def close(self) -> None:
        """Remove the copy."""
        if self._copy:
            self._copy.drop()
        self._copy, self._complete = None, False

    def take(self, data: memoryview, offset: int) -> None:
        """The next bytes of the first reading; none at its end."""
        if self._copy is None:
            return
        try:
            fsio.write_at(self._copy.fd, data, offset)
        except OSError:
            self.close()
        else:
            self._complete = not data


class _Copied:
    """The first reading."""

    def __init__(self, reader: Reader, keeper: Again) -> None:
        self._reader = reader
        self._keeper = keeper
        self._done = 0

    def readinto(self, buffer: memoryview, /) -> int:
        count = self._reader.readinto(buffer)
        if count or len(buffer):
            self._keeper.take(buffer[:count], self._done)
        self._done += count
        return count

    def close(self) -> None:
        self._reader.close()


class _Shared(fsio.FileReader):
    """A stretch of a file that somebody else closes."""

    def __init__(self, fd: int, size: int, where: str) -> None:
        super().__init__(fd, 0, size, where)

    def close(self) -> None:
        """Nothing: the descriptor is the keeper's."""
