"""`airgap media check`: every way in which media go wrong is found and named, nothing hangs, and no key is asked for."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from airgap.format.names import volume_name
from airgap.media.check import CheckReport, CopyFinding, FileState
from airgap.media.survey import survey
from airgap.media.words import trouble
from tests.support.bundles import Sender, catalog_of, flip
from tests.support.cli import DAMAGED, MEDIA, USAGE, failed, here, tree
from tests.support.mediaset import checked, deal, make_bundle, said


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The next bundle of the stream, with other images."""
    return make_bundle(tmp_path_factory.mktemp("other"), serial=2, seed="b")


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "stick" / made.name)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_a_good_set_is_good_in_any_order_read_only_and_untouched(made: Path, tmp_path: Path, count: int) -> None:
    homes = deal(made, [tmp_path / f"m{n}" for n in range(count)])
    for home in homes:
        home.chmod(0o500)
    before = tree(tmp_path)
    for paths in (homes, homes[::-1], [home.parent for home in homes]):
        code, facts = checked(*paths)
        assert (code, facts["result"]) == (0, "good")
        assert facts["bundles"][0]["complete"] is True
    assert tree(tmp_path) == before
    for home in homes:
        home.chmod(0o700)


def test_a_lost_disk_is_named_by_its_volumes_and_by_the_images_it_costs(made: Path, tmp_path: Path) -> None:
    homes = deal(made, [tmp_path / "a", tmp_path / "b"])
    code, facts = checked(homes[0])
    lost = {file["name"] for file in facts["bundles"][0]["files"] if file["state"] == "missing"}
    assert (code, facts["result"]) == (DAMAGED, "incomplete")
    assert lost == {path.name for path in homes[1].glob("volume-*.tar")}
    assert facts["bundles"][0]["lost_images"] == ["docker.io/shop/web:1", "docker.io/shop/db:2"]
    assert "--subset" in said(homes[0])


def test_a_subset_that_is_good_is_good_when_one_says_so(made: Path, tmp_path: Path) -> None:
    homes = deal(made, [tmp_path / "a", tmp_path / "b"])
    code, facts = checked("--subset", homes[0])
    assert (code, facts["result"], facts["bundles"][0]["complete"]) == (0, "good", False)
    flip(homes[0] / volume_name(1), 700)
    assert checked("--subset", homes[0])[0] == DAMAGED


def test_images_whose_volumes_are_whole_are_not_counted_as_lost(bundle: Path) -> None:
    catalog = catalog_of(bundle)
    first, second = catalog.images
    number = (set(second.volumes) - set(first.volumes)).pop()
    (bundle / volume_name(number)).unlink()
    assert checked(bundle)[1]["bundles"][0]["lost_images"] == [str(second.reference)]


def extended(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def linked(path: Path) -> None:
    path.rename(path.parent.parent / "moved.tar")
    path.symlink_to(path.parent.parent / "moved.tar")


def as_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def as_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda path: flip(path, 6000), "is damaged in its only block"),
        (lambda path: os.truncate(path, 5000), "is truncated: 5,000 of"),
        (lambda path: os.truncate(path, 0), "is truncated: 0 of"),
        (extended, "is too long"),
        (linked, "is a symbolic link instead of a file"),
        (as_fifo, "is a FIFO instead of a file"),
        (as_directory, "is a directory instead of a file"),
    ],
)
def test_every_kind_of_damage_is_named_with_its_volume_and_its_disk(
    bundle: Path, change: Callable[[Path], object], words: str
) -> None:
    change(bundle / volume_name(3))
    text = said(bundle)
    total = len(catalog_of(bundle).volumes)
    assert f"volume 3 of {total} (volume-0003.tar) {words}" in text
    assert f"take {bundle} back" in text
    code, facts = checked(bundle)
    assert code == DAMAGED
    assert facts["bundles"][0]["lost_images"]


def test_a_volume_that_is_there_twice_is_fine(made: Path, bundle: Path) -> None:
    assert checked(made, bundle)[0] == 0
    assert checked(bundle, bundle, bundle.parent)[0] == 0


