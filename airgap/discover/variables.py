"""Variables in texts, as the shell, Compose, Containerfiles and envsubst write them: ``$X``, ``${X:-default}``; and .env files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_OPERATOR = re.compile(r":?[-=?+]")
_LONGEST = 4096  # characters of a result: no image is longer, and a few lines could stand for gigabytes
_DEEPEST = 10
_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.-]*)\s*[=:]\s*(.*)", re.ASCII)
_QUOTED = re.compile(r"'([^']*)'|\"((?:[^\"\\]|\\.)*)\"")


@dataclass(frozen=True)
class Expanded:
    """A text with its variables replaced.

    Attributes:
        missing: the variables without a value; the text has nothing in their place.
        defaults: those that have the default written beside them.
    """

    text: str
    missing: tuple[str, ...] = ()
    defaults: tuple[str, ...] = ()


class _Expansion:
    def __init__(self, values: Mapping[str, str], escape: str) -> None:
        self._values = values
        self._escape = escape
        self.missing: dict[str, None] = {}
        self.defaults: dict[str, None] = {}

    def text(self, text: str, depth: int = 0) -> str:
        if depth == _DEEPEST or len(text) > _LONGEST:
            self.missing[text[:40]] = None
            return ""
        parts, at, length = list[str](), 0, 0
        while length <= _LONGEST and (dollar := text.find("$", at)) >= 0:
            if self._escape == "\\" and dollar > at and text[dollar - 1] == "\\":
                parts += [text[at : dollar - 1], "$"]
                at = dollar + 1
                continue
            parts.append(text[at:dollar])
            part, at = self._variable(text, dollar, depth)
            parts.append(part)
            length += len(part)
        return "".join([*parts, text[at:]])

    def _variable(self, text: str, dollar: int, depth: int) -> tuple[str, int]:
        """The value of the variable that begins at ``dollar``, and where the text continues."""
        after = dollar + 1
        if self._escape == "$" and text.startswith("$", after):
            return "$", after + 1
        if not text.startswith("{", after):
            name = _NAME.match(text, after)
            if name is None:
                self.missing["$"] = None
                return "", after
            return self._value(name[0], "", "", depth), name.end()
        end = _closing(text, after)
        inner = text[after + 1 : end]
        name = _NAME.match(inner)
        operator = _OPERATOR.match(inner, name.end()) if name else None
        if name is None or (operator is None and name.end() != len(inner)):
            self.missing[f"${{{inner[:40]}}}"] = None
            return "", end + 1
        word = inner[operator.end() :] if operator else ""
        return self._value(name[0], operator[0] if operator else "", word, depth), end + 1

    def _value(self, name: str, operator: str, word: str, depth: int) -> str:
        value = self._values.get(name)
        has = value is not None and (value != "" or not operator.startswith(":"))
        if operator.endswith("+"):
            return self.text(word, depth + 1) if has else ""
        if has:
            return value or ""
        if operator.endswith(("-", "=")):
            self.defaults[name] = None
            return self.text(word, depth + 1)
        self.missing[name] = None
        return ""


def expand(text: str, values: Mapping[str, str], escape: str = "") -> Expanded:
    """Replace the variables of a text.

    Args:
        escape: what makes a ``$`` an ordinary character: ``$`` (Compose), a backslash (Containerfiles) or nothing.
    """
    if "$" not in text:
        return Expanded(text)
    expansion = _Expansion(values, escape)
    result = expansion.text(text)
    if len(result) > _LONGEST:
        expansion.missing["a text of reasonable length"] = None
    return Expanded(result[:_LONGEST], tuple(expansion.missing), tuple(expansion.defaults))


def parse_env(text: str) -> dict[str, str]:
    """The variables of an environment file as Compose reads it; invalid lines are skipped, a later one wins."""
    values: dict[str, str] = {}
    for line in text.split("\n"):
        match = _LINE.fullmatch(line.rstrip())
        if match is None:
            continue
        quoted = _QUOTED.match(match[2])
        if quoted is not None and quoted[1] is not None:
            values[match[1]] = quoted[1]
            continue
        value = quoted[2] if quoted is not None else re.split(r"(?:^|\s)#", match[2], maxsplit=1)[0].rstrip()
        values[match[1]] = expand(value, values).text
    return values


def _closing(text: str, opening: int) -> int:
    """The index of the brace that closes the one at ``opening``; the text's end when there is none."""
    depth = 0
    for index in range(opening, min(len(text), opening + _LONGEST)):
        depth += (text[index] == "{") - (text[index] == "}")
        if not depth:
            return index
    return len(text)
