"""Whether a signature satisfies a requirement: the steps for signedBy and sigstoreSigned, in the order of containers/image.

1. The signature itself: by a key that the requirement names, and where it wants a log, logged.
2. The payload, read strictly.
3. The digest it claims is that of the manifest's bytes.
4. The name it claims is one that may vouch for the image.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from airgap.errors import Refused
from airgap.limits import MAX_SIGNATURE
from airgap.oci.reference import Reference
from airgap.text import printable
from airgap.trust.judge.sigstorebundle import SignedStatement
from airgap.trust.keys import evidence as ev
from airgap.trust.keys import payload
from airgap.trust.keys.certificates import fulcio_key, pki_key
from airgap.trust.keys.keystore import KeyStore
from airgap.trust.keys.rekor import Logged, check_set
from airgap.trust.keys.signatures import PublicKey, verify, verify_by_curve
from airgap.trust.policy.fields import decode_base64
from airgap.trust.policy.identity import accepts
from airgap.trust.policy.requirements import Fulcio, Pki, SignedBy, SignedIdentity, SigstoreSigned
from airgap.trust.sigstore.bodies import check_envelope
from airgap.trust.sigstore.bundle import PAYLOAD_TYPE, pae, read_envelope


def check_gpg(
    requirement: SignedBy, reference: Reference | None, evidence: ev.Evidence, signature: ev.GpgSignature, keys: KeyStore
) -> str:
    """Check one GPG signature; the key that made it, for people.

    Raises:
        Refused: it does not satisfy the requirement.
        AirgapError: the requirement's keys cannot be had.
    """
    if len(signature.blob) > MAX_SIGNATURE:
        raise Refused("the signature is too large", expected=f"at most {MAX_SIGNATURE} bytes")
    good, signed = keys.keyring(requirement.keys).open_signed(signature.blob)
    _check_claim(payload.read_gpg_payload(signed), requirement.identity, reference, evidence)
    return f"OpenPGP key {good.id}"


def check_sigstore(
    requirement: SigstoreSigned,
    reference: Reference | None,
    evidence: ev.Evidence,
    signature: ev.SigstoreSignature,
    keys: KeyStore,
    now: datetime,
) -> str:
    """Check one cosign signature; the key that made it, for people.

    Args:
        now: when a certificate of the site's own CA must be valid; keyless ones must be at the log's time.

    Raises:
        Refused: it does not satisfy the requirement.
        AirgapError: the requirement's keys cannot be had.
    """
    if signature.media_type != ev.SIMPLE_SIGNING:
        raise Refused("the attachment is not an image signature", got=printable(signature.media_type, 120))
    if len(signature.payload) > MAX_SIGNATURE:
        raise Refused("the payload is too large", expected=f"at most {MAX_SIGNATURE} bytes")
    raw = decode_base64(_annotation(signature, ev.SIGNATURE))
    if raw is None:
        raise Refused("the signature is not base64")
    candidates = _candidates(requirement, signature, Logged(b"", raw, signature.payload), keys, now)
    key = next((key for key in candidates if verify(key, signature.payload, raw)), None)
    if key is None:
        raise Refused("not made by this key", expected=", ".join(key.id for key in candidates))
    _check_claim(payload.read_sigstore_payload(signature.payload), requirement.identity, reference, evidence)
    return f"{key.kind} key {key.id}"


def signed_envelope(
    requirement: SigstoreSigned, attestation: ev.SigstoreSignature, keys: KeyStore, now: datetime
) -> SignedStatement:
    """The payload of an envelope under cosign's ``.att`` tag, once its signature satisfies the requirement; else as above.

    Source: cosign, ATTESTATION_SPEC: the signature is in the envelope, and in the annotations are only certificate, chain and the
    log's promise.

    Raises:
        Refused: it does not satisfy the requirement.
        AirgapError: the requirement's keys cannot be had.
    """
    envelope = read_envelope(attestation.payload)
    signed = pae(PAYLOAD_TYPE, envelope.payload)
    logged = Logged(b"", envelope.signature, envelope.payload, envelope=attestation.payload)
    candidates = _candidates(requirement, attestation, logged, keys, now)
    key = next((key for key in candidates if verify_by_curve(key, signed, envelope.signature)), None)
    if key is None:
        raise Refused("not made by this key", expected=", ".join(key.id for key in candidates))
    return SignedStatement(envelope.payload, f"{key.kind} key {key.id}")


def _candidates(
    requirement: SigstoreSigned, signature: ev.SigstoreSignature, logged: Logged, keys: KeyStore, now: datetime
) -> tuple[PublicKey, ...]:
    """The keys that may have made the signature, the log's promise already checked.

    Args:
        logged: what must have been logged, but for who signed it.
    """
    log = keys.log_keys(requirement.rekor) if requirement.rekor is not None else ()
    if requirement.pki is not None:
        return (_by_certificate(requirement.pki, signature, keys, now),)
    if requirement.fulcio is not None:
        pem = _annotation(signature, ev.CERTIFICATE).encode("utf-8")
        when = _proved(signature, log, replace(logged, signer_pem=pem))
        return (_by_certificate(requirement.fulcio, signature, keys, when),)
    if requirement.keys is None:
        raise Refused("the requirement names no key")
    public = keys.public(requirement.keys)
    if requirement.rekor is None:
        return public
    return (_logged(public, log, signature, logged),)


def _by_certificate(rule: Fulcio | Pki, signature: ev.SigstoreSignature, keys: KeyStore, when: datetime) -> PublicKey:
    certificate = _annotation(signature, ev.CERTIFICATE)
    chain = signature.annotations.get(ev.CHAIN, "")
    if isinstance(rule, Fulcio):
        return fulcio_key(rule, keys.roots(rule.ca), certificate, chain, when)
    return pki_key(rule, keys.roots(rule.roots, rule.intermediates), certificate, chain, when)


def _logged(
    public: tuple[PublicKey, ...], log: tuple[PublicKey, ...], signature: ev.SigstoreSignature, logged: Logged
) -> PublicKey:
    """The one of several keys whose signature was logged."""
    reason = Refused("the requirement names no key")
    for key in public:
        try:
            _proved(signature, log, replace(logged, signer_pem=key.pem))
        except Refused as error:
            reason = error
        else:
            return key
    raise reason


def _proved(signature: ev.SigstoreSignature, log: tuple[PublicKey, ...], logged: Logged) -> datetime:
    """When the log took the signature in, by the promise in its annotation."""
    return check_set(_annotation(signature, ev.BUNDLE), log, logged, check_envelope if logged.envelope else None)


def _annotation(signature: ev.SigstoreSignature, name: str) -> str:
    value = signature.annotations.get(name)
    if not value:
        raise Refused(f"the signature has no annotation {name}")
    return value


def _check_claim(claim: payload.Claim, identity: SignedIdentity | None, reference: Reference | None, evidence: ev.Evidence) -> None:
    """Digest, then identity. Only SHA-256 claims can match, in lower case, as upstream has it."""
    if claim.digest != evidence.manifest_digest or not claim.digest.startswith("sha256:"):
        what = "the signature is for another manifest"
        raise Refused(what, expected=evidence.manifest_digest, got=printable(claim.digest, 150))
    if not accepts(identity, reference, claim.reference):
        what = "the signature is for another name"
        raise Refused(what, expected=str(reference or "no name"), got=printable(claim.reference, 300))
