"""Attestations judged: by the image's own requirements, in both forms, and every way in which one does not count."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from airgap.errors import Refused
from airgap.limits import MAX_ATTESTATION, MAX_SIGNATURE_BLOB
from airgap.oci.digest import Digest
from airgap.oci.reference import Reference
from airgap.trust.judge import provenance
from airgap.trust.judge.decisions import Decision
from airgap.trust.judge.explain import explain
from airgap.trust.judge.images import ImageJudge, ImageVerdict
from airgap.trust.keys import evidence as ev
from airgap.trust.policy.demands import Demands
from airgap.trust.policy.document import Policy, parse_policy
from airgap.trust.sigstore.bundle import read_bundle
from tests.support import attesting, signing
from tests.support.attesting import BUILDER, SLSA_V02, SOURCE, SPDX, classic, github, in_bundle

MANIFEST = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}'
OTHER_MANIFEST = b"{}"
IMAGE = "ghcr.io/acme/app:1"
KEY, SECOND, STRANGER, LOG = signing.Key(), signing.Key(), signing.Key(), signing.Key()
SLSA = f"ghcr.io/acme=slsa,builder={BUILDER},source={SOURCE}"
FORMS = pytest.mark.parametrize("form", [in_bundle, classic], ids=["bundle", "att"])


def by_key(key: signing.Key, **fields: Any) -> dict[str, Any]:
    return {"type": "sigstoreSigned", "keyData": base64.b64encode(key.pem).decode(), **fields}


def policy(*requirements: dict[str, Any]) -> Policy:
    return parse_policy(json.dumps({"default": [{"type": "reject"}], "transports": {"docker": {"": list(requirements)}}}).encode())


def judged(
    *found: ev.Attestation, demands: tuple[str, ...] = (SLSA,), requirements: Any = None, signers: Any = (KEY,), **fields: Any
) -> ImageVerdict:
    """The verdict on an image with a good signature by each signer, and these attestations."""
    matched = {"signedIdentity": {"type": "matchRepository"}}
    wanted = policy(*(requirements or (by_key(KEY, **matched),)))
    payload = signing.cosign_payload(MANIFEST, IMAGE)
    signed = tuple(signing.cosign(key, payload) for key in signers)
    evidence = replace(attesting.attested(MANIFEST, *found, **fields), sigstore=signed)
    with ImageJudge(wanted, now=signing.NOW, demands=Demands.parse(demands)) as judge:
        return judge.judge(Reference.parse(IMAGE), evidence)


def demanded(verdict: ImageVerdict) -> Decision:
    (found,) = (one for one in verdict.decisions if one.demand_scope is not None)
    return found


@FORMS
@pytest.mark.parametrize(
    ("demand", "stated"),
    [
        (SLSA, attesting.statement(MANIFEST)),
        (SLSA, attesting.statement(MANIFEST, SLSA_V02, attesting.generator())),
        ("=slsa,source=https://github.com/acme/*", attesting.statement(MANIFEST)),
        ("ghcr.io/acme/app=spdx", attesting.statement(MANIFEST, SPDX, {"spdxVersion": "SPDX-2.3", "packages": []})),
        ("=https://example.com/t", attesting.statement(MANIFEST, "https://example.com/t", None, _type="https://in-toto.io/Statement/v0.1")),
    ],
    ids=["slsa-v1", "slsa-v0.2", "star", "spdx", "uri"],
)  # fmt: skip
def test_attestation_that_meets_the_demand_is_named(form: Any, demand: str, stated: bytes) -> None:
    found = form(KEY, stated)
    verdict = judged(found, demands=(demand,))
    assert verdict.accepted
    decision = demanded(verdict)
    predicate_type = json.loads(stated)["predicateType"]
    assert decision.attested is not None
    assert (decision.attested.digest, decision.attested.predicate_type) == (str(found.digest), predicate_type)
    assert decision.key == f"ECDSA P-256 key {KEY.id}"
    assert decision.reason.startswith(f"attestation of type {predicate_type} by ECDSA P-256 key {KEY.id}")
    assert decision.demand_scope == demand.partition("=")[0]
    if "slsa.dev" in predicate_type:
        assert decision.attested.builder == BUILDER
        assert decision.attested.sources == (SOURCE,)
        assert decision.reason.endswith(f"builder {BUILDER}, source {SOURCE}")


@FORMS
@pytest.mark.parametrize(
    ("key", "stated", "says"),
    [
        (STRANGER, attesting.statement(MANIFEST), "not made by this key"),
        (KEY, attesting.statement(OTHER_MANIFEST), "for another manifest"),
        (KEY, attesting.statement(MANIFEST, subject=[]), "for another manifest"),
        (KEY, attesting.statement(MANIFEST, predicate=github(builder="https://github.com/evil/b@refs/tags/v1")), "another builder"),
        (KEY, attesting.statement(MANIFEST, predicate=github(builder="")), "no builder"),
        (KEY, attesting.statement(MANIFEST, predicate=github(source="https://github.com/evil/app")), "another source"),
        (KEY, attesting.statement(MANIFEST, predicate=github(externalParameters={}, resolvedDependencies=[])), "no source"),
        (KEY, attesting.statement(MANIFEST, SPDX, {}), "1 signed statement of another predicate type: https://spdx.dev/Document"),
        (KEY, attesting.statement(MANIFEST, predicate=7), "malformed"),
        (KEY, b"not json", "malformed"),
    ],
    ids=["key", "manifest", "nothing", "builder", "no-builder", "source", "no-source", "predicate", "malformed", "no-json"],
)
def test_attestation_that_does_not_meet_the_demand_is_refused_and_says_why(
    form: Any, key: signing.Key, stated: bytes, says: str
) -> None:
    verdict = judged(form(key, stated))
    assert not verdict.accepted
    decision = demanded(verdict)
    assert decision.reason.startswith('no slsa attestation meets the demand (attestations "ghcr.io/acme"): ')
    assert says in decision.reason
    assert says in verdict.reason
    assert decision.attested is None
    assert [one.accepted for one in verdict.decisions] == [True, False]


def test_one_of_several_sources_that_is_another_is_refused() -> None:
    outside = {"workflow": {"repository": SOURCE}, "configSource": {"uri": "https://github.com/evil/app.git#main"}}
    verdict = judged(in_bundle(KEY, attesting.statement(MANIFEST, predicate=github(externalParameters=outside))))
    assert f"got {SOURCE}, https://github.com/evil/app" in verdict.reason


def test_image_without_attestation_is_refused() -> None:
    verdict = judged()
    assert "no attestation hangs off this manifest" in verdict.reason
    with pytest.raises(Refused) as raised:
        verdict.require()
    assert "carry the attestation that is demanded" in str(raised.value)
    assert not judged(signers=()).lacks_attestations
    with ImageJudge(policy({"type": "insecureAcceptAnything"}), demands=Demands.parse([SLSA])) as judge:
        alone = judge.judge(Reference.parse(IMAGE))
    assert not alone.accepted
    assert "nothing can verify an attestation" in alone.reason


def test_attestations_of_the_index_and_those_that_were_not_read_are_told() -> None:
    reason = judged(unread=2, of_index=1).reason
    assert "2 attestations not read: too large, too many, or not in the bundle" in reason
    assert "what hangs off the index (1) does not count for its instances" in reason


def test_bad_attestation_does_not_spoil_a_good_one_and_a_signature_is_none() -> None:
    signature = json.dumps(signing.bundle_document(KEY, MANIFEST, None)).encode()
    sign = ev.Attestation(ev.SigstoreBundle(signature, "signature"), Digest.of(signature))
    good = in_bundle(KEY, attesting.statement(MANIFEST), "good")
    assert judged(sign, in_bundle(STRANGER, b"{}"), classic(KEY, b""), good).accepted
    assert "of another predicate type: https://sigstore.dev/cosign/sign/v1" in judged(sign).reason


def test_attestation_does_not_count_as_the_signature_of_an_image() -> None:
    verdict = judged(in_bundle(KEY, attesting.statement(MANIFEST)), signers=())
    assert [one.accepted for one in verdict.decisions] == [False, True]
    assert "no sigstore signature exists" in verdict.reason


def test_every_demand_of_the_scope_must_be_met() -> None:
    demands = (SLSA, "ghcr.io/acme=spdx")
    slsa, spdx = in_bundle(KEY, attesting.statement(MANIFEST)), classic(KEY, attesting.statement(MANIFEST, SPDX, {}))
    assert judged(slsa, spdx, demands=demands).accepted
    assert [one.accepted for one in judged(slsa, demands=demands).decisions] == [True, True, False]


def test_every_requirement_of_the_image_must_have_signed_an_attestation() -> None:
    matched = {"signedIdentity": {"type": "matchRepository"}}
    requirements = (by_key(KEY, **matched), by_key(SECOND, **matched))
    one, two = in_bundle(KEY, attesting.statement(MANIFEST)), in_bundle(SECOND, attesting.statement(MANIFEST))
    assert judged(one, two, requirements=requirements, signers=(KEY, SECOND)).accepted
    alone = judged(one, requirements=requirements, signers=(KEY, SECOND))
    assert [decision.accepted for decision in alone.decisions] == [True, True, True, False]


def test_name_of_the_subject_and_signed_identity_are_not_compared() -> None:
    exact = {"signedIdentity": {"type": "exactReference", "dockerReference": IMAGE}}
    subject = [{"name": "docker.io/other/name", "digest": {"sha256": Digest.of(MANIFEST).hex, "sha512": "x"}}]
    verdict = judged(in_bundle(KEY, attesting.statement(MANIFEST, subject=subject)), requirements=(by_key(KEY, **exact),))
    assert demanded(verdict).accepted


def test_exempt_scope_demands_nothing() -> None:
    verdict = judged(demands=(SLSA, "ghcr.io/acme/app=false"))
    assert verdict.accepted
    assert [one.demand_scope for one in verdict.decisions] == [None]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"payloadType": "text/plain"}, "payload has the wrong type"),
        ({"signatures": []}, "not exactly one signature in the envelope"),
        ({"signatures": [{"sig": "AA=="}] * 2}, "not exactly one signature in the envelope"),
        ({"signatures": [{"sig": "AA=="}]}, "not made by this key"),
        ({"signatures": [{"sig": "?"}]}, "the envelope is malformed"),
        ({"signatures": [{"sig": "AA==", "cert": "x"}]}, "the envelope is malformed"),
        ({"payload": ""}, "the envelope is malformed"),
        ({"payload": "e30="}, "not made by this key"),
        ({"extra": 1}, "the envelope is malformed"),
    ],
)
def test_envelope_that_was_changed_counts_as_none(changes: dict[str, Any], says: str) -> None:
    raw = json.dumps(attesting.envelope(KEY, attesting.statement(MANIFEST)) | changes).encode()
    verdict = judged(ev.Attestation(ev.SigstoreSignature(raw, {}, "att", ev.DSSE_ENVELOPE), Digest.of(raw)))
    assert not verdict.accepted
    assert says in verdict.reason


def test_payload_of_another_type_is_not_a_statement_even_if_it_was_signed() -> None:
    raw = json.dumps(attesting.envelope(KEY, attesting.statement(MANIFEST), "text/plain")).encode()
    assert "wrong type" in judged(ev.Attestation(ev.SigstoreSignature(raw, {}, "att", ev.DSSE_ENVELOPE), Digest.of(raw))).reason


@FORMS
def test_large_attestation_counts_up_to_its_own_cap(form: Any) -> None:
    text = "x" * MAX_SIGNATURE_BLOB
    assert judged(form(KEY, attesting.statement(MANIFEST, SPDX, {"comment": text})), demands=("=spdx",)).accepted
    larger = judged(form(KEY, attesting.statement(MANIFEST, SPDX, {"comment": "x" * MAX_ATTESTATION})), demands=("=spdx",))
    assert "too large" in larger.reason


def test_sbom_that_is_as_large_as_it_may_be_is_read() -> None:
    relation = {
        "spdxElementId": "SPDXRef-Package-deb-libc6-1a2b3c4d5e6f7a8b",
        "relatedSpdxElement": "SPDXRef-File-usr-lib-libc-0123456789abcdef",
        "relationshipType": "CONTAINS",
    }
    size = MAX_ATTESTATION * 3 // 4 - 4096
    stated = attesting.statement(MANIFEST, SPDX, {"relationships": [relation] * (size * 99 // 100 // len(json.dumps([relation])))})
    assert size * 0.9 < len(stated) < size
    assert judged(in_bundle(KEY, stated), demands=("=spdx",)).accepted


def test_bundle_that_is_as_large_as_an_attestation_may_be_can_be_read() -> None:
    stated = attesting.statement(MANIFEST, SPDX, {"comment": "x" * (MAX_ATTESTATION * 3 // 4 - 4096)})
    assert read_bundle(attesting.bundle(KEY, stated)).payload == stated


def test_each_attestation_is_opened_once_for_a_requirement_and_read_once_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []

    def counted(payload: bytes) -> provenance.Statement:
        read.append(payload)
        return provenance.read_attestation(payload)

    monkeypatch.setattr("airgap.trust.judge.attestations.read_attestation", counted)
    matched = {"signedIdentity": {"type": "matchRepository"}}
    both = {"type": "sigstoreSigned", "keyDatas": [by_key(one)["keyData"] for one in (KEY, SECOND)], **matched}
    found = [in_bundle(KEY, attesting.statement(MANIFEST, f"https://example.com/{n}", {})) for n in range(3)]
    demands = tuple(f"=https://example.com/{n}" for n in range(3))
    assert judged(*found, demands=demands, requirements=(by_key(KEY, **matched), both)).accepted
    assert len(read) == 3


def entry(attestation: ev.Attestation, signer: bytes, kind: str, **changes: Any) -> str:
    """The log's promise for an envelope, as an annotation has it."""
    assert isinstance(attestation.content, ev.SigstoreSignature)
    envelope = json.loads(attestation.content.payload)
    payload = changes.get("payload", base64.b64decode(envelope["payload"]))
    signature = changes.get("signature", envelope["signatures"][0]["sig"])
    hashed = {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()}
    whole = {"algorithm": "sha256", "value": hashlib.sha256(attestation.content.payload).hexdigest()}
    pem = base64.b64encode(signer).decode()
    if kind == "intoto-1":
        content = {"hash": changes.get("envelope", whole), "payloadHash": hashed}
        return signing.rekor_promise(LOG, {"apiVersion": "0.0.1", "kind": "intoto", "spec": {"content": content, "publicKey": pem}})
    if kind == "dsse":
        spec: dict[str, Any] = {
            "signatures": [{"signature": signature, "verifier": pem}],
            "payloadHash": hashed,
            "envelopeHash": whole,
        }
    else:
        inner = {"sig": base64.b64encode(signature.encode()).decode(), "publicKey": pem}
        content = {"envelope": {"payloadType": attesting.INTOTO, "signatures": [inner]}, "hash": whole, "payloadHash": hashed}
        spec = {"content": content}
    version = {"dsse": "0.0.1", "intoto": "0.0.2"}[kind]
    return signing.rekor_promise(LOG, {"apiVersion": version, "kind": kind, "spec": spec})


