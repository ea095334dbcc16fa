"""Which hash each kind of key signs over: in Sigstore bundles the curve says it, in classic cosign signatures it is SHA-256."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives import hashes

from airgap.oci.reference import Reference
from airgap.trust.judge.images import ImageJudge
from airgap.trust.keys import evidence as ev
from airgap.trust.policy.document import parse_policy
from tests.support import signing
from tests.support.signing import HashedKey

MANIFEST = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}'
IMAGE = "vendor.example/shop/web:1.0"
SHA256, SHA384, SHA512 = hashes.SHA256(), hashes.SHA384(), hashes.SHA512()


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
