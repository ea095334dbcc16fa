"""``airgap mirror-config`` on the command line: what it writes, what it never overwrites, which keys and targets it refuses."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from airgap.cli.main import run
from tests.support.trustkit import gpg_home

pytestmark = pytest.mark.slow("starts real skopeo, podman or containerd many times")

POLICY = {
    "default": [{"type": "reject"}],
    "transports": {
        "docker": {"quay.io/team": [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/etc/pki/vendor.gpg"}]},
        "airgap": {"": [{"type": "reject"}]},
    },
}
TARGET = "docker://reg.site:5000/mirror"


class Desk:
    """A directory with a policy in it, and the command."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self.out = root / "out"
        self.capsys = capsys
        self.policy = root / "policy.json"
        self.policy.write_text(json.dumps(POLICY))

    def run(self, *options: object, to: str = TARGET, lookaside: object = "https://reg.site/sigs") -> tuple[int, Any]:
        """Exit code and the document printed."""
        fixed = ["--to", to, "--format", "policy", "--policy", self.policy, "--out", self.out, "--lookaside", lookaside]
        code = run(["mirror-config", *map(str, [*fixed, *options]), "--json"])
        return code, json.loads(self.capsys.readouterr().out)


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path, capsys)


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["mirror-config", "--help"]) == 0
    assert "Example: airgap mirror-config --to" in re.sub(r"\s+", " ", capsys.readouterr().out)


@pytest.mark.smoke("mirror-config")
def test_three_files_are_written_and_the_keys_that_hosts_need_are_named(desk: Desk) -> None:
    code, facts = desk.run()
    assert code == 0
    names = ["policy.json", "registries.d/airgap.yaml", "registries.conf"]
    assert facts["paths"] == [str(desk.out / name) for name in names]
    assert all((desk.out / name).is_file() for name in names)
    assert facts["mode"] == "original"
    assert facts["key_files"] == ["/etc/pki/vendor.gpg"]


