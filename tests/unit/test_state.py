"""What a machine remembers, and that it fails closed."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from airgap.errors import MediaError, Refused
from airgap.oci.digest import Digest
from airgap.state import Remembered, State

ONE, TWO = Digest.of(b"one"), Digest.of(b"two")


def test_a_new_state_knows_nothing(tmp_path: Path) -> None:
    with State(tmp_path / "deep/state") as state:
        assert state.last_exported("prod") is None
        assert state.last_imported("prod") is None
        assert state.imported_into("prod", 1, "oci:/x") is None
    assert [path.name for path in (tmp_path / "deep/state").iterdir()] == ["state.db"]
    assert (tmp_path / "deep/state/state.db").stat().st_mode & 0o777 == 0o600


def test_exports_are_remembered_by_stream_and_serial(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        state.record_export("prod", 3, ONE)
        state.record_export("prod", 12, TWO)
        state.record_export("test", 40, ONE)
    with State(tmp_path) as state:
        assert state.last_exported("prod") == Remembered(12, TWO)
        assert state.last_exported("prod", below=12) == Remembered(3, ONE)
        assert state.last_exported("prod", below=3) is None
        assert state.last_exported("test") == Remembered(40, ONE)


def test_imports_are_remembered_by_target_but_serials_count_for_the_site(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        state.record_import("prod", 2, TWO, "oci:/a", "loaded")
        state.record_import("prod", 1, ONE, "oci:/b", "loaded deliberately")
        assert state.last_imported("prod") == Remembered(2, TWO)
        assert state.imported_into("prod", 1, "oci:/b") == ONE
        assert state.imported_into("prod", 1, "oci:/a") is None


def test_history_keeps_every_decision(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        state.record_import("prod", 2, TWO, "oci:/a", "loaded")
        state.record_refusal("prod", 1, ONE, "oci:/a", "older")
    connection = sqlite3.connect(tmp_path / "state.db")
    rows = connection.execute("SELECT event, stream, serial, catalog, target, outcome FROM history ORDER BY id").fetchall()
    connection.close()
    assert rows == [("import", "prod", 2, TWO, "oci:/a", "loaded"), ("refused", "prod", 1, ONE, "oci:/a", "older")]


@pytest.mark.parametrize("length", [0, 1, 100, 4096])
def test_a_state_that_was_cut_is_never_taken_for_a_new_one(tmp_path: Path, length: int) -> None:
    with State(tmp_path) as state:
        state.record_import("prod", 2, TWO, "oci:/a", "loaded")
    path = tmp_path / "state.db"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(Refused) as caught:
        State(tmp_path)
    assert "backup" in caught.value.hint
    assert path.stat().st_size == length


def test_a_changed_digest_is_refused(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        state.record_import("prod", 2, TWO, "oci:/a", "loaded")
    path = tmp_path / "state.db"
    path.write_bytes(path.read_bytes().replace(b"sha256:", b"sha999:"))
    with State(tmp_path) as state, pytest.raises(Refused):
        state.last_imported("prod")


def test_a_directory_in_place_of_the_state(tmp_path: Path) -> None:
    (tmp_path / "state.db").mkdir()
    with pytest.raises(MediaError):
        State(tmp_path)


def test_two_processes_may_share_a_state(tmp_path: Path) -> None:
    with State(tmp_path) as one, State(tmp_path) as other:
        one.record_export("prod", 1, ONE)
        other.record_export("prod", 2, TWO)
        assert one.last_exported("prod") == Remembered(2, TWO)
