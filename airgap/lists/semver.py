"""Versions in tags and ranges of them, as skopeo sync reads them.

Precedence is that of semver.org item 11. A tag counts as a version when it is one to three numbers with an optional ``v`` before
and an optional pre-release after them: ``1.27`` stands for 1.27.0, and ``1.27-alpine`` is a pre-release of it. The language of
ranges is in docs/lists.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from airgap.errors import UsageError
from airgap.text import printable

MAX_RANGE = 500
_LONGEST = 128  # characters: no tag is longer

_PRE = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_VERSION = re.compile(rf"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-({_PRE}))?(?:\+{_PRE})?", re.ASCII)
_WANTED = rf"v?(?:\d+|[xX*])(?:\.(?:\d+|[xX*])){{0,2}}(?:-{_PRE})?(?:\+{_PRE})?"
_TERM = re.compile(
    rf"(?P<low>{_WANTED})\s+-\s+(?P<high>{_WANTED})|(?P<operator>!=|>=|=>|<=|=<|~>|[=><~^])?\s*(?P<version>{_WANTED})", re.ASCII
)
_GAP = re.compile(r"\s*(?:,|(?<=\s)|$)\s*", re.ASCII)
_SPELLINGS = {"=>": ">=", "=<": "<=", "~>": "~", "": "="}


@dataclass(frozen=True, order=True)
class Version:
    """A version; versions compare by precedence."""

    numbers: tuple[int, ...]
    rank: tuple[tuple[int, int, str], ...]

    @classmethod
    def parse(cls, text: str) -> Version | None:
        """The version that a tag means, or None."""
        match = _VERSION.fullmatch(text) if len(text) <= _LONGEST else None
        return None if match is None else cls(tuple(int(part or 0) for part in match.groups()[:3]), _rank(match[4]))

    @property
    def is_pre_release(self) -> bool:
        """Whether it comes before the release of the same numbers."""
        return self.rank != _RELEASE


def _rank(pre: str | None) -> tuple[tuple[int, int, str], ...]:
    """What makes precedence of pre-releases: numbers by value and below words, the shorter of two first, the release last."""
    if not pre:
        return _RELEASE
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in pre.split("."))


_RELEASE = ((2, 0, ""),)


@dataclass(frozen=True)
class _Term:
    """One comparison: an operator and the numbers that were written, without wildcards."""

    operator: str
    given: tuple[int, ...]
    version: Version

    def holds(self, other: Version) -> bool:
        return _HOLDS[self.operator](self, other)

    def same(self, other: Version, depth: int) -> bool:
        """Whether the first ``depth`` numbers are equal."""
        return other.numbers[:depth] == self.version.numbers[:depth]

    def equals(self, other: Version) -> bool:
        return other == self.version if self.exact else self.same(other, len(self.given))

    def above(self, other: Version) -> bool:
        """Greater than everything that was written: ``>1.2`` begins with 1.3.0."""
        return other > self.version if self.exact else other.numbers[: len(self.given)] > self.given

    @property
    def exact(self) -> bool:
        return len(self.given) == 3

    @property
    def caret(self) -> int:
        """How many numbers ``^`` holds fast: up to the first that is not zero."""
        return next((depth for depth, number in enumerate(self.given, 1) if number), len(self.given))


_HOLDS: dict[str, Callable[[_Term, Version], bool]] = {
    "=": _Term.equals,
    "!=": lambda term, other: not term.equals(other),
    ">": _Term.above,
    "<=": lambda term, other: not term.above(other),
    ">=": lambda term, other: other >= term.version,
    "<": lambda term, other: other < term.version,
    "~": lambda term, other: other >= term.version and term.same(other, min(len(term.given), 2)),
    "^": lambda term, other: other >= term.version and term.same(other, term.caret),
}


@dataclass(frozen=True)
class Range:
    """A range of versions: groups joined by ``||``, of comparisons that must all hold."""

    text: str
    groups: tuple[tuple[_Term, ...], ...]

    @classmethod
    def parse(cls, text: str) -> Range:
        """Read a range.

        Raises:
            UsageError: it is not one.
        """
        try:
            if len(text) > MAX_RANGE:
                raise ValueError
            return cls(text, tuple(_group(part.strip()) for part in text.split("||")))
        except ValueError:
            raise UsageError(
                "not a valid version range",
                expected="for instance >=1.2 <2, ^1.2, ~1.2.3, 1.2.x or 1.2 - 1.4",
                got=printable(text, 100),
            ) from None

    def holds(self, version: Version) -> bool:
        """Whether a version is in the range. A pre-release is only in a group in which a comparison names a pre-release."""
        return any(
            all(term.holds(version) for term in group)
            for group in self.groups
            if not version.is_pre_release or any(term.version.is_pre_release for term in group)
        )


def _group(text: str) -> tuple[_Term, ...]:
    terms: list[_Term] = []
    position = 0
    while match := _TERM.match(text, position):
        if match["low"]:
            terms += [_term(">=", match["low"]), _term("<=", match["high"])]
        else:
            terms.append(_term(match["operator"] or "", match["version"]))
        gap = _GAP.match(text, match.end())
        position = match.end() if gap is None else gap.end()
        if position == len(text):
            return tuple(terms)
        if gap is None:
            break
    raise ValueError


def _term(operator: str, text: str) -> _Term:
    numbers, _, pre = text.removeprefix("v").partition("+")[0].partition("-")
    parts = numbers.split(".")
    given = tuple(int(part) for part in parts if part.isdigit())
    wild = len(given) < len(parts)
    if (wild and not all(part in "xX*" for part in parts[len(given) :])) or (pre and len(given) < 3 and wild):
        raise ValueError
    padded = (*given, 0, 0, 0)[:3]
    if pre:  # 1.2-beta is 1.2.0-beta, and nothing else
        given = padded
    return _Term(_SPELLINGS.get(operator, operator), given, Version(padded, _rank(pre)))
