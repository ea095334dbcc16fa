"""A timestamp authority (RFC 3161)."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Any

from asn1crypto import algos, cms, core, tsp
from asn1crypto import x509 as asn1x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.support.sigstoreinstance.authority import authority_entry, ca_certificate, key_usage
from tests.support.sigstoreinstance.parts import START, Pair

_YEARS = timedelta(days=3650)


class Tsa:
    """The authority: a root, and a certificate that stamps. ``days`` is how long both are valid."""

    def __init__(self, name: str = "tsa", start: datetime = START, life: timedelta = _YEARS) -> None:
        span = (start - timedelta(days=1), start + life)
        self.root_pair, self.pair = Pair.make(), Pair.make()
        self.root = ca_certificate(f"{name} root", self.root_pair, None, ExtendedKeyUsageOID.TIME_STAMPING, span)
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self.root.subject)
            .public_key(self.pair.private.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(span[0])
            .not_valid_after(span[1])
            .add_extension(key_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.root_pair.private.public_key()), critical=False)
            .sign(self.root_pair.private, hashes.SHA256())
        )

    def entry(self) -> dict[str, Any]:
        """The authority as a trusted root names it."""
        return authority_entry("https://tsa.test", self.certificate, self.root)

    def reply(self, data: bytes, when: datetime, *, embed: bool = True, hash_name: str = "sha256", status: int = 0) -> bytes:
        """A response that says that these bytes existed then; ``embed`` puts the certificate into it."""
        info = tsp.TSTInfo(
            {
                "version": "v1",
                "policy": "1.3.6.1.4.1.57264.2",
                "message_imprint": {
                    "hash_algorithm": {"algorithm": hash_name},
                    "hashed_message": hashlib.new(hash_name, data).digest(),
                },
                "serial_number": 1,
                "gen_time": when,
                "accuracy": {"seconds": 1},
            }
        )
        der = self.certificate.public_bytes(serialization.Encoding.DER)
        own = asn1x509.Certificate.load(der)
        attributes = cms.CMSAttributes(
            [
                {"type": "content_type", "values": ["tst_info"]},
                {"type": "signing_time", "values": [cms.Time({"utc_time": when})]},
                {"type": "message_digest", "values": [hashlib.sha256(info.dump()).digest()]},
                {
                    "type": "signing_certificate_v2",
                    "values": [tsp.SigningCertificateV2({"certs": [{"cert_hash": hashlib.sha256(der).digest()}]})],
                },
            ]
        )
        signature = self.pair.sign(attributes.untag().dump())
        signer: dict[str, Any] = {
            "version": "v1",
            "sid": {"issuer_and_serial_number": {"issuer": own.issuer, "serial_number": own.serial_number}},
            "digest_algorithm": {"algorithm": "sha256"},
            "signed_attrs": attributes,
            "signature_algorithm": algos.SignedDigestAlgorithm({"algorithm": "sha256_ecdsa"}),
            "signature": signature,
        }
        content: dict[str, Any] = {
            "version": "v3",
            "digest_algorithms": [{"algorithm": "sha256"}],
            "encap_content_info": {"content_type": "tst_info", "content": core.ParsableOctetString(info.dump())},
            "signer_infos": [signer],
        }
        if embed:
            content["certificates"] = [own]
        token = cms.ContentInfo({"content_type": "signed_data", "content": cms.SignedData(content)})
        raw: bytes = tsp.TimeStampResp({"status": {"status": status}, "time_stamp_token": token}).dump()
        return raw
