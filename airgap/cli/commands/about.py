"""``airgap help``, ``version``, ``completion`` and ``man``: airgap about itself. Nothing else is loaded for them."""

from __future__ import annotations

import enum
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from airgap import __version__
from airgap.cli.grammar import manual, shells
from airgap.cli.grammar.completion import answer
from airgap.cli.options.groups import grouped
from airgap.cli.terminal.console import Said
from airgap.errors import UsageError
from airgap.text import printable

CommandArgument = Annotated[list[str] | None, typer.Argument(metavar="COMMAND...", help="Such as export, or media check.")]


class Shell(enum.StrEnum):
    """The shells that can complete our commands."""

    bash = "bash"
    zsh = "zsh"
    fish = "fish"


def help_command(context: typer.Context, command: CommandArgument = None) -> None:
    """Show the help of a command: without one, the list of commands.

    Example: airgap help media check
    """
    found = _found(context, command or ())
    typer.echo(found.command.get_help(found))


@grouped
def version_command(said: Said = Said()) -> None:
    """Print the version.

    Example: airgap version --json
    """
    said.console().result({"version": __version__}, [f"airgap {__version__}"])


def completion_command(
    context: typer.Context,
    shell: Annotated[Shell, typer.Argument(metavar="bash|zsh|fish", help="The shell.")],
    words: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
) -> None:
    """Print the script that completes airgap's commands in a shell: commands, options, files, bundles, streams and keys.

    The wheel installs the scripts below share/ where it is installed. If your shell does not look there, put it where it does.

    Example: airgap completion bash > ~/.local/share/bash-completion/completions/airgap

    Example: airgap completion zsh > ~/.zfunc/_airgap

    Example: airgap completion fish > ~/.config/fish/completions/airgap.fish
    """
    root = context.find_root()
    sys.stdout.write(shells.SCRIPTS[shell] if words is None else answer(root.command, root, shell, words, _streams))


def _streams(config: str | None) -> list[str]:
    from airgap.cli.config.document import configured_streams  # here, for the scripts do without

    return configured_streams(config)


def man_command(context: typer.Context, command: CommandArgument = None) -> None:
    """Print the man page of airgap or of a command.

    Example: airgap man export | man -l -
    """
    found = _found(context, command or ())
    sys.stdout.write(manual.page(found.command, found))


def _found(context: Any, names: Sequence[str]) -> Any:
    """A context for the command with these names, as if it were about to run. Raises ``UsageError``, or click's."""
    found = context.find_root()
    for name in names:
        if not hasattr(found.command, "commands"):
            raise UsageError("no such command", got=printable(" ".join(names)), expected=found.command_path)
        found.command.resolve_command(found, [name])  # which says what else was meant
        found = type(found)(found.command.commands[name], info_name=name, parent=found)
    return found
