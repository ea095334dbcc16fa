"""What somebody probably meant who named a target or an image list in another way: hints, never a decision. Pure."""

from __future__ import annotations

import contextlib
import difflib
import re

from airgap.errors import UsageError
from airgap.oci.hosts import begins_with_host, canonical_host
from airgap.oci.reference import Reference

_WEB = re.compile(r"(?:https?:|docker:)/{0,2}(?=[^/])")
_FILE = re.compile(
    r"\.(?:txt|lst|ya?ml|json|lock|receipt|toml|tar|tgz|key|pem)(?:\.(?:bak|old|gz|xz|zst|sig|asc))?$", re.IGNORECASE
)


def meant_target(text: str, transports: tuple[str, ...]) -> str:
    """The target that a text without a known transport probably means; empty when that cannot be told.

    Args:
        transports: all that a target may begin with, ``docker`` excepted.
    """
    if text.startswith(("/", "./", "../", "~/")):
        return f"oci:{text}"
    web = _WEB.match(text)
    place = text[web.end() :] if web else text
    host, slash, prefix = place.rstrip("/").partition("/")
    is_file = not web and ":" not in host and _FILE.search(place) is not None
    if web or (begins_with_host(f"{host}/") and not is_file):
        with contextlib.suppress(UsageError):
            return f"docker://{canonical_host(host)}{slash}{prefix}"
    name, colon, rest = text.partition(":")
    near = difflib.get_close_matches(name.lower(), transports, 1, 0.75) if colon and rest and len(name) < 40 else []
    return f"{near[0]}:{rest}" if near else ""


def either_target(text: str, transports: tuple[str, ...]) -> str:
    """Both targets that a name such as ``host/path`` may mean, in words; empty when it is not such a name."""
    host, slash, path = text.partition("/")
    if slash and ":" not in text and host not in transports and not _FILE.search(text):
        with contextlib.suppress(UsageError):
            canonical_host(f"{host}:5000")  # a single word is the name of a registry only with its port
            return f"docker://{host}:PORT/{path} (a registry) or oci:{text} (a directory)"
    return ""


def meant_image(name: str) -> Reference | None:
    """The image that stands where the file of an image list is wanted; None when it may well be the name of a file."""
    text = name.removeprefix("docker://")
    last = text.rpartition("/")[2]
    tagged = "@" in last or ":" in last
    if text == name and not tagged and (not begins_with_host(text) or _FILE.search(last)):
        return None
    with contextlib.suppress(UsageError):
        return Reference.parse(text)
    return None
