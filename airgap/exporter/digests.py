"""Block and volume digests, computed from the disk right behind the writers, while the bytes are still in the page cache.

Threads follow the writers. One hashes volumes from front to back, and their blocks in the same pass where the processor can; one
flushes the bytes to the disk. Where it cannot, another one hashes blocks in the order of their completion, because one could not
keep up; it also takes the tags of encrypted pieces.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence

from airgap import fsio
from airgap.cipher.content import ContentKey
from airgap.cipher.forms import PIECE, TAG_SIZE
from airgap.format.names import BLOCK_SIZE
from airgap.fsio.hashes import file_hash, in_one_pass
from airgap.oci.verify import CHUNK

#: How many whole blocks make a request to flush worthwhile (256 MiB).
_FLUSH_BLOCKS = 16


class Digester:
    """Hashes and flushes volumes while they are being filled.

    Args:
        files: open descriptors of the volumes, in order.
        sizes: their final sizes in bytes.
        key: the key of encrypted volumes, whose tags are then collected, too.
    """

    def __init__(self, files: Sequence[int], sizes: Sequence[int], key: ContentKey | None = None) -> None:
        self._key = key
        self._files = files
        self._sizes = sizes
        self._left = [[min(BLOCK_SIZE, size - at) for at in range(0, size, BLOCK_SIZE)] for size in sizes]
        self._total = sum(map(len, self._left))
        self._whole: list[tuple[int, int]] = []
        self._changed = threading.Condition()
        self._stopped = False
        self._error: BaseException | None = None
        self.blocks: list[list[str]] = [[""] * len(left) for left in self._left]
        self.volumes: list[str] = []
        self.tags = [bytearray(-(-size // PIECE) * TAG_SIZE) for size in sizes] if key else []
        self._apart = not in_one_pass()
        workers: list[Callable[[], None]] = [self._hash_volumes, self._flush]
        if self._apart or key is not None:
            workers.append(self._go_through_blocks)
        self._threads = [
            threading.Thread(target=self._run, args=(worker,), name=worker.__name__, daemon=True) for worker in workers
        ]

    def start(self) -> None:
        """Start to follow the writers."""
        for thread in self._threads:
            thread.start()

    def wrote(self, volume: int, offset: int, length: int) -> None:
        """Report that ``length`` bytes of a volume (from 1) are on disk; each byte exactly once, from any thread."""
        left = self._left[volume - 1]
        with self._changed:
            before = len(self._whole)
            while length:
                block = offset // BLOCK_SIZE
                count = min(length, (block + 1) * BLOCK_SIZE - offset)
                left[block] -= count
                if left[block] == 0:
                    self._whole.append((volume - 1, block))
                offset += count
                length -= count
            if len(self._whole) > before:
                self._changed.notify_all()

    def finish(self) -> None:
        """Wait until everything is hashed and flushed. Raises the error of a thread."""
        for thread in self._threads:
            thread.join()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Give up early, because the writers failed."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def _run(self, worker: Callable[[], None]) -> None:
        try:
            worker()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits in finish()
            with self._changed:
                self._error = self._error or error
                self._stopped = True
                self._changed.notify_all()

    def _wait(self, ready: Callable[[], bool]) -> bool:
        """Wait until something is ready; False when the work was given up."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or ready())
            return not self._stopped

    def _go_through_blocks(self) -> None:
        buffer = memoryview(bytearray(PIECE))
        for done in range(self._total):
            if not self._wait(lambda done=done: len(self._whole) > done):  # type: ignore[misc]
                return
            number, block = self._whole[done]
            hasher = hashlib.sha256()
            for i, part in enumerate(self._read_block(number, block, buffer)):
                if self._apart:
                    hasher.update(part)
                if self._key is not None:
                    piece = block * (BLOCK_SIZE // PIECE) + i
                    self.tags[number][piece * TAG_SIZE : (piece + 1) * TAG_SIZE] = self._key.tag(number + 1, piece, part)
            if self._apart:
                self.blocks[number][block] = hasher.hexdigest()

    def _hash_volumes(self) -> None:
        buffer = memoryview(bytearray(CHUNK))
        for number, left in enumerate(self._left):
            hasher = file_hash()
            for block in range(len(left)):
                if not self._wait(lambda left=left, block=block: left[block] == 0):  # type: ignore[misc]
                    return
                digest = hasher.block(self._read_block(number, block, buffer))
                if not self._apart:
                    self.blocks[number][block] = digest
            self.volumes.append(hasher.hexdigest())

    def _flush(self) -> None:
        done = 0
        while done < self._total:
            goal = min(done + _FLUSH_BLOCKS, self._total)
            if not self._wait(lambda goal=goal: len(self._whole) >= goal):  # type: ignore[misc]
                return
            for number in {number for number, _ in self._whole[done:goal]}:
                os.fdatasync(self._files[number])
            done = goal
        for fd in self._files:
            os.fsync(fd)

    def _read_block(self, number: int, block: int, buffer: memoryview) -> Iterator[memoryview]:
        start = block * BLOCK_SIZE
        end = min(start + BLOCK_SIZE, self._sizes[number])
        for at in range(start, end, len(buffer)):
            part = buffer[: min(len(buffer), end - at)]
            if fsio.read_at(self._files[number], part, at) != len(part):
                raise OSError(0, "a volume became shorter while it was being written")
            yield part
