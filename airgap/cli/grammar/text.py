"""The help as plain text, as wide as the terminal."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Sequence

from airgap.cli.grammar.explained import Entry, Explained

_WIDEST = 120  # longer lines are hard to read
_NARROWEST = 40
_COLUMN = 26  # an option that is longer has its meaning on the next line
_WORD = re.compile(r"""(?:[^\s"']|"[^"]*"|'[^']*')+""")


def width_of_terminal() -> int:
    """Columns for the help; COLUMNS decides, else the terminal, else 80."""
    return max(_NARROWEST, min(shutil.get_terminal_size().columns, _WIDEST))


def page(name: str, explained: Explained, width: int, commands: Sequence[tuple[str, Sequence[Entry]]] = (), end: str = "") -> str:
    """The help of one command.

    Args:
        name: as it is called, such as ``airgap media check``.
        width: columns.
        commands: headings and the commands below them, of a group.
        end: the last paragraph.
    """
    blocks = [_wrapped(f"Usage: {name} {explained.usage}", width, " " * 11)]
    blocks += [_wrapped(explained.summary, width)] if explained.summary else []
    blocks += [f"Example:\n{example(explained.example, width)}"] if explained.example else []
    blocks += _tables(commands, width)
    arguments = [("Arguments", explained.arguments)] if explained.arguments else []
    blocks += _tables([*arguments, *explained.panels], width)
    for part in explained.details:
        blocks.append(f"Example:\n{example(part.text, width)}" if part.is_example else _wrapped(part.text, width))
    blocks += [_wrapped(end, width)] if end else []
    return "\n\n".join(blocks)


def example(text: str, width: int) -> str:
    """A command line that can be pasted, whatever the width: its lines end in a backslash."""
    pieces: list[str] = []
    for word in _WORD.findall(text):
        if pieces and re.fullmatch(r"--?[\w-]+", pieces[-1]) and not word.startswith("-"):
            pieces[-1] += f" {word}"
        else:
            pieces.append(word)
    lines = [f"  {pieces[0]}"]
    for piece in pieces[1:]:
        if len(lines[-1]) + len(piece) + 3 > width:
            lines[-1] += " \\"
            lines.append(f"      {piece}")
        else:
            lines[-1] += f" {piece}"
    return "\n".join(lines)


def _wrapped(text: str, width: int, indent: str = "") -> str:
    return textwrap.fill(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _tables(tables: Sequence[tuple[str, Sequence[Entry]]], width: int) -> list[str]:
    """Tables whose second columns begin at the same place."""
    widths = [len(row.written) for _, rows in tables for row in rows]
    column = min(max((one for one in widths if one <= _COLUMN), default=_COLUMN), width // 3) + 2
    return ["\n".join([f"{heading}:", *(line for row in rows for line in _row(row, column, width))]) for heading, rows in tables]


def _row(row: Entry, column: int, width: int) -> list[str]:
    meaning = textwrap.wrap(row.meaning, width - column - 2, break_long_words=False, break_on_hyphens=False)
    begin = f"  {row.written:<{column}}"
    beside = meaning.pop(0) if meaning and len(row.written) <= column - 2 else ""
    return [(begin + beside).rstrip(), *(" " * (column + 2) + line for line in meaning)]
