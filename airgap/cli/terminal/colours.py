"""The few colours of a terminal: what went wrong, what deserves a look, what is good. Never in a pipe, a file or JSON."""

from __future__ import annotations

import os
import re
from typing import TextIO

from airgap.cli.terminal.translated import translated

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


_LABEL = re.compile(r".+?(?=  )")
_MESSAGE = re.compile(r".+?[:：]")  # also as Chinese writes it
_VERDICT = re.compile(r"  +([^ :：]+)")


def is_plain(stream: TextIO) -> bool:
    """Whether a stream takes text only: it is no terminal, or one that knows no escape sequences."""
    return not stream.isatty() or os.environ.get("TERM", "") in ("", "dumb")


def coloured(text: str, stream: TextIO) -> str:
    """A line in the reader's language, its label in colour where the stream has colours and nobody set NO_COLOR (no-color.org).

    Args:
        text: printable English text; a label ends at two spaces, the beginning of a message at a colon.
        stream: where it will be written.
    """
    shown = translated(text, stream)
    if os.environ.get("NO_COLOR") or is_plain(stream):
        return shown
    label = text.partition("  ")[0]
    if label == "result":
        verdict = text.removeprefix(label).lstrip().partition(" ")[0].rstrip(":")
        own = _VERDICT.search(shown)
        if own is None or verdict not in _VERDICTS:
            return shown
        return shown[: own.start(1)] + painted(own[1], _VERDICTS[verdict]) + shown[own.end(1) :]
    for known, colour in _COLOURS.items():
        if label == known or (known.endswith(":") and text.startswith(known)):
            own = _MESSAGE.match(shown) if known.endswith(":") else _LABEL.match(shown)
            return painted(own[0], colour) + shown[own.end() :] if own else shown
    return shown


def painted(text: str, colour: str) -> str:
    """A text between the escape sequences of a colour (ECMA-48 SGR), in bold."""
    return f"\x1b[1;{colour}m{text}\x1b[0m"
