"""Change one value of a JSON text and leave every other byte of it as it is (pure).

A policy is written by people, too: their order, their spaces and the transports that they copied from elsewhere are theirs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

#: Where a value is: keys of objects and positions in lists, from the outermost one.
Place: TypeAlias = Sequence[str | int]

_DECODER = json.JSONDecoder()
_BLANKS = re.compile(r"[ \t\n\r]*")


@dataclass(frozen=True, slots=True)
class _Node:
    """A value in the text; the entries of an object or a list with where each of them, its key first, begins."""

    start: int
    end: int
    entries: dict[str | int, tuple[int, _Node]]


def with_value(text: str, place: Place, value: Any) -> str:
    """The text with this value there: it replaces the one that is there, else it comes last; missing objects are made.

    Args:
        text: a JSON object, valid and without duplicate keys.
        place: where the value belongs; the number after the last entry of a list appends to it.
        value: what ``json`` can write.
    """
    root = node = _node(text, _skip(text, 0))
    for depth, step in enumerate(place):
        if step not in node.entries:
            for key in reversed(place[depth + 1 :]):
                value = {key: value}
            return _inserted(text, root, node, step, value)
        node = node.entries[step][1]
    return text[: node.start] + _written(text, root, value, _indent(text, node.start)) + text[node.end :]


def without(text: str, place: Place) -> str:
    """The text without the entry that is there, and without its comma. Raises ``KeyError`` if there is none."""
    node = _node(text, _skip(text, 0))
    for step in place[:-1]:
        node = node.entries[step][1]
    keys = list(node.entries)
    number = keys.index(place[-1]) if place[-1] in node.entries else None
    if number is None:
        raise KeyError(place[-1])
    start, child = node.entries[place[-1]]
    if len(keys) == 1:
        return text[: node.start + 1] + text[node.end - 1 :]
    if number:
        return text[: node.entries[keys[number - 1]][1].end] + text[child.end :]
    return text[:start] + text[node.entries[keys[1]][0] :]


def _node(text: str, at: int) -> _Node:
    if text[at] not in "{[":
        return _Node(at, _DECODER.raw_decode(text, at)[1], {})
    start, entries = at, dict[str | int, tuple[int, _Node]]()
    at = _skip(text, at + 1)
    while text[at] not in "}]":
        begin = at = _skip(text, at + 1) if text[at] == "," else at
        key: str | int = len(entries)
        if text[start] == "{":
            key, at = _DECODER.raw_decode(text, at)
            at = _skip(text, _skip(text, at) + 1)  # behind the colon
        entries[key] = begin, _node(text, at)
        at = _skip(text, entries[key][1].end)
    return _Node(start, at + 1, entries)


def _inserted(text: str, root: _Node, node: _Node, key: str | int, value: Any) -> str:
    name = f"{json.dumps(key, ensure_ascii=False)}: " if text[node.start] == "{" else ""
    unit, line = _unit(text, root), _indent(text, node.start)
    if not node.entries:
        entry = name + _written(text, root, value, line + unit)
        inside = f"{_newline(text)}{line}{unit}{entry}{_newline(text)}{line}" if unit else entry
        return text[: node.start + 1] + inside + text[node.end - 1 :]
    first, last = next(iter(node.entries.values()))[0], max(child.end for _, child in node.entries.values())
    if "\n" in text[node.start : first]:  # each entry has a line of its own
        line = _indent(text, first)
        return f"{text[:last]},{_newline(text)}{line}{name}{_written(text, root, value, line)}{text[last:]}"
    return f"{text[:last]}, {name}{json.dumps(value, ensure_ascii=False)}{text[last:]}"


def _written(text: str, root: _Node, value: Any, line: str) -> str:
    """A value in the manner of the text, for a line that begins with these blanks."""
    unit = _unit(text, root)
    written = json.dumps(value, ensure_ascii=False, indent=unit or None)
    return written.replace("\n", _newline(text) + line)


def _unit(text: str, root: _Node) -> str:
    """The blanks by which the text indents; none if it is one line. A text without any entry is ours to form."""
    if not root.entries:
        return "  "
    first = next(iter(root.entries.values()))[0]
    return _indent(text, first) if "\n" in text[root.start : first] else ""


def _indent(text: str, at: int) -> str:
    """The blanks with which the line of a position begins."""
    line = text.rfind("\n", 0, at) + 1
    found = _BLANKS.match(text, line)
    return text[line : min(found.end(), at)] if found else ""


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _skip(text: str, at: int) -> int:
    found = _BLANKS.match(text, at)
    return found.end() if found else at
