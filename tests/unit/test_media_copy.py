"""`airgap media copy`: every disk is whole and proved, whatever went wrong before; nothing else on it is touched."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airgap.format.names import BLOCK_SIZE, volume_name
from tests.support import images
from tests.support.bundles import Sender, catalog_of, flip
from tests.support.cli import DAMAGED, MEDIA, USAGE, failed, here, tree
from tests.support.confidential import Reader
from tests.support.mediaset import checked, make_bundle
from tests.support.mounts import make_read_only, small_disk
from tests.support.origin import Origin


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle"), parity=2)


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One volume of several blocks."""
    work, origin = tmp_path_factory.mktemp("big"), Origin()
    references = [origin.push("docker.io/shop/big:1", images.image([images.layer("big", 40_000_000)]))]
    return Sender.make(work / "sender").bundle(origin, references, work / "out")


def dests(work: Path, count: int) -> list[Path]:
    made = [work / f"disk{n}" for n in range(count)]
    for path in made:
        path.mkdir()
    return made


def copied(*arguments: object) -> dict[str, Any]:
    done = here("media", "copy", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_a_bundle_spread_over_disks_is_whole_and_every_disk_says_where_the_rest_is(
    bundle: Path, tmp_path: Path, count: int
) -> None:
    disks = dests(tmp_path, count)
    copied(bundle, *disks)
    code, facts = checked(*disks[::-1])
    assert (code, facts["result"]) == (0, "good")
    homes = [disk / bundle.name for disk in disks]
    assert {path.name for home in homes for path in home.iterdir()} >= {path.name for path in bundle.iterdir()}
    for home in homes:
        subprocess.run(["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=home, check=True, capture_output=True)
        assert (home / "CHECK.txt").read_bytes() == (bundle / "CHECK.txt").read_bytes()
        assert f"lies on {count} disk" in (home / "DISKS.txt").read_text()
    if count > 1:
        assert "on disk B" in here("media", "check", disks[0]).stdout


@pytest.mark.parametrize("count", [2, 3, 7])
def test_spread_bundles_are_verified_and_imported_from_all_disks_at_once_in_any_order_read_only(tmp_path: Path, count: int) -> None:
    made = make_bundle(tmp_path, parity=1)
    disks = dests(tmp_path, count)
    copied(made, *disks)
    for disk in disks:
        (disk / made.name).chmod(0o500)
    policy = ["--policy", tmp_path / "sender/policy.json", "--state", tmp_path / f"state{count}"]
    before = [tree(disk) for disk in disks]
    for order in (disks, disks[::-1], disks[1:] + disks[:1]):
        done = here("verify", *order, *policy[:2])
        assert done.returncode == 0, done.stderr
    done = here("import", *disks[::-1], "--to", f"oci:{tmp_path}/store", *policy)
    assert done.returncode == 0, done.stderr
    assert [tree(disk) for disk in disks] == before


def test_a_second_run_writes_nothing_and_a_damaged_disk_is_made_good_by_one(bundle: Path, tmp_path: Path) -> None:
    disks = dests(tmp_path, 2)
    copied(bundle, *disks)
    assert set(copied(bundle, *disks)["written"].values()) == {0}
    victim = next((disks[1] / bundle.name).glob("volume-*.tar"))
    flip(victim, 3)
    (disks[1] / bundle.name / "check.sh").unlink()
    written = copied(bundle, disks[1])["written"]
    assert written == {str(disks[1]): victim.stat().st_size}
    assert checked(*disks)[0] == 0


def test_a_run_that_was_cut_off_goes_on_and_trusts_nothing_it_finds(big: Path, tmp_path: Path) -> None:
    (disk,) = dests(tmp_path, 1)
    copied(big, disk)
    final, partial = disk / big.name, disk / f"{big.name}.partial"
    whole = (final / volume_name(1)).stat().st_size
    for length in (0, 5, BLOCK_SIZE, BLOCK_SIZE + 1, whole - 1, whole + 7):
        final.rename(partial)
        os.truncate(partial / volume_name(1), length)
        if length > BLOCK_SIZE:
            flip(partial / volume_name(1), 77)  # half written
        assert checked(big, disk)[0] == USAGE  # an unfinished copy is nothing to check
        copied(big, disk)
        assert not partial.exists()
        assert (final / volume_name(1)).read_bytes() == (big / volume_name(1)).read_bytes()


def test_killed_in_the_middle_it_goes_on(big: Path, tmp_path: Path) -> None:
    (disk,) = dests(tmp_path, 1)
    command = [sys.executable, "-m", "airgap", "media", "copy", str(big), str(disk)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not any(disk.glob(f"*/{volume_name(1)}")):
            pass
        process.kill()
    copied(big, disk)
    assert checked(disk)[0] == 0


def test_a_full_disk_is_exit_6_and_the_same_command_goes_on(big: Path, tmp_path: Path) -> None:
    (disk,) = dests(tmp_path, 1)
    command = [sys.executable, "-m", "airgap", "media", "copy", str(big), str(disk)]
    limit = 20_000_000  # the largest file that the process may write: the kernel refuses as a full disk does
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    failed(done, MEDIA, "cannot write")
    assert (disk / f"{big.name}.partial").is_dir()
    copied(big, disk)
    assert checked(disk)[0] == 0


def test_too_small_and_read_only_disks_are_refused_before_anything_is_written(big: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "stick", "8m") as stick:
        failed(here("media", "copy", big, stick), MEDIA, "does not fit", "next:     use 1 x")
        assert not any(stick.iterdir())
        make_read_only(stick)
        failed(here("media", "copy", big, stick), MEDIA, "read-only")


def test_a_damaged_source_is_found_while_it_is_copied(bundle: Path, tmp_path: Path) -> None:
    source = shutil.copytree(bundle, tmp_path / "src" / bundle.name)
    (disk,) = dests(tmp_path, 1)
    flip(source / volume_name(2), 9)
    failed(here("media", "copy", source, disk), DAMAGED, "volume 2 of 6 (volume-0002.tar) is damaged in", "airgap media repair")
    assert not (disk / bundle.name).exists()
    shutil.copy(bundle / volume_name(2), source)
    copied(source, disk)
    (source / volume_name(3)).unlink()
    failed(
        here("media", "copy", source, disk),
        DAMAGED,
        "volume 3 of 6 (volume-0003.tar) is missing",
        "cannot be loaded",
        "airgap media repair",
    )


def test_mistakes_are_told_before_anything_is_written(bundle: Path, tmp_path: Path) -> None:
    (disk,) = dests(tmp_path, 1)
    inside = shutil.copytree(bundle, tmp_path / "b" / bundle.name)
    (inside / "sub").mkdir()
    (tmp_path / "link").symlink_to(disk)
    cases: list[tuple[list[object], str]] = [
        ([disk, disk], "given twice"),
        ([disk, tmp_path / "link"], "given twice"),
        ([tmp_path / "nowhere"], "no such directory"),
        ([inside / "catalog.json"], "not a directory"),
        ([], "no destination is given"),
        ([disk, "--media", "2xdvd"], "does not match the directories"),
        ([disk, "--media", "elephant"], "not a valid disk size"),
    ]
    for arguments, words in cases:
        failed(here("media", "copy", bundle, *arguments), USAGE, words)
    failed(here("media", "copy", inside, inside), USAGE, "inside the bundle")
    failed(here("media", "copy", inside, inside / "sub"), USAGE, "inside the bundle")
    failed(here("media", "copy", inside, inside.parent), USAGE, "the bundle itself")
    assert not any(disk.iterdir())


@pytest.mark.parametrize("kind", ["directory", "file", "link", "other catalog", "fifo inside", "partial of an export"])
def test_what_it_did_not_write_is_never_written_over(bundle: Path, tmp_path: Path, kind: str) -> None:
    (disk,) = dests(tmp_path, 1)
    final = disk / bundle.name
    if kind == "directory":
        shutil.copytree(bundle, final)
    elif kind == "file":
        final.write_text("mine")
    elif kind == "link":
        (tmp_path / "elsewhere").mkdir()
        final.symlink_to(tmp_path / "elsewhere")
    elif kind == "other catalog":
        other = make_bundle(tmp_path / "other", seed="z")
        copied(other, disk)
    elif kind == "fifo inside":
        copied(bundle, disk)
        (final / volume_name(1)).unlink()
        os.mkfifo(final / volume_name(1))
    else:
        (disk / f"{bundle.name}.partial").mkdir()
        (disk / f"{bundle.name}.partial/journal.jsonl").write_text("{}")
    before = tree(disk)
    failed(here("media", "copy", bundle, disk), USAGE, "the target contains something that this command did not write")
    assert tree(disk) == before


def test_other_files_on_the_disk_are_left_alone(bundle: Path, tmp_path: Path) -> None:
    (disk,) = dests(tmp_path, 1)
    (disk / "holiday.jpg").write_bytes(b"x")
    copied(bundle, disk)
    (disk / bundle.name / "note.txt").write_text("seen by Ann")
    copied(bundle, disk)
    assert (disk / "holiday.jpg").read_bytes() == b"x"
    assert (disk / bundle.name / "note.txt").exists()


def test_disks_of_two_spreads_are_not_mixed(bundle: Path, tmp_path: Path) -> None:
    first, second, third = dests(tmp_path, 3)
    copied(bundle, first, second)
    copied(bundle, third)
    failed(here("media", "copy", bundle, first, second, third), USAGE, "some of these disks belong to another spread")
    shutil.rmtree(second / bundle.name)
    facts = copied(bundle, first, second)
    assert [disk["disk"] for disk in facts["disks"]] == ["A", "B"]
    assert checked(first, second)[0] == 0


def test_a_plan_writes_nothing(bundle: Path, tmp_path: Path) -> None:
    disks = dests(tmp_path, 2)
    facts = copied(bundle, *disks, "--plan")
    assert len(facts["disks"]) == 2
    assert not any(path for disk in disks for path in disk.iterdir())
    assert len(copied(bundle, "--media", "3xbd25")["disks"]) == 3
    catalog = catalog_of(bundle)
    done = here("media", "copy", bundle, "--media", "dvd")
    assert f"{len(catalog.files)} files on 1 disk" in done.stdout


def test_plan_names_the_disk_whose_loss_is_too_much_and_the_parity_that_would_do(bundle: Path, tmp_path: Path) -> None:
    disks = dests(tmp_path, 2)
    said = here("media", "copy", bundle, *disks, "--plan").stdout
    assert "2 files, and disk A holds 4 files: a lost disk A cannot be rebuilt: export with --parity 6 to survive that" in said
    assert "any one disk may be lost" in here("media", "copy", bundle, "--media", "4xbd25").stdout
    assert "a lost disk" not in here("media", "copy", bundle, "--media", "1xbd25").stdout


def test_directories_made_for_discs_hold_no_more_than_a_disc(bundle: Path, tmp_path: Path) -> None:
    disks = dests(tmp_path, 2)
    failed(here("media", "copy", bundle, disks[0], "--media", "2MB"), MEDIA, "does not fit")
    copied(bundle, *disks, "--media", "dvd")
    assert checked(*disks)[0] == 0


def test_an_encrypted_bundle_is_copied_and_checked_like_any_other(tmp_path: Path) -> None:
    made = make_bundle(tmp_path, parity=1, recipients=[Reader.make(tmp_path / "site").site])
    disks = dests(tmp_path, 2)
    copied(made, *disks)
    assert checked(*disks)[0] == 0
    assert "6 volumes, 1 parity file, encrypted, " in here("media", "check", *disks).stdout
    flip(next((disks[1] / made.name).glob("volume-*.tar")), 100)
    assert checked(*disks)[0] == DAMAGED
