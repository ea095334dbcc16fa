"""``airgap policy init``: a policy for the usual cases without writing JSON, and every wrong key is found before it is trusted."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from tests.support.cli import USAGE, failed, here
from tests.support.keyfiles import Keys, key_files
from tests.support.trustkit import GpgHome, cosign_private_key

REJECT, ACCEPT = [{"type": "reject"}], [{"type": "insecureAcceptAnything"}]
COSIGN = {"type": "matchRepository"}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keys]:
    with key_files(tmp_path_factory.mktemp("keys")) as made:
        yield made


@pytest.fixture
def policy(tmp_path: Path, keys: Keys) -> Path:
    """A policy with one bundle key."""
    path = tmp_path / "policy.json"
    assert here("policy", "init", "--key", keys["one"], "-o", path).returncode == 0
    return path


def read(path: Path) -> Any:
    return json.loads(path.read_bytes())["transports"]


def done(*command: object) -> str:
    """The output of a command that must succeed."""
    found = here(*command)
    assert found.returncode == 0, found.stderr
    return found.stdout


def says(path: Path) -> str:
    """What ``policy check`` says of a policy without warnings."""
    text = done("policy", "check", path)
    assert text.endswith("The policy is valid.\n"), text
    return text


def test_a_policy_holds_its_keys_and_says_what_happens_to_images(tmp_path: Path, keys: Keys) -> None:
    path = tmp_path / "policy.json"
    text = done("policy", "init", "--key", keys["one"], "-o", path)
    assert "accepted on the bundle's signature; no image signatures required" in text
    assert read(path) == {
        "airgap": {"": [{"type": "sigstoreSigned", "keyData": keys.data("one")}]},
        "docker": {"": ACCEPT},
    }


def test_images_get_the_requirement_of_their_keys_kind(tmp_path: Path, keys: Keys) -> None:
    path = tmp_path / "policy.json"
    images = [f"docker.io/library={keys['two']}", f"quay.io/team=gpg:{keys['team']}", "ghcr.io/open=accept", "ghcr.io/bad=reject"]
    options = [word for image in images for word in ("--image", image)]
    facts = json.loads(done("policy", "init", "--key", keys["one"], *options, "--image-default", "reject", "-o", path, "--json"))
    assert [one["scope"] for one in facts["image_scopes"]] == ["docker.io/library", "quay.io/team", "ghcr.io/open", "ghcr.io/bad"]
    assert (facts["image_default"], facts["embedded"], facts["warnings"]) == ("reject", True, [])
    docker = read(path)["docker"]
    assert docker["docker.io/library"] == [{"type": "sigstoreSigned", "keyData": keys.data("two"), "signedIdentity": COSIGN}]
    (gpg,) = docker["quay.io/team"]
    assert (gpg["type"], gpg["keyType"], set(gpg)) == ("signedBy", "GPGKeys", {"type", "keyType", "keyData"})
    assert (docker["ghcr.io/open"], docker["ghcr.io/bad"], docker[""]) == (ACCEPT, REJECT, REJECT)
    text = says(path)
    assert f"a sigstore signature by key {keys.id('two')} in the policy itself, for its repository, with any tag" in text
    assert f"an OpenPGP signature by key {keys.id('team')} in the policy itself, for its name and tag" in text


def test_permission_for_signatures_without_a_name_is_printed_for_airgap_toml_and_never_in_the_policy(
    tmp_path: Path, keys: Keys
) -> None:
    path, config = tmp_path / "policy.json", tmp_path / "airgap.toml"
    scopes = ("--unnamed", "quay.io/team", "--unnamed", "quay.io/team/old=false", "--unnamed", "ghcr.io")
    command = ("policy", "init", "--public-key", keys["one"], "--image", f"quay.io/team={keys['two']}", *scopes)
    text = done(*command, "-o", path)
    table = '[site.unnamed-signatures]\n"quay.io/team" = true\n"quay.io/team/old" = false\n"ghcr.io" = true\n'
    assert table in text
    assert "--unnamed ghcr.io has no effect" in text
    assert "--unnamed quay.io" not in text
    assert "unnamed" not in path.read_text()
    config.write_text(table)
    explained = json.loads(done("policy", "explain", "quay.io/team/app:1", "--policy", path, "--config", config, "--json"))
    assert (explained["images"][0]["unnamed_accepted"], explained["images"][0]["unnamed_scope"]) == (True, "quay.io/team")
    facts = json.loads(done(*command, "-o", tmp_path / "other.json", "--json"))
    assert facts["unnamed_signatures"] == ["ghcr.io=true", "quay.io/team=true", "quay.io/team/old=false"]
    failed(here(*command, "--unnamed", "Acme", "-o", tmp_path / "third.json"), USAGE, "matches no image")
    assert not (tmp_path / "third.json").exists()


def test_of_several_keys_for_one_scope_any_one_is_enough(tmp_path: Path, keys: Keys) -> None:
    both = [word for name in ("vendor", "team") for word in ("--image", f"quay.io={keys[name]}")]
    path, named = tmp_path / "policy.json", tmp_path / "named.json"
    done("policy", "init", "--key", keys["one"], *both, "-o", path)
    assert all(f"{keys.id(name)}" in says(path) for name in ("vendor", "team"))
    done("policy", "init", "--key", keys["one"], *both, "--by-path", "-o", named)
    (requirement,) = read(named)["docker"]["quay.io"]
    assert requirement["keyPaths"] == [str(keys["vendor"]), str(keys["team"])]
    pems = [word for name in ("one", "two") for word in ("--image", f"quay.io={keys[name]}")]
    written = here("policy", "init", "--key", keys["one"], *pems)
    (requirement,) = json.loads(written.stdout)["transports"]["docker"]["quay.io"]
    assert requirement["keyDatas"] == [keys.data("one"), keys.data("two")]
    assert "reject the whole file because of sigstoreSigned.keyDatas" in written.stderr  # skopeo and podman of Debian 12


@pytest.mark.parametrize(
    ("image", "what"),
    [
        ("docker.io/library", "not a rule for images"),
        ("=reject", "not a rule for images"),
        ("docker.io=", "not a rule for images"),
        ("nginx=reject", "no complete image name begins like this"),
        ("Quay.io=reject", "not in canonical spelling"),
        ("*.example.com/x=reject", "a wildcard covers whole hosts"),
        ("quay.io=/nowhere/k.pub", "cannot read the public key"),
    ],
)
def test_a_rule_that_says_nothing_is_a_mistake(keys: Keys, image: str, what: str) -> None:
    failed(here("policy", "init", "--key", keys["one"], "--image", image), USAGE, what)


def test_rules_that_contradict_each_other_are_mistakes(keys: Keys) -> None:
    def refused(what: str, *images: str) -> None:
        failed(here("policy", "init", "--key", keys["one"], *[w for image in images for w in ("--image", image)]), USAGE, what)

    refused("contradict", "quay.io=accept", "quay.io=reject")
    refused("contradict", "quay.io=reject", f"quay.io={keys['one']}")
    refused("contradict", f"quay.io={keys['one']}", "quay.io=accept")
    refused("given twice", f"quay.io={keys['one']}", f"quay.io={keys['one']}")
    refused("cannot name an OpenPGP key and another key", f"quay.io={keys['one']}", f"quay.io={keys['team']}")
    failed(here("policy", "init", "--key", keys["one"], "--key", keys["one"]), USAGE, "given twice")
    failed(here("policy", "init", "--key", keys["one"], "--key", keys["team"], "--any"), USAGE, "cannot name an OpenPGP key")


# keys


def wrong_keys(keys: Keys) -> dict[str, tuple[bytes, str]]:
    """By name: what is in the file, and what is said."""
    home, private = keys.home, keys.pem["one"].private
    pkcs8 = private.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    locked = private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )
    past = home.new_key("past", "--faked-system-time", "20200101T000000", expires="1d")
    revoked, certifier = home.new_key("revoked"), _certifier(home)
    home.revoke(revoked)
    block = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n%s\n-----END PGP PUBLIC KEY BLOCK-----\n"
    instead = "a private key instead of a public key"
    return {
        "empty": (b"", "not a public key"),
        "text": (b"this is not a key\n", "not a public key"),
        "two PEM keys": (keys.pem["one"].pem + keys.pem["two"].pem, "more than one key in one file"),
        "certificate": (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "not a public key"),
        "private PEM": (pem, instead),
        "private DER": (pkcs8, instead),
        "locked DER": (locked, instead),
        "private cosign": (cosign_private_key(pkcs8, b"x"), instead),
        "private OpenPGP": (home.run("--export-secret-keys", keys.openpgp["team"]), instead),
        "private OpenPGP, armored": (home.run("--armor", "--export-secret-keys", keys.openpgp["team"]), instead),
        "armor around nothing": (block % b"", "not an OpenPGP public key"),
        "armor around noise": (block % b"AAAAAAAAAAAA", "not an OpenPGP public key"),
        "cut OpenPGP": (home.export(keys.openpgp["team"], armor=False)[:20], "not an OpenPGP public key"),
        "expired": (home.export(past), "expired on 2020-01-02"),
        "revoked": (home.export(revoked), "revoked"),
        "only certifies": (home.export(certifier), "cannot sign"),
    }


def _certifier(home: GpgHome) -> str:
    before = set(home.fingerprints())
    home.run("--quick-generate-key", "certifier <c@example.com>", "ed25519", "cert", "never")
    return (set(home.fingerprints()) - before).pop()


def test_a_key_of_every_wrong_kind_is_found_before_a_policy_trusts_it(tmp_path: Path, keys: Keys, policy: Path) -> None:
    before = policy.read_bytes()
    for name, (content, what) in wrong_keys(keys).items():
        path = keys.file("wrong", content)
        failed(here("policy", "init", "--key", path, "-o", tmp_path / "new.json"), USAGE, what, str(path))
        failed(here("policy", "add", policy, "--image", f"quay.io={path}", "--json"), USAGE, what, str(path))
        if "OpenPGP" not in name and name not in ("expired", "revoked", "only certifies"):
            failed(
                here("policy", "init", "--key", f"gpg:{path}"), USAGE, "not an OpenPGP public key" if "arm" not in name else what
            )
    assert not (tmp_path / "new.json").exists()
    assert policy.read_bytes() == before
    failed(here("policy", "init", "--key", tmp_path), USAGE, "cannot read the public key")


def test_a_keyring_needs_one_key_that_can_sign_and_the_others_are_named(tmp_path: Path, keys: Keys) -> None:
    past = keys.home.new_key("former", "--faked-system-time", "20200101T000000", expires="1d")
    ring = keys.file("ring.gpg", keys.home.export(past, keys.openpgp["vendor"], armor=False))
    text = done("policy", "init", "--key", keys["one"], "--image", f"quay.io={ring}", "-o", tmp_path / "policy.json")
    assert f"warning      {ring}: key {past[-16:].lower()} does not count: expired on 2020-01-02" in text


def test_policy_check_names_a_key_that_has_expired(tmp_path: Path, keys: Keys) -> None:
    past = keys.home.new_key("late", "--faked-system-time", "20200101T000000", expires="1d")
    path = tmp_path / "policy.json"
    data = base64.b64encode(keys.home.export(past)).decode()
    requirement = {"type": "signedBy", "keyType": "GPGKeys", "keyData": data}
    path.write_text(json.dumps({"default": REJECT, "transports": {"airgap": {"": [requirement]}}}))
    assert "no key in this file can sign" in done("policy", "check", path)


def test_a_der_key_goes_into_the_policy_as_pem_and_by_path_only_for_bundles(keys: Keys) -> None:
    der = keys.file("one.der", keys.pem["one"].private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))  # fmt: skip
    written = json.loads(done("policy", "init", "--key", der, "--image", f"quay.io={der}"))["transports"]
    assert written["airgap"][""][0]["keyData"] == written["docker"]["quay.io"][0]["keyData"] == keys.data("one")
    written = json.loads(done("policy", "init", "--key", der, "--by-path"))["transports"]
    assert written["airgap"][""] == [{"type": "sigstoreSigned", "keyPath": str(der)}]
    failed(here("policy", "init", "--key", der, "--image", f"quay.io={der}", "--by-path"), USAGE, "not PEM", "openssl pkey")
