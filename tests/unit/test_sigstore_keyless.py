"""Keyless bundles as the policy asks for them: what CA, log, subject and trusted root must say, and what is not proved without."""

from __future__ import annotations

import base64
import contextlib
import json
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from airgap.errors import Refused
from airgap.oci.digest import Digest
from airgap.oci.reference import Reference
from airgap.trust.judge.images import ImageJudge, ImageVerdict
from airgap.trust.keys import evidence as ev
from airgap.trust.keys.certificates import read_certificate
from airgap.trust.policy.document import parse_policy
from airgap.trust.sigstore.timestamps import stamped
from airgap.trust.sigstore.trustedroot import TrustedRoot
from tests.support import signing
from tests.support.sigstoreinstance.authority import CtLog, key_usage
from tests.support.sigstoreinstance.instance import IDENTITY, ISSUER, WHEN, Instance
from tests.support.sigstoreinstance.parts import Pair, Signed, Signer, b64, stamp
from tests.support.sigstoreinstance.verdicts import pems

MANIFEST = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}'
IMAGE = "vendor.example/shop/web:1.0"
STATEMENT = json.dumps(
    {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": IMAGE, "digest": {"sha256": Digest.of(MANIFEST).hex}}],
        "predicateType": "https://sigstore.dev/cosign/sign/v1",
        "predicate": {},
    }
).encode()
ONE, OTHER = Instance(), Instance()
WORKFLOW = "https://github.com/acme/web/.github/workflows/release.yml@refs/tags/v1"


def keyless(*ca: x509.Certificate, rekor: Pair | None = None, **fields: Any) -> dict[str, Any]:
    """A requirement with fulcio; the CA is the instance's root and the log its first, unless said."""
    fulcio = {"caData": b64(pems(*ca or (ONE.fulcio.root,))), "oidcIssuer": ISSUER, "subjectEmail": IDENTITY, **fields}
    return {"type": "sigstoreSigned", "fulcio": fulcio, "rekorPublicKeyData": b64((rekor or ONE.rekor1.pair).pem)}


def judged(
    bundle: dict[str, Any], wanted: dict[str, Any] | None = None, root: dict[str, Any] | None = None, *, rootless: bool = False
) -> ImageVerdict:
    policy = parse_policy(json.dumps({"default": [wanted or keyless()]}).encode())
    trusted = None if rootless else TrustedRoot.parse(json.dumps(root or ONE.trusted_root()).encode(), "root")
    found = ev.SigstoreBundle(json.dumps(bundle).encode(), "bundle")
    with ImageJudge(policy, now=signing.NOW, trusted_root=trusted) as judge:
        return judge.judge(Reference.parse(IMAGE), ev.Evidence.of(MANIFEST, bundles=(found,)))


def stated(signer: Signer | None = None, **how: Any) -> dict[str, Any]:
    return ONE.statement_bundle(STATEMENT, signer, **how)


def test_the_decision_names_who_signed_who_authenticated_them_and_when() -> None:
    verdict = judged(stated())
    assert verdict.accepted
    assert verdict.decisions[0].key == f"{IDENTITY} as authenticated by {ISSUER}, 2026-01-31T00:00:00Z"


@pytest.mark.parametrize(
    ("bundle", "rekor"),
    [
        (stated(log=2), ONE.rekor2.pair),
        (stated(log=2, kind="dsse"), ONE.rekor2.pair),
        (stated(version="0.2", kind="intoto"), ONE.rekor1.pair),
        (stated(version="0.1"), ONE.rekor1.pair),
        *((stated(ONE.signer(pair=Pair.make(kind))), ONE.rekor1.pair) for kind in ("P-384", "P-521", "RSA", "Ed25519")),
        *((stated(ONE.signer(pair=Pair.make(kind)), log=2), ONE.rekor2.pair) for kind in ("P-384", "P-521", "RSA")),
        (stated(ONE.signer(pair=Pair.make("Ed25519")), log=2, kind="dsse"), ONE.rekor2.pair),
    ],
    ids=[
        "Rekor 2",
        "Rekor 2, dsse",
        "intoto",
        "version 0.1",
        "P-384",
        "P-521",
        "RSA",
        "Ed25519",
        "P-384 and Rekor 2",
        "P-521 and Rekor 2",
        "RSA and Rekor 2",
        "Ed25519 and Rekor 2",
    ],
)
def test_every_form_vouches(bundle: dict[str, Any], rekor: Pair) -> None:
    verdict = judged(bundle, keyless(rekor=rekor))
    assert verdict.accepted, verdict.reason


