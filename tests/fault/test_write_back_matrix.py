"""Every command that writes, on a disk that takes only so many more bytes and says so late: done means that the disk has it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.cli import MEDIA
from tests.support.crash import Crasher, crasher
from tests.support.failingdisk import FailingDisk
from tests.support.faultcases import CASES, Case, Desk, Desks, contents

pytestmark = pytest.mark.slow("mounts a disk that fails, and repeats whole commands on it")

WRITERS = [
    "resolve", "export", "export --since", "export --parity", "export --encrypt-to", "export --attach", "export --resend",
    "merge", "merge --parity", "sign", "media copy", "media repair", "media repair --in-place", "media log", "toolkit", "report",
    "import oci:", "import --since", "import oci-archive:", "import docker-archive:", "import dir:", "import k3s:", "receipt",
    "prune --apply", "rollback", "watch",
]  # fmt: skip


@dataclass(frozen=True)
class World:
    """A disk, and desks on it."""

    disk: FailingDisk
    desks: Desks

    def begin(self, case: Case) -> Desk:
        """Everything as the command finds it, and on the disk."""
        desk = self.desks.set(case.stage)
        self.disk.pull_out()
        return desk


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crasher]:
    with crasher(tmp_path_factory.mktemp("home")) as made:
        yield made


@pytest.fixture
def world(tmp_path: Path, driver: Crasher) -> Iterator[World]:
    with FailingDisk(tmp_path) as disk:
        yield World(disk, Desks(tmp_path / "kept", driver, disk.point / "desk"))


@pytest.mark.parametrize("case", [case for case in CASES if case.name in WRITERS], ids=lambda case: case.name)
def test_what_is_said_to_be_done_is_there_when_the_disk_was_taken_out_and_put_back(world: World, case: Case) -> None:
    desk = world.begin(case)
    command = desk.command(case.command)
    assert desk.crasher.run(*command).returncode == 0
    whole = contents(desk.root, case.loose)
    size = sum(len(data) for data in whole.values())
    for room in (0, size // 20, size // 6, size // 3):
        desk = world.begin(case)
        world.disk.starve(room)
        ended = desk.crasher.run(*command)
        assert ended.returncode in (0, MEDIA), ended.stderr
        world.disk.feed()
        for _ in range(3):  # the disk tells once more what it could not do, or has made itself read-only
            if ended.returncode == 0:
                break
            ended = desk.crasher.run(*command)
            if ended.returncode == MEDIA:
                world.disk.pull_out()
        assert ended.returncode == 0, ended.stderr
        world.disk.pull_out()
        there = contents(desk.root, case.loose)
        wrong = sorted(name for name in there.keys() | whole.keys() if there.get(name) != whole.get(name))
        assert not wrong, f"with room for {room} bytes: {wrong[:5]}"
