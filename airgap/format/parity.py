"""Parity: lost parts of a bundle are rebuilt from the rest (format.md, "Parity"). zfec does the arithmetic.

A Reed-Solomon code over GF(2^8) in rows: row ``i`` is block ``i`` of every volume and of every parity file. Any as many blocks of a
row as there are volumes give all the others.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from airgap import fsio
from airgap.errors import UsageError
from airgap.format.names import BLOCK_SIZE

try:
    import zfec  # type: ignore[import-untyped] # it comes without types
except ImportError:  # a toolkit for machines that it is not made for leaves it out: all else works without parity
    zfec = None

#: Most bytes that the pieces of one row may take together, in every thread that works on a row.
MEMORY = 32 * 1024 * 1024
#: A piece is not larger than this: what is multiplied should stay in the processor's cache.
_PIECE = 256 * 1024
#: So many bytes are asked for in advance, of all files together.
_AHEAD = 256 * 1024 * 1024


class Code:
    """The code of one bundle. Its shares are the volumes, numbered from 0, and then the parity files.

    Args:
        volumes: how many there are.
        parity: how many there are; 1 to 256 with the volumes.

    Raises:
        UsageError: zfec is not installed.
    """

    def __init__(self, volumes: int, parity: int) -> None:
        if zfec is None:
            raise UsageError(
                "this airgap cannot compute parity",
                expected="the Python package zfec",
                hint="install it, or do this on another machine: Linux on x86-64 has it",
            )
        self.volumes = volumes
        self.parity = parity
        self._encoder = zfec.Encoder(volumes, volumes + parity)
        self._decoder = zfec.Decoder(volumes, volumes + parity)

    def encode(self, volumes: Sequence[memoryview | bytes], wanted: Sequence[int]) -> list[bytes]:
        """The bytes of parity files that belong to these bytes of all volumes, which are of one length.

        Args:
            volumes: one piece of each volume, in order.
            wanted: the numbers of the shares to make, none of a volume.
        """
        made: list[bytes] = self._encoder.encode(tuple(volumes), tuple(wanted))
        return made

    def rebuild(self, shares: Mapping[int, memoryview | bytes], wanted: Sequence[int]) -> list[bytes]:
        """The bytes of lost shares.

        Args:
            shares: pieces of one length, by number: as many as there are volumes, or more.
            wanted: the numbers of the shares to make, none of them in ``shares``.
        """
        used = sorted(shares)[: self.volumes]
        lost = [number for number in range(self.volumes) if number not in shares]
        if lost:
            data = self._decoder.decode(tuple(shares[number] for number in used), tuple(used))
        else:
            data = [shares[number] for number in used]
        behind = [number for number in wanted if number >= self.volumes]
        parity = dict(zip(behind, self.encode(data, behind), strict=True)) if behind else {}
        return [data[number] if number < self.volumes else parity[number] for number in wanted]


def piece_size(files: int) -> int:
    """How many bytes of each of ``files`` files are processed at a time."""
    return max(4096, min(_PIECE, MEMORY // files // 4096 * 4096))


def read_ahead(places: Sequence[tuple[int, int]], count: int) -> int:
    """Ask the system to have the next bytes of every file ready, file by file: one disk is slow when it is asked for many places.

    Args:
        places: open descriptors, and where in each.
        count: how many bytes will be read of each.

    Returns:
        How many bytes it was asked for, of each.
    """
    count = min(count, max(1024 * 1024, _AHEAD // max(1, len(places))))
    for fd, start in places:
        os.posix_fadvise(fd, start, count, os.POSIX_FADV_WILLNEED)
    return count


def block_length(size: int, row: int) -> int:
    """Bytes of block ``row`` of a file of ``size`` bytes; 0 when the file ends before it."""
    return max(0, min(BLOCK_SIZE, size - row * BLOCK_SIZE))


def read_padded(fd: int, size: int, buffer: memoryview, offset: int) -> int:
    """Fill ``buffer`` from a file of ``size`` bytes, with zeros behind its end; how many bytes it gave. Raises ``OSError``."""
    own = max(0, min(len(buffer), size - offset))
    count = fsio.read_at(fd, buffer[:own], offset) if own else 0
    buffer[count:] = bytes(len(buffer) - count)
    return count
