"""Killed while parity is made, or while something is repaired from it: the same command again comes to the same bytes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from airgap.format.names import parity_name, volume_name
from airgap.layout import LayoutStore
from airgap.oci import media
from tests.support import images
from tests.support.crash import Crasher, crasher
from tests.support.paritybundles import content, files, make, spoil
from tests.support.site import CREATED

pytestmark = pytest.mark.slow("kills and repeats whole runs")

NAME = "prod-0001"


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crasher]:
    with crasher(tmp_path_factory.mktemp("home")) as made:
        yield made


@dataclass(frozen=True)
class Exporting:
    """An export with parity, undisturbed once: its bundle, and the points at which it can die."""

    driver: Crasher
    source: str
    key: Path
    whole: dict[str, bytes]
    points: tuple[str, ...]

    def arguments(self, out: Path) -> list[object]:
        """The command line."""
        fixed = ["--stream", "prod", "--serial", 1, "--created", CREATED, "--volume-size", "20kB", "--parity", 2]
        return ["export", self.source, "--out", out, *fixed, "--state", f"{out}-state", "--key", self.key]


def tree(directory: Path) -> dict[str, bytes]:
    """Every file but the signatures, which may differ each time."""
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.suffix != ".sig"}


@pytest.fixture(scope="module")
def exporting(driver: Crasher, tmp_path_factory: pytest.TempPathFactory) -> Exporting:
    root = tmp_path_factory.mktemp("export")
    with LayoutStore(root / "origin") as layout:
        layers = [images.content(images.seeded(str(size), size), media.OCI_LAYER) for size in (30_000, 42_000)]
        images.publish(layout, "origin.example/shop/web:1", images.image(layers))
        layout.commit()
    driver.run("keys", "generate", "--no-passphrase", "--out", root / "keys")
    made = Exporting(driver, f"oci:{root / 'origin'}", root / "keys/airgap.key", {}, ())
    learned = driver.crash("", *made.arguments(root / "out"))
    assert learned.returncode == 0, learned.stderr
    points = tuple(point for point in learned.points if "parity" in point)
    return Exporting(driver, made.source, made.key, tree(root / "out" / NAME), points)


@pytest.mark.parametrize("part", range(5))
def test_export_killed_while_parity_is_written(exporting: Exporting, tmp_path: Path, part: int) -> None:
    at = exporting.points[(len(exporting.points) - 1) * part // 4]
    ended = exporting.driver.crash(at, *exporting.arguments(tmp_path / "out"))
    assert ended.killed, (at, ended)
    again = exporting.driver.run(*exporting.arguments(tmp_path / "out"))
    assert again.returncode == 0, again.stderr
    assert tree(tmp_path / "out" / NAME) == exporting.whole


@pytest.mark.parametrize("change", ["cut", "spoiled", "longer", "gone"])
def test_parity_that_a_killed_run_left_is_not_believed(exporting: Exporting, tmp_path: Path, change: str) -> None:
    ended = exporting.driver.crash(exporting.points[-1], *exporting.arguments(tmp_path / "out"))
    assert ended.killed
    path = tmp_path / "out" / f"{NAME}.partial" / parity_name(1)
    data = path.read_bytes()
    path.write_bytes({"cut": data[:99], "spoiled": bytes(len(data)), "longer": data * 3, "gone": b""}[change])
    if change == "gone":
        path.unlink()
    assert exporting.driver.run(*exporting.arguments(tmp_path / "out")).returncode == 0
    assert tree(tmp_path / "out" / NAME) == exporting.whole


# repair


@dataclass(frozen=True)
class Damaged:
    """A bundle with a lost volume, a damaged one and a damaged parity file, and how it was."""

    driver: Crasher
    bundle: Path
    out: Path
    whole: dict[str, bytes]

    def arguments(self, in_place: bool) -> list[object]:
        """The command line."""
        return ["media", "repair", self.bundle, *(["--in-place"] if in_place else ["--out", self.out])]

    def result(self, in_place: bool) -> dict[str, bytes]:
        """All files of the bundle, repaired ones first."""
        return files(self.bundle) if in_place else files(self.bundle) | files(self.out)


@pytest.fixture
def damaged(driver: Crasher, tmp_path: Path) -> Damaged:
    return damage(driver, tmp_path)


def damage(driver: Crasher, root: Path) -> Damaged:
    made = Damaged(driver, root / "bundle", root / "out", {})
    make(made.bundle, [content(size, size) for size in (300_000, 280_000, 5_000, 299_999)], 3)
    whole = files(made.bundle)
    (made.bundle / volume_name(2)).unlink()
    spoil(made.bundle / volume_name(4), 0, 299_998)
    spoil(made.bundle / parity_name(3), 0)
    return Damaged(driver, made.bundle, made.out, whole)


def points(driver: Crasher, work: Path, in_place: bool) -> list[int]:
    """Where a repair can die: by number, because a scratch file has another name each time."""
    learned = driver.crash("", *damage(driver, work).arguments(in_place))
    assert learned.returncode == 0, learned.stderr
    return [number for number, point in enumerate(learned.points, 1) if not point.startswith("after")]


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("part", range(8))
def test_repair_killed_and_run_again(damaged: Damaged, tmp_path: Path, in_place: bool, part: int) -> None:
    there = points(damaged.driver, tmp_path / "learn", in_place)
    at = there[(len(there) - 1) * part // 7]
    before = files(damaged.bundle)
    ended = damaged.driver.crash(at, *damaged.arguments(in_place))
    assert ended.killed, (at, ended)
    if not in_place:
        assert files(damaged.bundle) == before
        shown = files(damaged.out) if damaged.out.exists() else {}  # what has its name already is whole
        assert shown == {name: damaged.whole[name] for name in shown}
    again = damaged.driver.run(*damaged.arguments(in_place))
    assert again.returncode == 0, again.stderr
    assert damaged.result(in_place) == damaged.whole
    assert not list(damaged.bundle.glob(".*")) + list(damaged.out.glob(".*.repair"))


def test_repair_in_place_writes_damaged_blocks_and_nothing_else(damaged: Damaged) -> None:
    kept = {path.name: path.stat().st_mtime_ns for path in damaged.bundle.iterdir()}
    done = damaged.driver.run(*damaged.arguments(in_place=True))
    assert done.returncode == 0, done.stderr
    assert files(damaged.bundle) == damaged.whole
    touched = {p.name for p in damaged.bundle.iterdir() if kept.get(p.name) != p.stat().st_mtime_ns}
    assert touched == {volume_name(2), volume_name(4), parity_name(3)}


def test_a_second_repair_finds_nothing_to_do(damaged: Damaged) -> None:
    for _ in range(2):
        done = damaged.driver.run(*damaged.arguments(in_place=False))
    assert done.returncode == 0
    assert "nothing to repair" in done.stdout
    shutil.rmtree(damaged.out)
