"""Supplements beside media: small bundles, every way in, and whatever else may lie there in their place."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from airgap.documents.request import ResendRequest
from airgap.exporter.resend import KnownBundle, OriginalBlocks, answer
from airgap.oci.digest import Digest
from airgap.progress import Silent
from tests.support.bundles import catalog_of, flip
from tests.support.cli import DAMAGED, USAGE, failed, here, tree
from tests.support.desks import TOOL, WEB, Made, SiteDesk
from tests.support.drops import Drop, kinds
from tests.support.resending import Wish
from tests.support.serving import Serving

pytestmark = pytest.mark.slow("runs whole exports and imports against real registries")


def supplement(bundle: Path, out: Path, *volumes: int) -> Path:
    """The answer to a request for some volumes (they have one block each)."""
    out.mkdir(exist_ok=True)
    request = ResendRequest.from_bytes(Wish(bundle, out).request({number: [0] for number in volumes}).read_bytes(), "request")
    files = {name: bundle / name for name in request.files}
    known = KnownBundle.read(
        (bundle / "catalog.json").read_bytes(), {path.name: path.read_bytes() for path in bundle.glob("*.sig")}
    )
    return answer(request, known, [(OriginalBlocks(known.catalog, files), list(files))], out, Silent()).path


@pytest.mark.parametrize("lost", [(1,), (2, 3), (1, 2, 3)])
def test_lost_volumes_are_completed_in_any_order_of_the_paths(site: SiteDesk, lost: tuple[int, ...]) -> None:
    found = supplement(site.made.bundle, site.work / "answers", *lost)
    for number in lost:
        site.volume(number).unlink()
    failed(site.verify(), DAMAGED, "incomplete" if len(lost) < 3 else "")
    paths = [found, site.bundle] if lost[0] == 1 else [site.bundle, found]
    policy = site.made.sender.policy
    for command in (["verify", *paths, "--policy", policy], ["media", "check", *paths]):
        done = here(*command)
        assert done.returncode == 0, done.stderr + done.stdout
    fixed = ["--policy", policy, "--state", site.work / "state"]
    done = here("import", *paths, "--to", f"oci:{site.store}", *fixed)
    assert done.returncode == 0, done.stderr
    blobs = {path.name for path in (site.store / "blobs/sha256").iterdir()}
    assert blobs >= {digest.hex for digest in catalog_of(site.made.bundle).blobs}


def test_a_mount_point_with_a_bundle_and_its_supplement_is_one_path(site: SiteDesk) -> None:
    site.volume(2).unlink()
    supplement(site.made.bundle, site.bundle.parent, 2)
    assert here("verify", site.bundle.parent, "--policy", site.made.sender.policy).returncode == 0


def test_partial_takes_what_the_supplement_brings_into_account(site: SiteDesk) -> None:
    for number in (2, 3):
        site.volume(number).unlink()
    second = supplement(site.made.bundle, site.work / "second", 2)
    fixed = [
        "--to",
        f"oci:{site.store}",
        "--policy",
        site.made.sender.policy,
        "--state",
        site.work / "state",
        "--json",
        "--partial",
    ]
    failed(here("import", site.bundle, second, *fixed), DAMAGED, "no image is complete")  # every image is in all three volumes
    third = supplement(site.made.bundle, site.work / "third", 3)
    done = here("import", site.bundle, second, third, *fixed)
    assert done.returncode == 0, done.stderr
    wanted = catalog_of(site.made.bundle).images
    assert [one["source"] for one in json.loads(done.stdout)["names"]] == [str(image.reference) for image in wanted]


def test_a_supplement_counts_only_for_its_own_bundle(site: SiteDesk) -> None:
    other = supplement(site.made.newer, site.work / "answers", 1)
    failed(here("verify", site.bundle, other, "--policy", site.made.sender.policy), USAGE, "several bundles", str(other))


@pytest.mark.parametrize("thing", ["fifo", "directory", "link", "garbage", "empty", "huge"])
def test_anything_else_in_the_place_of_a_supplement_is_damage_and_nothing_hangs(site: SiteDesk, thing: str) -> None:
    found = supplement(site.made.bundle, site.work / "answers", 2)
    site.volume(2).unlink()
    for name in ("supplement.json", "resend-0001.bin"):
        bad = Path(shutil.copytree(found, site.work / f"bad-{name}"))
        (bad / name).unlink()
        if thing == "fifo":
            os.mkfifo(bad / name)
        elif thing == "directory":
            (bad / name).mkdir()
        elif thing == "link":
            (bad / name).symlink_to(found / name)
        elif thing == "huge":
            with (bad / name).open("wb") as file:
                file.truncate(2**40)
        else:
            (bad / name).write_bytes(b"{" if thing == "garbage" else b"")
        failed(here("verify", site.bundle, bad, "--policy", site.made.sender.policy), DAMAGED, hint=False)


def test_an_unfinished_supplement_is_not_one(site: SiteDesk) -> None:
    found = supplement(site.made.bundle, site.work / "answers", 2)
    site.volume(2).unlink()
    partial = found.rename(found.with_name(f"{found.name}.partial"))
    done = here("verify", site.bundle, partial, "--policy", site.made.sender.policy)
    assert done.returncode == 2
    assert "was not finished" in done.stderr


def test_its_checksums_hold_for_stock_tools(made: Made, tmp_path: Path) -> None:
    found = supplement(made.bundle, tmp_path, 2, 3)
    lines = (found / "SHA256SUMS").read_text().splitlines()
    assert {line.split("  ")[1] for line in lines} == {path.name for path in found.iterdir()} - {"SHA256SUMS", "CHECK.txt"}
    assert os.system(f"cd {found} && sha256sum --quiet -c SHA256SUMS") == 0
    assert b"volume-0003.tar  1 of 1 block\r\n" in (found / "CHECK.txt").read_bytes()
    assert {oct(path.stat().st_mode & 0o777) for path in found.iterdir()} == {"0o644"}


def test_watch_waits_for_a_supplement_and_takes_it(drop: Drop, made: Made, tmp_path: Path) -> None:
    place = drop.put_bundle(made.bundle)
    (place / "volume-0002.tar").unlink()
    assert kinds(drop.once(), "imported", "waiting") == [("waiting", "prod-0001")]
    shutil.copytree(supplement(made.bundle, tmp_path / "answers", 2), drop.root / "answer")
    assert kinds(drop.once(), "imported", "waiting") == [("imported", "prod-0001")]
    assert drop.images() == sorted([WEB, TOOL])


def test_watch_tries_a_damaged_bundle_again_when_its_supplement_arrives(drop: Drop, made: Made, tmp_path: Path) -> None:
    place = drop.put_bundle(made.bundle)
    flip(place / "volume-0003.tar", 3000)
    assert kinds(drop.once(code=DAMAGED), "imported", "failed") == [("failed", "prod-0001")]
    shutil.copytree(supplement(made.bundle, tmp_path / "answers", 3), drop.root / "zz-answer")
    assert kinds(drop.once(), "imported", "failed") == [("imported", "prod-0001")]


def test_a_bundle_is_served_with_its_supplement(site: SiteDesk) -> None:
    site.volume(3).unlink()
    found = supplement(site.made.bundle, site.work / "answers", 3)
    before = tree(site.bundle)
    (image,) = (image for image in catalog_of(site.made.bundle).images if str(image.reference) == TOOL)
    with Serving(site.work / "serving", site.bundle, found, "--policy", site.made.sender.policy) as serving:
        manifest = serving.ask(f"/v2/quay.io/tools/tool/manifests/{image.root.digest}").body
        for layer in json.loads(manifest)["layers"]:
            body = serving.ask(f"/v2/quay.io/tools/tool/blobs/{layer['digest']}").body
            assert Digest.of(body) == layer["digest"]
    assert tree(site.bundle) == before


def test_check_counts_the_blocks_of_several_supplements_together(site: SiteDesk) -> None:
    for number in (1, 2, 3):
        site.volume(number).unlink()
    answers = [supplement(site.made.bundle, site.work / "answers", number) for number in (1, 2, 3)]
    assert here("media", "check", site.bundle, *answers[:2]).returncode == DAMAGED
    assert here("media", "check", site.bundle, *answers).returncode == 0
