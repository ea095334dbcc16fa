"""Rules that choose tags of a repository: by pattern, by version range, the newest N. Pure; no registry is queried here."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from airgap.errors import UsageError
from airgap.lists.expressions import compiled, engine
from airgap.lists.semver import Range, Version
from airgap.text import printable

MAX_PATTERN = 1000
#: The most tags one rule may choose.
MAX_CHOSEN = 100_000

#: Tags that stand for a digest hold what hangs off an image (cosign, referrers fallback): they travel with their image only.
_DIGEST_TAG = re.compile(r"sha(?:256-[0-9a-f]{64}|512-[0-9a-f]{64,128})(?:\..*)?", re.ASCII)
_DIGITS = re.compile(r"(\d+)", re.ASCII)


@dataclass(frozen=True)
class Pattern:
    """A regular expression in RE2's language, that of skopeo: linear in time, whatever the expression and the tag."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Check an expression.

        Raises:
            UsageError: it is invalid or too large.
        """
        expected = f"RE2 syntax, at most {MAX_PATTERN} characters"
        try:
            if len(text) > MAX_PATTERN:
                raise UsageError("the regular expression is too long", expected=expected, got=printable(text, 100))
            compiled(text)
        except engine().error as error:
            reason = error.args[0].decode(errors="replace") if error.args and isinstance(error.args[0], bytes) else str(error)
            raise UsageError("not a valid regular expression", expected=expected, got=printable(reason, 200)) from None
        except UnicodeEncodeError:
            raise UsageError("not a valid regular expression", expected=expected, got=printable(text, 100)) from None
        return cls(text)

    def found_in(self, tag: str) -> bool:
        """Whether it matches anywhere in the tag; ``^`` and ``$`` bind it to the ends."""
        return compiled(self.text).search(tag) is not None


@dataclass(frozen=True)
class TagRule:
    """Which tags of a repository are meant.

    Attributes:
        patterns: one of them must match, where there are any.
        versions: the tag must be a version in this range.
        newest: only this many, the highest first: by precedence of versions with ``versions``, else in natural order.
        excluded: tags that are left out.
        excluded_patterns: tags are left out that one of these matches.
    """

    patterns: tuple[Pattern, ...] = ()
    versions: Range | None = None
    newest: int | None = None
    excluded: frozenset[str] = frozenset()
    excluded_patterns: tuple[Pattern, ...] = ()

    def holds(self, tag: str) -> bool:
        """Whether a tag is meant, leaving ``newest`` aside."""
        if _DIGEST_TAG.fullmatch(tag) or tag in self.excluded:
            return False
        if self.patterns and not any(pattern.found_in(tag) for pattern in self.patterns):
            return False
        if any(pattern.found_in(tag) for pattern in self.excluded_patterns):
            return False
        version = Version.parse(tag) if self.versions else None
        return self.versions is None or (version is not None and self.versions.holds(version))

    @property
    def order(self) -> Callable[[str], Any]:
        """The key by which tags are compared: the newest is the highest. Total, so that the result depends on the tags alone."""
        return _by_version if self.versions is not None else _by_nature

    def facts(self) -> dict[str, Any]:
        """Everything the rule says, for a digest over it."""
        said: dict[str, Any] = {
            "regex": [pattern.text for pattern in self.patterns],
            "semver": self.versions.text if self.versions else "",
            "newest": self.newest or 0,
            "exclude": sorted(self.excluded),
            "exclude-regex": [pattern.text for pattern in self.excluded_patterns],
        }
        return {name: value for name, value in said.items() if value}

    def __str__(self) -> str:
        shown = "; ".join(f"{name} {', '.join(v) if isinstance(v, list) else v}" for name, v in self.facts().items())
        return printable(shown, 300) or "any tag"


class Chooser:
    """Takes the tags of a repository one by one and keeps those that a rule chooses."""

    def __init__(self, rule: TagRule) -> None:
        self._rule = rule
        self._kept: dict[str, None] = {}
        self._limit = MAX_CHOSEN if rule.newest is None else min(rule.newest, MAX_CHOSEN)

    def offer(self, tag: str) -> None:
        """One more tag; the same one may come twice.

        Raises:
            UsageError: the rule chooses too many.
        """
        if not self._rule.holds(tag):
            return
        self._kept[tag] = None
        if self._rule.newest is None and len(self._kept) > self._limit:
            raise UsageError(
                "a rule selects too many tags", expected=f"at most {MAX_CHOSEN}", got=str(self._rule), hint="make it narrower"
            )
        if self._rule.newest is not None and len(self._kept) >= 2 * self._limit + 100:
            self._kept = dict.fromkeys(self.chosen())

    def chosen(self) -> list[str]:
        """What was chosen, the newest first."""
        return sorted(self._kept, key=self._rule.order, reverse=True)[: self._limit]


def _by_version(tag: str) -> tuple[Version | None, Any]:
    return Version.parse(tag), _by_nature(tag)


def _by_nature(tag: str) -> tuple[list[tuple[int, int, str]], str]:
    """Numbers by value and before words: ``9`` before ``10``, ``1.9`` before ``1.10``."""
    parts = [part for part in _DIGITS.split(tag) if part]
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts], tag
