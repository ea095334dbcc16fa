"""``airgap media check``: whether the media are complete and undamaged, without keys or network."""

from __future__ import annotations

import datetime as dt
import getpass
import json
import os
import socket
from pathlib import Path
from typing import Annotated, Any

import typer

from airgap import __version__
from airgap.cli.options import inputs
from airgap.cli.options.groups import grouped
from airgap.cli.options.outputs import HELP, Output, check_replaceable, taken, write_signed
from airgap.cli.terminal.buckets import from_buckets
from airgap.cli.terminal.console import Said
from airgap.errors import UsageError
from airgap.format.times import format_time
from airgap.limits import MAX_RESULT
from airgap.media import words
from airgap.media.check import check

SCHEMA = "airgap.check/1"


@grouped
@from_buckets("paths")
def check_command(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Bundle directories or mount points, on one or several disks.")
    ],
    subset: Annotated[
        bool, typer.Option("--subset", help="Only some of the disks are given: do not report files on other disks as missing.")
    ] = False,
    result: Annotated[
        Path | None, typer.Option("--result", metavar="FILE", help=f"Also record who checked what, when and where; {HELP}")
    ] = None,
    who: Annotated[str, typer.Option("--who", metavar="NAME", help="Who checks, for --result.", show_default="this user")] = "",
    key: Annotated[
        list[str] | None, typer.Option("--key", help="Sign the result file: private key file or gpg:FINGERPRINT.")
    ] = None,
    passphrase_file: inputs.PassphraseOption = None,
    threads: Annotated[
        int, typer.Option("--threads", min=1, max=64, help="Blocks checked at a time.", show_default="one for each processor")
    ] = os.cpu_count() or 2,
    said: Said = Said(),
) -> None:
    """Read everything on the media and report what is wrong: missing, damaged, duplicate or foreign files, and images affected.

    Needs neither key nor network and writes nothing to the media. Exit code 0: complete and good; with --subset also if only files
    on other disks are missing. 4: damaged or incomplete. 6: a disk cannot be read.

    Example: airgap media check /media/usb1 /media/usb2 --result check.json
    """
    output = Output(result, "--result") if result is not None else None
    console = said.console(taken(output))
    if key and (output is None or not output.is_file):
        raise UsageError("nothing to sign", got="--key", expected="--result FILE, a regular file")
    if result is not None and output is not None and output.exists:
        check_replaceable(result, MAX_RESULT, "the result of an earlier check", lambda raw: SCHEMA.encode() in raw[:100])
    signers = inputs.signers(key or (), passphrase_file)
    reports = check(paths, console, subset=subset, threads=min(threads, 8))
    facts, lines = words.facts(reports), words.lines(reports)
    if output is not None:
        document = json.dumps(_statement(who) | facts, indent=2).encode() + b"\n"
        written = write_signed(output, document, signers)
        lines += [f"written      {path}" for path in (output.name, *written)]
    console.result(facts, lines)
    raise typer.Exit(facts["exit_code"])


def _statement(by: str) -> dict[str, Any]:
    """Who, when, where, with what."""
    return {
        "schema": SCHEMA,
        "checked": inputs.created_time(None) or format_time(dt.datetime.now(dt.UTC)),
        "by": by or _user(),
        "host": socket.gethostname(),
        "tool": f"airgap {__version__}",
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no such user in a container
        return str(os.getuid())
