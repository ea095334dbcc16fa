"""What people read, in their language: finished English lines are recognised by their shape and said again. JSON stays English.

The code writes its sentences in English, with values in them. A catalogue (gettext) has each sentence with ``{0}``, ``{1}``, ... in
place of the values. A line is translated by the sentence with the most text of its own that fits; then so are its values, which
may be sentences themselves. What fits nothing stays as it is. The language is that of the environment, as gettext(3) finds it:
LANGUAGE, LC_ALL, LC_MESSAGES, LANG.
"""

from __future__ import annotations

import gettext
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TextIO

from airgap.cli.terminal.cells import cells

#: Where the catalogues are, and the list of what they translate, which ``scripts/make-catalogue`` reads from the sources.
LOCALE = Path(__file__).parents[2] / "locale"
PHRASES = LOCALE / "phrases.json"
DOMAIN = "airgap"

_HOLE = re.compile(r"\{(n|\d+)\}")
_COUNT = re.compile(r"[0-9]+([.,][0-9]+)*")
_LABELLED = re.compile(r"([^\s:]+(?: [^\s:]+){0,2}) {2,}(?=\S)")  # the label of a line of a result, and the spaces behind it
_LEAST = 3  # letters that a sentence must have to be recognised by, in words other than these
_WEAK = re.compile(r"\b(and|for|of|in|on|at|to|from|by|is|the|use|with)\b")
_DEEPEST = 6  # values in values
_LONGEST = 8000  # characters of a line that is looked at
_SAID = re.compile(r" (?=(?:is|are|was|has|cannot|ended|does) )")
_BETWEEN = (("; ", "；"), (", ", "，"), (": ", "："))
_KINDS = ("error", "warning", "note")  # of messages, before a colon
_SAMPLE = "中文"


@dataclass(frozen=True, slots=True)
class _Shape:
    """One sentence: the text around its values, and what it is called in the other language."""

    literals: tuple[str, ...]
    names: tuple[str, ...]
    shown: str

    @classmethod
    def of(cls, phrase: str, shown: str) -> _Shape:
        parts = _HOLE.split(phrase)
        return cls(tuple(map(_plain, parts[::2])), tuple(parts[1::2]), shown)

    @property
    def letters(self) -> int:
        return sum(map(str.isalpha, _WEAK.sub("", " ".join(self.literals))))

    @property
    def rank(self) -> tuple[int, int]:
        """How surely it is recognised."""
        return self.letters, sum(map(len, self.literals))

    def values(self, text: str) -> dict[str, str] | None:
        """What stands for the values in a text that has this shape, in one pass; None if it has another."""
        first, *middle = self.literals
        last = middle.pop()
        position, end = len(first), len(text) - len(last)
        if position > end or not text.startswith(first) or not text.endswith(last):
            return None
        found: list[str] = []
        for literal in middle:
            at = text.find(literal, position, end)
            if at < 0:
                return None
            found.append(text[position:at])
            position = at + len(literal)
        values = dict(zip(self.names, [*found, text[position:end]], strict=True))
        return values if "n" not in values or _COUNT.fullmatch(values["n"]) else None

    def filled(self, values: Mapping[str, str]) -> str:
        """The translation with the values in it."""
        return "".join(values[part] if odd else _plain(part) for part, odd in _parts(self.shown))


def _parts(text: str) -> Iterable[tuple[str, bool]]:
    return ((part, bool(number % 2)) for number, part in enumerate(_HOLE.split(text)))


def _plain(text: str) -> str:
    return text.replace("{{", "{").replace("}}", "}")


