"""The options of a command as keys: what they are called in ``airgap.toml`` and in the environment, and which values they take."""

from __future__ import annotations

import enum
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from airgap.cli.config.document import SCOPED, Setting, meant
from airgap.cli.config.paths import rebased
from airgap.cli.config.variables import variable_of
from airgap.errors import UsageError
from airgap.text import printable

#: Arguments that have a key: by their names in the commands.
_ARGUMENTS = {"target": "to", "lists": "lists"}
#: Options that say something about the run, not about the work: neither a key nor a variable.
_NONE = frozenset({"help", "config", "version"})
#: Another meaning under a name that is a key: a new airgap.toml no place for bundles.
_OTHER_MEANING = frozenset({("init", "out")})
#: Variables that airgap itself sets for the commands of ``--gate``, or that mean something else.
RESERVED = frozenset({"AIRGAP_IMAGE", "AIRGAP_DIGEST", "AIRGAP_REGISTRY_REFERENCE", "AIRGAP_LAYOUT", "AIRGAP_CONFIG"})
#: What is decided for one run cannot be a standing order; ``allow-...`` neither.
_ONE_RUN = frozenset(
    {
        "again", "apply", "break-lease", "created", "custody", "dry-run", "force", "generations", "image", "init-state", "json",
        "once", "partial", "plan", "remove-new", "replace", "replace-names", "resend", "restart", "serial", "show", "stream",
        "unlisted", "update", "yes",
    }
)  # fmt: skip
_Read = TypeVar("_Read")
_SECRETS = ("passphrase", "password", "secret", "token")
#: What a switch may be in the environment.
SWITCH = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
_WORDS = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "a string",
    Path: "a string, the path of a file or directory",
}


@dataclass(frozen=True)
class Key:
    """One option.

    Attributes:
        name: the long name without dashes.
        parameter: what click calls it.
        kind: the type of one value.
        many: whether it takes several.
        option: click's option or argument.
    """

    name: str
    parameter: str
    kind: type
    many: bool
    option: Any

    @property
    def variable(self) -> str:
        """The environment variable; empty if the name is taken."""
        name = variable_of(self.name)
        return "" if name in RESERVED else name

    @property
    def for_one_run(self) -> bool:
        """Whether a file may not say it."""
        return self.name in _ONE_RUN or self.name.startswith("allow-")

    @property
    def is_switch(self) -> bool:
        """Whether it is on or off."""
        return self.kind is bool

    @property
    def default(self) -> Any:
        """What holds if nobody says anything; None for nothing. A text may describe it."""
        if isinstance(shown := getattr(self.option, "show_default", None), str):
            return shown
        value = self.option.default
        if isinstance(value, enum.Enum):
            return value.value
        return None if callable(value) or value in ("", (), []) else value

    @property
    def expected(self) -> str:
        """The values that it takes, in words."""
        if issubclass(self.kind, enum.Enum):
            return " or ".join(f'"{one.value}"' for one in self.kind)
        table = f"a table of scopes with {SCOPED[self.name]}, " if self.name in SCOPED else ""
        return table + _WORDS[self.kind] + (", or a list of them" if self.many else "")

    def from_file(self, setting: Setting) -> Any:
        """The value that a file gives, with paths relative to that file. Raises ``UsageError``."""
        value = _by_scope(self.name, setting) if self.name in SCOPED else setting.value
        given = value if self.many and isinstance(value, list) else [value]
        for one in given:
            if not self._fits(one):
                got = f"{_toml_type(one)}{' in the list' if isinstance(value, list) and self.many else ''}"
                raise UsageError(f"wrong type of value for {self.name}", where=setting.where, expected=self.expected, got=got)
            if one == "":
                raise UsageError(
                    f"{self.name} is empty", where=setting.where, expected=self.expected, hint="give a value, or remove it"
                )
            if isinstance(one, str) and "-----BEGIN " in one:
                raise UsageError(f"{self.name} holds a key itself", where=setting.where, expected="the name of the key's file")
        whole = [rebased(self.name, self.kind is Path, one, setting.base) if isinstance(one, str) else one for one in given]
        return whole if self.many else whole[0]

    def from_environment(self, text: str) -> Any:
        """The value of the variable; several are separated by newlines. Raises ``UsageError``."""
        if self.is_switch:
            if text.lower() not in SWITCH:
                expected = "1, true, yes or on; 0, false, no or off"
                raise UsageError("neither on nor off", where=self.variable, expected=expected, got=printable(text))
            return SWITCH[text.lower()]
        return [line for line in text.splitlines() if line] if self.many else text

    def _fits(self, value: object) -> bool:
        if isinstance(value, bool) or self.kind is bool:
            return self.kind is bool and isinstance(value, bool)
        if self.kind is int:
            return isinstance(value, int)
        return isinstance(value, (int, float) if self.kind is float else str)


