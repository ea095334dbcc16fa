"""Records that are rewritten now and then: a newer edition replaces only the same record, never another file."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

from airgap import fsio
from airgap.errors import AirgapError, UsageError
from airgap.text import printable


def check_replaceable(path: Path, limit: int, what: str, is_same: Callable[[bytes], bool]) -> None:
    """Refuse to replace a file that is not an earlier edition of what is to be written.

    Args:
        path: the file, which need not exist; devices and pipes hold nothing that could be lost.
        limit: the largest size of an earlier edition in bytes.
        what: what an earlier edition is, such as ``a receipt of site plant-7``.
        is_same: recognises one; it may raise ``AirgapError`` for anything else.

    Raises:
        UsageError: the file is something else, or damaged.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return
    except OSError:  # nothing there, or what writing will complain about
        return
    raw = fsio.read_input(path, limit, "file that is there")
    try:
        same = is_same(raw)
    except AirgapError:
        same = False
    if not same:
        raise UsageError(
            "a different file already exists",
            where=printable(str(path)),
            expected=f"no file yet, or {what}, which is replaced",
            hint="choose another name, or move the file away; it was left unchanged",
        )