class Phrases:
    """The sentences of one language.

    Args:
        phrases: translations by the English sentence with its holes.
        labels: translations of the words that lines begin with.
    """

    def __init__(self, phrases: Mapping[str, str], labels: Mapping[str, str]) -> None:
        self._labels = labels
        self._exact = {_plain(phrase): _plain(shown) for phrase, shown in phrases.items() if not _HOLE.search(phrase)}
        shapes = [_Shape.of(phrase, shown) for phrase, shown in phrases.items() if _HOLE.search(phrase)]
        shapes = sorted(
            (one for one in shapes if one.letters >= _LEAST),
            key=lambda one: (one.letters, len("".join(one.literals))),
            reverse=True,
        )
        self._by_beginning: dict[str, list[tuple[int, _Shape]]] = {}
        for rank, one in enumerate(shapes):
            self._by_beginning.setdefault(one.literals[0][:1], []).append((rank, one))

    def translated(self, text: str) -> str:
        """A message, a fact of an error or a line of a result, in this language as far as it is known; never raises."""
        if len(text) > _LONGEST or not text:
            return text
        lines = text.split("\n")
        if len(lines) > 1 and (whole := self._phrase(text, _DEEPEST)) is not None:
            return whole
        return "\n".join(self._line(line) for line in lines)

    def label(self, text: str) -> str:
        """A word before a fact."""
        return self._labels.get(text, text)

    def _line(self, line: str) -> str:
        label = _LABELLED.match(line)
        if label is None:
            word, colon, reason = line.partition(": ")
            is_kind = bool(colon) and word in _KINDS
            return f"{self.label(word)}：{self._value(reason, _DEEPEST)}" if is_kind else self._value(line, _DEEPEST)
        whole = self._phrase(line, _DEEPEST, label.end())
        if whole is not None and (own := _LABELLED.match(whole)) is not None:
            return _aligned(own[1], whole[own.end() :], label.end())
        rest = line[label.end() :]
        word, colon, reason = rest.partition(": ")
        if label[1] == "result" and word in self._labels and self._phrase(rest, 1, len(word) + 1) is None:
            rest = self._labels[word] + (f"：{self._value(reason, _DEEPEST)}" if colon else "")
        else:
            rest = self._value(rest, _DEEPEST)
        return _aligned(self.label(label[1]), rest, label.end())

    def _value(self, text: str, depth: int) -> str:
        """A text that may be a sentence, several, or none."""
        if depth == 0 or not text.strip():
            return text
        if (whole := self._phrase(text, depth)) is not None:
            return whole
        inner = text.strip()
        if inner != text:
            return text.replace(inner, self._value(inner, depth), 1)
        for between, shown in _BETWEEN:
            pieces = text.split(between)
            if 1 < len(pieces) <= 100:
                said = [self._value(piece, depth - 1) for piece in pieces]
                if said != pieces:
                    return shown.join(said)
        if text.endswith(")") and " (" in text:
            head, _, tail = text[:-1].partition(" (")
            said = [self._value(head, depth - 1), self._value(tail, depth - 1)]
            return text if said == [head, tail] else f"{said[0]}（{said[1]}）"
        return text

    def _phrase(self, text: str, depth: int, beginning: int = 0) -> str | None:
        """A text that is one sentence, whose own text goes on for at least ``beginning`` characters; None if there is none."""
        if (shown := self._exact.get(text)) is not None:
            return shown
        if " " not in text and "\n" not in text:  # a name, a digest, a path: never one of ours
            return None
        nearest = [*self._by_beginning.get(text[:1], ()), *(self._by_beginning.get("", ()) if not beginning else ())]
        for _, shape in sorted(nearest, key=lambda one: one[0]):
            values = shape.values(text) if len(shape.literals[0]) >= beginning else None
            if values is not None:
                is_thing = shape.letters * 2 < sum(map(str.isalpha, text)) and not any(map(_SAID.search, shape.literals))
                said = self._said_of(text, depth) if is_thing and not beginning else None
                return said or shape.filled({name: self._value(value, depth - 1) for name, value in values.items()})
        return self._said_of(text, depth) if not beginning else None

    def _said_of(self, text: str, depth: int) -> str | None:
        """What is put together as a thing and what is wrong with it: "volume 1 of 2" and "is missing"."""
        for found in list(_SAID.finditer(text))[:8] if depth > 1 else ():
            thing, said = text[: found.start()], self._phrase(text[found.end() :], depth - 1, _LEAST)
            if said is not None:
                return f"{self._value(thing, depth - 1)} {said}"
        return None


def _aligned(label: str, rest: str, width: int) -> str:
    return f"{label}{' ' * max(2, width - cells(label))}{rest}"


@cache
def _phrases() -> Phrases | None:
    """The catalogue of the environment's language; None if that is English or has none."""
    try:
        language = gettext.translation(DOMAIN, LOCALE)
        known = json.loads(PHRASES.read_bytes())
    except (OSError, ValueError):
        return None
    phrases: dict[str, str] = {one: language.gettext(one) for one in known["phrases"]}
    for one, many in known["counts"]:
        phrases |= {one: language.ngettext(one, many, 1), many: language.ngettext(one, many, 2)}
    labels = {one: language.pgettext("label", one) for one in known["labels"]}
    return Phrases({one: shown for one, shown in phrases.items() if one != shown}, labels)


def translated(text: str, stream: TextIO) -> str:
    """A text in the language of the environment, if the stream can show it (README: messages in Chinese).

    Args:
        text: English, printable; may have several lines.
        stream: where it will be written.
    """
    phrases = _phrases() if _shows(stream) else None
    return text if phrases is None else phrases.translated(text)


def _shows(stream: TextIO) -> bool:
    try:
        _SAMPLE.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def label(text: str, stream: TextIO) -> str:
    """A word that stands before a fact, such as ``where`` of an error, or names a stage of the work."""
    phrases = _phrases() if _shows(stream) else None
    return text if phrases is None else phrases.label(phrases.translated(text))
