"""Image references, read the way docker, podman and skopeo read them (distribution/reference grammar)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from airgap.errors import Damaged, UsageError
from airgap.limits import MAX_REPOSITORY
from airgap.oci.digest import Digest
from airgap.oci.hosts import DEFAULT_HOST, begins_with_host, canonical_host, flat_host
from airgap.text import printable

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_PART}(?:/{_PART})*", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Repository:
    """A repository: the registry host (with its port) and the path below it.

    All are canonical (``oci.hosts``): two that are equal as text are one repository, two that differ are two.
    """

    host: str
    path: str

    def __str__(self) -> str:
        return f"{self.host}/{self.path}"

    def __post_init__(self) -> None:
        long = len(self.host) + 1 + len(self.path) > MAX_REPOSITORY  # asked first: expressions take memory for each part of a name
        if long or not is_path(self.path):
            raise UsageError(
                "not a valid repository name",
                got=printable(f"{self.host}/{self.path}"),
                expected="HOST[:PORT]/path in lower case, at most 255 characters",
            )
        canonical = f"{canonical_host(self.host)}/{_hub_path(self.host, self.path)}"
        if canonical != str(self):
            raise UsageError("not the canonical spelling of a repository", got=printable(str(self)), expected=canonical)

    @classmethod
    def parse(cls, text: str) -> Repository:
        """Read ``HOST[:PORT]/path`` however it is spelled.

        Raises:
            UsageError: it does not follow the grammar.
        """
        host, _, path = text.partition("/")
        if path != path.lower():
            raise UsageError("repository names are lower case", got=printable(text), expected="for example docker.io/library/nginx")
        host = canonical_host(host)
        return cls(host, _hub_path(host, path))

    @property
    def flat_host(self) -> str:
        """The host as a path component (``hosts.flat_host``)."""
        return flat_host(self.host)

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
        """Read ``nginx``, ``ghcr.io/x/y:1``, ``localhost:5000/z@sha256:...`` and expand it as docker does, into its one spelling.

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
        try:
            full = name if begins_with_host(name) else f"{DEFAULT_HOST}/{name}"
            return cls(Repository.parse(full), "latest" if tag is None and digest is None else tag, digest)
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


def is_path(text: str) -> bool:
    """Whether a text can be the path of a repository, or of a namespace."""
    return _PATH.fullmatch(text) is not None


def _hub_path(host: str, path: str) -> str:
    """Docker Hub keeps names of one word in ``library``."""
    return f"library/{path}" if host == DEFAULT_HOST and "/" not in path else path


def _bad(text: str, why: str) -> UsageError:
    return UsageError(
        f"not a valid image reference: {why}", got=printable(text), expected="for example docker.io/library/nginx:1.27"
    )