def test_when_one_of_two_copies_is_bad_the_good_one_is_named_and_nothing_is_lost(made: Path, bundle: Path) -> None:
    flip(bundle / volume_name(2), 99)
    code, facts = checked(made, bundle)
    (report,) = facts["bundles"]
    assert (code, report["complete"], report["lost_images"]) == (DAMAGED, True, [])
    assert [copy["good"] for copy in report["files"][1]["copies"]] == [True, False]
    assert f"take {bundle} back; the one on {made} is good" in said(made, bundle)


def test_another_bundles_volume_in_place_of_ours_is_recognised_by_that_bundles_catalog(bundle: Path, other: Path) -> None:
    shutil.copy(other / volume_name(2), bundle / volume_name(2))
    text = said(bundle, other)
    assert "is a different file: it is volume 2 of 6 (volume-0002.tar) of another bundle, prod-0002" in text


@pytest.mark.parametrize("number", [1, 2])
def test_another_bundles_volume_is_recognised_by_its_first_header_when_that_bundle_is_not_at_hand(
    bundle: Path, tmp_path: Path, number: int
) -> None:
    stranger = make_bundle(tmp_path / "far", seed="longer-name", layers=4)
    shutil.copy(stranger / volume_name(number), bundle / volume_name(number))
    assert "of another bundle" in said(bundle)


def test_volumes_of_one_bundle_that_were_swapped_are_recognised(bundle: Path) -> None:
    two, three = (bundle / volume_name(n) for n in (2, 3))
    content = two.read_bytes()
    shutil.copy(three, two)
    three.write_bytes(content)
    text = said(bundle)
    assert "volume 2 of 6 (volume-0002.tar) is a different file: it is volume 3 of 6 (volume-0003.tar) of this bundle" in text


def test_two_bundles_on_the_same_disks_are_two_reports(bundle: Path, other: Path) -> None:
    shutil.copytree(other, bundle.parent / other.name)
    code, facts = checked(bundle.parent)
    assert (code, [one["bundle"] for one in facts["bundles"]]) == (0, ["prod-0001", "prod-0002"])
    flip(bundle.parent / other.name / volume_name(1), 5)
    code, facts = checked(bundle.parent)
    assert (code, [one["result"] for one in facts["bundles"]]) == (DAMAGED, ["good", "damaged"])


def test_a_volume_that_the_catalog_does_not_list_is_foreign(bundle: Path) -> None:
    (bundle / volume_name(99)).write_bytes(b"x")
    assert checked(bundle)[0] == DAMAGED
    assert "FOREIGN      volume-0099.tar" in said(bundle)


@pytest.mark.parametrize("name", ["SHA256SUMS", "CHECK.txt", "check.sh", "check.ps1", "check.cmd"])
def test_a_companion_that_was_edited_is_named(bundle: Path, name: str) -> None:
    path = bundle / name
    path.write_bytes(path.read_bytes() + b"rm -rf /\n")
    assert checked(bundle)[1]["bundles"][0]["media"][0]["contradicting"] == [name]
    path.unlink()
    assert checked(bundle)[0] == 0
    os.mkfifo(path)
    assert checked(bundle)[0] == DAMAGED


def test_a_disk_without_a_catalog_is_checked_against_that_of_the_others(made: Path, bundle: Path) -> None:
    (bundle / "catalog.json").unlink()
    code, facts = checked(made, bundle)
    assert code == 0
    assert facts["bundles"][0]["media"][1]["notes"] == ["no catalog.json here"]
    failed(here("media", "check", bundle), DAMAGED, "no catalog to check against")


def test_a_changed_catalog_on_one_disk_is_told_from_the_right_ones(made: Path, bundle: Path) -> None:
    raw = (bundle / "catalog.json").read_bytes()
    (bundle / "catalog.json").write_bytes(raw.replace(b'"created":"2026', b'"created":"2025'))
    for paths in ((made, bundle), (bundle, made)):
        code, facts = checked(*paths)
        problems = {medium["path"]: medium["problems"] for medium in facts["bundles"][0]["media"]}
        assert code == DAMAGED
        assert problems[str(made)] == []
        assert "one of them was changed" in problems[str(bundle)][0]
    flip(bundle / "catalog.json", 0)
    assert checked(made, bundle)[0] == DAMAGED


def test_hostile_catalogs_end_in_words(bundle: Path) -> None:
    (bundle / "catalog.json").unlink()
    os.mkfifo(bundle / "catalog.json")
    failed(here("media", "check", bundle), DAMAGED, "no catalog to check against")


