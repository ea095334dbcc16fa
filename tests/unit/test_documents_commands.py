"""Every airgap command that a document shows is one that airgap takes: it exists, and so do its options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airgap.cli.application import application

ROOT = Path(__file__).parents[2]
#: Decisions and the changelog speak of former times.
PAGES = [ROOT / "README.md", *sorted(path for path in (ROOT / "docs").rglob("*.md") if "adr" not in path.parts)]
_BLOCK = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```|((?:^    .*\n)+)", re.MULTILINE | re.DOTALL)
_STOPS = {"|", "||", "&&", ";", "&", ">", ">>", "2>", "<", ")"}


def shown(page: Path) -> Iterator[str]:
    """The commands of a page, each as its own line."""
    for _, language, fenced, indented in _BLOCK.findall(page.read_text()):
        if language in ("", "sh", "console", "bash"):
            for line in re.sub(r"\\\n\s*", " ", fenced or indented).splitlines():
                for part in re.split(r"(?:^|&&|\|\||;|\$\(|[|(])\s*(?=(?:\$ )?airgap )", line.strip()):
                    text = part.strip().removeprefix("$ ")
                    if text.startswith("airgap ") and (fenced or text.split()[1] in application().commands):
                        yield text  # indented text may be prose that begins with the program's name


def words(line: str) -> list[str]:
    """A line up to where the shell would end the command; without comments."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split, lexer.commenters = True, "#"
    found: list[str] = []
    for word in lexer:
        if word in _STOPS or set(word) <= set("();<>|&"):
            break
        found.append(word)
    return found


def check(arguments: list[str]) -> None:
    """Parse, and run nothing. Raises what click raises."""
    context, command = None, application()
    rest = list(arguments)
    while True:
        below = getattr(command, "commands", None)
        if below is None:
            break
        name = next((word for word in rest if not word.startswith("-")), "")
        assert name in below, f"no command {name!r}"
        rest.remove(name)
        context = command.context_class(command, info_name="airgap", parent=context)
        command = below[name]
    known: dict[str, Any] = {spelled: one for one in command.params for spelled in (*one.opts, *one.secondary_opts)}
    for word in rest:
        option = word.partition("=")[0]
        if re.fullmatch(r"--[a-z][a-z-]*|-[a-z]", option):
            assert option in known or option in ("--help", "-h", "--version"), f"no option {option}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_that_a_page_shows_is_there_with_its_options(page: Path) -> None:
    wrong = []
    for line in shown(page):
        if "..." in line.split()[1:2] or re.match(r"airgap [A-Z]", line):
            continue  # a pattern: airgap COMMAND
        try:
            check(words(line)[1:])
        except (AssertionError, ValueError) as error:
            wrong.append(f"{line}: {error}")
    assert wrong == []
