"""Resend requests and supplements as documents: the same both ways, and strict about what comes from outside."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest

from airgap.bundle.supplement import Supplement, check_txt, read_supplements
from airgap.bundle.volumes import Stretch
from airgap.documents.request import ResendRequest, ranges
from airgap.errors import Damaged, UsageError
from airgap.format import names
from airgap.format.catalog import Catalog, Volume
from airgap.oci.digest import Digest

BLOCK = names.BLOCK_SIZE
RAW = Digest.of(b"the catalog")


def catalog(*blocks: int, volume_size: int | None = None) -> Catalog:
    """With volumes of so many blocks, the last block of each 100 bytes long."""
    volumes = tuple(
        Volume(names.volume_name(n), (count - 1) * BLOCK + 100, "0" * 64, ("0" * 64,) * count) for n, count in enumerate(blocks, 1)
    )
    created = "2026-01-31T12:00:00Z"
    return Catalog(
        stream="prod",
        serial=7,
        created=created,
        expires=None,
        tool="airgap",
        previous=None,
        base=(),
        volume_size=volume_size,
        images=(),
        blobs={},
        volumes=volumes,
    )


def request(known: Catalog, blocks: dict[int, list[int]]) -> ResendRequest:
    return ResendRequest.of(known, RAW, {names.volume_name(number): found for number, found in blocks.items()})


def test_a_request_is_the_same_after_it_was_written_and_read() -> None:
    asked = request(catalog(9, 3), {2: [0], 1: [5, 0, 1, 8, 5]})
    assert asked.files == {"volume-0001.tar": ((0, 1), (5, 5), (8, 8)), "volume-0002.tar": ((0, 0),)}
    again = ResendRequest.from_bytes(asked.to_bytes(), "here")
    assert again == asked
    assert (again.bundle, again.id, again.to_bytes()) == ("prod-0007", asked.id, asked.to_bytes())
    assert list(again.blocks())[-2:] == [("volume-0001.tar", 8), ("volume-0002.tar", 0)]
    assert again.size(catalog(9, 3)) == 4 * BLOCK + 100 - BLOCK + BLOCK


def test_numbers_in_any_order_become_rising_ranges() -> None:
    chosen = random.Random(7)
    for _ in range(200):
        numbers = [chosen.randrange(40) for _ in range(chosen.randrange(30))]
        found = list(ranges(numbers))
        assert sorted(set(numbers)) == [number for first, last in found for number in range(first, last + 1)]
        assert all(before[1] + 1 < after[0] for before, after in itertools.pairwise(found))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema": "airgap.catalog/1"}, "not a resend request"),
        ({"schema": None}, "not a resend request"),
        ({"more": 1}, "the wrong fields"),
        ({"stream": "../up"}, "stream and serial"),
        ({"stream": 7}, "not a string"),
        ({"serial": 0}, "stream and serial"),
        ({"serial": -1}, "not a valid number"),
        ({"serial": 1.5}, "not a valid number"),
        ({"catalog": "sha256:12"}, "digest"),
        ({"block_size": 512}, "block size"),
        ({"files": []}, "not an object"),
        ({"files": {"volume-0001.tar": []}}, "non-empty"),
        ({"files": {"volume-0001.tar": "all"}}, "not a list"),
        ({"files": {"volume-0001.tar": [[0]]}}, "not a valid block range"),
        ({"files": {"volume-0001.tar": [[2, 1]]}}, "not a valid block range"),
        ({"files": {"volume-0001.tar": [[0, 2**53]]}}, "not a valid number"),
        ({"files": {"volume-0001.tar": [[0, 1], [2, 2]]}}, "non-empty, ascending and not adjacent"),
        ({"files": {"volume-0001.tar": [[4, 4], [0, 1]]}}, "must be non-empty, ascending"),
        ({"files": {"volume-0001.tar": [[0, True]]}}, "not a valid number"),
    ],
)
def test_a_request_with_a_mistake_is_refused(change: dict[str, Any], says: str) -> None:
    document = json.loads(request(catalog(9), {1: [0, 1]}).to_bytes()) | change
    with pytest.raises(UsageError, match=says):
        ResendRequest.from_bytes(json.dumps(document).encode(), "request.json")


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b"\xff", b'{"schema":"airgap.request/1","schema":"airgap.request/1"}', b"\x1b[2J"]
)
def test_what_is_no_request_at_all_is_refused(raw: bytes) -> None:
    with pytest.raises(UsageError) as caught:
        ResendRequest.from_bytes(raw, "request.json")
    assert str(caught.value).isprintable()


def test_only_what_the_bundle_has_can_be_asked_for() -> None:
    known = catalog(2, 3)
    cases: tuple[tuple[dict[int, list[int]], str], ...] = (
        ({1: [2]}, "beyond the end"),
        ({3: [0]}, "does not have"),
        ({}, "resend request is empty"),
        ({1: []}, "is empty"),
    )
    for blocks, says in cases:
        with pytest.raises(UsageError, match=says):
            request(known, blocks)
    huge = {"volume-0001.tar": [[0, 2**52]]}
    document = json.loads(request(known, {1: [0]}).to_bytes()) | {"files": huge}
    with pytest.raises(UsageError, match="beyond the end"):  # found out without counting so far
        ResendRequest.from_bytes(json.dumps(document).encode(), "request.json").check(known)


def test_blocks_lie_one_after_another_in_files_that_fit_everywhere() -> None:
    known = catalog(3, 4, volume_size=2 * BLOCK + 200)
    supplement = Supplement.answering(request(known, {1: [0, 2], 2: [0, 1, 2, 3]}), known)
    assert list(supplement.places(known)) == [
        ("volume-0001.tar", 0, "resend-0001.bin", 0, BLOCK),
        ("volume-0001.tar", 2, "resend-0001.bin", BLOCK, 100),
        ("volume-0002.tar", 0, "resend-0001.bin", BLOCK + 100, BLOCK),
        ("volume-0002.tar", 1, "resend-0002.bin", 0, BLOCK),
        ("volume-0002.tar", 2, "resend-0002.bin", BLOCK, BLOCK),
        ("volume-0002.tar", 3, "resend-0002.bin", 2 * BLOCK, 100),
    ]
    assert Supplement.from_bytes(supplement.to_bytes(), "here") == supplement
    text = check_txt(supplement, known).decode()
    assert "volume-0002.tar  4 of 4 blocks\r\n" in text
    assert "prod-0007" in text


def test_no_file_of_a_supplement_is_too_large_for_fat32() -> None:
    known = catalog(600)
    supplement = Supplement.answering(request(known, {1: list(range(600))}), known)
    sizes: dict[str, int] = {}
    for _, _, file, offset, length in supplement.places(known):
        sizes[file] = offset + length
    assert max(sizes.values()) < 2**32
    assert sum(sizes.values()) == known.total_size


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema": "airgap.supplement/2"}, "not a supplement"),
        ({"more": 1}, "not a supplement"),
        ({"catalog": str(Digest.of(b"another"))}, "for another bundle"),
        ({"files": {}}, "not a list"),
        ({"files": [[["volume-0001.tar", 0]]]}, "not a valid run"),
        ({"files": [[["volume-0009.tar", 0, 0]]]}, "does not have"),
        ({"files": [[["volume-0001.tar", 0, 9]]]}, "does not have"),
        ({"files": [[["volume-0001.tar", 1, 0]]]}, "not a valid block range"),
        ({"files": [[["volume-0001.tar", 0, 1]], [["volume-0001.tar", 0, 1]]]}, "has more blocks than the bundle"),
        ({"files": [[["volume-0001.tar", 0, 1]]]}, "damaged or incomplete"),
    ],
)
def test_a_supplement_with_a_mistake_is_refused(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    known = catalog(2)
    supplement = Supplement.answering(request(known, {1: [1]}), known)
    (tmp_path / "supplement.json").write_text(json.dumps(json.loads(supplement.to_bytes()) | change))
    (tmp_path / "resend-0001.bin").write_bytes(bytes(100))
    with pytest.raises(Damaged, match=says):
        read_supplements([tmp_path], known, RAW)


def test_the_blocks_of_several_supplements_count_together(tmp_path: Path) -> None:
    known = catalog(2, 2)
    for number in (1, 2):
        directory = tmp_path / str(number)
        directory.mkdir()
        (directory / "supplement.json").write_bytes(Supplement.answering(request(known, {number: [1]}), known).to_bytes())
        (directory / "resend-0001.bin").write_bytes(bytes(100))
    found = read_supplements([tmp_path / "1", tmp_path / "2"], known, RAW)
    assert found == {
        names.volume_name(number): {1: Stretch(tmp_path / str(number) / "resend-0001.bin", 0, 100)} for number in (1, 2)
    }
