"""Raw signatures and the public keys that check them: ECDSA and RSA (PKCS #1 v1.5) over SHA-256, and pure Ed25519.

In Sigstore bundles and with ``cosign sign-blob``, ECDSA keys on larger curves sign over SHA-384 and SHA-512.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from airgap.errors import UsageError
from airgap.trust.keys.pem import read_pem
from airgap.trust.policy.fields import decode_base64

RawKey: TypeAlias = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey

_CURVES = ("secp256r1", "secp384r1", "secp521r1")
#: The hashes of ECDSA signatures by Sigstore's clients: the one that the registry of algorithms (sigstore ``protobuf-specs``,
#: ``PublicKeyDetails``) has for the curve, then the one that older clients used for every curve, deprecated there.
_BY_CURVE: dict[str, tuple[hashes.HashAlgorithm, ...]] = {
    "secp256r1": (hashes.SHA256(),),
    "secp384r1": (hashes.SHA384(), hashes.SHA256()),
    "secp521r1": (hashes.SHA512(), hashes.SHA256()),
}
_MIN_RSA_BITS = 2048
_MAX_RSA_BITS = 16384
_ID_LENGTH = 16


@dataclass(frozen=True)
class PublicKey:
    """A public key. ``fingerprint`` is the SHA-256 of its SPKI encoding in hex: the same key in any file form has the same one."""

    fingerprint: str
    key: RawKey

    @property
    def id(self) -> str:
        """The first 16 hex digits of the fingerprint: the name a key has in file names and messages."""
        return self.fingerprint[:_ID_LENGTH]

    @property
    def kind(self) -> str:
        """For people: ``ECDSA P-256``, ``Ed25519``, ``RSA 3072``."""
        if isinstance(self.key, ec.EllipticCurvePublicKey):
            return f"ECDSA P-{self.key.curve.key_size}"
        return "Ed25519" if isinstance(self.key, ed25519.Ed25519PublicKey) else f"RSA {self.key.key_size}"

    @property
    def pem(self) -> bytes:
        """The key as SPKI PEM."""
        return self.key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def public_key(key: object) -> PublicKey:
    """Take a key of the ``cryptography`` library.

    Raises:
        UsageError: of a kind or size that is not accepted.
    """
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in _CURVES:
            raise UsageError("unsupported curve", expected="P-256, P-384 or P-521", got=key.curve.name)
    elif isinstance(key, rsa.RSAPublicKey):
        if not _MIN_RSA_BITS <= key.key_size <= _MAX_RSA_BITS:
            raise UsageError("unsupported RSA key size", expected="2048 to 16384 bits", got=f"{key.key_size} bits")
    elif not isinstance(key, ed25519.Ed25519PublicKey):
        raise UsageError("unsupported key type", expected="ECDSA, Ed25519 or RSA", got=type(key).__name__)
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return PublicKey(hashlib.sha256(der).hexdigest(), key)


def load_public_key(data: bytes) -> PublicKey:
    """Read one public key from PEM or DER (SPKI; PKCS #1 for RSA).

    Raises:
        UsageError: no public key, more than one, or one of a kind that is not accepted.
    """
    count = data.count(b"-----BEGIN ")
    if count > 1:
        raise UsageError("more than one key in one file", expected="one public key per file")
    if b"PRIVATE KEY-----" in data:
        raise UsageError("a private key instead of a public key", hint="give the .pub file; keep the private key secret")
    try:
        key = serialization.load_pem_public_key(data) if count else serialization.load_der_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError("not a public key", expected="PEM or DER with an ECDSA, Ed25519 or RSA public key") from error
    return public_key(key)


def load_pem_key(data: bytes) -> PublicKey:
    """Read one public key from PEM as podman and skopeo read it: ``PUBLIC KEY`` (SPKI) or ``RSA PUBLIC KEY`` (PKCS #1).

    They take neither DER nor compressed points; a key that they cannot read would make every host refuse every image.

    Raises:
        UsageError, Refused: not exactly one such key.
    """
    key = load_public_key(data)
    if b"-----BEGIN" not in data:
        raise UsageError(
            "not PEM, the only format that podman and skopeo read",
            expected="-----BEGIN PUBLIC KEY-----",
            hint="convert it: openssl pkey -pubin -inform DER -in KEY.der -out KEY.pem",
        )
    block = read_pem(data).only("PUBLIC KEY", "RSA PUBLIC KEY")
    form = serialization.PublicFormat.PKCS1 if block.label.startswith("RSA") else serialization.PublicFormat.SubjectPublicKeyInfo
    if form is serialization.PublicFormat.PKCS1 and not isinstance(key.key, rsa.RSAPublicKey):
        raise UsageError("the PEM label does not match the key", expected="PUBLIC KEY", got=block.label)
    if key.key.public_bytes(serialization.Encoding.DER, form) != block.der:
        raise UsageError(
            "podman and skopeo do not read this key format", hint="rewrite it: openssl pkey -pubin -in KEY -out KEY.pem"
        )
    return key


def verify(key: PublicKey, data: bytes, signature: bytes) -> bool:
    """Whether ``signature`` (raw bytes: DER for ECDSA) over ``data`` was made by this key."""
    return _verified(key.key, data, signature, hashes.SHA256())


def verify_by_curve(key: PublicKey, data: bytes, signature: bytes) -> bool:
    """The same for what Sigstore's clients sign today: the curve of an ECDSA key says the hash, and no field of a bundle does."""
    raw = key.key
    if not isinstance(raw, ec.EllipticCurvePublicKey):
        return verify(key, data, signature)
    return any(_verified(raw, data, signature, algorithm) for algorithm in _BY_CURVE[raw.curve.name])


def _verified(raw: RawKey, data: bytes, signature: bytes, algorithm: hashes.HashAlgorithm) -> bool:
    try:
        if isinstance(raw, ec.EllipticCurvePublicKey):
            raw.verify(signature, data, ec.ECDSA(algorithm))
        elif isinstance(raw, ed25519.Ed25519PublicKey):
            raw.verify(signature, data)
        else:
            raw.verify(signature, data, padding.PKCS1v15(), algorithm)
    except InvalidSignature:
        return False
    return True


def decode_signature(content: bytes) -> bytes | None:
    """The signature in a file as ``cosign sign-blob`` writes it: one line of base64; None when it is anything else."""
    text = content.decode("ascii", errors="replace").strip("\r\n")
    signature = decode_base64(text) if text and "\n" not in text and "\r" not in text else None
    # The last character may have bits that nothing depends on; a file with another one there is not the file that was made.
    return signature if signature is not None and base64.b64encode(signature) == text.encode() else None
