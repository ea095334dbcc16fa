"""The help: what is loaded for it, summaries, panels, examples that can be pasted, former names, and what is made from it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airgap import __version__
from airgap.cli.application import application
from airgap.cli.grammar.explained import Explained, first_sentence, is_option, long_name, value_name
from airgap.cli.grammar.panels import heading_of
from airgap.cli.grammar.spelling import FORMER
from airgap.cli.grammar.text import example
from airgap.cli.main import run
from tests.support.cli import USAGE, failed, here

ROOT = Path(__file__).parents[2]


def commands(command: Any, context: Any) -> Iterator[tuple[str, Any, Any]]:
    """Every command with its name and a context, the groups too."""
    yield context.command_path, command, context
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, type(context)(below, info_name=name, parent=context))


APPLICATION = application()
EVERY = list(commands(APPLICATION, APPLICATION.make_context("airgap", [], resilient_parsing=True)))
NAMES = [name for name, _, _ in EVERY]


def loaded(*arguments: str) -> set[str]:
    """The modules that a command loads, in a process of its own."""
    code = "import sys; from airgap.cli.main import run; run(sys.argv[1:]); sys.stderr.write('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "arguments", ["--version", "--help", "version", "completion bash", "help", "completion bash -- 'airgap ex' ex"]
)
def test_airgap_about_itself_loads_nothing_of_the_flows(arguments: str) -> None:
    found = loaded(*shlex.split(arguments))
    rooms = {name.split(".")[1] for name in found if name.startswith("airgap.")}
    assert rooms <= {"bundle", "cli", "errors", "format", "fsio", "limits", "oci", "programs", "schemas", "text"}
    assert not {name for name in found if name.startswith("airgap.cli.commands.")} - {"airgap.cli.commands.about"}
    assert not found & {"pydantic", "rich", "requests", "yaml", "cryptography", "sqlite3"}


def test_a_small_command_loads_neither_pydantic_nor_what_it_does_not_need(tmp_path: Path) -> None:
    found = loaded("inspect", str(tmp_path))
    assert not found & {"pydantic", "rich", "requests", "yaml", "cryptography", "sqlite3", "urllib3"}


def test_the_summaries_are_the_first_sentences_of_the_commands_and_fit_into_80_columns() -> None:
    shown = {entry.written: entry.meaning for _, entries in APPLICATION.tables() for entry in entries}
    assert shown == {name: first_sentence(command.help) for name, command in APPLICATION.commands.items()}
    assert {name for name, text in shown.items() if len(text) + max(map(len, shown)) + 4 > 80} == set()


@pytest.mark.parametrize("columns", [80, 120, 300])
def test_the_help_is_as_wide_as_the_terminal_up_to_what_can_be_read(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert run(["export", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    longest = max(len(line) for line in lines)
    assert longest <= min(columns, 120)
    assert longest > min(columns, 120) - 20


def test_every_option_of_every_command_has_a_heading_and_a_value_that_says_something() -> None:
    for name, command, context in EVERY:
        for one in command.get_params(context):
            if is_option(one):
                assert heading_of(long_name(one)) != "Other options", f"{name} {long_name(one)} is not in grammar/panels.py"
                assert one.is_flag or value_name(one) not in ("TEXT", long_name(one).upper()) or long_name(one) in ("key", "note")
        assert not re.search(r"list\[|<[a-z]+>|\[default|pathlib|None", command.get_help(context)), name


@pytest.mark.parametrize("name", NAMES)
def test_an_example_of_the_command_stands_before_its_options(name: str) -> None:
    _, command, context = EVERY[NAMES.index(name)]
    if not hasattr(command, "commands"):
        text = command.get_help(context)
        assert f"Example:\n  {name}" in text
        assert text.index("Example:") < text.index("Output:")


@pytest.mark.parametrize("width", [40, 80, 120])
def test_an_example_means_the_same_at_any_width(width: int) -> None:
    for name, command, context in EVERY:
        explained = Explained.of(command, context)
        for text in [explained.example or name, *(part.text for part in explained.details if part.is_example)]:
            assert shlex.split(example(text, width).replace("\\\n", " ")) == shlex.split(text)


@pytest.mark.smoke("help", "version", "man")
def test_help_and_version_are_commands_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["help", "keys", "generate"]) == 0
    asked = capsys.readouterr().out
    assert run(["keys", "generate", "--help"]) == 0
    assert capsys.readouterr().out == asked
    assert run(["help"]) == 0
    assert "mirror-config" in capsys.readouterr().out
    assert run(["version"]) == 0
    assert capsys.readouterr().out == f"airgap {__version__}\n"
    assert run(["man", "media", "check"]) == 0
    assert capsys.readouterr().out.startswith('.TH "AIRGAP\\-MEDIA\\-CHECK" "1"')
    failed(here("help", "media", "check", "this"), USAGE, "no such command", "airgap media check")


@pytest.mark.parametrize("words", ["exprot", "zzz", "media chek", "keys make"])
def test_help_and_man_suggest_as_a_command_line_does(words: str) -> None:
    said = here(*words.split()).stderr
    assert "No such command" in said
    for command in ("help", "man"):
        assert here(command, *words.split()).stderr == said


def test_version_as_an_option_prints_what_the_command_prints() -> None:
    expected = here("version", "--json").stdout
    assert here("--version", "--json").stdout == here("--json", "--version").stdout == expected
    assert here("--version").stdout == here("version").stdout


TEXT_ONLY = {"airgap help", "airgap man", "airgap completion"}


def test_every_command_takes_json_but_the_three_that_docs_json_md_names() -> None:
    ends = {name: command for name, command, _ in EVERY if not getattr(command, "commands", None)}
    lacking = {name for name, command in ends.items() if not any("--json" in parameter.opts for parameter in command.params)}
    assert ends.keys() > TEXT_ONLY
    assert lacking == TEXT_ONLY
    told = re.search(r"Only ((?:`\w+`(?:, | and )?)+) print nothing but text", (ROOT / "docs/json.md").read_text())
    assert told is not None
    assert {f"airgap {name}" for name in re.findall(r"`(\w+)`", told[1])} == TEXT_ONLY


@pytest.mark.parametrize("command", ["help", "man", "completion"])
def test_what_prints_text_says_so_where_json_is_wanted(command: str) -> None:
    done = here(command, "--json")
    assert json.loads(done.stdout)["next"] == f"leave --json out: airgap {command} prints text only"


@pytest.mark.parametrize(
    ("words", "near"),
    [
        ("export --no-parity", " (Possible options: --parity)"),
        ("export --no-restrat", " (Possible options: --no-restart, --restart)"),
        ("export --no-idea", ""),
        ("keys generate --no-passphras", " (Possible options: --no-passphrase, --passphrase-file)"),
    ],
)
def test_an_option_that_cannot_be_switched_off_suggests_its_own_name(words: str, near: str) -> None:
    found = re.search("^airgap: error: No such option: --[a-z-]+(.*)$", here(*words.split()).stderr, re.MULTILINE)
    assert found
    assert found[1] == near


def test_choices_of_a_missing_option_are_on_one_line() -> None:
    done = here("mirror-config", "--to", "docker://x:5", "--config", "")
    failed(done, USAGE, "Missing option '--format'. Choose from: policy, registries.conf, containerd,")


def test_json_quiet_and_verbose_may_stand_before_the_command() -> None:
    expected = {"schema": "airgap.version/1", "version": __version__}
    assert json.loads(here("--json", "version").stdout) == expected
    assert json.loads(here("-q", "-v", "--json", "version").stdout) == expected
    for words in (["--json", "media", "check"], ["media", "--json", "check"], ["media", "check", "--json"]):
        done = here(*words, "/nowhere/at/all")
        assert done.returncode == USAGE
        assert json.loads(done.stdout)["exit_code"] == USAGE


@pytest.mark.parametrize(
    ("command", "former"), [(command, former) for command, names in FORMER.items() for former in names if command]
)
def test_a_former_name_works_for_its_command_and_is_not_shown(command: str, former: str) -> None:
    now = FORMER[command][former]
    found = next(one for name, one, _ in EVERY if name == f"airgap {command}")
    assert now in {long_name(one) for one in found.params if is_option(one)}
    assert not re.search(rf"--{former}\b", here("help", *command.split()).stdout)
    assert "No such option" not in here(*command.split(), f"--{former}").stderr
    assert "No such option" in here(*command.split(), "--no-such-thing").stderr


def test_a_name_that_another_command_had_before_is_none_here() -> None:
    assert "No such option: --output" in here("policy", "check", "--output").stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["import", "x", "--to", "oci:x", "--wait", "soon"], "'soon' is not a number"),
        (["export", "x", "--out", "x", "--threads", "65"], "65 is not a whole number from 1 to 64"),
        (["keys", "generate", "--out", "x", "--type", "rsa"], "'rsa' is not one of ecdsa, ed25519, x25519"),
        (["watch", "x", "--to", "oci:x", "--interval", "nan"], "nan is not a number"),
    ],
)
def test_a_value_that_is_none_is_refused_with_what_is_expected(arguments: list[str], says: str) -> None:
    failed(here(*arguments), USAGE, says)


def test_man_pages_completion_and_the_table_of_options_are_what_the_commands_say() -> None:
    done = subprocess.run([sys.executable, ROOT / "scripts/make-manual", "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_man_pages_render_without_a_warning() -> None:
    pages = sorted((ROOT / "share/man/man1").glob("*.1"))
    assert len(pages) == len(EVERY)
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", *pages],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    assert done.stderr == ""
