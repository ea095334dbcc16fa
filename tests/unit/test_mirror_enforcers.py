"""Objects for clusters: the same verdict as at the import, and never a weaker one; what they cannot say is refused."""

from __future__ import annotations

import base64
import contextlib
import json
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from airgap.admission import site
from airgap.errors import UsageError
from airgap.mirror.enforcers import Enforcer, default_mode, for_cluster
from airgap.mirror.engines import Written
from airgap.mirror.policy import HostRules, Mode
from airgap.mirror.yamltext import yaml_text
from airgap.trust.keys.keystore import KeyStore
from airgap.trust.keys.signers import generate
from airgap.trust.policy.document import parse_policy
from airgap.trust.sigstore.trustedroot import TrustedRoot
from tests.support import trustedroots
from tests.support.clusters import (
    Signed,
    check_form,
    controller_admits,
    import_admits,
    kyverno_admits,
    openshift_policy,
)
from tests.support.sigstorekeys import EMAIL, HOST, ISSUER, Vault, open_vault

ROOT = "reg.site:5000/mirror"
ACCEPT, REJECT = {"type": "insecureAcceptAnything"}, {"type": "reject"}
ONE, TWO = (generate("ecdsa", None).public_pem.decode() for _ in range(2))
ADMITS: dict[Enforcer, Callable[[Sequence[Any], Signed], bool]] = {
    Enforcer.KYVERNO: kyverno_admits,
    Enforcer.CONTROLLER: controller_admits,
}
ADMISSION = list(ADMITS)


@pytest.fixture(scope="module")
def vault() -> Iterator[Vault]:
    with open_vault() as found:
        yield found


def data(*pems: str) -> dict[str, Any]:
    texts = [base64.b64encode(pem.encode()).decode() for pem in pems]
    return {"keyData": texts[0]} if len(texts) == 1 else {"keyDatas": texts}


def signed(*pems: str, **more: Any) -> dict[str, Any]:
    return {"type": "sigstoreSigned", **data(*pems), **more}


def keyless(vault: Vault, email: str = EMAIL) -> dict[str, Any]:
    authority = base64.b64encode(vault.root_pem).decode()
    log = base64.b64encode(vault.key("log").pem).decode()
    who = {"caData": authority, "oidcIssuer": ISSUER, "subjectEmail": email}
    return {"type": "sigstoreSigned", "fulcio": who, "rekorPublicKeyData": log}


def made(enforcer: Enforcer, docker: dict[str, Any], mode: Mode = Mode.SITE, unnamed: Sequence[str] = (), **more: Any) -> Written:
    with contextlib.closing(KeyStore(site.read_key)) as store:
        return for_cluster(enforcer, mode, HostRules(docker, {}), store, unnamed, **more)


