"""The keys of sites: a content key is wrapped for the public one and unwrapped with the private one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from airgap.cipher.content import ContentKey, derive
from airgap.cipher.forms import NONCE_SIZE, Wrapped
from airgap.errors import Refused, UsageError

_RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)


class SiteKey:
    """The public key of a site that can read encrypted bundles."""

    def __init__(self, key: X25519PublicKey) -> None:
        self._raw = key.public_bytes_raw()
        self._key = key
        self.key_id = _key_id(key)

    @classmethod
    def load(cls, pem: bytes, where: str) -> SiteKey:
        """From SPKI PEM. Raises ``UsageError``."""
        try:
            key = serialization.load_pem_public_key(pem)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise _no_key("not a public key", where) from error
        if not isinstance(key, X25519PublicKey):
            raise _no_key("not an encryption key", where)
        return cls(key)

    def wrap(self, key: ContentKey) -> Wrapped:
        """The content key, for this site only. Raises ``UsageError`` for an invalid key."""
        own = X25519PrivateKey.generate()
        ephemeral = own.public_key().public_bytes_raw()
        try:
            shared = own.exchange(self._key)
        except ValueError as error:
            raise _no_key("the public key yields no shared secret", self.key_id) from error
        return Wrapped(self.key_id, ephemeral, _kek(shared, ephemeral, self._raw).encrypt(bytes(NONCE_SIZE), key.secret, None))


class SiteSecret:
    """The private key of a site."""

    def __init__(self, key: X25519PrivateKey) -> None:
        self._key = key
        self._raw = key.public_key().public_bytes_raw()
        self.key_id = _key_id(key.public_key())

    @classmethod
    def load(cls, pem: bytes, passphrase: Callable[[], bytes | None], where: str) -> SiteSecret:
        """From PKCS #8 PEM; ``passphrase`` is called when it is encrypted. Raises ``UsageError``."""
        secret = passphrase() if b"ENCRYPTED" in pem else None
        if b"ENCRYPTED" in pem and not secret:
            hint = "set AIRGAP_KEY_PASSPHRASE, use --passphrase-file, or run on a terminal"
            raise UsageError("the key is encrypted and no passphrase was given", where=where, hint=hint)
        try:
            key = serialization.load_pem_private_key(pem, secret)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise _no_key("wrong passphrase, or not a private key" if secret else "not a private key", where) from error
        if not isinstance(key, X25519PrivateKey):
            raise _no_key("not a decryption key", where)
        return cls(key)

    def unwrap(self, wrapped: Wrapped) -> ContentKey:
        """The content key. Raises ``Refused`` when it is not for this key after all."""
        try:
            shared = self._key.exchange(X25519PublicKey.from_public_bytes(wrapped.ephemeral))
            secret = _kek(shared, wrapped.ephemeral, self._raw).decrypt(bytes(NONCE_SIZE), wrapped.secret, None)
        except (ValueError, InvalidTag) as error:
            raise Refused("the bundle's content key is not encrypted to this key", got=self.key_id) from error
        return ContentKey(secret)


def generate(passphrase: bytes | None) -> tuple[bytes, bytes, str]:
    """A new key pair of a site: private key (PKCS #8 PEM), public key (SPKI PEM), and its id."""
    key = X25519PrivateKey.generate()
    encryption = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private, public, _key_id(key.public_key())


def _kek(shared: bytes, ephemeral: bytes, recipient: bytes) -> AESGCM:
    return AESGCM(derive(shared, b"airgap content key", ephemeral + recipient))


def _key_id(key: X25519PublicKey) -> str:
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()[:16]


def _no_key(what: str, where: str) -> UsageError:
    expected = "a PEM file with an X25519 key, as made by `airgap keys generate --type x25519`"
    return UsageError(what, where=where, expected=expected)
