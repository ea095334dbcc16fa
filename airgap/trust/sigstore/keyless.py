"""Who has signed a bundle, as a requirement of the policy asks for it, and by the site's trusted root.

The order is that of the Sigstore client specification and of sigstore-python: log entry (promise, path, checkpoint), time,
certificate chain at that time, SCT, identity, signature, and that the log entry is about this signature. All of it must hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from airgap.errors import Refused, UsageError
from airgap.text import printable
from airgap.trust.keys import certificates
from airgap.trust.keys.certificates import Roots
from airgap.trust.keys.keystore import KeyStore
from airgap.trust.keys.numbers import number_of
from airgap.trust.keys.signatures import PublicKey, public_key, verify_by_curve
from airgap.trust.policy.requirements import Fulcio, Pki, SigstoreSigned
from airgap.trust.sigstore.bodies import LoggedSignature, check_body
from airgap.trust.sigstore.bundle import Bundle, Envelope, certificates_of, reading
from airgap.trust.sigstore.inclusion import check_included
from airgap.trust.sigstore.material import Entry, entry_of, timestamps_of
from airgap.trust.sigstore.sct import check_sct
from airgap.trust.sigstore.timestamps import stamped
from airgap.trust.sigstore.trustedroot import Authority, Log, Span, TrustedRoot

_ROOT_HINT = "give the site's trusted root of this Sigstore instance: --trusted-root FILE"
#: A signer as log entries have them: key, PEM and DER of it or of the certificate, and whether it is a certificate.
_Logged: TypeAlias = tuple[PublicKey, bytes, bytes, bool]
_ALWAYS = Span(datetime.min.replace(tzinfo=UTC))


@dataclass(frozen=True)
class ProvedSigner:
    """Who has signed.

    Args:
        text: for people.
        id: what tells signers apart: a key's fingerprint, or whom a certificate names; the key of a certificate lives minutes.
        numbers: what shows that two signers are one, in whatever form they come: the same key, or the same name in certificates.
        key: the key that made the signature.
    """

    text: str
    id: str
    numbers: frozenset[str]
    key: PublicKey


def signer_of(
    requirement: SigstoreSigned,
    bundle: Bundle,
    signed: bytes,
    keys: KeyStore,
    root: TrustedRoot | None = None,
    now: datetime | None = None,
) -> ProvedSigner:
    """Who has signed a bundle, if they satisfy a requirement.

    Args:
        requirement: what the policy asks for.
        bundle: the bundle.
        signed: what the signature must be over, see :func:`signed_bytes`.
        keys: reads what the requirement names.
        root: what the site trusts of a Sigstore instance; None: nothing.
        now: when a certificate of the site's own CA must be valid; those of Fulcio must be at the time that is proved.

    Raises:
        Refused: it does not satisfy the requirement.
        AirgapError: the requirement's keys cannot be had.
    """
    with reading():
        if requirement.fulcio is not None:
            return _by_fulcio(requirement.fulcio, requirement, bundle, signed, keys, root)
        if requirement.pki is not None:
            return _by_pki(requirement.pki, bundle, signed, keys, now or datetime.now(UTC))
        return _by_key(requirement, bundle, signed, keys, root)


def _by_key(requirement: SigstoreSigned, bundle: Bundle, signed: bytes, keys: KeyStore, root: TrustedRoot | None) -> ProvedSigner:
    """By a key that the policy names; what else the bundle holds is looked at only where the policy wants it logged."""
    if requirement.keys is None:
        raise Refused("the requirement names no key")
    known = keys.public(requirement.keys)
    key = next((key for key in known if verify_by_curve(key, signed, bundle.content.signature)), None)
    if key is None:
        raise Refused("not made by this key", expected=", ".join(key.id for key in known))
    if requirement.rekor is not None:
        entry = entry_of(bundle)
        log = _log_of(entry, _logs(keys.public(requirement.rekor), root), known=root is not None)
        check_included(entry, log)
        times = entry.integrated + _stamps(bundle, root)
        _check_log_time(log, times)
        spki = key.key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        _check_about(entry, bundle, signed, (key, key.pem, spki, False))
    return ProvedSigner(f"{key.kind} key {key.id}", key.fingerprint, frozenset((number_of(key),)), key)


def _by_pki(rule: Pki, bundle: Bundle, signed: bytes, keys: KeyStore, now: datetime) -> ProvedSigner:
    """By a certificate of the site's own CA, as in annotations: valid now, whatever a log says."""
    leaf, carried = _certificates(bundle)
    key = certificates.pki_key_of(rule, keys.roots(rule.roots, rule.intermediates), leaf, carried, now)
    _check_made(key, signed, bundle)
    name = " and ".join(printable(name) for name in (rule.subject_email, rule.subject_hostname) if name)
    return ProvedSigner(f"{key.kind} key {key.id}", f"pki:{name}", frozenset((number_of(key),)), key)


