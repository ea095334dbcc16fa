"""Compare the name in a signature (``docker-reference``) with the requested one (containers-policy.json(5))."""

from __future__ import annotations

import re
from dataclasses import dataclass

from airgap.errors import UsageError
from airgap.oci.digest import Digest
from airgap.oci.hosts import LEGACY_HOST, begins_with_host, is_host_name
from airgap.oci.reference import Reference, Repository, is_path
from airgap.text import printable
from airgap.trust.policy.requirements import (
    ExactReference,
    ExactRepository,
    MatchExact,
    MatchRepoDigestOrExact,
    MatchRepository,
    RemapIdentity,
    SignedIdentity,
)
from airgap.trust.policy.scopesyntax import respelled

_IMAGE_ID = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class SignedName:
    """A reference that, unlike ``Reference``, may have neither tag nor digest: signatures and policies hold such names."""

    repository: Repository
    tag: str | None
    digest: Digest | None

    @classmethod
    def of(cls, reference: Reference) -> SignedName:
        """The same, from an image reference."""
        return cls(reference.repository, reference.tag, reference.digest)

    @classmethod
    def parse(cls, text: str) -> SignedName:
        """Read a reference as docker does, ``docker.io/library`` filled in, but without adding ``:latest``.

        Another spelling of the host is another name here, as it is to podman and skopeo: they compare hosts as they are written.

        Raises:
            UsageError: it does not follow the grammar, or its host is not written in its one spelling.
        """
        head, host = text.partition("@")[0], text.partition("/")[0]
        if _IMAGE_ID.fullmatch(text):
            raise UsageError("an image ID is not a name", got=printable(text))
        reference = Reference.parse(text)
        if begins_with_host(head) and host not in (reference.repository.host, LEGACY_HOST):
            raise UsageError("the host is not in its canonical spelling", got=printable(text), expected=str(reference))
        if _is_ipv6(reference.repository.host):
            raise UsageError("containers-policy.json(5) does not support this name", got=printable(text))
        tagged = ":" in head.rpartition("/")[2]
        return cls(reference.repository, reference.tag if tagged else None, reference.digest)

    @classmethod
    def parse_canonical(cls, text: str) -> SignedName:
        """Read a reference that must be complete as it stands: nothing is filled in.

        Raises:
            UsageError: it does not follow the grammar, or is a short name.
        """
        name = cls.parse(text)
        if str(name) != text:
            raise UsageError("the name must be complete", got=printable(text), expected=str(name))
        return name

    @property
    def only(self) -> bool:
        """Whether there is neither a tag nor a digest."""
        return self.tag is None and self.digest is None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.repository}{tag}{digest}"


def accepts(identity: SignedIdentity | None, intended: Reference | None, signed: str) -> bool:
    """Whether a signature for ``signed`` may vouch for ``intended``.

    Args:
        identity: the policy's rule; None is the default, ``matchRepoDigestOrExact``.
        intended: what the user asked for; None for transports whose images have no such name.
        signed: ``docker-reference`` of the signature, from outside. What cannot be parsed matches nothing.
    """
    try:
        name = SignedName.parse(signed)
        wanted = None if intended is None else SignedName.of(intended)
        return _accepts(identity or MatchRepoDigestOrExact(), wanted, name)
    except UsageError:
        return False


def _accepts(identity: SignedIdentity, wanted: SignedName | None, signed: SignedName) -> bool:
    if isinstance(identity, ExactReference):
        return _exact(SignedName.parse(identity.docker_reference), signed)
    if isinstance(identity, ExactRepository):
        return SignedName.parse(identity.docker_repository).repository == signed.repository
    if wanted is None:
        return False
    if isinstance(identity, MatchExact):
        return _exact(wanted, signed)
    if isinstance(identity, MatchRepository):
        return wanted.repository == signed.repository
    if isinstance(identity, RemapIdentity):
        wanted = _remapped(identity, wanted)
    return _repo_digest_or_exact(wanted, signed)


def _exact(wanted: SignedName, signed: SignedName) -> bool:
    return not wanted.only and not signed.only and wanted == signed


def _repo_digest_or_exact(wanted: SignedName, signed: SignedName) -> bool:
    if signed.only or wanted.only:
        return False
    if wanted.tag is not None:
        return wanted == signed
    return wanted.repository == signed.repository


def _remapped(identity: RemapIdentity, wanted: SignedName) -> SignedName:
    repository = str(wanted.repository)
    if repository != identity.prefix and not repository.startswith(identity.prefix + "/"):
        return wanted
    return SignedName.parse_canonical(identity.signed_prefix + str(wanted)[len(identity.prefix) :])


def is_remap_prefix(text: str) -> bool:
    """Whether ``remapIdentity`` may have this ``prefix`` or ``signedPrefix``: a host, or a host with a path."""
    host, slash, path = text.partition("/")
    return is_host_name(host) and not _is_ipv6(host) and not respelled(text) and (not slash or is_path(path))


def _is_ipv6(host: str) -> bool:
    """podman and skopeo refuse a whole policy with such a name, and take it for no name in a signature."""
    return host.startswith("[")


def is_reference(text: str, *, complete: bool) -> bool:
    """Whether a policy may name this image; ``complete`` asks for a tag or a digest."""
    try:
        name = SignedName.parse(text)
    except UsageError:
        return False
    return not (complete and name.only)
