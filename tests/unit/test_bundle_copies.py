"""A volume that lies on several media is read wherever it is good."""

from __future__ import annotations

import os
from pathlib import Path

from airgap.bundle.copies import choose
from airgap.bundle.volumes import Stretch
from tests.support.paritybundles import BLOCK, content, entry, spoil

DATA = content(2 * BLOCK + 10, "copies")
VOLUME = entry("volume-0001.tar", DATA)


def copies(tmp_path: Path, count: int) -> list[Path]:
    found = [tmp_path / str(number) / VOLUME.name for number in range(count)]
    for path in found:
        path.parent.mkdir()
        path.write_bytes(DATA)
    return found


def test_a_single_copy_is_taken_as_it_is_and_not_read(tmp_path: Path) -> None:
    (only,) = copies(tmp_path, 1)
    spoil(only, 0)
    only.chmod(0)
    assert choose(VOLUME, [only]) == (only, {})


def test_the_first_of_two_good_ones_is_read(tmp_path: Path) -> None:
    one, two = copies(tmp_path, 2)
    assert choose(VOLUME, [one, two]) == (one, {})
    assert choose(VOLUME, [two, one]) == (two, {})


def test_damaged_blocks_are_read_from_the_copy_where_they_are_good(tmp_path: Path) -> None:
    one, two, three = copies(tmp_path, 3)
    spoil(one, 0)
    spoil(one, 2, 9)
    spoil(two, 2)
    assert choose(VOLUME, [one, two, three]) == (one, {0: Stretch(two, 0, BLOCK), 2: Stretch(three, 2 * BLOCK, 10)})


def test_what_is_damaged_everywhere_stays_with_the_first(tmp_path: Path) -> None:
    one, two = copies(tmp_path, 2)
    spoil(one, 1)
    spoil(two, 1, 77)
    assert choose(VOLUME, [one, two]) == (one, {})


def test_one_file_under_two_names_is_one_copy(tmp_path: Path) -> None:
    (one,) = copies(tmp_path, 1)
    spoil(one, 0)
    os.link(one, other := tmp_path / "other")
    assert choose(VOLUME, [one, other]) == (one, {})
