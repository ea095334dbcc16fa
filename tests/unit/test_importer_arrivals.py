"""What is seen in a drop directory, and when a file is taken for whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from airgap.errors import MediaError, UsageError
from airgap.watch import arrivals
from airgap.watch.arrivals import Arrivals
from airgap.watch.attempts import Attempt, Attempts
from airgap.watch.results import Results


class Clock:
    """Seconds that a test moves on."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_file_settles_when_it_has_not_changed_for_a_while(tmp_path: Path) -> None:
    clock = Clock()
    file = tmp_path / "volume-0001.tar"
    file.write_bytes(b"some")
    drop = Arrivals(tmp_path, 5.0, clock)
    assert drop.look()[0].settled == frozenset()
    clock.now += 4
    file.write_bytes(b"some more")
    assert drop.look()[0].settled == frozenset()
    clock.now += 4
    assert drop.look()[0].settled == frozenset()
    clock.now += 1
    assert drop.look()[0].settled == {"volume-0001.tar"}


def test_a_file_of_the_same_size_with_another_time_has_changed(tmp_path: Path) -> None:
    clock = Clock()
    file = tmp_path / "volume-0001.tar"
    file.write_bytes(bytes(9))
    drop = Arrivals(tmp_path, 1.0, clock)
    drop.look()
    clock.now += 2
    os.utime(file, ns=(1, 1))
    assert drop.look()[0].settled == frozenset()


def test_only_files_of_bundles_count_and_neither_trash_nor_unfinished_exports(tmp_path: Path) -> None:
    for name in ("notes.txt", ".Trash-0/catalog.json", "x.partial/catalog.json", "prod-0001.result.json", "usb/prod/CHECK.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [folder.path for folder in Arrivals(tmp_path, 0.0).look()] == [tmp_path / "usb/prod"]


def test_there_is_an_end_to_depth_and_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "1/2/3/4/5").mkdir(parents=True)
    for folder in ("1/2/3/4", "1/2/3/4/5", "a", "b", "c"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "catalog.json").touch()
    assert tmp_path / "1/2/3/4" in [folder.path for folder in Arrivals(tmp_path, 0.0).look()]
    monkeypatch.setattr(arrivals, "MAX_FOLDERS", 2)
    drop = Arrivals(tmp_path, 0.0)
    assert len(drop.look()) == 2
    assert "more than 2 folders" in drop.remarks[0]
    monkeypatch.setattr(arrivals, "MAX_TOTAL", 3)
    drop.look()
    assert "too many files" in drop.remarks[0]


def test_a_drop_directory_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        Arrivals(tmp_path / "none", 0.0).look()


def test_attempts_survive_and_the_oldest_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airgap.watch.attempts._MAX_KEPT", 2)
    kept = Attempts(tmp_path / "watch.json")
    for name in ("a", "b", "c"):
        kept.keep(f"sha256:{name}", Attempt(name, "imported", 0, "key"))
    again = Attempts(tmp_path / "watch.json")
    assert (again.find("sha256:a"), again.find("sha256:c")) == (None, Attempt("c", "imported", 0, "key"))
    assert again.imported("key") == {"sha256:b", "sha256:c"}
    assert again.imported("other") == set()


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b'{"schema": "other"}', b'{"schema": "airgap.watch/1", "catalogs": {"x": {"name": 1}}}']
)
def test_a_broken_memory_of_attempts_is_an_empty_one(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "watch.json").write_bytes(raw)
    kept = Attempts(tmp_path / "watch.json")
    assert kept.imported("key") == set()
    assert kept.remark


def test_a_result_never_leaves_the_drop_directory(tmp_path: Path) -> None:
    (tmp_path / "drop").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "drop/usb").symlink_to(tmp_path / "elsewhere")
    results = Results(tmp_path / "drop", None, tmp_path / "fallback")
    assert results.write("prod-0001", tmp_path / "drop/usb", {}, []).parent == tmp_path / "fallback"
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_result_is_written_beside_a_folder_of_the_bundles_name_and_into_any_other(tmp_path: Path) -> None:
    results = Results(tmp_path, None, tmp_path / "fallback")
    for folder, place in (("usb/prod-0001", "usb"), ("mount", "mount")):
        (tmp_path / folder).mkdir(parents=True)
        assert results.write("prod-0001", tmp_path / folder, {}, []) == tmp_path / place / "prod-0001.result.json"


def test_a_drop_directory_that_is_itself_a_bundle_keeps_the_result_inside(tmp_path: Path) -> None:
    root = tmp_path / "prod-0001"
    root.mkdir()
    assert Results(root, None, tmp_path / "fallback").write("prod-0001", root, {}, []).parent == root


def test_no_place_for_a_result_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MediaError):
        Results(tmp_path, tmp_path / "file/results", tmp_path / "fallback").write("prod-0001", tmp_path, {}, [])
