"""What a shell is told when somebody presses Tab."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from airgap.cli.application import application
from airgap.cli.config.document import configured_streams
from airgap.cli.grammar.completion import answer
from airgap.cli.grammar.shells import SCRIPTS
from airgap.oci.digest import Digest
from airgap.state import State

ROOT = Path(__file__).parents[2]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with two bundles, keys, lists, and a state that knows two streams."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIRGAP_STATE", str(tmp_path / "state"))
    for name in ("usb/prod-site-0001", "usb/prod-site-0002", "usb/photos", "keys"):
        (tmp_path / name).mkdir(parents=True)
    for number in (1, 2):
        (tmp_path / f"usb/prod-site-000{number}/catalog.json").write_text("{}")
    for name in ("keys/airgap.key", "keys/airgap.pub", "images.txt", "my list.txt", ".hidden"):
        (tmp_path / name).write_text("")
    with State(tmp_path / "state") as memory:
        for stream in ("prod-site", "lab"):
            memory.record_export(stream, 1, Digest.of(b"x"))
    return tmp_path


def asked(*words: str) -> list[str]:
    """The values that fish would get for the last word."""
    root = application()
    context = root.make_context("airgap", [], resilient_parsing=True)
    return [line.partition("\t")[0] for line in answer(root, context, "fish", ["airgap", *words], configured_streams).splitlines()]


def in_bash(line: str, piece: str) -> list[str]:
    """The lines that bash would get."""
    root = application()
    context = root.make_context("airgap", [], resilient_parsing=True)
    return answer(root, context, "bash", [line, piece], configured_streams).splitlines()


def test_commands_and_what_is_below_them() -> None:
    assert asked("e") == ["export"]
    assert asked("media", "") == ["copy", "check", "repair", "log"]
    assert asked("help", "media", "re") == ["repair"]
    assert asked("nonsense", "") == []


def test_options_that_are_not_given_yet() -> None:
    assert asked("export", "--st") == ["--stream", "--state"]
    assert asked("export", "--stream", "x", "--st") == ["--state"]
    assert asked("export", "--since", "x", "--sin") == ["--since", "--since-key"]
    assert "--accept-unnamed-bundles" not in asked("verify", "--accept")
    assert asked("-q", "media", "check", "--who") == ["--who"]


def test_choices() -> None:
    assert asked("keys", "generate", "--type", "e") == ["ecdsa", "ed25519"]
    assert asked("keys", "generate", "--type=x") == ["--type=x25519"]
    assert asked("plan", "--patch", "a") == ["auto", "always"]
    assert asked("completion", "") == ["bash", "zsh", "fish"]
    assert asked("import", "x", "--to", "oci-") == ["oci-archive:"]


def test_streams_come_from_the_state_which_is_left_as_it_is(desk: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (desk / "state").iterdir()}
    assert asked("history", "--stream", "") == ["lab", "prod-site"]
    assert asked("export", "--stream", "p") == ["prod-site"]
    assert asked("history", "--state", str(desk / "none"), "--stream", "") == []
    assert not (desk / "none").exists()
    assert {path: path.stat().st_mtime_ns for path in (desk / "state").iterdir()} == before


def test_streams_of_the_configuration_are_offered_where_a_stream_or_a_list_may_stand(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRGAP_CONFIG")
    Path("airgap.toml").write_text('[stream.prod-west]\nlists = "images.txt"\n[stream.lab]\n[site]\n')
    for command in ("export", "plan", "resolve"):
        assert asked(command, "") == ["prod-west", "lab", "airgap.toml", "images.txt", "keys/", "my list.txt", "state/", "usb/"]
    assert asked("export", "pro") == ["prod-west"]
    assert in_bash("airgap export pro", "pro") == ["prod-west "]
    assert asked("export", "prod-west", "pro") == asked("export", "--stream", "lab", "pro") == []
    assert asked("export", "--stream", "p") == ["prod-site", "prod-west"]
    assert asked("config", "show", "") == ["prod-west", "lab"]
    Path("airgap.toml").rename("other.toml")
    assert asked("export", "pro") == asked("--config", "none.toml", "export", "pro") == []
    assert asked("--config", "other.toml", "export", "pro") == asked("export", "--config=other.toml", "pro") == ["prod-west"]
    for text in ("[stream.prod-west]\n[stream", "[sites]\n[stream.prod-west]\n"):
        (desk / "airgap.toml").write_text(text)
        assert asked("export", "pro") == [], "a configuration with a mistake completes nothing"


@pytest.mark.usefixtures("desk")
def test_what_is_often_wanted_where_a_value_is_free() -> None:
    assert asked("export", "--volume-size", "") == ["fat32", "dvd", "dvd-dl", "bd25", "bd50"]
    assert asked("media", "copy", "--media=d") == ["--media=dvd", "--media=dvd-dl"]
    assert asked("plan", "--platform", "linux/arm") == ["linux/arm64", "linux/arm/v7"]
    assert asked("import", "--without", "ref") == ["referrers"]
    assert asked("import", "--map", "k") == ["keep-host", "keys/"]
    assert asked("import", "--map", "pre") == ["prefix="]
    assert in_bash("airgap import --map pre", "pre") == ["prefix="]
    assert asked("export", "--since", "") == ["docker://", "oci:", "images.txt", "keys/", "my list.txt", "state/", "usb/"]
    assert {"import", "import-dry-run"} <= set(asked("schema", "im"))
    assert "policy" in asked("mirror-config", "--format", "")


def test_a_damaged_state_completes_nothing(desk: Path) -> None:
    (desk / "state/state.db").write_bytes(b"no database")
    assert asked("history", "--stream", "") == []


@pytest.mark.usefixtures("desk")
def test_bundles_are_whole_words_and_other_directories_lead_on() -> None:
    assert asked("inspect", "usb/") == ["usb/photos/", "usb/prod-site-0001", "usb/prod-site-0002"]
    assert asked("verify", "usb/prod-site-0001", "u") == ["usb/"]
    assert asked("sign", "usb/prod-site-0001", "u") == []  # it takes one bundle


@pytest.mark.usefixtures("desk")
def test_keys_files_and_directories() -> None:
    assert asked("export", "--key", "keys/") == ["keys/airgap.key"]
    assert asked("policy", "init", "--public-key", "keys/") == ["keys/airgap.pub"]
    assert asked("policy", "init", "--key", "keys/") == ["keys/airgap.pub"]
    assert asked("export", "im") == ["images.txt"]
    assert asked("export", "--out", "k") == ["keys/"]
    assert asked("export", ".") == [".hidden"]
    assert asked("export", "--parity", "") == []


@pytest.mark.usefixtures("desk")
def test_bash_gets_what_it_can_insert() -> None:
    assert in_bash("airgap exp", "exp") == ["export "]
    assert in_bash("airgap export m", "m") == ["my\\ list.txt "]
    assert in_bash("airgap export my\\ l", "my\\ l") == ["my\\ list.txt "]
    assert in_bash("airgap inspect u", "u") == ["usb/"]
    assert in_bash("airgap import x --to dock", "dock") == ["docker://", "docker-archive:"]
    assert in_bash("airgap import x --to docker:", ":") == ["//"]
    assert in_bash("airgap keys generate --type=e", "e") == ["ecdsa ", "ed25519 "]
    assert in_bash("airgap keys generate --type=", "=") == ["ecdsa ", "ed25519 ", "x25519 "]


@pytest.mark.usefixtures("desk")
def test_a_name_that_would_command_the_terminal_is_not_offered() -> None:
    Path("usb/\x1b[31mred").mkdir()
    assert asked("inspect", "usb/") == ["usb/photos/", "usb/prod-site-0001", "usb/prod-site-0002"]
    assert in_bash("airgap inspect usb/ph", "usb/ph") == ["usb/photos/"]


@pytest.mark.smoke("completion")
def test_a_real_bash_completes(desk: Path, tmp_path: Path) -> None:
    program = tmp_path / "bin/airgap"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m airgap "$@"\n')
    program.chmod(0o755)
    script = SCRIPTS["bash"] + (
        "ask() { COMP_LINE=$1; COMP_POINT=${#1}; COMP_WORDS=($1); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _airgap airgap;"
        ' printf "<%s>" "${COMPREPLY[@]}"; echo; }\n'
        "complete -p airgap; ask 'airgap media ch'; ask 'airgap inspect usb/prod'\n"
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env={**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"},
        cwd=desk,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [
        "complete -o nospace -F _airgap airgap",
        "<check >",
        "<usb/prod-site-0001 ><usb/prod-site-0002 >",
    ]
