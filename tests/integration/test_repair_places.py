"""Where repaired files go, and come from: read-only media, full disks, media side by side."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

import pytest

from airgap.format.names import parity_name, volume_name
from tests.support.cli import here
from tests.support.mounts import make_read_only, small_disk
from tests.support.paritybundles import content, files, make, spoil

pytestmark = pytest.mark.slow("runs whole exports and imports against real registries")

MIB = 1024 * 1024


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    make(tmp_path / "bundle", [content(size, size) for size in (MIB, 900_000, 5_000)], 2)
    return tmp_path / "bundle"


def test_read_only_media_are_only_read(bundle: Path, tmp_path: Path) -> None:
    whole = files(bundle)
    with small_disk(tmp_path / "disc", "16m") as disc:
        for name, data in whole.items():
            (disc / name).write_bytes(data)
        (disc / "catalog.json").write_bytes((bundle / "catalog.json").read_bytes())
        (disc / volume_name(1)).unlink()
        spoil(disc / volume_name(2), 0)
        make_read_only(disc)
        in_place = here("media", "repair", disc, "--in-place")
        assert in_place.returncode == 6
        assert "read-only" in in_place.stderr
        assert here("media", "repair", disc, "--out", tmp_path / "out").returncode == 0
        assert files(tmp_path / "out") == {name: whole[name] for name in (volume_name(1), volume_name(2))}


def test_no_room_for_what_is_lost_is_said_before_anything_is_read(bundle: Path, tmp_path: Path) -> None:
    (bundle / volume_name(1)).unlink()
    with small_disk(tmp_path / "small", "512k") as small:
        done = here("media", "repair", bundle, "--out", small / "out")
        assert done.returncode == 6
        assert "no space for the repaired files" in done.stderr
        assert list((small / "out").iterdir()) == []


def test_a_disk_that_fills_up_on_the_way_and_more_room_afterwards(bundle: Path, tmp_path: Path) -> None:
    whole = files(bundle)
    spoil(bundle / volume_name(1), 0)
    spoil(bundle / volume_name(2), 0, 77)
    with small_disk(tmp_path / "small", "1500k") as small:
        filler = small / "filler"
        filler.write_bytes(bytes(300_000))
        done = here("media", "repair", bundle, "--out", small / "out")
        assert done.returncode == 6
        assert "No space left" in done.stderr
        assert list((small / "out").glob(".*")) == []
        assert files(bundle).keys() == whole.keys()
    done = here("media", "repair", bundle, "--out", tmp_path / "out")
    assert done.returncode == 0
    assert files(tmp_path / "out") == {name: whole[name] for name in (volume_name(1), volume_name(2))}


def test_in_place_lost_files_go_where_out_says(bundle: Path, tmp_path: Path) -> None:
    whole = files(bundle)
    (bundle / volume_name(1)).unlink()
    spoil(bundle / parity_name(2), 0)
    assert here("media", "repair", bundle, "--in-place", "--out", tmp_path / "out").returncode == 0
    assert files(tmp_path / "out") == {volume_name(1): whole[volume_name(1)]}
    assert files(bundle) == {name: data for name, data in whole.items() if name != volume_name(1)}


def test_in_place_and_beyond_repair_changes_nothing(bundle: Path, tmp_path: Path) -> None:
    for name in (volume_name(1), volume_name(2), parity_name(1)):
        spoil(bundle / name, 0, 3)
    before = files(bundle)
    done = here("media", "repair", bundle, "--in-place", "--request", tmp_path / "deep" / "ask.json", "--json")
    assert done.returncode == 4
    assert files(bundle) == before
    assert json.loads(done.stdout)["request"] == str(tmp_path / "deep" / "ask.json")
    assert set(json.loads((tmp_path / "deep" / "ask.json").read_bytes())["files"]) == {volume_name(1), volume_name(2)}


def test_two_repairs_at_once_do_not_get_in_each_others_way(bundle: Path, tmp_path: Path) -> None:
    (bundle / volume_name(1)).unlink()
    (tmp_path / "out").mkdir()
    held = os.open(tmp_path / "out", os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = here("media", "repair", bundle, "--out", tmp_path / "out")
        assert done.returncode == 2
        assert "another repair" in done.stderr
    finally:
        os.close(held)


def test_a_bundle_without_parity_and_a_lost_volume(tmp_path: Path) -> None:
    make(tmp_path / "plain", [content(9000, 1), content(80, 2)], 0)
    (tmp_path / "plain" / volume_name(2)).unlink()
    done = here("media", "repair", tmp_path / "plain", "--out", tmp_path / "out")
    assert done.returncode == 4
    assert "the bundle has no parity files" in done.stdout
    assert (tmp_path / "out" / "prod-site-0007.request.json").is_file()
