"""``airgap login``: credentials for registries, stored where podman, skopeo and docker look for them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from airgap.cli.options.groups import grouped
from airgap.cli.options.stores import CertDirOption, InsecureOption, Reach, RegistriesConfOption
from airgap.cli.terminal.console import Said
from airgap.errors import UsageError
from airgap.registry import CredentialStore, Login
from airgap.registry.http.authfile import check_scope, forget_login, keep_login, try_login
from airgap.registry.settings.credentials import login_files
from airgap.text import printable

_MAX_PASSWORD = 64 * 1024

Where = Annotated[str, typer.Argument(metavar="HOST[:PORT][/PATH]", help="The registry, or a namespace in it.")]
AuthfileOption = Annotated[
    Path | None,
    typer.Option(
        "--authfile",
        metavar="FILE",
        help="The auth file.",
        show_default="REGISTRY_AUTH_FILE, else containers/auth.json in XDG_RUNTIME_DIR, else in ~/.config",
    ),
]


@grouped
def login_command(
    where: Where,
    user: Annotated[str | None, typer.Option("--user", "-u", help="The user name; prompted for if omitted.")] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input instead of prompting for it.")
    ] = False,
    authfile: AuthfileOption = None,
    insecure: InsecureOption = None,
    cert_dir: CertDirOption = None,
    registries_conf: RegistriesConfOption = None,
    said: Said = Said(),
) -> None:
    """Log in to a registry: check a user name and password, and store them if it accepts them. A password is never an argument.

    Example: airgap login registry.example:5000 -u robot --password-stdin < token
    """
    console = said.console()
    host, path = check_scope(where)
    login = _ask(user, password_stdin)
    reach = Reach(insecure, cert_dir, registries_conf=registries_conf)
    asked = try_login(reach.options(1, console, credentials=CredentialStore()), host, path, login)
    *earlier, file = [authfile] if authfile else login_files(os.environ)
    for other in earlier:  # an older login there would count before this one
        forget_login(other, host, path, os.environ)
    kept = keep_login(file, host, path, login, os.environ)
    name = f"{host}/{path}" if path else host
    lines = [f"logged in    {name} as {login.user}", f"stored in    {kept}"]
    if not asked:
        lines.append("note         the registry requires no password, so this one was not checked")
    console.result({"registry": name, "user": login.user, "stored_in": kept, "password_checked": asked}, lines)


def _ask(user: str | None, from_stdin: bool) -> Login:
    terminal = sys.stdin is not None and sys.stdin.isatty()
    if user is None:
        if from_stdin or not terminal:
            raise UsageError("a user name is missing", expected="-u USER")
        user = typer.prompt("name", err=True)
    if from_stdin:
        given = sys.stdin.buffer.read(_MAX_PASSWORD + 1)
        password = _decoded(given).removesuffix("\n").removesuffix("\r")
    elif terminal:
        password = typer.prompt("password", hide_input=True, err=True)
    else:
        raise UsageError("cannot prompt for the password without a terminal", expected="--password-stdin")
    if not user or ":" in user or not user.isprintable():
        raise UsageError("not a valid user name", got=printable(user), expected="a name without a colon")
    if not password or not password.isprintable():
        raise UsageError("not a valid password", expected="one line of text, not empty")
    return Login(user, password)


def _decoded(given: bytes) -> str:
    try:
        if len(given) <= _MAX_PASSWORD:
            return given.decode()
    except UnicodeDecodeError:
        pass
    raise UsageError("not a valid password", expected="one line of UTF-8 text", where="standard input")
