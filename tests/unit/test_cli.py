"""The command line's own promises: help with an example everywhere, usage errors, one message, the right exit code."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from airgap import __version__
from airgap.cli.application import application
from airgap.cli.main import run
from tests.support import cosignkeys
from tests.support.cli import USAGE, failed, here

COMMANDS = [
    ("resolve",), ("plan",), ("export",), ("sign",), ("inspect",), ("verify",), ("import",), ("mirror-config",), ("history",),
    ("serve",), ("keys", "generate"), ("receipt",), ("discover",), ("diff",), ("merge",), ("login",), ("logout",),
    ("policy", "init"), ("policy", "add"), ("policy", "remove"), ("policy", "check"), ("policy", "explain"),
    ("report",), ("toolkit",), ("media", "log"),
    ("init",), ("config", "show"), ("config", "check"), ("help",), ("version",), ("completion",), ("man",), ("watch",),
]  # fmt: skip
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_with_an_example(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*command, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"Example: airgap {' '.join(command)} " in re.sub(r"\s+", " ", text)


def test_the_root_help_lists_every_command_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(command[0] in text for command in COMMANDS)
    assert "130 interrupted" in text


def test_a_former_spelling_of_an_option_works_and_is_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--accept-unnamed-sigstore-bundles" in shown
    assert "--accept-unnamed-bundles" not in shown
    assert run(["verify", str(tmp_path), "--policy", str(tmp_path / "policy.json"), "--accept-unnamed-bundles"]) == 2
    assert "policy.json" in capsys.readouterr().err


def test_a_value_that_looks_like_a_former_spelling_stays_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", str(tmp_path), "--policy", "--accept-unnamed-bundles"]) == 2
    assert "where:    --accept-unnamed-bundles\n" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"airgap {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["export"],
        ["export", "list.txt", "--out", "x", "--stream", "s", "--key", "k", "--serial", "0"],
        ["import", "x", "--to", "ftp://there", "--policy", "p"],
        ["inspect", "/nowhere/at/all"],
        ["resolve", "/nowhere/at/all.txt"],
        ["plan", "-", "--platform", "amd64"],
        ["serve", "/nowhere", "--listen", "nonsense"],
    ],
    ids=lambda arguments: " ".join(arguments[:1]),
)
def test_wrong_arguments_end_with_code_2_and_without_a_traceback(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err
    assert "Traceback" not in captured.err


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (["--volume-size", "3"], "the volume size is too small"),
        (["--expires", "soon"], "soon"),
        (["--patch", "sometimes"], "--patch"),
        (["--attach", "nothing"], "--attach"),
        (["--gate", "'"], "--gate"),
        (["--verify-images", "no-policy"], "no-policy"),
        (["--key", "no-key"], "no-key"),
        (["--cert-dir", "no-directory"], "--cert-dir"),
        (["--since", "no-base"], "no-base"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_mistake_in_an_option_is_told_before_the_places_of_a_lock_are_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "samples/layout", "store")
    assert here("resolve", "oci:store", "--lock", "images.lock", "--state", "state").returncode == 0
    assert here("keys", "generate", "--out", "keys", "--no-passphrase").returncode == 0
    shutil.rmtree("store")
    asked = ["export", "images.lock", "--out", "out", "--stream", "prod", "--state", "state"]
    failed(here(*asked, "--key", "keys/airgap.key"), USAGE, "store")
    failed(here(*asked, *([] if "--key" in wrong else ["--key", "keys/airgap.key"]), *wrong), USAGE, says)
    if wrong[0] in ("--volume-size", "--patch", "--cert-dir"):
        failed(here("plan", "images.lock", "--state", "state", *wrong), USAGE, says)


def test_every_command_in_the_readme_exists(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "README.md").read_text() + (ROOT / "scripts/demo").read_text()
    known = set(application().commands)
    used = set(re.findall(r"(?:^|[`;] ?)airgap ([a-z-]+)", text, re.MULTILINE))
    assert used
    assert used <= known


@pytest.mark.smoke("keys generate")
def test_keys_are_never_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("AIRGAP_KEY_PASSPHRASE", "secret")
    assert run(["keys", "generate", "--out", str(tmp_path)]) == 0
    before = (tmp_path / "airgap.key").read_bytes()
    assert b"ENCRYPTED" in before
    assert (tmp_path / "airgap.key").stat().st_mode & 0o777 == 0o600
    assert run(["keys", "generate", "--out", str(tmp_path)]) == 2
    assert (tmp_path / "airgap.key").read_bytes() == before
    assert "already" in capsys.readouterr().err


@pytest.mark.parametrize("phrase", ["", "correct horse"])
def test_a_key_for_cosign_signs_with_its_passphrase_here_and_there(
    tmp_path: Path, phrase: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AIRGAP_KEY_PASSPHRASE", phrase)
    asked = ["keys", "generate", "--for", "cosign", "--out", str(tmp_path), *([] if phrase else ["--no-passphrase"])]
    assert run([*asked, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["type"], facts["encrypted"]) == ("ecdsa", bool(phrase))
    content = (tmp_path / "airgap.key").read_bytes()
    assert (tmp_path / "airgap.key").stat().st_mode & 0o777 == 0o600
    key = serialization.load_der_private_key(cosignkeys.read(content, phrase.encode()), None)
    assert key.public_key() == serialization.load_pem_public_key((tmp_path / "airgap.pub").read_bytes())
    store, state = f"oci:{ROOT / 'samples/layout'}", str(tmp_path / "state")
    export = ["export", store, "--out", str(tmp_path), "--stream", "prod", "--state", state, "--key", str(tmp_path / "airgap.key")]
    if phrase:
        monkeypatch.setenv("AIRGAP_KEY_PASSPHRASE", "wrong")
        assert run(export) == 2
        assert "the passphrase does not decrypt the key" in capsys.readouterr().err
        monkeypatch.setenv("AIRGAP_KEY_PASSPHRASE", phrase)
    assert run(export) == 0
    assert (tmp_path / "prod-0001" / f"catalog.json.{facts['key_id']}.sig").exists()


@pytest.mark.parametrize("kind", ["ed25519", "x25519"])
def test_cosign_gets_no_key_whose_signatures_would_not_count(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["keys", "generate", "--for", "cosign", "--type", kind, "--no-passphrase", "--out", str(tmp_path / "k")]) == 2
    assert "--type" in capsys.readouterr().err
    assert not (tmp_path / "k").exists()


@pytest.mark.parametrize("kind", ["ecdsa", "ed25519", "x25519", "ecdsa --for cosign"])
@pytest.mark.parametrize("phrase", ["", "correct horse"])
def test_a_run_that_was_killed_between_its_two_files_is_finished_by_the_same_command(
    tmp_path: Path, kind: str, phrase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRGAP_KEY_PASSPHRASE", phrase)
    command = ["keys", "generate", "--type", *kind.split(), "--out", str(tmp_path), *([] if phrase else ["--no-passphrase"])]
    assert run(command) == 0
    pair = {name: (tmp_path / name).read_bytes() for name in ("airgap.key", "airgap.pub")}
    (tmp_path / "airgap.pub").unlink()
    assert run(command) == 0
    assert {name: (tmp_path / name).read_bytes() for name in pair} == pair


def test_a_private_key_of_another_run_is_neither_written_over_nor_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AIRGAP_KEY_PASSPHRASE", "correct horse")
    command = ["keys", "generate", "--out", str(tmp_path)]
    assert run(command) == 0
    before = (tmp_path / "airgap.key").read_bytes()
    (tmp_path / "airgap.pub").unlink()
    assert run([*command, "--type", "x25519"]) == 2
    assert run([*command, "--type", "ed25519"]) == 2
    assert run([*command, "--for", "cosign"]) == 2
    monkeypatch.setenv("AIRGAP_KEY_PASSPHRASE", "another one")
    assert run(command) == 2
    assert "a private key already exists" in capsys.readouterr().err
    assert (tmp_path / "airgap.key").read_bytes() == before
    assert not (tmp_path / "airgap.pub").exists()


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_standard_stream_ends_no_command_in_a_traceback(closed: str, tmp_path: Path) -> None:
    """Else the files of a command would get the numbers of the streams, and what is printed with them."""
    command = f"{shlex.quote(sys.executable)} -m airgap keys generate --no-passphrase --out new --type ed25519 {closed}"
    done = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert (tmp_path / "new/airgap.pub").read_bytes().startswith(b"-----BEGIN PUBLIC KEY-----")
    assert (tmp_path / "new/airgap.key").read_bytes().endswith(b"-----\n")