def test_a_workflow_is_named_by_its_uri() -> None:
    bundle = stated(ONE.signer(WORKFLOW))
    assert judged(bundle, keyless(subjectEmail=WORKFLOW)).accepted
    refused = judged(bundle, keyless(subjectEmail=WORKFLOW.replace("v1", "v2")))
    assert "for another subject" in refused.reason


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"subjectEmail": "other@vendor.example"}, "for another subject"),
        ({"oidcIssuer": "https://accounts.other.example"}, "from another issuer"),
    ],
    ids=["subject", "issuer"],
)
def test_another_subject_or_issuer_is_refused(fields: dict[str, Any], reason: str) -> None:
    assert reason in judged(stated(), keyless(**fields)).reason


def test_the_ca_must_be_one_that_the_policy_names_and_the_trusted_root_holds() -> None:
    assert judged(stated(), keyless(ONE.fulcio.intermediate)).accepted
    assert "not the one that the policy names" in judged(stated(), keyless(OTHER.fulcio.root)).reason
    without = ONE.trusted_root() | {"certificateAuthorities": OTHER.trusted_root()["certificateAuthorities"]}
    assert "no chain leads from the certificate" in judged(stated(), root=without).reason
    both = ONE.trusted_root()
    both["certificateAuthorities"].insert(0, OTHER.trusted_root()["certificateAuthorities"][0])
    assert judged(stated(), root=both).accepted


def test_the_policys_rekor_key_narrows_the_logs_of_the_trusted_root() -> None:
    assert "a log that does not count" in judged(stated(log=2)).reason
    assert "has no log with the policy's Rekor key" in judged(stated(), keyless(rekor=OTHER.rekor1.pair)).reason


def test_without_a_trusted_root_a_keyless_bundle_is_refused_and_the_option_is_named() -> None:
    verdict = judged(stated(), rootless=True)
    assert "cannot be judged without a trusted root" in verdict.reason
    assert "--trusted-root" in verdict.reason


@pytest.mark.parametrize("part", ["tlogs", "ctlogs", "certificateAuthorities", "timestampAuthorities"])
def test_a_part_that_the_trusted_root_lacks_proves_nothing(part: str) -> None:
    bundle = stated(log=2)
    wanted = keyless(rekor=ONE.rekor2.pair)
    assert judged(bundle, wanted).accepted
    assert not judged(bundle, wanted, ONE.trusted_root() | {part: []}).accepted


@pytest.mark.parametrize(
    ("signer", "reason"),
    [
        (ONE.signer(scts=0), "not exactly one SCT"),
        (ONE.signer(scts=2), "not exactly one SCT"),
        (ONE.signer(ct=CtLog()), "in no CT log"),
        (ONE.signer(ct_issuer=Pair.make()), "SCT is not signed by the CT log"),
        (ONE.signer(ct_when=WHEN - timedelta(days=400)), "CT log was not in use"),
        (ONE.signer(uses=[ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), "does not say that it is meant for code signing"),
        (ONE.signer(uses=[ExtendedKeyUsageOID.SERVER_AUTH]), "not meant for code signing"),
        (ONE.signer(usage=key_usage(authority=True)), "not meant for signatures"),
        (ONE.signer(issued_by=(ONE.fulcio.root, Pair.make())), "no chain leads"),
        (OTHER.signer(), "no chain leads"),
    ],
    ids=[
        "no SCT",
        "two SCTs",
        "SCT of another log",
        "SCT for another issuer",
        "SCT from before the log",
        "for any use",
        "for servers",
        "key usage",
        "issuer's name alone",
        "another instance",
    ],
)
def test_a_certificate_that_is_not_as_fulcio_makes_them_is_refused(signer: Signer, reason: str) -> None:
    verdict = judged(stated(signer))
    assert not verdict.accepted
    assert reason in verdict.reason


def test_a_certificate_by_the_root_itself_is_good() -> None:
    assert judged(stated(ONE.signer(issued_by=(ONE.fulcio.root, ONE.fulcio.root_pair)))).accepted


def test_the_log_must_have_been_in_use_at_every_time() -> None:
    root = ONE.trusted_root()
    root["tlogs"][0]["publicKey"]["validFor"]["end"] = stamp(WHEN - timedelta(seconds=1))
    assert "the log was not in use" in judged(stated(), root=root).reason


def test_of_two_times_both_must_fit_and_a_strangers_timestamp_is_none() -> None:
    bundle = stated(stamped=True)
    assert judged(bundle).accepted
    signature = base64.b64decode(bundle["dsseEnvelope"]["signatures"][0]["sig"])
    stamps = bundle["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"]
    stamps.append({"signedTimestamp": b64(OTHER.tsa.reply(signature, WHEN + timedelta(days=9)))})
    assert judged(bundle).accepted
    stamps.append({"signedTimestamp": b64(ONE.tsa.reply(signature, WHEN + timedelta(days=9)))})
    assert "not valid at that time" in judged(bundle).reason


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (b"not DER", "malformed"),
        (ONE.tsa.reply(b"x", WHEN, status=2), "no time is proved"),
        (b"", "malformed"),
    ],
    ids=["not DER", "a refusal", "empty"],
)
def test_a_timestamp_that_is_none_is_refused_or_proves_nothing(reply: bytes, reason: str) -> None:
    bundle = stated(log=2)
    bundle["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"] = [{"signedTimestamp": b64(reply)}]
    assert reason in judged(bundle, keyless(rekor=ONE.rekor2.pair)).reason


