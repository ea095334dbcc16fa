"""A CA like Fulcio, with the CT log in which it has its certificates before it signs them."""

from __future__ import annotations

import hashlib
import struct
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from tests.support.sigstoreinstance.parts import START, Pair, Signer, b64, stamp

ISSUER_V1 = ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
ISSUER_V2 = ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
_SCTS = ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_YEARS = timedelta(days=3650)


def ca_certificate(
    name: str, pair: Pair, issuer: tuple[x509.Certificate, Pair] | None, use: ObjectIdentifier, span: tuple[datetime, datetime]
) -> x509.Certificate:
    """A CA certificate, by itself or by another CA."""
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "test"), x509.NameAttribute(NameOID.COMMON_NAME, name)])
    above, signing = issuer or (None, pair)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(above.subject if above else subject)
        .public_key(pair.private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(span[0])
        .not_valid_after(span[1])
        .add_extension(x509.BasicConstraints(ca=True, path_length=0 if above else 1), critical=True)
        .add_extension(key_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(pair.private.public_key()), critical=False)
    )
    if above:
        builder = builder.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        builder = builder.add_extension(_issued_by(signing), critical=False)
    return builder.sign(signing.private, hashes.SHA256())


def key_usage(*, authority: bool) -> x509.KeyUsage:
    """For a CA, or for who signs other things."""
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _issued_by(pair: Pair) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(pair.private.public_key())


class CtLog:
    """A log of certificates: it promises to take one, with an SCT (RFC 6962, section 3.2)."""

    def __init__(self, kind: str = "P-256") -> None:
        self.pair = Pair.make(kind)
        self.id = hashlib.sha256(self.pair.spki).digest()

    def sct(self, tbs: bytes, issuer: Pair, when: datetime, extensions: bytes = b"") -> bytes:
        """The promise for a certificate that will have this content, by this issuer."""
        milliseconds = int(when.timestamp() * 1000)
        entry = hashlib.sha256(issuer.spki).digest() + len(tbs).to_bytes(3, "big") + tbs
        signed = struct.pack(">BBQH", 0, 0, milliseconds, 1) + entry + struct.pack(">H", len(extensions)) + extensions
        signature = self.pair.sign(signed)
        head = b"\0" + self.id + struct.pack(">QH", milliseconds, len(extensions)) + extensions
        return head + bytes((4, 1 if self.pair.kind == "RSA" else 3)) + struct.pack(">H", len(signature)) + signature


class Fulcio:
    """The CA: a root, an intermediate that issues, and the log."""

    def __init__(self, name: str = "fulcio", start: datetime = START) -> None:
        span = (start - timedelta(days=1), start + _YEARS)
        self.root_pair, self.pair, self.ct = Pair.make(), Pair.make(), CtLog()
        self.root = ca_certificate(f"{name} root", self.root_pair, None, ExtendedKeyUsageOID.CODE_SIGNING, span)
        above = (self.root, self.root_pair)
        self.intermediate = ca_certificate(f"{name} intermediate", self.pair, above, ExtendedKeyUsageOID.CODE_SIGNING, span)

    def signer(
        self,
        identity: str | x509.GeneralName = "dev@vendor.example",
        issuer: str = "https://accounts.vendor.example",
        when: datetime = START,
        **changes: Any,
    ) -> Signer:
        """Somebody with a certificate of ten minutes.

        Args:
            identity: an e-mail address, a URI, or any other name.
            issuer: who has authenticated them.
            when: the beginning of the ten minutes.
            changes: ``pair`` (the key), ``scts`` (how many, 1), ``ct`` (another log), ``ct_issuer`` (an SCT for another issuer),
                ``ct_when``, ``ct_extensions``, ``minutes``, ``usage``, ``uses``, ``issued_by`` (certificate and key).
        """
        pair = changes.get("pair") or Pair.make()
        certificate, signing = changes.get("issued_by") or (self.intermediate, self.pair)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(certificate.subject)
            .public_key(pair.private.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(when)
            .not_valid_after(when + timedelta(minutes=changes.get("minutes", 10)))
            .add_extension(changes.get("usage") or key_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(changes.get("uses") or [ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(pair.private.public_key()), critical=False)
            .add_extension(_issued_by(signing), critical=False)
            .add_extension(x509.SubjectAlternativeName([_name(identity)]), critical=True)
            .add_extension(x509.UnrecognizedExtension(ISSUER_V1, issuer.encode()), critical=False)
            .add_extension(x509.UnrecognizedExtension(ISSUER_V2, _utf8_string(issuer)), critical=False)
        )
        tbs = builder.sign(signing.private, hashes.SHA256()).tbs_certificate_bytes
        ct: CtLog = changes.get("ct") or self.ct
        logged = changes.get("ct_when") or when
        scts = [
            ct.sct(tbs, changes.get("ct_issuer") or signing, logged, changes.get("ct_extensions", b""))
            for _ in range(changes.get("scts", 1))
        ]
        if scts:
            builder = builder.add_extension(x509.UnrecognizedExtension(_SCTS, _sct_list(scts)), critical=False)
        return Signer(pair, (builder.sign(signing.private, hashes.SHA256()), certificate))


def _name(identity: str | x509.GeneralName) -> x509.GeneralName:
    if isinstance(identity, x509.GeneralName):
        return identity
    return x509.UniformResourceIdentifier(identity) if "://" in identity else x509.RFC822Name(identity)


def _utf8_string(text: str) -> bytes:
    data = text.encode()
    return b"\x0c" + _length(len(data)) + data


def _sct_list(scts: list[bytes]) -> bytes:
    inner = b"".join(struct.pack(">H", len(sct)) + sct for sct in scts)
    data = struct.pack(">H", len(inner)) + inner
    return b"\x04" + _length(len(data)) + data


def _length(size: int) -> bytes:
    if size < 0x80:
        return bytes((size,))
    raw = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((0x80 | len(raw),)) + raw


def authority_entry(uri: str, *chain: x509.Certificate) -> dict[str, Any]:
    """An authority as a trusted root names it."""
    ders = [{"rawBytes": b64(one.public_bytes(serialization.Encoding.DER))} for one in chain]
    subject = {"organization": "test", "commonName": "test"}
    return {"subject": subject, "uri": uri, "certChain": {"certificates": ders}, "validFor": {"start": stamp(START)}}
