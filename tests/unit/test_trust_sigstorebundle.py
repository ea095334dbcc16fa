"""Cosign 3 bundles as evidence: what a key-signed bundle vouches for, and everything that makes one count as nothing."""

from __future__ import annotations

import base64
import json
from typing import Any, Literal

import pytest

from airgap.errors import Refused
from airgap.limits import MAX_SIGNATURE_BLOB, MAX_SIGNATURES
from airgap.oci.digest import Digest
from airgap.oci.reference import Reference
from airgap.trust.judge.images import ImageJudge, ImageVerdict
from airgap.trust.judge.sigstorebundle import read_statement
from airgap.trust.keys import evidence as ev
from airgap.trust.policy.document import parse_policy
from airgap.trust.policy.unnamed import UnnamedSignatures
from airgap.trust.sigstore.bundle import MEDIA_TYPES, pae, read_bundle
from tests.support import signing

MANIFEST = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}'
IMAGE = "vendor.example/shop/web:1.0"
KEY, OTHER = signing.Key(), signing.Key()
REPOSITORY = {"type": "matchRepository"}
EVERYWHERE = ("=true",)


def bundle(key: signing.Key = KEY, name: str | None = IMAGE, *, drop: str = "", **changes: Any) -> ev.SigstoreBundle:
    """A bundle for ``MANIFEST``; changes to the statement are signed, changes to the bundle's top are not."""
    statement = changes.get("statement", {})
    document = signing.bundle_document(key, changes.get("manifest", MANIFEST), name, **statement) | changes.get("top", {})
    document.pop(drop, None)
    return ev.SigstoreBundle(json.dumps(document).encode(), "bundle")


def envelope(**changes: Any) -> ev.SigstoreBundle:
    """A good bundle whose envelope was changed after it was signed."""
    found = signing.bundle_document(KEY, MANIFEST, IMAGE)
    return ev.SigstoreBundle(json.dumps(found | {"dsseEnvelope": found["dsseEnvelope"] | changes}).encode(), "bundle")


def judged(
    *bundles: ev.SigstoreBundle,
    key: signing.Key = KEY,
    unnamed: tuple[str, ...] = (),
    sigstore: tuple[ev.SigstoreSignature, ...] = (),
    image: str = IMAGE,
    **fields: Any,
) -> ImageVerdict:
    wanted = {"type": "sigstoreSigned", "keyData": base64.b64encode(key.pem).decode(), **fields}
    if "fulcio" in fields or "pki" in fields:
        del wanted["keyData"]
    policy = {"default": [{"type": "reject"}], "transports": {"docker": {"": [wanted]}}}
    with ImageJudge(parse_policy(json.dumps(policy).encode()), now=signing.NOW, unnamed=UnnamedSignatures.parse(unnamed)) as judge:
        return judge.judge(Reference.parse(image), ev.Evidence.of(MANIFEST, (), sigstore, bundles))


def test_pae_is_that_of_the_dsse_specification() -> None:
    assert pae("http://example.com/HelloWorld", b"hello world") == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert pae("é", b"") == "DSSEv1 2 é 0 ".encode()


@pytest.mark.parametrize("kind", ["ecdsa", "ed25519"])
def test_good_bundle_vouches_and_the_decision_names_bundle_and_key(kind: Literal["ecdsa", "ed25519"]) -> None:
    key = signing.Key(kind)
    verdict = judged(bundle(key), key=key)
    assert verdict.accepted
    assert (verdict.decisions[0].signature, verdict.decisions[0].key.split()[-1]) == ("bundle", key.id)
    assert "names no image" not in verdict.reason


