"""Small and read-only file systems, for tests of disks that are full or cannot be written."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def small_disk(point: Path, size: str = "4m") -> Iterator[Path]:
    """A tmpfs of some size, mounted while the block runs; the test is skipped for users who may not mount."""
    point.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={size},mode=0755", "tmpfs", str(point))
    try:
        yield point
    finally:
        subprocess.run(["umount", "-l", str(point)], check=True, capture_output=True)


def make_read_only(point: Path) -> None:
    """Let nobody write to a mounted disk any more."""
    _mount("-o", "remount,ro", str(point))


def _mount(*arguments: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    done = subprocess.run(["mount", *arguments], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this machine does not let root mount: {done.stderr.strip()}")
