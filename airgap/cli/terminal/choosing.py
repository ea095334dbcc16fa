"""Ask which of several bundles is meant: the command as it was typed, once for every bundle, ready to be pasted."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from itertools import pairwise
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
    if next((word for word in arguments if not word.startswith("-")), "") == "diff":
        commands = _pairs(arguments, there, [directories for _, directories in error.choices[: _MOST_SHOWN + 1]])
    else:
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


def _pairs(arguments: Sequence[str], there: Collection[Path], choices: Sequence[Sequence[Path]]) -> list[list[str]]:
    """Two bundles to compare: of the same media each with the one after it, else each with what is named beside them."""
    parents = {path.parent for path in there}
    media = [number for number, word in enumerate(arguments) if Path(word) in parents and not word.startswith("-")]
    made = []
    if len({Path(arguments[number]) for number in media}) < len(media):
        for older, newer in pairwise(choices):
            chosen = dict(zip(media, (older[0], newer[0]), strict=False))
            made.append([str(chosen.get(number, word)) for number, word in enumerate(arguments)])
        return made
    for number in media[:1]:
        others = {Path(word) for word in arguments}
        made += [[*arguments[:number], str(one[0]), *arguments[number + 1 :]] for one in choices if one[0] not in others]
    return made


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
