"""Describe a requirement of policy.json in words (pure)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from airgap.text import printable
from airgap.trust.policy.requirements import (
    GPG_KEYS,
    AcceptAnything,
    ExactReference,
    ExactRepository,
    KeySource,
    MatchExact,
    MatchRepository,
    Reject,
    RemapIdentity,
    Requirement,
    SignedBaseLayer,
    SignedBy,
    SignedIdentity,
    SigstoreSigned,
)
from airgap.trust.policy.scopesyntax import AIRGAP

#: What a key that stands in the policy itself is called.
Called: TypeAlias = Callable[[bytes], str]


def _unnamed(_data: bytes) -> str:
    return "the key in the policy itself"


def in_words(requirement: Requirement, transport: str = "docker", called: Called = _unnamed) -> str:
    """One requirement: who must have signed, and under which name.

    Args:
        requirement: the requirement.
        transport: where it stands; a bundle's signature has no name in it, so under ``airgap`` none is mentioned.
        called: names a key that stands in the policy itself, by its content.
    """
    if isinstance(requirement, AcceptAnything):
        return "anything is accepted, signed or not"
    if isinstance(requirement, Reject):
        return "rejected, signed or not"
    if isinstance(requirement, SignedBaseLayer):
        return "signedBaseLayer, which nothing satisfies"
    if isinstance(requirement, SignedBy) and requirement.key_type != GPG_KEYS:
        return f"keyType {requirement.key_type}, which nothing satisfies"
    name = "" if transport == AIRGAP else f", {_name(requirement.identity)}"
    if isinstance(requirement, SignedBy):
        return f"an OpenPGP signature by {_keys(requirement.keys, called)}{name}"
    return f"a sigstore signature by {_sigstore_signer(requirement, called)}{name}"


def _sigstore_signer(requirement: SigstoreSigned, called: Called) -> str:
    logged = f", logged in Rekor with {_keys(requirement.rekor)}" if requirement.rekor else ""
    if requirement.fulcio is not None:
        rule = requirement.fulcio
        who = f"{printable(rule.subject_email)} as authenticated by {printable(rule.oidc_issuer)} (CA: {_keys(rule.ca)})"
    elif requirement.pki is not None:
        names = [printable(name) for name in (requirement.pki.subject_email, requirement.pki.subject_hostname) if name]
        who = f"a certificate for {' and '.join(names)} (CA: {_keys(requirement.pki.roots)})"
    else:
        who = _keys(requirement.keys or KeySource(), called)
    return who + logged


def _keys(source: KeySource, called: Called = _unnamed) -> str:
    places = [printable(path) for path in source.paths] + [called(data) for data in source.datas]
    if not places:
        return "no key, which nothing satisfies"
    return places[0] if len(places) == 1 else f"any one of {', '.join(places)}"


def _name(identity: SignedIdentity | None) -> str:
    if isinstance(identity, MatchExact):
        return "for exactly the requested name"
    if isinstance(identity, MatchRepository):
        return "for its repository, with any tag"
    if isinstance(identity, ExactReference):
        return f"for {printable(identity.docker_reference)}, whatever was requested"
    if isinstance(identity, ExactRepository):
        return f"for {printable(identity.docker_repository)} with any tag, whatever was requested"
    if isinstance(identity, RemapIdentity):
        return f"for its name with {printable(identity.prefix)} replaced by {printable(identity.signed_prefix)}"
    return "for its name and tag (if requested by digest: for its repository)"
