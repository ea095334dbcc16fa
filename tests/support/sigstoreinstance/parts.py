"""What all parts of the instance share: keys, base64, time, and bodies of log entries."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from airgap.oci import strictjson

#: The hash that Sigstore's registry of algorithms has for each kind of key, and what it is called there and in Rekor's entries.
_DETAILS: dict[str, tuple[hashes.HashAlgorithm, str]] = {
    "P-256": (hashes.SHA256(), "PKIX_ECDSA_P256_SHA_256"),
    "P-384": (hashes.SHA384(), "PKIX_ECDSA_P384_SHA_384"),
    "P-521": (hashes.SHA512(), "PKIX_ECDSA_P521_SHA_512"),
    "RSA": (hashes.SHA256(), "PKIX_RSA_PKCS1V15_2048_SHA256"),
    "Ed25519": (hashes.SHA512(), "PKIX_ED25519"),
}
START = datetime(2026, 1, 1, tzinfo=UTC)


def b64(data: bytes) -> str:
    """Base64 as JSON holds it."""
    return base64.b64encode(data).decode()


def stamp(when: datetime) -> str:
    """A time as a trusted root writes it."""
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")


@dataclass(frozen=True)
class Pair:
    """A private key of a signer, a log, or an authority."""

    kind: str
    private: Any

    @classmethod
    def make(cls, kind: str = "P-256") -> Pair:
        """A new key: ``P-256``, ``P-384``, ``P-521``, ``RSA`` or ``Ed25519``."""
        if kind == "Ed25519":
            return cls(kind, ed25519.Ed25519PrivateKey.generate())
        if kind == "RSA":
            return cls(kind, rsa.generate_private_key(65537, 2048))
        curves: dict[str, type[Any]] = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1, "P-521": ec.SECP521R1}
        return cls(kind, ec.generate_private_key(curves[kind]()))

    @property
    def hash(self) -> hashes.HashAlgorithm:
        """What it signs over."""
        return _DETAILS[self.kind][0]

    @property
    def details(self) -> str:
        """``keyDetails`` of it."""
        return _DETAILS[self.kind][1]

    @cached_property
    def spki(self) -> bytes:
        """The public key, DER."""
        spki: bytes = self.private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return spki

    @property
    def pem(self) -> bytes:
        """The public key, PEM."""
        pem: bytes = self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return pem

    def sign(self, data: bytes) -> bytes:
        """A raw signature."""
        raw: bytes
        if self.kind == "Ed25519":
            raw = self.private.sign(data)
        elif self.kind == "RSA":
            raw = self.private.sign(data, padding.PKCS1v15(), self.hash)
        else:
            raw = self.private.sign(data, ec.ECDSA(self.hash))
        return raw

    def digest(self, data: bytes) -> bytes:
        """The hash of data that this key signs over."""
        return hashlib.new(self.hash.name, data).digest()


@dataclass(frozen=True)
class Signer:
    """Who signs: a key, and the certificates for it; none where the verifier knows the key."""

    pair: Pair
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def der(self) -> bytes:
        """The signing certificate."""
        return self.chain[0].public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        """The certificate, or the public key of who has none, as Rekor's entries hold it."""
        return self.chain[0].public_bytes(serialization.Encoding.PEM) if self.chain else self.pair.pem

    @property
    def verifier(self) -> dict[str, Any]:
        """The same as Rekor 2's entries hold it."""
        if self.chain:
            return {"keyDetails": self.pair.details, "x509Certificate": {"rawBytes": b64(self.der)}}
        return {"keyDetails": self.pair.details, "publicKey": {"rawBytes": b64(self.pair.spki)}}


@dataclass(frozen=True)
class Signed:
    """A signature over ``data``: the bytes, or the encoding of what an envelope holds, which is ``payload``."""

    signer: Signer
    signature: bytes
    data: bytes
    payload: bytes | None = None

    @classmethod
    def message(cls, signer: Signer, data: bytes) -> Signed:
        """A signature over bytes."""
        return cls(signer, signer.pair.sign(data), data)

    @classmethod
    def statement(cls, signer: Signer, payload: bytes, kind: str = "application/vnd.in-toto+json") -> Signed:
        """A signature over a statement in a DSSE envelope."""
        data = f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload
        return cls(signer, signer.pair.sign(data), data, payload)

    @property
    def hash_name(self) -> str:
        """Such as ``sha256``."""
        return self.signer.pair.hash.name

    @property
    def content(self) -> dict[str, Any]:
        """The field of a bundle that holds it."""
        if self.payload is None:
            digest = {"algorithm": f"SHA2_{self.hash_name[3:]}", "digest": b64(self.signer.pair.digest(self.data))}
            return {"messageSignature": {"messageDigest": digest, "signature": b64(self.signature)}}
        return {
            "dsseEnvelope": {
                "payload": b64(self.payload),
                "payloadType": "application/vnd.in-toto+json",
                "signatures": [{"sig": b64(self.signature)}],
            }
        }

    def body(self, kind: str, version: str) -> bytes:
        """The canonical body of a log entry about it: ``hashedrekord``, ``dsse`` (0.0.1, 0.0.2) or ``intoto`` 0.0.2."""
        return strictjson.canonical({"kind": kind, "apiVersion": version, "spec": getattr(self, f"_{kind}_{version[-1]}")()})

    def _hashedrekord_1(self) -> dict[str, Any]:
        return {
            "signature": {"content": b64(self.signature), "publicKey": {"content": b64(self.signer.pem)}},
            "data": {"hash": {"algorithm": self.hash_name, "value": self.signer.pair.digest(self.data).hex()}},
        }

    def _hashedrekord_2(self) -> dict[str, Any]:
        digest = {"algorithm": f"SHA2_{self.hash_name[3:]}", "digest": b64(self.signer.pair.digest(self.data))}
        return {
            "hashedRekordV002": {"data": digest, "signature": {"content": b64(self.signature), "verifier": self.signer.verifier}}
        }

    def _dsse_1(self) -> dict[str, Any]:
        payload = self.payload or b""
        return {
            "envelopeHash": {"algorithm": "sha256", "value": hashlib.sha256(b"an envelope" + payload).hexdigest()},
            "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
            "signatures": [{"signature": b64(self.signature), "verifier": b64(self.signer.pem)}],
        }

    def _dsse_2(self) -> dict[str, Any]:
        digest = {"algorithm": "SHA2_256", "digest": b64(hashlib.sha256(self.payload or b"").digest())}
        signatures = [{"content": b64(self.signature), "verifier": self.signer.verifier}]
        return {"dsseV002": {"payloadHash": digest, "signatures": signatures}}

    def _intoto_2(self) -> dict[str, Any]:
        payload = self.payload or b""
        signature = {"publicKey": b64(self.signer.pem), "sig": b64(b64(self.signature).encode())}
        return {
            "content": {
                "envelope": {"payloadType": "application/vnd.in-toto+json", "signatures": [signature]},
                "hash": {"algorithm": "sha256", "value": hashlib.sha256(b"an envelope" + payload).hexdigest()},
                "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
            }
        }
