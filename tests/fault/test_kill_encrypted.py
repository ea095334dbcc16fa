"""An encrypted export killed anywhere: the medium says nothing, and the same command again makes what its site can read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from airgap.layout import LayoutStore
from airgap.oci import media
from tests.support import images
from tests.support.confidential import Reader
from tests.support.crash import Crasher, crasher
from tests.support.site import CREATED

pytestmark = pytest.mark.slow("kills and repeats whole runs")

NAME = "prod-0001"
_PARTS = 16


@dataclass(frozen=True)
class Exporting:
    """An export, undisturbed once, and the points at which it can die."""

    driver: Crasher
    root: Path
    reader: Reader
    points: tuple[str, ...] = ()

    def arguments(self, out: Path) -> list[object]:
        """The command line."""
        fixed = ["--stream", "prod", "--serial", 1, "--created", CREATED, "--volume-size", "20kB", "--threads", 1]
        keys = ["--key", self.root / "keys/airgap.key", "--encrypt-to", self.reader.public]
        return ["export", f"oci:{self.root / 'origin'}", "--out", out, *fixed, *keys, "--state", f"{out}-state"]


@pytest.fixture(scope="module")
def exporting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporting]:
    root = tmp_path_factory.mktemp("export")
    with LayoutStore(root / "origin") as layout:
        layers = [images.content(images.seeded(str(size), size), media.OCI_LAYER) for size in (30_000, 42_000)]
        images.publish(layout, "origin.example/shop/web:1", images.image(layers))
        layout.commit()
    with crasher(tmp_path_factory.mktemp("home")) as driver:
        driver.run("keys", "generate", "--no-passphrase", "--out", root / "keys")
        driver.run("policy", "init", "--key", root / "keys/airgap.pub", "-o", root / "policy.json")
        made = Exporting(driver, root, Reader.make(root / "site"))
        learned = driver.crash("", *made.arguments(root / "out"))
        assert learned.returncode == 0, learned.stderr
        yield Exporting(driver, root, made.reader, tuple(learned.points))


@pytest.mark.parametrize("part", range(_PARTS))
def test_killed_anywhere_it_goes_on_and_the_medium_says_nothing(exporting: Exporting, tmp_path: Path, part: int) -> None:
    at = exporting.points[(len(exporting.points) - 1) * part // (_PARTS - 1)]
    out = tmp_path / "out"
    ended = exporting.driver.crash(at, *exporting.arguments(out))
    assert ended.killed, (at, ended)
    for path in out.rglob("*") if out.exists() else ():
        content = path.read_bytes() if path.is_file() else b""
        assert b"shop/web" not in content, path
        assert images.seeded("42000", 64) not in content, path
        assert path.name not in ("lock.json", "journal.jsonl", "content.key"), path
    again = exporting.driver.run(*exporting.arguments(out))
    assert again.returncode == 0, (at, again.stderr)
    assert not list((tmp_path / "out-state/unfinished").glob("*"))
    fixed = ["--policy", exporting.root / "policy.json", "--decrypt-key", exporting.reader.private]
    checked = exporting.driver.run("verify", out / NAME, *fixed)
    assert checked.returncode == 0, (at, checked.stderr)
