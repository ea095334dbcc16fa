"""Killed while patches are made or applied: the same command goes on, makes nothing twice, and comes to the same end."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.crash import Crasher, crasher
from tests.support.dockerregistry import DockerRegistry
from tests.support.tools import require
from tests.support.versions import Far, Stream, blobs_of, make_stream

pytestmark = pytest.mark.slow("kills and repeats whole runs")

NAME = "prod-0002"


@dataclass(frozen=True)
class World:
    """Two versions, the bundles of an undisturbed chain, and a registry directory that has taken the first."""

    crasher: Crasher
    stream: Stream
    whole: dict[str, bytes]
    first: Path

    def export(self, out: Path) -> list[object]:
        """The export of the second version; one thread, so that points always come in the same order."""
        return self.stream.command(2, out, "--since", self.stream.chain[1], "--threads", 1)

    def asked(self, since: int) -> str:
        """What the source was asked for after a place in its log."""
        return self.stream.source.log.read_bytes()[since:].decode()

    @property
    def patched(self) -> list[str]:
        """The layers that are carried as patches."""
        return [digest for digest, blob in blobs_of(self.stream.chain[2]).items() if "patch" in blob]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    require("docker-registry")
    work = tmp_path_factory.mktemp("kill-patches")
    with (
        pytest.MonkeyPatch.context() as patch,
        DockerRegistry(work / "source") as source,
        DockerRegistry(work / "far") as target,
        crasher(work / "home") as driver,
    ):
        patch.setenv("HOME", str(work / "home"))
        stream = make_stream(work, source, (1, 2))
        Far(stream, target, work / "state-far").takes(stream.chain[1])
        target.stop()
        undisturbed = World(driver, stream, {}, target.root)
        assert driver.run(*undisturbed.export(work / "whole")).returncode == 0
        yield World(driver, stream, files(work / "whole" / NAME), target.root)


def files(directory: Path) -> dict[str, bytes]:
    """Every file but the signatures, which are another time different."""
    found = {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    return {name: data for name, data in found.items() if not name.endswith(".sig")}


EXPORT = [
    "inside write new file #2",
    "before rename blob.patch #1",
    "after rename blob.patch #2",
    "before rename blob.json #2",
    "after rename blob.json #3",
    "after write volume-0001.tar #1",
    "inside note #3",
    "inside write volume-0001.tar #40",
    "before record_sealing #1",
    "after rename catalog.json #1",
    "after rename CHECK.txt #1",
    "after remove journal.jsonl #2",
    f"after rename {NAME} #1",
]


@pytest.mark.parametrize("at", EXPORT)
def test_an_export_with_patches_that_was_killed_seals_the_same_bytes(world: World, tmp_path: Path, at: str) -> None:
    out = tmp_path / "out"
    killed = world.crasher.crash(at, *world.export(out))
    assert killed.killed, f"{at} was not reached: {killed}"
    scratch = out / f"{NAME}.partial/patches"
    made = {f"sha256:{path.stem}" for path in scratch.glob("*.json")}
    log = world.stream.source.log.stat().st_size
    done = world.crasher.run(*world.export(out))
    assert done.returncode == 0, done.stderr
    assert [path.name for path in out.iterdir()] == [NAME]
    assert files(out / NAME) == world.whole
    assert not [digest for digest in made if f"/blobs/{digest}" in world.asked(log)]
    assert at not in EXPORT[4:8] or made >= set(world.patched)


def damage_patch(scratch: Path) -> None:
    path = sorted(scratch.glob("*.patch"))[0]
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")


def damage_note(scratch: Path) -> None:
    sorted(scratch.glob("*.json"))[0].write_bytes(b'{"base":')


def lie_about_size(scratch: Path) -> None:
    path = sorted(scratch.glob("*.json"))[0]
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "size": 3}))


def lose_patches(scratch: Path) -> None:
    for path in scratch.glob("*.patch"):
        path.unlink()


def lose_everything(scratch: Path) -> None:
    shutil.rmtree(scratch)


@pytest.mark.parametrize("damage", [damage_patch, damage_note, lie_about_size, lose_patches, lose_everything])
def test_patches_that_were_damaged_after_the_kill_are_made_again(world: World, tmp_path: Path, damage) -> None:
    out = tmp_path / "out"
    assert world.crasher.crash("inside note #6", *world.export(out)).killed
    damage(out / f"{NAME}.partial/patches")
    done = world.crasher.run(*world.export(out))
    assert done.returncode == 0, done.stderr
    assert files(out / NAME) == world.whole


def test_volumes_of_a_killed_run_with_fewer_patches_do_not_stay(world: World, tmp_path: Path) -> None:
    out, sized = tmp_path / "out", ("--volume-size", "60kB")
    assert world.crasher.crash("after write volume-0001.tar #1", *world.export(out), *sized).killed
    partial = out / f"{NAME}.partial"
    for name in ("volume-0007.tar", "volume-0008.tar"):
        (partial / name).write_bytes(b"a longer plan's")
    assert world.crasher.run(*world.export(out), *sized).returncode == 0
    volumes = {path.name for path in (out / NAME).glob("volume-*")}
    assert volumes == {volume["name"] for volume in json.loads((out / NAME / "catalog.json").read_bytes())["volumes"]}


IMPORT = [
    "before write at target #1",
    "inside write at target #3",
    "after write at target #4",
    "after mount at target #1",
    "before put_manifest at target #2",
    "before tag at target #1",
    "after tag at target #1",
]


@pytest.mark.parametrize("at", IMPORT)
def test_an_import_of_patches_that_was_killed_goes_on(world: World, tmp_path: Path, at: str) -> None:
    shutil.copytree(world.first / "data", tmp_path / "far/data")
    with DockerRegistry(tmp_path / "far") as registry:
        far = Far(world.stream, registry, tmp_path / "state")
        before = far.contents().tags
        command = far.command(world.stream.chain[2])
        killed = world.crasher.crash(at, *command)
        assert killed.killed, f"{at} was not reached: {killed}"
        if " tag " not in at:
            assert far.contents().tags == before
        done = world.crasher.run(*command)
        assert done.returncode == 0, done.stderr
        assert far.contents() == world.stream.sources[2]
        assert world.crasher.run(*command).json["already_there"]