def with_promise(attestation: ev.Attestation, promise: str, **annotations: str) -> ev.Attestation:
    assert isinstance(attestation.content, ev.SigstoreSignature)
    found = {f"dev.sigstore.cosign/{word}": text for word, text in {"bundle": promise, **annotations}.items()}
    return replace(attestation, content=replace(attestation.content, annotations=found))


def logged(**fields: Any) -> dict[str, Any]:
    return {"type": "sigstoreSigned", "rekorPublicKeyData": base64.b64encode(LOG.pem).decode(), **fields}


@pytest.mark.parametrize("kind", ["dsse", "intoto", "intoto-1"])
def test_att_that_is_logged_is_held_against_the_log(kind: str) -> None:
    found = classic(KEY, attesting.statement(MANIFEST))
    wanted = (logged(keyData=by_key(KEY)["keyData"]),)
    assert demanded(judged(with_promise(found, entry(found, KEY.pem, kind)), requirements=wanted)).accepted
    other = {"algorithm": "sha256", "value": "0" * 64}
    bad = {
        "has no annotation": found,
        "for another signature": with_promise(found, entry(found, KEY.pem, kind, signature="AAAA", envelope=other)),
        "for another payload": with_promise(found, entry(found, KEY.pem, kind, payload=b"{}")),
        "for another key": with_promise(found, entry(found, STRANGER.pem, kind)),
    }
    for says, one in bad.items():
        assert says in demanded(judged(one, requirements=wanted)).reason
    assert isinstance(found.content, ev.SigstoreSignature)
    plain = signing.rekor_promise(LOG, signing.rekor_entry(b"x", KEY.pem, found.content.payload))
    assert "another kind" in demanded(judged(with_promise(found, plain), requirements=wanted)).reason


