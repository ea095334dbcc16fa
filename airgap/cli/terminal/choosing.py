"""Ask which of several bundles is meant: the command as it was typed, once for every bundle, ready to be pasted."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from pathlib import Path

from airgap.errors import SeveralBundles

_MOST_SHOWN = 20
#: Options whose directory is no place to read bundles from, even where it is the same one.
_WRITTEN = frozenset({"--out", "-o", "--output", "--to", "--state", "--scratch", "--lookaside"})


def ask(error: SeveralBundles, arguments: Sequence[str]) -> None:
    """Complete the error with the exact commands, where the media are among the arguments.

    Args:
        error: its hint becomes a list of commands.
        arguments: of the command that failed.
    """
    there = {path for _, directories in error.choices for path in directories}
    commands = [_command(arguments, there, directories) for _, directories in error.choices[:_MOST_SHOWN]]
    shown = [f"airgap {shlex.join(words)}" for words in commands if words]
    if shown:
        error.hint = "\n".join([f"{error.hint}:", *shown])


def narrowed(arguments: Sequence[str], there: Collection[Path], chosen: Collection[Path]) -> list[str]:
    """The arguments with the directories of one bundle in the places where those of several stood.

    Args:
        arguments: of a command, as typed.
        there: the directories of all bundles.
        chosen: those of the one.
    """
    words: list[str] = []
    before = ""
    for argument in arguments:
        head, path, tail = _split(argument)
        below = [one for one in there if path and Path(path) in (one, one.parent)]
        mine = [one for one in chosen if one in below]
        if len(mine) == len(below) or before in _WRITTEN or head.rstrip("=") in _WRITTEN:
            words.append(argument)
        else:
            words += [f"{head}{one}{tail}" for one in mine]
        before = argument
    return words


def _command(arguments: Sequence[str], there: Collection[Path], chosen: Sequence[Path]) -> list[str]:
    words = narrowed(arguments, there, chosen)
    return words if words != list(arguments) else []


def _split(argument: str) -> tuple[str, str, str]:
    """The path in ``--since=DIR`` and ``bundle:DIR:NAME``, and what stands before and after it."""
    if argument.startswith("-"):
        head, mark, path = argument.partition("=")
        return head + mark, path, ""
    if argument.startswith("bundle:"):
        path, mark, name = argument.removeprefix("bundle:").partition(":")
        return "bundle:", path, mark + name
    return "", argument, ""
