"""How text fits a terminal: widths in cells (Unicode UAX #11), and names cut to a width. Pure."""

from __future__ import annotations

import unicodedata

_CUT = "..."


def cells(text: str) -> int:
    """How many columns of a terminal a text takes: East Asian characters take two, combining marks none."""
    return len(text) if text.isascii() else sum(map(_width, text))


def clipped(text: str, room: int, *, front: bool = False) -> str:
    """A text cut to at most ``room`` cells.

    Args:
        text: printable text.
        room: cells.
        front: cut off the beginning, as for references, whose end tells most.
    """
    if cells(text) <= room:
        return text
    cut = _CUT[: max(0, room)]
    left, kept = room - len(cut), list[str]()
    for char in reversed(text) if front else text:
        left -= _width(char)
        if left < 0:
            break
        kept.append(char)
    return cut + "".join(reversed(kept)) if front else "".join(kept) + cut


def _width(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
