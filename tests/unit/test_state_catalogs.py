"""The exporter's memory of what its bundles were made of."""

from __future__ import annotations

from pathlib import Path

from airgap.state.catalogs import KEPT, Catalogs

SIGNATURES = {"catalog.json.0123456789abcdef.sig": b"c2ln"}


def test_a_catalog_is_found_with_its_signatures_and_lock(tmp_path: Path) -> None:
    catalogs = Catalogs(tmp_path)
    assert catalogs.find("prod", 1) is None
    catalogs.keep("prod", 1, b"catalog", SIGNATURES, b"lock")
    catalogs.keep("prod", 2, b"another", {}, b"another lock")
    assert Catalogs(tmp_path).find("prod", 1) == (b"catalog", SIGNATURES, b"lock")
    assert catalogs.find("prod", 3) is None
    assert catalogs.find("other", 1) is None
    assert {path.stat().st_mode & 0o077 for path in tmp_path.rglob("*") if path.is_file()} == {0}


def test_one_that_is_kept_again_leaves_nothing_of_the_first(tmp_path: Path) -> None:
    catalogs = Catalogs(tmp_path)
    catalogs.keep("prod", 1, b"catalog", SIGNATURES, b"lock")
    catalogs.keep("prod", 1, b"changed", {}, b"new lock")
    assert catalogs.find("prod", 1) == (b"changed", {}, b"new lock")


def test_only_the_latest_of_a_stream_are_kept(tmp_path: Path) -> None:
    catalogs = Catalogs(tmp_path)
    for serial in range(1, KEPT + 4):
        catalogs.keep("prod", serial, b"%d" % serial, {}, b"")
    catalogs.keep("other", 1, b"catalog", {}, b"")
    assert [catalogs.find("prod", serial) is not None for serial in (1, 3, 4, KEPT + 3)] == [False, False, True, True]
    assert catalogs.find("other", 1) is not None
