"""The rules of registries.conf: where images really are, which locations are blocked or insecure, and what short names mean.

Pure: the files are read by ``airgap.registry.settings.rulefiles``. Source: containers-registries.conf(5), version 2.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from airgap.errors import Refused, UsageError
from airgap.oci.reference import Repository
from airgap.text import printable


class Pulls(enum.StrEnum):
    """What a mirror is used for (``pull-from-mirror``)."""

    ALL = "all"
    DIGEST_ONLY = "digest-only"
    TAG_ONLY = "tag-only"


@dataclass(frozen=True)
class Mirror:
    """One ``[[registry.mirror]]``."""

    location: str
    pulls: Pulls = Pulls.ALL

    def serves(self, by_digest: bool) -> bool:
        """Whether it may be asked by digest, or by tag."""
        return self.pulls is not (Pulls.TAG_ONLY if by_digest else Pulls.DIGEST_ONLY)


@dataclass(frozen=True)
class Rule:
    """One ``[[registry]]``: for all names below ``prefix``.

    Args:
        prefix: ``HOST[:PORT][/path]``, or ``*.domain``.
        location: what the prefix is replaced by; ``""`` leaves names as they are.
        where: the file, for messages.
    """

    prefix: str
    location: str = ""
    blocked: bool = False
    mirrors: tuple[Mirror, ...] = ()
    where: str = ""

    def match(self, name: str) -> int:
        """How many leading characters of a repository's name the prefix matches; 0 if it does not match."""
        if self.prefix.startswith("*."):
            host, _, _ = name.partition("/")
            bare = host.partition(":")[0]
            return len(bare) if bare.endswith(self.prefix[1:]) else 0
        return len(self.prefix) if name == self.prefix or name.startswith(f"{self.prefix}/") else 0


@dataclass(frozen=True)
class Location:
    """Where an image may be read: a mirror of it, or its location."""

    repository: Repository
    is_mirror: bool


@dataclass(frozen=True)
class Rules:
    """Everything that the files say together.

    Args:
        rules: in the order of the files; each prefix once.
        insecure: by place (``HOST[:PORT][/path]`` or ``*.domain``), whether TLS there need not prove itself.
        aliases: what short names stand for.
    """

    rules: tuple[Rule, ...] = ()
    insecure: Mapping[str, bool] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)

    def find(self, name: str) -> Rule | None:
        """The rule with the longest match for a repository's name, or None."""
        best, length = None, 0
        for rule in self.rules:
            matched = rule.match(name)
            if matched > length or (matched == length and matched and best is not None and best.prefix.startswith("*.")):
                best, length = rule, matched
        return best

    def places(self, repository: Repository, by_digest: bool) -> tuple[Location, ...]:
        """Where to read a repository, in order: its mirrors, and last its location; places that are blocked are left out.

        Raises:
            Refused: nothing is left.
            UsageError: the rules make something of the name that is no repository.
        """
        name = str(repository)
        rule = self.find(name)
        if rule is None:
            return (Location(repository, False),)
        length = rule.match(name)
        mirrors = [
            Location(_moved(mirror.location, name[length:], rule), True) for mirror in rule.mirrors if mirror.serves(by_digest)
        ]
        location = _moved(rule.location, name[length:], rule) if rule.location else repository
        places = (*mirrors, Location(location, False))
        usable = tuple(place for place in places if self.blocking(place.repository) is None)
        usable = tuple(place for place in usable if place.is_mirror or not rule.blocked)
        if not usable:
            raise _blocked(name, rule)
        return usable

    def blocking(self, repository: Repository) -> Rule | None:
        """The rule that forbids to go to this very place, or None."""
        rule = self.find(str(repository))
        return rule if rule is not None and rule.blocked else None

    def check_open(self, host: str, path: str) -> None:
        """Refuse to go to a place that is blocked.

        Raises:
            Refused: it is.
        """
        name = f"{host}/{path}" if path else host
        rule = self.find(name)
        if rule is not None and rule.blocked:
            raise _blocked(name, rule)

    def is_insecure(self, host: str, path: str = "") -> bool:
        """Whether the most specific entry that covers a repository is marked insecure."""
        if not self.insecure:
            return False
        parts = path.split("/") if path else []
        names = ["/".join((host, *parts[:length])) for length in range(len(parts), -1, -1)]
        bare = host.partition(":")[0]
        names += [f"*{bare[at:]}" for at, character in enumerate(bare) if character == "."]
        return next((self.insecure[name] for name in names if name in self.insecure), False)

    def expand(self, text: str) -> str:
        """Expand a reference that is a short name with an alias; return any other reference unchanged.

        The registries of ``unqualified-search-registries`` are never searched: whoever owns a name there would decide.
        """
        if not self.aliases:
            return text
        name, at, digest = text.partition("@")
        head, colon, tag = name.rpartition(":")
        if not colon or "/" in tag:
            head, colon, tag = name, "", ""
        alias = self.aliases.get(head)
        return text if alias is None else f"{alias}{colon}{tag}{at}{digest}"


def _moved(location: str, rest: str, rule: Rule) -> Repository:
    try:
        return Repository.parse(f"{location}{rest}")
    except UsageError as error:
        raise UsageError(
            "registries.conf turns a name into an invalid repository",
            where=rule.where,
            expected=f"a location for {printable(rule.prefix)} with a host, in lower case",
            got=error.got,
        ) from error


def _blocked(name: str, rule: Rule) -> Refused:
    return Refused(
        f"{printable(name)} is blocked by registries.conf",
        where=rule.where,
        got=f'prefix = "{printable(rule.prefix)}", blocked = true',
        hint="unblock it there, or take the image from another source",
    )
