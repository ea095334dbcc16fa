"""Real file systems of sticks and discs: no name, size or date of ours is refused, and what comes back is whole."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from airgap.format.names import volume_name
from airgap.limits import MAX_STREAM
from tests.support.bundles import flip
from tests.support.cli import DAMAGED, MEDIA, failed, here
from tests.support.disks import Disk, burn, disc, fill_with_mtools, take_with_mtools
from tests.support.mediaset import checked, make_bundle
from tests.support.mounts import small_disk

pytestmark = pytest.mark.slow("makes and mounts real file systems")

#: The longest name that a stream can have, with everything in it that is allowed.
STREAM = ("a.b_c-" * MAX_STREAM)[: MAX_STREAM - 1] + "z"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def bundle(work: Path) -> Path:
    return make_bundle(work, stream=STREAM, parity=1)


def good(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["fat32", "exfat", "ntfs", "ext4"])
def test_a_stick_is_filled_pulled_out_put_in_again_and_checked(bundle: Path, work: Path, tmp_path: Path, kind: str) -> None:
    stick = Disk(tmp_path, kind)
    with stick.mounted() as point:
        good(here("media", "copy", bundle, point))
    with stick.mounted() as point:
        assert sorted(path.name for path in point.iterdir() if path.name != "lost+found") == [bundle.name]
        assert checked(point)[0] == 0
        good(here("verify", point, "--policy", work / "sender/policy.json"))
        subprocess.run(["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=point / bundle.name, check=True, capture_output=True)
        flip(point / bundle.name / volume_name(2), 7)
    with stick.mounted() as point:
        assert checked(point)[0] == DAMAGED
        good(here("media", "copy", bundle, point))
        assert checked(point)[0] == 0


def test_two_sticks_and_a_disc_of_different_file_systems_are_one_bundle(bundle: Path, work: Path, tmp_path: Path) -> None:
    staging = tmp_path / "staging"
    staging.mkdir()
    first, second = Disk(tmp_path, "exfat"), Disk(tmp_path, "ntfs")
    with first.mounted() as a, second.mounted() as b:
        good(here("media", "copy", bundle, a, b, staging))
        burn(staging, tmp_path / "disc.iso", "-J", "-R")
        with disc(tmp_path / "disc.iso", tmp_path / "disc") as c:
            assert checked(c, a, b)[0] == 0
            policy = ["--policy", work / "sender/policy.json", "--state", tmp_path / "state"]
            good(here("import", b, c, a, "--to", f"oci:{tmp_path}/store", *policy))


@pytest.mark.parametrize("options", [("-J",), ("-R",), ("-J", "-R", "-iso-level", "3")])
def test_a_disc_image_with_joliet_or_rock_ridge_holds_every_name(bundle: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    staging = tmp_path / "staging"
    staging.mkdir()
    good(here("media", "copy", bundle, staging, "--media", "dvd"))
    burn(staging, tmp_path / "disc.iso", *options)
    with disc(tmp_path / "disc.iso", tmp_path / "disc") as point:
        assert sorted(path.name for path in (point / bundle.name).iterdir()) == sorted(
            path.name for path in (staging / bundle.name).iterdir()
        )
        assert checked(point)[0] == 0


def test_fat32_filled_and_emptied_without_mounting_it(bundle: Path, work: Path, tmp_path: Path) -> None:
    staging = tmp_path / "staging"
    staging.mkdir()
    good(here("media", "copy", bundle, staging, "--media", "fat32:64MB"))
    image = Disk(tmp_path, "fat32").image
    fill_with_mtools(image, staging / bundle.name)
    take_with_mtools(image, bundle.name, tmp_path)
    assert checked(tmp_path / bundle.name)[0] == 0
    good(here("verify", tmp_path / bundle.name, "--policy", work / "sender/policy.json"))


def test_a_stick_that_is_smaller_than_it_says_is_found_out(bundle: Path, tmp_path: Path) -> None:
    # An image in a memory disk that has room for a part of it only
    with small_disk(tmp_path / "memory", "2m") as memory:
        stick = Disk(tmp_path, "ext4")
        small = memory / "small.img"
        subprocess.run(["cp", "--sparse=always", str(stick.image), str(small)], check=True)
        taken = os.statvfs(memory)
        with (memory / "ballast").open("wb") as file:
            file.write(bytes(max(0, taken.f_bavail * taken.f_frsize - 100_000)))
        stick.image = small
        with stick.mounted() as point:
            failed(here("media", "copy", bundle, point), MEDIA)
