"""Reading registries.conf and registries.conf.d: found and merged as by podman and skopeo, except that a mistake is an error."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airgap import fsio
from airgap.errors import UsageError
from airgap.limits import MAX_SETTINGS
from airgap.oci.hosts import canonical_scope
from airgap.registry.settings.rules import Mirror, Pulls, Rule, Rules
from airgap.text import printable

_MOST_DOTS = 64
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
_SYSTEM = Path("/etc/containers")
_REGISTRY_FIELDS = {"prefix", "location", "insecure", "blocked", "mirror", "mirror-by-digest-only"}
_MIRROR_FIELDS = {"location", "insecure", "pull-from-mirror"}
_HOST = r"(?:[A-Za-z0-9][A-Za-z0-9.-]*|\[[A-Fa-f0-9:]+\])(?::[0-9]{1,5})?"
_PLACE = re.compile(rf"\*\.[A-Za-z0-9.-]+|{_HOST}(?:/[a-z0-9._-]+)*/?(?:(?<!/)[:@][A-Za-z0-9._:-]+)?", re.ASCII)
_SHORT_NAME = re.compile(r"[a-z0-9]+(?:[._/-]+[a-z0-9]+)*", re.ASCII)


def load_rules(chosen: Path | None, environment: Mapping[str, str], system: Path = _SYSTEM) -> Rules:
    """The rules that apply here.

    The main file is ``chosen``, else that of CONTAINERS_REGISTRIES_CONF, else the user's, else the system's. Then come the
    drop-ins: the system's, unless the main file is the user's, and the user's.

    Args:
        chosen: a file that the operator named.
        environment: for HOME and CONTAINERS_REGISTRIES_CONF.
        system: where the system's files are.

    Raises:
        UsageError: a file cannot be read, or there is a mistake in it.
    """
    merged = _Merged()
    for path, must_exist in _files(chosen, environment, system):
        if must_exist or path.is_file():
            _File(path).read_into(merged)
    return Rules(tuple(merged.rules.values()), merged.insecure(), {name: to for name, to in merged.aliases.items() if to})


def _files(chosen: Path | None, environment: Mapping[str, str], system: Path) -> Iterator[tuple[Path, bool]]:
    named = chosen or (Path(environment["CONTAINERS_REGISTRIES_CONF"]) if environment.get("CONTAINERS_REGISTRIES_CONF") else None)
    home = Path(environment["HOME"]) if environment.get("HOME") else None
    personal = home / ".config/containers" if home else None
    of_user = named is None and personal is not None and (personal / "registries.conf").is_file()
    if named is not None:
        yield named, True
    elif of_user and personal is not None:
        yield personal / "registries.conf", True
    else:
        yield system / "registries.conf", False
    if not of_user:
        yield from _drop_ins(system / "registries.conf.d")
    if personal is not None:
        yield from _drop_ins(personal / "registries.conf.d")
    if os.geteuid() == 0 and system == _SYSTEM:
        yield Path("/var/cache/containers/short-name-aliases.conf"), False
    elif home is not None:
        yield home / ".cache/containers/short-name-aliases.conf", False


def _drop_ins(directory: Path) -> Iterator[tuple[Path, bool]]:
    try:
        names = sorted(entry.name for entry in directory.iterdir() if entry.name.endswith(".conf") and entry.is_file())
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise UsageError(f"cannot read registries.conf.d: {error.strerror}", where=printable(str(directory))) from error
    for name in names:
        yield directory / name, True


@dataclass
class _Merged:
    """Later files replace what earlier ones say of the same prefix or alias."""

    rules: dict[str, Rule] = field(default_factory=dict)
    places: dict[str, dict[str, bool]] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)

    def insecure(self) -> dict[str, bool]:
        """Of each place, whether it is insecure: a place is the same whatever way leads there."""
        found: dict[str, bool] = {}
        for places in self.places.values():
            for place, insecure in places.items():
                found[place] = found.get(place, False) or insecure
        return found


class _File:
    """One file, for messages that name it."""

    def __init__(self, path: Path) -> None:
        self._where = printable(str(path))
        raw = fsio.read_input(path, MAX_SETTINGS, "registries.conf")
        try:
            text = raw.decode()
            self._check_dots(text)
            self._document = tomllib.loads(text)
        except (ValueError, RecursionError) as error:
            raise UsageError("not a TOML file", where=self._where, got=printable(str(error))) from None

    def _check_dots(self, text: str) -> None:
        """No key here has a dot; the library takes the square of their number."""
        for number, line in enumerate(text.split("\n"), 1):
            if line.count(".") > _MOST_DOTS and _QUOTED.sub("", line).count(".") > _MOST_DOTS:
                raise self._mistake(f"line {number}", "keys without dots")

    def read_into(self, merged: _Merged) -> None:
        """Add what the file says."""
        if "registries" in self._document:
            raise self._mistake("[registries]", "version 2 of the format: [[registry]] with prefix, location, insecure, blocked")
        tables = self._document.get("registry", [])
        if not isinstance(tables, list):
            raise self._mistake("registry", "[[registry]] tables")
        seen: set[str] = set()
        for number, table in enumerate(tables, 1):
            rule, places = self._rule(table, f"[[registry]] {number}")
            if rule.prefix in seen:
                raise self._mistake(f"[[registry]] {number}", f"only one table for {rule.prefix}")
            seen.add(rule.prefix)
            merged.rules[rule.prefix] = rule
            merged.places[rule.prefix] = places
        merged.aliases.update(self._aliases())

    def _rule(self, table: Any, where: str) -> tuple[Rule, dict[str, bool]]:
        self._check_fields(table, _REGISTRY_FIELDS, where)
        location = self._place(table, "location", where)
        prefix = self._place(table, "prefix", where) or location
        if not prefix or (not location and not prefix.startswith("*.")) or location.startswith("*"):
            raise self._mistake(where, "a location such as mirror.example.com/hub (optional only with a prefix *.domain)")
        digest_only = self._flag(table, "mirror-by-digest-only", where)
        insecure = self._flag(table, "insecure", where)
        places = {prefix: insecure, **({location: insecure} if location else {})}
        mirrors = []
        tables = table.get("mirror", [])
        for number, one in enumerate(tables if isinstance(tables, list) else [tables], 1):
            at = f"{where}, [[registry.mirror]] {number}"
            mirror = self._mirror(one, digest_only, at)
            mirrors.append(mirror)
            places[mirror.location] = places.get(mirror.location, False) or self._flag(one, "insecure", at)
        blocked = self._flag(table, "blocked", where)
        return Rule(prefix, location if location != prefix else "", blocked, tuple(mirrors), self._where), places

    def _mirror(self, table: Any, digest_only: bool, where: str) -> Mirror:
        self._check_fields(table, _MIRROR_FIELDS, where)
        location = self._place(table, "location", where)
        pulls = table.get("pull-from-mirror") or Pulls.ALL.value
        if not location or location.startswith("*"):
            raise self._mistake(where, "a location such as mirror.example.com/hub")
        if pulls not in list(Pulls) or (digest_only and "pull-from-mirror" in table):
            expected = "all, digest-only or tag-only, without mirror-by-digest-only"
            raise self._mistake(f"{where}: pull-from-mirror", expected, pulls)
        return Mirror(location, Pulls.DIGEST_ONLY if digest_only else Pulls(pulls))

    def _aliases(self) -> dict[str, str]:
        aliases = self._document.get("aliases", {})
        if not isinstance(aliases, dict):
            raise self._mistake("aliases", "a table of short names")
        for name, target in aliases.items():
            first, slash, _ = name.partition("/")
            short = _SHORT_NAME.fullmatch(name) and not (slash and (set(first) & set(".:") or first == "localhost"))
            host, _, path = target.partition("/") if isinstance(target, str) else ("", "", "")
            full = target == "" or (path and (set(host) & set(".:") or host == "localhost") and not set(path) & set(":@"))
            if not short or not full:
                raise self._mistake(f"aliases: {printable(name)}", 'short name = "HOST/path", neither with a tag or digest', target)
        return aliases

    def _place(self, table: dict[str, Any], key: str, where: str) -> str:
        value = table.get(key, "")
        if not isinstance(value, str) or (value and not _PLACE.fullmatch(value)):
            raise self._mistake(f"{where}: {key}", "HOST[:PORT][/path] without https://, or *.domain for a prefix", value)
        return canonical_scope(value.rstrip("/"))

    def _flag(self, table: dict[str, Any], key: str, where: str) -> bool:
        value = table.get(key, False)
        if not isinstance(value, bool):
            raise self._mistake(f"{where}: {key}", "true or false", value)
        return value

    def _check_fields(self, table: Any, known: set[str], where: str) -> None:
        if not isinstance(table, dict):
            raise self._mistake(where, "a table")
        for key in table:
            if key not in known:
                raise self._mistake(where, f"one of {', '.join(sorted(known))}", key)

    def _mistake(self, where: str, expected: str, got: object = "") -> UsageError:
        shown = printable(str(got), 200)
        return UsageError(f"invalid entry in {where}", where=self._where, expected=expected, got=shown)
