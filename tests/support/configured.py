"""Commands as click parses them: what every option would get, without running anything."""

from __future__ import annotations

import enum
from functools import cache
from typing import Any

from airgap.cli.application import application
from airgap.cli.config.document import SCOPED, SITE, STREAM
from airgap.cli.config.keys import Key, keys_of, plain


@cache
def _program() -> Any:
    return application()  # parsing changes nothing of it that matters, and building it takes long


@cache
def commands() -> dict[str, Any]:
    """Every command of the program by its words, such as ``media check``."""
    found: dict[str, Any] = {}
    for name, command in _program().commands.items():
        inner = getattr(command, "commands", None)
        found |= {f"{name} {sub}": one for sub, one in inner.items()} if inner else {name: command}
    return found


def keys(words: str) -> list[Key]:
    """The keys of a command."""
    return plain(keys_of(commands()[words]))


def parsed(words: str, key: Key | None, *arguments: str) -> Any:
    """What a command gets as one of its parameters; what else it requires is made up."""
    context, command = None, _program()
    for word in ["airgap", *words.split()]:
        command = command.commands[word] if context else command
        parent, context = context, command.context_class(command, info_name=word, parent=context, **command.context_settings)
    others = [option for option in command.params if option.required and (key is None or option.name != key.parameter)]
    values = {"kind": "list", "stream": "prod"}
    made_up = [f"{option.opts[0]}={values.get(option.name, 1)}" for option in others if option.param_type_name == "option"]
    positional = any(not argument.startswith("-") for argument in arguments)
    made_up += [
        "made-up" for option in others if option.param_type_name == "argument" and not (positional and option.name == "lists")
    ]
    with command.make_context(command.name, [*arguments, *made_up], parent=parent) as made:
        return made.params[key.parameter] if key else None


def sample(key: Key, number: int) -> str:
    """A value as text: another one for every number from 0 to 2, but for switches and for few alternatives."""
    if key.is_switch:
        return ("true", "false")[number % 2]
    if issubclass(key.kind, enum.Enum):
        return str(list(key.kind)[-1 - number % len(key.kind)].value)
    if key.kind in (int, float):
        return str(number + 2)
    word = ("one", "two", "three")[number]
    return f"{word}.example=false" if key.name in SCOPED else word


def key_tables() -> dict[str, str]:
    """The tables of docs/configuration.md, by section: every key, its values, and the commands that read it."""
    found = {}
    for section, names, left_out in (("stream.NAME", STREAM, ("quiet", "verbose", "stream")), ("site", SITE, ("quiet", "verbose"))):
        readers: dict[str, list[str]] = {}
        values: dict[str, str] = {}
        for name in names:
            for key in keys(name):
                if not key.for_one_run and key.name not in left_out:
                    readers.setdefault(key.name, []).append(f"`{name}`")
                    values.setdefault(key.name, key.expected)
        rows = [f"| `{name}` | {values[name]} | {', '.join(readers[name])} |" for name in sorted(readers)]
        found[section] = "\n".join(["| key | value | commands |", "| --- | --- | --- |", *rows])
    return found
