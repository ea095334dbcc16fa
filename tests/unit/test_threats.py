"""docs/threats.md names tests that exist, for every threat."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROWS = [
    [cell.strip() for cell in line.strip("| \n").split(" | ")]
    for line in (ROOT / "docs/threats.md").read_text().replace("| |", "|  |").splitlines()
    if re.match(r"\| \d+ \|", line)
]


def test_every_threat_has_a_row() -> None:
    assert [int(row[0]) for row in ROWS] == list(range(1, 47))


def test_every_test_named_exists() -> None:
    defined = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs/threats.md").read_text()))
    assert sorted(named - defined) == []


def test_a_threat_without_a_test_says_so() -> None:
    bare = [row for row in ROWS if not any("`test_" in cell for cell in row)]
    assert [row[0] for row in bare if not row[-1].startswith("no ")] == []
