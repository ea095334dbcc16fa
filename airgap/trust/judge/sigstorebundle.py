"""Sigstore bundles (cosign 3) as evidence for an image: one DSSE envelope over an in-toto statement that names digests.

Sources: in-toto Statement v1 and v0.1; cosign's predicate ``sign/v1``. Who has signed, ``trust/sigstore/keyless.py`` finds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from airgap.errors import Damaged, Refused
from airgap.limits import MAX_SIGNATURE_BLOB
from airgap.oci import strictjson
from airgap.oci.reference import Reference
from airgap.text import printable
from airgap.trust.keys.evidence import Evidence, SigstoreBundle
from airgap.trust.keys.keystore import KeyStore
from airgap.trust.policy.identity import accepts
from airgap.trust.policy.requirements import SignedIdentity, SigstoreSigned
from airgap.trust.sigstore.bundle import PAYLOAD_TYPE, envelope_of, pae, read
from airgap.trust.sigstore.keyless import signer_of
from airgap.trust.sigstore.trustedroot import TrustedRoot

STATEMENTS = ("https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1")
PREDICATE = "https://sigstore.dev/cosign/sign/v1"

_STATEMENT_FIELDS = ("_type", "subject", "predicateType", "predicate")


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing that a statement is about. ``name`` is ``""`` where it has none; both are texts from outside."""

    sha256: str
    name: str


@dataclass(frozen=True, slots=True)
class Vouched:
    """A bundle was good: the key, for people, and whether it named the image rather than its digest alone."""

    key: str
    named: bool


@dataclass(frozen=True, slots=True)
class SignedStatement:
    """An in-toto statement whose signature satisfies a requirement, not yet parsed, and who signed it, for people."""

    payload: bytes
    signer: str


def read_statement(payload: bytes) -> tuple[Subject, ...]:
    """The subjects of a signed statement of cosign.

    Raises:
        Refused: it is malformed, or states something else about an image than that it was signed.
    """
    try:
        statement = strictjson.parse_object(payload, "statement")
        strictjson.refuse_lookalikes(statement, _STATEMENT_FIELDS, "statement")
        kind = strictjson.string(statement.get("_type"), "_type")
        predicate = strictjson.string(statement.get("predicateType"), "predicateType")
        subjects = tuple(_subject(item) for item in strictjson.array(statement.get("subject"), "subject"))
    except Damaged as error:
        raise Refused(f"the signed statement is malformed: {error.what}", got=error.got) from error
    if kind not in STATEMENTS:
        raise Refused("the signed payload is not an in-toto statement", expected=STATEMENTS[0], got=printable(kind, 120))
    if predicate != PREDICATE:
        raise Refused("the statement is not an image signature", expected=PREDICATE, got=printable(predicate, 120))
    return subjects


def check_bundle(
    requirement: SigstoreSigned,
    reference: Reference | None,
    evidence: Evidence,
    bundle: SigstoreBundle,
    keys: KeyStore,
    *,
    accept_unnamed: bool = False,
    trusted_root: TrustedRoot | None = None,
    now: datetime | None = None,
) -> Vouched:
    """Check one bundle, in the order of the other signatures: signature, statement, digest, name.

    Args:
        accept_unnamed: key and digest are enough for a bundle that names no image; one that names another image stays refused.
        trusted_root: what the site trusts of a Sigstore instance; None: nothing.
        now: when a certificate of the site's own CA must be valid; None: now.

    Raises:
        Refused: it does not satisfy the requirement.
        AirgapError: the requirement's keys cannot be had.
    """
    if len(bundle.raw) > MAX_SIGNATURE_BLOB:
        raise Refused("the Sigstore bundle is too large", expected=f"at most {MAX_SIGNATURE_BLOB} bytes")
    signed = signed_statement(requirement, bundle, keys, trusted_root, now)
    wanted = evidence.manifest_digest.hex
    names = [subject.name for subject in read_statement(signed.payload) if subject.sha256 == wanted]
    if not names:
        raise Refused("the Sigstore bundle is for another manifest", expected=evidence.manifest_digest)
    named = _check_names(names, requirement.identity, reference, accept_unnamed=accept_unnamed)
    return Vouched(signed.signer, named)


def signed_statement(
    requirement: SigstoreSigned,
    bundle: SigstoreBundle,
    keys: KeyStore,
    trusted_root: TrustedRoot | None = None,
    now: datetime | None = None,
) -> SignedStatement:
    """The payload of a bundle's envelope, once its signature satisfies the requirement. What it states is not looked at.

    Args:
        now: when a certificate of the site's own CA must be valid; None: now.

    Raises:
        Refused: it does not satisfy the requirement.
        AirgapError: the requirement's keys cannot be had.
    """
    found = read(bundle.raw)
    envelope = envelope_of(found)
    signer = signer_of(requirement, found, pae(PAYLOAD_TYPE, envelope.payload), keys, trusted_root, now)
    return SignedStatement(envelope.payload, signer.text)


def _check_names(names: list[str], identity: SignedIdentity | None, reference: Reference | None, *, accept_unnamed: bool) -> bool:
    """Whether the image was named; a name that is there must hold, so that the operator's leave covers missing names only."""
    given = [name for name in names if name]
    if any(accepts(identity, reference, name) for name in given):
        return True
    if given:
        got = printable(", ".join(given[:3]), 300)
        raise Refused("the Sigstore bundle names another image", expected=str(reference or "no name"), got=got)
    if not accept_unnamed:
        raise Refused("the Sigstore bundle names no image, so no signedIdentity can match (see --unnamed-signatures)")
    return False


def _subject(value: object) -> Subject:
    subject = strictjson.mapping(value, "subject")
    strictjson.refuse_lookalikes(subject, ("name", "digest"), "subject")
    digests = strictjson.mapping(subject.get("digest"), "subject digest")
    strictjson.refuse_lookalikes(digests, ("sha256",), "subject digest")
    sha256 = strictjson.string(digests.get("sha256", ""), "sha256")
    return Subject(sha256, strictjson.string(subject.get("name", ""), "name"))
