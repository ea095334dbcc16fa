"""A wrong value of the configuration: told where it is written, by every command and by ``config check``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli import USAGE, failed, here

SITE = [
    ('to = ""', "to is empty"),
    ('to = "nowhere"', "not a target"),
    ('to = "oci:x"\nmax-age = "thirty"', "not an age"),
    ('to = "oci:x"\nplatforms = ["linux/amd64", "linux"]', "not a valid platform"),
    ('to = "docker://x:5"\nmap = "docker.io"', "neither a mapping rule nor a file"),
    ('to = "docker://x:5"\ninsecure-registry = "http://x"', "not a valid registry host"),
    ('to = "docker://x:5"\nno-referrers-api = "http://x"', "not a valid registry host"),
    ('to = "docker://x:5"\nlimit-rate = "fast"', "not a valid size"),
    ('to = "docker://x:5"\nmin-rate = "slow"', "not a valid size"),
    ('to = "docker://x:5"\nwithout = "nothing"', "not a valid attachment kind"),
    ('to = "docker://x:5"\nthreads = 99', "invalid value for threads"),
]
STREAM = [
    ('volume-size = "1 elephant"', "not a valid size"),
    ('expires = "soon"', "not a valid time"),
    ('platform = "linux"', "not a valid platform"),
    ('patch = "sometimes"', "unknown value"),
]


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("AIRGAP_CONFIG")


@pytest.mark.parametrize(("text", "what"), SITE)
def test_wrong_value_of_the_site_is_told_where_it_is_written(text: str, what: str) -> None:
    Path("airgap.toml").write_text(f"[site]\n{text}\n")
    for words in (["import", "x"], ["config", "check"]):
        failed(here(*words), USAGE, what, f"airgap.toml:{2 + text.count(chr(10))}:1")


@pytest.mark.parametrize(("text", "what"), STREAM)
def test_wrong_value_of_a_stream_is_told_where_it_is_written(text: str, what: str) -> None:
    Path("airgap.toml").write_text(f'[stream.prod]\nlists = "images.txt"\nout = "out"\nkey = "k"\n{text}\n')
    for words in (["export", "prod"], ["config", "check"]):
        failed(here(*words), USAGE, what, "airgap.toml:5:1")


def test_wrong_value_of_a_variable_is_told_by_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("airgap.toml").write_text('[site]\nto = "oci:x"\nmax-age = "90d"\n')
    monkeypatch.setenv("AIRGAP_MAX_AGE", "thirty")
    for words in (["import", "x"], ["config", "check"]):
        failed(here(*words), USAGE, "not an age", "where:    AIRGAP_MAX_AGE")
    failed(here("import", "x", "--max-age", "never"), USAGE, "not an age", "where:    --max-age")


def test_check_reads_a_value_that_a_variable_hides(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("airgap.toml").write_text('[site]\nto = "oci:x"\nmax-age = "thirty"\n')
    monkeypatch.setenv("AIRGAP_MAX_AGE", "30d")
    failed(here("config", "check"), USAGE, "not an age", "airgap.toml:3:1")


def test_mistake_that_only_the_command_finds_has_the_place_of_its_value_too() -> None:
    Path("airgap.toml").write_text('[site]\nlisten = "x"\n')
    failed(here("serve", "."), USAGE, "not an address to listen on", "airgap.toml:2:1")


def test_mistake_in_a_file_that_a_value_names_has_its_own_place() -> None:
    Path("airgap.toml").write_text('[site]\nmap = "rules.txt"\n')
    Path("rules.txt").write_text("flatten\nimage=bad\n")
    failed(here("config", "check"), USAGE, "unknown mapping rule", "rules.txt:2")
