"""The fast set of tests leaves nothing out in silence: every command has an end-to-end test in it, every slow file a reason."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airgap.cli.application import application

TESTS = Path(__file__).resolve().parents[1]


def marks(name: str) -> Iterator[ast.Call]:
    """Every ``pytest.mark.NAME(...)`` that a test file writes."""
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == f"pytest.mark.{name}":
                yield node


def commands(command: Any, *above: str) -> Iterator[str]:
    """The names of a command and of all below it, such as ``media check``."""
    below = getattr(command, "commands", None)
    if below is None:
        yield " ".join(above)
    else:
        for name, found in below.items():
            yield from commands(found, *above, name)


def test_every_command_has_an_end_to_end_test_in_the_fast_set() -> None:
    tested = {ast.literal_eval(argument) for mark in marks("smoke") for argument in mark.args}
    assert tested == set(commands(application()))


def test_every_slow_test_says_why() -> None:
    found = list(marks("slow"))
    assert found
    for mark in found:
        assert isinstance(ast.literal_eval(mark.args[0]), str)
