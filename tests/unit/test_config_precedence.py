"""Command line, environment, file, default: for every option of every command, from the commands themselves."""

from __future__ import annotations

import enum
import json
from pathlib import Path
from typing import Any

import pytest

from airgap.cli.config.document import SITE, STREAM
from airgap.cli.config.keys import RESERVED, Key
from airgap.cli.config.sections import BY_COMMAND
from tests.support.configured import commands, keys, parsed, sample

COMMANDS = sorted(commands())


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("AIRGAP_CONFIG")


def said(key: Key, number: int) -> list[str]:
    """The option as the command line has it."""
    text = sample(key, number)
    if key.option.param_type_name == "argument":
        return [text]
    if not key.is_switch:
        return [f"--{key.name}={text}"]
    return [key.option.opts[0] if text == "true" else (key.option.secondary_opts or [f"--no-{key.name}"])[0]]


def meant(key: Key, number: int) -> Any:
    """The value that the command gets."""
    text = sample(key, number)
    value: Any = text == "true" if key.is_switch else key.kind(text)
    return [value] if key.many else value


def write(words: str, key: Key, number: int) -> None:
    text = sample(key, number)
    quoted = not key.is_switch and (key.kind in (str, Path) or issubclass(key.kind, enum.Enum))
    section = "stream.prod" if words in STREAM else f"site.{words}"
    Path("airgap.toml").write_text(f"[{section}]\n{key.name} = {json.dumps(text) if quoted else text}\n")


@pytest.mark.parametrize("words", COMMANDS)
def test_command_line_comes_before_environment(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in keys(words):
        if key.variable:
            monkeypatch.setenv(key.variable, sample(key, 1))
            assert parsed(words, key, *said(key, 0)) == meant(key, 0), key.name
            if key.is_switch:
                monkeypatch.setenv(key.variable, sample(key, 0))
                assert parsed(words, key, *said(key, 1)) is False, key.name
            monkeypatch.delenv(key.variable)


@pytest.mark.parametrize("words", COMMANDS)
def test_environment_comes_before_default(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in keys(words):
        for number in (0, 1):
            if key.variable:
                monkeypatch.setenv(key.variable, sample(key, number))
                assert parsed(words, key) == meant(key, number), key.name
                monkeypatch.setenv(key.variable, "")
                assert key.option.required or parsed(words, key) in (key.option.default, ()), key.name


@pytest.mark.parametrize("words", [*SITE, "merge", "export"])
def test_file_comes_before_default_and_after_environment_and_command_line(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if words in STREAM:
        monkeypatch.setenv("AIRGAP_STREAM", "prod")
    for key in keys(words):
        if key.for_one_run or key.name == "stream":
            continue
        for number in (0, 1):
            write(words, key, number)
            assert parsed(words, key) == meant(key, number), key.name
            monkeypatch.setenv(key.variable, sample(key, 1 - number))
            assert parsed(words, key) == meant(key, 1 - number), key.name
            assert parsed(words, key, *said(key, number)) == meant(key, number), key.name
            monkeypatch.delenv(key.variable)


@pytest.mark.parametrize("words", ["plan", "resolve", "export"])
def test_stream_in_place_of_lists_gives_the_lists_and_every_other_option(words: str) -> None:
    lists = next(key for key in keys(words) if key.name == "lists")
    for key in keys(words):
        if not key.for_one_run and key.name not in ("stream", "lists"):
            write(words, key, 0)
            with Path("airgap.toml").open("a") as file:
                file.write('lists = ["a.txt", "b.txt"]\n')
            assert parsed(words, key, "prod") == meant(key, 0), key.name
            assert parsed(words, lists, "prod") == ["a.txt", "b.txt"], key.name


@pytest.mark.parametrize("words", [name for name in STREAM if name in ("export", "plan", "resolve")])
def test_the_stream_that_the_command_line_names_is_the_stream(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("airgap.toml").write_text('[stream.prod]\nlists = "a.txt"\n[stream.zz]\nlists = "z.txt"\nplatform = "linux/amd64"\n')
    monkeypatch.setenv("AIRGAP_STREAM", "zz")
    found = {key.name: key for key in keys(words)}
    assert parsed(words, found["lists"], "prod") == ["a.txt"]
    assert not parsed(words, found["platform"], "prod")
    if "stream" in found:
        assert parsed(words, found["stream"], "prod") == "prod"
        assert parsed(words, found["stream"], "other.txt") == "zz"


@pytest.mark.parametrize("words", SITE)
def test_every_command_of_the_site_reads_the_common_section(words: str) -> None:
    for key in keys(words):
        if not key.for_one_run and key.name not in BY_COMMAND:
            write(words, key, 0)
            Path("airgap.toml").write_text(Path("airgap.toml").read_text().replace(f"[site.{words}]", "[site]"))
            assert parsed(words, key) == meant(key, 0), key.name


def test_every_option_has_a_variable_of_its_own() -> None:
    without = {(words, key.name) for words in COMMANDS for key in keys(words) if not key.variable}
    assert {f"AIRGAP_{name.upper()}" for _, name in without} <= RESERVED
    assert {name for _, name in without} <= {"image"}, "a name that airgap itself sets for gates"
