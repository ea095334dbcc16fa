"""JSON from outside, read so that no two parsers can disagree about it.

Registries and container engines read JSON with Go, which ignores the case of keys and takes the last of two duplicates. What we
judge must be what they will see, so anything ambiguous is refused (docs/threats.md, rows 23 to 27).
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from airgap.errors import Damaged
from airgap.text import printable

MAX_INTEGER = 2**53
MAX_DEPTH = 32
#: A document may take so much memory when it is parsed, in bytes, unless its reader says otherwise.
MAX_MEMORY = 128 * 1024 * 1024


def parse_object(raw: bytes, where: str, most: int = MAX_MEMORY) -> dict[str, Any]:
    """Parse one JSON object strictly; anything but an object is refused, see :func:`parse`."""
    value = parse(raw, where, most)
    if not isinstance(value, dict):
        raise Damaged("not acceptable JSON: it is not a JSON object", where=where)
    return value


def parse(raw: bytes, where: str, most: int = MAX_MEMORY) -> Any:
    """Parse one JSON value strictly.

    Refused: invalid UTF-8, a byte-order mark, lone surrogates, duplicate keys at any level, ``NaN`` and ``Infinity``,
    nesting deeper than 32, anything after the value.

    Args:
        raw: the bytes; the caller has capped their length.
        where: what the bytes are, for the message.
        most: the memory that the value may take, in bytes; what could take more is not parsed.

    Raises:
        Damaged: with the reason.
    """
    check_memory(memory_of(raw), most, where)
    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=no_duplicates, parse_constant=no_constant)
        check_inside(value, halves=b"\\u" in raw)
    except (ValueError, RecursionError) as error:
        raise unacceptable(error, where) from error
    return value


def memory_of(raw: bytes | str, *, keys: bool = True) -> int:
    """The most memory that a document can take as Python's objects, in bytes: counted by its signs, so that it need not be parsed.

    A few bytes of JSON may become a hundred and more. Strings count with their text twice, once as the document and once as values.
    Without ``keys`` it is that of what is made of them, whose keys are not kept.
    """
    comma, brackets, braces, colon, quote = (",", "[", "{", ":", '"') if isinstance(raw, str) else (b",", b"[", b"{", b":", b'"')
    wide = 1 if raw.isascii() else 4
    values = raw.count(comma)  # type: ignore[arg-type]
    named = min(raw.count(colon), raw.count(quote) // 2) if keys else 0  # type: ignore[arg-type]
    held = 48 * values + 96 * raw.count(brackets) + 224 * raw.count(braces) + 64 * (raw.count(quote) // 2)  # type: ignore[arg-type]
    return held + 160 * named + 2 * wide * len(raw)


def check_memory(needed: int, most: int, where: str) -> None:
    """Refuse a document before it takes more than it may. Raises ``Damaged``."""
    if needed > most:
        raise Damaged(
            "the document needs too much memory to parse safely",
            where=where,
            expected=f"at most {most >> 20} MiB",
            got=f"up to {needed >> 20} MiB",
        )


def unacceptable(error: Exception, where: str) -> Damaged:
    """The error for what is not JSON, or not strict."""
    reason = "nested too deeply" if isinstance(error, RecursionError) else printable(str(error), 200)
    if "utf-8-sig" in reason:
        return Damaged("not acceptable JSON: it begins with a byte-order mark", where=where, expected="UTF-8 without one")
    return Damaged(f"not acceptable JSON: {reason}", where=where)


def refuse_lookalikes(value: dict[str, Any], known: Iterable[str], where: str) -> None:
    """Refuse keys that Go would take for a known field although they are spelled differently (``Layers``, ``layerſ``)."""
    names = {name.casefold(): name for name in known}
    for key in value:
        name = names.get(key.casefold())
        if name is not None and key != name:
            raise Damaged("other parsers would confuse this key with another", where=where, expected=name, got=printable(key))


def integer(value: object, where: str) -> int:
    """A whole number from 0 to below 2^53: sizes and counts."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < MAX_INTEGER:
        raise Damaged("not a valid number", where=where, expected="a whole number from 0 to 2^53", got=printable(str(value), 60))
    return value


def string(value: object, where: str) -> str:
    """A string."""
    if not isinstance(value, str):
        raise Damaged("not a string", where=where, got=printable(str(value), 60))
    return value


def array(value: object, where: str) -> list[Any]:
    """A list."""
    if not isinstance(value, list):
        raise Damaged("not a list", where=where, got=printable(str(value), 60))
    return value


def mapping(value: object, where: str) -> dict[str, Any]:
    """An object."""
    if not isinstance(value, dict):
        raise Damaged("not an object", where=where, got=printable(str(value), 60))
    return value


def canonical(value: object) -> bytes:
    """The one way in which we write JSON: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8")


def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of these pairs, for the parser. Raises ``ValueError`` when one key is there twice."""
    result = dict(pairs)
    if len(result) != len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise ValueError(f"duplicate key {next(key for key in counts if counts[key] > 1)!r}")
    return result


def no_constant(name: str) -> None:
    """Refuse ``NaN`` and ``Infinity``, for the parser. Raises ``ValueError``."""
    raise ValueError(f"{name} is not a number")


def check_inside(value: object, *, halves: bool, depth: int = MAX_DEPTH) -> None:
    """Refuse deep nesting, and with ``halves`` texts and keys that hold half a character: only escapes can write one.

    Walked in place, so that it takes no memory of its own to speak of.

    Raises:
        ValueError: one of these.
    """
    stack = [iter((value,))]
    while stack:
        for one in stack[-1]:
            if halves and isinstance(one, str):
                one.encode()
            inside = _children(one, halves)
            if inside is not None:
                stack.append(inside)
                break
        else:
            stack.pop()
        if len(stack) > depth + 1:
            raise ValueError(f"nested deeper than {MAX_DEPTH} levels")


def _children(value: object, with_keys: bool) -> Iterator[object] | None:
    if isinstance(value, dict):
        return itertools.chain(value, value.values()) if with_keys else iter(value.values())
    return iter(value) if isinstance(value, list) else None
