"""May this image enter: whole images with their signatures."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airgap import fsio
from airgap.errors import Refused
from airgap.limits import MAX_SIGNATURES
from airgap.oci.digest import Digest
from airgap.oci.reference import Reference
from airgap.trust.judge.images import ImageJudge, ImageVerdict
from airgap.trust.keys import evidence as ev
from airgap.trust.policy.document import Policy, parse_policy
from airgap.trust.policy.requirements import Reject
from tests.support import signing
from tests.support.trustkit import GpgHome, gpg_home, judge_image

MANIFEST = b'{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json"}'
NAME = "docker.io/testing/manifest"
REJECT = {"type": "reject"}
ACCEPT = {"type": "insecureAcceptAnything"}
REPOSITORY = {"type": "matchRepository"}
EXACT = {"type": "matchExact"}


def read_key(path: str) -> bytes:
    return fsio.read_input(Path(path), 1 << 20, "key file")


def policy(*requirements: dict[str, Any]) -> Policy:
    return parse_policy(json.dumps({"default": [REJECT], "transports": {"docker": {"": list(requirements)}}}).encode())


def judged(wanted: Policy, reference: str, evidence: ev.Evidence | None) -> ImageVerdict:
    with ImageJudge(wanted, read_key, now=signing.NOW) as judge:
        return judge.judge(Reference.parse(reference), evidence)


class Vendor:
    """A gpg home with two unrelated keys, exported to files."""

    def __init__(self, home: GpgHome, directory: Path) -> None:
        self.home = home
        self.key, self.other = home.new_key("vendor"), home.new_key("other")
        self.file, self.other_file = directory / "public-key.gpg", directory / "public-key-2.gpg"
        self.file.write_bytes(home.export(self.key, armor=False))
        self.other_file.write_bytes(home.export(self.other))

    def blob(self, reference: str = f"{NAME}:latest", **changes: Any) -> bytes:
        return self.home.message(self.key, signing.payload(MANIFEST, reference, **changes))

    def wanted(self, **fields: Any) -> dict[str, Any]:
        return {"type": "signedBy", "keyType": "GPGKeys", "keyPath": str(self.file), **fields}


@pytest.fixture(scope="module")
def vendor(tmp_path_factory) -> Iterator[Vendor]:
    with gpg_home() as home:
        yield Vendor(home, tmp_path_factory.mktemp("vendor"))


def evidence(*blobs: bytes, manifest: bytes = MANIFEST) -> ev.Evidence:
    return ev.Evidence.of(manifest, [ev.GpgSignature(blob, f"signature-{i}") for i, blob in enumerate(blobs, 1)])


def cosigned(*found: ev.SigstoreSignature, manifest: bytes = MANIFEST) -> ev.Evidence:
    return ev.Evidence.of(manifest, sigstore=found)


@pytest.fixture(scope="module")
def gpg_cases(vendor: Vendor) -> dict[str, ev.Evidence]:
    """The directories of upstream's fixtures, made anew."""
    good = vendor.blob()
    return {
        "valid": evidence(good),
        "valid-2": evidence(good, vendor.blob()),
        "unsigned": evidence(),
        "modified-manifest": evidence(good, manifest=MANIFEST + b"\n"),
        "mixed": evidence(vendor.home.message(vendor.key, b"{}{}"), good),
        "garbage-beside": evidence(b"garbage", b"", good),
        "sha512-claim": evidence(vendor.blob(digest=str(Digest.of(MANIFEST, "sha512")))),
        "upper-case-claim": evidence(vendor.blob(digest=str(Digest.of(MANIFEST)).upper())),
        "by-digest": evidence(vendor.blob(f"{NAME}@{Digest.of(MANIFEST)}")),
    }


