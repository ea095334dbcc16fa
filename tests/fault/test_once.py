"""Killed anywhere and run again, a command leaves one of its results, and remembers it. All points: scripts/crash-points."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.once import FLOWS, World, kill_and_repeat, make_world, undisturbed

pytestmark = pytest.mark.slow("kills and repeats whole runs")

#: What is left to do when the result is there: each of the last points, and so many of those before.
_LAST, _BEFORE = 6, 4


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with make_world(tmp_path_factory.mktemp("once")) as made:
        yield made


@pytest.mark.parametrize("name", FLOWS)
def test_killed_anywhere_and_run_again_there_is_one_result_and_it_is_remembered(world: World, tmp_path: Path, name: str) -> None:
    points, expected = undisturbed(world, FLOWS[name], tmp_path / "undisturbed")
    last = range(max(1, len(points) - _LAST + 1), len(points) + 1)
    before = {max(1, (len(points) - _LAST) * part // _BEFORE) for part in range(1, _BEFORE)}
    for at in sorted({*last, *before}):
        try:
            kill_and_repeat(world, FLOWS[name], at, tmp_path / str(at), expected)
        except AssertionError as error:
            raise AssertionError(f"{name}: killed at point {at} of {len(points)}, {points[at - 1]}") from error
