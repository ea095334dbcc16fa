"""Keys that come, go and are lost; policies that ask for too little; checks that break. See docs/threats.md."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from airgap.admission import door
from airgap.importer import run
from airgap.oci.image import digest_tag
from tests.support import images
from tests.support.bundles import Sender
from tests.support.cli import REFUSED, USAGE, failed, here
from tests.support.signing import Key
from tests.support.trustkit import gpg_home
from tests.support.yard import ACCEPT, REJECT, Yard, key_of

pytestmark = pytest.mark.slow("runs whole exports and imports against real registries")


@pytest.fixture
def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Yard:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return Yard.make(tmp_path)


# keys


def test_key_rotation_with_overlapping_keys(yard: Yard) -> None:
    new = Sender.make(yard.work / "new")
    pub = [str(sender.root / "sender.pub") for sender in (yard.sender, new)]
    old_one, new_one = yard.bundle(1), yard.bundle(2)
    next(new_one.glob("*.sig")).unlink()
    assert here("sign", new_one, "--key", new.key).returncode == 0
    yard.refuses(new_one, "airgap sign", policy=yard.policy([key_of(yard.sender)]))
    both = yard.policy([{"type": "sigstoreSigned", "keyPaths": pub}])
    yard.takes(old_one, policy=both)
    yard.takes(new_one, policy=both)
    after = yard.policy([key_of(new)])
    yard.takes(new_one, policy=after)
    yard.refuses(old_one, "airgap sign", policy=after, options=("--allow-older",))


def test_key_rotation_under_the_two_person_rule(yard: Yard) -> None:
    new, second = Sender.make(yard.work / "new"), Sender.make(yard.work / "second")
    either = {"type": "sigstoreSigned", "keyPaths": [str(s.root / "sender.pub") for s in (yard.sender, new)]}
    policy = yard.policy([either, key_of(second)])
    bundle = yard.bundle(1)
    yard.refuses(bundle, second.signer.key_id, policy=policy)
    assert here("sign", bundle, "--key", new.key).returncode == 0
    yard.refuses(bundle, second.signer.key_id, policy=policy)  # the old and the new key of one person are one person
    assert here("sign", bundle, "--key", second.key).returncode == 0
    assert len(yard.takes(bundle, policy=policy)["signers"]) == 2


def test_threshold_of_zero_is_no_policy(yard: Yard) -> None:
    yard.refuses(yard.bundle(1), "an empty list of requirements", policy=yard.policy([]), code=USAGE)


@pytest.mark.parametrize("form", ["id", "fingerprint", "with colons"])
def test_revoked_key_no_longer_opens_the_gate(yard: Yard, form: str) -> None:
    bundle, key = yard.bundle(1), yard.sender.signer
    fingerprint = key.public.fingerprint
    text = {
        "id": key.key_id,
        "fingerprint": fingerprint.upper(),
        "with colons": ":".join(key.key_id[i : i + 2] for i in range(0, 16, 2)),
    }
    revoked = yard.work / "revoked"
    revoked.write_text(f"# by telephone\n{text[form]}  # laptop stolen\n\n")
    yard.refuses(bundle, "revoked at this site (laptop stolen)", key.key_id, options=("--revoked", revoked))
    failed(here("verify", bundle, "--policy", yard.sender.policy, "--revoked", revoked, "--json"), REFUSED, "laptop stolen")
    yard.takes(bundle)


def test_revoked_key_in_the_list_beside_the_state(yard: Yard) -> None:
    first, second = yard.bundle(1), yard.bundle(2)
    yard.takes(first)
    (yard.state / "revoked.txt").write_text(yard.sender.signer.key_id)
    yard.refuses(second, "revoked at this site")
    verify = ["verify", second, "--policy", yard.sender.policy, "--json"]
    failed(here(*verify, "--state", yard.state), REFUSED, "revoked at this site")
    assert here(*verify).returncode == 0


def test_revoked_key_beside_a_good_one_does_not_count_and_does_not_poison(yard: Yard) -> None:
    second = Sender.make(yard.work / "second")
    bundle = yard.bundle(1)
    assert here("sign", bundle, "--key", second.key).returncode == 0
    revoked = yard.work / "revoked"
    revoked.write_text(second.signer.key_id)
    two = yard.policy([key_of(yard.sender), key_of(second)])
    yard.refuses(bundle, second.signer.key_id, "revoked", policy=two, options=("--revoked", revoked))
    either = {"type": "sigstoreSigned", "keyPaths": [str(s.root / "sender.pub") for s in (yard.sender, second)]}
    facts = yard.takes(bundle, "--revoked", revoked, policy=yard.policy([either]))
    assert yard.sender.signer.key_id in facts["signers"][0]
    assert any("revoked" in reason for reason in facts["reasons"])


@pytest.mark.parametrize("line", ["abc", "0123456789abcdeg", "ECDSA key 0123456789abcdef", "01234567"])
def test_revoked_list_with_a_mistyped_key_stops_everything(yard: Yard, line: str) -> None:
    revoked = yard.work / "revoked"
    revoked.write_text(f"0123456789abcdef\n{line}\n")
    yard.refuses(yard.bundle(1), "line 2", options=("--revoked", revoked), code=USAGE)
    yard.refuses(yard.work / "usb", "cannot read", options=("--revoked", yard.work / "nowhere"), code=USAGE)


def test_revoked_openpgp_keys_by_list_and_by_certificate(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle, revoked = yard.bundle(1), yard.work / "revoked"
    with gpg_home() as home:
        monkeypatch.setenv("GNUPGHOME", str(home.path))
        key = home.new_key("carol")
        next(bundle.glob("*.sig")).unlink()
        assert here("sign", bundle, "--key", f"gpg:{key}").returncode == 0
        ring = yard.work / "carol.gpg"
        ring.write_bytes(home.export(key))
        policy = yard.policy([{"type": "signedBy", "keyType": "GPGKeys", "keyPath": str(ring)}])
        for name in (key, key[-16:].lower(), " ".join(key[i : i + 4] for i in range(0, 40, 4))):
            revoked.write_text(f"{name} # lost\n")
            yard.refuses(bundle, "revoked at this site (lost)", policy=policy, options=("--revoked", revoked))
        yard.takes(bundle, policy=policy)
        home.revoke(key)
        ring.write_bytes(home.export(key))
    yard.refuses(bundle, "the key is revoked", policy=policy)


# images


def test_scope_shopping_lands_under_the_name_that_was_judged(yard: Yard) -> None:
    policy = yard.policy([key_of(yard.sender)], {"docker.io/shop": REJECT, "quay.io/lax": ACCEPT})
    yard.refuses(yard.bundle(1), "does not accept the image docker.io/shop/web:1", policy=policy)
    yard.references[:] = [yard.origin.push("quay.io/lax/web:1", images.image([images.layer("web")]))]
    facts = yard.takes(yard.bundle(2), policy=policy)
    assert [one["destination"] for one in facts["names"]] == ["quay.io/lax/web:1"]


def test_exporter_compromised_a_well_signed_bundle_does_not_excuse_an_unsigned_image(yard: Yard) -> None:
    vendor = Sender.make(yard.work / "vendor")
    policy = yard.policy([key_of(yard.sender)], {"docker.io/shop": [key_of(vendor)], "": ACCEPT})
    yard.refuses(yard.bundle(1), "does not accept the image", policy=policy)


def test_exporter_compromised_a_signature_by_another_key_does_not_count(yard: Yard) -> None:
    vendor, stranger = Key(), Key()
    (yard.work / "vendor.pub").write_bytes(vendor.pem)
    wanted = {"type": "sigstoreSigned", "keyPath": str(yard.work / "vendor.pub"), "signedIdentity": {"type": "matchRepository"}}
    policy = yard.policy([key_of(yard.sender)], {"docker.io/shop": [wanted]})
    image = yard.origin.shelves["docker.io/shop/web"].tags["1"]
    payload = images.simple_signing(yard.references[0].repository, image)

    def sign(key: Key) -> None:
        signed = images.cosign_signature(payload, base64.b64encode(key.sign(payload)).decode())
        yard.origin.push(f"docker.io/shop/web:{digest_tag(image)}.sig", signed)

    sign(stranger)
    yard.refuses(yard.bundle(1), "does not accept the image", policy=policy)
    sign(vendor)
    facts = yard.takes(yard.bundle(2), policy=policy)
    assert vendor.id in facts["judgements"][0]["decisions"][0]["key"]


def test_weak_policy_that_asks_for_no_signature_is_refused_when_signatures_are_required(yard: Yard) -> None:
    policy = yard.policy([key_of(yard.sender)], {"": ACCEPT})
    yard.refuses(yard.bundle(1), "--require-signed", policy=policy, options=("--require-signed",))


@pytest.mark.parametrize(
    ("module", "stage"),
    [
        (door, "Media.find"),
        (door, "check_catalog_signatures"),
        (door, "judge_stream"),
        (door, "sealed.unseal"),
        (door, "gate.admit"),
        (door, "companions.contradicting"),
        (door, "frame.walk"),
        (door, "walk_all"),
        (door, "check_extraneous"),
        (door, "judge_images"),
        (run, "destinations"),
        (run, "load"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_success_is_never_reported_when_a_stage_of_the_check_breaks(
    yard: Yard, module: ModuleType, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an attacker may hope for: a check that fails in an unforeseen way, and somebody who takes that for a yes."""
    bundle = yard.bundle(1)
    *owners, name = stage.split(".")
    place: Any = module
    for owner in owners:
        place = getattr(place, owner)

    def broken(*_: object, **__: object) -> None:
        raise ValueError("unforeseen")

    with monkeypatch.context() as patch:
        patch.setattr(place, name, broken)
        done = yard.take(bundle)
    assert done.returncode == 1
    assert done.stdout == ""
    index = yard.store / "index.json"
    assert not index.exists() or json.loads(index.read_bytes())["manifests"] == []
    assert yard.remembered() == (None, None)
    yard.takes(bundle)
