"""What the operator may choose about registries, and where a registry's API is found."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from airgap.oci.reference import DEFAULT_HOST
from airgap.registry.credentials import CredentialStore

#: Docker Hub's name in references is not the name of its API host.
_API_HOSTS = {DEFAULT_HOST: "registry-1.docker.io"}


def _unheard(message: str) -> None:
    """Nobody listens to the notices."""


@dataclass(frozen=True)
class RegistryOptions:
    """How registries are spoken to.

    Args:
        insecure: ``HOST[:PORT]`` of registries spoken to over plain HTTP. Loopback hosts always are, as docker does it.
            There is no way to accept a TLS certificate that does not verify.
        connections: how many idle connections are kept per host, shared by all threads.
        retries: how often an idempotent call is repeated after a failure that may pass.
        timeout: seconds without a byte after which a connection counts as broken.
        connect_timeout: seconds to wait for a new connection.
        say: receives one-line notices for a person (waits, retries).
        sleep: waits that many seconds.
        credentials: where user names, passwords and tokens come from.
    """

    insecure: frozenset[str] = frozenset()
    connections: int = 8
    retries: int = 5
    timeout: float = 60.0
    connect_timeout: float = 10.0
    say: Callable[[str], None] = _unheard
    sleep: Callable[[float], None] = time.sleep
    credentials: CredentialStore = field(default_factory=CredentialStore.from_environment)

    def endpoint(self, host: str) -> Endpoint:
        """Where the API of the registry that references call ``host`` is."""
        plain = host in self.insecure or is_loopback(host)
        return Endpoint(host, f"{'http' if plain else 'https'}://{_API_HOSTS.get(host, host)}")


@dataclass(frozen=True)
class Endpoint:
    """One registry: its name in references and the base URL of its API."""

    host: str
    base: str

    @property
    def plain(self) -> bool:
        """Whether it is spoken to without TLS."""
        return self.base.startswith("http:")

    def serves(self, url: str) -> bool:
        """Whether a URL has this registry's own scheme, host and port: the only place its credentials may go to."""
        return origin(url) == origin(self.base)


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, lower-case host and port of a URL. Raises ``ValueError`` when the port is not a number."""
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
