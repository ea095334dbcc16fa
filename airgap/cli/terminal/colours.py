"""The few colours of a terminal: what went wrong, what deserves a look, what is good. Never in a pipe, a file or JSON."""

from __future__ import annotations

import os
from typing import TextIO

RED, YELLOW, GREEN = "31", "33", "32"

#: The labels of results and the beginnings of messages that have a colour.
_COLOURS = {
    "error:": RED,
    "refused": RED,
    "failed": RED,
    "DAMAGED": RED,
    "MISSING": RED,
    "UNREADABLE": RED,
    "FOREIGN": RED,
    "BROKEN": RED,
    "CUSTODY LOG BROKEN:": RED,
    "warning": YELLOW,
    "warning:": YELLOW,
    "note": YELLOW,
    "note:": YELLOW,
    "left out": YELLOW,
    "not held": YELLOW,
    "not rebuilt": YELLOW,
    "verified": GREEN,
    "finished": GREEN,
    "copied": GREEN,
    "imported": GREEN,
}
#: The first word of ``result``.
_VERDICTS = {"good": GREEN, "whole": GREEN, "incomplete": RED, "damaged": RED, "broken": RED, "unreadable": RED}


def is_plain(stream: TextIO) -> bool:
    """Whether a stream takes text only: it is no terminal, or one that knows no escape sequences."""
    return not stream.isatty() or os.environ.get("TERM", "") in ("", "dumb")


def coloured(text: str, stream: TextIO) -> str:
    """A line with its label in its colour where the stream shows colours and the user has not said NO_COLOR (no-color.org).

    Args:
        text: printable text; a label ends at two spaces, the beginning of a message at a colon.
        stream: where it will be written.
    """
    if os.environ.get("NO_COLOR") or is_plain(stream):
        return text
    label = text.partition("  ")[0]
    if label == "result":
        verdict = text.removeprefix(label).lstrip().partition(" ")[0].rstrip(":")
        return text.replace(verdict, painted(verdict, _VERDICTS[verdict]), 1) if verdict in _VERDICTS else text
    for known, colour in _COLOURS.items():
        if label == known or (known.endswith(":") and text.startswith(known)):
            return painted(known, colour) + text.removeprefix(known)
    return text


def painted(text: str, colour: str) -> str:
    """A text between the escape sequences of a colour (ECMA-48 SGR), in bold."""
    return f"\x1b[1;{colour}m{text}\x1b[0m"
