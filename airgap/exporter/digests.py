"""Block and volume digests, taken from what is on disk, right behind the writers while the bytes are still in the page cache."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Sequence

from airgap import fsio
from airgap.bundle.names import BLOCK_SIZE
from airgap.oci.verify import CHUNK

#: How much is hashed between two requests to flush it to the disk, in bytes.
_FLUSH = 256 * 1024 * 1024


class Digester:
    """Hashes volumes block by block as their bytes become whole, in one thread.

    Args:
        files: open descriptors of the volumes, in order.
        sizes: their final sizes in bytes.
    """

    def __init__(self, files: Sequence[int], sizes: Sequence[int]) -> None:
        self._files = files
        self._sizes = sizes
        self._left = [[min(BLOCK_SIZE, size - at) for at in range(0, size, BLOCK_SIZE)] for size in sizes]
        self._changed = threading.Condition()
        self._stopped = False
        self._error: BaseException | None = None
        self.blocks: list[list[str]] = [[] for _ in sizes]
        self.volumes: list[str] = []
        self._thread = threading.Thread(target=self._run, name="digester", daemon=True)

    def start(self) -> None:
        """Begin to follow the writers."""
        self._thread.start()

    def wrote(self, volume: int, offset: int, length: int) -> None:
        """``length`` bytes of a volume (from 1) are on disk; every byte must be reported exactly once. Any thread."""
        left = self._left[volume - 1]
        whole = False
        with self._changed:
            while length:
                block = offset // BLOCK_SIZE
                count = min(length, (block + 1) * BLOCK_SIZE - offset)
                left[block] -= count
                whole = whole or left[block] == 0
                offset += count
                length -= count
            if whole:
                self._changed.notify()

    def finish(self) -> None:
        """Wait until everything is hashed and flushed. Raises what the thread ran into."""
        self._thread.join()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Give up early, when the writers failed."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            buffer = memoryview(bytearray(CHUNK))
            for number in range(len(self._files)):
                if not self._hash_volume(number, buffer):
                    return
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits in finish()
            self._error = error

    def _hash_volume(self, number: int, buffer: memoryview) -> bool:
        fd, size = self._files[number], self._sizes[number]
        whole = hashlib.sha256()
        for block, start in enumerate(range(0, size, BLOCK_SIZE)):
            with self._changed:
                self._changed.wait_for(lambda block=block: self._stopped or self._left[number][block] == 0)  # type: ignore[misc]
                if self._stopped:
                    return False
            end = min(start + BLOCK_SIZE, size)
            self.blocks[number].append(_hash_block(fd, start, end, whole, buffer))
            if end % _FLUSH == 0:
                os.fdatasync(fd)
        os.fsync(fd)
        self.volumes.append(whole.hexdigest())
        return True


def _hash_block(fd: int, start: int, end: int, whole: hashlib._Hash, buffer: memoryview) -> str:
    block = hashlib.sha256()
    for at in range(start, end, len(buffer)):
        part = buffer[: min(len(buffer), end - at)]
        if fsio.read_at(fd, part, at) != len(part):
            raise OSError(0, "a volume became shorter while it was written")
        block.update(part)
        whole.update(part)
    return block.hexdigest()