@pytest.mark.parametrize("name", ["sha384", "sha512"])
def test_a_timestamp_may_be_over_a_larger_hash(name: str) -> None:
    bundle = stated(log=2)
    signature = base64.b64decode(bundle["dsseEnvelope"]["signatures"][0]["sig"])
    stamps = [{"signedTimestamp": b64(ONE.tsa.reply(signature, WHEN, hash_name=name))}]
    bundle["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"] = stamps
    assert judged(bundle, keyless(rekor=ONE.rekor2.pair)).accepted


def test_a_bundle_has_exactly_one_log_entry_and_the_same_timestamp_once() -> None:
    bundle = stated(log=2)
    material = bundle["verificationMaterial"]
    stamps = material["timestampVerificationData"]["rfc3161Timestamps"]
    material["timestampVerificationData"]["rfc3161Timestamps"] = stamps * 2
    assert "the same timestamp twice" in judged(bundle, keyless(rekor=ONE.rekor2.pair)).reason
    material["tlogEntries"] *= 2
    assert "not exactly one log entry" in judged(bundle, keyless(rekor=ONE.rekor2.pair)).reason


def test_a_promise_for_an_entry_of_rekor_2_and_a_promise_without_a_time_are_refused() -> None:
    bundle = stated(log=2)
    entry = bundle["verificationMaterial"]["tlogEntries"][0]
    entry |= {"integratedTime": "1769817600", "inclusionPromise": {"signedEntryTimestamp": "AAAA"}}
    assert "which makes none" in judged(bundle, keyless(rekor=ONE.rekor2.pair)).reason
    bundle = stated()
    bundle["verificationMaterial"]["tlogEntries"][0]["integratedTime"] = "0"
    assert "promise without a time" in judged(bundle).reason


def test_a_time_that_nobody_promised_is_no_time() -> None:
    bundle = stated()
    del bundle["verificationMaterial"]["tlogEntries"][0]["inclusionPromise"]
    assert "no time is proved" in judged(bundle).reason
    bundle = stated(log=2, stamped=False)
    bundle["verificationMaterial"]["tlogEntries"][0]["integratedTime"] = str(int(WHEN.timestamp()))
    assert "no time is proved" in judged(bundle, keyless(rekor=ONE.rekor2.pair)).reason


def test_a_raw_signature_in_a_bundle_does_not_vouch_for_an_image() -> None:
    assert "messageSignature" in judged(ONE.message_bundle(MANIFEST)).reason


def by_key(signer: Signer, *logs: Pair) -> dict[str, Any]:
    wanted = {"type": "sigstoreSigned", "keyData": b64(signer.pair.pem)}
    return wanted | ({"rekorPublicKeyDatas": [b64(log.pem) for log in logs]} if logs else {})


def test_a_key_and_a_log_need_no_trusted_root_if_the_log_is_of_version_1() -> None:
    signer = Signer(Pair.make())
    both = by_key(signer, ONE.rekor1.pair, ONE.rekor2.pair)
    assert judged(stated(signer), both, rootless=True).accepted
    second = judged(stated(signer, log=2), both, rootless=True)
    assert "a log that does not count" in second.reason
    assert "--trusted-root" in second.reason
    assert judged(stated(signer, log=2), both).accepted
    assert judged(stated(signer, log=2, stamped=False), both).accepted


