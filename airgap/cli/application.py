"""The commands of airgap: a table of their names and summaries, and each one loaded only when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer

from airgap import __version__
from airgap.cli.config.command import ConfigOption, ConfiguredCommand, wants_json
from airgap.cli.grammar.commands import Group, build
from airgap.cli.grammar.explained import Entry
from airgap.cli.terminal.console import Console, Json, Quiet, Verbose

_AS_JSON = "airgap.json"

#: Headings in the order of the help; under each the commands: the module below ``airgap.cli.commands``, the name in it, and the
#: first sentence of its docstring. A test compares them: to read them there, everything would have to be loaded.
_TABLE: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "Keys and trust": {
        "keys": ("keys:keys", "Generate keys to sign bundles, or to encrypt them to a site"),
        "policy": ("policy:policy", "Write, change, check and explain the trust policy"),
        "trust": ("trust:trust", "Pin, update and show what is trusted of a Sigstore instance"),
    },
    "Make bundles": {
        "discover": ("connected.discover:discover_command", "Find the images that deployment files name"),
        "resolve": ("connected.resolve:resolve_command", "Pin every reference of an image list to a digest"),
        "plan": ("connected.plan:plan_command", "Show what an export would fetch and write"),
        "export": ("connected.export:export_command", "Fetch everything on an image list into a signed bundle"),
        "sign": ("connected.sign:sign_command", "Sign a finished bundle with one more key"),
        "merge": ("connected.merge:merge_command", "Merge the bundles of one stream into one"),
    },
    "Look at bundles and carry them": {
        "inspect": ("site.inspect:inspect_command", "Show what a bundle says about itself"),
        "diff": ("connected.diff:diff_command", "Show how two bundles, locks or receipts differ"),
        "report": ("carried.report:report_command", "Write a page about a bundle"),
        "media": ("carried.media:media", "Copy bundles to media, check and repair them, log who had them"),
        "toolkit": ("carried.toolkit:toolkit_command", "Put airgap itself into a directory"),
    },
    "At the site": {
        "verify": ("site.verify:verify_command", "Check a bundle's signatures and every byte"),
        "import": ("site.imports:import_command", "Verify a bundle and load it"),
        "watch": ("site.watch:watch_command", "Import bundles as their volumes arrive"),
        "serve": ("site.serve:serve_command", "Serve a store or a bundle as a read-only registry"),
        "get": ("site.get:get_command", "Take files and charts out of a registry, store or bundle"),
        "mirror-config": ("site.mirror:mirror_command", "Write the configuration with which hosts pull imported images"),
        "receipt": ("site.receipt:receipt_command", "Record and sign what a registry or store holds"),
        "prune": ("site.prune:prune_command", "Remove what old bundles brought and nothing needs any more"),
        "rollback": ("site.rollback:rollback_command", "Move the names of a stream to an earlier or later bundle"),
    },
    "On both sides": {
        "history": ("history:history_command", "Show what was exported, imported, refused or interrupted here"),
        "init": ("init:init_command", "Write a commented airgap.toml"),
        "config": ("config:config", "Show and check the configuration"),
        "login": ("connected.login:login_command", "Log in to a registry"),
        "logout": ("connected.logout:logout_command", "Remove a login, or all of them"),
    },
    "About airgap": {
        "help": ("about:help_command", "Show the help of a command"),
        "version": ("about:version_command", "Print the version"),
        "schema": ("schema:schema_command", "Print the JSON Schema of a result or document"),
        "docs": ("docs:docs_command", "Show where the documents are, or copy them"),
        "completion": ("about:completion_command", "Print the script that completes airgap's commands in a shell"),
        "man": ("about:man_command", "Print the man page of airgap or of a command"),
    },
}
_ENTRIES = {name: entry for commands in _TABLE.values() for name, entry in commands.items()}


class _Commands(Mapping[str, Any]):
    """The commands by name; each is loaded when it is looked up."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            module, _, part = _ENTRIES[name][0].partition(":")
            found = getattr(importlib.import_module(f"airgap.cli.commands.{module}"), part)
            self._loaded[name] = build(name, found, command=ConfiguredCommand)
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_ENTRIES)

    def __len__(self) -> int:
        return len(_ENTRIES)


class _Airgap(Group):
    """The program itself."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As click's."""
        ctx.meta[_AS_JSON] = wants_json(args)  # for --version, which does not wait for what stands behind it
        return super().parse_args(ctx, args)

    def tables(self) -> Sequence[tuple[str, Sequence[Entry]]]:
        """As ``Group.tables``, from the table: nothing is loaded."""
        return [(heading, [Entry(name, said) for name, (_, said) in entries.items()]) for heading, entries in _TABLE.items()]


def application() -> Any:
    """The command line, as typer's group of commands."""
    app = typer.Typer(
        name="airgap",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Carry container images across an air gap in signed, complete, verifiable bundles on ordinary media.",
        epilog="Exit codes: 0 done, 1 bug, 2 usage error or bad input file, 3 refused, 4 damaged or incomplete, "
        "5 registry or network, 6 media, 130 interrupted.",
    )
    app.callback()(_root)
    group = build("airgap", app, _Airgap)
    group.commands = _Commands()
    return group


def _print_version(ctx: typer.Context, wanted: bool) -> None:
    if wanted:
        Console(as_json=ctx.meta.get(_AS_JSON, False)).result({"version": __version__}, [f"airgap {__version__}"], "version")
        raise typer.Exit


def _root(
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    config: ConfigOption = None,
) -> None:
    pass
