"""Whether a certificate of Fulcio is in a log of certificates: the SCT that it carries (RFC 6962, sections 3.2 and 3.3)."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.certificate_transparency import LogEntryType, SignedCertificateTimestamp, Version

from airgap.errors import Refused
from airgap.text import printable
from airgap.trust.keys.signatures import verify
from airgap.trust.sigstore.trustedroot import Log

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HEAD = struct.Struct(">BBQH")


def check_sct(certificate: x509.Certificate, issuer: x509.Certificate, logs: Sequence[Log]) -> None:
    """Check the one SCT in a certificate.

    Args:
        certificate: the signer's certificate.
        issuer: the certificate of the CA that issued it, already proved.
        logs: the logs of certificates that the site trusts.

    Raises:
        Refused: there is not exactly one, or no such log has made it for this certificate.
    """
    sct = _only(certificate)
    log = next((log for log in logs if log.id == sct.log_id), None)
    if log is None:
        raise Refused("the certificate is in no CT log of the trusted root", got=f"log {sct.log_id.hex()[:16]}")
    when = sct.timestamp.replace(tzinfo=UTC)
    if not log.valid.covers(when):
        raise Refused("the certificate's SCT is from a time when the CT log was not in use", got=f"{when:%Y-%m-%dT%H:%M:%SZ}")
    if not isinstance(sct.signature_hash_algorithm, hashes.SHA256):
        raise Refused("the certificate's SCT is signed with another hash", expected="SHA-256")
    if not verify(log.key, _signed(sct, certificate, issuer, when), sct.signature):
        raise Refused("the certificate's SCT is not signed by the CT log", expected=f"key {log.key.id}")


def _only(certificate: x509.Certificate) -> SignedCertificateTimestamp:
    try:
        found = certificate.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps).value
        scts: list[SignedCertificateTimestamp] = list(found)
        _ = [(sct.timestamp, sct.signature_hash_algorithm, sct.version, sct.entry_type) for sct in scts]  # the library reads late
    except x509.ExtensionNotFound:
        scts = []
    except (ValueError, LookupError, OverflowError, UnsupportedAlgorithm) as error:
        raise Refused("the certificate's SCT is malformed", got=printable(str(error), 120)) from error
    if len(scts) != 1:
        raise Refused("not exactly one SCT in the certificate", expected="1", got=str(len(scts)))
    if scts[0].version is not Version.v1 or scts[0].entry_type is not LogEntryType.PRE_CERTIFICATE:
        raise Refused("the certificate's SCT is of another kind", expected="version 1, of a precertificate")
    return scts[0]


def _signed(sct: SignedCertificateTimestamp, certificate: x509.Certificate, issuer: x509.Certificate, when: datetime) -> bytes:
    """What the log has signed: the certificate as it was before the SCT was put into it, and whose key was to sign it."""
    key = issuer.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    content = certificate.tbs_precertificate_bytes
    head = _HEAD.pack(0, 0, (when - _EPOCH) // timedelta(milliseconds=1), 1)
    extensions = len(sct.extension_bytes).to_bytes(2, "big") + sct.extension_bytes
    return head + hashlib.sha256(key).digest() + len(content).to_bytes(3, "big") + content + extensions
