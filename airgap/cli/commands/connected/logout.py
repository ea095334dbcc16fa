"""``airgap logout``: remove stored credentials."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from airgap.cli.commands.connected.login import AuthfileOption
from airgap.cli.options.groups import grouped
from airgap.cli.terminal.console import Said
from airgap.errors import UsageError
from airgap.registry.http.authfile import check_scope, forget_all, forget_login
from airgap.registry.settings.credentials import logout_files
from airgap.text import plural, printable


@grouped
def logout_command(
    where: Annotated[str | None, typer.Argument(metavar="HOST[:PORT][/PATH]", help="The registry, as given to login.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Remove all logins from these auth files.")] = False,
    authfile: AuthfileOption = None,
    said: Said = Said(),
) -> None:
    """Remove a login, or all of them.

    Example: airgap logout registry.example:5000
    """
    if (where is None) is not everything:
        raise UsageError("logout needs one registry or --all", expected="airgap logout HOST[:PORT][/PATH], or airgap logout --all")
    files = (authfile,) if authfile else logout_files(os.environ)
    if where is None:
        counts = {file: forget_all(file) for file in files}
    else:
        host, path = check_scope(where)
        counts = {file: int(forget_login(file, host, path, os.environ)) for file in files}
        if not any(counts.values()):
            raise UsageError(
                "not logged in",
                where=", ".join(printable(str(file)) for file in files),
                got=printable(where),
                hint="name another auth file with --authfile",
            )
    changed = [file for file, count in counts.items() if count]
    lines = [f"removed      {plural(counts[file], 'login')} from {printable(str(file))}" for file in changed or files[-1:]]
    said.console().result({"forgotten": sum(counts.values()), "authfile": str((changed or files[-1:])[0])}, lines)
