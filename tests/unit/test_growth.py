"""Four times the blobs are four times the work: no flow goes through everything for each thing that it meets."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
FEW, MANY = 1000, 4000
#: What a flow has to do before the first blob makes the ratio smaller; 100 and 400 images that are looked for in a list make 4.2.
MOST = 4.1


def _bench(name: str) -> ModuleType:
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        return importlib.import_module(f"benchmark.{name}")
    finally:
        sys.path.remove(str(ROOT / "scripts"))


many, FLOWS = _bench("manyblobs"), _bench("scale").FLOWS


def operations(work: Callable[[], object]) -> int:
    """How many functions are called, Python's own included, by all threads."""
    found = 0

    def count(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal found
        found += event in ("call", "c_call")

    before = sys.getprofile()
    threading.setprofile(count)
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
        threading.setprofile(None)
    return found


def test_no_flow_grows_faster_than_the_bundle(tmp_path: Path) -> None:
    counted: dict[int, dict[str, int]] = {}
    for blobs in (FEW, MANY):
        directory = tmp_path / str(blobs)
        directory.mkdir()
        counted[blobs] = {name: operations(many.flow(name, directory, blobs)) for name in FLOWS}
    grown = {name: counted[MANY][name] / counted[FEW][name] for name in FLOWS}
    assert all(ratio <= MOST for ratio in grown.values()), grown


def test_what_goes_through_everything_for_each_thing_is_noticed() -> None:
    class Thing:
        def __eq__(self, other: object) -> bool:
            return self is other

        def __hash__(self) -> int:
            return 0

    def quadratic(count: int) -> Callable[[], object]:
        things = [Thing() for _ in range(count)]
        return lambda: [one for one in things if one not in things[: count // 2]]

    assert operations(quadratic(400)) / operations(quadratic(100)) > MOST
