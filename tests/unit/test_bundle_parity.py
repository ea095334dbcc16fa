"""Parity against a reader written from docs/format.md alone, in plain Python: no table and no line of it is zfec's or ours."""

from __future__ import annotations

import functools
import hashlib
import json
import operator
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.errors import Damaged
from airgap.exporter.parity import write_parity
from airgap.format.catalog import Catalog
from airgap.format.names import BLOCK_SIZE, is_parity, parity_name
from airgap.format.parity import MEMORY, Code, block_length, piece_size
from airgap.progress import Silent
from tests.support.paritybundles import content, files, make

# the reader of docs/format.md, "Parity"


@functools.cache
def times(a: int, b: int) -> int:
    product = 0
    while b:
        product ^= a if b & 1 else 0
        a = a << 1 ^ (0x11D if a & 0x80 else 0)
        b >>= 1
    return product


@functools.cache
def inverse(a: int) -> int:
    return next(b for b in range(1, 256) if times(a, b) == 1)


@functools.cache
def point(number: int) -> int:
    return 0 if number == 0 else functools.reduce(times, [2] * (number - 1), 1)


@functools.cache
def coefficient(wanted: int, number: int, known: tuple[int, ...]) -> int:
    others = [point(other) for other in known if other != number]
    above = functools.reduce(times, (point(wanted) ^ other for other in others), 1)
    below = functools.reduce(times, (point(number) ^ other for other in others), 1)
    return times(above, inverse(below))


def read(wanted: int, known: Mapping[int, bytes], size: int) -> bytes:
    """File ``wanted`` from the bytes of as many files as there are volumes."""
    numbers = tuple(sorted(known))
    rows = []
    for number in numbers:
        factor = coefficient(wanted, number, numbers)
        rows.append([times(factor, byte) for byte in known[number].ljust(size, b"\0")])
    return bytes(functools.reduce(operator.xor, column) for column in zip(*rows, strict=True))


# what we make


def written(volumes: Sequence[bytes], parity: int) -> list[bytes]:
    with tempfile.TemporaryDirectory() as directory:
        make(Path(directory) / "b", volumes, parity)
        return [data for name, data in files(Path(directory) / "b").items() if is_parity(name)]


volume_lists = st.lists(st.binary(min_size=1, max_size=120), min_size=1, max_size=9)


@settings(max_examples=60, deadline=None)
@given(volume_lists, st.integers(1, 5))
def test_parity_files_are_what_the_format_says(volumes: list[bytes], parity: int) -> None:
    size = max(map(len, volumes))
    expected = [read(len(volumes) + number, dict(enumerate(volumes)), size) for number in range(parity)]
    assert written(volumes, parity) == expected


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_reader_of_the_format_alone_gets_any_lost_files_back(data: st.DataObject) -> None:
    volumes = data.draw(volume_lists)
    parity = data.draw(st.integers(1, 5))
    size = max(map(len, volumes))
    shares = dict(enumerate([*volumes, *written(volumes, parity)]))
    kept = data.draw(st.permutations(sorted(shares)))[: len(volumes)]
    for number, share in shares.items():
        assert read(number, {one: shares[one] for one in kept}, size)[: len(share)] == share


@pytest.mark.parametrize(("volumes", "parity"), [(1, 255), (255, 1), (128, 128), (2, 254), (200, 3)])
def test_the_largest_codes(volumes: int, parity: int) -> None:
    made = [bytes([number, 255 - number, 7]) for number in range(volumes)]
    assert written(made, parity)[-1] == read(volumes + parity - 1, dict(enumerate(made)), 3)


def test_of_one_volume_every_parity_file_is_a_copy() -> None:
    assert written([b"the only one"], 3) == [b"the only one"] * 3


def test_more_parity_files_leave_the_first_ones_as_they_are() -> None:
    volumes = [content(1000, 1), content(700, 2), content(1, 3)]
    assert written(volumes, 4)[:2] == written(volumes, 2)


