"""``airgap watch --once``: what arrives in any order is imported when it is complete, and it is said what became of it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from pathlib import Path

import pytest

from tests.support.bundles import Sender, flip
from tests.support.cli import DAMAGED, REFUSED, USAGE, failed, here
from tests.support.desks import TOOL, VOLUME_SIZE, WEB, Made
from tests.support.drops import Drop, kinds
from tests.support.mounts import make_read_only, small_disk

pytestmark = pytest.mark.slow("waits for retries, timeouts or a service")


def volume(bundle: Path, number: int) -> Path:
    return bundle / f"volume-{number:04d}.tar"


@pytest.mark.smoke("watch")
@pytest.mark.parametrize("order", ["0123", "3210", "2031", "1302"])
def test_parts_arrive_in_any_order_in_two_folders(drop: Drop, made: Made, order: str) -> None:
    for step, part in enumerate(order):
        assert drop.images() == []
        folder = f"medium-{step % 2}"
        if part == "0":
            drop.put_papers(made.bundle, folder)
        else:
            drop.put(volume(made.bundle, int(part)), folder)
        events = drop.once()
    assert kinds(events, "imported", "refused", "failed") == [("imported", "prod-0001")]
    assert drop.images() == sorted([WEB, TOOL])
    assert drop.history() == ["import prod-1"]


def test_an_incomplete_bundle_waits_and_says_what_is_missing_and_what_that_costs(drop: Drop, made: Made) -> None:
    drop.put_papers(made.bundle, "usb")
    drop.put(volume(made.bundle, 2), "usb")
    (told,) = (event for event in drop.once() if event["event"] == "waiting")
    for text in ("volume 1 of 3 (volume-0001.tar) is missing", "volume 3 of 3 (volume-0003.tar) is missing", WEB, TOOL):
        assert text in told["waits_for"]
    assert drop.result("usb/prod-0001")["waits_for"] == told["waits_for"]
    assert "volume-0003.tar" in (drop.root / "usb/prod-0001.result.txt").read_text()
    assert drop.images() == []


def test_a_volume_of_another_size_is_not_taken_for_whole(drop: Drop, made: Made) -> None:
    place = drop.put_bundle(made.bundle)
    os.truncate(volume(place, 3), 512)
    (told,) = (event for event in drop.once() if event["event"] == "waiting")
    assert "volume-0003.tar) is truncated" in told["waits_for"]


def test_a_damaged_volume_is_refused_once_and_taken_after_it_was_replaced(drop: Drop, made: Made) -> None:
    place = drop.put_bundle(made.bundle)
    flip(volume(place, 2), 20_000)
    assert kinds(drop.once(code=DAMAGED), "begun", "failed") == [("begun", "prod-0001"), ("failed", "prod-0001")]
    facts = drop.result("prod-0001")
    assert (facts["outcome"], facts["exit_code"], facts["serial"]) == ("failed", DAMAGED, 1)
    assert facts["error"]
    assert kinds(drop.once(code=DAMAGED), "begun", "unchanged") == [("unchanged", "prod-0001")]
    shutil.copy(volume(made.bundle, 2), place)
    assert kinds(drop.once(), "begun", "imported") == [("begun", "prod-0001"), ("imported", "prod-0001")]
    facts = drop.result("prod-0001")
    assert (facts["outcome"], "error" in facts, {one["source"] for one in facts["names"]}) == ("imported", False, {WEB, TOOL})


def test_started_again_it_does_nothing_twice(drop: Drop, made: Made) -> None:
    drop.put_bundle(made.bundle)
    drop.once()
    written = (drop.root / "prod-0001.result.json").stat()
    assert kinds(drop.once(), "begun", "imported", "waiting") == []
    assert (drop.root / "prod-0001.result.json").stat().st_mtime_ns == written.st_mtime_ns
    assert drop.history() == ["import prod-1"]


def test_another_target_is_another_purpose(drop: Drop, made: Made) -> None:
    drop.put_bundle(made.bundle)
    drop.once()
    assert kinds(drop.once(to=f"oci:{drop.work / 'other'}"), "imported") == [("imported", "prod-0001")]


def test_a_broken_memory_of_attempts_is_begun_anew_and_costs_only_a_look(drop: Drop, made: Made) -> None:
    drop.put_bundle(made.bundle)
    drop.once()
    (drop.state / "watch.json").write_text('{"schema": "airgap.watch/1", "catalogs": 7}')
    events = drop.once()
    assert "bundles are examined again" in events[0]["message"]
    assert [event["already_there"] for event in events if event["event"] == "imported"] == [True]


def test_serials_go_in_order_whatever_the_folders_are_called(drop: Drop, made: Made) -> None:
    shutil.copytree(made.newer, drop.root / "a")
    shutil.copytree(made.bundle, drop.root / "b")
    assert kinds(drop.once(), "imported") == [("imported", "prod-0001"), ("imported", "prod-0002")]


def test_an_older_bundle_than_the_one_taken_is_refused_beside_it(drop: Drop, made: Made) -> None:
    drop.put_bundle(made.newer)
    drop.once()
    drop.put_bundle(made.bundle)
    assert kinds(drop.once(code=REFUSED), "refused") == [("refused", "prod-0001")]
    told = drop.result("prod-0001")
    assert "is older than the newest one imported here" in told["error"]
    assert drop.result("prod-0002")["outcome"] == "imported"
    (command,) = [line.strip() for line in told["next"].splitlines() if line.startswith("  airgap ")]
    assert command in (drop.root / "prod-0001.result.txt").read_text()
    done = here(*shlex.split(command)[1:])
    assert done.returncode == 0, done.stderr


def test_streams_do_not_wait_for_each_other(drop: Drop, made: Made, tmp_path: Path) -> None:
    other = made.sender.bundle(made.origin, made.references[:1], tmp_path / "usb", stream="lab", serial=7, volume_size=VOLUME_SIZE)
    drop.put_papers(made.bundle, "one")
    drop.put_papers(other, "two")
    for number in (1, 2, 3):
        drop.put(volume(other, number), "volumes")
    events = drop.once()
    assert kinds(events, "imported", "waiting") == [("imported", "lab-0007"), ("waiting", "prod-0001")]
    assert drop.result("two/lab-0007")["stream"] == "lab"


def test_a_volume_is_known_by_its_content_and_not_by_its_name(drop: Drop, made: Made) -> None:
    drop.put_papers(made.bundle, "one")
    for number, folder in ((1, "two"), (2, "three"), (3, "two")):
        drop.put(volume(made.bundle, number), folder)
    flip(drop.root / "three/volume-0002.tar", 20_000)
    events = drop.once()
    assert any(f"{drop.root / 'three'}: their content matches no catalog that is waiting" in event["message"] for event in events)
    assert "volume 2 of 3 (volume-0002.tar) is missing" in next(one for one in events if one["event"] == "waiting")["waits_for"]


def test_what_nobody_trusted_vouches_for_is_refused_unread_until_the_policy_changes(drop: Drop, made: Made, tmp_path: Path) -> None:
    stranger = Sender.make(tmp_path / "stranger")
    place = drop.put_bundle(made.bundle)
    stranger.sign(place, b'{"schema": "not even a catalog"}')
    for signature in place.glob("*.sig"):
        if signature.name in {path.name for path in made.bundle.glob("*.sig")}:
            signature.unlink()
    policy = Path(shutil.copy(made.sender.policy, tmp_path / "policy.json"))
    events = drop.once(code=REFUSED, policy=policy)
    ((_, name),) = kinds(events, "refused")
    assert name.startswith("untrusted-")
    assert drop.result(f"prod-0001/{name}")["exit_code"] == REFUSED
    assert kinds(drop.once(code=REFUSED, policy=policy), "begun") == []
    shutil.copy(stranger.policy, policy)
    assert kinds(drop.once(code=DAMAGED, policy=policy), "failed") == [("failed", name)]


def test_a_catalog_waits_for_its_signature(drop: Drop, made: Made) -> None:
    place = drop.put_bundle(made.bundle)
    (signature,) = place.glob("*.sig")
    signature.unlink()
    (told,) = (event for event in drop.once(code=REFUSED) if event["event"] == "waiting")
    assert told["message"] == "no signature has arrived yet"
    shutil.copy(made.bundle / signature.name, place)
    assert kinds(drop.once(), "imported") == [("imported", "prod-0001")]
    assert drop.history() == ["import prod-1"]


def test_results_go_to_the_directory_that_was_named(drop: Drop, made: Made) -> None:
    drop.put_bundle(made.bundle)
    results = drop.work / "results"
    drop.once("--results", results)
    assert json.loads((results / "prod-0001.result.json").read_bytes())["outcome"] == "imported"
    assert [path.name for path in drop.root.iterdir()] == ["prod-0001"]


def test_a_read_only_medium_is_not_written_to(drop: Drop, made: Made) -> None:
    with small_disk(drop.root / "usb") as medium:
        drop.put_bundle(made.bundle, "usb")
        make_read_only(medium)
        (told,) = (event for event in drop.once() if event["event"] == "imported")
        assert told["result_file"] == str(drop.state / "results/prod-0001.result.json")
        assert [path.name for path in medium.iterdir()] == ["prod-0001"]


def test_a_link_in_the_place_of_a_result_is_replaced_and_not_followed(drop: Drop, made: Made) -> None:
    drop.put_bundle(made.bundle)
    precious = drop.work / "precious"
    precious.write_text("mine")
    (drop.root / "prod-0001.result.json").symlink_to(precious)
    drop.once()
    assert precious.read_text() == "mine"
    assert drop.result("prod-0001")["outcome"] == "imported"


def test_mistakes_on_the_command_line_are_said_before_anything_is_done(drop: Drop, made: Made) -> None:
    archive = drop.command("--once", to=f"oci-archive:{drop.work / 'a.tar'}")
    failed(here(*archive), USAGE, "only one bundle")
    failed(here(*drop.command("--once", policy=drop.work / "none.json")), USAGE, "cannot read the policy")
    done = here(*drop.command("--once"))
    assert (done.returncode, "cannot read the drop directory" in done.stderr) == (USAGE, True)
