"""``airgap mirror-config`` for clusters on the command line: objects and files from the site's policy, and what it refuses."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from airgap.cli.main import run
from airgap.trust.keys.signers import generate
from airgap.trust.policy.document import parse_policy
from tests.support import trustedroots
from tests.support.clusters import check_form
from tests.support.sigstorekeys import EMAIL, ISSUER, open_vault

TARGET = "docker://reg.site:5000/mirror"
ROOT = "reg.site:5000/mirror"
OBJECTS = ("kyverno", "policy-controller", "openshift")
PULLING = Path(__file__).resolve().parents[2] / "docs/pulling.md"


class Desk:
    """A directory with a policy and keys, and the command."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self.capsys = root, capsys
        for name in ("site", "vendor"):
            (root / f"{name}.pub").write_bytes(generate("ecdsa", None).public_pem)
        vendor = {"type": "sigstoreSigned", "keyPath": str(root / "vendor.pub"), "signedIdentity": {"type": "matchRepository"}}
        docker = {"docker.io/library": [vendor], "quay.io/team": [vendor]}
        document = {"default": [{"type": "reject"}], "transports": {"docker": docker, "airgap": {"": [{"type": "reject"}]}}}
        (root / "policy.json").write_text(json.dumps(document))

    def run(self, kind: str, *options: object, to: str = TARGET) -> tuple[int, Any]:
        """Exit code and the document printed."""
        fixed = ["--to", to, "--format", kind, "--policy", self.root / "policy.json", "--out", self.root / kind]
        code = run(["mirror-config", *map(str, [*fixed, *options]), "--json"])
        return code, json.loads(self.capsys.readouterr().out)

    def objects(self, kind: str) -> list[Any]:
        return list(yaml.safe_load_all((self.root / kind / f"{kind}.yaml").read_text()))


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path, capsys)


@pytest.mark.parametrize("kind", OBJECTS)
def test_one_key_of_the_site_is_all_that_a_cluster_needs(desk: Desk, kind: str) -> None:
    code, facts = desk.run(kind, "--site-key", desk.root / "site.pub")
    assert code == 0
    assert facts["mode"] == "site"
    assert facts["paths"] == [str(desk.root / kind / f"{kind}.yaml")]
    for one in desk.objects(kind):
        check_form(one)
    text = (desk.root / kind / f"{kind}.yaml").read_text()
    assert ROOT in text
    assert "docker.io" not in text
    code, facts = desk.run(kind, "--site-key", desk.root / "vendor.pub")
    assert (code, facts["error"]) == (2, "a file with different content already exists")


@pytest.mark.parametrize("kind", OBJECTS[:2])
def test_vendors_signatures_count_below_the_targets_names_where_their_names_need_not(desk: Desk, kind: str) -> None:
    code, facts = desk.run(kind)
    assert code == 2
    assert "cannot check the name" in facts["error"]
    assert facts["where"] == f"{ROOT}/docker.io/library"
    assert not (desk.root / kind).exists()
    allowed = ("--ignore-signed-name", "docker.io/library", "--ignore-signed-name", "quay.io")
    code, facts = desk.run(kind, *allowed)
    assert (code, facts["mode"]) == (0, "internal")
    assert not any("matchRepository" in warning for warning in facts["warnings"])
    text = (desk.root / kind / f"{kind}.yaml").read_text()
    assert f"{ROOT}/docker.io/library" in text
    assert f"{ROOT}/quay.io/team" in text


@pytest.mark.parametrize("scope", ["quay.io/other", "docker.io/library/nginx", "", "Bad Scope", "../x"])
def test_a_scope_that_the_policy_does_not_have_is_no_permission(desk: Desk, scope: str) -> None:
    code, facts = desk.run("kyverno", "--ignore-signed-name", scope)
    assert code == 2
    assert facts["error"]


def test_openshift_knows_mirrors_and_names(desk: Desk) -> None:
    code, facts = desk.run("openshift")
    assert (code, facts["mode"]) == (0, "original")
    found = desk.objects("openshift")
    assert [one["spec"]["scopes"] for one in found] == [["docker.io/library"], ["quay.io/team"]]
    assert {one["spec"]["policy"]["signedIdentity"]["matchPolicy"] for one in found} == {"MatchRepository"}


def test_crio_gets_a_policy_for_each_namespace(desk: Desk) -> None:
    code, facts = desk.run("crio", "--site-key", desk.root / "site.pub", "--namespace", "shop", "--namespace", "bank")
    assert code == 0
    names = ["policies/shop.json", "policies/bank.json", "registries.d/airgap.yaml", "registries.conf"]
    assert facts["paths"] == [str(desk.root / "crio" / name) for name in names]
    assert facts["key_files"] == [str(desk.root / "site.pub")]
    shop, bank = ((desk.root / "crio" / name).read_bytes() for name in names[:2])
    assert shop == bank
    assert list(parse_policy(shop).transports["docker"]) == [ROOT]


@pytest.mark.parametrize("namespace", ["", "Shop", "a/b", "..", "-a", "a" * 64])
def test_what_is_no_namespace_is_refused(desk: Desk, namespace: str) -> None:
    code, facts = desk.run("crio", "--site-key", desk.root / "site.pub", "--namespace", namespace)
    assert (code, facts["error"]) == (2, "not a namespace")


def test_options_of_another_format_are_refused(desk: Desk) -> None:
    assert desk.run("crio")[1]["error"] == "no namespace is given"
    assert desk.run("policy", "--namespace", "shop")[1]["where"] == "--namespace"
    assert desk.run("openshift", "--ignore-signed-name", "quay.io")[1]["where"] == "--ignore-signed-name"
    code, facts = desk.run("kyverno", "--mode", "original")
    assert (code, facts["where"]) == (2, "--mode")


def test_the_examples_of_the_documentation_are_what_clusters_read() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", PULLING.read_text(), re.DOTALL)
    found = [one for block in blocks for one in yaml.safe_load_all(block)]
    assert {one["kind"] for one in found} == {"ClusterPolicy", "ConfigMap", "ClusterImagePolicy"}
    for one in found:
        check_form(one)


def test_the_sites_trusted_root_comes_with_the_options_and_must_be_one(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    (desk.root / "root.json").write_bytes(trustedroots.root(ct_logs=[trustedroots.log("ct.example")]))
    with open_vault() as vault:
        authority, log = (base64.b64encode(pem).decode() for pem in (vault.root_pem, vault.key("log").pem))
    fulcio = {"caData": authority, "oidcIssuer": ISSUER, "subjectEmail": EMAIL}
    document = json.loads((desk.root / "policy.json").read_text())
    document["transports"]["docker"] = {"quay.io/team": [{"type": "sigstoreSigned", "fulcio": fulcio, "rekorPublicKeyData": log}]}
    (desk.root / "policy.json").write_text(json.dumps(document))
    code, _ = desk.run("policy-controller", "--ignore-signed-name", "quay.io/team", "--trusted-root", desk.root / "root.json")
    assert code == 0
    (root,) = (one for one in desk.objects("policy-controller") if one["kind"] == "TrustRoot")
    assert len(root["spec"]["sigstoreKeys"]["ctLogs"]) == 1
    (desk.root / "root.json").write_text("{}")
    code, facts = desk.run("kyverno", "--ignore-signed-name", "quay.io/team", "--trusted-root", desk.root / "root.json")
    assert (code, "not a trusted root" in facts["error"]) == (2, True)
