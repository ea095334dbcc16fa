"""``airgap-check.pyz`` says and does what ``airgap media check`` does, with a Python that has nothing but its standard library."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from airgap.format import names
from tests.support.bundles import flip
from tests.support.cli import here

pytestmark = pytest.mark.slow("runs whole exports and imports against real registries")


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("checker")
    (out / "letter.txt").write_text("dear")
    assert here("toolkit", "--out", out, "--check-only").returncode == 0
    assert {path.name for path in out.iterdir()} == {"airgap-check.pyz", "letter.txt"}
    return out / "airgap-check.pyz"


def run(checker: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", str(checker), *map(str, arguments)]
    environment = {"PATH": os.environ["PATH"]}
    return subprocess.run(command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL, check=False)


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def link(path: Path) -> None:
    path.rename(path.with_suffix(".away"))
    path.symlink_to(path.with_suffix(".away"))


SPOILERS: dict[str, tuple[Callable[[list[Path]], object], int]] = {
    "whole": (lambda media: None, 0),
    "missing": (lambda media: (media[1] / "volume-0003.tar").unlink(), 4),
    "flipped": (lambda media: flip(media[0] / "volume-0002.tar", 700), 4),
    "cut": (lambda media: os.truncate(media[0] / "volume-0001.tar", 1000), 4),
    "longer": (lambda media: os.truncate(media[0] / "volume-0001.tar", 1_000_000), 4),
    "fifo": (lambda media: fifo(media[0] / "volume-0001.tar"), 4),
    "link": (lambda media: link(media[0] / "volume-0001.tar"), 4),
    "swapped": (lambda media: shutil.copy(media[0] / "volume-0001.tar", media[0] / "volume-0002.tar"), 4),
    "double": (lambda media: shutil.copy(media[0] / "volume-0001.tar", media[1]), 0),
    "catalog": (lambda media: (media[0] / names.CATALOG).write_text("{}"), 4),
    "sums": (lambda media: (media[0] / names.SUMS).write_text("x"), 4),
    "stranger": (lambda media: (media[0] / "volume-0009.tar").write_text("x"), 4),
}


@pytest.mark.parametrize("spoiled", SPOILERS)
def test_words_facts_and_exit_codes_are_the_same(checker, media, spoiled):
    spoil, code = SPOILERS[spoiled]
    spoil(media)
    for options in ((), ("--json",)):
        ours, theirs = run(checker, *media, *options), here("media", "check", *media, *options)
        assert (ours.stdout, ours.returncode) == (theirs.stdout, theirs.returncode)
        assert ours.returncode == code
        assert "Traceback" not in ours.stderr


def test_a_subset_is_whole_only_when_that_was_asked(checker, media):
    assert run(checker, media[0]).returncode == 4
    for options in (("--subset",), ()):
        ours, theirs = run(checker, media[1], *options), here("media", "check", media[1], *options)
        assert (ours.stdout, ours.returncode) == (theirs.stdout, theirs.returncode)


def test_errors_are_messages(checker, tmp_path):
    for path in (tmp_path, tmp_path / "nothing"):
        ours = run(checker, path, "--json")
        assert ours.returncode == 2
        assert ours.stderr.startswith("airgap-check: error: no")
        assert json.loads(ours.stdout)["exit_code"] == 2
        assert json.loads(ours.stdout)["error"] == json.loads(here("media", "check", path, "--json").stdout)["error"]
    assert run(checker).returncode == 2
    assert run(checker, "--threads", "0", tmp_path).returncode == 2
    assert "Exit codes" in run(checker, "--help").stdout


def test_an_older_python_is_told_what_to_do_instead(checker):
    code = (
        "import sys, zipfile\n"
        "source = zipfile.ZipFile(sys.argv[1]).read('__main__.py')\n"
        "sys.version_info = (3, 9, 18)\n"
        "exec(compile(source, 'main', 'exec'))\n"
    )
    command = [sys.executable, "-I", "-S", "-W", "ignore", "-c", code, str(checker)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "this needs Python 3.11 or newer" in done.stderr
    assert "check.sh" in done.stderr