def test_digests_are_those_of_the_files_with_a_short_last_block(tmp_path: Path) -> None:
    catalog = make(tmp_path / "b", [content(BLOCK_SIZE + 5, 1), content(30, 2)], 2)
    for file in catalog.parity:
        data = (tmp_path / "b" / file.name).read_bytes()
        assert (len(data), file.size) == (BLOCK_SIZE + 5,) * 2
        assert file.sha256 == hashlib.sha256(data).hexdigest()
        assert file.blocks == tuple(hashlib.sha256(data[at : at + BLOCK_SIZE]).hexdigest() for at in (0, BLOCK_SIZE))
    assert Catalog.from_bytes(catalog.to_bytes()) == catalog


def test_parity_left_by_a_killed_run_is_written_over(tmp_path: Path) -> None:
    catalog = make(tmp_path / "b", [content(5000, 1), content(30, 2)], 2)
    before = files(tmp_path / "b")
    (tmp_path / "b" / parity_name(1)).write_bytes(b"\xff" * 9000)
    (tmp_path / "b" / parity_name(2)).write_bytes(b"")
    assert write_parity(tmp_path / "b", catalog.volumes, 2, Silent()) == catalog.parity
    assert files(tmp_path / "b") == before


def test_a_volume_that_becomes_shorter_is_noticed(tmp_path: Path) -> None:
    catalog = make(tmp_path / "b", [content(5000, 1), content(3000, 2)], 0)
    (tmp_path / "b" / "volume-0002.tar").write_bytes(b"short")
    with pytest.raises(Damaged):
        write_parity(tmp_path / "b", catalog.volumes, 1, Silent())


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_shares_give_all_others(data: st.DataObject) -> None:
    volumes = data.draw(st.integers(1, 20))
    parity = data.draw(st.integers(1, 8))
    code = Code(volumes, parity)
    pieces = [content(64, (number, volumes)) for number in range(volumes)]
    shares = dict(enumerate([*pieces, *code.encode(pieces, range(volumes, volumes + parity))]))
    lost = data.draw(st.permutations(sorted(shares)))[:parity]
    left = {number: memoryview(share) for number, share in shares.items() if number not in lost}
    assert code.rebuild(left, lost) == [shares[number] for number in lost]


@pytest.mark.parametrize("count", [1, 9, 64, 127, 128, 200, 256])
def test_pieces_of_a_row_take_bounded_memory(count: int) -> None:
    assert piece_size(count) * count <= MEMORY
    assert piece_size(count) >= 128 * 1024


def test_blocks_end_with_the_file() -> None:
    assert [block_length(BLOCK_SIZE + 1, row) for row in range(3)] == [BLOCK_SIZE, 1, 0]


# what the catalog says of them

WRONG: dict[str, Any] = {
    "not a list": {},
    "nothing known of it": [{"name": parity_name(1)}],
    "another name": lambda files: files[0].update(name="parity-0002.bin"),
    "a path": lambda files: files[0].update(name="../parity-0001.bin"),
    "a volume's name": lambda files: files[0].update(name="volume-0001.tar"),
    "too small": lambda files: files[0].update(size=files[0]["size"] - 1),
    "too large": lambda files: files[0].update(size=files[0]["size"] + 1),
    "a size as text": lambda files: files[0].update(size=str(files[0]["size"])),
    "a block too few": lambda files: files[0].update(blocks=[]),
    "a block too many": lambda files: files[0].update(blocks=files[0]["blocks"] * 2),
    "a digest that is none": lambda files: files[0].update(sha256="x" * 64),
    "a block digest that is none": lambda files: files[0].update(blocks=[7]),
    "twice the first": lambda files: files.append(files[0]),
    "not an object": lambda files: files.append(7),
    "more than the code has": lambda files: files.extend({**files[0], "name": parity_name(i)} for i in range(2, 256)),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_catalog_with_wrong_parity_is_refused(name: str, tmp_path: Path) -> None:
    top = json.loads(make(tmp_path / "b", [b"one", b"three"], 1).to_bytes())
    wrong = WRONG[name]
    if callable(wrong):
        wrong(top["parity"])
    else:
        top["parity"] = wrong
    with pytest.raises(Damaged) as caught:
        Catalog.from_bytes(json.dumps(top).encode())
    assert caught.value.where.startswith("catalog.json")
