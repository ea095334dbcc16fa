"""A disk that fails while the page cache is written back: what a command says is done is there when the disk comes back.

The first run meets the failure; the disk recovers; the same command is repeated until it exits with 0. Then the disk is taken out
and put back, so that nothing is read from the cache any more.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airgap.errors import MediaError
from airgap.format import names
from tests.support import images
from tests.support.cli import MEDIA, here
from tests.support.confidential import Reader
from tests.support.failingdisk import FailingDisk
from tests.support.resending import Wish
from tests.support.yard import Yard

pytestmark = pytest.mark.slow("mounts a disk that fails")

MEGABYTE = 1024 * 1024


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[FailingDisk]:
    with FailingDisk(tmp_path) as made:
        yield made


@pytest.fixture
def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Yard:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    made = Yard.make(tmp_path / "yard")
    layers = [images.layer(f"large {number}", MEGABYTE) for number in range(4)]
    made.references.append(made.origin.push("docker.io/shop/large:1", images.image(layers)))
    return made


def check_sums(bundle: Path) -> None:
    done = subprocess.run(
        ["sha256sum", "-c", "--quiet", "--strict", names.SUMS], cwd=bundle, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def repeated(disk: FailingDisk, *command: object, room: int = MEGABYTE) -> None:
    """Run a command until it says that it is done: first while the disk fails, then when it is well again."""
    disk.starve(room)
    assert here(*command).returncode == MEDIA
    disk.feed()
    done = here(*command)
    if done.returncode == MEDIA:  # the disk tells once more what it could not do, or has made itself read-only
        disk.pull_out()
        done = here(*command)
    assert done.returncode == 0, done.stderr
    disk.pull_out()


@pytest.mark.parametrize("options", [{}, {"volume_size": 2 * MEGABYTE}, {"volume_size": 2 * MEGABYTE, "parity": 1}])
def test_export_is_never_sealed_with_bytes_that_the_disk_does_not_have(
    disk: FailingDisk, yard: Yard, options: dict[str, Any]
) -> None:
    disk.starve(MEGABYTE)
    with pytest.raises(MediaError):
        yard.sender.bundle(yard.origin, yard.references, disk.point / "out", **options)
    disk.feed()
    bundle = yard.sender.bundle(yard.origin, yard.references, disk.point / "out", **options)
    disk.pull_out()
    check_sums(bundle)


def test_what_only_lacked_its_name_is_read_back_before_it_gets_it(disk: FailingDisk, yard: Yard) -> None:
    """As a run leaves it that dies right before the rename, on a disk that has lost a volume since."""
    bundle = yard.sender.bundle(yard.origin, yard.references, disk.point / "out")
    partial = bundle.rename(bundle.with_name(bundle.name + names.PARTIAL))
    (partial / "volume-0001.tar").write_bytes(bytes((partial / "volume-0001.tar").stat().st_size))
    (yard.sender.root / "exporter-state" / "state.db").unlink()
    (yard.sender.root / "exporter-state" / ".airgap-state").unlink()
    assert yard.sender.bundle(yard.origin, yard.references, disk.point / "out") == bundle
    check_sums(bundle)


def test_repair_in_place_is_not_done_with_blocks_that_the_disk_does_not_have(disk: FailingDisk, yard: Yard) -> None:
    options = {"volume_size": 2 * MEGABYTE, "parity": 1}
    bundle = yard.sender.bundle(yard.origin, yard.references, disk.point / "out", **options)
    volume = bundle / "volume-0002.tar"
    size = volume.stat().st_size
    volume.write_bytes(b"")
    with volume.open("r+b") as file:
        file.truncate(size)
    repeated(disk, "media", "repair", bundle, "--in-place")
    check_sums(bundle)


def test_repaired_files_are_not_there_unless_the_disk_has_them(disk: FailingDisk, yard: Yard, tmp_path: Path) -> None:
    options = {"volume_size": 2 * MEGABYTE, "parity": 1}
    bundle = yard.sender.bundle(yard.origin, yard.references, tmp_path / "out", **options)
    good = (bundle / "volume-0002.tar").read_bytes()
    (bundle / "volume-0002.tar").unlink()
    repeated(disk, "media", "repair", bundle, "--out", disk.point / "repaired")
    assert (disk.point / "repaired" / "volume-0002.tar").read_bytes() == good


def test_copy_is_whole_on_the_disk(disk: FailingDisk, yard: Yard, tmp_path: Path) -> None:
    bundle = yard.sender.bundle(yard.origin, yard.references, tmp_path / "out")
    repeated(disk, "media", "copy", bundle, disk.point)
    check_sums(disk.point / bundle.name)


def test_supplement_is_whole_on_the_disk(disk: FailingDisk, yard: Yard, tmp_path: Path) -> None:
    bundle = yard.sender.bundle(yard.origin, yard.references, tmp_path / "out", volume_size=2 * MEGABYTE)
    request = Wish(bundle, tmp_path).request({2: [0]})
    repeated(disk, "export", "--resend", request, bundle, "--out", disk.point)
    (supplement,) = disk.point.glob("prod-*")
    check_sums(supplement)


@pytest.mark.parametrize("form", ["oci:{}/store", "oci-archive:{}/all.tar", "docker-archive:{}/all.tar"])
def test_import_is_whole_in_a_store_or_archive(disk: FailingDisk, yard: Yard, tmp_path: Path, form: str) -> None:
    bundle = yard.sender.bundle(yard.origin, yard.references, tmp_path / "out")
    target = form.format(disk.point)
    repeated(disk, "import", bundle, "--to", target, "--policy", yard.sender.policy, "--state", yard.state, "--threads", 1)
    place = Path(target.partition(":")[2])
    for name, raw in blobs_of(place):
        assert hashlib.sha256(raw).hexdigest() == name
    assert [path.name for path in disk.point.iterdir() if path.name.startswith(".")] == []


def blobs_of(place: Path) -> list[tuple[str, bytes]]:
    if place.is_dir():
        return [(path.name, path.read_bytes()) for path in (place / "blobs/sha256").iterdir()]
    with tarfile.open(place) as tar:
        members = [member for member in tar if member.name.startswith("blobs/sha256/") and member.isfile()]
        return [(Path(member.name).name, extracted.read()) for member in members if (extracted := tar.extractfile(member))]


def test_state_does_not_say_imported_when_its_disk_could_not_keep_it(disk: FailingDisk, yard: Yard, tmp_path: Path) -> None:
    bundle = yard.sender.bundle(yard.origin, yard.references, tmp_path / "out")
    state = disk.point / "state"
    command = ["import", bundle, "--to", f"oci:{tmp_path}/store", "--policy", yard.sender.policy, "--state", state]
    repeated(disk, *command, room=0)
    shown = json.loads(here("history", "--state", state, "--json").stdout)["history"]
    assert [one["event"] for one in shown][-1:] == ["import"]
    assert here(*command).returncode == 0


def test_receipt_that_the_disk_did_not_take_is_not_there(disk: FailingDisk, yard: Yard, tmp_path: Path) -> None:
    bundle = yard.sender.bundle(yard.origin, yard.references, tmp_path / "out")
    yard.takes(bundle)
    out = disk.point / "receipt.json"
    command = ["receipt", f"oci:{yard.store}", "--site", "plant", "--state", yard.state, "-o", out]
    disk.starve(0)
    assert here(*command).returncode == MEDIA
    assert list(disk.point.glob("*receipt*")) == []
    disk.feed()
    assert here(*command).returncode == 0
    disk.pull_out()
    json.loads(out.read_bytes())


def test_encrypted_bundle_is_never_sealed_with_bytes_that_the_disk_does_not_have(
    disk: FailingDisk, yard: Yard, tmp_path: Path
) -> None:
    site = Reader.make(tmp_path / "site").site
    disk.starve(MEGABYTE)
    with pytest.raises(MediaError):
        yard.sender.bundle(yard.origin, yard.references, disk.point / "out", recipients=[site])
    disk.feed()
    bundle = yard.sender.bundle(yard.origin, yard.references, disk.point / "out", recipients=[site])
    disk.pull_out()
    check_sums(bundle)


def test_merged_bundle_is_never_sealed_with_bytes_that_the_disk_does_not_have(
    disk: FailingDisk, yard: Yard, tmp_path: Path
) -> None:
    bundles = [
        yard.sender.bundle(yard.origin, [reference], tmp_path / "out", serial=serial)
        for serial, reference in enumerate(yard.references, 1)
    ]
    fixed = ["--key", yard.sender.key, "--state", yard.sender.root / "exporter-state", "--policy", yard.sender.policy]
    repeated(disk, "merge", *bundles, "--stream", "prod", "--out", disk.point / "merged", *fixed)
    check_sums(disk.point / "merged" / "prod-0003")
