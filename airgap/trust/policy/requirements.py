"""The nouns of a containers-policy.json(5): requirements, where their keys are, and which name a signature must carry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from airgap.text import printable


@dataclass(frozen=True, slots=True)
class MatchExact:
    """The signed reference is the one asked for."""


@dataclass(frozen=True, slots=True)
class MatchRepoDigestOrExact:
    """As ``MatchExact``, but when asked for by digest the repository is enough. The default."""


@dataclass(frozen=True, slots=True)
class MatchRepository:
    """The repository is the one asked for, whatever the tag."""


@dataclass(frozen=True, slots=True)
class ExactReference:
    """The signed reference is this one, whatever was asked for."""

    docker_reference: str


@dataclass(frozen=True, slots=True)
class ExactRepository:
    """The signed repository is this one, whatever was asked for."""

    docker_repository: str


@dataclass(frozen=True, slots=True)
class RemapIdentity:
    """As the default, after ``prefix`` of what was asked for is replaced by ``signed_prefix``."""

    prefix: str
    signed_prefix: str


SignedIdentity: TypeAlias = MatchExact | MatchRepoDigestOrExact | MatchRepository | ExactReference | ExactRepository | RemapIdentity


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where key material is: files, read when a requirement is evaluated, or bytes that stand in the policy itself."""

    paths: tuple[str, ...] = ()
    datas: tuple[bytes, ...] = ()

    def describe(self) -> str:
        """For a message: the file names, or that the policy itself holds the key."""
        return ", ".join(printable(path) for path in self.paths) or "keyData in the policy"


@dataclass(frozen=True, slots=True)
class AcceptAnything:
    """``insecureAcceptAnything``."""


@dataclass(frozen=True, slots=True)
class Reject:
    """``reject``."""


@dataclass(frozen=True, slots=True)
class SignedBy:
    """``signedBy``: an OpenPGP signature. Only the key type ``GPGKeys`` can ever be satisfied."""

    key_type: str
    keys: KeySource
    identity: SignedIdentity | None = None


@dataclass(frozen=True, slots=True)
class Fulcio:
    """Keyless signatures: the CA, and who the certificate must name."""

    ca: KeySource
    oidc_issuer: str
    subject_email: str


@dataclass(frozen=True, slots=True)
class Pki:
    """Signatures by certificates of one's own CA."""

    roots: KeySource
    intermediates: KeySource
    subject_email: str
    subject_hostname: str


@dataclass(frozen=True, slots=True)
class SigstoreSigned:
    """``sigstoreSigned``: by a key, or by a certificate from Fulcio or another PKI; exactly one of the three is set."""

    keys: KeySource | None
    fulcio: Fulcio | None = None
    pki: Pki | None = None
    rekor: KeySource | None = None
    identity: SignedIdentity | None = None


@dataclass(frozen=True, slots=True)
class SignedBaseLayer:
    """``signedBaseLayer``: parsed as upstream does, and like there never satisfied."""

    base_layer_identity: SignedIdentity


Requirement: TypeAlias = AcceptAnything | Reject | SignedBy | SigstoreSigned | SignedBaseLayer
#: One or more, all of which must accept. There is no empty value: nothing asked for must never mean that anything is accepted.
Requirements: TypeAlias = tuple[Requirement, *tuple[Requirement, ...]]

GPG_KEYS = "GPGKeys"
KEY_TYPES = (GPG_KEYS, "signedByGPGKeys", "X509Certificates", "signedByX509CAs")


def type_name(requirement: Requirement) -> str:
    """The requirement's ``type`` as the policy spells it."""
    return _TYPE_NAMES[type(requirement)]


def describe(requirement: Requirement) -> str:
    """The requirement for a message: its type and where its keys are."""
    if isinstance(requirement, SignedBy):
        return f"signedBy {requirement.keys.describe()}"
    if not isinstance(requirement, SigstoreSigned):
        return type_name(requirement)
    if requirement.fulcio is not None:
        return f"sigstoreSigned by {requirement.fulcio.subject_email} (fulcio)"
    if requirement.pki is not None:
        return f"sigstoreSigned by {requirement.pki.subject_email or requirement.pki.subject_hostname} (pki)"
    keys = requirement.keys.describe() if requirement.keys else "no key"
    return f"sigstoreSigned {keys}" + (" and Rekor" if requirement.rekor else "")


_TYPE_NAMES: dict[type, str] = {
    AcceptAnything: "insecureAcceptAnything",
    Reject: "reject",
    SignedBy: "signedBy",
    SigstoreSigned: "sigstoreSigned",
    SignedBaseLayer: "signedBaseLayer",
}
