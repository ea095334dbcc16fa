"""``airgap watch`` as a service: it waits, is stopped and starts again; registries, incremental bundles, hostile directories."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import DAMAGED, USAGE, failed, here, tree
from tests.support.desks import Made
from tests.support.dockerregistry import DockerRegistry
from tests.support.drops import Drop, Service, kinds
from tests.support.hostile import HANG_UP, Hostile
from tests.support.tools import require
from tests.support.versions import Stream, make_stream

pytestmark = pytest.mark.slow("waits for retries, timeouts or a service")


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stream]:
    require("docker-registry")
    work = tmp_path_factory.mktemp("stream")
    with pytest.MonkeyPatch.context() as patch, DockerRegistry(work / "source") as source:
        patch.setenv("HOME", str(work / "home"))
        yield make_stream(work, source, (1, 2))


def test_volumes_that_arrive_while_it_runs_are_imported_and_a_signal_ends_it_in_order(drop: Drop, made: Made) -> None:
    with Service(drop) as service:
        service.until("watching")
        drop.put_papers(made.bundle, "usb1")
        drop.put(made.bundle / "volume-0003.tar", "usb2")
        service.until("waiting", "prod-0001")
        drop.put(made.bundle / "volume-0001.tar", "usb1")
        drop.put(made.bundle / "volume-0002.tar", "usb2")
        service.until("imported", "prod-0001")
        assert service.stop() == 0
    assert service.events[-1]["event"] == "stopped"
    assert drop.result("usb1/prod-0001")["outcome"] == "imported"
    assert len(drop.images()) >= 2


def test_ctrl_c_ends_it_as_well(drop: Drop) -> None:
    with Service(drop) as service:
        service.until("watching")
        assert service.stop(signal.SIGINT) == 0


def test_an_older_bundle_that_is_still_arriving_goes_first(drop: Drop, made: Made) -> None:
    drop.put_papers(made.bundle, "old")
    drop.put_bundle(made.newer)
    with Service(drop) as service:
        assert "prod-0001 comes first and is incomplete" in service.until("waiting", "prod-0002")["message"]
        for number in (1, 2, 3):
            drop.put(made.bundle / f"volume-000{number}.tar", "old")
        service.until("imported", "prod-0002")
    assert kinds(service.events, "imported") == [("imported", "prod-0001"), ("imported", "prod-0002")]


def test_without_patience_a_newer_bundle_does_not_wait_for_an_incomplete_one(drop: Drop, made: Made) -> None:
    drop.put_papers(made.bundle, "old")
    drop.put_bundle(made.newer)
    with Service(drop, "--patience", 0) as service:
        service.until("imported", "prod-0002")


def test_stopped_in_the_middle_of_an_import_it_goes_on_with_it_after_the_next_start(drop: Drop, made: Made) -> None:
    require("docker-registry")
    drop.put_bundle(made.bundle)
    with DockerRegistry(drop.work / "registry") as registry:
        assert registry._process is not None
        registry._process.send_signal(signal.SIGSTOP)  # whoever asks it now waits
        with Service(drop, to=f"docker://{registry.address}/mirror") as service:
            service.until("begun", "prod-0001")
            assert service.stop() == 130
        assert (service.events[-2]["event"], service.events[-2]["bundle"]) == ("stopped", "prod-0001")
        registry._process.send_signal(signal.SIGCONT)
        events = drop.once(to=f"docker://{registry.address}/mirror")
        assert kinds(events, "imported") == [("imported", "prod-0001")]
        assert kinds(drop.once(to=f"docker://{registry.address}/mirror"), "begun") == []


def test_a_registry_that_fails_is_tried_again_and_holds_newer_bundles_back(drop: Drop, made: Made) -> None:
    drop.put_bundle(made.bundle)
    drop.put_bundle(made.newer)
    with Hostile(lambda _: HANG_UP) as gone:
        address = gone.address
    with Service(drop, to=f"docker://{address}/mirror") as service:
        told = service.until("failed", "prod-0001")
        assert "next try in" in told["message"]
        assert "prod-0001 comes first and could not be loaded yet" in service.until("waiting", "prod-0002")["message"]
    assert drop.result("prod-0001")["exit_code"] == 5


def test_one_watch_works_with_a_state(drop: Drop) -> None:
    with Service(drop) as service:
        service.until("watching")
        failed(here(*drop.command("--once")), USAGE, "another airgap watch is using this state")


def test_an_incremental_bundle_waits_for_its_base_whenever_that_comes(
    stream: Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    drop = Drop(tmp_path, stream.sender)
    with DockerRegistry(tmp_path / "registry") as registry:
        to = f"docker://{registry.address}/mirror"
        drop.put_bundle(stream.chain[2], "usb1")
        events = drop.once(to=to, code=DAMAGED)
        assert kinds(events, "waiting", "refused", "imported") == [("waiting", "prod-0002")]
        assert drop.result("usb1/prod-0002")["outcome"] == "waiting"
        assert kinds(drop.once(to=to, code=DAMAGED), "begun", "unchanged") == [("unchanged", "prod-0002")]
        base = stream.chain[1]
        drop.put_papers(base, "usb2")
        told = next(one for one in drop.once(to=to, code=DAMAGED) if one["bundle"] == "prod-0002")
        assert "it builds on prod-0001, which has arrived but has not been imported" in told["message"]
        for volume in base.glob("volume-*.tar"):
            drop.put(volume, "usb2")
        assert kinds(drop.once(to=to), "imported") == [("imported", "prod-0001"), ("imported", "prod-0002")]


def test_a_base_that_came_by_another_way_lets_the_bundle_in(
    stream: Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    drop = Drop(tmp_path, stream.sender)
    with DockerRegistry(tmp_path / "registry") as registry:
        to = f"docker://{registry.address}"
        fixed = ("--to", to, "--policy", stream.sender.policy, "--state", drop.state)
        assert here("import", stream.chain[1], *fixed).returncode == 0
        drop.put_bundle(stream.chain[2])
        assert kinds(drop.once(to=to), "imported") == [("imported", "prod-0002")]


def hostile_directory(root: Path, made: Made) -> None:
    """Everything that somebody could leave there to make a watcher hang, crash or write elsewhere."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "loop").symlink_to(root)
    shutil.copytree(made.newer, root.parent / "elsewhere/prod-0002")
    (root / "way-out").symlink_to(root.parent / "elsewhere")
    for name in ("catalog.json", "volume-0001.tar", "catalog.json.0123456789abcdef.sig", "CHECK.txt"):
        fifo = root / "fifos" / name
        fifo.parent.mkdir(exist_ok=True)
        os.mkfifo(fifo)
        (root / "links").mkdir(exist_ok=True)
        (root / "links" / name).symlink_to("/dev/zero")
        (root / "directories" / name).mkdir(parents=True)
    (root / ("n" * 255)).mkdir()
    (root / ("n" * 255) / "catalog.json").write_bytes(b"{" * 100_000)
    (root / os.fsdecode(b"\xff\x1b[31m\n")).mkdir()
    shutil.copy(made.bundle / "catalog.json", root / os.fsdecode(b"\xff\x1b[31m\n"))
    (root / "empty").mkdir()
    (root / "empty/catalog.json").touch()
    (root / "empty/volume-0001.tar").touch()
    (root / "many").mkdir()
    for number in range(10_001):
        (root / "many" / f"volume-{number:05d}.tar").touch()
    (root / "a/b/c/d/e/f/g").mkdir(parents=True)
    shutil.copytree(made.bundle, root / "export.partial")
    for number in range(40):
        (root / f"bogus-{number}").mkdir()
        (root / f"bogus-{number}/catalog.json").write_text(json.dumps({"schema": "airgap.catalog/1", "stream": f"s{number}"}))
        (root / f"bogus-{number}/catalog.json.0123456789abcdef.sig").write_text("bm9uc2Vuc2U=")