def test_people_are_told_where_the_files_belong(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    options = [
        "--to",
        TARGET,
        "--format",
        "policy",
        "--policy",
        str(desk.policy),
        "--out",
        str(desk.out),
        "--lookaside",
        "/srv/sigs",
    ]
    assert run(["mirror-config", *options]) == 0
    text = capsys.readouterr().out
    assert "/etc/containers/registries.conf.d/10-airgap.conf" in text
    assert "/etc/pki/vendor.gpg" in text


def test_a_directory_becomes_a_file_url(desk: Desk) -> None:
    assert desk.run(lookaside=desk.root / "sigs")[0] == 0
    assert (desk.root / "sigs").as_uri() in (desk.out / "registries.d/airgap.yaml").read_text()


def test_same_again_is_fine_and_other_content_is_never_overwritten(desk: Desk) -> None:
    assert desk.run()[0] == 0
    assert desk.run()[0] == 0
    before = {path: path.read_bytes() for path in desk.out.rglob("*") if path.is_file()}
    code, facts = desk.run(to="docker://other.site/mirror")
    assert code == 2
    assert "already exists" in facts["error"]
    assert {path: path.read_bytes() for path in desk.out.rglob("*") if path.is_file()} == before


def test_links_where_hosts_keep_their_policy_stay_links_and_what_is_no_file_is_left(desk: Desk) -> None:
    desk.out.mkdir()
    (desk.out / "policy.json").symlink_to("../real.json")
    assert desk.run()[0] == 0
    assert desk.run("--force", to="docker://other.site/mirror")[0] == 0
    assert (desk.out / "policy.json").readlink() == Path("../real.json")
    assert json.loads((desk.root / "real.json").read_text())["transports"]
    (desk.root / "real.json").unlink()
    os.mkfifo(desk.root / "real.json")
    code, facts = desk.run("--force")
    assert (code, facts["error"]) == (2, "not a regular file")
    assert (desk.root / "real.json").is_fifo()


def test_a_site_key_chooses_the_mode_and_is_named_by_its_full_path(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with gpg_home() as home:
        (tmp_path / "site.asc").write_bytes(home.export(home.new_key("site")))
    monkeypatch.chdir(tmp_path)
    code, facts = desk.run("--site-key", "site.asc")
    assert code == 0
    assert facts["mode"] == "site"
    assert facts["key_files"] == [str(tmp_path / "site.asc")]


@pytest.mark.parametrize(
    "content",
    [b"garbage", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAAA\n", b""],
    ids=["binary", "armor", "odd armor", "empty"],
)
def test_what_is_no_public_key_is_refused(desk: Desk, content: bytes) -> None:
    (desk.root / "key").write_bytes(content)
    code, facts = desk.run("--site-key", desk.root / "key")
    assert code == 2
    assert facts["error"] in ("not an OpenPGP public key", "not a public key")
    assert not desk.out.exists()


def test_a_private_key_is_refused(desk: Desk) -> None:
    assert run(["keys", "generate", "--out", str(desk.root / "keys"), "--no-passphrase", "--json"]) == 0
    with gpg_home() as home:
        key = home.new_key("site")
        armored, binary = home.run("--armor", "--export-secret-keys", key), home.run("--export-secret-keys", key)
        public = home.run("--export", key)
    (desk.root / "secret.asc").write_bytes(armored)
    (desk.root / "secret.gpg").write_bytes(binary)
    (desk.root / "behind.gpg").write_bytes(public + binary)
    relabelled = armored.replace(b"PRIVATE KEY BLOCK", b"PUBLIC KEY BLOCK")
    (desk.root / "relabelled.asc").write_bytes(relabelled)
    (desk.root / "headed.asc").write_bytes(relabelled.replace(b"BLOCK-----\n", b"BLOCK-----\nX-Made-By:somebody\n", 1))
    desk.capsys.readouterr()
    for name in ("keys/airgap.key", "secret.asc", "secret.gpg", "behind.gpg", "relabelled.asc", "headed.asc"):
        code, facts = desk.run("--site-key", desk.root / name)
        assert (code, facts["error"]) == (2, "a private key instead of a public key"), name
    assert not desk.out.exists()


def test_a_public_key_with_the_words_in_a_comment_is_taken(desk: Desk) -> None:
    with gpg_home() as home:
        public = home.run("--armor", "--export", home.new_key("site"))
    (desk.root / "site.asc").write_bytes(
        public.replace(b"BLOCK-----\n", b"BLOCK-----\nComment: the PRIVATE KEY is in the safe\n", 1)
    )
    assert desk.run("--site-key", desk.root / "site.asc")[0] == 0


@pytest.mark.parametrize("target", ["oci:/srv/store", "reg.site", "docker://"])
def test_only_a_registry_can_be_pulled_from(desk: Desk, target: str) -> None:
    assert desk.run(to=target)[0] == 2


def test_a_loopback_or_named_registry_is_plain_http(desk: Desk) -> None:
    assert desk.run(to="docker://localhost:5000/mirror")[0] == 0
    assert "insecure = true" in (desk.out / "registries.conf").read_text()
    desk.out = desk.root / "second"
    assert desk.run("--insecure-registry", "reg.site:5000")[0] == 0
    assert "insecure = true" in (desk.out / "registries.conf").read_text()


def test_demands_of_attestations_are_not_written_and_that_is_said(desk: Desk) -> None:
    _, before = desk.run()
    code, facts = desk.run("--attestations", "quay.io/team=slsa", "--attestations", "quay.io/team/old=false", "--force")
    assert code == 0
    assert [one for one in facts["warnings"] if one not in before["warnings"]] == [
        "what attestations are demanded is not written: they are checked at the import, and not by those who pull"
    ]
    assert desk.run("--attestations", "quay.io/team=false", "--force")[1]["warnings"] == before["warnings"]
