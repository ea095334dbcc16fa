"""TLS trust and client certificates: certs.d directories as docker and podman keep them (containers-certs.d(5))."""

from __future__ import annotations

import contextlib
import functools
import os
import ssl
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import certifi

from airgap.errors import UsageError
from airgap.text import printable


class Certificates:
    """TLS contexts by registry. Thread-safe; the files are read when a registry is spoken to for the first time.

    Args:
        directories: by ``HOST[:PORT]``, the directory of one registry.
        everywhere: a directory for every registry that has none of its own.
        search: certs.d directories, which hold one directory ``HOST[:PORT]`` a registry; the first that has it counts.

    Raises:
        UsageError: SSL_CERT_FILE or REQUESTS_CA_BUNDLE does not name a file of certificates.
    """

    def __init__(
        self, directories: Mapping[str, Path] | None = None, everywhere: Path | None = None, search: tuple[Path, ...] = ()
    ) -> None:
        self._found: dict[str, Path | None] = dict(directories or {})
        self._everywhere = everywhere
        self._search = search
        self._ca_file = _ca_file()
        self._lock = threading.Lock()
        default = _default(self._ca_file)
        self._contexts: dict[tuple[Path | None, bool], ssl.SSLContext] = {(None, False): default, (None, True): default}

    @property
    def default(self) -> ssl.SSLContext:
        """The context for whatever is not a registry, such as a proxy."""
        return self._contexts[None, False]

    def directory(self, host: str) -> Path | None:
        """The directory for the registry that references call ``host``, None when there is none."""
        return self.named(host) or self._everywhere

    def own(self, host: str) -> ssl.SSLContext:
        """The context for the registry ``host`` itself: its CA, and our client certificate where it wants one.

        Raises:
            UsageError: a file in its directory is not what its name says, or one of a pair is missing.
        """
        return self._context(self.directory(host), True)

    def beside(self, other: str, host: str) -> ssl.SSLContext:
        """The context for another server that ``host`` leads to (tokens, storage).

        Unless it has a directory of its own it gets the same CA, but it is not shown who we are.
        """
        named = self.named(other)
        return self._context(self.directory(host), False) if named is None else self._context(named, True)

    def trusted(self, host: str) -> str:
        """Where the CA of ``host`` is looked for, for a message."""
        directory = self.directory(host)
        return self._ca_file if directory is None else f"{self._ca_file} and {directory}"

    def authorities(self, host: str) -> bytes:
        """The CA certificates for ``host`` as one PEM file, for another program. Raises as :meth:`own`."""
        directory = self.directory(host)
        names = () if directory is None else [str(directory / name) for name in _entries(directory) if name.endswith(".crt")]
        found = []
        for path in (self._ca_file, *names):
            with _pem_file(path):
                found.append(Path(path).read_bytes())
        return b"\n".join(found)

    def named(self, host: str) -> Path | None:
        """The directory that is meant for this registry alone."""
        if host not in self._found:
            plain = host.strip(".") and "/" not in host  # a host that a redirect names can be anything
            places = [parent / host for parent in self._search if plain and _is_directory(parent / host)]
            self._found[host] = places[0] if places else None
        return self._found[host]

    def _context(self, directory: Path | None, with_pairs: bool) -> ssl.SSLContext:
        with self._lock:
            known = self._contexts.get((directory, with_pairs))
            if known is None:
                known = self._contexts[directory, with_pairs] = _load(self._ca_file, directory, with_pairs)
            return known


def certs_directories(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """The certs.d directories of podman, skopeo and docker, in their order."""
    home = environment.get("HOME")
    personal = (Path(home, ".config/containers/certs.d"),) if home else ()
    return (*personal, Path("/etc/containers/certs.d"), Path("/etc/docker/certs.d"))


@functools.lru_cache(maxsize=1)
def unverified() -> ssl.SSLContext:
    """A context that believes anybody, for a registry that the operator called insecure."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@functools.lru_cache(maxsize=8)
def _default(ca_file: str) -> ssl.SSLContext:
    return _load(ca_file, None, False)


def _load(ca_file: str, directory: Path | None, with_pairs: bool) -> ssl.SSLContext:
    with _pem_file(ca_file):
        context = ssl.create_default_context(cafile=ca_file)
    if directory is None:
        return context
    for name in _entries(directory):
        path = str(directory / name)
        if name.endswith(".crt"):
            with _pem_file(path):
                context.load_verify_locations(cafile=path)
        elif with_pairs and name.endswith(".cert"):
            with _pem_file(path):
                context.load_cert_chain(path, path.removesuffix(".cert") + ".key", _no_passphrase)
    return context


def _entries(directory: Path) -> list[str]:
    try:
        names = sorted(entry.name for entry in directory.iterdir())
    except OSError as error:
        raise UsageError(f"cannot read the certificates: {error.strerror}", where=printable(str(directory))) from error
    for name in names:
        if name.endswith((".cert", ".key")):
            _check_pair(directory, name, names)
    return names


def _check_pair(directory: Path, name: str, names: list[str]) -> None:
    stem, _, kind = name.rpartition(".")
    other = f"{stem}.{'key' if kind == 'cert' else 'cert'}"
    if other not in names:
        raise UsageError(
            "a client certificate and its key must come in pairs",
            where=printable(str(directory)),
            expected=f"{printable(other)} beside {printable(name)}",
            hint="a CA certificate must be named *.crt",
        )


@contextlib.contextmanager
def _pem_file(path: str) -> Iterator[None]:
    try:
        yield
    except (ssl.SSLError, OSError, ValueError):
        what, expected = "the CA file cannot be used", "a PEM file of CA certificates"
        if path.endswith(".cert"):
            what, expected = "the client certificate cannot be used", "a PEM certificate and its key, both without a passphrase"
        raise UsageError(what, where=printable(path), expected=expected) from None


def _no_passphrase() -> str:
    """Keys are not asked a passphrase for: OpenSSL would ask on the terminal, in the middle of the work."""
    raise ValueError("the key has a passphrase")


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a directory above that we may not look into, as docker's often is
        return False


def _ca_file() -> str:
    for variable in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        chosen = os.environ.get(variable)
        if chosen:
            if not Path(chosen).is_file():
                raise UsageError(
                    f"{variable} does not name a file", got=printable(chosen), expected="a PEM file of CA certificates"
                )
            return chosen
    default = ssl.get_default_verify_paths()
    for candidate in (default.cafile, default.openssl_cafile, "/etc/ssl/certs/ca-certificates.crt"):
        if candidate and Path(candidate).is_file():
            return candidate
    return certifi.where()
