"""Image references, read the way docker, podman and skopeo read them (distribution/reference grammar)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from airgap.errors import Damaged, UsageError
from airgap.oci.digest import Digest
from airgap.text import printable

DEFAULT_HOST = "docker.io"
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]{{1,5}})?", re.ASCII)
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_PART}(?:/{_PART})*", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_NAME_LIMIT = 255


@dataclass(frozen=True, slots=True, order=True)
class Repository:
    """A repository: the registry host (with its port) and the path below it."""

    host: str
    path: str

    def __str__(self) -> str:
        return f"{self.host}/{self.path}"

    def __post_init__(self) -> None:
        if not _HOST.fullmatch(self.host) or not _PATH.fullmatch(self.path) or len(str(self)) > _NAME_LIMIT:
            raise UsageError(
                "not a valid repository name",
                got=printable(f"{self.host}/{self.path}"),
                expected="HOST[:PORT]/path in lower case, at most 255 characters",
            )

    @property
    def flat_host(self) -> str:
        """The host as a path component: a port's colon becomes ``-`` (``localhost:5000`` -> ``localhost-5000``)."""
        return self.host.lower().replace(":", "-").replace("[", "").replace("]", "")

    def tagged(self, tag: str) -> Reference:
        """The reference to one tag of this repository."""
        return Reference(self, tag, None)


@dataclass(frozen=True, slots=True)
class Reference:
    """A fully expanded reference: repository and a tag, a digest, or both (then the digest pins the tag)."""

    repository: Repository
    tag: str | None
    digest: Digest | None

    def __post_init__(self) -> None:
        if self.tag is not None and not _TAG.fullmatch(self.tag):
            raise UsageError("not a valid tag", got=printable(self.tag), expected="letters, digits, _ . - (128 at most)")

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read ``nginx``, ``ghcr.io/x/y:1``, ``localhost:5000/z@sha256:...`` and expand it as docker does.

        A missing host becomes ``docker.io`` (and ``library/`` where the path is one word); a missing tag and digest
        becomes ``:latest``.

        Raises:
            UsageError: it does not follow the grammar.
        """
        rest, at, digest_text = text.partition("@")
        try:
            digest = Digest.parse(digest_text) if at else None
        except Damaged as error:
            raise _bad(text, "the part after @ is not a sha256 digest") from error
        name, tag = _split_tag(rest)
        host, path = _split_host(name)
        if path != path.lower():
            raise _bad(text, "repository names are lower case")
        try:
            return cls(Repository(host, path), "latest" if tag is None and digest is None else tag, digest)
        except UsageError as error:
            raise _bad(text, error.what) from error

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.repository}{tag}{digest}"

    @property
    def selector(self) -> str:
        """What a registry is asked for: the digest where there is one, else the tag."""
        return self.digest or self.tag or "latest"

    def at(self, digest: Digest) -> Reference:
        """The same repository, by digest only."""
        return Reference(self.repository, None, digest)

    def moved(self, repository: Repository) -> Reference:
        """The same tag and digest in another repository."""
        return replace(self, repository=repository)


def _split_tag(text: str) -> tuple[str, str | None]:
    head, colon, tail = text.rpartition(":")
    return (head, tail) if colon and "/" not in tail else (text, None)


def _split_host(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if slash and (set(first) & set(".:[") or first == "localhost" or first != first.lower()):
        host = DEFAULT_HOST if first == "index.docker.io" else first
        return (host, f"library/{rest}") if host == DEFAULT_HOST and "/" not in rest else (host, rest)
    return DEFAULT_HOST, name if slash else f"library/{name}"


def _bad(text: str, why: str) -> UsageError:
    return UsageError(
        f"not a valid image reference: {why}", got=printable(text), expected="for example docker.io/library/nginx:1.27"
    )
