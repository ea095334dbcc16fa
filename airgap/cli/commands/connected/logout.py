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
from airgap.registry.settings.credentials import primary_file
from airgap.text import plural, printable


@grouped
def logout_command(
    where: Annotated[str | None, typer.Argument(metavar="HOST[:PORT][/PATH]", help="The registry, as given to login.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Remove all logins from the auth file.")] = False,
    authfile: AuthfileOption = None,
    said: Said = Said(),
) -> None:
    """Remove a login, or all of them.

    Example: airgap logout registry.example:5000
    """
    if (where is None) is not everything:
        raise UsageError("logout needs one registry or --all", expected="airgap logout HOST[:PORT][/PATH], or airgap logout --all")
    file = authfile or primary_file(os.environ)
    if where is None:
        count = forget_all(file)
    else:
        host, path = check_scope(where)
        count = int(forget_login(file, host, path, os.environ))
        if not count:
            raise UsageError(
                "not logged in", where=printable(str(file)), got=printable(where), hint="name another auth file with --authfile"
            )
    said.console().result({"forgotten": count, "authfile": str(file)}, [f"removed      {plural(count, 'login')}"])
