"""Which hash each kind of key signs over: in Sigstore bundles the curve says it, in classic cosign signatures it is SHA-256."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from airgap.oci.reference import Reference
from airgap.trust.judge.images import ImageJudge
from airgap.trust.keys import evidence as ev
from airgap.trust.policy.document import parse_policy
from tests.support import signing

MANIFEST = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}'
IMAGE = "vendor.example/shop/web:1.0"
SHA256, SHA384, SHA512 = hashes.SHA256(), hashes.SHA384(), hashes.SHA512()
PRIVATE: dict[str, Any] = {
    "P-256": ec.generate_private_key(ec.SECP256R1()),
    "P-384": ec.generate_private_key(ec.SECP384R1()),
    "P-521": ec.generate_private_key(ec.SECP521R1()),
    "RSA": rsa.generate_private_key(65537, 3072),
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
}
SIGN: dict[str, Callable[[Any, bytes, Any], bytes]] = {
    "RSA": lambda key, data, algorithm: key.sign(data, padding.PKCS1v15(), algorithm),
    "RSA-PSS": lambda key, data, algorithm: key.sign(data, padding.PSS(padding.MGF1(algorithm), 32), algorithm),
    "Ed25519": lambda key, data, _: key.sign(data),
}


class HashedKey(signing.Key):
    """A key that signs over a hash of the test's choice."""

    def __init__(self, kind: str, algorithm: hashes.HashAlgorithm) -> None:
        self.private = PRIVATE[kind.partition("-PSS")[0]]
        self.pem = self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self._kind, self._algorithm = kind, algorithm

    def sign(self, data: bytes) -> bytes:
        """A raw signature."""
        made: Callable[[Any, bytes, Any], bytes] = SIGN.get(self._kind, lambda key, data, one: key.sign(data, ec.ECDSA(one)))
        return made(self.private, data, self._algorithm)


def accepted(key: HashedKey, evidence: ev.Evidence) -> bool:
    wanted = {"type": "sigstoreSigned", "keyData": base64.b64encode(key.pem).decode()}
    raw = json.dumps({"default": [{"type": "reject"}], "transports": {"docker": {"": [wanted]}}}).encode()
    with ImageJudge(parse_policy(raw), now=signing.NOW) as judge:
        return judge.judge(Reference.parse(IMAGE), evidence).accepted


@pytest.mark.parametrize(
    ("kind", "algorithm", "in_bundle", "in_tag"),
    [
        ("P-256", SHA256, True, True),
        ("P-256", SHA384, False, False),
        ("P-256", SHA512, False, False),
        ("P-384", SHA256, True, True),
        ("P-384", SHA384, True, False),
        ("P-384", SHA512, False, False),
        ("P-521", SHA256, True, True),
        ("P-521", SHA384, False, False),
        ("P-521", SHA512, True, False),
        ("RSA", SHA256, True, True),
        ("RSA", SHA384, False, False),
        ("RSA", SHA512, False, False),
        ("RSA-PSS", SHA256, False, False),
        ("Ed25519", SHA512, True, True),
    ],
)
def test_hash_goes_by_key_and_form(kind: str, algorithm: hashes.HashAlgorithm, in_bundle: bool, in_tag: bool) -> None:
    key = HashedKey(kind, algorithm)
    bundle = ev.SigstoreBundle(json.dumps(signing.bundle_document(key, MANIFEST, IMAGE)).encode(), "bundle")
    assert accepted(key, ev.Evidence.of(MANIFEST, bundles=[bundle])) is in_bundle
    classic = signing.cosign(key, signing.cosign_payload(MANIFEST, IMAGE))
    assert accepted(key, ev.Evidence.of(MANIFEST, sigstore=[classic])) is in_tag
    assert accepted(key, ev.Evidence.of(MANIFEST, referred=[classic])) is in_tag


@pytest.mark.parametrize(("kind", "algorithm"), [("P-384", SHA384), ("P-521", SHA512)])
def test_larger_hash_of_other_bytes_does_not_count(kind: str, algorithm: hashes.HashAlgorithm) -> None:
    key = HashedKey(kind, algorithm)
    document = signing.bundle_document(key, MANIFEST, IMAGE)
    document["dsseEnvelope"]["payload"] = base64.b64encode(base64.b64decode(document["dsseEnvelope"]["payload"]) + b" ").decode()
    assert not accepted(key, ev.Evidence.of(MANIFEST, bundles=[ev.SigstoreBundle(json.dumps(document).encode(), "bundle")]))
