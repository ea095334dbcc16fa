"""Repair from parity: what is lost comes back byte for byte; what is more than there is parity for is asked for, never guessed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.format.catalog import Catalog
from airgap.format.names import parity_name, volume_name
from airgap.media.repair import Repaired, repair
from airgap.progress import Silent
from tests.support.paritybundles import BLOCK, content, files, make, spoil

pytestmark = pytest.mark.slow("rebuilds many files")


@dataclass
class World:
    """A bundle, what it was before anything happened to it, and where repaired files go."""

    root: Path
    catalog: Catalog

    def __post_init__(self) -> None:
        self.bundle = self.root / "bundle"
        self.out = self.root / "out"
        self.whole = files(self.bundle)

    def repair(self, *more: Path, in_place: bool = False) -> Repaired:
        """Repair into ``out``."""
        return repair([self.bundle, *more], None if in_place else self.out, Silent(), in_place)

    def repaired(self) -> dict[str, bytes]:
        """What is in ``out``."""
        return files(self.out) if self.out.exists() else {}


@contextmanager
def world(volumes: list[bytes], parity: int) -> Iterator[World]:
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        yield World(root, make(root / "bundle", volumes, parity))


def lost_blocks(done: Repaired) -> dict[str, tuple[int, ...]]:
    return {one.file.name: one.left for one in done.files if one.left}


small = st.lists(st.integers(1, 3000), min_size=1, max_size=12).map(lambda sizes: [content(n, (i, n)) for i, n in enumerate(sizes)])


@settings(max_examples=60, deadline=None)
@given(small, st.integers(1, 4), st.data())
def test_any_as_many_lost_files_as_there_is_parity(volumes: list[bytes], parity: int, data: st.DataObject) -> None:
    with world(volumes, parity) as made:
        gone = data.draw(st.permutations(sorted(made.whole)))[: data.draw(st.integers(0, parity))]
        for name in gone:
            (made.bundle / name).unlink()
        done = made.repair()
        assert made.repaired() == {name: made.whole[name] for name in gone}
        assert (done.worst, done.request) == (parity - len(gone), None)
        assert files(made.bundle) == {name: data for name, data in made.whole.items() if name not in gone}
        assert made.out.exists() == bool(gone)


@settings(max_examples=30, deadline=None)
@given(small, st.integers(0, 3), st.data())
def test_one_lost_file_more_is_asked_for_and_nothing_wrong_is_written(
    volumes: list[bytes], parity: int, data: st.DataObject
) -> None:
    with world(volumes, parity) as made:
        gone = data.draw(st.permutations(sorted(made.whole)))[: parity + 1]
        for name in gone:
            (made.bundle / name).unlink()
        done = made.repair()
        assert (made.repaired(), done.worst) == ({}, -1)
        assert done.request is not None
        assert dict(done.request.files) == {name: ((0, 0),) for name in sorted(gone) if name.startswith("volume")}


# several rows: volumes of 1 to 3 blocks, with short last ones; made once, each test damages a copy of its own

SIZES = [2 * BLOCK + 5000, BLOCK, BLOCK + 1, 700, 2 * BLOCK + 4096]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("large")
    return World(root, make(root / "bundle", [content(size, size) for size in SIZES], 2))


@contextmanager
def copied(large: World) -> Iterator[World]:
    with tempfile.TemporaryDirectory() as directory:
        shutil.copytree(large.bundle, Path(directory) / "bundle")
        yield World(Path(directory), large.catalog)


@settings(max_examples=5, deadline=None)
@given(st.data())
def test_other_damaged_blocks_in_every_row(large: World, data: st.DataObject) -> None:
    with copied(large) as made:
        spoiled: dict[str, set[int]] = {}
        for row in range(3):
            having = [file for file in made.catalog.files if row < len(file.blocks)]
            for file in data.draw(st.permutations(having))[: data.draw(st.integers(0, 2))]:
                length = min(BLOCK, file.size - row * BLOCK)
                spoil(made.bundle / file.name, row, data.draw(st.sampled_from([0, length - 1])))
                spoiled.setdefault(file.name, set()).add(row)
        done = made.repair()
        assert made.repaired() == {name: made.whole[name] for name in spoiled}
        assert {one.file.name: one.rebuilt for one in done.files} == {name: len(rows) for name, rows in spoiled.items()}
        worst = max((sum(row in rows for rows in spoiled.values()) for row in range(3)), default=0)
        assert (done.worst, done.request) == (2 - worst, None)


def test_the_two_largest_volumes_lost(large: World) -> None:
    with copied(large) as made:
        for number in (1, 5):
            (made.bundle / volume_name(number)).unlink()
        done = made.repair()
        assert made.repaired() == {volume_name(n): made.whole[volume_name(n)] for n in (1, 5)}
        assert done.spare == {0: 3}


def test_both_parity_files_lost_are_made_again(large: World) -> None:
    with copied(large) as made:
        for number in (1, 2):
            (made.bundle / parity_name(number)).unlink()
        made.repair()
        assert made.repaired() == {parity_name(n): made.whole[parity_name(n)] for n in (1, 2)}


@pytest.mark.parametrize("change", ["cut short", "cut in a block", "emptied", "longer", "longer and damaged"])
def test_a_file_of_the_wrong_length(large: World, change: str) -> None:
    with copied(large) as made:
        path = made.bundle / volume_name(1)
        with path.open("r+b") as file:
            if "longer" in change:
                file.seek(0, 2)
                file.write(b"more")
            else:
                file.truncate({"cut short": 2 * BLOCK, "cut in a block": BLOCK + 9, "emptied": 0}[change])
        if "damaged" in change:
            spoil(path, 2)
        made.repair()
        assert made.repaired() == {path.name: made.whole[path.name]}


def test_swapped_and_foreign_files_are_damaged_ones(large: World, tmp_path: Path) -> None:
    with copied(large) as made:
        make(tmp_path / "other", [content(size, -size) for size in SIZES], 2)
        shutil.copy(tmp_path / "other" / volume_name(2), made.bundle / volume_name(2))
        shutil.copy(tmp_path / "other" / parity_name(1), made.bundle / parity_name(1))
        made.repair()
        assert made.repaired() == {name: made.whole[name] for name in (volume_name(2), parity_name(1))}


def test_parity_files_swapped_with_each_other(large: World) -> None:
    with copied(large) as made:
        one, two = made.bundle / parity_name(1), made.bundle / parity_name(2)
        one.rename(made.bundle / "x")
        two.rename(one)
        (made.bundle / "x").rename(two)
        done = made.repair()
        assert made.repaired() == {name: made.whole[name] for name in (parity_name(1), parity_name(2))}
        assert done.worst == 0


def test_links_pipes_and_directories_in_place_of_files_are_never_opened(large: World) -> None:
    with copied(large) as made:
        (made.bundle / volume_name(4)).unlink()
        os.mkfifo(made.bundle / volume_name(4))
        (made.bundle / parity_name(2)).rename(made.root / "elsewhere")
        (made.bundle / parity_name(2)).symlink_to(made.root / "elsewhere")
        made.repair()
        assert made.repaired() == {name: made.whole[name] for name in (volume_name(4), parity_name(2))}


def test_more_damage_than_parity_in_one_row_leaves_only_that_to_ask_for(large: World) -> None:
    with copied(large) as made:
        (made.bundle / volume_name(1)).unlink()
        spoil(made.bundle / volume_name(3), 1)
        spoil(made.bundle / parity_name(1), 1)
        spoil(made.bundle / parity_name(1), 0)
        done = made.repair()
        assert lost_blocks(done) == dict.fromkeys((volume_name(1), volume_name(3), parity_name(1)), (1,))
        assert done.request is not None
        assert dict(done.request.files) == {volume_name(1): ((1, 1),), volume_name(3): ((1, 1),)}
        assert done.spare == {-1: 1, 0: 1, 1: 1}
        found, right = made.repaired()[volume_name(1)], made.whole[volume_name(1)]
        assert (found[:BLOCK], found[2 * BLOCK :]) == (right[:BLOCK], right[2 * BLOCK :])
        assert volume_name(3) not in made.repaired()  # nothing of it became better


def test_other_copies_are_used_before_parity_and_need_none(large: World) -> None:
    with copied(large) as made, tempfile.TemporaryDirectory() as more:
        copy = Path(more) / "copy"
        shutil.copytree(made.bundle, copy)
        for number in (1, 3, 5):
            spoil(made.bundle / volume_name(number), 0)
        for number in (1, 3, 5):
            spoil(copy / volume_name(number), len(made.catalog.volumes[number - 1].blocks) - 1)
        done = made.repair(copy)
        assert {one.file.name: (one.rebuilt, one.copied) for one in done.files} == {volume_name(n): (0, 1) for n in (1, 3, 5)}
        assert made.repaired() == {volume_name(n): made.whole[volume_name(n)] for n in (1, 3, 5)}
        assert done.worst == 2


def test_in_place_several_blocks_of_several_files_and_what_only_another_copy_has(large: World) -> None:
    with copied(large) as made, tempfile.TemporaryDirectory() as more:
        copy = Path(more) / "copy"
        shutil.copytree(made.bundle, copy)
        (copy / volume_name(1)).write_bytes(made.whole[volume_name(1)][: BLOCK + 1])  # good for its first block
        for number in (1, 3, 5):
            spoil(made.bundle / volume_name(number), 0)
            (copy / volume_name(number)).unlink() if number > 1 else None
        spoil(made.bundle / volume_name(1), 2)
        os.truncate(made.bundle / volume_name(5), BLOCK + 3)
        done = made.repair(copy, in_place=True)
        assert files(made.bundle) == made.whole
        counts = {one.file.name: (one.rebuilt, one.copied) for one in done.files}
        assert counts == {volume_name(1): (1, 1), volume_name(3): (1, 0), volume_name(5): (3, 0)}
        assert (copy / volume_name(1)).stat().st_size == BLOCK + 1


def test_a_good_copy_elsewhere_is_repair_enough(large: World) -> None:
    with copied(large) as made, tempfile.TemporaryDirectory() as more:
        copy = Path(more) / "copy"
        shutil.copytree(made.bundle, copy)
        spoil(made.bundle / volume_name(1), 1)
        assert made.repair(copy).files == ()
        assert not made.out.exists()


def test_a_catalog_of_nothing_but_empty_volumes_is_no_reason_to_fail(tmp_path: Path) -> None:
    make(tmp_path / "bundle", [b"", b""], 0)
    assert repair([tmp_path / "bundle"], tmp_path / "out", Silent()).files == ()
