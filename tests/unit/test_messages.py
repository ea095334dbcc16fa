"""Every error text of the code is on the page of messages, in a family that says its cause and what helps."""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path

import pytest

from airgap.cli.main import run

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "scripts"))

from reference.families import Family, families, family_of  # noqa: E402
from reference.messages import Message, messages  # noqa: E402
from reference.pages import pages  # noqa: E402


@cache
def found() -> list[Message]:
    return messages(ROOT)


@cache
def every() -> list[Family]:
    return families(ROOT)


def test_every_error_text_has_a_cause_and_a_cure() -> None:
    homeless = [f"{one.module}: {one.text}" for one in found() if family_of(one, every()) is None]
    assert homeless == []
    assert len(found()) > 900


def test_no_family_is_without_messages() -> None:
    assert {family.title for family in every()} == {family.title for one in found() if (family := family_of(one, every()))}


def test_the_code_has_no_error_whose_text_was_not_read() -> None:
    """An error in a few kinds of code, each with its text: a plain one, a put-together one, one by a function, one of two."""
    texts = {one.text for one in found()}
    assert "a signature that the policy requires is missing" in texts
    assert "cannot read the …: …" in texts
    assert "there is no schema of this name" in texts


@pytest.mark.parametrize(
    "arguments",
    [
        ["schema", "nothing"],
        ["verify", "/nowhere", "--policy", "/nowhere/policy.json"],
        ["export", "/nowhere/list", "--out", "/tmp", "--stream", "A B"],
        ["media", "repair", "/nowhere"],
        ["docs", "--out", "/tmp"],
        ["policy", "check", "/nowhere"],
        ["serve", "/nowhere"],
        ["plan", "/nowhere/list", "--volume-size", "x"],
    ],
    ids=" ".join,
)
def test_what_a_command_says_is_on_the_page(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    said = re.search(r"error: (.*)", capsys.readouterr().err)
    assert said
    known = [re.escape(one.text).replace("…", ".*") for one in found()]
    assert any(re.fullmatch(pattern, said[1]) for pattern in known), said[1]


def test_every_command_that_a_cure_names_exists() -> None:
    root = {name for name, _ in pages(ROOT) if name.startswith("commands/")}
    words = {name.removeprefix("commands/").removesuffix(".md").replace("-", " ") for name in root}
    for family in every():
        for words_of_one in re.findall(r"`airgap ([a-z]+(?:[ -][a-z]+)?)", family.cause + family.cure):
            first = words_of_one.replace("-", " ")
            assert first in words or first.split()[0] in words, (family.title, words_of_one)
