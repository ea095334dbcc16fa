"""A short notation for the keys of a document, and the JSON Schema (draft 2020-12) that it means. Pure.

``bundle volumes(name size) expires?``: keys in order; ``?`` after one that may be missing; in parentheses the keys of the object,
of every object in the list, or of every value in the map. A key that stands twice is what it is the second time. What a key holds
and means is said once, in a table of keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

#: What a key holds, by a word of ``_TYPES`` or as a JSON Schema, and what that means.
Key: TypeAlias = tuple[str | dict[str, Any], str]
Keys: TypeAlias = Mapping[str, Key]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_DIGEST = {"type": "string", "pattern": "^sha(256|512):[0-9a-f]{64,128}$"}
_TIME = {"type": "string", "pattern": r"^[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-9:]{8}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$"}
_TYPES: dict[str, dict[str, Any]] = {
    "text": {"type": "string"},
    "number": {"type": "integer"},
    "yes or no": {"type": "boolean"},
    "digest": _DIGEST,
    "time": _TIME,
    "texts": {"type": "array", "items": {"type": "string"}},
    "numbers": {"type": "array", "items": {"type": "integer"}},
    "digests": {"type": "array", "items": _DIGEST},
    "object": {"type": "object"},
    "objects": {"type": "array"},
    "map of numbers": {"type": "object", "additionalProperties": {"type": "integer"}},
    "map of texts": {"type": "object", "additionalProperties": {"type": "string"}},
    "map of objects": {"type": "object"},
    "any value": {"type": ["string", "integer", "number", "boolean", "array"]},
}
_OR_NULL = " or null"
_WORD = re.compile(r"[a-z0-9_A-Z]+|[()?]")


def schema(name: str, title: str, about: str, notation: str, keys: Keys) -> dict[str, Any]:
    """The JSON Schema of a document.

    Args:
        name: what its key ``schema`` says, such as ``airgap.import/1``.
        title: what it is, in a few words.
        about: what its readers must know.
        notation: its keys other than ``schema``.
        keys: what every key holds and means.

    Raises:
        KeyError: a key is not in the table.
        ValueError: the notation has a mistake.
    """
    words = iter([*_WORD.findall(notation), ")"])
    body = _record(words, keys)
    if next(words, None) is not None:
        raise ValueError(f"{name}: a parenthesis too many")
    properties = {"schema": {"const": name}, **body["properties"]}
    return {
        "$schema": DIALECT,
        "$id": f"urn:{name.replace('.', ':').replace('/', ':')}",
        "title": title,
        "description": about,
        **body,
        "properties": properties,
        "required": ["schema", *body["required"]],
    }


def optional(notation: str) -> str:
    """A notation whose keys may all be missing; those of the objects in it as before."""
    depth, found = 0, []
    for word in _WORD.findall(notation):
        depth += {"(": 1, ")": -1}.get(word, 0)
        found.append(word if depth or word in "()?" else f"{word}?")
    return " ".join(found)


def _record(words: Iterator[str], keys: Keys) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    optional: set[str] = set()
    last = ""
    for word in words:
        if word == ")":
            required = [key for key in properties if key not in optional]
            return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
        if word == "?":
            optional.add(last)
        elif word == "(":
            properties[last] = _with_parts(properties[last], _record(words, keys), str(keys[last][0]))
        else:
            last = word
            optional.discard(word)
            properties[last] = _value(*keys[last])
    raise ValueError(f"{last}: a parenthesis is not closed")


def _value(kind: str | dict[str, Any], about: str) -> dict[str, Any]:
    if isinstance(kind, dict):
        return {**kind, "description": about}
    found = dict(_TYPES[kind.removesuffix(_OR_NULL)])
    if kind.endswith(_OR_NULL):
        found["type"] = [found["type"], "null"]
    return {**found, "description": about}


def _with_parts(value: dict[str, Any], parts: dict[str, Any], kind: str) -> dict[str, Any]:
    """A value with the keys of its object, of the objects in its list, or of those in its map."""
    if value["type"] == "array":
        return {**value, "items": parts}
    if kind.startswith("map"):
        return {**value, "additionalProperties": parts}
    return {**value, **parts, "type": value["type"]}
