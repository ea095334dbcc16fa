"""An export killed by SIGKILL anywhere: the same command finishes it, fetches nothing twice, and seals the very same bytes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from airgap.layout import LayoutStore
from airgap.oci import media
from airgap.oci.digest import Digest
from tests.support import images
from tests.support.crash import Crasher, Ended, crasher
from tests.support.dockerregistry import DockerRegistry
from tests.support.gateway import Gateway
from tests.support.platform import publish_platform
from tests.support.site import CREATED
from tests.support.tools import require

pytestmark = pytest.mark.slow("kills and repeats whole runs")

MIB = 1024 * 1024
NAME = "prod-0001"


@dataclass(frozen=True)
class World:
    """A source behind a counting gateway, and the bundle that an undisturbed export makes of it."""

    crasher: Crasher
    gateway: Gateway
    listed: Path
    lock: Path
    keys: tuple[Path, Path]
    whole: dict[str, bytes]
    sizes: dict[str, int]
    big: str
    points: tuple[str, ...]

    def arguments(self, out: Path, *options: object, wanted: Path | None = None) -> list[object]:
        """The command line of an export of the lock into ``out`` with a state of its own, without serial and time."""
        keys = [option for key in self.keys for option in ("--key", key)]
        fixed = ["--stream", "prod", "--volume-size", "1MiB", "--state", f"{out}-state"]
        return ["export", wanted or self.lock, "--out", out, *fixed, *keys, *options]

    def fetched(self) -> dict[str, list[str | None]]:
        """The Range of every GET since the log was emptied, by the digest that was asked for."""
        found: dict[str, list[str | None]] = {}
        for request in list(self.gateway.requests):
            if request.method == "GET" and "/sha256:" in request.path:
                found.setdefault(request.path.rpartition("/")[2], []).append(request.headers.get("Range"))
        return found

    def finished(self, partial: Path) -> set[str]:
        """The digests that the journal of an unfinished bundle says are whole; all when only the rename is missing."""
        if (partial / "CHECK.txt").exists():
            return set(self.sizes)
        journal = partial / "journal.jsonl"
        lines = journal.read_bytes().split(b"\n")[1:] if journal.exists() else []
        return {digest for digest, count in filter(None, map(_pair, lines)) if count == self.sizes[digest]}

    def finish(self, out: Path, *options: object, wanted: Path | None = None) -> Ended:
        """Run the same command again: it must end well and leave the sealed bundle and nothing else."""
        self.gateway.requests.clear()
        done = self.crasher.run(*self.arguments(out, *options, wanted=wanted))
        assert done.returncode == 0, done.stderr
        assert [path.name for path in out.iterdir()] == [NAME]
        return done


def _pair(line: bytes) -> tuple[str, int] | None:
    try:
        digest, count = json.loads(line)
    except ValueError:
        return None
    return digest, count


def tree(directory: Path) -> dict[str, bytes]:
    """Every file below a directory."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


FIXED = ("--serial", 1, "--created", CREATED)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    require("docker-registry")
    with make_world(tmp_path_factory.mktemp("kill-export")) as made:
        yield made


@contextlib.contextmanager
def make_world(work: Path) -> Iterator[World]:
    """Publish everything and export it once, undisturbed. scripts/crash-points uses it too."""
    keys = work / "one/airgap.key", work / "two/airgap.key"
    with DockerRegistry(work / "source") as registry, Gateway(registry.address) as gateway, crasher(work / "home") as driver:
        published = publish_platform(registry.address, work / "build")
        big = images.content(images.seeded("big", 3 * MIB + 7), media.OCI_LAYER_GZIP)
        with LayoutStore(work / "big") as layout:
            images.publish(layout, "origin.example/big:1", images.image([images.layer("small"), big]))
            layout.commit()
            images.push_layout_to_registry(layout, registry.address)
        listed, lock = work / "images.txt", work / "images.lock"
        web, _, single, *_ = published.references
        references = [web, single, f"{registry.address}/big:1"]
        listed.write_text("".join(f"{reference.replace(registry.address, gateway.address)}\n" for reference in references))
        for key in keys:
            driver.run("keys", "generate", "--no-passphrase", "--out", key.parent)
        driver.run("resolve", listed, "--lock", lock)
        world = World(driver, gateway, listed, lock, keys, {}, {}, str(big.descriptor.digest), ())
        world.finish(work / "out", *FIXED)
        learned = driver.crash("", *world.arguments(work / "learn", *FIXED))
        whole = tree(work / "out" / NAME)
        blobs = json.loads(whole["catalog.json"])["blobs"]
        sizes = {digest: blob["size"] for digest, blob in blobs.items()}
        yield replace(world, whole=whole, sizes=sizes, points=learned.points)


