"""Who signed a bundle and is that enough: real keys, real gpg, and attackers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import pytest

from airgap import fsio
from airgap.errors import MediaError, Refused
from airgap.limits import MAX_KEYRING, MAX_SIGNATURE, MAX_SIGNATURES
from airgap.trust.judge.bundles import CatalogSignatures, Verdict, check_catalog_signatures, judge_stream
from airgap.trust.keys import signers as keys
from airgap.trust.policy.document import Policy, parse_policy
from airgap.trust.policy.templates import PolicyKey, site_policy
from tests.support.trustkit import GpgHome, gpg_home

RAW = b'{"schema":"airgap.catalog/1","stream":"prod"}\n'
ACCEPT = {"type": "insecureAcceptAnything"}
REJECT = {"type": "reject"}


def read_key(path: str) -> bytes:
    return fsio.read_input(Path(path), MAX_KEYRING, "key file")


class Person:
    """Somebody with a key, and the file of its public half."""

    def __init__(self, directory: Path, name: str, kind: Literal["ecdsa", "ed25519"] = "ecdsa") -> None:
        pair = keys.generate(kind, None)
        self.signer = keys.KeySigner.load(pair.private_pem, lambda: None, name)
        self.public = directory / f"{name}.pub"
        self.public.write_bytes(pair.public_pem)

    @property
    def file(self) -> str:
        return f"catalog.json.{self.signer.key_id}.sig"

    @property
    def wanted(self) -> dict[str, object]:
        return {"type": "sigstoreSigned", "keyPath": str(self.public)}

    def signature(self, raw: bytes = RAW) -> dict[str, bytes]:
        return {self.file: self.signer.sign(raw)}


@pytest.fixture
def alice(tmp_path: Path) -> Person:
    return Person(tmp_path, "alice")


@pytest.fixture
def bob(tmp_path: Path) -> Person:
    return Person(tmp_path, "bob", "ed25519")


@pytest.fixture(scope="module")
def home() -> Iterator[GpgHome]:
    with gpg_home() as opened:
        yield opened


@pytest.fixture(scope="module")
def carol(home: GpgHome) -> str:
    return home.new_key("carol")


def airgap_policy(default: Sequence[object] | None = None, **scopes: Sequence[object]) -> Policy:
    transports = {"airgap": {"" if name == "any" else name: wanted for name, wanted in scopes.items()}}
    return parse_policy(json.dumps({"default": default or [REJECT], "transports": transports}).encode())


def check(policy: Policy, signatures: Mapping[str, bytes], raw: bytes = RAW) -> CatalogSignatures:
    return check_catalog_signatures(raw, signatures, policy, read_key)


def judge(policy: Policy, signatures: Mapping[str, bytes], stream: str = "prod") -> Verdict:
    return judge_stream(check(policy, signatures), policy, stream)


def openpgp(home: GpgHome, fingerprint: str, raw: bytes = RAW) -> dict[str, bytes]:
    return {f"catalog.json.{fingerprint[-16:].lower()}.asc": home.detached(fingerprint, raw)}


def gpg_wanted(home: GpgHome, directory: Path, *fingerprints: str) -> dict[str, object]:
    path = directory / f"{fingerprints[0]}.gpg"
    path.write_bytes(home.export(*fingerprints))
    return {"type": "signedBy", "keyType": "GPGKeys", "keyPath": str(path)}


def test_signature_by_the_policys_key_is_accepted_and_named(alice: Person) -> None:
    verdict = judge(airgap_policy(prod=[alice.wanted]), alice.signature())
    assert verdict.scope == 'transports.airgap["prod"]'
    assert len(verdict.signers) == 1
    assert alice.signer.key_id in verdict.signers[0]
    assert str(alice.public) in verdict.reasons[0]


def test_openpgp_signature_by_the_policys_key_is_accepted(home, carol, tmp_path) -> None:
    verdict = judge(airgap_policy(any=[gpg_wanted(home, tmp_path, carol)]), openpgp(home, carol))
    assert carol[-16:].lower() in verdict.signers[0]


def test_unsigned_catalog_is_refused_before_it_is_parsed(alice: Person) -> None:
    with pytest.raises(Refused) as caught:
        check(airgap_policy(prod=[alice.wanted]), {})
    assert caught.value.got == "no signature at all"
    assert alice.signer.key_id in caught.value.expected
    assert caught.value.hint


def test_catalog_changed_by_one_byte_is_refused_before_it_is_parsed(alice: Person, home, carol, tmp_path) -> None:
    signatures = {**alice.signature(), **openpgp(home, carol)}
    for wanted in (alice.wanted, gpg_wanted(home, tmp_path, carol)):
        policy = airgap_policy(any=[wanted])
        check(policy, signatures)
        with pytest.raises(Refused):
            check(policy, signatures, RAW.replace(b"prod", b"prod "))


def test_catalog_signed_by_a_stranger_is_refused_before_it_is_parsed(alice: Person, bob: Person, home, carol) -> None:
    policy = airgap_policy(any=[alice.wanted])
    for signatures in (bob.signature(), {alice.file: bob.signature()[bob.file]}, openpgp(home, carol)):
        with pytest.raises(Refused):
            check(policy, signatures)


def test_a_good_signature_by_a_key_that_the_policy_does_not_name_is_not_called_bad(alice: Person, bob: Person) -> None:
    """Nobody can tell without its key; what is said is true of a good and of a bad one, and names the key that it may be by."""
    policy = airgap_policy(any=[alice.wanted])
    said = {}
    for name, signatures in {
        "by another": bob.signature(),
        "by another, named after ours": {alice.file: bob.signature()[bob.file]},
        "over other bytes": alice.signature(RAW + b" "),
    }.items():
        with pytest.raises(Refused) as caught:
            check(policy, signatures)
        said[name] = caught.value.got
    assert (
        said["by another"]
        == f"{bob.file}: no accepted key made it: the file is named after another key, got key {bob.signer.key_id}"
    )
    ours = f"{alice.file}: not a signature of these bytes by the key that the file is named after, got key {alice.signer.key_id}"
    assert said["by another, named after ours"] == said["over other bytes"] == ours


def test_file_name_does_not_decide_who_signed(alice: Person) -> None:
    judge(airgap_policy(any=[alice.wanted]), {"catalog.json.0000000000000000.sig": alice.signature()[alice.file]})


def test_without_any_scope_for_bundles_the_default_decides(alice: Person) -> None:
    with pytest.raises(Refused) as caught:
        check(airgap_policy(), alice.signature())
    assert "policy init" in caught.value.hint
    assert judge(airgap_policy(default=[ACCEPT]), {}).scope == "default"
    assert judge(airgap_policy(default=[alice.wanted]), alice.signature()).scope == "default"


def test_default_does_not_count_where_the_empty_scope_decides_for_all(alice: Person) -> None:
    with pytest.raises(Refused):
        check(airgap_policy(default=[ACCEPT], any=[alice.wanted]), {})


def test_accept_anything_must_be_written_down(alice: Person) -> None:
    verdict = judge(airgap_policy(prod=[ACCEPT]), {})
    assert verdict.signers == ()
    assert "without any signature" in verdict.reasons[0]
    with pytest.raises(Refused):
        judge(airgap_policy(prod=[ACCEPT]), {}, stream="other")
    with pytest.raises(Refused):
        judge(airgap_policy(prod=[ACCEPT, alice.wanted]), {})


def test_scope_of_one_stream_does_not_open_another(alice: Person, bob: Person) -> None:
    policy = airgap_policy(test=[bob.wanted], prod=[alice.wanted])
    found = check(policy, bob.signature())
    assert judge_stream(found, policy, "test").signers
    for stream in ("prod", "elsewhere"):
        with pytest.raises(Refused) as caught:
            judge_stream(found, policy, stream)
        assert stream in caught.value.where


def test_most_specific_scope_decides_alone(alice: Person, bob: Person) -> None:
    policy = airgap_policy(any=[ACCEPT], prod=[alice.wanted])
    with pytest.raises(Refused):
        judge(policy, bob.signature(), "prod")
    assert judge(policy, bob.signature(), "lab").signers == ()


def test_two_person_rule_needs_both(alice: Person, bob: Person) -> None:
    policy = airgap_policy(any=[alice.wanted, bob.wanted])
    assert len(judge(policy, {**alice.signature(), **bob.signature()}).signers) == 2
    for one in (alice, bob):
        with pytest.raises(Refused):
            check(policy, one.signature())


def test_two_person_rule_is_not_met_by_one_key_listed_twice(alice: Person, bob: Person, tmp_path: Path) -> None:
    copy = tmp_path / "copy.pub"
    copy.write_bytes(alice.public.read_bytes().replace(b"\n", b"\r\n"))
    either = {"type": "sigstoreSigned", "keyPaths": [str(alice.public), str(bob.public)]}
    for wanted in ([alice.wanted, {**alice.wanted, "keyPath": str(copy)}], [alice.wanted, alice.wanted], [either, either]):
        policy = airgap_policy(any=wanted)
        twice = {**alice.signature(), "catalog.json.0000000000000000.sig": alice.signature()[alice.file]}
        with pytest.raises(Refused) as caught:
            check(policy, twice)
        assert "different" in caught.value.what


def test_keys_are_handed_out_so_that_every_requirement_gets_its_own(alice: Person, bob: Person, tmp_path: Path) -> None:
    either = {"type": "sigstoreSigned", "keyPaths": [str(alice.public), str(bob.public)]}
    both = {**alice.signature(), **bob.signature()}
    for wanted in ([either, alice.wanted], [alice.wanted, either], [either, bob.wanted], [either, either]):
        assert len(set(judge(airgap_policy(any=wanted), both).signers)) == 2


def test_two_person_rule_across_kinds_of_keys(alice: Person, home, carol, tmp_path) -> None:
    policy = airgap_policy(any=[alice.wanted, gpg_wanted(home, tmp_path, carol)])
    assert len(judge(policy, {**alice.signature(), **openpgp(home, carol)}).signers) == 2
    with pytest.raises(Refused):
        check(policy, alice.signature())


def test_any_of_several_keys(alice: Person, bob: Person) -> None:
    policy = parse_policy(json.dumps(site_policy([PolicyKey(path=str(one.public)) for one in (alice, bob)], any_of=True)).encode())
    for one in (alice, bob):
        assert one.signer.key_id in judge(policy, one.signature()).signers[0]


def test_key_data_in_the_policy_needs_no_file(alice: Person) -> None:
    import base64

    data = base64.b64encode(alice.public.read_bytes()).decode()
    for wanted in ({"type": "sigstoreSigned", "keyData": data}, {"type": "sigstoreSigned", "keyDatas": [data]}):
        judge(airgap_policy(any=[wanted]), alice.signature())


def test_missing_key_file_fails_its_requirement_and_is_named(alice: Person, bob: Person) -> None:
    missing = str(alice.public) + ".gone"
    for wanted in (
        {"type": "sigstoreSigned", "keyPaths": [str(alice.public), missing]},
        {"type": "sigstoreSigned", "keyPath": missing},
        {"type": "signedBy", "keyType": "GPGKeys", "keyPath": missing},
    ):
        with pytest.raises(Refused) as caught:
            check(airgap_policy(any=[wanted]), alice.signature())
        assert missing in caught.value.got
    policy = airgap_policy(broken=[{"type": "sigstoreSigned", "keyPath": missing}], prod=[alice.wanted])
    assert judge(policy, alice.signature()).signers


def test_empty_key_sources_are_never_satisfied(home, carol) -> None:
    sources: tuple[dict[str, object], ...] = ({"keyPaths": []}, {"keyData": ""})
    for source in sources:
        with pytest.raises(Refused):
            check(airgap_policy(any=[{"type": "signedBy", "keyType": "GPGKeys", **source}]), openpgp(home, carol))


@pytest.mark.parametrize(
    "extra",
    [
        {"signedIdentity": {"type": "matchRepository"}},
        {"keyPath": None, "pki": {"caRootsPath": "/c", "subjectEmail": "e"}},
    ],
    ids=["signedIdentity", "pki"],
)
def test_requirements_without_meaning_for_bundles_are_refused_and_say_why(alice: Person, extra) -> None:
    wanted = {name: value for name, value in {**alice.wanted, **extra}.items() if value is not None}
    with pytest.raises(Refused) as caught:
        check(airgap_policy(any=[wanted]), alice.signature())
    assert "not apply to bundles" in caught.value.got


@pytest.mark.parametrize("key_type", ["signedByGPGKeys", "X509Certificates", "signedByX509CAs"])
def test_other_key_types_never_pass(home, carol, tmp_path, key_type) -> None:
    wanted = {**gpg_wanted(home, tmp_path, carol), "keyType": key_type}
    with pytest.raises(Refused):
        check(airgap_policy(any=[wanted]), openpgp(home, carol))


def test_signed_base_layer_never_passes(alice: Person) -> None:
    wanted = {"type": "signedBaseLayer", "baseLayerIdentity": {"type": "matchExact"}}
    with pytest.raises(Refused):
        check(airgap_policy(any=[wanted]), alice.signature())


def test_bad_signatures_beside_a_good_one_do_not_poison_it_and_are_mentioned(
    alice: Person, bob: Person, home, carol, tmp_path
) -> None:
    bad = {
        "catalog.json.1111111111111111.sig": b"not base64 at all",
        "catalog.json.2222222222222222.sig": b"A" * (MAX_SIGNATURE + 1),
        "catalog.json.3333333333333333.asc": b"-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----\n",
        "catalog.json.evil\x1b[31m.sig": b"",
        **bob.signature(),
    }
    verdict = judge(
        airgap_policy(any=[alice.wanted, gpg_wanted(home, tmp_path, carol)]), {**bad, **alice.signature(), **openpgp(home, carol)}
    )
    ignored = [reason for reason in verdict.reasons if reason.startswith("ignored ")]
    assert len(ignored) == len(bad)
    assert "\x1b" not in "".join(verdict.reasons)


def test_a_flood_of_signatures_is_refused(alice: Person) -> None:
    flood = {f"catalog.json.{i:016x}.sig": b"AAAA" for i in range(MAX_SIGNATURES)}
    with pytest.raises(Refused) as caught:
        check(airgap_policy(any=[alice.wanted]), {**flood, **alice.signature()})
    assert "too many" in caught.value.what
    flood.popitem()
    judge(airgap_policy(any=[alice.wanted]), {**flood, **alice.signature()})


def test_signature_of_a_revoked_openpgp_key_is_refused_and_says_so(tmp_path: Path) -> None:
    with gpg_home() as home:
        key = home.new_key("mallory")
        signatures = openpgp(home, key)
        home.revoke(key)
        with pytest.raises(Refused) as caught:
            check(airgap_policy(any=[gpg_wanted(home, tmp_path, key)]), signatures)
    assert "revoked" in caught.value.got


def test_without_gpg_an_openpgp_requirement_fails_and_says_what_to_install(
    alice: Person, home, carol, tmp_path, monkeypatch
) -> None:
    wanted = gpg_wanted(home, tmp_path, carol)
    signatures = {**alice.signature(), **openpgp(home, carol)}
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refused) as caught:
        check(airgap_policy(any=[wanted]), signatures)
    assert "install" in caught.value.got
    assert judge(airgap_policy(lab=[wanted], prod=[alice.wanted]), signatures).signers


def test_a_policy_that_was_not_the_one_checked_refuses(alice: Person, bob: Person) -> None:
    found = check(airgap_policy(any=[alice.wanted]), alice.signature())
    with pytest.raises(Refused):
        judge_stream(found, airgap_policy(any=[bob.wanted]), "prod")
    with pytest.raises(Refused):
        judge_stream(found, airgap_policy(any=[REJECT]), "prod")


def test_several_scopes_give_one_message_with_every_wish(alice: Person, bob: Person) -> None:
    with pytest.raises(Refused) as caught:
        check(airgap_policy(prod=[alice.wanted], lab=[bob.wanted]), {})
    assert alice.signer.key_id in caught.value.expected
    assert bob.signer.key_id in caught.value.expected


def test_a_key_that_the_disk_does_not_give_refuses_nobody(tmp_path: Path) -> None:
    """An I/O error says nothing about a signature: a refusal would be kept, in the history and by watch."""

    def failing(name: str) -> bytes:
        raise MediaError("cannot read the key file: Input/output error", where=name)

    wanted = {"type": "sigstoreSigned", "keyPath": str(tmp_path / "a.pub")}
    policy = parse_policy(json.dumps({"default": [REJECT], "transports": {"airgap": {"": [wanted]}}}).encode())
    with pytest.raises(MediaError):
        check_catalog_signatures(RAW, {Person(tmp_path, "a").file: b"x"}, policy, failing)
