"""Where the keys of a TOML document are written: ``tomllib`` reads values and forgets lines. Pure.

Only for text that ``tomllib`` has read: what is written here recognises just enough of valid TOML to know where a key begins. It
takes each character once and does not look into values: a key in an inline table has no position of its own.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import TypeAlias

#: Line and column, from 1, of every key by its path.
Positions: TypeAlias = Mapping[tuple[str, ...], tuple[int, int]]

_KEY = re.compile(r"""[ \t]*("(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[A-Za-z0-9_-]+)[ \t]*(\.?)""")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_PART_OF_VALUE = re.compile(
    r'"""(?:\\.|[^\\])*?""""{0,2}'
    r"|'''.*?''''{0,2}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'"
    r"|#[^\n]*"
    r"|[][{}\n]"
    r"|[^][{}\n\"'#]+",
    re.DOTALL,
)


def positions_of(text: str) -> Positions:
    """The positions of all tables and keys of a valid document; of a table of arrays the last one."""
    lines = _Lines(text)
    found: dict[tuple[str, ...], tuple[int, int]] = {}
    table: tuple[str, ...] = ()
    at = _skip(_BLANK, text, 0)
    while at < len(text):
        begin = at
        header = text[at] == "["
        if header:
            at += 2 if text.startswith("[[", at) else 1
        keys, at = _keys(text, at)
        if not keys:  # nothing that tomllib would have read
            break
        table = keys if header else table
        path = keys if header else (*table, *keys)
        for length in range(1, len(path) + 1):
            found.setdefault(path[:length], lines.position(begin))
        found[path] = lines.position(begin)
        at = _skip(_BLANK, text, _end_of_line(text, at) if header else _end_of_value(text, at))
    return found


class _Lines:
    """Turns ever larger offsets into lines and columns."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._line, self._begin = 1, 0

    def position(self, at: int) -> tuple[int, int]:
        self._line += self._text.count("\n", self._begin, at)
        self._begin = max(self._begin, self._text.rfind("\n", self._begin, at) + 1)
        return self._line, at - self._begin + 1


def _keys(text: str, at: int) -> tuple[tuple[str, ...], int]:
    """A dotted key, and where it ends."""
    keys: list[str] = []
    while found := _KEY.match(text, at):
        name, at = found[1], found.end()
        keys.append(tomllib.loads(f"key = {name}")["key"] if name[0] in "\"'" else name)
        if not found[2]:
            break
    return tuple(keys), at


def _end_of_value(text: str, at: int) -> int:
    depth = 0
    while part := _PART_OF_VALUE.match(text, at):
        if part[0] == "\n" and not depth:
            break
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(part[0], 0)
        at = part.end()
    return at


def _end_of_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _skip(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at