def killed(
    world: World, at: str | int, out: Path, *options: object, note_every: int | None = None, wanted: Path | None = None
) -> set[str]:
    """Let an export die; the digests that must not be fetched again."""
    ended = world.crasher.crash(at, *world.arguments(out, *options, wanted=wanted), note_every=note_every)
    assert ended.killed, f"{at} was not reached: {ended}"
    if (out / NAME).exists():
        assert tree(out / NAME).keys() == world.whole.keys()
        return set(world.sizes)
    return world.finished(out / f"{NAME}.partial")


def kill_and_finish(world: World, at: str | int, out: Path, *options: object) -> set[str]:
    """The promise: the same command again seals the same bytes and fetches no finished blob. What was finished before."""
    finished = killed(world, at, out, *FIXED, *options)
    world.finish(out, *FIXED, *options)
    assert tree(out / NAME) == world.whole
    assert not world.fetched().keys() & finished
    return finished


#: What is left to do when the last blob is there: each step of the sealing, and where it can be seen, what lies between.
SEALING = [
    "before record_sealing #1",
    "before rename catalog.json #1",
    "after rename catalog.json #1",
    "before rename signature #1",
    "after rename signature #1",
    "after rename signature #2",
    "before rename CHECK.txt #1",
    "after rename CHECK.txt #1",
    "after remove lock.json #1",
    "after remove journal.jsonl #2",
    "after rename prod-0001 #1",
    "after history #2",
]
#: Where to die while the bundle is being filled.
FILLING = [
    "before make directory #1",
    "before rename lock.json #1",
    "after rename journal.jsonl #1",
    "after write volume-0001.tar #1",
    "inside note #2",
    "inside write volume-0002.tar #2",
    "after write volume-0003.tar #1",
]


@pytest.mark.parametrize("at", [*FILLING, *SEALING])
def test_killed_and_run_again_seals_the_same_bytes_and_fetches_no_finished_blob(world: World, tmp_path: Path, at: str) -> None:
    out = tmp_path / "out"
    finished = kill_and_finish(world, at, out)
    assert finished == set(world.sizes) or at not in SEALING


@pytest.mark.parametrize("part", range(1, 4))
def test_export_killed_anywhere_while_blobs_are_written(world: World, tmp_path: Path, part: int) -> None:
    out = tmp_path / "out"
    first = world.points.index("after note #1")  # what is before is the frame
    filling = [number for number, point in enumerate(world.points[first:], first + 1) if " volume-" in point or " note" in point]
    kill_and_finish(world, filling[len(filling) * part // 5], out, "--threads", part)


@pytest.mark.parametrize("at", ["inside note #30", "after rename CHECK.txt #1", "after rename prod-0001 #1"])
def test_without_a_serial_and_a_time_those_of_the_killed_run_are_kept(world: World, tmp_path: Path, at: str) -> None:
    out = tmp_path / "out"
    killed(world, at, out, wanted=world.listed)
    began = time.time()
    while int(time.time()) == int(began):  # so that a new run has another time
        time.sleep(0.05)
    world.finish(out, wanted=world.listed)
    created = json.loads((out / NAME / "catalog.json").read_bytes())["created"]
    undisturbed = tmp_path / "undisturbed"
    world.finish(undisturbed, "--serial", 1, "--created", created)
    assert tree(out / NAME) == tree(undisturbed / NAME)
    assert created <= time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began))


