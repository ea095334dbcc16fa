"""Which file goes on which disk: everything fits, nothing is lost that need not be, and a person is told what to buy."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.errors import MediaError, UsageError
from airgap.format.catalog import Catalog, Volume
from airgap.format.names import PRESETS, parity_name, volume_name
from airgap.media.disks import Disks, label
from airgap.media.spread import Disk, footprint, media_needed, parity_against_loss, planned, spread
from airgap.oci.digest import Digest

GB = 10**9
EXTRA = 3_000_000


def catalog(volumes: int, parity: int = 0, size: int = 4 * GB, last: int = 1 * GB) -> Catalog:
    sizes = [size] * (volumes - 1) + [last]
    files = tuple(Volume(volume_name(n), size, "", ()) for n, size in enumerate(sizes, 1))
    extra = tuple(Volume(parity_name(n), max(sizes), "", ()) for n in range(1, parity + 1))
    empty = Catalog(
        stream="prod",
        serial=7,
        created="",
        expires=None,
        tool="",
        previous=None,
        base=(),
        volume_size=None,
        images=(),
        blobs={},
        volumes=files,
    )
    return replace(empty, parity=extra)


def places(*sizes: int, largest: int | None = None) -> list[Disk]:
    return [Disk(f"disk {n}", size, largest) for n, size in enumerate(sizes)]


def names_on(bundle: Catalog, *sizes: int) -> list[list[str]]:
    return [[file.name for file in files] for files in spread(bundle, places(*sizes), EXTRA).files]


def test_volumes_stay_together_in_order_and_fill_the_first_disks() -> None:
    assert names_on(catalog(5), 9 * GB, 9 * GB, 9 * GB) == [
        [volume_name(1), volume_name(2)],
        [volume_name(3), volume_name(4)],
        [volume_name(5)],
    ]


def test_with_parity_every_disk_gets_as_few_files_as_possible_and_its_share_of_parity() -> None:
    spreads = names_on(catalog(4, 2), *[100 * GB] * 3)
    assert [len(files) for files in spreads] == [2, 2, 2]
    assert sorted(sum(name.startswith("parity") for name in files) for files in spreads) == [0, 1, 1]


def test_a_small_last_volume_goes_where_only_it_fits() -> None:
    assert names_on(catalog(3), 2 * GB, 9 * GB) == [[volume_name(3)], [volume_name(1), volume_name(2)]]


def test_room_for_catalog_and_lists_is_kept_on_every_disk() -> None:
    one = catalog(1, size=GB, last=GB)
    need = footprint(one.volumes[0]) + EXTRA
    assert names_on(one, need) == [[volume_name(1)]]
    with pytest.raises(MediaError):
        spread(one, places(need - 1), EXTRA)


def test_what_does_not_fit_says_how_many_disks_of_which_size_would_do() -> None:
    with pytest.raises(MediaError) as caught:
        spread(catalog(20), places(32 * GB), EXTRA)
    assert "3 disks like disk 0" in caught.value.hint
    assert "4 x bd25" in caught.value.hint
    assert "1 x 128 GB stick" in caught.value.hint


def test_fat32_cannot_hold_a_file_of_4_gib() -> None:
    for size, good in ((2**32 - 1, True), (2**32, False)):
        one = catalog(1, last=size)
        if good:
            spread(one, places(64 * GB, largest=PRESETS["fat32"]), EXTRA)
            continue
        with pytest.raises(MediaError) as caught:
            spread(one, places(64 * GB, largest=PRESETS["fat32"]), EXTRA)
        assert "exFAT" in caught.value.hint


def test_directories_of_one_device_share_what_is_free_there() -> None:
    shared = [replace(place, device="d", free=6 * GB) for place in places(9 * GB, 9 * GB)]
    with pytest.raises(MediaError):
        spread(catalog(2, last=4 * GB), shared, EXTRA)
    spread(catalog(2), shared, EXTRA)


def test_volumes_of_a_disc_preset_fill_discs_of_that_kind() -> None:
    for name in ("dvd", "dvd-dl", "bd25", "bd50"):
        size = PRESETS[name] - 64 * 1024 * 1024
        ((number, place),) = planned([name])
        assert number is None
        assert media_needed(catalog(3, size=size, last=size), place.room, place.largest, EXTRA) == 3


def test_planned_disks_are_read_as_people_write_them() -> None:
    assert [(number, place.name, place.largest) for number, place in planned(["3x25GB,dvd", "2xfat32:32GB"])] == [
        (3, "25gb", None),
        (None, "dvd", None),
        (2, "fat32:32gb", PRESETS["fat32"]),
    ]
    for wrong in ("", "0x5GB", "fat32", "x", "3x", "-1x5GB", "5 elephants"):
        with pytest.raises(UsageError):
            planned([wrong])


@settings(max_examples=200, deadline=None)
@given(
    volumes=st.integers(1, 30),
    parity=st.integers(0, 5),
    last=st.integers(1, 4 * GB),
    rooms=st.lists(st.integers(0, 40 * GB), min_size=1, max_size=8),
)
def test_whatever_is_placed_fits_and_is_everything_once(volumes: int, parity: int, last: int, rooms: list[int]) -> None:
    bundle = catalog(volumes, parity, last=last)
    try:
        made = spread(bundle, places(*rooms), EXTRA)
    except MediaError:
        slots = sum(max(0, (room - EXTRA) // (footprint(bundle.volumes[0]))) for room in rooms)
        assert slots < len(bundle.files)
        return
    assert sorted(file.name for files in made.files for file in files) == sorted(file.name for file in bundle.files)
    for files, room in zip(made.files, rooms, strict=True):
        assert not files or EXTRA + sum(map(footprint, files)) <= room


def test_labels_go_on_behind_z() -> None:
    assert [label(n) for n in (0, 1, 25, 26, 27, 701)] == ["A", "B", "Z", "AA", "AB", "ZZ"]


def test_the_list_of_disks_survives_being_written_and_read() -> None:
    made = Disks("prod-0007", Digest.of(b""), "B", {"A": ["volume-0001.tar"], "B": ["parity-0001.bin"]})
    assert Disks.from_bytes(made.to_bytes(), "test") == made
    assert "disk A: volume-0001.tar\r\n" in made.to_text().decode()


@pytest.mark.parametrize("disks", [2, 3, 5])
@pytest.mark.parametrize("volumes", [1, 2, 6, 11])
def test_parity_that_is_suggested_survives_the_loss_of_any_disk_and_one_less_does_not(volumes: int, disks: int) -> None:
    def most(parity: int) -> int:
        return max(len(files) for files in names_on(catalog(volumes, parity), *[1000 * GB] * disks))

    wanted = parity_against_loss(volumes, disks)
    assert most(wanted) <= wanted
    assert wanted == 1 or most(wanted - 1) > wanted - 1


def test_no_parity_is_suggested_that_a_bundle_cannot_have() -> None:
    assert parity_against_loss(200, 2) == 0
