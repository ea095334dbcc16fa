"""The command ``toolkit``: put airgap itself on the media, for machines without a network."""

from __future__ import annotations

import os
import platform as machine_platform
import sys
from pathlib import Path
from typing import Annotated

import typer

from airgap.cli.options.groups import grouped
from airgap.cli.terminal.console import Said
from airgap.text import command
from airgap.toolkit.pack import describe, make_toolkit, write_checker
from airgap.toolkit.packages import Machine

#: The module that the checker starts.
CHECKER_ENTRY = "airgap.cli.standalone"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "i686": "386", "armv7l": "arm"}


@grouped
def toolkit_command(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="A new directory, for example on a medium.")],
    platform: Annotated[
        list[str] | None,
        typer.Option("--platform", help="Platform of the offline machines; may be repeated.", show_default="this machine's"),
    ] = None,
    python: Annotated[
        list[str] | None,
        typer.Option("--python", metavar="VERSION", help="Their Python version; may be repeated.", show_default="the running one"),
    ] = None,
    glibc: Annotated[str, typer.Option("--glibc", metavar="VERSION", help="The oldest C library to support.")] = "2.28",
    musl: Annotated[
        str,
        typer.Option(
            "--musl", metavar="VERSION", help="For machines with this musl or newer (Alpine) in place of glibc.", show_default=False
        ),
    ] = "",
    standalone: Annotated[
        list[Path] | None,
        typer.Option(
            "--standalone",
            metavar="FILE",
            help="The release's build with the interpreter inside, for machines without Python; may be repeated.",
            show_default=False,
        ),
    ] = None,
    check_only: Annotated[
        bool, typer.Option("--check-only", help="Write only airgap-check.pyz, which checks media; any directory will do.")
    ] = False,
    said: Said = Said(),
) -> None:
    """Put airgap itself into a directory: wheels with hashes, an install script, and a checker that needs only Python.

    Packages are fetched with pip and its own settings (pip.conf, PIP_INDEX_URL, PIP_FIND_LINKS). The offline machine needs
    nothing but Python.

    Example: airgap toolkit --out /mnt/usb/airgap --platform linux/amd64 --platform linux/arm64 --python 3.11 --python 3.12

    Example: airgap toolkit --out /mnt/usb/prod-site-0007 --check-only
    """
    console = said.console()
    if check_only:
        path = write_checker(out, CHECKER_ENTRY)
        line = f"checker      {path}: {command('python3', path)} PATH..."
        console.result({"checker": str(path)}, [line], "toolkit-checker")
        return
    machines = [
        Machine.parse(one, version, glibc, musl)
        for one in dict.fromkeys(platform or [_this_platform()])
        for version in dict.fromkeys(python or [f"{sys.version_info.major}.{sys.version_info.minor}"])
    ]
    builds = list(dict.fromkeys(standalone or ()))
    kit = make_toolkit(Path(os.path.abspath(out)), machines, CHECKER_ENTRY, console, builds)  # noqa: PTH100 - links stay as they are
    facts = {
        "toolkit": str(kit.path),
        "bytes": kit.size,
        "machines": [machine.name for machine in machines],
        "lacking": list(kit.lacking),
        "standalone": [build.name for build in builds],
        "wheels": [{"file": one.path.name, "sha256": one.sha256} for one in kit.wheels],
    }
    console.result(facts, describe(kit))


def _this_platform() -> str:
    machine = machine_platform.machine()
    return f"linux/{_ARCHITECTURES.get(machine, machine)}"
