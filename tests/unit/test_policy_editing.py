"""``airgap policy add`` and ``remove``: a policy is changed, and nothing else in its file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import USAGE, failed, here
from tests.support.desks import make_bundles
from tests.support.keyfiles import Keys, key_files
from tests.support.signing import Key

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


BY_HAND = """{
    "transports":   {"docker": {
            "quay.io/team" : [ {"type":"signedBy", "keyType":"GPGKeys", "keyPath":"/etc/pki/team.gpg" ,
                "signedIdentity": {"type": "matchRepository"}} ],
            "*.example.com": [{"type": "sigstoreSigned", "fulcio": {"caPath": "/ca", "oidcIssuer": "i", "subjectEmail": "e"},
                "rekorPublicKeyPath": "/r"}]
        },
        "airgap" : { "prod": [{"type": "sigstoreSigned", "keyData": "KEY"}] },
        "docker-daemon": {"": [{"type":"insecureAcceptAnything"}]}, "unheard-of": {"x": [{"type":"reject"}]}
    },
    "default": [{"type":"reject"}]
}
"""


@pytest.fixture
def by_hand(tmp_path: Path, keys: Keys) -> Path:
    """A policy that somebody wrote."""
    path = tmp_path / "policy.json"
    path.write_text(BY_HAND.replace("KEY", keys.data("one")))
    return path


@pytest.mark.smoke("policy add", "policy remove")
def test_what_is_added_and_removed_again_leaves_the_file_as_it_was(by_hand: Path, keys: Keys) -> None:
    before, mode = by_hand.read_bytes(), 0o640
    by_hand.chmod(mode)
    text = done("policy", "add", by_hand, "--image", f"ghcr.io/x={keys['team']}", "--key", keys["two"], "--stream", "prod")
    assert f"added        ghcr.io/x: an OpenPGP signature by key {keys.id('team')} in the policy itself" in text
    assert f"changed      bundles of stream prod: a sigstore signature by key {keys.id('one')} in the policy itself and " in text
    assert len(read(by_hand)["airgap"]["prod"]) == 2
    lines = by_hand.read_text().splitlines()
    assert [
        line for line in before.decode().splitlines() if line not in lines
    ] != []  # the two lines that grew; the others are there
    assert len([line for line in before.decode().splitlines() if line not in lines]) == 2
    text = done("policy", "remove", by_hand, "--image", "ghcr.io/x", "--key", keys["two"])
    assert "removed      ghcr.io/x: rejected, signed or not, as default says" in text
    assert by_hand.read_bytes() == before
    assert by_hand.stat().st_mode & 0o777 == mode


def test_a_change_that_is_there_already_changes_nothing(by_hand: Path, keys: Keys) -> None:
    before = by_hand.stat()
    text = done("policy", "add", by_hand, "--key", keys["one"], "--stream", "prod")
    assert "unchanged" in text
    facts = json.loads(done("policy", "add", by_hand, "--key", keys["one"], "--stream", "prod", "--any", "--json"))
    assert facts["policy_changes"] == []
    assert by_hand.stat().st_ino == before.st_ino


def test_a_link_stays_a_link(tmp_path: Path, policy: Path, keys: Keys) -> None:
    (tmp_path / "link.json").symlink_to(policy.name)
    done("policy", "add", tmp_path / "link.json", "--image", "quay.io=reject")
    assert (tmp_path / "link.json").is_symlink()
    assert read(policy)["docker"]["quay.io"] == REJECT


def test_a_key_joins_the_others_of_its_scope_and_the_rest_of_the_requirement_stays(
    tmp_path: Path, by_hand: Path, keys: Keys
) -> None:
    failed(here("policy", "add", by_hand, "--image", f"quay.io/team={keys['vendor']}"), USAGE, "/etc/pki/team.gpg")
    by_hand.write_text(by_hand.read_text().replace("/etc/pki/team.gpg", str(keys["team"])))
    done("policy", "add", by_hand, "--image", f"quay.io/team={keys['vendor']}", "--by-path")
    (requirement,) = read(by_hand)["docker"]["quay.io/team"]
    assert requirement == {
        "type": "signedBy", "keyType": "GPGKeys", "keyPaths": [str(keys["team"]), str(keys["vendor"])], "signedIdentity": COSIGN,
    }  # fmt: skip
    other = keys.home.new_key("other")
    done("policy", "add", by_hand, "--image", f"quay.io/team={keys.file('other.asc', keys.home.export(other))}")
    (requirement,) = read(by_hand)["docker"]["quay.io/team"]
    assert list(requirement) == ["type", "keyType", "keyData", "signedIdentity"]
    text = done("policy", "check", by_hand)
    assert all(name in text for name in (keys.id("team"), keys.id("vendor"), other[-16:].lower()))
    failed(
        here("policy", "add", by_hand, "--image", f"quay.io/team={keys['one']}"), USAGE, "has other requirements", "policy remove"
    )
    failed(here("policy", "add", by_hand, "--image", "quay.io/team=reject"), USAGE, "has other requirements")
    failed(here("policy", "add", by_hand, "--image", f"*.example.com={keys['one']}"), USAGE, "has other requirements")


def test_a_second_bundle_key_must_sign_too_unless_any_one_is_enough(policy: Path, keys: Keys) -> None:
    text = done("policy", "add", policy, "--key", keys["two"])
    assert f"key {keys.id('one')} in the policy itself and a sigstore signature by key {keys.id('two')}" in text
    assert len(read(policy)["airgap"][""]) == 2
    third = Key()
    failed(here("policy", "add", policy, "--key", keys.file("third.pub", third.pem), "--any"), USAGE, "no one requirement", "--any")
    done("policy", "remove", policy, "--key", keys.id("one"))
    done("policy", "add", policy, "--key", keys["one"], "--any")
    assert read(policy)["airgap"][""] == [{"type": "sigstoreSigned", "keyDatas": [keys.data("two"), keys.data("one")]}]


def test_a_key_is_removed_by_its_file_its_id_or_its_path(tmp_path: Path, keys: Keys) -> None:
    gone = tmp_path / "gone.pub"
    shutil.copy(keys["two"], gone)
    path = tmp_path / "policy.json"
    fingerprint = keys.openpgp["vendor"]
    for name, given in (
        ("one", keys["one"]),
        ("one", keys.id("one")),
        ("vendor", fingerprint),
        ("vendor", f"gpg:{keys['vendor']}"),
    ):
        done("policy", "init", "--key", gone, "--key", keys[name], "--by-path", "-o", path)
        text = done("policy", "remove", path, "--key", given)
        assert text.endswith(f"changed      bundles: a sigstore signature by {gone}\n")
        path.unlink()
    done("policy", "init", "--key", gone, "--key", keys["one"], "--by-path", "-o", path)
    gone.unlink()
    done("policy", "remove", path, "--key", gone)
    assert read(path)["airgap"][""] == [{"type": "sigstoreSigned", "keyPath": str(keys["one"])}]
    failed(here("policy", "remove", path, "--key", "0123456789abcdef"), USAGE, "does not name this key", "policy check")
    failed(here("policy", "remove", path, "--key", keys["one"], "--stream", "prod"), USAGE, "no such scope")


def test_one_key_leaves_a_keyring_in_the_policy_but_never_a_file(tmp_path: Path, keys: Keys) -> None:
    ring = keys.file("two.gpg", keys.home.export(keys.openpgp["vendor"], keys.openpgp["team"], armor=False))
    path = tmp_path / "policy.json"
    done("policy", "init", "--key", keys["one"], "--image", f"quay.io={ring}", "-o", path)
    text = done("policy", "remove", path, "--image", f"quay.io={keys.id('team')}")
    assert f"changed      quay.io: an OpenPGP signature by key {keys.id('vendor')} in the policy itself" in text
    path.unlink()
    done("policy", "init", "--key", keys["one"], "--image", f"quay.io={ring}", "--by-path", "-o", path)
    failed(here("policy", "remove", path, "--image", f"quay.io={keys.id('team')}"), USAGE, "holds other keys", "by its path")
    done("policy", "remove", path, "--image", f"quay.io={ring}")
    assert read(path)["docker"]["quay.io"] == REJECT  # never the wider scope, which may accept


def test_the_last_bundle_key_stays_unless_told_and_then_every_bundle_is_rejected(policy: Path, keys: Keys) -> None:
    before = policy.read_bytes()
    failed(here("policy", "remove", policy, "--key", keys["one"]), USAGE, "would leave no bundle key", "--allow-no-key")
    assert policy.read_bytes() == before
    text = done("policy", "remove", policy, "--key", keys["one"], "--allow-no-key")
    assert "changed      bundles: rejected, signed or not" in text
    assert read(policy)["airgap"] == {"": REJECT}
    done("policy", "add", policy, "--key", keys["one"])
    assert policy.read_bytes() == before


def test_who_decides_now_and_where_a_key_still_counts_is_said(policy: Path, keys: Keys) -> None:
    done("policy", "add", policy, "--image", f"quay.io/team={keys['one']}", "--image", "quay.io=reject", "--key", keys["two"])
    text = done("policy", "remove", policy, "--key", keys["one"])
    assert "warning      the key still counts for images below quay.io/team" in text
    text = done("policy", "remove", policy, "--image", "quay.io/team")
    assert 'removed      quay.io/team: rejected, signed or not, as transports.docker["quay.io"] says' in text
    text = done("policy", "remove", policy, "--image", "quay.io")
    assert 'removed      quay.io: anything is accepted, signed or not, as transports.docker[""] says' in text
    assert "changed      all other images: rejected" in done("policy", "add", policy, "--image-default", "reject")
    failed(here("policy", "remove", policy, "--image", "quay.io"), USAGE, "no such scope")
    failed(here("policy", "remove", policy, "--image", ""), USAGE, "--image-default")


def test_a_policy_of_a_distribution_learns_of_bundles(tmp_path: Path, keys: Keys) -> None:
    path = tmp_path / "policy.json"
    path.write_text('{"default":[{"type":"insecureAcceptAnything"}]}')
    done("policy", "add", path, "--key", keys["one"])
    assert read(path) == {"airgap": {"": [{"type": "sigstoreSigned", "keyData": keys.data("one")}]}}
    assert list(json.loads(path.read_bytes())) == ["default", "transports"]


@pytest.mark.parametrize("content", [b"", b"{", b'{"default":[]}', b'\xef\xbb\xbf{"default":[{"type":"reject"}]}', b"\xff"])
def test_a_file_that_is_no_policy_is_not_changed(tmp_path: Path, keys: Keys, content: bytes) -> None:
    path = tmp_path / "policy.json"
    path.write_bytes(content)
    for change in (("add", path, "--key", keys["one"]), ("remove", path, "--image", "quay.io")):
        failed(here("policy", *change), USAGE, "the policy is invalid", str(path))
    assert path.read_bytes() == content


def test_a_change_without_a_file_or_without_anything_to_change_is_a_mistake(tmp_path: Path, policy: Path, keys: Keys) -> None:
    failed(here("policy", "add", tmp_path / "none.json", "--key", keys["one"]), USAGE, "cannot read the policy")
    failed(here("policy", "remove", tmp_path, "--image", "quay.io"), USAGE)
    failed(here("policy", "add", policy), USAGE, "nothing to add")
    failed(here("policy", "remove", policy), USAGE, "nothing to remove")


def test_a_mistake_in_the_policy_has_one_exit_code_in_every_command(tmp_path: Path) -> None:
    made = make_bundles(tmp_path)
    path, out, drop = tmp_path / "policy.json", tmp_path / "out", tmp_path / "drop"
    path.write_text('{"default": [{"type": "Reject"}]}')
    drop.mkdir()
    for command in (
        ("policy", "check", path),
        ("policy", "add", path, "--image", "quay.io=reject"),
        ("policy", "explain", "quay.io/x", "--policy", path),
        ("verify", made.bundle, "--policy", path),
        ("import", made.bundle, "--to", f"oci:{out}", "--policy", path),
        ("import", made.bundle, "--to", f"oci:{out}", "--policy", path, "--dry-run"),
        ("watch", drop, "--to", f"oci:{out}", "--once", "--policy", path),
        ("serve", made.bundle, "--listen", "127.0.0.1:0", "--policy", path),
        ("report", made.bundle, "-o", out, "--policy", path),
        ("merge", made.bundle, "--out", out, "--stream", "x", "--key", made.sender.key, "--policy", path),
        ("mirror-config", "--to", "docker://127.0.0.1:1/x", "--format", "policy", "--out", out, "--policy", path),
    ):
        found = here(*command)
        assert (found.returncode, "an unknown requirement type" in found.stderr) == (USAGE, True), (command, found.stderr)
    assert not out.exists()


def test_a_permission_for_signatures_without_a_name_is_printed_and_the_policy_gets_only_its_keys(policy: Path, keys: Keys) -> None:
    before = policy.read_bytes()
    table = '[site.unnamed-signatures]\n"quay.io/team" = true\n"quay.io/team/old" = false\n'
    scopes = ("--unnamed", "quay.io/team", "--unnamed", "quay.io/team/old=false")
    text = done("policy", "add", policy, *scopes)
    assert table in text
    assert "--unnamed quay.io/team has no effect" in text
    assert "unchanged" in text
    assert policy.read_bytes() == before
    text = done("policy", "add", policy, "--image", f"quay.io/team={keys['two']}", *scopes)
    assert table in text
    assert "has no effect" not in text, "the policy as it is now asks for such a signature"
    assert b"unnamed" not in policy.read_bytes()
    facts = json.loads(done("policy", "add", policy, *scopes, "--json"))
    assert (facts["unnamed_signatures"], facts["policy_changes"]) == (["quay.io/team=true", "quay.io/team/old=false"], [])
    config = policy.with_name("airgap.toml")
    config.write_text(table)
    explained = json.loads(done("policy", "explain", "quay.io/team/app:1", "--policy", policy, "--config", config, "--json"))
    assert explained["images"][0]["unnamed_scope"] == "quay.io/team"
    failed(here("policy", "add", policy, "--unnamed", "Acme"), USAGE, "matches no image")
