"""Credentials as docker and the containers tools keep them: auth files and credential helpers (containers-auth.json(5))."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shlex
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from airgap import fsio, programs
from airgap.errors import Damaged, RegistryError, UsageError
from airgap.limits import MAX_SETTINGS
from airgap.oci import strictjson
from airgap.oci.hosts import DEFAULT_HOST, canonical_scope
from airgap.text import printable

_MAX_ANSWER = 64 * 1024
_HELPER_SECONDS = 60.0
_HELPER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
_HUB_KEY = "https://index.docker.io/v1/"
#: Docker's file before 2015: its entries at the top level, each for a whole registry.
_LEGACY_NAME = ".dockercfg"


@dataclass(frozen=True)
class Credential:
    """A user name and password, or an identity token that is exchanged for access tokens.

    ``origin`` and ``scope`` are for messages: the file or helper that it is from, and the registry or namespace that it is for.
    """

    username: str
    password: str = field(repr=False)
    identity_token: str = field(default="", repr=False)
    origin: str = field(default="", repr=False, compare=False)
    scope: str = field(default="", repr=False, compare=False)

    def basic(self) -> str:
        """The value of a Basic ``Authorization`` header."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


@dataclass(frozen=True)
class Login:
    """A name and password that the operator gave for one registry, beside all auth files."""

    user: str
    password: str = field(repr=False)