def test_a_key_and_a_log_are_not_satisfied_without_an_entry_or_by_another_log_or_by_a_certificate_for_the_key() -> None:
    signer = Signer(Pair.make())
    wanted = by_key(signer, ONE.rekor1.pair)
    bare = stated(signer)
    bare["verificationMaterial"]["tlogEntries"] = []
    assert "not exactly one log entry" in judged(bare, wanted).reason
    assert "has no log with the policy's Rekor key" in judged(stated(signer), by_key(signer, OTHER.rekor1.pair)).reason
    certified = ONE.signer(pair=signer.pair)
    assert "for another key" in judged(stated(certified), wanted).reason


def test_a_log_that_is_no_longer_in_use_needs_a_time() -> None:
    signer = Signer(Pair.make())
    root = ONE.trusted_root()
    root["tlogs"][1]["publicKey"]["validFor"]["end"] = stamp(WHEN + timedelta(days=1))
    wanted = by_key(signer, ONE.rekor2.pair)
    assert judged(stated(signer, log=2), wanted, root).accepted
    assert "no time is proved" in judged(stated(signer, log=2, stamped=False), wanted, root).reason


def test_a_key_alone_asks_for_nothing_else_in_the_bundle() -> None:
    bundle = stated(OTHER.signer(pair=Pair.make()))
    assert "not made by this key" in judged(bundle, by_key(Signer(Pair.make()))).reason
    signer = Signer(Pair.make())
    bundle = OTHER.statement_bundle(STATEMENT, signer)
    assert judged(bundle, by_key(signer), rootless=True).accepted


def test_a_certificate_of_the_sites_own_ca_is_judged_as_in_a_sig_tag() -> None:
    ca = signing.authority("root")
    leaf = signing.leaf(ca, email=IDENTITY)
    signer = Signer(Pair("P-256", leaf.key.private), (leaf.certificate,))
    bundle = stated(signer)
    bundle["verificationMaterial"]["tlogEntries"] = []

    def wanted(roots: bytes, email: str = IDENTITY) -> dict[str, Any]:
        return {"type": "sigstoreSigned", "pki": {"caRootsData": b64(roots), "subjectEmail": email}}

    assert judged(bundle, wanted(ca.pem), rootless=True).accepted
    assert "for another subject" in judged(bundle, wanted(ca.pem, "other@vendor.example"), rootless=True).reason
    assert "no chain leads" in judged(bundle, wanted(signing.authority("root").pem), rootless=True).reason
    forged = ONE.bundle(Signed.statement(Signer(Pair.make(), signer.chain), STATEMENT))
    assert "not made by the key of this certificate" in judged(forged, wanted(ca.pem), rootless=True).reason


def test_intermediates_of_the_sites_own_ca_may_come_in_a_bundle_of_an_older_version() -> None:
    ca = signing.authority("root")
    between = signing.authority("between", ca)
    leaf = signing.leaf(between, email=IDENTITY)
    signer = Signer(Pair("P-256", leaf.key.private), (leaf.certificate,))
    wanted = {"type": "sigstoreSigned", "pki": {"caRootsData": b64(ca.pem), "subjectEmail": IDENTITY}}
    bundle = stated(signer, version="0.2")
    assert "no chain leads" in judged(bundle, wanted, rootless=True).reason
    der = between.certificate.public_bytes(serialization.Encoding.DER)
    bundle["verificationMaterial"]["x509CertificateChain"]["certificates"].append({"rawBytes": b64(der)})
    assert judged(bundle, wanted, rootless=True).accepted


@pytest.mark.parametrize("embed", [True, False], ids=["with its certificate", "without"])
def test_a_timestamp_with_any_byte_changed_ends_in_a_verdict(embed: bool) -> None:
    reply = ONE.tsa.reply(b"a signature", WHEN, embed=embed)
    authorities = TrustedRoot.parse(ONE.trusted_root_json(), "root").timestamp_authorities
    assert stamped([reply], b"a signature", authorities) == (WHEN,)
    for at, bit in product(range(len(reply)), (1, 128)):
        with contextlib.suppress(Refused):
            assert stamped([reply[:at] + bytes((reply[at] ^ bit,)) + reply[at + 1 :]], b"a signature", authorities) in ((), (WHEN,))


def test_a_certificate_with_any_byte_changed_is_read_or_refused() -> None:
    der = ONE.signer().der
    for at, bit in product(range(len(der)), (1, 128)):
        with contextlib.suppress(Refused):
            read_certificate(der[:at] + bytes((der[at] ^ bit,)) + der[at + 1 :])