@pytest.mark.parametrize(
    "good",
    [
        bundle(top={"mediaType": MEDIA_TYPES[1]}),
        bundle(top={"mediaType": MEDIA_TYPES[2]}),
        bundle(top={"mediaType": MEDIA_TYPES[3], "verificationMaterial": {"x509CertificateChain": {}}}),
        bundle(top={"verificationMaterial": {"certificate": {"rawBytes": "AAAA"}, "tlogEntries": [{"logIndex": "7"}]}}),
        bundle(statement={"_type": "https://in-toto.io/Statement/v0.1"}),
        bundle(statement={"predicate": {}}),
        bundle(statement={"subject": [{"digest": {"sha256": "0" * 64}}, signing.bundle_subject(MANIFEST, IMAGE)]}),
        bundle(statement={"subject": [signing.bundle_subject(MANIFEST, n) for n in ("other.example/x:1", IMAGE)]}),
    ],
    ids=[
        "older media type",
        "version 0.2",
        "version 0.1 with a chain",
        "certificate and log entry",
        "statement v0.1",
        "predicate",
        "second subject",
        "second name",
    ],
)
def test_other_forms_of_a_good_bundle_vouch_too(good: ev.SigstoreBundle) -> None:
    assert judged(good).accepted


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (bundle(OTHER), "not made by this key"),
        (bundle(manifest=MANIFEST + b" "), "for another manifest"),
        (bundle(statement={"subject": []}), "for another manifest"),
        (bundle(statement={"subject": [{"name": IMAGE, "digest": {"sha512": "0" * 128}}]}), "for another manifest"),
        (
            bundle(statement={"subject": [{"name": IMAGE, "digest": {"sha256": Digest.of(MANIFEST).hex.upper()}}]}),
            "for another manifest",
        ),
        (envelope(payload=base64.b64encode(b'{"modified":1}').decode()), "not made by this key"),
        (envelope(payload="?"), "not base64"),
        (envelope(signatures=[{"sig": "AAAA"}]), "not made by this key"),
        (envelope(signatures=[{"sig": ""}]), "not base64"),
        (envelope(signatures=[]), "not exactly one signature"),
        (envelope(signatures=[{"sig": "AAAA"}, {"sig": "AAAA"}]), "not exactly one signature"),
        (envelope(signatures=[{"sig": "AAAA", "cert": "x"}]), "unknown field"),
        (envelope(payloadType="text/plain"), "payload has the wrong type"),
        (bundle(statement={"predicateType": "https://slsa.dev/provenance/v1"}), "not an image signature"),
        (bundle(statement={"predicatetype": "x"}), "confuse"),
        (bundle(statement={"_type": "https://example.com/other"}), "not an in-toto statement"),
        (bundle(statement={"subject": [7]}), "statement is malformed"),
        (bundle(statement={"subject": None}), "statement is malformed"),
        (bundle(statement={"subject": [{"name": 7, "digest": {"sha256": Digest.of(MANIFEST).hex}}]}), "statement is malformed"),
        (bundle(drop="dsseEnvelope", top={"messageSignature": {"signature": "AAAA"}}), "messageSignature"),
        (bundle(top={"messageSignature": {"signature": "AAAA"}}), "messageSignature"),
        (bundle(drop="dsseEnvelope"), "malformed"),
        (bundle(drop="verificationMaterial"), "malformed"),
        (bundle(top={"verificationMaterial": {}}), "publicKey and certificate"),
        (bundle(top={"verificationMaterial": {"publicKey": {"hint": 7}}}), "malformed"),
        (bundle(top={"mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.4"}), "unsupported version"),
        (bundle(top={"mediaType": "application/vnd.dev.sigstore.bundle.v0.3.1+json"}), "unsupported version"),
        (bundle(top={"extra": 1}), "unknown field"),
        (ev.SigstoreBundle(b"signature", "bundle"), "malformed"),
        (ev.SigstoreBundle(b"", "bundle"), "malformed"),
        (ev.SigstoreBundle(b"[" * 100_000, "bundle"), "malformed"),
        (ev.SigstoreBundle(b" " * (MAX_SIGNATURE_BLOB + 1), "bundle"), "too large"),
    ],
)
def test_bad_bundle_counts_as_none_and_says_why(bad: ev.SigstoreBundle, reason: str) -> None:
    verdict = judged(bad, unnamed=EVERYWHERE)
    assert not verdict.accepted
    assert reason in verdict.reason


@pytest.mark.parametrize("name", [None, ""])
def test_bundle_without_a_name_is_refused_unless_the_operator_opted_in(name: str | None) -> None:
    refused = judged(bundle(name=name))
    assert not refused.accepted
    assert "names no image, so no signedIdentity can match" in refused.reason
    for identity in (REPOSITORY, {"type": "exactRepository", "dockerRepository": "vendor.example/shop/web"}):
        assert not judged(bundle(name=name), signedIdentity=identity).accepted
    accepted = judged(bundle(name=name), unnamed=EVERYWHERE)
    assert accepted.accepted
    assert accepted.reason.endswith('names no image (unnamed-signatures "" = true)')
    assert accepted.unnamed_scopes == ("",)
    assert accepted.decisions[0].key.split()[-1] == KEY.id


@pytest.mark.parametrize(
    ("name", "identity", "accepted"),
    [
        ("vendor.example/shop/web:1.0", None, True),
        ("vendor.example/shop/web:1.1", None, False),
        ("vendor.example/shop/web:1.1", REPOSITORY, True),
        ("vendor.example/shop/web", None, False),
        ("vendor.example/shop/web", REPOSITORY, True),
        ("vendor.example/shop/web", {"type": "exactRepository", "dockerRepository": "vendor.example/shop/web"}, True),
        ("vendor.example/shop/db", REPOSITORY, False),
        ("vendor.example/shop/db:1.0", REPOSITORY, False),
        ("not a reference", REPOSITORY, False),
        ("_", REPOSITORY, False),
    ],
)
@pytest.mark.parametrize("unnamed", [(), EVERYWHERE])
def test_name_of_a_bundle_goes_through_the_identity_rules_opted_in_or_not(
    name: str, identity: dict[str, str] | None, accepted: bool, unnamed: tuple[str, ...]
) -> None:
    fields: dict[str, Any] = {"signedIdentity": identity} if identity else {}
    verdict = judged(bundle(name=name), unnamed=unnamed, **fields)
    assert verdict.accepted == accepted
    assert accepted or "names another image" in verdict.reason


