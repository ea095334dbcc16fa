"""What the tables of ``airgap.toml`` and the environment say of a set of keys, and that the tables say nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import typer

from airgap.cli.config import meanings
from airgap.cli.config.document import Setting
from airgap.cli.config.keys import Key, find, keys_of, refuse, refuse_for_one_run
from airgap.errors import UsageError
from airgap.text import printable

#: Keys that mean another thing for each command of the site.
BY_COMMAND = frozenset({"out", "output"})


@dataclass(frozen=True)
class Found:
    """A value, and who says it: ``environment`` or ``file``, and where exactly."""

    value: Any
    source: str
    where: str

    def converted(self, key: Key, ctx: Any) -> Any:
        """The value as the command takes it. Raises ``UsageError``: it is out of range, or not what the option wants."""
        try:
            return key.option.process_value(ctx, self.value)
        except typer.BadParameter as error:
            got = printable(error.message.rstrip("."))
            raise UsageError(f"invalid value for {key.name}", where=self.where, got=got, hint="correct it there") from None

    def check(self, key: Key) -> None:
        """Read the value as the command will. Raises ``UsageError`` that says where the value is written."""
        try:
            meanings.check(key.name, key.option, self.value)
        except UsageError as error:
            if not error.where or error.where.startswith("--"):  # else it is in a file that the value names
                error.where = self.where
            raise


def gather(keys: Iterable[Key], tables: Sequence[Mapping[str, Setting]], environ: Mapping[str, str]) -> dict[Key, Found]:
    """The environment, else the first table that has the key. Raises ``UsageError``: a value is wrong."""
    found: dict[Key, Found] = {}
    for key in keys:
        text = environ.get(key.variable, "") if key.variable else ""
        setting = next((table[name] for table in tables for name in (key.name, f"{key.name}s") if _is(key, name, table)), None)
        if text:
            found[key] = Found(key.from_environment(text), "environment", key.variable)
        elif setting is not None:
            found[key] = Found(key.from_file(setting), "file", setting.where)
    return found


def check(table: Mapping[str, Setting], section: str, keys: Mapping[str, Key], others: Callable[[], Mapping[str, Key]]) -> None:
    """Refuse what is no key of the section, or has a value of another type.

    Args:
        table: what the section says.
        section: its name, for messages.
        keys: of the command that runs.
        others: those of the other commands that read the section; asked for only if they matter, for they take time to load.

    Raises:
        UsageError: a key or value is wrong.
    """
    seen: dict[str, str] = {}
    for name, setting in table.items():
        key = find(keys, name)
        if key is None:
            keys = {**others(), **keys}
            key = find(keys, name)
        if key is None:
            raise refuse(name, section, setting.where, keys)
        if section.startswith("stream.") and key.name == "stream":
            raise UsageError("the section says which stream it is", where=setting.where, expected="no key of this name", got=name)
        if section == "site" and key.name in BY_COMMAND:
            expected = "[site.receipt] or [site.mirror-config] with this key"
            raise UsageError(f"{key.name} must be said for one command", where=setting.where, expected=expected, got=name)
        if key.for_one_run:
            raise refuse_for_one_run(key, setting.where)
        if key.parameter in seen:
            raise UsageError("the same key twice", where=setting.where, expected=f"only {seen[key.parameter]}", got=name)
        seen[key.parameter] = name
        key.from_file(setting)


def keys_of_commands(ctx: Any, names: Iterable[str]) -> dict[str, Key]:
    """The keys of several commands of the program; where two mean the same name differently the first counts."""
    root = ctx.find_root()
    found: dict[str, Key] = {}
    for name in names:
        command = root.command.get_command(root, name)
        for key in keys_of(command).values() if command is not None else ():
            found.setdefault(key.name, key)
    return found


def _is(key: Key, name: str, table: Mapping[str, Setting]) -> bool:
    return name in table and (name == key.name or key.many)