def test_paths_without_a_bundle_are_mistakes(tmp_path: Path) -> None:
    failed(here("media", "check", tmp_path), USAGE, "no bundle here")
    failed(here("media", "check", tmp_path / "nowhere"), USAGE, "no such directory")
    failed(here("media", "check", tmp_path, "--key", "k"), USAGE, "nothing to sign")


def test_the_same_check_in_json_says_what_can_be_done(bundle: Path) -> None:
    flip(bundle / volume_name(1), 1)
    report = checked(bundle)[1]["bundles"][0]
    assert report["repair"] == "resend"
    assert report["files"][0]["lost_blocks"] == [0]
    assert report["files"][0]["copies"][0]["trouble"] == "is damaged in its only block"


def test_a_file_of_which_nothing_can_be_read_is_exit_6(bundle: Path) -> None:
    one = survey([bundle])
    copy = one.of(one.files[0])[0]
    nothing = CopyFinding(copy, (0,), (0,))
    report = CheckReport(one, (FileState(one.files[0], one.title(one.files[0]), "", False, (nothing,)),), (), subset=False)
    assert (report.result, report.exit_code) == ("unreadable", MEDIA)
    assert "cannot be read in its only block" in trouble(nothing)


def test_a_result_file_says_who_checked_what_and_is_signed(made: Path, tmp_path: Path) -> None:
    sender = Sender.make(tmp_path / "courier")
    out = tmp_path / "check.json"
    for _ in range(2):
        done = here("media", "check", made, "--result", out, "--by", "Ann", "--key", sender.key)
        assert done.returncode == 0, done.stderr
    document = json.loads(out.read_bytes())
    assert (document["schema"], document["by"], document["result"]) == ("airgap.check/1", "Ann", "good")
    (signature,) = tmp_path.glob("check.json.*.sig")
    (tmp_path / "sig").write_bytes(base64.b64decode(signature.read_bytes()))
    public = sender.root / "sender.pub"
    command = ["openssl", "dgst", "-sha256", "-verify", public, "-signature", tmp_path / "sig", out]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with one parity file."""
    return make_bundle(tmp_path_factory.mktemp("guarded"), parity=1)


def test_what_parity_can_heal_is_said_with_the_command_that_does_it(guarded: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(guarded, tmp_path / guarded.name)
    (bundle / volume_name(2)).unlink()
    assert checked(bundle)[1]["bundles"][0]["repair"] == "parity"
    assert "airgap media repair" in said(bundle)
    flip(bundle / volume_name(4), 9)
    assert checked(bundle)[1]["bundles"][0]["repair"] == "resend"
    assert "resend request" in said(bundle)


def test_a_lost_parity_file_costs_no_image_but_the_set_is_not_complete(guarded: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(guarded, tmp_path / guarded.name)
    (bundle / "parity-0001.bin").unlink()
    code, facts = checked(bundle)
    assert (code, facts["bundles"][0]["complete"], facts["bundles"][0]["lost_images"]) == (DAMAGED, True, [])
    assert "parity file 1 of 1 (parity-0001.bin) is on none of these disks" in said(bundle)


def test_verify_names_a_damaged_parity_file(guarded: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(guarded, tmp_path / guarded.name)
    policy = guarded.parent.parent / "sender/policy.json"
    assert here("verify", bundle, "--policy", policy).returncode == 0
    flip(bundle / "parity-0001.bin", 9)
    says = "parity file 1 of 1 (parity-0001.bin) is damaged in its only block", "no image needs these files"
    failed(here("verify", bundle, "--policy", policy), DAMAGED, *says)


def test_two_copies_damaged_in_different_blocks_have_everything_together(bundle: Path, made: Path, tmp_path: Path) -> None:
    other = shutil.copytree(made, tmp_path / "second" / made.name)
    flip(bundle / volume_name(2), 1)
    flip(other / volume_name(3), 1)
    code, facts = checked(bundle, other)
    assert (code, facts["bundles"][0]["complete"], facts["bundles"][0]["repair"]) == (DAMAGED, True, "")


def test_the_media_of_a_check_are_only_read_with_the_standard_library() -> None:
    program = (
        "import sys, airgap.media.check, airgap.media.words\n"
        "foreign = {'cryptography', 'requests', 'typer', 'zfec', 'backports'}\n"
        "print(sorted(foreign & {name.partition('.')[0] for name in sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"
