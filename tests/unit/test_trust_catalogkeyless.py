"""Catalogs signed keyless with ``cosign sign-blob``: by the rules of images, and each person once, whatever their keys were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from airgap.errors import Refused
from airgap.trust.judge.bundles import Verdict, check_catalog_signatures, judge_stream
from airgap.trust.keys.revoked import Revoked
from airgap.trust.keys.signatures import load_public_key
from airgap.trust.policy.document import parse_policy
from airgap.trust.sigstore.trustedroot import TrustedRoot
from tests.support.sigstoreinstance.instance import IDENTITY, ISSUER, Instance
from tests.support.sigstoreinstance.parts import Pair, Signer, b64
from tests.support.sigstoreinstance.verdicts import pems

RAW = b'{"schema":"airgap.catalog/1","stream":"prod"}\n'
ONE, OTHER = Instance(), Instance()
BOB = "bob@vendor.example"
NAME, SECOND = "catalog.json.sigstore.json", f"catalog.json.{'0' * 16}.sigstore.json"
Files: TypeAlias = dict[str, dict[str, Any] | bytes]


def keyless(identity: str = IDENTITY) -> dict[str, Any]:
    fulcio = {"caData": b64(pems(ONE.fulcio.root)), "oidcIssuer": ISSUER, "subjectEmail": identity}
    logs = [b64(one.pair.pem) for one in (ONE.rekor1, ONE.rekor2)]
    return {"type": "sigstoreSigned", "fulcio": fulcio, "rekorPublicKeyDatas": logs}


def judge(files: Files, *wanted: dict[str, Any], rootless: bool = False, revoked: Revoked | None = None) -> Verdict:
    document = {"default": [{"type": "reject"}], "transports": {"airgap": {"prod": list(wanted or (keyless(),))}}}
    policy = parse_policy(json.dumps(document).encode())
    signatures = {name: one if isinstance(one, bytes) else json.dumps(one).encode() for name, one in files.items()}
    root = None if rootless else TrustedRoot.parse(ONE.trusted_root_json(), "root")
    found = check_catalog_signatures(RAW, signatures, policy, lambda path: Path(path).read_bytes(), revoked or Revoked(), root)
    return judge_stream(found, policy, "prod")


def refusal(*arguments: Any, **options: Any) -> str:
    with pytest.raises(Refused) as caught:
        judge(*arguments, **options)
    return str(caught.value.got)


@pytest.mark.parametrize("log", [1, 2])
@pytest.mark.parametrize("name", [NAME, SECOND], ids=["plain", "with an id"])
def test_a_catalog_signed_keyless_is_accepted_and_says_by_whom_and_when(log: int, name: str) -> None:
    verdict = judge({name: ONE.message_bundle(RAW, log=log)})
    assert verdict.signers == (f"{IDENTITY} as authenticated by {ISSUER}, 2026-01-31T00:00:00Z ({name})",)


@pytest.mark.parametrize(
    ("bundle", "reason"),
    [
        (ONE.message_bundle(RAW + b" "), "for other bytes"),
        (ONE.statement_bundle(RAW), "holds a statement"),
        (ONE.message_bundle(RAW, ONE.signer(BOB)), "for another subject"),
        (OTHER.message_bundle(RAW), "a log that does not count"),
        (ONE.message_bundle(RAW, log=2, stamped=False), "no time is proved"),
        (ONE.message_bundle(RAW, Signer(Pair.make())), "holds no certificate"),
    ],
    ids=["other bytes", "statement", "somebody else", "another instance", "no time", "a key"],
)
def test_the_rules_are_those_of_images(bundle: dict[str, Any], reason: str) -> None:
    assert reason in refusal({NAME: bundle})


def test_without_a_trusted_root_it_does_not_count_and_the_option_is_named() -> None:
    assert "--trusted-root" in refusal({NAME: ONE.message_bundle(RAW)}, rootless=True)


def test_a_key_and_a_log_are_satisfied_by_a_bundle_and_not_by_a_raw_signature() -> None:
    signer = Signer(Pair.make())
    wanted = {"type": "sigstoreSigned", "keyData": b64(signer.pair.pem), "rekorPublicKeyData": b64(ONE.rekor1.pair.pem)}
    assert judge({NAME: ONE.message_bundle(RAW, signer)}, wanted, rootless=True).signers
    bare = ONE.message_bundle(RAW, signer)
    bare["verificationMaterial"]["tlogEntries"] = []
    assert "not exactly one log entry" in refusal({NAME: bare}, wanted)
    raw = f"catalog.json.{load_public_key(signer.pair.pem).id}.sig"
    assert "of a kind that no requirement here needs" in refusal({raw: b64(signer.pair.sign(RAW)).encode()}, wanted)


def test_one_person_with_two_certificates_is_one_and_two_people_are_two() -> None:
    twice: Files = {NAME: ONE.message_bundle(RAW), SECOND: ONE.message_bundle(RAW, ONE.signer())}
    with pytest.raises(Refused, match="too few different keys"):
        judge(twice, keyless(), keyless())
    both: Files = {NAME: ONE.message_bundle(RAW), SECOND: ONE.message_bundle(RAW, ONE.signer(BOB))}
    assert len(judge(both, keyless(), keyless(BOB)).signers) == 2


def test_a_revoked_key_of_a_certificate_counts_for_nothing() -> None:
    signer = ONE.signer()
    revoked = Revoked({load_public_key(signer.pair.pem).id: "stolen"})
    assert "revoked" in refusal({NAME: ONE.message_bundle(RAW, signer)}, revoked=revoked)


def test_one_key_is_one_person_whether_it_is_known_or_certified() -> None:
    pair = Pair.make()
    known = {"type": "sigstoreSigned", "keyData": b64(pair.pem)}
    raw = f"catalog.json.{load_public_key(pair.pem).id}.sig"
    files: Files = {raw: b64(pair.sign(RAW)).encode(), NAME: ONE.message_bundle(RAW, ONE.signer(pair=pair))}
    with pytest.raises(Refused, match="too few different keys"):
        judge(files, known, keyless())
    files[SECOND] = ONE.message_bundle(RAW, ONE.signer(BOB))
    assert len(judge(files, known, keyless(BOB)).signers) == 2


def test_a_bundle_with_a_key_of_an_unknown_kind_spoils_no_good_one() -> None:
    odd = ONE.signer(pair=Pair("P-256", ec.generate_private_key(ec.SECP224R1())))
    bad = ONE.message_bundle(RAW, odd)
    assert "the certificate's key: unsupported curve" in refusal({NAME: bad})
    assert judge({NAME: bad, SECOND: ONE.message_bundle(RAW)}).signers
