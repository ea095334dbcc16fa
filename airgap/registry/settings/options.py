"""What the operator may choose about registries, and where a registry's API is found."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from airgap.oci.hosts import API_HOST, DEFAULT_HOST
from airgap.oci.reference import Repository
from airgap.pace import Pacing
from airgap.registry.settings.credentials import Credential, CredentialStore, Login, scopes
from airgap.registry.settings.limits import Bucket
from airgap.registry.settings.rules import Rules
from airgap.text import printable

#: What most URLs begin with: up to the path, spelled as everybody spells it.
_PLAIN = re.compile(r"https?://[A-Za-z0-9.:-]+(?=/)", re.ASCII)
#: Docker Hub's name in references is not the name of its API host.
_API_HOSTS = {DEFAULT_HOST: API_HOST}


def _unheard(message: str) -> None:
    """Nobody listens to the notices."""


@dataclass(frozen=True)
class RegistryOptions:
    """How registries are spoken to.

    Args:
        insecure: ``HOST[:PORT]`` of registries that may be used over plain HTTP, or over TLS without verification.
            Loopback hosts are spoken to over plain HTTP without being named, as docker does it, unless there are certificates.
        cert_dirs: by ``HOST[:PORT]``, the directory with the registry's CA (``*.crt``) and our client certificate (``*.cert``,
            ``*.key``), as in containers-certs.d(5).
        cert_dir: such a directory for all registries that have none of their own.
        certs_d: where directories named ``HOST[:PORT]`` are looked for.
        rules: what registries.conf says.
        no_referrers_api: ``HOST[:PORT]`` or ``HOST[:PORT]/path`` whose referrers are under fallback tags only.
        logins: by ``HOST[:PORT]`` or ``HOST[:PORT]/path``, a name and password that count before those of ``credentials``.
        bucket: limits the bytes of blobs per second; None for no limit.
        per_host: how many manifests and blobs may be under way at a time with one registry; 0 for no limit.
        connections: how many idle connections are kept per host, shared by all threads.
        retries: how often an idempotent call is repeated after a failure that may pass.
        patience: seconds for which a call is repeated while the registry says it is asked too much (429); 0: as other failures.
        timeout: seconds without a byte after which a connection counts as broken.
        connect_timeout: seconds to wait for a new connection.
        document: seconds for a whole manifest, list or token, however it comes.
        least_rate: bytes a second that a blob must move in the long run, in either direction; 0 for no such limit.
        say: receives one-line notices for a person (waits, retries).
        sleep: waits that many seconds.
        heard: scheme, host and port of every place that has answered in this run; all clients of the run share it.
        credentials: where user names, passwords and tokens come from.
    """

    insecure: frozenset[str] = frozenset()
    cert_dirs: Mapping[str, Path] = field(default_factory=dict)
    cert_dir: Path | None = None
    certs_d: tuple[Path, ...] = ()
    logins: Mapping[str, Login] = field(default_factory=dict)
    rules: Rules = field(default_factory=Rules)
    no_referrers_api: frozenset[str] = frozenset()
    bucket: Bucket | None = None
    per_host: int = 0
    connections: int = 8
    retries: int = 5
    patience: float = 0.0
    timeout: float = 60.0
    connect_timeout: float = 10.0
    document: float = 120.0
    least_rate: int = 1024
    say: Callable[[str], None] = _unheard
    sleep: Callable[[float], None] = time.sleep
    heard: set[tuple[str, str, int]] = field(default_factory=set)
    credentials: CredentialStore = field(default_factory=CredentialStore.from_environment)

    @property
    def pacing(self) -> Pacing:
        """How slowly anything may come or go."""
        return Pacing(self.timeout, self.least_rate, self.document)

    def lacks_referrers(self, repository: Repository) -> bool:
        """Whether the operator said that there is no referrers API, whatever is answered there."""
        return any(name in self.no_referrers_api for name in scopes(repository.host, repository.path))

    def is_insecure(self, host: str, path: str = "") -> bool:
        """Whether the operator called this registry, or registries.conf this place of it, insecure."""
        return host in self.insecure or self.rules.is_insecure(host, path)

    def credential(self, host: str, path: str) -> Credential | None:
        """The credentials for a repository: the operator's own first, then the auth files.

        Raises:
            As ``CredentialStore.lookup``.
        """
        for name in scopes(host, path):
            if name in self.logins:
                return Credential(self.logins[name].user, self.logins[name].password)
        return self.credentials.lookup(host, path)

    def account(self, host: str, path: str) -> Account:
        """Who we are to a registry, for messages. Raises as :meth:`credential`."""
        found = self.credential(host, path)
        if found is None:
            return Account(host, again=self.credentials.login_command(host))
        again = self.credentials.login_command(found.scope) if found.scope else ""
        user = printable(found.username, 60) or "an identity token"
        return Account(host, user, printable(found.origin, 300) or "the image list", again)

    def endpoint(self, host: str, *, insecure: bool | None = None) -> Endpoint:
        """Where the API of the registry that references call ``host`` is, as far as that can be told without asking it.

        Args:
            insecure: whether it is; by default what the options say of the whole registry.
        """
        plain = (self.is_insecure(host) if insecure is None else insecure) or is_loopback(host)
        return Endpoint(host, f"{'http' if plain else 'https'}://{_API_HOSTS.get(host, host)}")


@dataclass(frozen=True)
class Account:
    """Who we are to a registry; no secrets.

    Attributes:
        host: the registry as references name it.
        user: the user name; empty when there is no login.
        origin: the file, helper or list that the login is from.
        again: the command that stores another one; empty where none does.
    """

    host: str
    user: str = ""
    origin: str = ""
    again: str = ""


@dataclass(frozen=True)
class Endpoint:
    """One registry: its name in references, the base URL of its API, and whether its certificate must prove itself."""

    host: str
    base: str
    verified: bool = True

    def with_tls(self) -> Endpoint:
        """The same registry, spoken to over TLS."""
        return replace(self, base="https" + self.base.removeprefix("https").removeprefix("http"))

    @property
    def plain(self) -> bool:
        """Whether it is spoken to without TLS."""
        return self.base.startswith("http:")

    def serves(self, url: str) -> bool:
        """Whether a URL has this registry's own scheme, host and port: the only place its credentials may go to."""
        return url.startswith(f"{self.base}/") or origin(url) == origin(self.base)


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, lower-case host and port of a URL. Raises ``ValueError`` when the port is not a number."""
    plain = _PLAIN.match(url)
    return _origin(plain[0] if plain else url)


@functools.lru_cache(maxsize=256)
def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    port = parts.port or (80 if parts.scheme == "http" else 443)
    return parts.scheme, (parts.hostname or "").lower(), port


def is_loopback(host: str) -> bool:
    """Whether ``HOST[:PORT]`` is this machine by its spelling: ``localhost``, ``127.x.y.z`` or ``[::1]``."""
    name = host.lower()
    if name.startswith("["):
        return name.partition("]")[0] == "[::1"
    name = name.partition(":")[0]
    parts = name.split(".")
    return name == "localhost" or (len(parts) == 4 and parts[0] == "127" and all(part.isdigit() for part in parts))
