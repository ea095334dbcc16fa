"""The command ``airgap``: its subcommands, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any, cast

import typer
from typer.core import TyperGroup
from typer.main import get_command

from airgap import __version__
from airgap.bundle import presence
from airgap.cli.config.command import ConfigOption, ConfiguredCommand, configured, places_for
from airgap.cli.terminal import choosing, signals
from airgap.cli.terminal.console import report_error, rest, survive_any_locale, tell
from airgap.errors import BUG, AirgapError, Interrupted, SeveralBundles, UsageError, disk_error, exit_code
from airgap.fsio import leftovers

#: Every command or group in the order of the help: the module below `airgap.cli.commands` that has it, and its name there.
_COMMANDS = {
    "keys": "keys:keys",
    "policy": "policy:policy",
    "discover": "connected.discover:discover_command",
    "resolve": "connected.resolve:resolve_command",
    "plan": "connected.plan:plan_command",
    "export": "connected.export:export_command",
    "sign": "connected.sign:sign_command",
    "merge": "connected.merge:merge_command",
    "inspect": "site.inspect:inspect_command",
    "diff": "connected.diff:diff_command",
    "report": "carried.report:report_command",
    "media": "carried.media:media",
    "toolkit": "carried.toolkit:toolkit_command",
    "verify": "site.verify:verify_command",
    "import": "site.imports:import_command",
    "mirror-config": "site.mirror:mirror_command",
    "receipt": "site.receipt:receipt_command",
    "prune": "site.prune:prune_command",
    "rollback": "site.rollback:rollback_command",
    "history": "history:history_command",
    "serve": "site.serve:serve_command",
    "watch": "site.watch:watch_command",
    "login": "connected.login:login_command",
    "logout": "connected.logout:logout_command",
    "init": "init:init_command",
    "config": "config:config",
}
_FORMER = {"accept-unnamed-bundles": "accept-unnamed-sigstore-bundles"}  # old spellings of options still work but are not shown
_M_MMAP_THRESHOLD = -3  # mallopt(3)
#: The error of the click that typer brings along, under whatever name.
_WrongArguments = cast(type[Exception], typer.BadParameter.__mro__[1])


def application(arguments: Sequence[str]) -> typer.Typer:
    """The command line with the requested command, or with all of them: loading all takes twice as long."""
    app = typer.Typer(
        name="airgap",
        cls=_Program,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "token_normalize_func": lambda name: _FORMER.get(name, name)},
        help="Carry container images across an air gap in signed, complete, verifiable bundles on ordinary media.",
        epilog="Exit codes: 0 done, 1 bug, 2 usage error or bad input file, 3 refused, 4 damaged or incomplete, "
        "5 registry or network, 6 media, 130 interrupted.",
    )
    app.callback()(_root)
    for name in arguments[:1] if arguments and arguments[0] in _COMMANDS else _COMMANDS:
        module, _, part = _COMMANDS[name].partition(":")
        found = getattr(importlib.import_module(f"airgap.cli.commands.{module}"), part)
        if isinstance(found, typer.Typer):
            app.add_typer(configured(found), name=name)
        else:
            app.command(name, cls=ConfiguredCommand)(found)
    return app


class _Program(TyperGroup):
    """The program: a command that was not loaded is loaded where its options are asked for."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - click asks so
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        found = super().get_command(ctx, cmd_name)
        missing = found is None and cmd_name in _COMMANDS
        return cast(Any, get_command(application([cmd_name]))).get_command(ctx, cmd_name) if missing else found


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"airgap {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")] = False,
    config: ConfigOption = None,
) -> None:
    pass


def main() -> None:
    """Run the command line and exit with the documented exit code."""
    _give_memory_back()
    survive_any_locale()
    try:
        signals.interrupt()
        code = run(sys.argv[1:])
        signals.finish(code)
    except Interrupted as error:  # it came between two lines of ours
        code = _report(error, "--json" in sys.argv)
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    if code == exit_code(Interrupted()):
        signals.leave(code)
    sys.exit(code)


def _give_memory_back() -> None:
    """Let glibc hand large blocks back as soon as they are free.

    By itself it keeps them for the thread that had them, and several threads that rebuild layers would keep a multiple of what one
    needs (measured: 552 against 367 MB). Other C libraries have no such switch and no need of it.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 1 << 20)


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code. Errors are printed, never raised."""
    as_json = "--json" in arguments
    leftovers.begin(tell)
    try:
        with presence.attending():
            code = get_command(application(arguments))(args=arguments, prog_name="airgap", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except Interrupted as error:
        return _report(error, as_json)
    except Exception as error:  # noqa: BLE001 - every error ends here
        if isinstance(error, SeveralBundles):
            choosing.ask(error, arguments)
        return _report(Interrupted(), as_json) if signals.came() else _report_failure(error, as_json)
    finally:
        rest()


def _report_failure(failure: Exception, as_json: bool) -> int:
    try:
        raise failure
    except _WrongArguments as error:
        return _report_usage(error, as_json)
    except typer.Abort:  # the end of the input where a passphrase was asked for
        return _report(Interrupted("the prompt was not answered", hint="use --passphrase-file or AIRGAP_KEY_PASSPHRASE"), as_json)
    except AirgapError as error:
        return report_error(error, as_json)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        return report_error(disk_error(error, "system error", str(error.filename or "")), as_json)
    except Exception:  # noqa: BLE001 - the last line of defence: a bug must say so and have its own exit code
        rest()
        sys.stderr.write(f"airgap: this is a bug in airgap {__version__}; please report it with the following output\n")
        traceback.print_exc()
        return BUG
    return 0


def _report(interrupted: Interrupted, as_json: bool) -> int:
    """The exit code is the same even if the error cannot be printed: the terminal may be gone."""
    with contextlib.suppress(OSError):
        report_error(interrupted, as_json)
    return exit_code(interrupted)


def _report_usage(error: Any, as_json: bool) -> int:
    """Report what typer found wrong with the arguments; for a command without any, print its help."""
    context = error.ctx
    message = error.format_message()
    if context is not None and message == context.get_help():
        sys.stderr.write(message + "\n")
        return int(error.exit_code)
    command = context.command_path if context is not None else "airgap"
    elsewhere = places_for(error.param) if message.startswith("Missing option") else ""
    return report_error(UsageError(message.rstrip("."), hint=f"see {command} --help{elsewhere}"), as_json)
