"""Five months of one site, drawn from a seed: nothing is lost and nothing comes back that should not (tests/support/months.py)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.months import Months
from tests.support.year import Far, Vendor


@pytest.mark.slow("five months of bundles")
def test_nothing_is_lost_in_five_months(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    vendor = Vendor.make(tmp_path / "vendor")
    counts = Months(8, vendor, [Far.layout(tmp_path / "far", vendor.sender)]).run(5)
    assert min(counts[what] for what in ("import", "export incremental", "prune", "rollback", "receipt", "merge")) > 0
