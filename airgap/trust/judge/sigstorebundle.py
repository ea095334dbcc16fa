"""Sigstore bundles (cosign 3) as evidence for an image: one DSSE envelope over an in-toto statement that names digests.

Sources: sigstore ``protobuf-specs`` (``sigstore_bundle.proto``, ``sigstore_common.proto``), DSSE v1.0 ``protocol.md``, in-toto
Statement v1 and v0.1. Only signatures by a known key are judged; a bundle's certificates and log entries are not evaluated.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from airgap.errors import Damaged, Refused
from airgap.limits import MAX_ATTESTATION, MAX_SIGNATURE_BLOB
from airgap.oci import strictjson
from airgap.oci.reference import Reference
from airgap.text import printable
from airgap.trust.keys.evidence import SIGSTORE_BUNDLE, Evidence, SigstoreBundle
from airgap.trust.keys.keystore import KeyStore
from airgap.trust.keys.signatures import PublicKey, verify_by_curve
from airgap.trust.policy.fields import decode_base64
from airgap.trust.policy.identity import accepts
from airgap.trust.policy.requirements import SignedIdentity, SigstoreSigned
from airgap.trust.sigstore.trustedroot import TrustedRoot

MEDIA_TYPES = (SIGSTORE_BUNDLE, "application/vnd.dev.sigstore.bundle+json;version=0.3")
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENTS = ("https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1")
PREDICATE = "https://sigstore.dev/cosign/sign/v1"

_BUNDLE_FIELDS = ("mediaType", "verificationMaterial", "dsseEnvelope", "messageSignature")
_MATERIAL_FIELDS = ("publicKey", "certificate", "tlogEntries", "timestampVerificationData")
_STATEMENT_FIELDS = ("_type", "subject", "predicateType", "predicate")


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a bundle holds: the signed payload and the raw signature over its :func:`pae`."""

    payload: bytes
    signature: bytes


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


def pae(payload_type: str, payload: bytes) -> bytes:
    """What is signed instead of the payload itself: DSSE's pre-authentication encoding; lengths are in bytes."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def read_bundle(raw: bytes) -> Envelope:
    """Read a bundle of version 0.3 strictly.

    Raises:
        Refused: it is malformed, too large, or of a kind that cannot sign an image.
    """
    if len(raw) > MAX_ATTESTATION:
        raise Refused("the Sigstore bundle is too large", expected=f"at most {MAX_ATTESTATION} bytes")
    try:
        return _envelope(fields_of(strictjson.parse_object(raw, "bundle"), _BUNDLE_FIELDS))
    except Damaged as error:
        raise Refused(f"the Sigstore bundle is malformed: {error.what}", got=error.got) from error


def read_envelope(raw: bytes) -> Envelope:
    """Read a DSSE envelope that stands alone, as under cosign's ``.att`` tag. Raises ``Refused``, as :func:`read_bundle`."""
    if len(raw) > MAX_ATTESTATION:
        raise Refused("the envelope is too large", expected=f"at most {MAX_ATTESTATION} bytes")
    try:
        return _dsse(strictjson.parse_object(raw, "envelope"), "envelope")
    except Damaged as error:
        raise Refused(f"the envelope is malformed: {error.what}", got=error.got) from error


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
) -> Vouched:
    """Check one bundle, in the order of the other signatures: signature, statement, digest, name.

    Args:
        accept_unnamed: key and digest are enough for a bundle that names no image; one that names another image stays refused.
        trusted_root: what the site trusts of a Sigstore instance; None: nothing.

    Raises:
        Refused: it does not satisfy the requirement.
        AirgapError: the requirement's keys cannot be had.
    """
    if len(bundle.raw) > MAX_SIGNATURE_BLOB:
        raise Refused("the Sigstore bundle is too large", expected=f"at most {MAX_SIGNATURE_BLOB} bytes")
    signed = signed_statement(requirement, bundle, keys, trusted_root)
    wanted = evidence.manifest_digest.hex
    names = [subject.name for subject in read_statement(signed.payload) if subject.sha256 == wanted]
    if not names:
        raise Refused("the Sigstore bundle is for another manifest", expected=evidence.manifest_digest)
    named = _check_names(names, requirement.identity, reference, accept_unnamed=accept_unnamed)
    return Vouched(signed.signer, named)