@pytest.mark.parametrize(
    ("scopes", "by"),
    [
        (("vendor.example/shop/web:1.0",), "vendor.example/shop/web:1.0"),
        (("vendor.example/shop/web",), "vendor.example/shop/web"),
        (("vendor.example/shop", "vendor.example=false"), "vendor.example/shop"),
        (("vendor.example", "vendor.example/shop/db=false"), "vendor.example"),
        (("*.example",), "*.example"),
        (("vendor.example", "vendor.example/shop=false"), None),
        (("=true", "vendor.example/shop/web:1.0=false"), None),
        (("vendor.example/shop/web:1.1",), None),
        (("vendor.example/shop/we",), None),
        (("vendor.example/sho",), None),
        (("vendor.example:443",), None),
        (("*.vendor.example",), None),
        (("other.example", "=false"), None),
    ],
)
def test_scope_that_is_narrowest_decides_about_a_bundle_without_a_name(scopes: tuple[str, ...], by: str | None) -> None:
    verdict = judged(bundle(name=None), unnamed=scopes)
    assert verdict.accepted == (by is not None)
    assert verdict.decisions[0].unnamed_scope == by
    assert (f'unnamed-signatures "{by}" = true' if by else "names no image") in verdict.reason
    named = judged(bundle(), unnamed=scopes)
    assert (named.accepted, named.unnamed_scopes) == (True, ())


def test_wrong_name_beside_a_missing_one_is_refused_even_when_opted_in() -> None:
    subjects = [signing.bundle_subject(MANIFEST, name) for name in (None, "vendor.example/shop/db:1.0")]
    assert not judged(bundle(statement={"subject": subjects}), unnamed=EVERYWHERE).accepted


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"rekorPublicKeyData": base64.b64encode(OTHER.pem).decode()}, "not exactly one log entry"),
        (
            {
                "fulcio": {
                    "caData": base64.b64encode(signing.authority("root").pem).decode(),
                    "oidcIssuer": "https://issuer.example",
                    "subjectEmail": "a@example.com",
                },
                "rekorPublicKeyData": base64.b64encode(OTHER.pem).decode(),
            },
            "cannot be judged without a trusted root",
        ),
        (
            {
                "pki": {
                    "caRootsData": base64.b64encode(signing.authority("root").pem).decode(),
                    "subjectEmail": "a@example.com",
                }
            },
            "holds no certificate",
        ),
    ],
    ids=["rekor", "fulcio", "pki"],
)
def test_requirement_that_wants_more_than_a_key_is_not_satisfied_by_a_bundle_with_a_key_alone(
    fields: dict[str, Any], reason: str
) -> None:
    verdict = judged(bundle(), unnamed=EVERYWHERE, **fields)
    assert not verdict.accepted
    assert reason in verdict.reason


def test_garbage_bundles_spoil_neither_a_good_bundle_nor_a_good_signature() -> None:
    garbage = ev.SigstoreBundle(b"\xff\x00", "garbage")
    good = signing.cosign(KEY, signing.cosign_payload(MANIFEST, IMAGE))
    assert judged(garbage, bundle(OTHER), bundle(), garbage).accepted
    assert judged(garbage, sigstore=(good,)).decisions[0].signature == "sig"


def test_many_bad_signatures_do_not_keep_a_good_bundle_from_being_looked_at() -> None:
    bad = signing.cosign(OTHER, signing.cosign_payload(MANIFEST, IMAGE))
    assert judged(bundle(), sigstore=(bad,) * (MAX_SIGNATURES + 1)).accepted


def test_bundle_satisfies_no_gpg_requirement_but_is_counted() -> None:
    policy = {"default": [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/nowhere"}]}
    with ImageJudge(parse_policy(json.dumps(policy).encode())) as judge:
        assert not judge.judge(Reference.parse(IMAGE), ev.Evidence.of(MANIFEST, bundles=[bundle()])).accepted


def test_reading_gives_the_payload_and_its_subjects() -> None:
    payload = read_bundle(bundle().raw).payload
    (subject,) = read_statement(payload)
    assert (subject.sha256, subject.name) == (Digest.of(MANIFEST).hex, IMAGE)
    with pytest.raises(Refused, match="malformed"):
        read_statement(b'{"_type":1}')
