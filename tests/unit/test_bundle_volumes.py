"""The view of volumes: bytes are the same wherever they lie."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest

from airgap.bundle.volumes import Stretch, Volumes
from airgap.errors import Damaged
from airgap.format.frame import Extent
from airgap.format.names import BLOCK_SIZE
from airgap.oci.stores import Reader
from tests.support import images

SIZE = 2 * BLOCK_SIZE + 5000
CONTENT = images.seeded("volume", SIZE)


def read(reader: Reader, step: int = 1 << 20) -> bytes:
    result, buffer = bytearray(), memoryview(bytearray(step))
    with contextlib.closing(reader):
        while count := reader.readinto(buffer):
            result += buffer[:count]
    return bytes(result)


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Volumes:
    """Volume 1 as it should be but for its middle block, which lies elsewhere; volume 2 only elsewhere; volume 3 whole."""
    work = tmp_path_factory.mktemp("volumes")
    (work / "damaged").write_bytes(CONTENT[:BLOCK_SIZE] + bytes(BLOCK_SIZE) + CONTENT[2 * BLOCK_SIZE :])
    (work / "whole").write_bytes(CONTENT)
    (work / "resent").write_bytes(b"before" + CONTENT[BLOCK_SIZE : 2 * BLOCK_SIZE] + CONTENT)
    middle = Stretch(work / "resent", 6, BLOCK_SIZE)
    lengths = [BLOCK_SIZE, BLOCK_SIZE, 5000]
    all_of_it = {i: Stretch(work / "resent", 6 + (1 + i) * BLOCK_SIZE, length) for i, length in enumerate(lengths)}
    return Volumes({1: work / "damaged", 3: work / "whole"}, {1: {1: middle}, 2: all_of_it})


@pytest.mark.slow("reads every stretch")
def test_every_stretch_of_every_volume_reads_the_same(volumes: Volumes) -> None:
    chosen = random.Random(3)
    edges = [0, 1, BLOCK_SIZE - 1, BLOCK_SIZE, BLOCK_SIZE + 1, 2 * BLOCK_SIZE - 1, 2 * BLOCK_SIZE, 2 * BLOCK_SIZE + 1, SIZE]
    pairs = [(start, end) for start in edges for end in edges if start <= end]
    some = ((chosen.randrange(SIZE), chosen.randrange(SIZE)) for _ in range(10))
    pairs += [(min(pair), max(pair)) for pair in some]
    with volumes.peek() as peek:
        for number in (1, 2, 3):
            for start, end in pairs:
                extent = Extent(number, start, end - start)
                assert read(volumes.open([extent])) == CONTENT[start:end]
                if end - start < BLOCK_SIZE:
                    assert peek.read(extent) == CONTENT[start:end]


def test_a_blob_in_several_volumes_reads_on_from_anywhere(volumes: Volumes) -> None:
    extents = [Extent(1, BLOCK_SIZE - 300, 1000), Extent(2, 2 * BLOCK_SIZE - 10, 20), Extent(3, 0, 5)]
    whole = b"".join(CONTENT[one.offset : one.offset + one.length] for one in extents)
    for skip in (0, 1, 299, 300, 301, 999, 1000, 1001, 1019, 1020, 1024, 1025):
        assert read(volumes.open(extents, skip), 7) == whole[skip:]


def test_what_lies_in_one_piece_can_be_sent_by_the_kernel(volumes: Volumes) -> None:
    for extent in (Extent(3, 5, SIZE - 5), Extent(1, 5, 1000), Extent(1, BLOCK_SIZE + 5, 1000)):
        with contextlib.closing(volumes.open([extent])) as reader:
            assert hasattr(reader, "fileno_range")
    with contextlib.closing(volumes.open([Extent(1, BLOCK_SIZE - 5, 10)])) as reader:
        assert not hasattr(reader, "fileno_range")


def test_stretches_that_are_not_resent_stay_in_one_piece(volumes: Volumes, tmp_path: Path) -> None:
    assert len(list(volumes.stretches(Extent(3, 0, SIZE)))) == 1
    long = Volumes({1: tmp_path / "long"}, {1: {9: Stretch(tmp_path / "other", 0, BLOCK_SIZE)}})
    lengths = [stretch.length for stretch in long.stretches(Extent(1, 0, 12 * BLOCK_SIZE))]
    assert lengths == [9 * BLOCK_SIZE, BLOCK_SIZE, 2 * BLOCK_SIZE]


def test_it_is_a_mapping_of_the_volumes_at_hand(volumes: Volumes) -> None:
    assert list(volumes) == [1, 2, 3]
    assert [volumes[number].name for number in volumes] == ["damaged", "resent", "whole"]
    assert volumes.file(2) is None
    with pytest.raises(Damaged, match="a volume is missing"):
        read(volumes.open([Extent(4, 0, 1)]))
    assert volumes.place([Extent(4, 0, 1)]) == "volume-0004.tar at byte 0"
    assert [part.rpartition("/")[2] for part in volumes.place([Extent(1, BLOCK_SIZE - 1, 2)]).split(", ")] == [
        f"damaged at byte {BLOCK_SIZE - 1}",
        "resent at byte 6",
    ]