def test_a_bundle_sealed_by_a_killed_run_does_not_stop_the_next_one_of_other_content(world: World, tmp_path: Path) -> None:
    out = tmp_path / "out"
    killed(world, "after rename prod-0001 #1", out)
    other = tmp_path / "other.txt"
    other.write_text(world.listed.read_text().splitlines()[1] + "\n")
    done = world.crasher.run(*world.arguments(out, wanted=other))
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in out.iterdir()) == [NAME, "prod-0002"]
    first = (out / NAME / "catalog.json").read_bytes()
    assert json.loads((out / "prod-0002/catalog.json").read_bytes())["previous"] == Digest.of(first)


def test_killed_in_the_middle_of_a_long_blob_only_the_rest_is_asked_for(world: World, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = (*FIXED, "--threads", 1)
    points = world.crasher.crash("", *world.arguments(tmp_path / "learn", *options), note_every=MIB).points
    notes = [point for point in points if point.startswith("after note")]
    killed(world, notes[-2], out, *options, note_every=MIB)
    assert world.big not in world.finished(out / f"{NAME}.partial")
    world.finish(out, *options)
    assert tree(out / NAME) == world.whole
    asked = world.fetched()[world.big]
    assert len(asked) == 1
    first, last = (asked[0] or "").removeprefix("bytes=").split("-")
    assert int(first) >= 2 * MIB
    assert int(last) == world.sizes[world.big] - 1


def test_killed_again_and_again_it_still_comes_to_the_same_end(world: World, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for at in ("inside note #3", "before note #9", "after rename catalog.json #1", "after rename signature #1"):
        killed(world, at, out, *FIXED)
    world.finish(out, *FIXED)
    assert tree(out / NAME) == world.whole


# what the journal says may be wrong


def _flip_in_a_finished_blob(world: World, partial: Path) -> None:
    blobs = json.loads(world.whole["catalog.json"])["blobs"]
    for digest in sorted(world.finished(partial)):
        volume, offset, length = blobs[digest]["extents"][0]
        path = partial / f"volume-{volume:04d}.tar"
        data = bytearray(path.read_bytes())
        data[offset + length // 2] ^= 1
        path.write_bytes(data)


def _flip_everywhere(world: World, partial: Path) -> None:
    for path in partial.glob("volume-*.tar"):
        path.write_bytes(bytes(byte ^ 0x55 for byte in path.read_bytes()))


def _truncate_a_volume(world: World, partial: Path) -> None:
    os.truncate(partial / "volume-0001.tar", 5000)


def _lengthen_a_volume(world: World, partial: Path) -> None:
    with (partial / "volume-0002.tar").open("ab") as volume:
        volume.write(bytes(3 * MIB))


def _lose_a_volume(world: World, partial: Path) -> None:
    (partial / "volume-0001.tar").unlink()


def _tear_the_last_line(world: World, partial: Path) -> None:
    journal = partial / "journal.jsonl"
    os.truncate(journal, journal.stat().st_size - 5)


def _claim_everything(world: World, partial: Path) -> None:
    with (partial / "journal.jsonl").open("a") as journal:
        journal.writelines(json.dumps([digest, size]) + "\n" for digest, size in world.sizes.items())


def _claim_more_than_there_is(world: World, partial: Path) -> None:
    with (partial / "journal.jsonl").open("a") as journal:
        journal.writelines(json.dumps([digest, size * 2]) + "\n" for digest, size in world.sizes.items())


def _claim_a_wrong_beginning(world: World, partial: Path) -> None:
    with (partial / "journal.jsonl").open("a") as journal:
        journal.write(json.dumps([world.big, 2 * MIB]) + "\n")
    _flip_everywhere(world, partial)


def _garbage(world: World, partial: Path) -> None:
    lines = [b"5", b"null", b"{}", b"[1]", b'["x",null]', b'["%s",-7]' % world.big.encode(), b"[" * 100_000, b'["x",1e999]']
    with (partial / "journal.jsonl").open("ab") as journal:
        journal.write(b"\n".join([*lines, b'["%s",true]' % world.big.encode(), b"\xff\x00\xfe", b"[[],3]", b'["x"', b""]))


DAMAGE: list[Callable[[World, Path], None]] = [
    _flip_in_a_finished_blob,
    _flip_everywhere,
    _truncate_a_volume,
    _lengthen_a_volume,
    _lose_a_volume,
    _tear_the_last_line,
    _claim_everything,
    _claim_more_than_there_is,
    _claim_a_wrong_beginning,
    _garbage,
]


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__.strip("_"))
def test_what_was_damaged_after_the_kill_is_noticed_and_made_good(
    world: World, tmp_path: Path, damage: Callable[[World, Path], None]
) -> None:
    out = tmp_path / "out"
    killed(world, "inside note #35", out, *FIXED)
    damage(world, out / f"{NAME}.partial")
    world.finish(out, *FIXED)
    assert tree(out / NAME) == world.whole


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("journal.jsonl", b"\xff{\n"),
        ("journal.jsonl", b'{"schema":"airgap.journal/1"}\n'),
        ("journal.jsonl", None),
        ("lock.json", b"{}"),
        ("lock.json", None),
    ],
)
def test_an_unfinished_bundle_that_tells_nothing_is_refused_until_restarted(
    world: World, tmp_path: Path, name: str, content: bytes | None
) -> None:
    out = tmp_path / "out"
    killed(world, "before note #9", out, *FIXED)
    path = out / f"{NAME}.partial" / name
    # one digit of a date or digest is enough: what it says would be signed
    path.write_bytes(path.read_bytes().replace(b"1", b"2", 1) if content is None else content)
    refused = world.crasher.run(*world.arguments(out, *FIXED))
    assert refused.returncode == 2
    assert "--restart" in refused.stderr
    assert "Traceback" not in refused.stderr
    world.finish(out, *FIXED, "--restart")
    assert tree(out / NAME) == world.whole