def _by_fulcio(
    rule: Fulcio, requirement: SigstoreSigned, bundle: Bundle, signed: bytes, keys: KeyStore, root: TrustedRoot | None
) -> ProvedSigner:
    """By a certificate that lived minutes, and was good then."""
    if root is None:
        raise Refused(
            "a keyless signature in a bundle cannot be judged without a trusted root, which names the log of certificates and the "
            "timestamp authorities",
            hint=_ROOT_HINT,
        )
    narrowed = _logs(None if requirement.rekor is None else keys.public(requirement.rekor), root)
    leaf, carried = _certificates(bundle)
    if any(certificates.is_authority(one) and one.subject == one.issuer for one in carried):
        raise Refused("the bundle's certificate chain holds a root, which only the site can name")
    entry = entry_of(bundle)
    log = _log_of(entry, narrowed, known=True)
    check_included(entry, log)
    times = entry.integrated + _stamps(bundle, root)
    if not times:
        raise Refused("no time is proved at which the certificate could have been valid", expected=_TIMES)
    _check_log_time(log, times)
    issuers = _issuers(leaf, root, keys.roots(rule.ca), times)
    check_sct(leaf, issuers[0], root.ct_logs)
    certificates.check_profile(leaf)
    certificates.check_identity(rule, leaf, uris=True)
    key = _key_of(leaf)
    _check_made(key, signed, bundle)
    der = leaf.public_bytes(serialization.Encoding.DER)
    _check_about(entry, bundle, signed, (key, certificates.written(leaf), der, True))
    who = f"{printable(rule.subject_email)} as authenticated by {printable(rule.oidc_issuer)}"
    person = f"keyless:{rule.oidc_issuer} {rule.subject_email}"
    return ProvedSigner(f"{who}, {min(times):%Y-%m-%dT%H:%M:%SZ}", person, frozenset((person, number_of(key))), key)


_TIMES = "a promise of a Rekor 1 log, or a timestamp by an authority of the trusted root (Rekor 2 knows no time)"


def _certificates(bundle: Bundle) -> tuple[x509.Certificate, tuple[x509.Certificate, ...]]:
    """The signer's certificate, and those beside it."""
    found = [certificates.read_certificate(der) for der in certificates_of(bundle)]
    if not found:
        raise Refused("the Sigstore bundle holds no certificate", got="a hint for a key")
    return found[0], tuple(found[1:])


def _key_of(leaf: x509.Certificate) -> PublicKey:
    try:
        return public_key(leaf.public_key())
    except UsageError as error:  # not the operator's mistake here
        raise Refused(f"the certificate's key: {error.what}", expected=error.expected, got=error.got) from error


