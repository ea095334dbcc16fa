"""Image signatures for tests: GPG simple signing, cosign with keys, Rekor promises, keyless and PKI certificates."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from airgap.oci.digest import Digest
from airgap.trust.keys import evidence, signatures
from airgap.trust.keys import signers as keys

NOW = datetime(2026, 6, 1, 12, 0, 0, tzinfo=UTC)
ISSUER_V1 = ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
ISSUER_V2 = ObjectIdentifier("1.3.6.1.4.1.57264.1.8")


def payload(manifest: bytes, reference: str, kind: str = "atomic container signature", **changes: Any) -> bytes:
    """The payload that vouches for a manifest under a name."""
    image = {"docker-manifest-digest": changes.get("digest", str(Digest.of(manifest)))}
    critical = {"identity": {"docker-reference": reference}, "image": image, "type": kind}
    return json.dumps({"critical": critical, "optional": changes.get("optional", {})}, separators=(",", ":")).encode()


def cosign_payload(manifest: bytes, reference: str, **changes: Any) -> bytes:
    """The same as cosign writes it."""
    return payload(manifest, reference, "cosign container image signature", **{"optional": None, **changes})


class Key:
    """A key of a vendor, a log, or a certificate authority."""

    def __init__(self, kind: Literal["ecdsa", "ed25519"] = "ecdsa") -> None:
        pair = keys.generate(kind, None)
        self.signer = keys.KeySigner.load(pair.private_pem, lambda: None, "key")
        self.private: Any = serialization.load_pem_private_key(pair.private_pem, None)
        self.pem = pair.public_pem

    @property
    def id(self) -> str:
        """The key's id."""
        return signatures.load_public_key(self.pem).id

    def sign(self, data: bytes) -> bytes:
        """A raw signature."""
        return self.signer.sign_raw(data)


class HashedKey(Key):
    """A key of this kind (``P-384``, ``RSA-PSS``) that signs over this hash."""

    def __init__(self, kind: str, algorithm: hashes.HashAlgorithm) -> None:
        self._kind, self._algorithm = kind, algorithm
        self.private = _KINDS[kind]()
        self.pem = self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, data: bytes) -> bytes:
        """A raw signature."""
        raw: bytes
        if self._kind == "Ed25519":
            raw = self.private.sign(data)
        elif self._kind == "RSA":
            raw = self.private.sign(data, padding.PKCS1v15(), self._algorithm)
        elif self._kind == "RSA-PSS":
            raw = self.private.sign(data, padding.PSS(padding.MGF1(self._algorithm), 32), self._algorithm)
        else:
            raw = self.private.sign(data, ec.ECDSA(self._algorithm))
        return raw


_KINDS: dict[str, Callable[[], Any]] = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
    "RSA-PSS": lambda: rsa.generate_private_key(65537, 2048),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}


def cosign(key: Key, data: bytes, name: str = "sig", **annotations: str) -> evidence.SigstoreSignature:
    """A cosign signature over a payload; annotations by their last word (bundle, certificate, chain)."""
    found = {evidence.SIGNATURE: base64.b64encode(key.sign(data)).decode()}
    found |= {f"dev.sigstore.cosign/{word}": text for word, text in annotations.items()}
    return evidence.SigstoreSignature(data, found, name)


def bundle_subject(manifest: bytes, name: str | None) -> dict[str, Any]:
    """The subject of a statement about a manifest; None leaves the name out, as cosign 3 does."""
    return {"digest": {"sha256": Digest.of(manifest).hex}, **({} if name is None else {"name": name})}


