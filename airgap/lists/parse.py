"""One image list: from bytes to text to entries. The kind of list is told from its content, never from its name."""

from __future__ import annotations

import re

from airgap.errors import UsageError
from airgap.lists.entry import Entry
from airgap.lists.mistakes import Mistakes, Spot
from airgap.lists.values import MAX_ENTRIES, too_many, wished_reference
from airgap.lists.yamllist import parse_yaml

#: No image list may be larger, in bytes.
MAX_INPUT = 16 * 1024 * 1024

# Everything that a person cannot see or that some reader takes for a line end: it would hide what a list really asks for.
_INVISIBLE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_YAML_START = re.compile(r"---(\s|$)|%YAML|[\[{&*!|>]|-(\s|$)|(\"[^\"]*\"|'[^']*'|[^\s#:\"']+)\s*:(\s|$)|\?\s")
_COMMENT = re.compile(r"(^|\s)#.*")


def parse_list(data: bytes, name: str) -> list[Entry]:
    """Read an image list: YAML (or JSON) with ``images:``, or plain text with one reference a line.

    Args:
        data: the file's bytes, UTF-8, at most ``MAX_INPUT``.
        name: the file's name, for messages and origins.

    Raises:
        UsageError: the list has a mistake (with file:line:column) or several (all of them in one error), or is empty.
    """
    mistakes = Mistakes(name)
    if len(data) > MAX_INPUT:
        raise UsageError("the image list is too large", where=mistakes.name, expected=f"{MAX_INPUT} bytes at most")
    text = _decode(data, mistakes)
    entries = parse_yaml(text, mistakes) if _looks_like_yaml(text) else _parse_text(text, mistakes)
    mistakes.raise_any()
    if not entries:
        raise UsageError(
            "the image list is empty",
            where=f"{mistakes.name}:1:1",
            expected="one reference a line, or YAML with images: and a list of references",
            got="no reference at all",
        )
    return entries


def _decode(data: bytes, mistakes: Mistakes) -> str:
    hint = "save the list as UTF-8 without a byte order mark"
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        got = data[error.start : error.end].hex(" ")
        mistakes.add(_spot(before, len(before)), "not UTF-8 text", expected="UTF-8", got=got, hint=hint)
        mistakes.raise_any()
        raise  # not reached: there is a mistake
    if text.startswith("\ufeff"):
        mistakes.add(Spot(1, 1), "a byte order mark", expected="UTF-8 without one", got="\ufeff", hint=hint)
        text = text[1:]
    text = text.replace("\r\n", "\n")
    for number, line in enumerate(text.split("\n"), 1):
        for found in _INVISIBLE.finditer(line):
            spot = Spot(number, found.start() + 1)
            if found[0] == "\t":
                mistakes.add(spot, "a tab", expected="spaces", got="\t")
            else:
                mistakes.add(spot, "a control or invisible character", expected="visible text", got=found[0])
    mistakes.raise_any()
    return text


def _spot(text: str, index: int) -> Spot:
    return Spot(text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))


def _looks_like_yaml(text: str) -> bool:
    for line in text.split("\n"):
        content = _COMMENT.sub("", line).strip()
        if content:
            return _YAML_START.match(content) is not None
    return False


def _parse_text(text: str, mistakes: Mistakes) -> list[Entry]:
    entries: list[Entry] = []
    for number, line in enumerate(text.split("\n"), 1):
        content = _COMMENT.sub("", line).strip()
        if not content:
            continue
        spot = Spot(number, line.index(content) + 1)
        if len(entries) == MAX_ENTRIES:
            too_many(spot, mistakes)
            break
        reference = wished_reference(content, spot, mistakes)
        if reference is not None:
            entries.append(Entry(reference, (), mistakes.origin(spot)))
    return entries
