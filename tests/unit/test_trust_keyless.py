"""Signatures that were logged, and signers with certificates: Rekor, Fulcio and PKI."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from airgap.errors import Refused
from airgap.oci.reference import Reference
from airgap.trust.judge.images import ImageJudge, ImageVerdict
from airgap.trust.keys import evidence as ev
from airgap.trust.policy.document import Policy, parse_policy
from tests.support import signing

MANIFEST = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}'
NAME = "docker.io/testing/manifest"


def no_files(path: str) -> bytes:
    raise Refused("these policies hold their keys themselves", where=path)


def policy(*requirements: dict[str, Any]) -> Policy:
    return parse_policy(json.dumps({"default": [{"type": "reject"}], "transports": {"docker": {"": list(requirements)}}}).encode())


def judged(wanted: Policy, reference: str, evidence: ev.Evidence) -> ImageVerdict:
    with ImageJudge(wanted, no_files, now=signing.NOW) as judge:
        return judge.judge(Reference.parse(reference), evidence)


def cosigned(*found: ev.SigstoreSignature) -> ev.Evidence:
    return ev.Evidence.of(MANIFEST, sigstore=found)


@pytest.fixture(scope="module")
def key() -> signing.Key:
    return signing.Key()


@pytest.fixture(scope="module")
def log() -> signing.Key:
    return signing.Key()


def data(key: signing.Key) -> str:
    return base64.b64encode(key.pem).decode()


def by_key(*found: signing.Key, **fields: Any) -> dict[str, Any]:
    return {"type": "sigstoreSigned", "keyDatas": [data(key) for key in found], **fields}


# Rekor


def logged(key: signing.Key, log: signing.Key, **changes: Any) -> ev.SigstoreSignature:
    text = signing.cosign_payload(MANIFEST, f"{NAME}:latest")
    signer = signing.Key() if changes.get("pem") else key
    entry = signing.rekor_entry(changes.get("signature", key.sign(text)), signer.pem, changes.get("payload", text))
    entry |= changes.get("entry", {})
    return signing.cosign(key, text, bundle=signing.rekor_promise(log, entry, **changes.get("content", {})))


def test_85_logged_signature_is_accepted_with_the_right_log_and_key(key: signing.Key, log: signing.Key) -> None:
    other = signing.Key()
    found = cosigned(logged(key, log))
    assert judged(policy(by_key(other, key, rekorPublicKeyData=data(log))), NAME, found).accepted
    assert judged(policy(by_key(key, rekorPublicKeyDatas=[data(other), data(log)])), NAME, found).accepted
    assert not judged(policy(by_key(key, rekorPublicKeyData=data(other))), NAME, found).accepted
    without = cosigned(signing.cosign(key, signing.cosign_payload(MANIFEST, f"{NAME}:latest")))
    assert not judged(policy(by_key(key, rekorPublicKeyData=data(log))), NAME, without).accepted


@pytest.mark.parametrize(
    "changes",
    [
        {"signature": b"another"},
        {"pem": "another"},
        {"payload": b"another"},
        {"entry": {"kind": "intoto"}},
        {"entry": {"apiVersion": "0.0.2"}},
        {"entry": {"extra": 1}},
        {"content": {"extra": 1}},
        {"content": {"logIndex": -1}},
        {"content": {"integratedTime": "1"}},
        {"content": {"logID": "not hex"}},
        {"content": {"body": "e30="}},
    ],
    ids=[
        "signature", "key", "payload", "kind", "version", "field-in-entry", "field-in-promise",
        "negative-index", "time-is-text", "log-id", "body",
    ],
)  # fmt: skip
def test_log_entry_about_something_else_does_not_vouch_for_this_signature(key, log, changes) -> None:
    assert not judged(policy(by_key(key, rekorPublicKeyData=data(log))), NAME, cosigned(logged(key, log, **changes))).accepted


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "junk", '{"SignedEntryTimestamp":"","Payload":null}', '{"SignedEntryTimestamp":"AAAA","Payload":{}}']
)
def test_malformed_promise_is_refused(key, log, text) -> None:
    found = cosigned(signing.cosign(key, signing.cosign_payload(MANIFEST, f"{NAME}:latest"), bundle=text))
    assert not judged(policy(by_key(key, rekorPublicKeyData=data(log))), NAME, found).accepted


# Fulcio and PKI

EMAIL, OIDC = "dev@vendor.example", "https://login.vendor.example"


@pytest.fixture(scope="module")
def root() -> signing.Authority:
    return signing.authority("root")


def keyless(certificate: signing.Authority, log: signing.Key, chain: bytes = b"", when=signing.NOW) -> ev.Evidence:
    text = signing.cosign_payload(MANIFEST, f"{NAME}:latest")
    entry = signing.rekor_entry(certificate.key.sign(text), certificate.pem, text)
    bundle = signing.rekor_promise(log, entry, when)
    return cosigned(
        signing.cosign(certificate.key, text, bundle=bundle, certificate=certificate.pem.decode(), chain=chain.decode())
    )


def fulcio(root: signing.Authority, log: signing.Key, **fields: str) -> Policy:
    rule = {"caData": base64.b64encode(root.pem).decode(), "oidcIssuer": OIDC, "subjectEmail": EMAIL, **fields}
    return policy({"type": "sigstoreSigned", "fulcio": rule, "rekorPublicKeyData": data(log)})


def test_86_keyless_signature_is_accepted_at_the_time_it_was_logged(root, log) -> None:
    past = signing.NOW - timedelta(days=100)
    certificate = signing.leaf(root, EMAIL, OIDC, when=past)
    assert judged(fulcio(root, log), NAME, keyless(certificate, log, when=past)).accepted
    assert not judged(fulcio(root, log), NAME, keyless(certificate, log)).accepted, "logged when the certificate had expired"


def test_86_keyless_chain_may_come_with_the_signature_but_not_the_root(root, log) -> None:
    middle = signing.authority("middle", root)
    certificate = signing.leaf(middle, EMAIL, OIDC)
    assert judged(fulcio(root, log), NAME, keyless(certificate, log, middle.pem + root.pem)).accepted
    last = judged(fulcio(root, log), NAME, keyless(certificate, log, middle.pem))
    assert not last.accepted, "podman and skopeo take the last certificate of a chain for its root and leave it out"
    assert not judged(fulcio(root, log), NAME, keyless(certificate, log)).accepted
    stranger = signing.authority("root")
    assert not judged(fulcio(stranger, log), NAME, keyless(certificate, log, middle.pem + root.pem)).accepted


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({"subjectEmail": "other@vendor.example"}, {}),
        ({"oidcIssuer": "https://other.example"}, {}),
        ({}, {"second_issuer": "https://other.example"}),
        ({}, {"issuer": ""}),
        ({}, {"use": ExtendedKeyUsageOID.SERVER_AUTH}),
        ({}, {"critical": True}),
    ],
    ids=["email", "issuer", "issuers-disagree", "no-issuer", "not-for-code-signing", "unknown-critical-extension"],
)
def test_86_keyless_certificate_that_does_not_fit_is_refused(root, log, fields, options) -> None:
    certificate = signing.leaf(root, EMAIL, **{"issuer": OIDC, **options})
    assert not judged(fulcio(root, log, **fields), NAME, keyless(certificate, log)).accepted


def test_86_keyless_signature_needs_certificate_and_log(root, log) -> None:
    certificate = signing.leaf(root, EMAIL, OIDC)
    whole = keyless(certificate, log).sigstore[0]
    for missing in (ev.CERTIFICATE, ev.BUNDLE, ev.SIGNATURE):
        rest = {name: text for name, text in whole.annotations.items() if name != missing}
        assert not judged(fulcio(root, log), NAME, cosigned(ev.SigstoreSignature(whole.payload, rest, "s"))).accepted
    other = signing.leaf(root, EMAIL, OIDC)
    swapped = {**whole.annotations, ev.CERTIFICATE: other.pem.decode()}
    assert not judged(fulcio(root, log), NAME, cosigned(ev.SigstoreSignature(whole.payload, swapped, "s"))).accepted


@pytest.mark.parametrize(
    ("parent", "middle"),
    [
        ({"path_length": 0}, {}),
        ({"end": signing.NOW - timedelta(days=1)}, {}),
        ({}, {"ca": False}),
        ({}, {"end": signing.NOW - timedelta(days=1)}),
    ],
    ids=["path-too-long", "root-expired", "not-an-authority", "intermediate-expired"],
)
def test_86_chain_that_does_not_hold_is_refused(log, parent, middle) -> None:
    root = signing.authority("root", **parent)
    between = signing.authority("middle", root, **middle)
    found = keyless(signing.leaf(between, EMAIL, OIDC), log, between.pem + root.pem)
    assert not judged(fulcio(root, log), NAME, found).accepted


def by_pki(root: signing.Authority, **fields: str) -> Policy:
    rule = {"caRootsData": base64.b64encode(root.pem).decode(), **fields}
    return policy({"type": "sigstoreSigned", "pki": rule})


def certified(certificate: signing.Authority, chain: bytes = b"") -> ev.Evidence:
    text = signing.cosign_payload(MANIFEST, f"{NAME}:latest")
    return cosigned(signing.cosign(certificate.key, text, certificate=certificate.pem.decode(), chain=chain.decode()))


def test_86_certificates_of_the_sites_own_authority(root) -> None:
    found = certified(signing.leaf(root, EMAIL, host="build.vendor.example"))
    assert judged(by_pki(root, subjectEmail=EMAIL), NAME, found).accepted
    assert judged(by_pki(root, subjectHostname="Build.vendor.example"), NAME, found).accepted
    assert judged(by_pki(root, subjectEmail=EMAIL, subjectHostname="build.vendor.example"), NAME, found).accepted
    for fields in ({"subjectEmail": "x@y"}, {"subjectHostname": "vendor.example"}, {"subjectEmail": EMAIL, "subjectHostname": "x"}):
        assert not judged(by_pki(root, **fields), NAME, found).accepted
    late = certified(signing.leaf(root, EMAIL, when=signing.NOW - timedelta(days=1)))
    assert not judged(by_pki(root, subjectEmail=EMAIL), NAME, late).accepted, "a certificate of one's own CA must be valid now"


def test_86_pki_intermediates_may_be_trusted_or_carried(root) -> None:
    middle = signing.authority("middle", root)
    certificate = signing.leaf(middle, EMAIL, host="*.vendor.example")
    trusted = {"caIntermediatesData": base64.b64encode(middle.pem).decode()}
    assert judged(by_pki(root, subjectEmail=EMAIL, **trusted), NAME, certified(certificate)).accepted
    assert judged(by_pki(root, subjectEmail=EMAIL), NAME, certified(certificate, middle.pem + root.pem)).accepted
    assert not judged(by_pki(root, subjectEmail=EMAIL), NAME, certified(certificate, middle.pem)).accepted
    assert not judged(by_pki(root, subjectEmail=EMAIL), NAME, certified(certificate)).accepted
    for host, accepted in (
        ("a.vendor.example", True),
        ("a.b.vendor.example", False),
        ("vendor.example", False),
        (".vendor.example", False),
    ):
        assert judged(by_pki(root, subjectHostname=host), NAME, certified(certificate, middle.pem + root.pem)).accepted is accepted


def test_endless_loops_of_intermediates_end(root, log) -> None:
    ring = [signing.authority("loop") for _ in range(8)]
    certificate = signing.leaf(ring[0], EMAIL)
    assert not judged(by_pki(root, subjectEmail=EMAIL), NAME, certified(certificate, b"".join(one.pem for one in ring))).accepted
