"""Credentials as docker and the containers tools keep them: auth files and credential helpers (containers-auth.json(5))."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airgap import fsio
from airgap.errors import Damaged, RegistryError, UsageError
from airgap.oci import strictjson
from airgap.text import printable

_MAX_FILE = 1024 * 1024
_MAX_ANSWER = 64 * 1024
_HELPER_SECONDS = 60.0
_HELPER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
_HUB_KEY = "https://index.docker.io/v1/"
_HUB_NAMES = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})


@dataclass(frozen=True)
class Credential:
    """What proves who we are: a name and password, or an identity token that is exchanged for access tokens."""

    username: str
    password: str = field(repr=False)
    identity_token: str = field(default="", repr=False)

    def basic(self) -> str:
        """The value of a Basic ``Authorization`` header."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


class CredentialStore:
    """Looks credentials up in auth files, the first file that knows the registry wins.

    Args:
        files: auth files in order of preference; those that do not exist are skipped.
        environment: passed on to credential helpers; its ``PATH`` is where they are looked for.
    """

    def __init__(self, files: tuple[Path, ...] = (), environment: Mapping[str, str] | None = None) -> None:
        self._files = files
        self._environment = environment
        self._lock = threading.Lock()
        self._documents: list[tuple[Path, dict[str, Any]]] | None = None
        self._found: dict[tuple[str, str], Credential | None] = {}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> CredentialStore:
        """The files that podman, skopeo and docker would look into."""
        env = os.environ if environment is None else environment
        home = Path(env["HOME"]) if env.get("HOME") else None
        files = []
        if env.get("REGISTRY_AUTH_FILE"):
            files.append(Path(env["REGISTRY_AUTH_FILE"]))
        elif env.get("XDG_RUNTIME_DIR"):
            files.append(Path(env["XDG_RUNTIME_DIR"]) / "containers/auth.json")
        if env.get("XDG_CONFIG_HOME"):
            files.append(Path(env["XDG_CONFIG_HOME"]) / "containers/auth.json")
        elif home:
            files.append(home / ".config/containers/auth.json")
        if env.get("DOCKER_CONFIG"):
            files.append(Path(env["DOCKER_CONFIG"]) / "config.json")
        elif home:
            files.append(home / ".docker/config.json")
        return cls(tuple(files), env)

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
            self._documents = [(file, _read(file)) for file in self._files if file.is_file()]
        for file, document in self._documents:
            found = self._ask_helper(document, host) or _find_entry(document, host, path, str(file))
            if found is not None:
                return found
        return None

    def _ask_helper(self, document: dict[str, Any], host: str) -> Credential | None:
        helpers = {_registry_of(key): name for key, name in _object(document.get("credHelpers")).items()}
        name = helpers.get(_normal(host)) or document.get("credsStore")
        if not isinstance(name, str) or not name:
            return None
        server = _HUB_KEY if host in _HUB_NAMES else host
        return run_helper(name, server, self._environment)


def run_helper(name: str, server: str, environment: Mapping[str, str] | None = None) -> Credential | None:
    """Ask ``docker-credential-NAME get`` about a server (docker-credential-helpers protocol).

    Raises:
        RegistryError: the helper is not there, fails, hangs, or answers nonsense. Its output is never shown.
    """
    if not _HELPER_NAME.fullmatch(name):
        raise UsageError("not a valid name of a credential helper", got=printable(name))
    status, answer = _run([f"docker-credential-{name}", "get"], server.encode() + b"\n", environment)
    if status != 0:
        if b"not found" in answer.lower() or b"no credentials" in answer.lower():
            return None
        raise _helper_failed(name, server, f"exit status {status}")
    try:
        fields = strictjson.parse_object(answer, "credential helper")
        username, secret = (strictjson.string(fields.get(key), key) for key in ("Username", "Secret"))
    except Damaged:
        raise _helper_failed(name, server, "an answer that is not a credential") from None
    return Credential("", "", secret) if username == "<token>" else Credential(username, secret)


def _run(command: list[str], given: bytes, environment: Mapping[str, str] | None) -> tuple[int, bytes]:
    name = command[0].removeprefix("docker-credential-")
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=None if environment is None else dict(environment),
        )
    except OSError as error:
        raise _helper_failed(name, given.decode().strip(), error.strerror or "cannot start") from None
    watchdog = threading.Timer(_HELPER_SECONDS, process.kill)
    watchdog.start()
    try:
        with process:
            assert process.stdin is not None  # noqa: S101 -- both are pipes
            assert process.stdout is not None  # noqa: S101
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(given)
                process.stdin.close()
            answer = process.stdout.read(_MAX_ANSWER + 1)
            if len(answer) > _MAX_ANSWER:
                process.kill()
        return process.returncode, answer
    finally:
        watchdog.cancel()


def _helper_failed(name: str, server: str, got: str) -> RegistryError:
    return RegistryError(
        f"the credential helper docker-credential-{name} did not help",
        where=printable(server),
        got=got,
        hint=f"run `docker-credential-{name} get` by hand, or log in again",
    )


def _read(file: Path) -> dict[str, Any]:
    try:
        return strictjson.parse_object(fsio.read_input(file, _MAX_FILE, "auth file"), printable(str(file)))
    except Damaged as error:
        raise UsageError(error.what, where=error.where, hint="correct the auth file or log in again") from None


def _find_entry(document: dict[str, Any], host: str, path: str, where: str) -> Credential | None:
    entries = _object(document.get("auths"))
    for wanted in _scopes(_normal(host), path):
        for key, entry in entries.items():
            if _entry_key(key) == wanted and (found := _read_entry(_object(entry), f"{where}: auths: {printable(key)}")):
                return found
    return None


def _scopes(host: str, path: str) -> Iterator[str]:
    """The most specific first: ``host/a/b``, ``host/a``, ``host``."""
    parts = path.split("/") if path else []
    for length in range(len(parts), -1, -1):
        yield "/".join((host, *parts[:length]))


def _entry_key(key: str) -> str:
    """A key of ``auths`` in one form. Keys that are URLs, as docker writes them, stand for the whole registry."""
    bare = re.sub(r"^https?://", "", key)
    if bare != key:
        return _normal(bare.partition("/")[0])
    host, slash, path = bare.rstrip("/").partition("/")
    return f"{_normal(host)}{slash}{path}"


def _registry_of(key: str) -> str:
    return _normal(re.sub(r"^https?://", "", key).partition("/")[0])


def _normal(host: str) -> str:
    return "docker.io" if host in _HUB_NAMES else host


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
    return Credential(username, password.rstrip("\0"))


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
