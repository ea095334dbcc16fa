"""Documents and help use the words of docs/glossary.md, and not those that it has given up."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "SECURITY.md",
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("share/man/*/*.1"),
    )
    if path.name != "glossary.md"
)
#: What stands under "Words to avoid", as far as it is wrong wherever it stands; `place` or `answer` are right in other meanings.
GIVEN_UP = re.compile(
    r"\b(sealed|sealing|unsealed|far side|offline side|anew|(?:goes|going|go) on(?! which)|was to be had|stands? for)\b",
    re.IGNORECASE,
)


def found(text: str) -> list[str]:
    """The words given up in a text. Names of code, in backticks, are no words."""
    return [word[0] for word in GIVEN_UP.finditer(re.sub(r"`[^`]*`|```.*?```", " ", text, flags=re.DOTALL))]


def test_the_words_looked_for_are_those_of_the_glossary() -> None:
    avoided = (ROOT / "docs/glossary.md").read_text().partition("## Words to avoid")[2]
    for word in ("sealed", "far side", "offline side", "anew", "goes on", "was to be had", "stands for"):
        assert word in avoided
        assert found(f"a {word} b") == [word]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_page_uses_a_word_that_the_glossary_has_given_up(page: Path) -> None:
    assert found(page.read_text()) == []
