"""Records that are written anew now and then: only the same record makes way for a newer one, anything else stays."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

from airgap import fsio
from airgap.errors import AirgapError, UsageError
from airgap.text import printable


def check_replaceable(path: Path, limit: int, what: str, is_same: Callable[[bytes], bool]) -> None:
    """Refuse to write over a file that is not an earlier edition of what is to be written.

    Args:
        path: the file, which need not exist; devices and pipes hold nothing that could be lost.
        limit: the most bytes an earlier edition may have.
        what: what an earlier edition is, such as ``a receipt of site plant-7``.
        is_same: tells one; it may raise ``AirgapError`` for what is none.

    Raises:
        UsageError: something else is there, or an edition that is damaged.
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
            "another file is in the way",
            where=printable(str(path)),
            expected=f"no file yet, or {what}, which is replaced",
            hint="choose another name, or move the file away; it was left as it was",
        )