def _logs(keys: Sequence[PublicKey] | None, root: TrustedRoot | None) -> tuple[Log, ...]:
    """The logs that count: those of the trusted root with a key that the policy names; without a root, the policy's keys alone.

    The latter do for logs of version 1, which are called by their key; those of version 2 are called by their name as well.
    """
    if root is None:
        return tuple(Log("", bytes.fromhex(key.fingerprint), key, _ALWAYS) for key in keys or ())
    if keys is None:
        return root.logs
    wanted = {key.fingerprint for key in keys}
    found = tuple(log for log in root.logs if log.key.fingerprint in wanted)
    if not found:
        expected = ", ".join(f"key {key.id}" for key in keys)
        raise Refused("the trusted root has no log with the policy's Rekor key", expected=expected)
    return found


def _log_of(entry: Entry, logs: Sequence[Log], *, known: bool) -> Log:
    log = next((log for log in logs if log.id == entry.log_id), None)
    if log is None:
        raise Refused(
            "the log entry is of a log that does not count here",
            expected=", ".join(f"log {log.id.hex()[:16]}" for log in logs[:4]),
            got=f"log {entry.log_id.hex()[:16]}",
            hint="" if known else _ROOT_HINT,
        )
    return log


def _check_log_time(log: Log, times: Sequence[datetime]) -> None:
    """The log must have been in use; where no time is proved, it must be still."""
    outside = next((when for when in times if not log.valid.covers(when)), None)
    if outside is not None:
        raise Refused("the log was not in use at that time", expected=_span(log.valid), got=f"{outside:%Y-%m-%dT%H:%M:%SZ}")
    if not times and log.valid.end is not None:
        raise Refused("the log is no longer in use, and no time is proved at which it was", expected=_span(log.valid))


def _stamps(bundle: Bundle, root: TrustedRoot | None) -> tuple[datetime, ...]:
    if root is None:
        return ()
    return stamped(timestamps_of(bundle), bundle.content.signature, root.timestamp_authorities)


def _issuers(leaf: x509.Certificate, root: TrustedRoot, named: Roots, times: Sequence[datetime]) -> tuple[x509.Certificate, ...]:
    """The chain of a certificate by one authority of the trusted root, at all the times; a CA that the policy names is in it."""
    reasons: list[Refused] = []
    # those that bear the issuer's name come first: why they do not do is what people need to know
    for authority in sorted(root.authorities, key=lambda one: one.chain[0].subject != leaf.issuer):
        try:
            return _issuers_of(leaf, authority, named, times)
        except Refused as error:
            reasons.append(error)
    raise reasons[0] if reasons else Refused("the trusted root names no certificate authority")


def _issuers_of(
    leaf: x509.Certificate, authority: Authority, named: Roots, times: Sequence[datetime]
) -> tuple[x509.Certificate, ...]:
    outside = next((when for when in times if not authority.valid.covers(when)), None)
    if outside is not None:
        got = f"{outside:%Y-%m-%dT%H:%M:%SZ}"
        raise Refused("the certificate authority was not in use at that time", expected=_span(authority.valid), got=got)
    trusted = Roots(authority.chain[-1:], authority.chain[:-1])
    found = [certificates.issuers_of(leaf, trusted, (), when) for when in times]
    if not all(found):
        raise Refused("the signing certificate is that of the certificate authority itself")
    if not any(one in named.roots for one in found[0]):
        raise Refused("the trusted root's certificate authority is not the one that the policy names")
    return found[0]


def _span(span: Span) -> str:
    start, end = f"{span.start:%Y-%m-%dT%H:%M:%SZ}", "now" if span.end is None else f"{span.end:%Y-%m-%dT%H:%M:%SZ}"
    return f"{start} to {end}"


def _check_made(key: PublicKey, signed: bytes, bundle: Bundle) -> None:
    if not verify_by_curve(key, signed, bundle.content.signature):
        raise Refused("not made by the key of this certificate", expected=key.id)


def _check_about(entry: Entry, bundle: Bundle, signed: bytes, signer: _Logged) -> None:
    """The log entry must be about this signature."""
    payload = bundle.content.payload if isinstance(bundle.content, Envelope) else None
    check_body(entry.kind, entry.version, entry.body, LoggedSignature(*signer, bundle.content.signature, signed, payload))