def signed_statement(
    requirement: SigstoreSigned, bundle: SigstoreBundle, keys: KeyStore, trusted_root: TrustedRoot | None = None
) -> SignedStatement:
    """The payload of a bundle's envelope, once its signature satisfies the requirement. What it states is not looked at.

    Raises:
        Refused: it does not satisfy the requirement.
        AirgapError: the requirement's keys cannot be had.
    """
    del trusted_root
    candidates = _keys(requirement, keys)
    envelope = read_bundle(bundle.raw)
    key = _signer(envelope, candidates)
    return SignedStatement(envelope.payload, f"{key.kind} key {key.id}")


def _keys(requirement: SigstoreSigned, keys: KeyStore) -> tuple[PublicKey, ...]:
    unevaluated = {"rekorPublicKey": requirement.rekor, "fulcio": requirement.fulcio, "pki": requirement.pki}
    asked = [name for name, value in unevaluated.items() if value is not None]
    if asked or requirement.keys is None:
        raise Refused(f"the requirement asks for {' and '.join(asked) or 'no key'}, which is not supported for Sigstore bundles")
    return keys.public(requirement.keys)


def _signer(envelope: Envelope, keys: tuple[PublicKey, ...]) -> PublicKey:
    signed = pae(PAYLOAD_TYPE, envelope.payload)
    key = next((key for key in keys if verify_by_curve(key, signed, envelope.signature)), None)
    if key is None:
        raise Refused("not made by this key", expected=", ".join(key.id for key in keys))
    return key


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


def _envelope(bundle: dict[str, Any]) -> Envelope:
    media_type = strictjson.string(bundle.get("mediaType"), "mediaType")
    if media_type not in MEDIA_TYPES:
        raise Damaged("unsupported version or type", expected=MEDIA_TYPES[0], got=printable(media_type, 120))
    if "messageSignature" in bundle:
        raise Refused("a messageSignature covers bytes, not a statement about an image", expected="dsseEnvelope")
    _check_material(fields_of(bundle.get("verificationMaterial"), _MATERIAL_FIELDS))
    return _dsse(bundle.get("dsseEnvelope"), "Sigstore bundle")


def _dsse(value: object, what: str) -> Envelope:
    """A DSSE envelope with one signature; ``what`` has it, for messages."""
    envelope = fields_of(value, ("payload", "payloadType", "signatures"))
    payload_type = strictjson.string(envelope.get("payloadType"), "payloadType")
    if payload_type != PAYLOAD_TYPE:
        raise Refused(f"the {what}'s payload has the wrong type", expected=PAYLOAD_TYPE, got=printable(payload_type, 120))
    signatures = strictjson.array(envelope.get("signatures"), "signatures")
    if len(signatures) != 1:
        raise Refused(f"not exactly one signature in the {what}", expected="1", got=str(len(signatures)))
    signature = fields_of(signatures[0], ("sig", "keyid"))
    strictjson.string(signature.get("keyid", ""), "keyid")
    return Envelope(data_of(envelope.get("payload")), data_of(signature.get("sig")))


def _check_material(material: dict[str, Any]) -> None:
    """Its form only: neither a hint nor a certificate that the bundle brings along says which key to trust."""
    if ("publicKey" in material) == ("certificate" in material):
        raise Damaged("not exactly one of publicKey and certificate")
    if "publicKey" in material:
        strictjson.string(fields_of(material["publicKey"], ("hint",)).get("hint", ""), "hint")
    else:
        data_of(fields_of(material["certificate"], ("rawBytes",)).get("rawBytes"))
    strictjson.array(material.get("tlogEntries", []), "tlogEntries")


def _subject(value: object) -> Subject:
    subject = strictjson.mapping(value, "subject")
    strictjson.refuse_lookalikes(subject, ("name", "digest"), "subject")
    digests = strictjson.mapping(subject.get("digest"), "subject digest")
    strictjson.refuse_lookalikes(digests, ("sha256",), "subject digest")
    sha256 = strictjson.string(digests.get("sha256", ""), "sha256")
    return Subject(sha256, strictjson.string(subject.get("name", ""), "name"))


def fields_of(value: object, known: Collection[str]) -> dict[str, Any]:
    """An object that has no other fields than these. Raises ``Damaged``."""
    fields = strictjson.mapping(value, "bundle")
    unknown = [name for name in fields if name not in known]
    if unknown:
        raise Damaged("an unknown field", expected=", ".join(known), got=printable(unknown[0], 80))
    return fields


def data_of(value: object) -> bytes:
    """Bytes, not none, in base64. Raises ``Damaged``."""
    data = decode_base64(strictjson.string(value, "base64"))
    if not data:
        raise Damaged("not base64")
    return data