@pytest.mark.parametrize("kind", ["dsse", "intoto", "intoto-1"])
def test_att_of_a_keyless_signer_counts_by_fulcio_and_log(kind: str) -> None:
    root = signing.authority("root")
    leaf = signing.leaf(root, email="build@acme.example", issuer="https://issuer.example")
    fulcio = {
        "caData": base64.b64encode(root.pem).decode(),
        "oidcIssuer": "https://issuer.example",
        "subjectEmail": "build@acme.example",
    }
    found = classic(leaf.key, attesting.statement(MANIFEST))
    signed = with_promise(found, entry(found, leaf.pem, kind), certificate=leaf.pem.decode())
    assert demanded(judged(signed, requirements=(logged(fulcio=fulcio),))).accepted
    other = {**fulcio, "subjectEmail": "other@acme.example"}
    assert "for another subject" in demanded(judged(signed, requirements=(logged(fulcio=other),))).reason


def test_explanation_says_what_is_demanded_and_what_met_it() -> None:
    wanted, demands = policy(by_key(KEY)), Demands.parse([SLSA, "ghcr.io/acme=spdx", "ghcr.io/acme/old=false"])
    found = explain(wanted, Reference.parse(IMAGE), None, None, demands)
    assert found.lines[-3:] == (
        '  attestations "ghcr.io/acme" demands, signed as sigstoreSigned requires above:',
        f"    1. slsa attestation with builder {BUILDER} and source {SOURCE}",
        "    2. spdx attestation",
    )
    assert (found.facts["demand_scope"], found.facts["demands"]) == ("ghcr.io/acme", [SLSA.partition("=")[2], "spdx"])
    exempt = explain(wanted, Reference.parse("ghcr.io/acme/old:1"), None, None, demands)
    assert exempt.lines[-1] == '  no attestation is demanded: attestations "ghcr.io/acme/old" = false'
    assert (exempt.facts["demand_scope"], exempt.facts["demands"]) == ("ghcr.io/acme/old", [])
    anything = explain(policy({"type": "insecureAcceptAnything"}), Reference.parse(IMAGE), None, None, demands)
    assert "nothing can verify" in "\n".join(anything.lines)
    assert not any("attestation" in line for line in explain(wanted, Reference.parse("quay.io/x/y:1"), None, None, demands).lines)
