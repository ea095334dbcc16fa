"""The commands as typer builds them, with our help, our spellings and our reading of values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

from airgap.cli.grammar import spelling, text
from airgap.cli.grammar.explained import Entry, Explained, first_sentence, is_option, value_name
from airgap.cli.grammar.values import read_plainly
from airgap.cli.terminal.console import Json, Quiet, Verbose

#: Options that may stand before the command, by the name of the parameter.
_BEFORE = {"as_json": "--json", "quiet": "--quiet", "verbose": "--verbose"}
_MEMO = "airgap.before"


def path_of(context: Any) -> tuple[str, ...]:
    """The names that lead to a command, such as ``("airgap", "media", "check")``."""
    return (*(path_of(context.parent) if context.parent else ()), context.info_name or "")


def _prepare(parameters: Sequence[Any]) -> None:
    for one in parameters:
        read_plainly(one)
        if is_option(one) and not one.is_flag and one.metavar is None:
            one.metavar = value_name(one)


class Command(TyperCommand):
    """A command: former spellings work, and options before its name count as if they stood behind it."""

    def __init__(self, name: str | None, **settings: Any) -> None:
        super().__init__(name, **settings)
        _prepare(self.params)

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """As click's."""
        path = " ".join([*(path_of(parent)[1:] if parent else ()), info_name or ""])
        return super().make_context(info_name, args, parent, token_normalize_func=spelling.present(path), **extra)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As click's."""
        known = {one.name for one in self.params} & _BEFORE.keys()
        before = [_BEFORE[name] for name in ctx.meta.get(_MEMO, ()) if known]  # a command that has none of them needs none
        return super().parse_args(ctx, [*before, *args])

    def get_help_option(self, ctx: Any) -> Any:
        """As click's."""
        found = super().get_help_option(ctx)
        if found is not None:
            read_plainly(found)
        return found

    def get_help(self, ctx: Any) -> str:
        """As click's."""
        return text.page(" ".join(path_of(ctx)), Explained.of(self, ctx), text.width_of_terminal())


class Group(TyperGroup):
    """Commands below one name."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        _prepare(self.params)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As click's."""
        rest = super().parse_args(ctx, args)
        ctx.meta.setdefault(_MEMO, set()).update(name for name in _BEFORE if ctx.params.get(name))
        return rest

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - click's signature
        """As click's; loads none of them."""
        return list(self.commands)

    def tables(self) -> Sequence[tuple[str, Sequence[Entry]]]:
        """The commands below, under headings."""
        rows = [Entry(name, summary_of(one)) for name, one in self.commands.items() if not one.hidden]
        return [("Commands", rows)]

    def get_help_option(self, ctx: Any) -> Any:
        """As click's."""
        found = super().get_help_option(ctx)
        if found is not None:
            read_plainly(found)
        return found

    def get_help(self, ctx: Any) -> str:
        """As click's."""
        name, width = " ".join(path_of(ctx)), text.width_of_terminal()
        return text.page(name, Explained.of(self, ctx), width, self.tables(), self.epilog or "")


def summary_of(command: Any) -> str:
    """What a list of commands says of one."""
    return first_sentence(command.help or "")


def build(name: str, found: Any, kind: type[Group] = Group, command: type[Command] = Command) -> Any:
    """The command for a function, or the group for commands below one name, as a module defines it."""
    if not isinstance(found, typer.Typer):
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(name, cls=command)(found)
        return get_command(app)
    for one in found.registered_commands:
        one.cls = command
    found.info.cls, found.info.name = kind, name
    if found.registered_callback is None:
        found.callback()(_before)
    return get_group(found)


def _before(as_json: Json = False, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """The options that every command of a group has may stand before its name."""