GPG_VECTORS = [
    pytest.param([{"signedIdentity": EXACT}], "latest", "valid", True, id="63"),
    pytest.param([{"signedIdentity": EXACT}], "latest", "valid-2", True, id="64"),
    pytest.param([{"signedIdentity": EXACT}], "latest", "unsigned", False, id="65"),
    pytest.param([{"signedIdentity": EXACT}], "latest", "modified-manifest", False, id="66"),
    pytest.param([{"signedIdentity": EXACT}], "latest", "mixed", True, id="67"),
    pytest.param([{"signedIdentity": EXACT}], "latest", "garbage-beside", True, id="67-garbage-does-not-poison"),
    pytest.param([{"signedIdentity": EXACT}], "notlatest", "valid", False, id="68"),
    pytest.param([{"signedIdentity": REPOSITORY}] * 2, "latest", "mixed", True, id="69"),
    pytest.param([{}, REJECT], "latest", "mixed", False, id="70"),
    pytest.param([REJECT], "latest", "mixed", False, id="71-reject"),
    pytest.param([ACCEPT], "latest", "mixed", True, id="71-accept"),
    pytest.param([ACCEPT, {"signedIdentity": EXACT}], "latest", "unsigned", False, id="accept-does-not-rescue"),
    pytest.param([{"keyPath": "OTHER"}], "latest", "valid", False, id="76-other-key"),
    pytest.param([{"keyPath": None, "keyData": ""}], "latest", "valid", False, id="76-empty"),
    pytest.param([{"keyPath": None, "keyPaths": []}], "latest", "valid", False, id="76-no-paths"),
    pytest.param([{"keyPath": None, "keyPaths": ["OTHER", "KEY"]}], "latest", "valid", True, id="74"),
    pytest.param([{"keyPath": None, "keyPaths": ["KEY", "/nonexistent"]}], "latest", "valid", False, id="75"),
    pytest.param(
        [{"signedIdentity": {"type": "exactReference", "dockerReference": "this/does-not:match"}}],
        "latest",
        "valid",
        False,
        id="77",
    ),
    pytest.param(
        [{"signedIdentity": {"type": "exactReference", "dockerReference": f"{NAME}:latest"}}],
        "notlatest",
        "valid",
        True,
        id="exactReference",
    ),
    pytest.param([{}], "latest", "sha512-claim", False, id="sha512-claim"),
    pytest.param([{}], "latest", "upper-case-claim", False, id="upper-case-claim"),
    pytest.param([{}], "latest", "by-digest", False, id="signed-by-digest-asked-by-tag"),
    pytest.param([{"keyType": "X509Certificates"}], "latest", "valid", False, id="other-key-type"),
]


@pytest.mark.parametrize(("requirements", "tag", "case", "accepted"), GPG_VECTORS)
def test_gpg_signed_images(vendor: Vendor, gpg_cases, requirements, tag, case, accepted) -> None:
    files = {"KEY": str(vendor.file), "OTHER": str(vendor.other_file)}

    def filled(fields: dict[str, Any]) -> dict[str, Any]:
        if "type" in fields:
            return fields
        whole = {name: value for name, value in vendor.wanted(**fields).items() if value is not None}
        for name in ("keyPath", "keyPaths"):
            if name in whole:
                value = whole[name]
                whole[name] = files.get(value, value) if isinstance(value, str) else [files.get(path, path) for path in value]
        return whole

    verdict = judged(policy(*map(filled, requirements)), f"{NAME}:{tag}", gpg_cases[case])
    assert verdict.accepted is accepted, verdict


def test_72_an_empty_list_of_requirements_never_accepts(gpg_cases) -> None:
    nothing: Any = ()  # which the type of requirements does not have either
    verdict = judge_image(Policy((Reject(),), {"docker": {"": nothing}}), Reference.parse(NAME), gpg_cases["valid"], read_key)
    assert not verdict.accepted


def test_73_a_signature_by_a_subkey_counts_as_its_primary(tmp_path: Path) -> None:
    with gpg_home() as home:
        key = home.new_key("team")
        home.run("--quick-add-key", key, "ed25519", "sign")
        (tmp_path / "k").write_bytes(home.export(key))
        found = evidence(home.message(key, signing.payload(MANIFEST, f"{NAME}:latest")))
        wanted = {"type": "signedBy", "keyType": "GPGKeys", "keyPath": str(tmp_path / "k")}
        verdict = judged(policy(wanted), NAME, found)
    assert verdict.decisions[0].key == f"OpenPGP key {key[-16:].lower()}"


def test_a_verdict_names_the_signature_and_key_that_decided(vendor: Vendor, gpg_cases) -> None:
    verdict = judged(policy(vendor.wanted()), NAME, gpg_cases["mixed"])
    assert (verdict.decisions[0].signature, verdict.scope) == ("signature-2", 'transports.docker[""]')
    assert vendor.key[-16:].lower() in verdict.reason
    assert str(vendor.file) in verdict.decisions[0].requirement


def test_a_refusal_says_why_each_signature_did_not_count(vendor: Vendor, gpg_cases) -> None:
    verdict = judged(policy(vendor.wanted()), f"{NAME}:2", gpg_cases["mixed"])
    assert "signature-1: the signed payload is malformed" in verdict.reason
    assert "signature-2: the signature is for another name" in verdict.reason
    with pytest.raises(Refused) as caught:
        verdict.require()
    assert caught.value.got == verdict.reason


def test_signature_for_one_tag_does_not_vouch_for_another_tag_of_the_same_digest(vendor: Vendor) -> None:
    found = evidence(vendor.blob(f"{NAME}:1.0"))
    both = f"{NAME}:2.0@{Digest.of(MANIFEST)}"
    assert not judged(policy(vendor.wanted()), both, found).accepted
    assert judged(policy(vendor.wanted()), f"{NAME}@{Digest.of(MANIFEST)}", found).accepted