def test_nothing_in_a_hostile_directory_stops_it_from_importing_what_is_right(drop: Drop, made: Made) -> None:
    hostile_directory(drop.root, made)
    drop.put_bundle(made.bundle, "good")
    outside = tree(drop.work / "elsewhere")
    with Service(drop) as service:
        service.until("imported", "prod-0001")
        assert service.stop() in (0, 130)  # it may be refusing what nobody vouches for
    assert tree(drop.work / "elsewhere") == outside
    events = [event for event in service.events if "event" in event]  # who was interrupted ends with the error
    messages = [event["message"] for event in events]
    assert all("\x1b" not in message for message in messages)
    assert any("too many files" in message for message in messages)
    assert any("not a regular file" in message for message in messages)
    assert kinds(events, "imported") == [("imported", "prod-0001")]


def test_a_medium_that_is_pulled_and_comes_back_is_looked_at_again(drop: Drop, made: Made) -> None:
    drop.put_papers(made.bundle, "usb")
    drop.put(made.bundle / "volume-0001.tar", "usb")
    with Service(drop) as service:
        service.until("waiting", "prod-0001")
        (drop.root / "usb").rename(drop.work / "pocket")
        for number in (2, 3):
            shutil.copy(made.bundle / f"volume-000{number}.tar", drop.work / "pocket")
        (drop.work / "pocket").rename(drop.root / "usb")
        service.until("imported", "prod-0001")