def keys_of(command: Any) -> dict[str, Key]:
    """The keys of a click command by all their names."""
    hints = typing.get_type_hints(command.callback)
    found: dict[str, Key] = {}
    for option in command.params:
        names = _names(command.name, option)
        if not names or option.name not in hints:
            continue
        kind, many = _kind(hints[option.name])
        for name in names:
            found[name] = Key(name, option.name, kind, many, option)
    return found


def plain(keys: Mapping[str, Key]) -> list[Key]:
    """Each option once, by its first name."""
    found: dict[str, Key] = {}
    for key in keys.values():
        found.setdefault(key.parameter, key)
    return list(found.values())


def find(keys: Mapping[str, Key], name: str) -> Key | None:
    """A key by the name in a file: that of a repeated option may stand in the plural."""
    single = keys.get(name.removesuffix("s")) if name.endswith("s") else None
    return keys.get(name) or (single if single and single.many else None)


def refuse(name: str, section: str, where: str, keys: Mapping[str, Key]) -> UsageError:
    """The mistake of a key that no command of the section has."""
    if any(word in name.lower() for word in _SECRETS):
        return UsageError(
            "a secret must not stand in the configuration",
            where=where,
            expected="passphrase-file = FILE, or the environment variable AIRGAP_KEY_PASSPHRASE",
            got=printable(name),
            hint="remove it, and change it if others could read the file; for registries, see airgap login",
        )
    known = [key.name for key in keys.values() if not key.for_one_run]
    hint = meant(name, known) or f"airgap config show lists the keys of [{section}]"
    return UsageError("unknown key", where=where, expected=f"a key of [{section}]", got=printable(name), hint=hint)


def refuse_for_one_run(key: Key, where: str) -> UsageError:
    """The mistake of a key that is decided for one run."""
    return UsageError(
        f"{key.name} is decided for one run",
        where=where,
        expected="no such key",
        got=key.name,
        hint=f"remove it, and give --{key.name} on the command line of the run that needs it",
    )


def _names(command: str | None, option: Any) -> list[str]:
    if option.param_type_name == "argument":
        return [_ARGUMENTS[option.name]] if option.name in _ARGUMENTS else []
    names = [name.removeprefix("--") for name in option.opts if name.startswith("--")]
    return [name for name in names if name not in _NONE and (command, name) not in _OTHER_MEANING]


def _kind(hint: Any) -> tuple[type, bool]:
    """The type of one value, and whether there may be several."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        hint = next(one for one in typing.get_args(hint) if one is not types.NoneType)
    many = typing.get_origin(hint) is list
    kind = typing.get_args(hint)[0] if many else hint
    return (kind, many) if inspect.isclass(kind) else (str, many)


def _by_scope(name: str, setting: Setting) -> Any:
    """The rules of a key that has scopes, as its option takes them: a table as a list, and nothing but scopes in either."""
    from airgap.trust.policy.demands import read_demand  # here, for most runs have no such key
    from airgap.trust.policy.unnamed import read_scope

    value, demands = setting.value, name == "attestations"
    if isinstance(value, dict):
        rules_of = _demands if demands else _permission
        rules = [(rule, one.where) for scope, one in value.items() for rule in _at(one.where, rules_of, name, scope, one)]
    else:
        rules = [(one, setting.where) for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]
    for rule, where in rules:
        _at(where, read_demand if demands else read_scope, rule)
    return [rule for rule, _ in rules] if isinstance(value, dict) else value


def _at(where: str, read: Callable[..., _Read], *arguments: Any) -> _Read:
    """What a reader makes of a value; its mistakes are told with the place of that value."""
    try:
        return read(*arguments)
    except UsageError as error:
        error.where = where
        raise


def _permission(name: str, scope: str, setting: Setting) -> list[str]:
    if not isinstance(setting.value, bool):
        hint = 'write the scope in quotes: "ghcr.io" = true' if isinstance(setting.value, dict) else ""
        expected, got = '"SCOPE" = true or false', _toml_type(setting.value)
        raise UsageError(f"wrong type of value in {name}", expected=expected, got=got, hint=hint)
    return [f"{scope}={'true' if setting.value else 'false'}"]


def _demands(name: str, scope: str, setting: Setting) -> list[str]:
    from airgap.trust.policy.demands import FIELDS, texts_of

    value = setting.value
    found = [] if value is False else value if isinstance(value, list) else [value]
    for one in found:
        if not isinstance(one, dict):
            expected = f"false, or tables with {', '.join(FIELDS)}"
            raise UsageError(f"wrong type of value in {name}", expected=expected, got=_toml_type(one))
        for key, given in one.items():
            if key not in FIELDS:
                hint = f'write the scope in quotes: [site.{name}."ghcr.io"]' if isinstance(given, dict) else meant(key, FIELDS)
                raise UsageError(f"unknown key in {name}", expected=", ".join(FIELDS), got=printable(key), hint=hint)
            if not isinstance(given, str):
                raise UsageError(f"wrong type of value for {key}", expected="a string", got=_toml_type(given))
    return texts_of(scope, found)


def _toml_type(value: object) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a string", list: "a list", dict: "a table"}
    return next((words for kind, words in names.items() if isinstance(value, kind)), "a date or time")