def test_without_evidence_every_requirement_for_a_signature_refuses(vendor: Vendor) -> None:
    for wanted in (
        vendor.wanted(),
        {"type": "sigstoreSigned", "keyPath": "/x"},
        {"type": "signedBaseLayer", "baseLayerIdentity": EXACT},
    ):
        assert not judge_image(policy(wanted), Reference.parse(NAME)).accepted


def test_require_signed_refuses_a_policy_that_accepts_anything(vendor: Vendor, gpg_cases) -> None:
    for wanted, accepted in (([ACCEPT], False), ([ACCEPT, vendor.wanted()], True)):
        with ImageJudge(policy(*wanted), read_key, require_signed=True) as judge:
            assert judge.judge(Reference.parse(NAME), gpg_cases["valid"]).accepted is accepted


def test_a_flood_of_signatures_is_cut_off(vendor: Vendor) -> None:
    found = evidence(*[b"x"] * MAX_SIGNATURES, vendor.blob())
    verdict = judged(policy(vendor.wanted()), NAME, found)
    assert not verdict.accepted
    assert "more" in verdict.reason


# Sigstore with keys


@pytest.fixture(scope="module")
def key() -> signing.Key:
    return signing.Key()


def by_key(*found: signing.Key, **fields: Any) -> dict[str, Any]:
    return {"type": "sigstoreSigned", "keyDatas": [base64.b64encode(key.pem).decode() for key in found], **fields}


@pytest.mark.parametrize("kind", ["ecdsa", "ed25519"])
def test_80_cosign_signature_without_a_tag_needs_match_repository(kind) -> None:
    key = signing.Key(kind)
    found = cosigned(signing.cosign(key, signing.cosign_payload(MANIFEST, "192.168.64.2:5000/single")))
    assert judged(policy(by_key(key, signedIdentity=REPOSITORY)), "192.168.64.2:5000/single:1", found).accepted
    assert not judged(policy(by_key(key)), "192.168.64.2:5000/single:1", found).accepted, "81"


def test_82_signature_with_a_tag_is_for_that_tag(key: signing.Key) -> None:
    found = cosigned(signing.cosign(key, signing.cosign_payload(MANIFEST, "h.example/s:tag")))
    assert judged(policy(by_key(key)), "h.example/s:tag", found).accepted
    assert not judged(policy(by_key(key)), "h.example/s:othertag", found).accepted


def test_83_other_kinds_of_signature_do_not_count_and_are_said(key: signing.Key, vendor: Vendor, gpg_cases) -> None:
    verdict = judged(policy(by_key(key)), NAME, gpg_cases["valid"])
    assert verdict.reason == "no sigstore signature exists (1 GPG signature)"
    signature = signing.cosign(key, signing.cosign_payload(MANIFEST, f"{NAME}:latest"))
    other = ev.SigstoreSignature(signature.payload, signature.annotations, "att", "application/vnd.dsse.envelope.v1+json")
    assert not judged(policy(by_key(key)), NAME, cosigned(other)).accepted
    assert not judged(policy(vendor.wanted()), NAME, cosigned(signature)).accepted


def test_84_unknown_key_modified_manifest_or_broken_signature_is_refused(key: signing.Key) -> None:
    text = signing.cosign_payload(MANIFEST, f"{NAME}:latest")
    good = signing.cosign(key, text)
    bad = {
        "unknown key": cosigned(signing.cosign(signing.Key(), text)),
        "modified manifest": cosigned(good, manifest=MANIFEST + b" "),
        "modified payload": cosigned(ev.SigstoreSignature(text + b" ", good.annotations, "s")),
        "no signature": cosigned(ev.SigstoreSignature(text, {}, "s")),
        "not base64": cosigned(ev.SigstoreSignature(text, {ev.SIGNATURE: "!!"}, "s")),
        "gpg payload": cosigned(signing.cosign(key, signing.payload(MANIFEST, f"{NAME}:latest"))),
    }
    for name, found in bad.items():
        assert not judged(policy(by_key(key)), NAME, found).accepted, name
        assert judged(policy(by_key(key)), NAME, cosigned(*found.sigstore, good)).accepted, name


def test_two_requirements_may_be_met_by_two_signatures(key: signing.Key, vendor: Vendor) -> None:
    found = ev.Evidence.of(
        MANIFEST,
        [ev.GpgSignature(vendor.blob(), "signature-1")],
        [signing.cosign(key, signing.cosign_payload(MANIFEST, f"{NAME}:latest"))],
    )
    assert judged(policy(by_key(key), vendor.wanted()), NAME, found).accepted
    assert not judged(policy(by_key(key), vendor.wanted(keyPath=str(vendor.other_file))), NAME, found).accepted
