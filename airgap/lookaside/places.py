"""Where a signature is: ``<base>/<repository path>@sha256=<hex>/signature-N``, the host not in it, N from 1 without gaps.

The base is a ``file://`` URL or one of a static web server (containers/image, docs/signature-protocols.md). Pure, no I/O.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from airgap.errors import UsageError
from airgap.oci.digest import Digest
from airgap.text import printable

_EXPECTED = "file:///directory, https://host/path or http://host/path"


def check_base(text: str) -> None:
    """Check that signatures can be looked for below a URL.

    Raises:
        UsageError: another scheme, a relative path, credentials in it, or not a URL at all.
    """
    problem = _problem(text)
    if problem:
        raise UsageError(f"not a valid lookaside: {problem}", expected=_EXPECTED, got=shown(text))


def local_directory(base: str) -> Path | None:
    """The directory that a checked ``file://`` base names; None for a web server."""
    parts = urlsplit(base)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def directory_name(repository_path: str, digest: Digest) -> str:
    """What follows the base for one manifest; digests and repository paths are safe as parts of file names."""
    return f"{repository_path}@{digest.algorithm}={digest.hex}"


def file_name(number: int) -> str:
    """The name of one signature, counted from 1."""
    return f"signature-{number}"


def signature_url(base: str, repository_path: str, digest: Digest, number: int) -> str:
    """The URL of one signature below a checked ``http(s)://`` base; a query is kept, a doubled slash too, as podman does."""
    parts = urlsplit(base)
    path = f"{parts.path}/{directory_name(repository_path, digest)}/{file_name(number)}"
    return parts._replace(path=path).geturl()


def shown(url: str) -> str:
    """A URL for a message, without credentials and query."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(not a URL)"
    return printable(f"{parts.scheme}:{'//' if parts.netloc else ''}{parts.netloc.rpartition('@')[2]}{parts.path}", 200)


def _problem(text: str) -> str:
    # urlsplit drops line breaks and tabs without a word, so they must not reach it.
    if not text.isprintable() or " " in text:
        return "spaces or control characters"
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 -- reading it is the check
    except ValueError:
        return "not a URL"
    if parts.fragment:
        return "a fragment"
    if parts.scheme == "file":
        return _file_problem(parts)
    if parts.scheme not in ("http", "https"):
        return "unsupported protocol"
    if "@" in parts.netloc:
        return "credentials in URLs are not accepted"
    return "" if parts.hostname else "no host"


def _file_problem(parts: SplitResult) -> str:
    if parts.netloc not in ("", "localhost"):
        return "a file URL with a host (three slashes are needed)"
    if parts.query:
        return "a query"
    path = unquote(parts.path)
    return "" if path.startswith("/") and "\0" not in path else "not an absolute path"