def objects(enforcer: Enforcer, docker: dict[str, Any], **more: Any) -> list[Any]:
    (text,) = made(enforcer, docker, **more).files.values()
    found = list(yaml.load_all(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    for one in found:
        check_form(one)
    return found


# the same verdict


BOTH = [signed(ONE), signed(TWO)]
KINDS = [[ACCEPT], [REJECT], [signed(ONE)], [signed(TWO)], [signed(ONE, TWO)], BOTH, [ACCEPT, signed(ONE)]]
SCOPES = [ROOT, f"{ROOT}/a.b", f"{ROOT}/a-b", f"{ROOT}/a.b/c", f"{ROOT}/a.b/c/d", f"{ROOT}/x"]
PATHS = ["", "/y", "/x", "/x/y", "/a.b", "/a.b/c", "/a.b/c/d", "/a.b/cd", "/a-b/c", "/axb"]
NAMES = [f"{ROOT}{path}:1" for path in PATHS] + [f"{ROOT}/a.b/c@sha256:{'0' * 64}"]
NAMES += [f"{place}/a.b/c:1" for place in ("reg.site:5000/other", "regxsite:5000/mirror", "reg.site/mirror")]
IMAGES = [Signed(name, frozenset(keys)) for name in NAMES for keys in ((), (ONE,), (TWO,), (ONE, TWO))]


def random_policy(chance: random.Random) -> dict[str, Any]:
    return {name: chance.choice(KINDS) for name in chance.sample(SCOPES, chance.randint(1, 4))}


@pytest.mark.parametrize("enforcer", ADMISSION)
def test_a_cluster_admits_what_the_import_accepts_whatever_the_scopes_are(enforcer: Enforcer) -> None:
    chance, written, stricter = random.Random(7), 0, 0
    for _ in range(100):
        docker = random_policy(chance)
        try:
            found = objects(enforcer, docker)
        except UsageError:
            continue
        written += 1
        for image in IMAGES:
            here, there = import_admits(docker, image), ADMITS[enforcer](found, image)
            assert here or not there, (docker, image)
            stricter += here and not there
    assert written > 20
    # Kyverno's wildcards take a-b and axb for a.b as well: there, both scopes count
    assert stricter == 0 or enforcer is Enforcer.KYVERNO


def test_openshifts_nodes_get_the_policy_that_was_there() -> None:
    chance, written = random.Random(8), 0
    for _ in range(100):
        docker = random_policy(chance)
        try:
            found = objects(Enforcer.OPENSHIFT, docker)
        except UsageError:
            continue
        written += 1
        allowed = [scope for scope, found in docker.items() if REJECT not in found]
        nodes = openshift_policy(found, allowed)
        assert parse_policy(json.dumps(nodes).encode()).default
        for image in IMAGES:
            assert import_admits(nodes["transports"]["docker"], image) == import_admits(docker, image), (docker, image)
    assert written > 20


@pytest.mark.parametrize("enforcer", ADMISSION)
def test_a_keyless_signer_is_the_one_that_the_policy_names(enforcer: Enforcer, vault: Vault) -> None:
    found = objects(enforcer, {ROOT: [keyless(vault)]})
    people = [(ISSUER, EMAIL), (ISSUER, EMAIL.replace(".", "x")), (ISSUER.replace(".", "x"), EMAIL), (ISSUER, f"a{EMAIL}")]
    admitted = [ADMITS[enforcer](found, Signed(f"{ROOT}/app:1", people=frozenset([one]))) for one in people]
    assert admitted == [True, False, False, False]
    text = yaml.safe_dump(found)
    assert "https://nobody.invalid" in text
    assert "sigstore.dev/fulcio" not in text


def test_a_trust_root_has_the_sites_authorities_and_logs(vault: Vault) -> None:
    (root,) = (one for one in objects(Enforcer.CONTROLLER, {ROOT: [keyless(vault)]}) if one["kind"] == "TrustRoot")
    keys = root["spec"]["sigstoreKeys"]
    assert [base64.b64decode(one["certChain"]) for one in keys["certificateAuthorities"]] == [vault.root_pem]
    assert [base64.b64decode(one["publicKey"]) for one in keys["tLogs"]] == [vault.key("log").pem]


def instance(vault: Vault, *ct_logs: str) -> TrustedRoot:
    """A Sigstore instance whose CA is that of the policy, through an intermediate; and a CA that the policy does not name."""
    own = [vault.authority("middle"), vault.authority("root")]
    authorities = [_authority(own), _authority([vault.authority("stranger")])]
    logs = [trustedroots.log(name) for name in ct_logs]
    return TrustedRoot.parse(trustedroots.root([trustedroots.log("rekor")], authorities, ct_logs=logs), "root.json")


def _authority(chain: list[x509.Certificate]) -> dict[str, Any]:
    ders = [base64.b64encode(one.public_bytes(Encoding.DER)).decode() for one in chain]
    certificates = [{"rawBytes": der} for der in ders]
    return {"uri": "", "certChain": {"certificates": certificates}, "validFor": {"start": trustedroots.START}}


def test_a_trust_root_gets_the_instances_ct_logs_and_intermediates_and_no_other_authority_or_log(vault: Vault) -> None:
    root = instance(vault, "ct-1", "ct-2")
    found = objects(Enforcer.CONTROLLER, {ROOT: [keyless(vault)]}, root=lambda: root)
    (keys,) = (one["spec"]["sigstoreKeys"] for one in found if one["kind"] == "TrustRoot")
    assert [base64.b64decode(one["certChain"]) for one in keys["certificateAuthorities"]] == [
        vault.root_pem,
        vault.certificates["middle"],
    ]
    assert [base64.b64decode(one["publicKey"]) for one in keys["tLogs"]] == [vault.key("log").pem]
    assert [base64.b64decode(one["publicKey"]) for one in keys["ctLogs"]] == [log.key.pem for log in root.ct_logs]
    ((authority,),) = (one["spec"]["authorities"] for one in found if one["kind"] == "ClusterImagePolicy")
    assert "insecureIgnoreSCT" not in authority["keyless"]
    assert "rfc3161timestamp" not in authority  # with it, policy-controller asks for no log any more


def test_kyverno_asks_for_a_certificate_that_one_of_the_instances_ct_logs_has_recorded(vault: Vault) -> None:
    root = instance(vault, "ct-1", "ct-2")
    (policy,) = objects(Enforcer.KYVERNO, {ROOT: [keyless(vault)]}, root=lambda: root)
    (verify,) = policy["spec"]["rules"][-1]["verifyImages"]
    entries = [one["keyless"] for one in verify["attestors"][0]["entries"]]
    assert [one["ctlog"] for one in entries] == [{"pubkey": log.key.pem.decode()} for log in root.ct_logs]
    assert {one["roots"] for one in entries} == {vault.root_pem.decode()}
    assert verify["attestors"][0]["count"] == 1


@pytest.mark.parametrize("enforcer", ADMISSION)
def test_without_an_instance_or_its_ct_logs_nobody_can_tell_whether_a_certificate_was_recorded(
    enforcer: Enforcer, vault: Vault
) -> None:
    bare = instance(vault)
    texts = [made(enforcer, {ROOT: [keyless(vault)]}, root=lambda one=one: one).files for one in (None, bare)]
    assert all("gnoreSCT" in text for one in texts for text in one.values())


@pytest.mark.parametrize("enforcer", list(Enforcer))
def test_an_instance_is_asked_for_only_if_a_requirement_is_about_its_certificates(enforcer: Enforcer) -> None:
    def never() -> TrustedRoot | None:
        raise AssertionError("asked for a trusted root")

    assert made(enforcer, {ROOT: [signed(ONE)]}, root=never).files


def test_openshift_gets_certificates_and_logs_as_the_policy_has_them(vault: Vault) -> None:
    authority, log = (base64.b64encode(pem).decode() for pem in (vault.root_pem, vault.key("log").pem))
    pki = {"type": "sigstoreSigned", "pki": {"caRootsData": authority, "subjectEmail": EMAIL, "subjectHostname": HOST}}
    docker = {f"{ROOT}/a": [keyless(vault)], f"{ROOT}/b": [pki], f"{ROOT}/c": [signed(ONE, rekorPublicKeyData=log)]}
    assert openshift_policy(objects(Enforcer.OPENSHIFT, docker), ())["transports"]["docker"] == docker


@pytest.mark.parametrize(
    "identity",
    [
        {"type": "matchRepository"},
        {"type": "exactRepository", "dockerRepository": "quay.io/team/app"},
        {"type": "remapIdentity", "prefix": f"{ROOT}/quay.io", "signedPrefix": "quay.io"},
    ],
    ids=lambda identity: identity["type"],
)
def test_openshift_checks_the_name_that_the_policy_asks_for(identity: dict[str, str]) -> None:
    docker = {ROOT: [signed(ONE, signedIdentity=identity)]}
    assert openshift_policy(objects(Enforcer.OPENSHIFT, docker, mode=Mode.INTERNAL), ())["transports"]["docker"] == docker


def test_keys_from_files_stand_in_the_objects(tmp_path: Any) -> None:
    (tmp_path / "key.pub").write_text(ONE)
    for enforcer in Enforcer:
        docker = {ROOT: [{"type": "sigstoreSigned", "keyPath": str(tmp_path / "key.pub")}]}
        assert objects(enforcer, docker) == objects(enforcer, {ROOT: [signed(ONE)]})
        with pytest.raises(UsageError, match="a key of this scope cannot be read"):
            made(enforcer, {ROOT: [{"type": "sigstoreSigned", "keyPath": str(tmp_path / "none.pub")}]})


def test_a_whole_registry_can_be_the_scope() -> None:
    for enforcer, admits in ADMITS.items():
        found = objects(enforcer, {"reg.site": [signed(ONE)]})
        assert admits(found, Signed("reg.site/x:1", frozenset([ONE])))
        assert not admits(found, Signed("reg.site/x:1"))
        assert not admits(found, Signed("reg.site:5000/x:1", frozenset([ONE])))


# what they cannot say


@pytest.mark.parametrize("enforcer", Enforcer)
def test_what_no_cluster_can_verify_is_refused_by_its_scope(enforcer: Enforcer, vault: Vault) -> None:
    gpg = {"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k.gpg"}
    with pytest.raises(UsageError, match="cannot verify OpenPGP signatures") as refused:
        made(enforcer, {f"{ROOT}/team": [signed(ONE), gpg]})
    assert refused.value.where == f"{ROOT}/team"
    assert "--sign-by" in refused.value.hint
    with pytest.raises(UsageError, match="no scope requires a signature"):
        made(enforcer, {ROOT: [ACCEPT]})


@pytest.mark.parametrize("enforcer", ADMISSION)
def test_admission_does_without_certificates_of_ones_own_and_parts_of_repositories(enforcer: Enforcer, vault: Vault) -> None:
    authority = base64.b64encode(vault.root_pem).decode()
    with pytest.raises(UsageError, match="certificate"):
        made(enforcer, {ROOT: [{"type": "sigstoreSigned", "pki": {"caRootsData": authority, "subjectEmail": EMAIL}}]})
    for scope in (f"{ROOT}/app:1", f"{ROOT}/app@sha256:" + "0" * 64):
        with pytest.raises(UsageError, match="cannot tell a tag or a digest"):
            made(enforcer, {scope: [signed(ONE)]})
    with pytest.raises(UsageError, match="knows no mirrors"):
        made(enforcer, {"docker.io": [signed(ONE)]}, Mode.ORIGINAL)


@pytest.mark.parametrize("enforcer", ADMISSION)
def test_a_scope_whose_wider_scope_would_decide_as_well_is_refused(enforcer: Enforcer) -> None:
    for outer, inner in (([signed(ONE)], [signed(TWO)]), ([signed(ONE)], [ACCEPT]), ([signed(ONE)], [signed(ONE, TWO)])):
        with pytest.raises(UsageError, match="applies every policy that matches") as refused:
            made(enforcer, {ROOT: outer, f"{ROOT}/a/b": inner})
        assert refused.value.where == f"{ROOT}/a/b"


def test_policy_controller_has_no_log_for_keys_where_kyverno_has(vault: Vault) -> None:
    log = base64.b64encode(vault.key("log").pem).decode()
    docker = {ROOT: [signed(ONE, rekorPublicKeyData=log)]}
    with pytest.raises(UsageError, match="cannot require a log for signatures by key"):
        made(Enforcer.CONTROLLER, docker)
    (policy,) = objects(Enforcer.KYVERNO, docker)
    (entry,) = policy["spec"]["rules"][-1]["verifyImages"][0]["attestors"][0]["entries"]
    assert entry["keys"]["rekor"] == {"url": "https://nobody.invalid", "pubkey": vault.key("log").pem.decode()}


@pytest.mark.parametrize(
    ("docker", "what"),
    [
        ({ROOT: [signed(ONE, TWO)]}, "any one of several keys"),
        ({ROOT: [signed(ONE)], f"{ROOT}/bad": [REJECT]}, "reject a part"),
        ({"*.site": [signed(ONE)], "reg.site/bad": [REJECT]}, "reject a part"),
        ({ROOT: [signed(ONE, signedIdentity={"type": "matchExact"})]}, "exact reference"),
        ({"registry:5000/mirror": [signed(ONE)]}, "a domain with a dot"),
        ({ROOT: [signed(ONE)], f"{ROOT}/bad:1": [REJECT]}, "tell a tag"),
    ],
)
def test_what_openshift_cannot_say_is_refused(docker: dict[str, Any], what: str) -> None:
    with pytest.raises(UsageError, match="OpenShift cannot") as refused:
        made(Enforcer.OPENSHIFT, docker, Mode.ORIGINAL)
    assert what in refused.value.what


@pytest.mark.parametrize("enforcer", ADMISSION)
def test_a_vendors_name_is_left_unchecked_only_where_that_is_allowed(enforcer: Enforcer) -> None:
    docker = {f"{ROOT}/docker.io/library": [signed(ONE)], f"{ROOT}/quay.io/team": [signed(TWO)]}
    with pytest.raises(UsageError, match="cannot check the name that a signature was made for"):
        made(enforcer, docker, Mode.INTERNAL)
    with pytest.raises(UsageError, match="cannot check the name") as refused:
        made(enforcer, docker, Mode.INTERNAL, [f"{ROOT}/quay.io"])
    assert refused.value.where == f"{ROOT}/docker.io/library"
    written = made(enforcer, docker, Mode.INTERNAL, [f"{ROOT}/quay.io", f"{ROOT}/docker.io/library"])
    assert sum("passes under any name there" in warning for warning in written.warnings) == 2
    for scope in (f"{ROOT}/quay", f"{ROOT}/quay.io/team/app", ROOT[:-1]):
        with pytest.raises(UsageError, match="no signed name is left unchecked there"):
            made(enforcer, docker, Mode.INTERNAL, [scope])


@pytest.mark.parametrize("enforcer", ADMISSION)
def test_what_a_cluster_does_not_see_is_said(enforcer: Enforcer) -> None:
    warnings = made(enforcer, {ROOT: [signed(ONE)]}).warnings
    assert any(f"passes under any name below {ROOT}" in warning for warning in warnings)
    assert any("namespaces" in warning for warning in warnings)


def test_openshift_is_told_what_to_allow() -> None:
    (warning,) = made(Enforcer.OPENSHIFT, {f"{ROOT}/a": [signed(ONE)], f"{ROOT}/b": [ACCEPT], f"{ROOT}/c": [REJECT]}).warnings
    assert "allowedRegistries" in warning
    assert f"{ROOT}/a, {ROOT}/b, and" in warning


def test_plain_http_is_allowed_or_said() -> None:
    (policy,) = objects(Enforcer.KYVERNO, {ROOT: [signed(ONE)]}, insecure=True)
    assert policy["spec"]["rules"][-1]["verifyImages"][0]["imageRegistryCredentials"] == {"allowInsecureRegistry": True}
    assert any("HTTPS" in warning for warning in made(Enforcer.CONTROLLER, {ROOT: [signed(ONE)]}, insecure=True).warnings)


def test_the_mode_follows_the_sites_key_and_what_a_cluster_can_do() -> None:
    assert {default_mode(enforcer, signed=True) for enforcer in Enforcer} == {Mode.SITE}
    unsigned = [default_mode(enforcer, signed=False) for enforcer in (*ADMISSION, Enforcer.OPENSHIFT)]
    assert unsigned == [Mode.INTERNAL, Mode.INTERNAL, Mode.ORIGINAL]


@pytest.mark.parametrize(
    "value",
    [
        {"a": {}, "b": [], "c": "", "d": True, "e": 1, "f": "x: y # z", "g": [[1, 2], {"h": "i\nj\n"}, "k\n"]},
        {"text": "\n"}, {"text": "a\n\nb\n"}, {"text": " a\n"}, {"text": "a\nb"}, {"text": "ä\nb\n"}, {"text": "a\tb\n"},
        {"text": "--- \n...\n"}, {"list": [{"x": "a\nb\n", "y": [{"z": {"q": "w\n"}}]}]},
    ],
)  # fmt: skip
def test_yaml_is_read_as_it_was_meant(value: Any) -> None:
    assert list(yaml.safe_load_all(yaml_text([value, value], "a comment"))) == [value, value]