def bundle_document(key: Key, manifest: bytes, name: str | None, **statement: Any) -> dict[str, Any]:
    """A cosign 3 bundle about a manifest; ``statement`` are other fields of what is signed."""
    stated = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [bundle_subject(manifest, name)],
        "predicateType": "https://sigstore.dev/cosign/sign/v1",
        **statement,
    }
    signed, kind = json.dumps(stated).encode(), "application/vnd.in-toto+json"
    raw = key.sign(f"DSSEv1 {len(kind)} {kind} {len(signed)} ".encode() + signed)
    envelope = {
        "payload": base64.b64encode(signed).decode(),
        "payloadType": kind,
        "signatures": [{"sig": base64.b64encode(raw).decode()}],
    }
    return {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": "aGludA=="}, "tlogEntries": []},
        "dsseEnvelope": envelope,
    }


def blob_bundle(key: Key, data: bytes, digest: bytes | None = None, algorithm: str = "SHA2_256") -> dict[str, Any]:
    """What ``cosign sign-blob --key KEY --bundle FILE`` writes without a log; ``digest`` is what the bundle states of the data."""
    digest = hashlib.sha256(data).digest() if digest is None else digest
    return {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": "aGludA=="}},
        "messageSignature": {
            "messageDigest": {"algorithm": algorithm, "digest": base64.b64encode(digest).decode()},
            "signature": base64.b64encode(key.sign(data)).decode(),
        },
    }


def rekor_entry(signature: bytes, signer_pem: bytes, data: bytes) -> dict[str, Any]:
    """The body of a log entry."""
    return {
        "apiVersion": "0.0.1",
        "kind": "hashedrekord",
        "spec": {
            "data": {"hash": {"algorithm": "sha256", "value": hashlib.sha256(data).hexdigest()}},
            "signature": {
                "content": base64.b64encode(signature).decode(),
                "publicKey": {"content": base64.b64encode(signer_pem).decode()},
            },
        },
    }


def rekor_promise(log: Key, entry: dict[str, Any], when: datetime = NOW, **changes: Any) -> str:
    """The annotation in which the log promises to have an entry."""
    body = base64.b64encode(json.dumps(entry).encode()).decode()
    content = {"body": body, "integratedTime": int(when.timestamp()), "logIndex": 7, "logID": "ab" * 32, **changes}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    return json.dumps({"SignedEntryTimestamp": base64.b64encode(log.sign(canonical)).decode(), "Payload": content})


@dataclass
class Authority:
    """A certificate authority: its key and certificate."""

    key: Key
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def authority(name: str, parent: Authority | None = None, path_length: int | None = None, **options: Any) -> Authority:
    """A root, or an intermediate below ``parent``."""
    key = Key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer, signer = (parent.certificate.subject, parent.key) if parent else (subject, key)
    start, end = options.get("start", NOW - timedelta(days=365)), options.get("end", NOW + timedelta(days=365))
    builder = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start).not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=options.get("ca", True), path_length=path_length), critical=True)
    )  # fmt: skip
    return Authority(key, builder.sign(signer.private, hashes.SHA256()))


def leaf(parent: Authority, email: str = "", issuer: str = "", host: str = "", **options: Any) -> Authority:
    """A signing certificate as Fulcio or a site's CA makes it."""
    key = Key()
    names: list[x509.GeneralName] = [x509.RFC822Name(email)] if email else []
    names += [x509.DNSName(host)] if host else []
    when = options.get("when", NOW)
    builder = (
        x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(parent.certificate.subject)
        .public_key(key.private.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(when - timedelta(minutes=5)).not_valid_after(when + timedelta(minutes=5))
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .add_extension(x509.ExtendedKeyUsage([options.get("use", ExtendedKeyUsageOID.CODE_SIGNING)]), critical=False)
    )  # fmt: skip
    if issuer:
        second = options.get("second_issuer", issuer).encode()
        builder = builder.add_extension(x509.UnrecognizedExtension(ISSUER_V1, issuer.encode()), critical=False)
        builder = builder.add_extension(
            x509.UnrecognizedExtension(ISSUER_V2, b"\x0c" + bytes([len(second)]) + second), critical=False
        )
    if options.get("critical"):
        builder = builder.add_extension(x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"x"), critical=True)
    return Authority(key, builder.sign(parent.key.private, hashes.SHA256()))
