"""Which scopes a transport of policy.json can have; a scope that can never match is an error.

The rules are those of containers/image (``ValidatePolicyConfigurationScope`` of each transport); the empty scope is always valid.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable

from airgap.limits import MAX_STREAM
from airgap.oci.hosts import DEFAULT_HOST, canonical_scope
from airgap.oci.stream import is_stream

#: Bundles are judged under this transport; podman and skopeo know no such transport and leave its scopes alone.
AIRGAP = "airgap"

_SCHEME = re.compile(r"[a-z-]+:/+")
_ATOMIC = re.compile(r"[^/]*(?:/[^:/]*(?:/[^:/]*(?::[^:/]*)?)?)?")
_IMAGE_ID = re.compile(r"[0-9a-f]{64}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}", re.ASCII)


def expected_scope(transport: str, scope: str) -> str:
    """What the scope should have looked like, or ``""`` when it is valid for the transport."""
    rule = _RULES.get(transport)
    if rule is None or not scope:
        return ""
    valid, expected = rule
    return "" if valid(scope) else expected


def respelled(scope: str) -> str:
    """The name that a scope of transport ``docker`` spells otherwise than names are spelled; ``""`` when it does not.

    Scopes are compared as text, so one in another spelling would be passed by: a ``reject`` as well.
    """
    plain = _SCHEME.sub("", scope.strip()).rstrip("/")
    host, slash, rest = plain.partition("/")
    name, colon, tag = rest.partition("@" if "@" in rest else ":")
    canonical = canonical_scope(f"{host if host.startswith('*') else host.rstrip('.')}{slash}{name.lower()}{colon}{tag}")
    canonical = DEFAULT_HOST if canonical == f"*.{DEFAULT_HOST}" else canonical
    return "" if canonical == scope else canonical or '""'


def _is_path(scope: str) -> bool:
    return scope.startswith("/") and not scope.startswith("//") and scope != "/" and posixpath.normpath(scope) == scope


def _is_digest(text: str) -> bool:
    """Upstream's notion of a digest, which is wider than ours: a store may hold images under SHA-384."""
    return _DIGEST.fullmatch(text) is not None


def _is_storage(scope: str) -> bool:
    store, bracket, rest = scope.partition("]")
    if not bracket or not store.startswith("["):
        return False
    driver, at, root = store[1:].partition("@")
    if not (driver and root.startswith("/") if at else driver.startswith("/")):
        return False
    parts = rest.split("@", 2)
    if len(parts) == 3:
        return _is_digest(parts[1]) and _IMAGE_ID.fullmatch(parts[2]) is not None
    return len(parts) == 1 or _IMAGE_ID.fullmatch(parts[1]) is not None or _is_digest(parts[1])


_PATH_RULE = (_is_path, "an absolute path without //, . or .. and without a / at the end; not / itself")
_NO_SCOPE = (lambda _scope: False, 'only the scope ""')

_RULES: dict[str, tuple[Callable[[str], bool], str]] = {
    AIRGAP: (
        is_stream,
        f"a stream name such as prod-site: lower-case letters and digits, . _ - between them, at most {MAX_STREAM}",
    ),
    "atomic": (lambda scope: _ATOMIC.fullmatch(scope) is not None, "HOST[:PORT][/NAMESPACE[/STREAM[:TAG]]]"),
    "containers-storage": (_is_storage, "[/ROOT] or [DRIVER@/ROOT], then optionally a name, a digest and an image ID"),
    "dir": _PATH_RULE,
    "docker-archive": _NO_SCOPE,
    "docker-daemon": (lambda scope: not _is_digest(scope), "a name; an image ID has no scope of its own"),
    "oci": _PATH_RULE,
    "oci-archive": _PATH_RULE,
    "sif": _PATH_RULE,
    "tarball": _NO_SCOPE,
}
