"""The command ``airgap``, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import traceback
from typing import Any, cast

import typer

from airgap import __version__
from airgap.bundle import presence
from airgap.cli.application import application
from airgap.cli.config.command import places_for, wants_json
from airgap.cli.terminal import choosing, signals
from airgap.cli.terminal.console import report_error, rest, survive_any_locale, tell
from airgap.errors import BUG, AirgapError, Interrupted, SeveralBundles, UsageError, exit_code, system_error
from airgap.fsio import leftovers

_M_MMAP_THRESHOLD = -3  # mallopt(3)
#: The error of the click that typer brings along, under whatever name.
_WrongArguments = cast(type[Exception], typer.BadParameter.__mro__[1])


def main() -> None:
    """Run the command line and exit with the documented exit code."""
    _give_memory_back()
    survive_any_locale()
    try:
        signals.interrupt()
        code = run(sys.argv[1:])
        signals.finish(code)
    except Interrupted as error:  # it came between two lines of ours
        code = _report(error, wants_json(sys.argv))
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
    as_json = wants_json(arguments)
    leftovers.begin(tell)
    try:
        with presence.attending():
            code = application()(args=arguments, prog_name="airgap", standalone_mode=False)
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
        return report_error(system_error(error), as_json)
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
    wrong, near = getattr(error, "option_name", ""), getattr(error, "possibilities", None) or ()
    hint = f"see {command} --help"
    if message.startswith("Missing option"):
        hint += places_for(error.param)
    elif wrong == "--json":  # every result can be had as JSON
        hint = f"leave --json out: {command} prints text only"
    elif wrong.startswith("--no-"):  # without which names that only begin so are not alike
        error.possibilities = [one for one in near if _is_near(one, wrong[5:])]
        message = error.format_message()
    return report_error(UsageError(" ".join(message.split()).rstrip("."), hint=hint), as_json)


def _is_near(option: str, written: str) -> bool:
    import difflib  # here, for only mistakes need it

    name = option.removeprefix("--no-").removeprefix("--")
    return not name.startswith("no-") and bool(difflib.get_close_matches(written, [name], 1))
