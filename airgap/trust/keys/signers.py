"""Private keys: making a pair, and signing with key files or with gpg."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from airgap import fsio
from airgap.errors import UsageError
from airgap.limits import MAX_KEY
from airgap.text import printable
from airgap.trust.keys import cosignkey, gpg
from airgap.trust.keys.signatures import PublicKey, public_key

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
#: Called for a passphrase only when a key is encrypted; None if none is available.
Passphrase: TypeAlias = Callable[[], bytes | None]

_GPG = "gpg:"


class Signer(Protocol):
    """Makes detached signatures over a catalog."""

    @property
    def key_id(self) -> str:
        """16 lower-case hex digits: what the signature file is named after."""

    @property
    def file_suffix(self) -> str:
        """``sig`` or ``asc``."""

    def describe(self) -> str:
        """The key for a person."""

    def sign(self, data: bytes) -> bytes:
        """The content of the signature file over ``data``."""


@dataclass(frozen=True)
class KeyPair:
    """A new key: PKCS #8 PEM, as openssl reads it, or cosign's own form; and SPKI PEM, which both read."""

    private_pem: bytes
    public_pem: bytes


def generate(kind: Literal["ecdsa", "ed25519"], passphrase: bytes | None, *, for_cosign: bool = False) -> KeyPair:
    """Make a key pair: ECDSA on P-256 or Ed25519.

    Args:
        passphrase: encrypts the private key; None or empty leaves it plain.
        for_cosign: write the private key as cosign does, which reads no other form. Without a passphrase, its form is encrypted
            with the empty one.
    """
    key: PrivateKey = ec.generate_private_key(ec.SECP256R1()) if kind == "ecdsa" else ed25519.Ed25519PrivateKey.generate()
    if for_cosign:
        der = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return KeyPair(cosignkey.write_cosign_key(der, passphrase or b""), public_key(key.public_key()).pem)
    encryption = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    return KeyPair(private, public_key(key.public_key()).pem)


def public_half(private_pem: bytes, passphrase: bytes | None) -> bytes:
    """The public key of a private one that :func:`generate` (or its counterpart for sites) made, SPKI PEM.

    Raises:
        UsageError: not a private key in PKCS #8 PEM or of cosign, or another passphrase.
    """
    try:
        if cosignkey.is_cosign_key(private_pem):
            key = serialization.load_der_private_key(cosignkey.open_cosign_key(private_pem, passphrase or b""), None)
        else:
            key = serialization.load_pem_private_key(private_pem, passphrase or None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UsageError("not a private key with this passphrase") from error
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def load_signer(spec: str, passphrase: Passphrase) -> Signer:
    """Take what ``--key`` names: a private key file or ``gpg:FINGERPRINT``.

    Args:
        spec: a path to PKCS #8, SEC 1 or PKCS #1 PEM, or to a private key of cosign; or ``gpg:`` and a full fingerprint.
        passphrase: called when the key file is encrypted.

    Raises:
        UsageError: no such key, not a private key, wrong passphrase, or a kind that is not accepted.
    """
    if spec.startswith(_GPG):
        return gpg.GpgSigner.find(spec.removeprefix(_GPG))
    pem = fsio.read_input(Path(spec), MAX_KEY, "key file")
    return KeySigner.load(pem, passphrase, printable(spec))


class KeySigner:
    """Signs with a key from a file. The same key and data always give the same signature."""

    file_suffix = "sig"

    def __init__(self, key: PrivateKey, name: str) -> None:
        self._key = key
        self._name = name
        self.public: PublicKey = public_key(key.public_key())

    @classmethod
    def load(cls, pem: bytes, passphrase: Passphrase, name: str) -> KeySigner:
        """Read a private key from the content of a file called ``name``."""
        try:
            return cls(_load_private(pem, passphrase), name)
        except UsageError as error:
            error.where = error.where or name
            raise

    @property
    def key_id(self) -> str:
        """The first 16 hex digits of the SHA-256 of the public key."""
        return self.public.id

    def describe(self) -> str:
        """The key for a person: kind, id and file."""
        return f"{self.public.kind} key {self.key_id} ({self._name})"

    def sign(self, data: bytes) -> bytes:
        """The signature in base64, as ``cosign sign-blob`` writes it."""
        return base64.b64encode(self.sign_raw(data))

    def sign_raw(self, data: bytes) -> bytes:
        """The signature's own bytes."""
        if isinstance(self._key, ed25519.Ed25519PrivateKey):
            return self._key.sign(data)
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        try:
            # RFC 6979: exporting the same lock again must give the same bytes.
            return self._key.sign(data, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        except UnsupportedAlgorithm:
            return self._key.sign(data, ec.ECDSA(hashes.SHA256()))


def _load_private(pem: bytes, passphrase: Passphrase) -> PrivateKey:
    if cosignkey.is_cosign_key(pem):
        secret = passphrase() or b""  # cosign encrypts with an empty passphrase, too
        key = _parsed(lambda: serialization.load_der_private_key(cosignkey.open_cosign_key(pem, secret), None))
    elif b"ENCRYPTED" in pem:
        secret = _ask(passphrase)
        key = _parsed(lambda: serialization.load_pem_private_key(pem, secret), "wrong passphrase, or not a private key")
    else:
        key = _parsed(lambda: serialization.load_pem_private_key(pem, None))
    if not isinstance(key, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey):
        raise UsageError("unsupported key type", expected="ECDSA, Ed25519 or RSA", got=type(key).__name__)
    return key


def _parsed(load: Callable[[], object], failure: str = "not a private key") -> object:
    try:
        return load()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UsageError(failure, expected="a PEM file with an ECDSA, Ed25519 or RSA private key") from error


def _ask(passphrase: Passphrase) -> bytes:
    secret = passphrase()
    if not secret:
        raise UsageError(
            "the key is encrypted and no passphrase was given",
            hint="set AIRGAP_KEY_PASSPHRASE, use --passphrase-file, or run on a terminal",
        )
    return secret
