"""Man pages, in the macros of man(7), from what the help says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from airgap import __version__
from airgap.cli.grammar.commands import path_of
from airgap.cli.grammar.explained import Entry, Explained, Paragraph, first_sentence
from airgap.cli.grammar.text import example

_WIDTH = 72  # of examples, so that they fit between the margins
_FILES = (
    Entry(
        "~/.local/state/airgap",
        "The state: serials, history and what was imported. --state and AIRGAP_STATE name another directory.",
    ),
)


def name_of(context: Any) -> str:
    """What the page is called, such as ``airgap-media-check``."""
    return "-".join(path_of(context))


def page(command: Any, context: Any) -> str:
    """The man page of one command."""
    explained, name = Explained.of(command, context), name_of(context)
    lines = [
        f'.TH "{_plain(name.upper())}" "1" "" "airgap {__version__}" "airgap"',
        *_section("NAME"), f"{_plain(name)} \\- {_plain(first_sentence(command.help or ''))}",
        *_section("SYNOPSIS"), f".B {_plain(' '.join(path_of(context)))}", _plain(explained.usage),
        *_section("DESCRIPTION"), _plain(explained.summary),
        *_details(explained),
    ]  # fmt: skip
    for heading, entries in command.tables() if hasattr(command, "tables") else ():
        lines += [*_section(heading.upper()), *_entries(entries)]
    if explained.arguments:
        lines += [*_section("ARGUMENTS"), *_entries(explained.arguments)]
    lines += _section("OPTIONS")
    for heading, entries in explained.panels:
        lines += [f'.SS "{_plain(heading)}"', *_entries(entries)]
    lines += [*_section("EXIT STATUS"), _plain(_exit_codes(context)), *_section("FILES"), *_entries(_FILES)]
    return "\n".join([*lines, *_section("SEE ALSO"), ", ".join(_others(command, context))]) + "\n"


def pages(command: Any, context: Any) -> Iterator[tuple[str, str]]:
    """The name and text of the man pages of a command and of all below it."""
    yield name_of(context), page(command, context)
    for name, below in getattr(command, "commands", {}).items():
        yield from pages(below, type(context)(below, info_name=name, parent=context))


def _exit_codes(context: Any) -> str:
    return str(context.find_root().command.epilog).removeprefix("Exit codes: ")


def _others(command: Any, context: Any) -> list[str]:
    above = [name_of(context.parent)] if context.parent else []
    below = [f"{name_of(context)}-{name}" for name in getattr(command, "commands", ())]
    return [f"\\fB{_plain(name)}\\fR(1)" for name in [*above, *below]]


def _details(explained: Explained) -> Iterable[str]:
    parts = [*([Paragraph(explained.example, True)] if explained.example else []), *explained.details]
    for part in parts:
        yield ".PP"
        yield from (
            (".RS 4", ".nf", *(_plain(line.strip()) for line in example(part.text, _WIDTH).splitlines()), ".fi", ".RE")
            if part.is_example
            else (_plain(part.text),)
        )


def _entries(entries: Iterable[Entry]) -> Iterator[str]:
    for entry in entries:
        yield from (".TP", f"\\fB{_plain(entry.written)}\\fR", _plain(entry.meaning))


def _section(heading: str) -> list[str]:
    return [f'.SH "{_plain(heading)}"']


def _plain(text: str) -> str:
    """Text without meaning for roff: a hyphen that can be pasted, and no dot that begins a request."""
    shown = (
        text.replace("\\", "\\e")
        .replace("-", "\\-")
        .replace('"', "\\(dq")
        .replace("`", "\\(ga")
        .replace("^", "\\(ha")
        .replace("~", "\\(ti")
    )
    return f"\\&{shown}" if shown.startswith((".", "'")) else shown