def login_files(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """The auth files of podman and skopeo in the order in which they are read (containers-auth.json(5)).

    A login is written to the last one, and would count for nothing if an earlier one had another for the same registry. That is the
    file of the session, where there is one; without ``XDG_RUNTIME_DIR`` the user's own, which is still there after a restart.
    """
    if environment.get("REGISTRY_AUTH_FILE"):
        return (Path(environment["REGISTRY_AUTH_FILE"]),)
    if environment.get("XDG_RUNTIME_DIR"):
        return (Path(environment["XDG_RUNTIME_DIR"], "containers/auth.json"),)
    return (Path(f"/run/containers/{os.getuid()}/auth.json"), *_user_file(environment))


def logout_files(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """The auth files that :func:`login_files` may have led to, now or in another session."""
    named = bool(environment.get("REGISTRY_AUTH_FILE"))
    return login_files(environment) if named else tuple(dict.fromkeys((*login_files(environment), *_user_file(environment))))


def _user_file(environment: Mapping[str, str]) -> tuple[Path, ...]:
    if environment.get("XDG_CONFIG_HOME"):
        return (Path(environment["XDG_CONFIG_HOME"]) / "containers/auth.json",)
    return (Path(environment["HOME"]) / ".config/containers/auth.json",) if environment.get("HOME") else ()


class CredentialStore:
    """Looks credentials up in auth files, the first file that knows the registry wins.

    Args:
        files: auth files in order of preference; those that do not exist are skipped.
        environment: passed on to credential helpers; its ``PATH`` is where they are looked for.
        authfile: the only file, as the operator named it.
    """

    def __init__(
        self, files: tuple[Path, ...] = (), environment: Mapping[str, str] | None = None, *, authfile: Path | None = None
    ) -> None:
        self._files = files if authfile is None else (authfile,)
        self._option = "" if authfile is None else f" --authfile {shlex.quote(str(authfile))}"
        self._environment = environment
        self._lock = threading.Lock()
        self._documents: list[tuple[Path, dict[str, Any]]] | None = None
        self._found: dict[tuple[str, str], Credential | None] = {}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None, authfile: Path | None = None) -> CredentialStore:
        """The files that podman, skopeo and docker would look into.

        Args:
            authfile: the only file to look into, when the operator named one.

        Raises:
            UsageError: ``authfile`` does not exist.
        """
        env = os.environ if environment is None else environment
        if authfile is not None:
            if not authfile.is_file():
                raise UsageError("the auth file does not exist", where=printable(str(authfile)), hint="log in with `airgap login`")
            return cls(environment=env, authfile=authfile)
        files = [*login_files(env)[:1], *_user_file(env)]
        if env.get("DOCKER_CONFIG"):
            files.append(Path(env["DOCKER_CONFIG"]) / "config.json")
        elif env.get("HOME"):
            files.append(Path(env["HOME"]) / ".docker/config.json")
        if env.get("HOME"):
            files.append(Path(env["HOME"]) / _LEGACY_NAME)
        return cls(tuple(files), env)

    def login_command(self, scope: str) -> str:
        """The command that stores a login for a registry or namespace where this store looks for it."""
        return f"airgap login {printable(scope, 200)}{printable(self._option, 400)}"

    def lookup(self, host: str, path: str = "") -> Credential | None:
        """The credential for a repository, or None when there is none.

        Args:
            host: the registry as references name it.
            path: the repository path, for entries that hold for one namespace only.

        Raises:
            UsageError: an auth file cannot be read as one.
            RegistryError: a credential helper failed.
        """
        with self._lock:
            if (host, path) not in self._found:
                self._found[host, path] = self._search(host, path)
            return self._found[host, path]

    def _search(self, host: str, path: str) -> Credential | None:
        if self._documents is None:
            self._documents = [(file, read_auth_file(file)) for file in self._files if _exists(file)]
        for file, document in self._documents:
            name = helper_of(document, host)
            found = self._from_helper(name, host, str(file)) if name else None
            if found is None and not (name and name == _own_helper(document, host)):
                found = _find_entry(document, host, path, str(file))
            if found is not None:
                return found
        return None

    def _from_helper(self, name: str, host: str, file: str) -> Credential | None:
        """What a helper has for a registry; docker and podman call Docker Hub differently when they store a login there."""
        for server in dict.fromkeys((_server(host), host)):
            if kept := run_helper(name, server, self._environment):
                return replace(kept, origin=f"docker-credential-{name}, which {file} names", scope=host)
        return None


def helper_of(document: Mapping[str, Any], host: str) -> str:
    """The credential helper that an auth file names for a registry, ``""`` when it names none."""
    name = _own_helper(document, host) or document.get("credsStore")
    return name if isinstance(name, str) else ""


def _own_helper(document: Mapping[str, Any], host: str) -> str:
    """The helper for this registry alone; where there is one, the file's entries for it do not count (containers-auth.json(5))."""
    helpers = _object(document.get("credHelpers"))
    name = helpers.get(host) or {entry_key(key): name for key, name in helpers.items()}.get(_normal(host))
    return name if isinstance(name, str) else ""


def run_helper(name: str, server: str, environment: Mapping[str, str] | None = None) -> Credential | None:
    """Ask ``docker-credential-NAME get`` about a server (docker-credential-helpers protocol).

    Raises:
        RegistryError: the helper is not there, fails, hangs, or answers nonsense. Its output is never shown.
    """
    status, answer = _run(name, "get", server, server.encode() + b"\n", environment)
    if status != 0:
        if _has_none(answer):
            return None
        raise _helper_failed(name, server, f"exit status {status}")
    try:
        fields = strictjson.parse_object(answer, "credential helper")
        username, secret = (strictjson.string(fields.get(key), key) for key in ("Username", "Secret"))
    except Damaged:
        raise _helper_failed(name, server, "a response that is not a credential") from None
    return Credential("", "", secret) if username == "<token>" else Credential(username, secret)


def tell_helper(name: str, action: str, what: Mapping[str, str] | str, environment: Mapping[str, str] | None = None) -> bool:
    """Have ``docker-credential-NAME`` store a credential (``ServerURL``, ``Username``, ``Secret``) or erase that of a registry.

    Returns:
        False when there was none to erase.

    Raises:
        RegistryError: the helper is not there, fails or hangs. Its output is never shown.
    """
    if isinstance(what, str):
        server = _server(what)
        given = server.encode() + b"\n"
    else:
        server = _server(what["ServerURL"])
        given = json.dumps({**what, "ServerURL": server}).encode()
    status, answer = _run(name, action, server, given, environment)
    if status != 0 and not (action == "erase" and _has_none(answer)):
        raise _helper_failed(name, server, f"exit status {status}")
    return status == 0


def _has_none(answer: bytes) -> bool:
    return b"not found" in answer.lower() or b"no credentials" in answer.lower()


def _server(host: str) -> str:
    """What helpers call a registry."""
    return _HUB_KEY if _normal(host) == DEFAULT_HOST else host


def _run(name: str, action: str, server: str, given: bytes, environment: Mapping[str, str] | None) -> tuple[int, bytes]:
    if not _HELPER_NAME.fullmatch(name):
        raise UsageError("not a valid credential helper name", got=printable(name))
    try:
        process = subprocess.Popen(
            [f"docker-credential-{name}", action],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=None if environment is None else dict(environment),
        )
    except OSError as error:
        raise _helper_failed(name, server, error.strerror or "cannot start") from None
    watchdog = threading.Timer(_HELPER_SECONDS, process.kill)
    watchdog.start()
    try:
        with process:
            assert process.stdin is not None  # noqa: S101 -- both are pipes
            assert process.stdout is not None  # noqa: S101
            try:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(given)
                    process.stdin.close()
                answer = process.stdout.read(_MAX_ANSWER + 1)
            except BaseException:
                process.kill()
                raise
            if len(answer) > _MAX_ANSWER:
                process.kill()
        programs.require_uninterrupted(process.returncode)
        return process.returncode, answer
    finally:
        watchdog.cancel()


def _helper_failed(name: str, server: str, got: str) -> RegistryError:
    return RegistryError(
        f"the credential helper docker-credential-{name} failed",
        where=printable(server),
        got=got,
        hint=f"run `docker-credential-{name} get` by hand, or log in again",
    )


def read_auth_file(file: Path) -> dict[str, Any]:
    """The document in an auth file; that of a ``.dockercfg`` in the form of the others. Raises ``UsageError``."""
    try:
        document = strictjson.parse_object(fsio.read_input(file, MAX_SETTINGS, "auth file"), printable(str(file)))
    except Damaged as error:
        raise UsageError(error.what, where=error.where, hint="correct the auth file, or log in again") from None
    if file.name != _LEGACY_NAME:
        return document
    return {"auths": {key if "://" in key or "/" not in key else f"https://{key}": entry for key, entry in document.items()}}


def _exists(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:  # a directory above that is not for us
        return False


def _find_entry(document: dict[str, Any], host: str, path: str, where: str) -> Credential | None:
    """The entry of an auth file that counts for a repository; None when there is none, or when the one that counts is empty.

    The order is that of containers/image: keys spelled as the reference is, the most specific first, and the first of them decides;
    only then keys in other spellings, such as URLs.
    """
    entries = _object(document.get("auths"))
    wanted = list(scopes(_normal(host), path))
    exact = next((name for name in wanted if name in entries), None)
    if exact is not None:
        return _read_found(entries[exact], exact, exact, where)
    for name in wanted:
        for key, entry in entries.items():
            if entry_key(key) == name and (found := _read_found(entry, key, name, where)):
                return found
    return None


def _read_found(entry: object, key: str, scope: str, where: str) -> Credential | None:
    found = _read_entry(_object(entry), f"{where}: auths: {printable(key)}")
    return None if found is None else replace(found, origin=where, scope=scope)


def scopes(host: str, path: str) -> Iterator[str]:
    """The most specific first: ``host/a/b``, ``host/a``, ``host``."""
    parts = path.split("/") if path else []
    for length in range(len(parts), -1, -1):
        yield "/".join((host, *parts[:length]))


def entry_key(key: str) -> str:
    """A key of ``auths`` in one form. Keys that are URLs, as docker writes them, stand for the whole registry."""
    bare = re.sub(r"^https?://", "", key)
    if bare != key:
        return _normal(bare.partition("/")[0])
    host, slash, path = bare.rstrip("/").partition("/")
    return f"{_normal(host)}{slash}{path}"


def _normal(host: str) -> str:
    """The host in canonical spelling; an invalid one stays as it is and matches nothing."""
    return canonical_scope(host)


def _read_entry(entry: dict[str, Any], where: str) -> Credential | None:
    token = entry.get("identitytoken")
    if isinstance(token, str) and token:
        return Credential("", "", token)
    auth = entry.get("auth")
    if not isinstance(auth, str) or not auth:
        return None
    try:
        username, colon, password = base64.b64decode(auth, validate=True).decode().partition(":")
    except ValueError:
        colon = ""
    if not colon:
        raise UsageError("an entry of the auth file is not base64 of NAME:PASSWORD", where=where, hint="log in again")
    return Credential(username, password.strip("\0"))


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
