"""``airgap policy check`` and ``explain``: a person learns what a policy really says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airgap.errors import UsageError
from airgap.oci.digest import Digest
from airgap.oci.reference import Reference
from airgap.trust.judge.decisions import Decision
from airgap.trust.judge.explain import explain
from airgap.trust.judge.images import ImageVerdict
from airgap.trust.judge.judging import Judgement
from airgap.trust.keys import signers as trust_keys
from airgap.trust.policy.document import parse_policy
from airgap.trust.policy.scopeadvice import unmatched
from tests.support import signing
from tests.support.cli import USAGE, failed, here
from tests.support.schemas import checked

REJECT = [{"type": "reject"}]
ACCEPT = [{"type": "insecureAcceptAnything"}]
DIGEST = "sha256:" + "0" * 64


@pytest.fixture
def key(tmp_path: Path) -> str:
    path = tmp_path / "site.pub"
    path.write_bytes(trust_keys.generate("ecdsa", None).public_pem)
    return str(path)


def written(directory: Path, transports: dict[str, Any], default: Any = REJECT) -> Path:
    path = directory / "policy.json"
    path.write_text(json.dumps({"default": default, "transports": transports}), encoding="utf-8")
    return path


def sigstore(path: str, **fields: Any) -> list[dict[str, Any]]:
    return [{"type": "sigstoreSigned", "keyPath": path, **fields}]


def openpgp(path: str, **fields: Any) -> list[dict[str, Any]]:
    return [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": path, **fields}]


def remarks(path: Path) -> list[dict[str, str]]:
    done = here("policy", "check", path, "--json")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, str]] = json.loads(done.stdout)["advice"]
    return found


def warnings(path: Path) -> str:
    return "\n".join(f"{remark['where']}: {remark['what']}" for remark in remarks(path) if remark["level"] == "warning")


# check


@pytest.mark.smoke("policy init", "policy check")
def test_policy_from_init_has_no_warnings_and_is_said_in_words(tmp_path: Path, key: str) -> None:
    path = tmp_path / "policy.json"
    assert here("policy", "init", "--key", key, "-o", path).returncode == 0
    assert warnings(path) == ""
    text = here("policy", "check", path).stdout
    assert "transport airgap, everything else\n  a sigstore signature by key " in text
    assert "default: everything without a scope\n  rejected, signed or not\n" in text
    assert text.endswith("The policy is valid.\n")


def test_mistake_in_a_checked_policy_is_a_usage_error_that_names_its_place(tmp_path: Path) -> None:
    path = written(tmp_path, {"docker": {"quay.io": [{"type": "signedBy", "keyType": "GPGKeys", "keypath": "/k"}]}})
    facts = failed(here("policy", "check", path, "--json"), USAGE, "an unknown field")
    assert facts["where"] == f'{path}: transports.docker["quay.io"][0].keypath'
    failed(here("policy", "check", tmp_path / "none.json"), USAGE)


def test_every_kind_of_requirement_is_said_in_words(tmp_path: Path) -> None:
    remap = {"type": "remapIdentity", "prefix": "mirror.example", "signedPrefix": "quay.io"}
    fulcio = {"caPath": "/ca", "oidcIssuer": "https://issuer", "subjectEmail": "dev@vendor"}
    scopes = {
        "a.example": openpgp("/k.gpg", signedIdentity=remap),
        "b.example": [
            {"type": "signedBy", "keyType": "GPGKeys", "keyPaths": ["/1", "/2"], "signedIdentity": {"type": "matchExact"}}
        ],
        "c.example": [{"type": "sigstoreSigned", "fulcio": fulcio, "rekorPublicKeyPath": "/rekor"}],
        "d.example": [{"type": "sigstoreSigned", "pki": {"caRootsPath": "/ca", "subjectHostname": "ci.example"}}],
        "e.example": openpgp("/k", signedIdentity={"type": "exactRepository", "dockerRepository": "quay.io/x"}) + REJECT,
        "f.example": openpgp("/k", signedIdentity={"type": "exactReference", "dockerReference": "quay.io/x:1"}),
        "g.example": openpgp("/k", signedIdentity={"type": "matchRepository"}),
        "h.example": [{"type": "signedBaseLayer", "baseLayerIdentity": {"type": "matchExact"}}],
        "i.example": openpgp("/k", keyType="X509Certificates"),
        "j.example": [{"type": "sigstoreSigned", "keyData": "eA=="}],
        "k.example": [{"type": "signedBy", "keyType": "GPGKeys", "keyPaths": []}],
    }
    text = here("policy", "check", written(tmp_path, {"docker": scopes})).stdout
    for words in (
        "by /k.gpg, for its name with mirror.example replaced by quay.io",
        "by any one of /1, /2, for exactly the requested name",
        "by dev@vendor as authenticated by https://issuer (CA: /ca), logged in Rekor with /rekor",
        "by a certificate for ci.example (CA: /ca)",
        "for quay.io/x with any tag, whatever was requested\n  and rejected, signed or not",
        "for quay.io/x:1, whatever was requested",
        "for its repository, with any tag",
        "signedBaseLayer, which nothing satisfies",
        "keyType X509Certificates, which nothing satisfies",
        "by the key in the policy itself, for its name and tag (if requested by digest: for its repository)",
        "no key, which nothing satisfies",
    ):
        assert words in text


@pytest.mark.parametrize("field", ["keyPaths", "keyDatas", "rekorPublicKeyPath", "fulcio", "pki"])
def test_fields_for_which_older_programs_refuse_the_whole_file_are_named(tmp_path: Path, key: str, field: str) -> None:
    requirements: dict[str, dict[str, Any]] = {
        "keyPaths": {"keyPaths": [key]},
        "keyDatas": {"keyDatas": ["eA=="]},
        "rekorPublicKeyPath": {"keyPath": key, "rekorPublicKeyPath": key},
        "fulcio": {"fulcio": {"caPath": "/c", "oidcIssuer": "i", "subjectEmail": "e"}, "rekorPublicKeyPath": key},
        "pki": {"pki": {"caRootsPath": "/c", "subjectEmail": "e"}},
    }
    path = written(tmp_path, {"docker": {"quay.io": [{"type": "sigstoreSigned", **requirements[field]}]}})
    assert f"reject the whole file because of sigstoreSigned.{field}" in warnings(path)


def test_debian_12_rejects_all_sigstore_and_that_is_noted(tmp_path: Path, key: str) -> None:
    found = remarks(written(tmp_path, {"docker": {"quay.io": sigstore(key)}, "airgap": {"": sigstore(key)}}))
    noted = [remark["where"] for remark in found if "sigstore is disabled" in remark["what"]]
    assert noted == ['transports.docker["quay.io"][0]']


@pytest.mark.parametrize(
    ("scope", "why"),
    [
        ("*", "whole first label of a host"),
        ("*example.com", "whole first label of a host"),
        ("*.example.*", "whole first label of a host"),
        ("reg.*.example.com", "whole first label of a host"),
        ("*.example.com/ns", "without a path"),
        ("*.example.com:5000", "with any port"),
        ("*.", "not a domain"),
        ("busybox", "no complete image name begins like this"),
        ("library/busybox", "no complete image name begins like this"),
        ("quay.io/org//app", "not a valid repository name"),
        ("docker.io/busybox:1", "the complete name of that image is docker.io/library/busybox:1"),
        (f"quay.io/org/app:1@{DIGEST}", "not both"),
        ("quay.io/org/app@sha256:12", "not a sha256 digest"),
    ],
)
def test_scope_that_never_matches_is_named_with_the_reason(tmp_path: Path, scope: str, why: str) -> None:
    path = written(tmp_path, {"docker": {scope: REJECT}})
    assert "this scope never matches" in warnings(path)
    assert why in warnings(path)


@pytest.mark.parametrize(
    ("scope", "meant"),
    [
        ("QUAY.IO", "quay.io"),
        ("Quay.io/org", "quay.io/org"),
        ("quay.io/Org/app:V1", "quay.io/org/app:V1"),
        ("*.Example.com", "*.example.com"),
        ("DOCKER.IO", "docker.io"),
        ("index.docker.io/library", "docker.io/library"),
        ("registry-1.docker.io", "docker.io"),
        ("*.docker.io", "docker.io"),
        ("quay.io:0443", "quay.io:443"),
        ("[0:0:0:0:0:0:0:1]:5000", "[::1]:5000"),
        ("quay.io/", "quay.io"),
        ("quay.io.", "quay.io"),
        (" quay.io", "quay.io"),
        ("docker://quay.io", "quay.io"),
    ],
)
def test_a_reject_scope_in_another_spelling_is_never_passed_by_because_the_whole_policy_is_refused(scope: str, meant: str) -> None:
    document = {"default": [{"type": "insecureAcceptAnything"}], "transports": {"docker": {scope: REJECT}}}
    with pytest.raises(UsageError, match="canonical spelling") as caught:
        parse_policy(json.dumps(document).encode())
    assert caught.value.expected == meant
    assert meant in unmatched(scope)[1]


@pytest.mark.parametrize(
    "scope",
    ["docker.io", "docker.io/library", "docker.io/library/busybox", "docker.io/library/busybox:1", f"quay.io/a/b@{DIGEST}",
     "localhost", "localhost:5000/x", "*.example.com", "*.com", "quay.io/a/b:V1", "[::1]:5000/x"],
)  # fmt: skip
def test_scope_that_can_match_is_left_alone(scope: str) -> None:
    assert unmatched(scope) == ("", "")


def test_scopes_that_match_less_than_people_expect_are_noted(tmp_path: Path) -> None:
    scopes = {
        "reg.example": REJECT,
        "other.example": REJECT,
        "other.example:5000": REJECT,
        "docker.io": REJECT,
        "*.deep.example": REJECT,
    }
    notes = [remark["what"] for remark in remarks(written(tmp_path, {"docker": scopes})) if remark["level"] == "note"]
    assert notes == [
        "does not cover deep.example itself, only hosts below it",
        "a host without a port does not cover the same host with one: reg.example",
    ]


def test_keys_that_cannot_be_used_are_named_one_by_one(tmp_path: Path, key: str) -> None:
    bad = tmp_path / "bad.gpg"
    bad.write_text("this is not a key", encoding="ascii")
    scopes = {
        "a.example": [{"type": "sigstoreSigned", "keyPaths": [key, "/nowhere/k.pub", str(bad)]}],
        "b.example": openpgp(str(bad)) + openpgp("relative.gpg"),
        "c.example": [{"type": "sigstoreSigned", "pki": {"caRootsPath": str(bad), "subjectEmail": "x"}}],
        "d.example": [{"type": "signedBy", "keyType": "GPGKeys", "keyPaths": []}],
    }
    found = warnings(written(tmp_path, {"docker": scopes}))
    assert 'docker["a.example"][0]: /nowhere/k.pub: cannot read the key file' in found
    assert f'docker["a.example"][0]: {bad}: not a public key' in found
    assert f'docker["b.example"][0]: {bad}: not an OpenPGP public key' in found
    assert 'docker["b.example"][1]: relative.gpg is a relative path' in found
    assert f'docker["c.example"][0]: {bad}: not a PEM certificate' in found
    assert 'docker["d.example"][0]: no key: nothing' in found
    assert f"{key}:" not in found


def test_what_only_sigstore_bundles_can_satisfy_is_said(tmp_path: Path) -> None:
    root, log = signing.authority("root"), tmp_path / "log.pub"
    (tmp_path / "ca.pem").write_bytes(root.pem)
    log.write_bytes(signing.Key("ed25519").pem)
    fulcio = {"caPath": str(tmp_path / "ca.pem"), "oidcIssuer": "https://issuer.example"}
    people = {"a.example": "https://git.example/acme/web/release.yml@refs/heads/main", "b.example": "dev@acme.example"}
    scopes = {
        scope: [{"type": "sigstoreSigned", "fulcio": {**fulcio, "subjectEmail": who}, "rekorPublicKeyPath": str(log)}]
        for scope, who in people.items()
    }
    path = written(tmp_path, {"docker": scopes, "airgap": {"prod": scopes["a.example"]}})
    found = [(remark["where"], remark["what"]) for remark in remarks(path) if "Sigstore bundles only" in remark["what"]]
    assert [where for where, _ in found] == ['transports.docker["a.example"][0]']
    assert "unsupported Rekor key type" in warnings(path)
    assert 'airgap["prod"]' not in warnings(path)
    assert here("policy", "check", path).stdout.count("it counts for Sigstore bundles only") == 2


def test_policy_that_accepts_anything_or_forgets_bundles_is_warned_about(tmp_path: Path, key: str) -> None:
    found = warnings(written(tmp_path, {"Docker": {"": REJECT}}, default=ACCEPT))
    assert "default: images and bundles that no scope covers are accepted unsigned" in found
    assert "transports: no scope for bundles" in found
    assert "transports.Docker: this transport is unknown" in found
    assert "unsigned bundles are accepted" in warnings(written(tmp_path, {"airgap": {"prod": ACCEPT}}))


def test_bundle_scope_that_no_bundle_can_satisfy_is_warned_about(tmp_path: Path, key: str) -> None:
    scopes = {
        "named": sigstore(key, signedIdentity={"type": "matchExact"}),
        "logged": sigstore(key, rekorPublicKeyPath=key),
        "pki": [{"type": "sigstoreSigned", "pki": {"caRootsPath": key, "subjectEmail": "a@b.example"}}],
        "twice": sigstore(key) * 2,
        "base": [{"type": "signedBaseLayer", "baseLayerIdentity": {"type": "matchExact"}}],
        "x509": openpgp(key, keyType="X509Certificates"),
        "good": sigstore(key),
    }
    found = warnings(written(tmp_path, {"airgap": scopes}))
    assert 'airgap["named"][0]: no bundle can satisfy this: signedIdentity does not apply' in found
    assert 'airgap["pki"][0]: no bundle can satisfy this: pki does not apply' in found
    assert 'airgap["logged"][0]: no bundle can satisfy this' not in found
    assert 'airgap["twice"]: the same key is required twice' in found
    assert 'airgap["base"][0]: nothing ever satisfies signedBaseLayer' in found
    assert 'airgap["x509"][0]: nothing ever satisfies keyType X509Certificates' in found
    assert 'airgap["good"]' not in found


# explain


@pytest.mark.smoke("policy explain")
def test_explain_shows_every_scope_in_order_and_the_one_that_decides(tmp_path: Path) -> None:
    path = written(tmp_path, {"docker": {"docker.io/library": openpgp("/k.gpg"), "": REJECT}})
    text = here("policy", "explain", "nginx:1.27", "quay.io/x/y", "--policy", path).stdout
    first, second = text.split("\n\n")[1:]
    assert [line.strip() for line in first.splitlines()[2:9]] == [
        "docker.io/library/nginx:1.27",
        "docker.io/library/nginx",
        "docker.io/library  <- decides",
        "docker.io",
        "*.io",
        '"" (every other image)',
        "default (of the whole policy)",
    ]
    assert 'transports.docker["docker.io/library"] requires:\n    1. an OpenPGP signature by /k.gpg' in first
    assert '"" (every other image)  <- decides' in second


def test_explain_as_json_lists_the_scopes_tried_up_to_the_one_that_decided(tmp_path: Path) -> None:
    path = written(tmp_path, {"docker": {"*.example.com": ACCEPT}})
    done = here("policy", "explain", "a.example.com:5000/x:1", "b.org/y:1", "--policy", path, "--json")
    hit, default = json.loads(done.stdout)["images"]
    assert hit["scopes_tried"] == ["a.example.com:5000/x:1", "a.example.com:5000/x", "a.example.com:5000", "*.example.com"]
    assert (hit["scope"], hit["requirements"]) == ('transports.docker["*.example.com"]', ["anything is accepted, signed or not"])
    assert default["scopes_tried"][-2:] == ["", "default"]
    assert (default["scope"], default["requirements"]) == ("default", ["rejected, signed or not"])


def test_explain_says_whether_a_signature_without_a_name_counts_and_which_scope_says_so(tmp_path: Path, key: str) -> None:
    path = written(tmp_path, {"docker": {"ghcr.io": sigstore(key), "quay.io": ACCEPT}})
    images = ("ghcr.io/acme/app:1", "ghcr.io/acme/old:1", "ghcr.io/other/app:1", "quay.io/acme/app:1")
    options = ("--unnamed-signatures", "ghcr.io/acme", "--unnamed-signatures", "ghcr.io/acme/old=false")
    text = here("policy", "explain", *images, "--policy", path, *options).stdout
    said = [line for line in text.splitlines() if "names no image" in line]
    assert said == [
        '  a Sigstore bundle that names no image counts by key and digest: unnamed-signatures "ghcr.io/acme" = true',
        '  a Sigstore bundle that names no image does not count: unnamed-signatures "ghcr.io/acme/old" = false',
        "  a Sigstore bundle that names no image does not count: no scope of unnamed-signatures covers the image",
    ]
    done = here("policy", "explain", *images, "--policy", path, *options, "--json")
    assert checked(json.loads(done.stdout)) == "policy-explain"
    facts = [(one["unnamed_accepted"], one["unnamed_scope"]) for one in json.loads(done.stdout)["images"]]
    assert facts == [(True, "ghcr.io/acme"), (False, "ghcr.io/acme/old"), (False, None), (False, None)]
    failed(here("policy", "explain", "x", "--policy", path, "--unnamed-signatures", "acme"), USAGE, "matches no image")


def test_explain_judges_by_the_tag_where_there_is_also_a_digest(tmp_path: Path) -> None:
    path = written(tmp_path, {"docker": {"quay.io/x/y:1": ACCEPT}})
    assert "quay.io/x/y:1  <- decides" in here("policy", "explain", f"quay.io/x/y:1@{DIGEST}", "--policy", path).stdout


def test_explain_refuses_what_is_no_image_and_a_policy_with_a_mistake(tmp_path: Path) -> None:
    failed(here("policy", "explain", "Not An Image", "--policy", written(tmp_path, {})), USAGE)
    (tmp_path / "policy.json").write_text("{}", encoding="ascii")
    failed(here("policy", "explain", "x", "--policy", tmp_path / "policy.json"), USAGE)


def test_explanation_with_verdicts_names_signature_and_key_for_every_instance() -> None:
    policy = parse_policy(json.dumps({"default": openpgp("/k.gpg")}).encode())
    reference = Reference.parse("quay.io/x/y:1")
    yes = Decision(
        "signedBy /k.gpg", accepted=True, reason="signature-1 by OpenPGP key 12", signature="signature-1", key="OpenPGP key 12"
    )
    no = Decision("signedBy /k.gpg", accepted=False, reason="no GPG signature exists")
    judgements = [
        Judgement(reference, Digest(DIGEST), platform, ImageVerdict(reference, "default", (decision,)))
        for platform, decision in (("linux/amd64", yes), ("linux/arm64", no))
    ]
    found = explain(policy, reference, judgements)
    assert found.accepted is False
    assert found.lines[-4:] == (
        f"  linux/amd64 {DIGEST}: accepted",
        "    1. signedBy /k.gpg: yes: signature-1 by OpenPGP key 12",
        f"  linux/arm64 {DIGEST}: REFUSED",
        "    1. signedBy /k.gpg: NO: no GPG signature exists",
    )
    assert found.facts["instances"][0]["decisions"][0]["key"] == "OpenPGP key 12"
    assert explain(policy, reference, judgements[:1]).accepted is True
    assert explain(policy, reference, []).accepted is False
    assert explain(policy, reference).accepted is None
