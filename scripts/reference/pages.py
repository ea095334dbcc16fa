"""Pages of the reference that are made from the code, as Markdown: commands, variables, schemas, exit codes and messages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from airgap import __version__
from airgap.cli.application import application
from airgap.cli.config.keys import keys_of, plain
from airgap.cli.grammar.commands import path_of
from airgap.cli.grammar.explained import Entry, Explained, first_sentence
from airgap.schemas import catalogue
from reference.families import Family, families, family_of
from reference.messages import Message, messages


def pages(root: Path) -> Iterator[tuple[str, str]]:
    """The name below ``docs/reference`` and the Markdown of every page.

    Raises:
        ValueError: a message of the code belongs to no family of ``docs/messages.toml``.
    """
    program: Any = application()
    with program.make_context("airgap", [], resilient_parsing=True) as context:
        every = list(_commands(program, context))
    yield "commands.md", _overview(every)
    yield from ((f"commands/{_file(context)}", _command(command, context)) for command, context in every)
    yield "variables.md", _variables(every)
    yield "schemas.md", _schemas()
    yield "exit-codes.md", _exit_codes()
    yield "messages.md", _messages(families(root), messages(root))


def _commands(command: Any, context: Any) -> Iterator[tuple[Any, Any]]:
    below = getattr(command, "commands", {})
    if not below:
        yield command, context
    for name, one in below.items():
        yield from _commands(one, type(context)(one, info_name=name, parent=context))


def _file(context: Any) -> str:
    return "-".join(path_of(context)[1:]) + ".md"


def _name(context: Any) -> str:
    return " ".join(path_of(context))


def _overview(every: Sequence[tuple[Any, Any]]) -> str:
    rows = [
        f"| [`{_name(context)}`](commands/{_file(context)}) | {_cell(first_sentence(one.help or ''))} |" for one, context in every
    ]
    made = f"Made from airgap {__version__}; `airgap help COMMAND` and the man pages say the same.\n"
    return "\n".join(["# Commands", "", made, "| command | does |", "| --- | --- |", *rows, ""])


def _command(command: Any, context: Any) -> str:
    explained = Explained.of(command, context)
    lines = [f"# {_name(context)}", "", explained.summary, "", *_block(f"{_name(context)} {explained.usage}")]
    if explained.example:
        lines += ["## Example", "", *_block(explained.example)]
    lines += _table("Arguments", explained.arguments)
    for heading, entries in explained.panels:
        lines += _table(heading, entries)
    if explained.details:
        lines += ["## More", ""]
        for part in explained.details:
            lines += _block(part.text) if part.is_example else [_escaped(part.text), ""]
    return "\n".join([*lines, "[Exit codes](../exit-codes.md) · [all commands](../commands.md)", ""])


def _block(text: str) -> list[str]:
    return ["```", text, "```", ""]


def _table(heading: str, entries: Iterable[Entry]) -> list[str]:
    rows = [f"| `{entry.written.replace('|', chr(92) + '|')}` | {_cell(entry.meaning)} |" for entry in entries]
    return [f"## {heading}", "", "| | |", "| --- | --- |", *rows, ""] if rows else []


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")


def _cell(text: str) -> str:
    return _escaped(text).replace("|", "\\|").replace("\n", " ")


def _variables(every: Sequence[tuple[Any, Any]]) -> str:
    users: dict[str, list[str]] = {}
    for command, context in every:
        for key in plain(keys_of(command)):
            name = _name(context).removeprefix("airgap ")
            users.setdefault(f"AIRGAP_{key.name.replace('-', '_').upper()}", []).append(f"[{name}](commands/{_file(context)})")
    rows = [f"| `{variable}` | {', '.join(users[variable])} |" for variable in sorted(users)]
    text = "Every option is also a variable. What wins when several say something is in [configuration](../configuration.md)."
    return "\n".join(["# Environment variables", "", text, "", "| variable | read by |", "| --- | --- |", *rows, ""])


def _schemas() -> str:
    lines = [
        "# JSON schemas",
        "",
        "Every document that airgap prints or writes, as `airgap schema NAME` prints it. [json.md](../json.md) explains them.",
        "",
    ]
    for name, meaning in catalogue.titles().items():
        schema = json.dumps(catalogue.json_schema(name), indent=2, ensure_ascii=False)
        lines += [f"## {name}", "", f"{_escaped(meaning)}.", "", "```json", schema, "```", ""]
    return "\n".join(lines)


_MEANINGS = {
    0: ("done", "The command did what it was asked, or there was nothing to do."),
    1: ("a bug", "airgap did not expect this. Please report the traceback; content at the site is never half changed by it."),
    2: ("usage, bad input", "Correct the command or the file that the message names."),
    3: ("refused", "Policy, signature, serial or expiry forbids it. The content may be intact."),
    4: ("damaged, incomplete", "Something is missing, changed or contradicts itself: check and repair the media."),
    5: ("registry, network", "Try again later, or follow the message."),
    6: ("media", "A local disk: no room, read-only, read errors, or busy."),
    130: ("interrupted", "The same command continues where it stopped."),
}


def _exit_codes() -> str:
    rows = [f"| {code} | {word} | {text} |" for code, (word, text) in _MEANINGS.items()]
    return "\n".join(
        [
            "# Exit codes",
            "",
            "| code | means | do |",
            "| --- | --- | --- |",
            *rows,
            "",
            "[Every message](messages.md) with its code.",
            "",
        ]
    )


def _messages(every: Sequence[Family], found: Sequence[Message]) -> str:
    belongs: dict[str, dict[tuple[str, int], Message]] = {family.title: {} for family in every}
    for message in found:
        family = family_of(message, every)
        if family is None:
            raise ValueError(f"no family of docs/messages.toml for: {message.module}: {message.text}")
        known = belongs[family.title].setdefault((message.text, message.code), message)
        if message.hint and not known.hint:
            belongs[family.title][message.text, message.code] = message
    lines = [
        "# Messages",
        "",
        "Every error message of airgap, by family, with what causes it and what helps. Search for a few words of yours;",
        "`…` is where a name or a number stands. An error prints up to five lines: the message, `where:`, `expected:`,",
        "`got:` and `next:`, and ends with an",
        "[exit code](exit-codes.md).",
        "",
    ]
    for family in every:
        rows = sorted(belongs[family.title].values(), key=lambda one: (one.code, one.text.casefold()))
        lines += [f"## {family.title}", "", f"**Cause.** {family.cause}", "", f"**What helps.** {family.cure}", ""]
        lines += ["| message | exit code | next |", "| --- | --- | --- |"]
        lines += [f"| {_cell(one.text)} | {one.code} | {_cell(one.hint)} |" for one in rows] + [""]
    return "\n".join(lines)
