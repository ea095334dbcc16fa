"""Every command takes its options from the command line, else the environment, else ``airgap.toml``, else its defaults.

This is the one place where that is decided: click's ``default_map`` of a command is what the environment and the file say.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from typer.main import get_command

from airgap.cli.config.variables import CHOICE, variable_of
from airgap.cli.grammar.commands import Command
from airgap.cli.grammar.values import is_on, read_plainly
from airgap.errors import UsageError

_GIVEN = "airgap.given"

ConfigOption = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Read options from this file, '' for none.",
        show_default="./airgap.toml, else ~/.config/airgap/airgap.toml, else /etc/airgap/airgap.toml",
    ),
]


class ConfiguredCommand(Command):
    """A command whose options also come from the environment and the file. It takes ``--config``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(_config_option())

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As click's, after the defaults are known. Raises ``UsageError`` and ``Refused`` as what reads the file."""
        if ctx.resilient_parsing or set(args) & set(ctx.help_option_names):
            return super().parse_args(ctx, args)
        from airgap.cli.config.defaults import Defaults, keys_of, plain  # here, for the help and the shell's questions do without

        keys = keys_of(self)
        for key in plain(keys):
            if key.is_switch and not key.option.secondary_opts:  # what a file has switched on can be switched off
                key.option.secondary_opts.append(f"--no-{key.name}")
        said: Mapping[str, Any] = self.make_parser(ctx).parse_args(args=list(args))[0]
        ctx.meta[CHOICE] = said.get("config", ctx.find_root().params.get("config"))
        found = Defaults(self, ctx, keys, {name: value for name, value in said.items() if value not in (None, ())})
        ctx.default_map = found.by_parameter()
        rest = super().parse_args(ctx, args)
        ctx.params.update({name: ctx.default_map[name] for name in found.replaced})
        ctx.meta[_GIVEN] = found
        return rest

    def invoke(self, ctx: Any) -> Any:
        """As click's. A wrong value is told where it is written, not by an option that nobody typed."""
        found = ctx.meta.get(_GIVEN)
        try:
            if found is not None:
                found.check()
            return super().invoke(ctx)
        except UsageError as error:
            if found is not None:
                found.locate(error)
            raise


def places_for(parameter: Any) -> str:
    """Where else a missing option could have been said; empty if nowhere."""
    names = [name for name in parameter.opts if name.startswith("--")] if parameter.param_type_name == "option" else []
    return f"; it can also be said in airgap.toml (airgap init) or {variable_of(names[0][2:])}" if names else ""


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether errors are printed as JSON, too: known before the arguments are parsed, for they may be what is wrong."""
    return "--json" in arguments or (is_on(os.environ.get("AIRGAP_JSON", "")) and "--no-json" not in arguments)


def _config_option() -> Any:
    """The option ``--config`` as typer builds it; its value is for this module alone."""
    app = typer.Typer(add_completion=False)

    @app.command()
    def declared(config: ConfigOption = None) -> None:
        pass

    option = get_command(app).params[0]
    read_plainly(option)
    option.expose_value = False
    return option
