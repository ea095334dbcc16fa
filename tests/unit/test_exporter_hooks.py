"""The operator's commands: how they are read, what they get, how they end."""

from __future__ import annotations

import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from airgap.errors import Stopped, UsageError
from airgap.exporter.hooks import KEPT, Hook, Runner, View

VIEW = View(
    "docker.io/library/web:1", "sha256:" + "0" * 64, "127.0.0.1:1/docker.io/library/web@sha256:" + "0" * 64, "/layout {image}"
)


def run(text: str, environment: dict[str, str] | None = None, seconds: int = 60) -> tuple[int | None, str]:
    ended = Runner(seconds, {"PATH": "/usr/bin:/bin", **(environment or {})}).run(Hook.parse(text), VIEW)
    return ended.status, ended.output.decode()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("echo {image} {digest}", ["echo", VIEW.image, VIEW.digest]),
        ("echo registry:{registry}", ["echo", f"registry:{VIEW.registry}"]),
        ("echo '{layout}'", ["echo", VIEW.layout]),
        ("echo '{{image}}'", ["echo", f"{{{VIEW.image}}}"]),
        ("echo '{{.Name}}' {other} {", ["echo", "{{.Name}}", "{other}", "{"]),
        ("echo 'two words' \\\"", ["echo", "two words", '"']),
    ],
)
def test_placeholders_are_filled_in_once_and_nothing_else_is_touched(text: str, words: list[str]) -> None:
    assert Hook.parse(text).arguments(VIEW) == words


def test_placeholders_of_a_platform_are_filled_in_too() -> None:
    view = replace(VIEW, platform="linux/arm/v7", platform_digest="sha256:" + "1" * 64, platform_layout="/one")
    text = "echo --platform={platform} oci-dir:{platform-layout} -o {digest}/{platform-digest} {platform_layout}"
    assert Hook.parse(text).arguments(view)[1:] == [
        "--platform=linux/arm/v7", "oci-dir:/one", "-o", f"{VIEW.digest}/{view.platform_digest}", "{platform_layout}",
    ]  # fmt: skip
    assert view.variables()["AIRGAP_PLATFORM"] == "linux/arm/v7"
    assert "AIRGAP_PLATFORM" not in VIEW.variables()


def test_a_command_runs_for_platforms_if_it_names_one_thing_of_them() -> None:
    for word in ("{platform}", "{platform-digest}", "{platform-layout}"):
        assert Hook.parse(f"ls a{word}").is_for_platforms
    assert not Hook.parse("ls {layout} {image} {platforms}").is_for_platforms
    assert Hook.parse("ls {platform-layout}").wants_platform_layout
    assert not Hook.parse("ls {platform-layout}").wants_layout
    assert not Hook.parse("ls {platform}").wants_platform_layout


def test_only_a_command_that_asks_for_a_directory_wants_one() -> None:
    assert Hook.parse("ls {layout}").wants_layout
    assert not Hook.parse("ls {registry}").wants_layout


@pytest.mark.parametrize("text", ["", "  ", "sh 'open", "no-such-program-anywhere", "ls \0"])
def test_what_is_no_command_is_a_mistake(text: str) -> None:
    with pytest.raises(UsageError):
        Hook.parse(text)


def test_no_shell_reads_the_command() -> None:
    assert run("echo $HOME ; exit 3 > file") == (0, "$HOME ; exit 3 > file\n")


def test_exit_status_and_signal_are_told() -> None:
    assert run("sh -c 'exit 42'")[0] == 42
    assert run("sh -c 'kill -9 $$'")[0] == -9


def test_environment_has_the_view_and_no_secrets() -> None:
    secrets = {
        "AIRGAP_KEY_PASSPHRASE": "canary",
        "REGISTRY_AUTH_FILE": "canary",
        "DOCKER_CONFIG": "canary",
        "AIRGAP_STATE": "canary",
    }
    _, output = run("env", {**secrets, "SCANNER_TOKEN": "theirs"})
    assert "canary" not in output
    assert {"SCANNER_TOKEN=theirs", f"AIRGAP_IMAGE={VIEW.image}", f"AIRGAP_REGISTRY_REFERENCE={VIEW.registry}"} <= set(
        output.splitlines()
    )


def test_both_streams_are_kept_up_to_a_limit_from_the_end() -> None:
    status, output = run("sh -c 'yes out | head -c 3000000; echo end >&2'")
    assert status == 0
    assert len(output) == KEPT
    assert output.endswith("end\n")


def test_output_that_is_closed_early_does_not_end_the_wait() -> None:
    assert run("sh -c 'exec >&- 2>&-; sleep 0.3; exit 5'") == (5, "")


def test_a_command_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    status, output = run(f"sh -c 'echo begun; sleep 600; touch {marker}'", seconds=1)
    assert (status, output) == (None, "begun\n")


def test_stop_ends_what_runs_and_what_comes_later() -> None:
    runner = Runner(600, {"PATH": "/usr/bin:/bin"})
    threading.Timer(0.2, runner.stop).start()
    for _ in range(2):
        with pytest.raises(Stopped):
            runner.run(Hook.parse("sleep 600"), VIEW)


def test_last_words_are_few_and_harmless() -> None:
    script = r"import sys; print('\n'.join(str(n) for n in range(20)) + '\n\x1b[2J\u202e\n\n')"
    ended = Runner(60).run(Hook((script), (sys.executable, "-c", script)), VIEW)
    assert ended.last_words() == ["16", "17", "18", "19", r"\x1b[2J\u202e"]
