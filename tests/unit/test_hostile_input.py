"""Whatever bytes a parser gets, and for every parser there is: an error of ours at most, work and memory as the input.

The table is ``tests/support/parsers.py``. ``--hostile N`` tries N inputs for each, and larger ones: ``scripts/hostile-inputs``.
"""

from __future__ import annotations

import ast
import contextlib
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

import airgap
from tests.support.mutations import hostile
from tests.support.parserrow import Parser
from tests.support.parsers import PARSERS

ROOT = Path(airgap.__file__).parent
GROWING = [pytest.param(parser, label, id=f"{parser.name}-{label}") for parser in PARSERS for label in parser.grow]


def outcome(parser: Parser, raw: bytes) -> None:
    """Parse; what is not an error of ours comes through."""
    with contextlib.suppress(*parser.errors):
        parser.parse(raw)


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_hostile_bytes_end_in_an_error_of_ours_and_nothing_else(parser: Parser, request: pytest.FixtureRequest) -> None:
    @settings(max_examples=request.config.getoption("--hostile") or 12, suppress_health_check=list(HealthCheck), database=None)
    @given(hostile(parser))
    def check(raw: bytes) -> None:
        outcome(parser, raw)

    check()


def steps(parser: Parser, raw: bytes) -> int:
    """How many lines of Python are gone through, each turn of a loop or comprehension counted."""
    count = 0

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        outcome(parser, raw)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.slow("every parser with inputs of two sizes")
@pytest.mark.parametrize(("parser", "label"), GROWING)
def test_no_parser_searches_through_all_it_has_read_for_every_part(
    parser: Parser, label: str, request: pytest.FixtureRequest
) -> None:
    count, grow = 160 if request.config.getoption("--hostile") else 16, parser.grow[label]
    outcome(parser, grow(4 * count))  # expressions are compiled and caches filled
    one, two, four = (steps(parser, grow(count * times)) for times in (1, 2, 4))
    # twice as much more for twice as many more parts; a search through all the parts before takes four times as much
    assert four - two <= 2.5 * max(two - one, 0) + 40 * count, (one, two, four)


@pytest.mark.slow("every parser with inputs of two sizes")
@pytest.mark.parametrize(("parser", "label"), GROWING)
def test_memory_stays_in_proportion_to_the_input(parser: Parser, label: str, request: pytest.FixtureRequest) -> None:
    raw = parser.grow[label](8000 if request.config.getoption("--hostile") else 100)
    outcome(parser, raw[:1000])
    tracemalloc.start()
    try:
        outcome(parser, raw)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= 500 * len(raw) + (2 << 20), (peak, len(raw))


def test_every_parser_has_a_row_in_the_table() -> None:
    covered = {name for parser in PARSERS for name in parser.covers}
    readers = set(_readers())
    missing = sorted(readers - covered - set(_EXCUSED))
    assert not missing, f"add a row to tests/support/parsers.py for {missing}"
    assert not set(_EXCUSED) - readers, "an excuse for what is not there any more"


_NAMES = ("parse", "read", "load", "from_bytes", "from_json", "decode")
_RAW = ("bytes", "str")
#: Named like a parser, and none: what they take.
_EXCUSED = {
    "airgap.archives.tree:TarTree.read": "a name",
    "airgap.admission.site:read_key": "a name",
    "airgap.cli.grammar.completion:_Line.read": "a word of the command line",
    "airgap.exporter.resend:KnownBundle.read": "bytes, for outer.read",
    "airgap.fsio.trees:DirectoryTree.read": "a name",
    "airgap.fsio.trees:Tree.read": "a name",
    "airgap.toolkit.packages:Machine.parse": "the operator's options",
    "airgap.registry.web:WebFiles.read": "a name",
    "airgap.state.custody:Custodians.read": "a name",
    "airgap.state.generations:Generations.read": "a name",
    "airgap.state.history:History.read": "a name",
    "airgap.state.standing:Standing.read": "a name",
    "airgap.yamlnodes.nodes:_Composer.read": "a text, for find_in_text, parse_list and parse_registries_file",
    "airgap.trust.keys.signers:load_signer": "a name",
}


def _readers() -> Iterator[str]:
    """``module:name`` of every public function that is named like a parser and takes bytes or text, but for a path or a name."""
    for path in sorted(ROOT.rglob("*.py")):
        module = ".".join(("airgap", *path.relative_to(ROOT).with_suffix("").parts))
        source = path.read_text("utf-8")
        tree = ast.parse(source if any(f"def {name}" in source for name in _NAMES) else "")
        holders: list[ast.Module | ast.ClassDef] = [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))]
        for holder in holders:
            prefix = f"{holder.name}." if isinstance(holder, ast.ClassDef) else ""
            for node in holder.body:
                if isinstance(node, ast.FunctionDef) and _takes_raw(node):
                    yield f"{module}:{prefix}{node.name}"


def _takes_raw(node: ast.FunctionDef) -> bool:
    arguments = [argument for argument in node.args.args if argument.arg not in ("self", "cls")]
    named = node.name.startswith(_NAMES) and bool(arguments)
    return named and ast.unparse(arguments[0].annotation or ast.Constant("")) in (*_RAW, "object")
