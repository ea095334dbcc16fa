"""YAML text of plain values, as people write it: for objects that they review before they apply them. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

#: What can be written.
Value: TypeAlias = "Mapping[str, Value] | list[Value] | str | int | bool"

#: Lines that a block keeps as they are: nothing that a reader folds, cuts or takes for the end.
_BLOCK = re.compile(r"(?:[!-~][ -~]*\n)+", re.ASCII)


def yaml_text(documents: Iterable[Mapping[str, Value]], head: str) -> str:
    """Documents in one file, after a comment. A text of several lines is a block, so that a PEM can be read."""
    bodies = ("".join(f"{line}\n" for line in _lines(document)) for document in documents)
    return f"# {head}\n" + "---\n".join(bodies)


def _lines(value: Value) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, found in value.items():
            yield from _entry(f"{key}:", found)
    elif isinstance(value, list):
        for found in value:
            first, *others = _lines(found) if isinstance(found, Mapping | list) and found else (_scalar(found),)
            yield from (f"- {first}", *(f"  {line}" for line in others))
    else:
        yield _scalar(value)


def _entry(key: str, value: Value) -> Iterator[str]:
    if isinstance(value, str) and _BLOCK.fullmatch(value):
        yield from (f"{key} |", *(f"  {line}" for line in value.splitlines()))
    elif isinstance(value, Mapping | list) and value:
        yield from (key, *(f"  {line}" for line in _lines(value)))
    else:
        yield f"{key} {_scalar(value)}"


def _scalar(value: Value) -> str:
    return json.dumps(value)
