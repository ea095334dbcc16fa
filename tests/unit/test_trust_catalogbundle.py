"""Catalogs signed with ``cosign sign-blob --bundle``: they count as a raw signature by the same key does, and never more."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes

from airgap.errors import Refused
from airgap.limits import MAX_SIGNATURE
from airgap.trust.judge.bundles import Verdict, check_catalog_signatures, judge_stream
from airgap.trust.keys.revoked import Revoked
from airgap.trust.policy.document import parse_policy
from tests.support import signing
from tests.support.signing import HashedKey

RAW = b'{"schema":"airgap.catalog/1","stream":"prod"}\n'
ALICE, BOB = signing.Key(), signing.Key("ed25519")
NAME = "catalog.json.sigstore.json"


def judge(files: dict[str, bytes], *people: signing.Key, revoked: Revoked | None = None) -> Verdict:
    wanted = [{"type": "sigstoreSigned", "keyData": base64.b64encode(one.pem).decode()} for one in people or (ALICE,)]
    policy = parse_policy(json.dumps({"default": [{"type": "reject"}], "transports": {"airgap": {"prod": wanted}}}).encode())
    found = check_catalog_signatures(RAW, files, policy, lambda path: b"", revoked or Revoked())
    return judge_stream(found, policy, "prod")


def bundle(
    key: signing.Key = ALICE, raw: bytes = RAW, *, drop: str = "", message: dict[str, Any] | None = None, **top: Any
) -> bytes:
    document = signing.blob_bundle(key, raw) | top
    document["messageSignature"] |= message or {}
    document.pop(drop, None)
    return json.dumps(document).encode()


@pytest.mark.parametrize("name", [NAME, f"catalog.json.{ALICE.id}.sigstore.json"], ids=["plain", "with the key's id"])
def test_bundle_over_the_catalog_counts_and_is_named(name: str) -> None:
    verdict = judge({name: bundle()})
    assert verdict.signers == (f"ECDSA P-256 key {ALICE.id} ({name})",)


@pytest.mark.parametrize(
    "good",
    [
        bundle(mediaType="application/vnd.dev.sigstore.bundle+json;version=0.3"),
        bundle(
            verificationMaterial={"publicKey": {"hint": "x"}, "tlogEntries": [{"logIndex": "7"}], "timestampVerificationData": {}}
        ),
        json.dumps(
            {
                "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
                "messageSignature": {"signature": base64.b64encode(ALICE.sign(RAW)).decode()},
            }
        ).encode(),
    ],
    ids=["older media type", "log entry and timestamps", "no digest and no material"],
)
def test_other_forms_count_too(good: bytes) -> None:
    assert judge({NAME: good}).signers


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (bundle(BOB), "no accepted key made it over these bytes"),
        (bundle(raw=RAW + b" "), "for other bytes"),
        (bundle(raw=RAW + b" ", message={"messageDigest": None}), "malformed"),
        (bundle(message={"signature": base64.b64encode(ALICE.sign(RAW + b" ")).decode()}), "no accepted key made it over"),
        (bundle(message={"signature": ""}), "not base64"),
        (bundle(message={"signature": "?"}), "not base64"),
        (bundle(message={"extra": 1}), "unknown field"),
        (bundle(message={"messageDigest": {"algorithm": "SHA1", "digest": "AAAA"}}), "unknown hash"),
        (bundle(message={"messageDigest": {"algorithm": "SHA2_256", "digest": "AAAA"}}), "for other bytes"),
        (bundle(extra=1), "unknown field"),
        (bundle(mediaType="application/json"), "unsupported version"),
        (bundle(drop="mediaType"), "malformed"),
        (bundle(drop="messageSignature"), "malformed"),
        (json.dumps(signing.bundle_document(ALICE, RAW, None)).encode(), "holds a statement"),
        (base64.b64encode(ALICE.sign(RAW)), "malformed"),
        (b"", "malformed"),
        (b"[" * 60_000, "malformed"),
        (b" " * (MAX_SIGNATURE + 1), "larger than"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_bundle_counts_as_none_says_why_and_spoils_nothing(bad: bytes, reason: str) -> None:
    with pytest.raises(Refused) as caught:
        judge({NAME: bad})
    assert reason in str(caught.value.got)
    good = f"catalog.json.{ALICE.id}.sig"
    verdict = judge({NAME: bad, good: base64.b64encode(ALICE.sign(RAW))})
    assert any(found.startswith(f"ignored {NAME}: ") for found in verdict.reasons)


def test_raw_signature_in_a_bundles_file_and_a_bundle_in_a_raw_ones_do_not_count() -> None:
    with pytest.raises(Refused):
        judge({f"catalog.json.{ALICE.id}.sig": bundle()})


def test_bundle_and_raw_signature_by_one_key_are_one_person() -> None:
    both = {NAME: bundle(), f"catalog.json.{ALICE.id}.sig": base64.b64encode(ALICE.sign(RAW))}
    with pytest.raises(Refused):
        judge(both, ALICE, BOB)
    assert len(judge({**both, f"catalog.json.{BOB.id}.sigstore.json": bundle(BOB)}, ALICE, BOB).signers) == 2


def test_bundle_by_a_revoked_key_does_not_count() -> None:
    with pytest.raises(Refused) as caught:
        judge({NAME: bundle()}, revoked=Revoked({ALICE.id: "lost"}))
    assert "revoked" in str(caught.value.got)


@pytest.mark.parametrize(
    ("kind", "algorithm", "stated"),
    [("P-384", hashes.SHA384(), "SHA2_384"), ("P-521", hashes.SHA512(), "SHA2_512"), ("P-384", hashes.SHA256(), "SHA2_256")],
)
def test_larger_curves_count_over_the_hash_that_cosign_takes_for_them(
    kind: str, algorithm: hashes.HashAlgorithm, stated: str
) -> None:
    key = HashedKey(kind, algorithm)
    digest = hashlib.new(stated.replace("SHA2_", "sha"), RAW).digest()
    document = signing.blob_bundle(key, RAW, digest, stated)
    assert judge({NAME: json.dumps(document).encode()}, key).signers
    assert judge({f"catalog.json.{key.id}.sig": base64.b64encode(key.sign(RAW))}, key).signers
