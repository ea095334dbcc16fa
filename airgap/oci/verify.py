"""The reader that every blob passes through: it hashes and counts, and fails at the end if either is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from airgap.errors import AirgapError, Damaged, RegistryError
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.stores import Reader, failure_of

if TYPE_CHECKING:
    from hashlib import _Hash

#: The size of the buffers that blobs stream through, in bytes.
CHUNK = 1024 * 1024

_HINTS: dict[type[AirgapError], str] = {
    Damaged: "copy this again from the original",
    RegistryError: "the registry's copy is damaged: push the image there again, or take it from another registry",
}


class VerifiedReader:
    """Wraps a ``Reader``: raises instead of reporting the end when size or digest differ from the descriptor.

    Args:
        reader: the raw stream, positioned at ``offset``.
        descriptor: what the bytes must turn out to be.
        where: whose blob it is, for the message.
        hasher: a hasher that has seen the first ``offset`` bytes, when resuming.
        offset: how many bytes came before.

    Attributes:
        failure: the kind of error to raise, by who reads (``failure_of``).
    """

    def __init__(
        self,
        reader: Reader,
        descriptor: Descriptor,
        where: str,
        *,
        hasher: _Hash | None = None,
        offset: int = 0,
    ) -> None:
        self.failure = failure_of(reader)
        self._reader = reader
        self._descriptor = descriptor
        self._where = where
        self._hasher = hasher if hasher is not None else descriptor.digest.hasher()
        self._position = offset

    def readinto(self, buffer: memoryview, /) -> int:
        """As ``Reader.readinto``; never delivers a byte beyond the expected size.

        Raises:
            AirgapError: of kind ``failure``, when the stream is short, long, or its digest differs.
        """
        left = self._descriptor.size - self._position
        if left == 0:
            self._finish()
            return 0
        count = self._reader.readinto(buffer[: min(len(buffer), left)])
        if count == 0:
            raise self._error("ended too early", f"{self._descriptor.size} bytes", f"{self._position} bytes")
        self._hasher.update(buffer[:count])
        self._position += count
        if self._position == self._descriptor.size:
            self._finish()
        return count

    def close(self) -> None:
        """Close the wrapped reader."""
        self._reader.close()

    def _finish(self) -> None:
        if self._reader.readinto(memoryview(bytearray(1))):
            raise self._error("is longer than its descriptor says", f"{self._descriptor.size} bytes", "more")
        found = Digest.sealed(self._hasher)
        if found != self._descriptor.digest:
            raise self._error("has the wrong digest", self._descriptor.digest, found)

    def _error(self, what: str, expected: str, got: str) -> AirgapError:
        what = f"blob {self._descriptor.digest} {what}"
        return self.failure(what, where=self._where, expected=expected, got=got, hint=_HINTS.get(self.failure, ""))


class WatchedReader:
    """Wraps a ``Reader``: whatever is read is told on.

    Args:
        reader: the stream.
        told: gets the number of bytes after each read; what it raises ends the reading.
    """

    def __init__(self, reader: Reader, told: Callable[[int], None]) -> None:
        self._reader = reader
        self._told = told

    def readinto(self, buffer: memoryview, /) -> int:
        """As ``Reader.readinto``."""
        count = self._reader.readinto(buffer)
        self._told(count)
        return count

    def close(self) -> None:
        """Close the wrapped reader."""
        self._reader.close()


class BytesReader:
    """A ``Reader`` over bytes at hand."""

    def __init__(self, content: bytes, offset: int = 0) -> None:
        self._left = memoryview(content)[offset:]

    def readinto(self, buffer: memoryview, /) -> int:
        """As ``Reader.readinto``."""
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def close(self) -> None:
        """Nothing to release."""


def skipped(reader: Reader, offset: int) -> Reader:
    """The same reader, ``offset`` bytes on."""
    buffer = memoryview(bytearray(min(offset, CHUNK)))
    while offset and (count := reader.readinto(buffer[: min(offset, CHUNK)])):
        offset -= count
    return reader


def digest_of(reader: Reader, algorithm: str = "sha256") -> Digest:
    """The digest of all that a reader still has; it is closed."""
    hasher, buffer = Digest.of(b"", algorithm).hasher(), memoryview(bytearray(CHUNK))
    try:
        while count := reader.readinto(buffer):
            hasher.update(buffer[:count])
    finally:
        reader.close()
    return Digest.sealed(hasher)


def read_all(reader: Reader, limit: int, where: str) -> bytes:
    """Read a small thing wholly.

    Raises:
        AirgapError: it is longer than ``limit`` bytes; of the kind that fits the reader.
    """
    try:
        result = bytearray()
        buffer = memoryview(bytearray(min(limit + 1, 64 * 1024)))
        while count := reader.readinto(buffer[: min(len(buffer), limit + 1 - len(result))]):
            result += buffer[:count]
            if len(result) > limit:
                raise failure_of(reader)("too large", where=where, expected=f"at most {limit} bytes")
        return bytes(result)
    finally:
        reader.close()
