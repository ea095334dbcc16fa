"""The operator's rules for names at a registry: ``--map``. Pure.

A rule is one of (docs/targets.md has the grammar in full):

    image=SOURCE[:TAG]=PATH[:TAG]   one image, or all images of one repository
    prefix=SOURCE=PATH              everything at and below a source host, namespace or repository
    regex=EXPRESSION=REPLACEMENT    names that the expression (RE2) matches in full, host included; \\1 is its first group
    keep-host, strip-host           everything else, with or without its host; at most one of them, keep-host by default
    flatten, flatten=N              last of all: at most N components (1), the last ones joined by ``-``

Rules are tried in order, and the first that applies decides. A path is what follows the target's prefix.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from airgap.errors import UsageError
from airgap.lists.renames import Substitution
from airgap.oci.hosts import begins_with_host, canonical_scope, host_of_flat
from airgap.oci.reference import Reference, Repository
from airgap.text import printable

_EXPECTED = "keep-host, strip-host, flatten[=N], prefix=SOURCE=PATH, image=SOURCE=PATH, regex=EXPRESSION=REPLACEMENT"
_MOST_LEVELS = 16
MAX_RULES = 100_000


class RenameRule(enum.StrEnum):
    """The rule for a name that no other rule applies to."""

    KEEP_HOST = "keep-host"
    STRIP_HOST = "strip-host"


@dataclass(frozen=True)
class PrefixRule:
    """``prefix=SOURCE=PATH``."""

    source: str
    path: str

    def apply(self, repository: Repository, tag: str | None) -> tuple[str, str | None] | None:
        """The new path and tag; None if the rule does not apply."""
        name = str(repository)
        if name != self.source and not name.startswith(f"{self.source}/"):
            return None
        return "/".join(part for part in (self.path, name[len(self.source) :].strip("/")) if part), tag


@dataclass(frozen=True)
class SingleRule:
    """``image=SOURCE[:TAG]=PATH[:TAG]``; without a tag on the left every tag keeps its own."""

    source: str
    tag: str | None
    path: str
    new_tag: str | None

    def apply(self, repository: Repository, tag: str | None) -> tuple[str, str | None] | None:
        """As :meth:`PrefixRule.apply`."""
        if str(repository) != self.source or self.tag not in (None, tag):
            return None
        return self.path, self.new_tag or tag


@dataclass(frozen=True)
class Expression:
    """``regex=EXPRESSION=REPLACEMENT``."""

    substitution: Substitution

    def apply(self, repository: Repository, tag: str | None) -> tuple[str, str | None] | None:
        """As :meth:`PrefixRule.apply`."""
        path = self.substitution.apply(str(repository))
        return None if path is None else (path, tag)


@dataclass(frozen=True)
class RenameRules:
    """All rules of ``--map``.

    Attributes:
        renames: tried in this order.
        rest: the rule for names that none of them applies to.
        flat: the most components that a path may have; 0 for any number.
        said: the rules as written by the operator.
    """

    renames: tuple[PrefixRule | SingleRule | Expression, ...] = ()
    rest: RenameRule = RenameRule.KEEP_HOST
    flat: int = 0
    said: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join(self.said) or self.rest.value

    @property
    def is_plain(self) -> bool:
        """Whether all names of a source host stay together and unchanged: nothing but keep-host or strip-host."""
        return not self.renames and not self.flat

    def place(self, source: Repository, tag: str | None = None) -> tuple[str, str | None]:
        """The path below the target's prefix, and the tag, of an image.

        Raises:
            UsageError: a rule produces an invalid name.
        """
        path, new_tag = self._renamed(source, tag)
        if self.flat:
            parts = path.split("/")
            path = "/".join([*parts[: self.flat - 1], "-".join(parts[self.flat - 1 :])]) if len(parts) > self.flat else path
        try:
            Reference(Repository("example.org", path), new_tag, None)
        except UsageError as error:
            raise UsageError(
                "a mapping rule produces an invalid name",
                where=str(source),
                expected=error.expected.replace("HOST[:PORT]/", ""),
                got=printable(f"{path}:{new_tag}" if new_tag else path),
            ) from error
        return path, new_tag

    def _renamed(self, source: Repository, tag: str | None) -> tuple[str, str | None]:
        for rule in self.renames:
            found = rule.apply(source, tag)
            if found is not None:
                return found
        return (source.path if self.rest is RenameRule.STRIP_HOST else f"{kept_host(source)}/{source.path}"), tag


def kept_host(source: Repository) -> str:
    """The host as ``keep-host`` writes it.

    Raises:
        UsageError: it could be another host's name (``reg.corp-5000`` is also how ``reg.corp:5000`` is written).
    """
    other = host_of_flat(source.flat_host)
    if other != source.host:
        raise UsageError(
            "the name of this host would be ambiguous at the target",
            where=str(source),
            expected="a host name that stays unambiguous with its colons written as -",
            got=f"{source.flat_host}, which is how {other} is written" if other else source.flat_host,
            hint=f"map it to another name: --map prefix={source.host}=PATH",
        )
    return source.flat_host


KEEP = RenameRules()


def parse_rules(texts: Iterable[str | tuple[str, str]]) -> RenameRules:
    """Read rules.

    Args:
        texts: each rule, with its place in a file if known.

    Raises:
        UsageError: a rule has a mistake or can never apply.
    """
    renames: list[PrefixRule | SingleRule | Expression] = []
    rest: RenameRule | None = None
    flat = 0
    said: list[str] = []
    for item in texts:
        text, where = (item, "--map") if isinstance(item, str) else item
        try:
            kind, _, value = text.partition("=")
            if text in tuple(RenameRule) and rest is None:
                rest = RenameRule(text)
            elif kind == "flatten" and not flat:
                flat = _levels(text, value)
            elif text in tuple(RenameRule) or kind == "flatten":
                raise UsageError("this mapping rule can be given only once", got=printable(text))
            elif rest is not None:
                raise UsageError("this mapping rule can never apply", got=printable(text), hint=f"put it before {rest}")
            else:
                renames.append(_rename(text, kind, value))
        except UsageError as error:
            error.where = error.where or where
            raise
        said.append(text)
        if len(said) > MAX_RULES:
            raise UsageError("too many mapping rules", where=where, expected=f"{MAX_RULES} at most")
    return RenameRules(tuple(renames), rest or RenameRule.KEEP_HOST, flat, tuple(said))


def _levels(text: str, value: str) -> int:
    if text == "flatten":
        return 1
    if not value.isascii() or not value.isdigit() or len(value) > 2 or not 1 <= int(value) <= _MOST_LEVELS:
        raise UsageError("not a number of path components", expected=f"1 to {_MOST_LEVELS}", got=printable(text))
    return int(value)


def _rename(text: str, kind: str, value: str) -> PrefixRule | SingleRule | Expression:
    source, equals, to = value.rpartition("=")  # an expression may have = in it, a name has none
    if kind not in ("prefix", "image", "regex") or not equals or not source:
        raise UsageError("unknown mapping rule", expected=_EXPECTED, got=printable(text))
    if kind == "regex":
        return Expression(Substitution.parse(source, to))
    if kind == "prefix":
        return PrefixRule(_source_prefix(source), _path(to, empty=True)[0])
    return _single(source, to)


def _source_prefix(text: str) -> str:
    """A host, namespace or repository, as it begins full references."""
    name = canonical_scope(text.strip("/"))
    host = name.partition("/")[0]
    if "@" in name or ":" in name[len(host) :] or not begins_with_host(f"{host}/"):
        raise UsageError("not a prefix of a full source name", expected="HOST[:PORT][/PATH], such as docker.io/library",
                         got=printable(text))  # fmt: skip
    Reference.parse(f"{name}/any/check")
    return name


def _single(source: str, to: str) -> SingleRule:
    reference = Reference.parse(source)
    tag = reference.tag if ":" in source.rpartition("/")[2] else None
    path, new_tag = _path(to)
    if reference.digest is not None:
        raise UsageError("a mapping rule cannot have a digest", expected="image=NAME[:TAG]=PATH[:TAG]", got=printable(source))
    if new_tag is not None and tag is None:
        raise UsageError("all tags of a repository would become one", expected=f"a tag on the left, too: {printable(source)}:TAG",
                         got=printable(to))  # fmt: skip
    return SingleRule(str(reference.repository), tag, path, new_tag)


def _path(text: str, *, empty: bool = False) -> tuple[str, str | None]:
    """A path below the target's prefix, perhaps with a tag."""
    if empty and not text:
        return "", None
    name, colon, tag = text.partition(":")
    Reference(Repository("example.org", name), tag if colon else None, None)
    if empty and colon:
        raise UsageError("a prefix cannot have a tag", got=printable(text))
    return name, tag if colon else None
