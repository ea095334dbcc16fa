"""Encrypted bundles, and a reader of them that knows nothing but docs/format.md."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from airgap.cipher import sites
from airgap.cipher.sites import SiteKey

_PIECE = 1 << 20


@dataclass(frozen=True)
class Reader:
    """A site that reads encrypted bundles."""

    private: Path
    public: Path

    @classmethod
    def make(cls, directory: Path) -> Reader:
        """With a new key pair."""
        directory.mkdir(parents=True)
        private, public, _ = sites.generate(None)
        (directory / "site.key").write_bytes(private)
        (directory / "site.pub").write_bytes(public)
        return cls(directory / "site.key", directory / "site.pub")

    @property
    def site(self) -> SiteKey:
        """What the sender needs."""
        return SiteKey.load(self.public.read_bytes(), "site.pub")


def decrypt(bundle: Path, private: Path, out: Path) -> dict[str, Any]:
    """Write the plain volumes into ``out`` as docs/format.md says; the catalog."""
    outer = json.loads((bundle / "catalog.json").read_bytes())
    secret = serialization.load_pem_private_key(private.read_bytes(), None)
    assert isinstance(secret, X25519PrivateKey)
    content = next(found for one in outer["recipients"] if (found := _unwrap(one, secret)) is not None)
    sealed, tags = (
        _unseal(_hkdf(content, None, b"airgap catalog"), outer[name], f"airgap.sealed/1 {name}") for name in ("catalog", "tags")
    )
    left = iter(tags[at : at + 16] for at in range(0, len(tags), 16))
    for number, volume in enumerate(outer["volumes"], 1):
        raw = (bundle / volume["name"]).read_bytes()
        plain = b"".join(_pieces(_hkdf(content, None, b"airgap volumes"), number, raw, left))
        (out / volume["name"]).write_bytes(plain)
    assert next(left, None) is None
    catalog: dict[str, Any] = json.loads(sealed)
    return catalog


def _pieces(key: bytes, number: int, raw: bytes, tags: Iterator[bytes]) -> Iterator[bytes]:
    for piece, at in enumerate(range(0, len(raw), _PIECE)):
        nonce = number.to_bytes(4, "big") + piece.to_bytes(8, "big")
        yield AESGCM(key).decrypt(nonce, raw[at : at + _PIECE] + next(tags), None)


def _unwrap(recipient: dict[str, str], secret: X25519PrivateKey) -> bytes | None:
    own = secret.public_key()
    der = own.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(der)
    if digest.finalize().hex()[:16] != recipient["key"]:
        return None
    ephemeral = base64.b64decode(recipient["ephemeral"])
    shared = secret.exchange(X25519PublicKey.from_public_bytes(ephemeral))
    raw = own.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    key = _hkdf(shared, ephemeral + raw, b"airgap content key")
    return AESGCM(key).decrypt(bytes(12), base64.b64decode(recipient["secret"]), None)


def _unseal(key: bytes, text: str, context: str) -> bytes:
    raw = base64.b64decode(text)
    return AESGCM(key).decrypt(raw[:12], raw[12:], context.encode())


def _hkdf(secret: bytes, salt: bytes | None, purpose: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt, purpose).derive(secret)
