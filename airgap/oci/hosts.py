"""The canonical spelling of a registry's host, and the host as a path component. Pure.

A host can be written in many ways that lead to the same registry: ``QUAY.IO``, ``[0:0:0:0:0:0:0:1]:05000``, ``index.docker.io``.
Policies, names at the destination and the site's memory all compare text, so there is one spelling, and everything that is read is
brought into it: lower case, addresses and ports in their shortest form, Docker Hub as ``docker.io``. A port that is written is part
of the name, as it is to docker, podman and skopeo: ``quay.io:443`` is not ``quay.io``.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Iterator

from airgap.errors import UsageError
from airgap.text import printable

DEFAULT_HOST = "docker.io"
#: Docker Hub's name before 2014, which docker still reads as ``docker.io``.
LEGACY_HOST = "index.docker.io"
#: Where Docker Hub's API is; containerd takes it for ``docker.io``.
API_HOST = "registry-1.docker.io"

_HUB = frozenset({DEFAULT_HOST, LEGACY_HOST, API_HOST})
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = re.compile(rf"(?P<name>{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::(?P<port>[0-9]{{1,5}}))?", re.ASCII)
_FLAT_ADDRESS = "ip6."
_FLAT = re.compile(r"(.+)-(\d{1,5})", re.ASCII)
_EXPECTED = "HOST[:PORT] such as quay.io, localhost or registry:5000; [ADDRESS]:PORT for IPv6"


def begins_with_host(name: str) -> bool:
    """Whether the first part of an image name is a host to docker, rather than a namespace on Docker Hub."""
    first, slash, _ = name.partition("/")
    return bool(slash) and (bool(set(first) & set(".:[")) or first == "localhost" or first != first.lower())


def is_host_name(text: str) -> bool:
    """Whether a text follows the grammar of hosts, however it is spelled."""
    return _HOST.fullmatch(text) is not None


def with_parents(name: str) -> Iterator[str]:
    """A name and the names above it, narrow to wide."""
    while name:
        yield name
        name = name.rpartition("/")[0]


def name_scopes(name: str) -> Iterator[str]:
    """All scopes of containers' configuration that cover a repository, a namespace or a host with its port, narrow to wide.

    A host without its port is no parent of the host with it, and ``*.x`` never matches ``x`` itself.
    """
    host = name.partition("/")[0].partition(":")[0]
    yield from with_parents(name)
    while "." in host:
        host = host.partition(".")[2]
        yield f"*.{host}"


@functools.lru_cache(maxsize=4096)
def canonical_host(text: str) -> str:
    """The one spelling of ``HOST[:PORT]``.

    Raises:
        UsageError: not a host, or one that a reference could not be read back with: a single word without a port.
    """
    match = _HOST.fullmatch(text)
    port = _port(match["port"]) if match else None
    name = _address(match["name"].lower()) if match else None
    if name is None or port is None:
        raise UsageError("not a valid registry host", got=printable(text, 300), expected=_EXPECTED)
    if name in _HUB and port in ("", "443"):
        return DEFAULT_HOST
    if not port and "." not in name and name != "localhost" and not name.startswith("["):
        raise UsageError(
            "a single-word host needs its port; without one it means a namespace on Docker Hub",
            got=printable(text, 300),
            expected=f"{name}:443 or another port, or its full domain name",
        )
    return f"{name}:{port}" if port else name


def _port(text: str | None) -> str | None:
    """Without leading zeros; None when there is no such port."""
    if text is None:
        return ""
    return str(int(text)) if 0 < int(text) < 65536 else None


def _address(name: str) -> str | None:
    """IPv6 in its shortest form (RFC 5952); None for what only looks like an address."""
    try:
        if name.startswith("["):
            address = ipaddress.IPv6Address(name[1:-1])
            mapped = address.ipv4_mapped  # newer Pythons write these with dots, which references cannot have
            return f"[{address}]" if mapped is None else f"[::ffff:{int(mapped) >> 16:x}:{int(mapped) & 0xFFFF:x}]"
        return str(ipaddress.IPv4Address(name)) if name.replace(".", "").isdigit() else name
    except ValueError:
        return None


def flat_host(host: str) -> str:
    """A host as one component of a path.

    A port's colon becomes ``-`` (``localhost:5000`` -> ``localhost-5000``). IPv6 addresses get a form that no name has, because
    names have no underscores: ``[2001:db8::1]:5000`` -> ``ip6.2001_db8__1-5000``, ``[::1]`` -> ``ip6.0__1``.
    """
    if not host.startswith("["):
        return host.replace(":", "-")
    address, _, port = host[1:].partition("]")
    address = f"{'0' if address.startswith('::') else ''}{address}{'0' if address.endswith('::') else ''}"
    return f"{_FLAT_ADDRESS}{address.replace(':', '_')}{port.replace(':', '-')}"


def host_of_flat(text: str) -> str | None:
    """The host that a component of a path means; None when it means none.

    It is never another host than the one that :func:`flat_host` was given, unless that could not be told: hosts whose flat form
    comes back as another one (``reg.corp-5000``) must not be written flat where names are for good.
    """
    port = _FLAT.fullmatch(text)
    name, end = (port[1], f":{port[2]}") if port else (text, "")
    is_address = name.startswith(_FLAT_ADDRESS) and "_" in name
    host = f"[{name.removeprefix(_FLAT_ADDRESS).replace('_', ':')}]{end}" if is_address else name + end
    try:
        canonical = canonical_host(host)
    except UsageError:
        return None
    return canonical if (flat_host(canonical) == text if is_address else canonical == host) else None


def canonical_scope(text: str) -> str:
    """``HOST[:PORT][/anything]`` or ``*.DOMAIN`` with its host in the one spelling, or at least in lower case."""
    if text.startswith("*."):
        return text.lower()
    host, slash, rest = text.partition("/")
    try:
        return canonical_host(host) + slash + rest
    except UsageError:
        return host.lower() + slash + rest
