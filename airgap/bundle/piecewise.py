"""Files from elsewhere, looked through piece by piece: however large one is, it is never in memory as a whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from airgap.fsio import CHUNK, disk_errors, opened


def is_regular(path: Path) -> bool:
    """True. Raises as :func:`airgap.fsio.open_regular` for what is not there or no regular file."""
    with opened(path):
        return True


def holds(path: Path, content: bytes) -> bool:
    """Whether a regular file has just this content; it is compared in pieces.

    Raises:
        As :func:`read_capped`.
    """
    with opened(path) as fd, disk_errors("cannot read", path), os.fdopen(fd, "rb", closefd=False) as file:
        if os.fstat(fd).st_size != len(content):
            return False
        view = memoryview(content)
        return all(file.read(CHUNK) == view[at : at + CHUNK] for at in range(0, len(view), CHUNK)) and not file.read(1)


def lines(path: Path, longest: int) -> Iterator[bytes]:
    """The lines of a regular file, one at a time, with their ends; a longer one comes in pieces.

    Raises:
        As :func:`read_capped`.
    """
    with opened(path) as fd, disk_errors("cannot read", path), os.fdopen(fd, "rb", closefd=False) as file:
        while line := file.readline(longest):
            yield line
