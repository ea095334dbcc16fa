"""Logging in and out: credentials are tried at the registry, then stored where podman, skopeo and docker also find them."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from airgap import fsio
from airgap.errors import Busy, RegistryError, UsageError
from airgap.oci.hosts import canonical_host
from airgap.oci.reference import Repository
from airgap.registry.http.auth import scope
from airgap.registry.http.refusals import refusal
from airgap.registry.http.transport import HostCall, Transport
from airgap.registry.settings.credentials import Login, entry_key, helper_of, read_auth_file, tell_helper
from airgap.registry.settings.options import RegistryOptions
from airgap.text import printable


def check_scope(text: str) -> tuple[str, str]:
    """Split ``HOST[:PORT][/path]``; the name of Docker Hub is made ``docker.io``.

    Raises:
        UsageError: it is something else.
    """
    host, slash, path = text.partition("/")
    try:
        host = canonical_host(host)
        Repository(host, f"{path}/any/name" if slash else "any/name")
    except UsageError as error:
        raise UsageError(
            "not a valid registry name", got=printable(text), expected="HOST[:PORT] or HOST[:PORT]/path, such as quay.io/team"
        ) from error
    return host, path


def try_login(options: RegistryOptions, host: str, path: str, login: Login) -> bool:
    """Ask the registry whether it takes a name and password; False when it asks nobody for one.

    Raises:
        RegistryError: it does not, or cannot be asked.
    """
    name = f"{host}/{path}" if path else host
    transport = Transport(replace(options, logins={name: login}))
    scopes = (scope(path, "pull"),) if path else ()
    try:
        with contextlib.closing(transport):
            answer = transport.call(HostCall("GET", host, "", name=path, scopes=scopes))
            if answer.status in (401, 403):
                raise refusal(answer, "the registry does not accept this user name and password")
            if answer.status != 200:
                raise refusal(answer, "this does not look like a registry")
            answer.finish()
            return transport.asked(host)
    except RegistryError as error:
        if error.got.startswith(("401", "403")):
            error.expected = ""
            error.hint = "check the user name and password; some registries require a token instead of a password"
        raise


def keep_login(file: Path, host: str, path: str, login: Login, environment: Mapping[str, str]) -> str:
    """Write a login down: into the auth file, or to the credential helper that the file names; where it is now.

    Everything else in the file is kept. It is readable by its owner only, and replaced in one step.

    Raises:
        UsageError: the file is there and is no auth file.
        RegistryError: the helper failed.
        MediaError: the disk refuses.
    """
    fsio.make_directory(file.resolve().parent, fsio.PRIVATE)
    with _alone(file):
        document = _read(file)
        helper = "" if path else helper_of(document, host)
        if helper:
            tell_helper(helper, "store", {"ServerURL": host, "Username": login.user, "Secret": login.password}, environment)
            return f"docker-credential-{helper}"
        entries = document.setdefault("auths", {})
        if not isinstance(entries, dict):
            raise UsageError("auths is not an object", where=printable(str(file)))
        _drop(entries, host, path)
        secret = base64.b64encode(f"{login.user}:{login.password}".encode()).decode()
        entries[f"{host}/{path}" if path else host] = {"auth": secret}
        _write(file, document)
        return str(file)


def forget_login(file: Path, host: str, path: str, environment: Mapping[str, str]) -> bool:
    """Remove a login from the auth file, or the helper that it names; whether there was one.

    Raises:
        As :func:`keep_login`.
    """
    if not _is_there(file):
        return False
    with _alone(file):
        document = _read(file)
        helper = "" if path else helper_of(document, host)
        removed = bool(helper) and tell_helper(helper, "erase", host, environment)
        entries = document.get("auths")
        if isinstance(entries, dict) and _drop(entries, host, path):
            _write(file, document)
            return True
        return removed


def forget_all(file: Path) -> int:
    """Remove all logins from the auth file; how many there were. Those that helpers keep stay.

    Raises:
        As :func:`keep_login`.
    """
    if not _is_there(file):
        return 0
    with _alone(file):
        document = _read(file)
        entries = document.get("auths")
        count = len(entries) if isinstance(entries, dict) else 0
        if count:
            document["auths"] = {}
            _write(file, document)
        return count


@contextlib.contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Keep other airgap commands from writing the auth file meanwhile: a read-modify-write would lose their changes."""
    directory = file.resolve().parent
    if not directory.is_dir():
        yield
        return
    busy = Busy("another command is writing the auth file", where=printable(str(file)), hint="run the command again")
    with fsio.exclusive_directory(directory, busy):
        yield


def _is_there(file: Path) -> bool:
    try:
        return file.exists()
    except OSError:  # a directory above that is not for us
        return False


def _read(file: Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    if not file.is_file():  # a device or a FIFO: it would be replaced
        raise UsageError("the auth file is not a regular file", where=printable(str(file)), hint="name another --authfile")
    return read_auth_file(file)


def _write(file: Path, document: Mapping[str, Any]) -> None:
    fsio.make_directory(file.parent, fsio.PRIVATE)
    fsio.write_durable(file.resolve(), json.dumps(document, indent="\t", ensure_ascii=False).encode() + b"\n", mode=0o600)


def _drop(entries: dict[str, Any], host: str, path: str) -> bool:
    wanted = f"{host}/{path}" if path else host
    stale = [key for key in entries if entry_key(key) == wanted]
    for key in stale:
        del entries[key]
    return bool(stale)
