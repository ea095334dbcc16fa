"""``airgap config``: where every option's value comes from, and whether the configuration has mistakes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from airgap.cli.config.defaults import chosen
from airgap.cli.config.document import SITE, STREAM, Document, Setting, meant, nearest
from airgap.cli.config.keys import RESERVED, Key, keys_of, plain
from airgap.cli.config.places import places
from airgap.cli.config.sections import BY_COMMAND, Found, check, gather, keys_of_commands
from airgap.cli.config.variables import variable_of
from airgap.cli.options.groups import grouped
from airgap.cli.terminal.console import Said
from airgap.errors import UsageError
from airgap.text import listing, plural, printable

config = typer.Typer(no_args_is_help=True, help="Show and check the configuration: airgap.toml and AIRGAP_ variables.")

#: Variables that are no option's.
_OTHERS = RESERVED | {"AIRGAP_KEY_PASSPHRASE", "AIRGAP_PURE_PYTHON"}


@dataclass(frozen=True)
class _Section:
    """A section as it counts: values that somebody has given, defaults, and the keys without a value."""

    name: str
    given: Mapping[Key, Found]
    defaults: Mapping[str, Any]
    unset: Sequence[str]


@config.command("show")
@grouped
def show_command(
    ctx: typer.Context,
    stream: Annotated[str, typer.Argument(metavar="STREAM", help="Only this stream's section.", show_default="all")] = "",
    said: Said = Said(),
) -> None:
    """Show the value of every option that a file or the environment can give, and where it comes from.

    The command line comes first, then the environment, then airgap.toml, then the default.

    Example: airgap config show prod-site
    """
    document = _document(ctx)
    if document is not None:
        _check(ctx, document)
    sections = list(_sections(ctx, document, stream))
    unknown = _unknown_variables(ctx)
    facts = {
        "config": str(document.path) if document else None,
        "sections": [_facts(section) for section in sections],
        "unknown_variables": unknown,
    }
    head = f"configuration  {document.path}" if document else f"configuration  none: {', '.join(map(str, places(os.environ)))}"
    lines = [head, *(line for section in sections for line in _lines(section))]
    lines += [f"unknown      {name}" + (f": {hint}" if hint else "") for name, hint in unknown.items()]
    said.console().result(facts, lines)


@config.command("check")
@grouped
def check_command(ctx: typer.Context, said: Said = Said()) -> None:
    """Read the whole configuration as strictly as every command reads its part. It looks for no key, list, program or registry.

    Example: airgap config check --config /etc/airgap/airgap.toml
    """
    document = _document(ctx)
    if document is None:
        looked = [str(path) for path in places(os.environ)]
        raise UsageError("there is no configuration", expected=listing(looked), hint="write one with airgap init")
    _check(ctx, document)
    in_file = [gather(keys.values(), [table], {}) for _, table, keys in _tables(ctx, document)]  # also what a variable hides
    for given in (*in_file, *(section.given for section in _sections(ctx, document, ""))):
        for key, found in given.items():
            found.converted(key, ctx)
            found.check(key)
    content = [plural(len(document.streams), "stream"), *(["a site"] if document.has_site else [])]
    facts = {"config": str(document.path), "stream_names": document.streams, "has_site": document.has_site}
    said.console().result(facts, [f"good         {document.path}: {' and '.join(content)}"])


def _document(ctx: typer.Context) -> Document | None:
    path = chosen(ctx)
    return None if path is None else Document(path)


def _check(ctx: typer.Context, document: Document) -> None:
    """Every table of the file, whether or not it is shown. Raises ``UsageError``."""
    for name, table, keys in _tables(ctx, document):
        check(table, name, keys, dict)


def _tables(ctx: typer.Context, document: Document) -> Iterator[tuple[str, Mapping[str, Setting], Mapping[str, Key]]]:
    """The sections of the file, each with the keys that it may have."""
    yield "site", document.site(), keys_of_commands(ctx, SITE)
    for name in document.site_commands:
        yield f"site.{name}", document.site(name), keys_of_commands(ctx, [name])
    for name in document.streams:
        yield f"stream.{name}", document.stream(name), keys_of_commands(ctx, STREAM)


def _sections(ctx: typer.Context, document: Document | None, stream: str) -> Iterator[_Section]:
    streams = document.streams if document else []
    if stream and stream not in streams:
        where = printable(str(document.path)) if document else ""
        raise UsageError(
            "no such stream", where=where, expected=listing(streams), got=printable(stream), hint=meant(stream, streams)
        )
    keys = [key for key in plain(keys_of_commands(ctx, STREAM)) if key.name != "stream"]
    for name in streams:
        if document is not None and stream in ("", name):
            yield _section(ctx, f"stream.{name}", keys, [document.stream(name)])
    if stream:
        return
    if not streams:
        yield _section(ctx, "stream", keys, [])
    keys = [key for key in plain(keys_of_commands(ctx, SITE)) if key.name not in BY_COMMAND]
    yield _section(ctx, "site", keys, [document.site()] if document else [])
    for name in document.site_commands if document else ():
        if document is not None:
            special = _section(ctx, f"site.{name}", plain(keys_of_commands(ctx, [name])), [document.site(name)])
            given = {key: found for key, found in special.given.items() if found.source == "file"}
            yield _Section(special.name, given, {}, ())


def _section(ctx: typer.Context, name: str, keys: Iterable[Key], tables: Sequence[Mapping[str, Setting]]) -> _Section:
    keys = [key for key in keys if key.name not in ("json", "quiet", "verbose")]
    given = gather(keys, tables, os.environ)
    for key, found in given.items():
        found.converted(key, ctx)
    others = [key for key in keys if key not in given and not key.for_one_run]
    defaults = {key.name: key.default for key in others if key.default is not None}
    return _Section(name, given, defaults, [key.name for key in others if key.default is None])


def _facts(section: _Section) -> dict[str, Any]:
    given = [
        {"option": key.name, "value": found.value, "given_by": found.source, "where": found.where}
        for key, found in section.given.items()
    ]
    defaults = [{"option": name, "value": value, "given_by": "default", "where": ""} for name, value in section.defaults.items()]
    return {"section": section.name, "options": given + defaults, "not_set": list(section.unset)}


def _lines(section: _Section) -> Iterator[str]:
    rows = [(key.name, _shown(found.value), found.where) for key, found in section.given.items()]
    rows += [(name, _shown(value), "default") for name, value in section.defaults.items()]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    yield ""
    yield f"[{section.name}]"
    for name, value, where in rows:
        yield f"  {name:<{widths[0]}}  {value:<{min(widths[1], 60)}}  {where}"
    if section.unset:
        yield f"  not set: {', '.join(section.unset)}"


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_shown(one) for one in value)
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else printable(str(value))


def _unknown_variables(ctx: typer.Context) -> dict[str, str]:
    """Variables that look like ours and are nobody's, each with what it could have been."""
    known = set(_OTHERS) | {key.variable for key in _all_keys(ctx)}
    found = [name for name in os.environ if name.startswith("AIRGAP_") and name not in known]
    near = [name.removeprefix("AIRGAP_").lower().replace("_", "-") for name in known]
    likely = {name: nearest(name.removeprefix("AIRGAP_"), near) for name in sorted(found)}
    return {printable(name): f"did you mean {variable_of(one)}?" if one else "" for name, one in likely.items()}


def _all_keys(ctx: typer.Context) -> Iterator[Key]:
    root: Any = ctx.find_root()
    for name in root.command.list_commands(root):
        command = root.command.get_command(root, name)
        for one in getattr(command, "commands", {"": command}).values():
            yield from keys_of(one).values()
