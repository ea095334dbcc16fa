"""Scopes of docker-style transports that are legal and yet match no image name, or fewer than people expect (pure).

Scopes are compared as text with what ``scopes.image_scopes`` makes of a fully expanded name; what it cannot make never matches.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from airgap.errors import UsageError
from airgap.oci.hosts import DEFAULT_HOST, begins_with_host
from airgap.oci.reference import Reference, Repository
from airgap.text import printable
from airgap.trust.policy.scopesyntax import respelled

_DOMAIN = re.compile(r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*", re.ASCII)
_FULL_NAME = f"write the full name, such as {DEFAULT_HOST}/library/busybox"
_CAN_MATCH = ("", "")


def unmatched(scope: str) -> tuple[str, str]:
    """Why a scope (not ``""``) can match no image, and what to do about it; two empty texts when it can match."""
    if canonical := respelled(scope):
        return "it is not in canonical spelling", f"write {printable(canonical)}"
    if "*" in scope:
        return _wildcard(scope)
    host, _, path = scope.partition("/")
    if not _is_written_host(host):
        return "no complete image name begins like this", _FULL_NAME
    return _name(scope, host, path)


def _wildcard(scope: str) -> tuple[str, str]:
    if not scope.startswith("*.") or "*" in scope[1:]:
        return "* must be the whole first label of a host", 'write *.DOMAIN, or "" for everything'
    if "/" in scope:
        return "a wildcard covers whole hosts, without a path", f"write {printable(scope.partition('/')[0])}"
    if ":" in scope:
        return "a wildcard covers hosts with any port", f"write {printable(scope.partition(':')[0])}"
    return _CAN_MATCH if _DOMAIN.fullmatch(scope[2:]) else ("not a domain after *.", "write *.DOMAIN")


def _name(scope: str, host: str, path: str) -> tuple[str, str]:
    name, at, _ = path.partition("@")
    tagged = ":" in name.rpartition("/")[2]
    if at and tagged:
        return "a scope has a tag or a digest, not both", "leave one of them out"
    complete = bool(at) or tagged
    try:
        expanded = str(Reference.parse(scope) if complete else Repository.parse(f"{host}/{path or 'any'}/x"))
    except UsageError as error:
        return error.what, "write HOST[:PORT][/NAMESPACE][/NAME][:TAG or @DIGEST]"
    if complete and expanded != scope:
        return f"the complete name of that image is {printable(expanded)}", "write the complete name"
    return _CAN_MATCH


def _is_written_host(host: str) -> bool:
    """Whether an expanded name can begin with this; ``docker.io`` is put before everything else."""
    return begins_with_host(f"{host}/")


def wildcards_without_parent(scopes: Sequence[str]) -> list[str]:
    """The wildcards whose own domain has no scope."""
    return [scope for scope in scopes if scope.startswith("*.") and not unmatched(scope)[0] and scope[2:] not in scopes]


def portless_hosts(scopes: Sequence[str]) -> list[str]:
    """Hosts named without a port that no other scope names with one; docker.io is never written with a port."""
    hosts = dict.fromkeys(scope.partition("/")[0] for scope in scopes if not scope.startswith("*") and not unmatched(scope)[0])
    with_port = {host.rpartition(":")[0] for host in hosts if ":" in host}
    return [host for host in hosts if ":" not in host and host != DEFAULT_HOST and host not in with_port]