def test_signatures_of_a_killed_run_with_other_keys_do_not_stay(world: World, tmp_path: Path) -> None:
    out = tmp_path / "out"
    killed(world, "after rename signature #2", out, *FIXED)
    only = world.arguments(out, *FIXED)
    second = only.index(world.keys[1])
    del only[second - 1 : second + 1]
    assert world.crasher.run(*only).returncode == 0
    assert len([name for name in tree(out / NAME) if name.endswith(".sig")]) == 1


def test_a_finished_bundle_is_not_said_to_be_signed_by_a_key_that_did_not_sign(world: World, tmp_path: Path) -> None:
    out = tmp_path / "out"
    world.finish(out, *FIXED)
    world.crasher.run("keys", "generate", "--no-passphrase", "--out", tmp_path / "other")
    refused = world.crasher.run(*world.arguments(out, *FIXED, "--key", tmp_path / "other/airgap.key"))
    assert refused.returncode == 2
    assert "airgap sign" in refused.stderr
    assert tree(out / NAME) == world.whole


# Ctrl-C


@pytest.mark.parametrize(
    ("stage", "number"),
    [("manifests", signal.SIGINT), ("blobs", signal.SIGINT), ("blobs", signal.SIGTERM)],
    ids=["resolving-SIGINT", "fetching-SIGINT", "fetching-SIGTERM"],
)
def test_an_interrupted_export_says_how_to_go_on_and_does(world: World, tmp_path: Path, stage: str, number: signal.Signals) -> None:
    out = tmp_path / "out"
    world.gateway.hold(lambda request: f"/big/{stage}/" in request.path)
    command = [sys.executable, "-m", "airgap", *map(str, world.arguments(out, *FIXED, wanted=world.listed))]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AIRGAP_KEY_PASSPHRASE": ""}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        world.gateway.stuck.wait()
        process.send_signal(number)
        output, errors = process.communicate()
    world.gateway.release()
    assert process.returncode == 130
    assert output == ""
    assert errors.count("airgap: error:") == 1
    assert "run the same command again" in errors
    assert "Traceback" not in errors
    assert not (out / NAME).exists()
    world.finish(out, *FIXED, wanted=world.listed)
    assert tree(out / NAME) == world.whole
