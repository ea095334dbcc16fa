"""What a machine remembers, and that it fails closed."""

from __future__ import annotations

import contextlib
import datetime as dt
import shutil
import sqlite3
from pathlib import Path

import pytest

from airgap.errors import MediaError, Refused
from airgap.oci.digest import Digest
from airgap.state import Carried, Event, Known, KnownName, Remembered, State
from tests.support.mounts import small_disk

ONE, TWO = Digest.of(b"one"), Digest.of(b"two")


def test_a_new_state_knows_nothing(tmp_path: Path) -> None:
    with State(tmp_path / "deep/state") as state:
        assert state.last_exported("prod") is None
        assert state.last_imported("prod") is None
        assert state.imported_into("prod", 1, "oci:/x") is None
        assert state.history() == []
    assert sorted(path.name for path in (tmp_path / "deep/state").iterdir()) == [".airgap-state", "state.db"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["state"]
    assert (tmp_path / "deep/state/state.db").stat().st_mode & 0o777 == 0o600


def test_exports_are_remembered_by_stream_and_serial(tmp_path: Path) -> None:
    with State(tmp_path / "state") as state:
        state.record_export("prod", 3, ONE)
        state.record_export("prod", 12, TWO)
        state.record_export("test", 40, ONE)
    with State(tmp_path / "state") as state:
        assert state.last_exported("prod") == Remembered(12, TWO)
        assert state.last_exported("prod", below=12) == Remembered(3, ONE)
        assert state.last_exported("prod", below=3) is None
        assert state.last_exported("test") == Remembered(40, ONE)


def test_imports_are_remembered_by_target_but_serials_count_for_the_site(tmp_path: Path) -> None:
    with State(tmp_path / "state") as state:
        state.record_import("prod", 2, TWO, "oci:/a", "loaded")
        state.record_import("prod", 1, ONE, "oci:/b", "loaded deliberately")
        assert state.last_imported("prod") == Remembered(2, TWO)
        assert state.imported_into("prod", 1, "oci:/b") == ONE
        assert state.imported_into("prod", 1, "oci:/a") is None


def test_history_keeps_every_decision(tmp_path: Path) -> None:
    with State(tmp_path / "state") as state:
        state.record_import("prod", 2, TWO, "oci:/a", "loaded")
        state.record_repeat("prod", 2, TWO, "oci:/a", "signed by alice")
        state.record_failure(Event("", "refused", "prod", 1, ONE, "oci:/a", "older", "got serial 1", 3))
        state.record_failure(Event("", "refused", "", 0, ONE, "oci:/a", "no signature", "", 3))
        state.record_export("lab", 5, ONE)
        rows = [(e.event, e.stream, e.serial, e.catalog, e.target, e.outcome, e.reason) for e in state.history()]
        assert rows == [
            ("import", "prod", 2, TWO, "oci:/a", "loaded", ""),
            ("import", "prod", 2, TWO, "oci:/a", "nothing to do", "signed by alice"),
            ("refused", "prod", 1, ONE, "oci:/a", "older", "got serial 1"),
            ("refused", "", 0, ONE, "oci:/a", "no signature", ""),
            ("export", "lab", 5, ONE, "", "finished", ""),
        ]
        assert [e.serial for e in state.history(limit=2)] == [0, 5]
        assert [e.event for e in state.history("prod", limit=1)] == ["refused"]
        assert all(e.at.endswith("Z") for e in state.history())


def test_the_history_of_an_earlier_version_is_told_in_the_words_of_today(tmp_path: Path) -> None:
    with State(tmp_path / "state") as state:
        state.record_export("prod", 1, ONE)
    with contextlib.closing(sqlite3.connect(tmp_path / "state/state.db")) as old:
        old.execute("UPDATE history SET outcome = 'sealed'")
        old.execute(
            "INSERT INTO history (at, event, stream, serial, catalog, target, outcome, reason, code) SELECT"
            " at, 'sealing', stream, serial, catalog, target, 'begun', reason, code FROM history"
        )
        old.commit()
    with State(tmp_path / "state") as state:
        assert [(one.event, one.outcome) for one in state.history()] == [("export", "finished"), ("finishing", "begun")]


@pytest.mark.parametrize("length", [0, 1, 100, 4096])
def test_a_state_that_was_cut_is_never_taken_for_a_new_one(tmp_path: Path, length: int) -> None:
    with State(tmp_path / "state") as state:
        state.record_import("prod", 2, TWO, "oci:/a", "loaded")
    path = tmp_path / "state/state.db"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(Refused) as caught:
        State(tmp_path / "state")
    assert "backup" in caught.value.hint
    assert path.stat().st_size == length


def test_a_changed_digest_is_refused(tmp_path: Path) -> None:
    with State(tmp_path / "state") as state:
        state.record_import("prod", 2, TWO, "oci:/a", "loaded")
    path = tmp_path / "state/state.db"
    path.write_bytes(path.read_bytes().replace(b"sha256:", b"sha999:"))
    with State(tmp_path / "state") as state, pytest.raises(Refused):
        state.last_imported("prod")


def test_a_directory_in_place_of_the_state(tmp_path: Path) -> None:
    (tmp_path / "state/state.db").mkdir(parents=True)
    with pytest.raises(MediaError):
        State(tmp_path / "state")


def test_two_processes_may_share_a_state(tmp_path: Path) -> None:
    with State(tmp_path / "state") as one, State(tmp_path / "state") as other:
        one.record_export("prod", 1, ONE)
        other.record_export("prod", 2, TWO)
        assert one.last_exported("prod") == Remembered(2, TWO)


def test_what_is_known_about_a_bundle(tmp_path: Path) -> None:
    floor = dt.datetime(2026, 5, 1, 12, 0, 1, tzinfo=dt.UTC)
    three = Digest.of(b"three")
    with State(tmp_path / "state") as state:
        assert state.known("prod", 3, None) == Known()
        state.record_import("prod", 1, ONE, "oci:/a", "loaded", floor=floor)
        state.record_import("prod", 4, TWO, "oci:/a", "loaded")
        state.record_import("lab", 3, three, "oci:/a", "loaded")
        assert state.known("prod", 3, ONE) == Known(Remembered(4, TWO), None, Remembered(1, ONE), 1, floor)
        assert state.known("prod", 4, three) == Known(Remembered(4, TWO), TWO, Remembered(1, ONE), None, floor)


def lose_database(directory: Path) -> None:
    (directory / "state.db").unlink()


def lose_all_that_a_glob_finds(directory: Path) -> None:
    for path in directory.glob("[!.]*"):
        path.unlink()


@pytest.mark.parametrize("lose", [lose_database, lose_all_that_a_glob_finds])
def test_a_state_that_was_deleted_is_never_taken_for_a_new_one(tmp_path: Path, lose) -> None:
    directory = tmp_path / "state"
    with State(directory) as state:
        state.record_import("prod", 2, TWO, "oci:/a", "loaded")
    lose(directory)
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            State(directory)
        assert "--init-state" in caught.value.hint
    with State(directory, begin=True) as state:
        assert state.last_imported("prod") is None
        assert [(e.event, e.outcome) for e in state.history()] == [("state", "begun anew (--init-state)")]
        assert "gone" in state.history()[0].reason
    with State(directory, begin=True) as state:
        assert len(state.history()) == 1, "it is begun once, so that an interrupted command may simply be repeated"


def test_beginning_anew_keeps_what_was_damaged(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    directory.mkdir()
    (directory / "state.db").write_bytes(b"garbage" * 1000)
    with State(directory, begin=True) as state:
        assert "damaged" in state.history()[0].reason
    kept = [path for path in directory.iterdir() if path.name.startswith("state.db.lost-")]
    assert [path.read_bytes() for path in kept] == [b"garbage" * 1000]


def test_beginning_anew_does_not_forget_a_state_that_is_well(tmp_path: Path) -> None:
    with State(tmp_path / "state") as state:
        state.record_import("prod", 2, TWO, "oci:/a", "loaded")
    with State(tmp_path / "state", begin=True) as state:
        assert state.last_imported("prod") == Remembered(2, TWO)


def test_the_state_of_another_site_is_refused(tmp_path: Path) -> None:
    for name in ("ours", "theirs"):
        with State(tmp_path / name):
            pass
    shutil.copy(tmp_path / "theirs/state.db", tmp_path / "ours/state.db")
    with pytest.raises(Refused) as caught:
        State(tmp_path / "ours")
    assert "belongs to another" in caught.value.what


def test_a_run_killed_before_the_marker_was_written_goes_on(tmp_path: Path) -> None:
    with State(tmp_path / "state") as state:
        state.record_export("prod", 1, ONE)
    (tmp_path / "state/.airgap-state").unlink()
    with State(tmp_path / "state") as state:
        assert state.last_exported("prod") == Remembered(1, ONE)
    assert (tmp_path / "state/.airgap-state").exists()


def test_an_empty_directory_or_disk_is_a_new_site(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    with State(tmp_path / "made") as state:
        assert state.last_imported("prod") is None
    with small_disk(tmp_path / "disk") as disk:
        with State(disk) as state:
            state.record_export("prod", 1, ONE)
        (disk / "state.db").unlink()
        with pytest.raises(Refused):
            State(disk)


def test_a_state_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with contextlib.closing(sqlite3.connect(tmp_path / "state/state.db")) as old:
        old.executescript(
            """
            CREATE TABLE exported (stream TEXT NOT NULL, serial INTEGER NOT NULL, catalog TEXT NOT NULL, at TEXT NOT NULL,
                                   PRIMARY KEY (stream, serial)) STRICT;
            CREATE TABLE imported (stream TEXT NOT NULL, serial INTEGER NOT NULL, catalog TEXT NOT NULL, target TEXT NOT NULL,
                                   at TEXT NOT NULL, PRIMARY KEY (stream, serial, target)) STRICT;
            CREATE TABLE history (id INTEGER PRIMARY KEY, at TEXT NOT NULL, event TEXT NOT NULL, stream TEXT NOT NULL,
                                  serial INTEGER NOT NULL, catalog TEXT NOT NULL, target TEXT NOT NULL,
                                  outcome TEXT NOT NULL) STRICT;
            PRAGMA application_id = 1095192625;
            """
        )
        old.execute("INSERT INTO imported VALUES ('prod', 7, ?, 'oci:/a', '2026-01-01T00:00:00Z')", (ONE,))
        old.execute("INSERT INTO history VALUES (1, '2026-01-01T00:00:00Z', 'import', 'prod', 7, ?, 'oci:/a', 'loaded')", (ONE,))
        old.commit()
    for _ in range(2):
        with State(tmp_path / "state") as state:
            assert state.last_imported("prod") == Remembered(7, ONE)
            assert [(e.outcome, e.reason) for e in state.history()] == [("loaded", "")]


def test_a_state_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    with State(tmp_path / "state"):
        pass
    with contextlib.closing(sqlite3.connect(tmp_path / "state/state.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(Refused) as caught:
        State(tmp_path / "state")
    assert "newer" in caught.value.what


def test_a_floor_that_is_no_time_is_refused(tmp_path: Path) -> None:
    with State(tmp_path / "state") as state:
        state.record_import("prod", 2, TWO, "oci:/a", "loaded", floor=dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    with contextlib.closing(sqlite3.connect(tmp_path / "state/state.db")) as connection:
        connection.execute("UPDATE memory SET value = 'soon' WHERE name = 'floor'")
        connection.commit()
    with State(tmp_path / "state") as state, pytest.raises(Refused):
        state.known("prod", 3, None)


def test_newest_bundles_of_a_target_whatever_part_of_it_and_however_much(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        assert state.taken_into("docker://site") == {}
        for serial, target in (
            (2, "docker://site/mirror"),
            (1, "docker://site"),
            (3, "docker://site/mirror only linux/amd64"),
            (9, "docker://site2"),
            (8, "oci:/store"),
        ):
            state.record_import("prod", serial, Digest.of(bytes([serial])), target, "loaded")
        state.record_import("lab", 5, Digest.of(b"lab"), "docker://site (partial)", "loaded")
        found = state.taken_into("docker://site")
        assert {stream: one.serial for stream, one in found.items()} == {"prod": 3, "lab": 5}
        assert found["prod"].catalog == Digest.of(b"\x03")
        assert state.taken_into("docker://site/mirror")["prod"].serial == 3
        assert state.taken_into("docker://site/mirr") == {}


def test_names_are_kept_by_target_and_the_latest_source_counts(tmp_path: Path) -> None:
    first, second = KnownName("site/m/a:1", "quay.io/a:1", ONE), KnownName("site/m/a:1", "ghcr.io/a:1", TWO)
    with State(tmp_path) as state:
        for serial, name in ((1, first), (2, second)):
            state.record_import("prod", serial, ONE, "docker://site/m", "loaded", names=[("docker://site/m", name)])
        assert state.names("docker://site/m") == state.names("docker://site") == [second]
        assert state.names("docker://site/mm") == state.names("oci:/m") == []


def test_who_carried_a_bundle_is_kept_once_and_a_problem_every_time(tmp_path: Path) -> None:
    entry = Carried("sha256:aa", "/mnt/usb", "2026-02-01T08:00:00Z", "Anna", "depot", "", "good", "unsigned")
    digest = Digest.of(b"catalog")
    with State(tmp_path / "state") as state:
        for _ in range(2):
            state.record_custody("prod", 1, digest, [entry], "carried by Anna")
        state.record_custody("prod", 1, digest, [entry], "carried by Anna", "broken")
        assert state.custody.read("prod") == [("prod", 1, entry)]
        assert state.custody.read("other") == []
        assert [event.event for event in state.history()] == ["custody", "custody"]


def test_expiry_of_an_imported_bundle_is_remembered_and_that_of_an_older_version_s_import_is_unknown(tmp_path: Path) -> None:
    with State(tmp_path / "state") as state:
        state.keep_expiry(Digest.of(b"one"), "2026-05-01T00:00:00Z")
        state.keep_expiry(Digest.of(b"two"), None)
    with State(tmp_path / "state") as state:
        told = [state.expiry(Digest.of(name)) for name in (b"one", b"two", b"three")]
        assert told == ["2026-05-01T00:00:00Z", "", None]
