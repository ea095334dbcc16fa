"""The block engine: which blocks of a file are damaged, whatever became of it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from airgap.bundle.check import check_file, damaged_blocks
from airgap.errors import Damaged, MediaError
from airgap.format.catalog import Volume
from airgap.format.names import BLOCK_SIZE
from airgap.progress import Silent
from tests.support.bundles import flip

TAIL = 1000


class Counter(Silent):
    """Counts what it is told."""

    def __init__(self) -> None:
        self.total = 0

    def advance(self, count: int, items: int = 0) -> None:
        self.total += count


@pytest.fixture(scope="module")
def content() -> bytes:
    return b"".join(bytes([n]) * BLOCK_SIZE for n in range(4)) + b"t" * TAIL


@pytest.fixture
def path(tmp_path: Path, content: bytes) -> Path:
    made = tmp_path / "volume-0001.tar"
    made.write_bytes(content)
    return made


def entry(content: bytes) -> Volume:
    blocks = [hashlib.sha256(content[at : at + BLOCK_SIZE]).hexdigest() for at in range(0, len(content), BLOCK_SIZE)]
    return Volume("volume-0001.tar", len(content), hashlib.sha256(content).hexdigest(), tuple(blocks))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_good_file_has_no_damaged_blocks_and_progress_hears_of_every_byte(path: Path, content: bytes, threads: int) -> None:
    counter = Counter()
    assert damaged_blocks(entry(content), path, counter, threads) == []
    assert counter.total == len(content)


@pytest.mark.parametrize("threads", [1, 3])
def test_flipped_bits_are_found_in_their_blocks(path: Path, content: bytes, threads: int) -> None:
    flip(path, 0)
    flip(path, 3 * BLOCK_SIZE - 1, 0x80)
    flip(path, len(content) - 1)
    assert damaged_blocks(entry(content), path, Silent(), threads, fresh=True) == [0, 2, 4]


def test_of_a_file_cut_short_the_blocks_that_are_there_are_good(path: Path, content: bytes) -> None:
    counter = Counter()
    for length, damaged in (
        (len(content) - 1, [4]),
        (2 * BLOCK_SIZE, [2, 3, 4]),
        (2 * BLOCK_SIZE - 1, [1, 2, 3, 4]),
        (0, [0, 1, 2, 3, 4]),
    ):
        os.truncate(path, length)
        assert damaged_blocks(entry(content), path, counter) == damaged
    assert counter.total == 4 * len(content)


def test_a_file_that_goes_on_behind_its_end_is_damaged_in_its_last_block(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(b"x")
    assert damaged_blocks(entry(content), path, Silent()) == [4]


def test_what_the_disk_will_not_give_is_damage_and_not_an_abort(content: bytes) -> None:
    # Linux gives an I/O error for the memory at address 0 of a process: a regular file with unreadable places
    checked = check_file(entry(content), Path("/proc/self/mem"), Silent())
    assert checked.damaged == checked.unreadable == (0, 1, 2, 3, 4)


def test_what_is_not_a_file_is_told_at_once(tmp_path: Path, content: bytes) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/dev/zero")
    for name in ("fifo", "link", ".", "nowhere"):
        with pytest.raises(Damaged):
            damaged_blocks(entry(content), tmp_path / name, Silent())


def test_a_progress_that_raises_ends_the_work(path: Path, content: bytes) -> None:
    class Interrupting(Silent):
        def advance(self, count: int, items: int = 0) -> None:
            raise MediaError("stop")

    with pytest.raises(MediaError):
        damaged_blocks(entry(content), path, Interrupting())


def test_an_empty_file_needs_no_blocks(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert damaged_blocks(entry(b""), tmp_path / "empty", Silent()) == []
