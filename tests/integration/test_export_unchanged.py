"""The monthly export of a list in which nothing has changed: the bundle lies there already."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airgap.layout import LayoutStore
from tests.support import images
from tests.support.bundles import Sender
from tests.support.cli import here
from tests.support.confidential import Reader

WEB = "origin.example/shop/web:1"


@dataclass(frozen=True)
class Exporter:
    """An exporter with one image at its source."""

    work: Path
    sender: Sender

    def publish(self, seed: str, name: str = WEB) -> None:
        with LayoutStore(self.work / "source") as layout:
            images.publish(layout, name, images.image([images.layer(seed, 30_000)]))
            layout.commit()

    def run(self, *options: object, out: str = "usb", key: Path | None = None) -> Any:
        fixed = ["--out", self.work / out, "--stream", "prod", "--key", key or self.sender.key, "--state", self.work / "state"]
        return here("export", f"oci:{self.work / 'source'}", *fixed, "--threads", 1, *options)

    def export(self, *options: object, out: str = "usb", key: Path | None = None) -> tuple[int, bool]:
        """The serial of the bundle that is there then, and whether it was there before."""
        done = self.run(*options, "--json", out=out, key=key)
        assert done.returncode == 0, done.stderr
        facts = json.loads(done.stdout)
        assert facts["unchanged"] == facts["already_there"]
        assert Path(facts["path"]) == self.work / out / f"prod-{facts['serial']:04d}"
        return facts["serial"], facts["unchanged"]


@pytest.fixture
def exporter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Exporter:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    found = Exporter(tmp_path, Sender.make(tmp_path / "sender"))
    found.publish("first")
    return found


def test_nothing_has_changed_so_no_second_bundle_is_made(exporter: Exporter) -> None:
    assert exporter.export("--expires", "90d") == (1, False)
    assert exporter.export("--expires", "90d") == (1, True)
    done = exporter.run("--expires", "90d")
    assert done.returncode == 0
    assert re.search(r"^exists       \S+/usb/prod-0001$", done.stdout, re.MULTILINE)
    assert "unchanged    serial 1, 0 hours old, is what a new bundle would be; --again makes one" in done.stdout
    assert [path.name for path in (exporter.work / "usb").iterdir()] == ["prod-0001"]
    assert exporter.export("--expires", "90d", "--again") == (2, False)
    assert exporter.export("--expires", "90d") == (2, True)


@pytest.mark.parametrize(
    "options", [("--parity", 1), ("--volume-size", "12kB"), ("--expires", "30d"), ("--expires", "2099-01-01T00:00:00Z")], ids=str
)
def test_another_packing_is_another_bundle(exporter: Exporter, options: tuple[object, ...]) -> None:
    assert exporter.export() == (1, False)
    assert exporter.export(*options) == (2, False)
    assert exporter.export(*options) == (2, True)


def test_another_image_behind_the_same_tag_is_another_bundle(exporter: Exporter) -> None:
    assert exporter.export() == (1, False)
    exporter.publish("second")
    assert exporter.export() == (2, False)
    exporter.publish("first")
    assert exporter.export() == (3, False), "only the latest bundle may be shipped"


def test_another_key_is_another_bundle(exporter: Exporter) -> None:
    assert exporter.export() == (1, False)
    other = Sender.make(exporter.work / "other")
    assert exporter.export(key=other.key) == (2, False)
    assert exporter.export(key=other.key) == (2, True)


def test_it_must_lie_there_whole(exporter: Exporter) -> None:
    assert exporter.export() == (1, False)
    assert exporter.export(out="usb2") == (2, False), "not on this stick"
    (exporter.work / "usb2/prod-0002/volume-0001.tar").unlink()
    assert exporter.export(out="usb2") == (3, False)
    with (exporter.work / "usb2/prod-0003/volume-0001.tar").open("ab") as volume:
        volume.write(b"x")
    assert exporter.export(out="usb2") == (4, False)
    shutil.rmtree(exporter.work / "usb2/prod-0004")
    assert exporter.export(out="usb2") == (5, False)


def test_one_that_expires_soon_does_not_count(exporter: Exporter) -> None:
    assert exporter.export("--expires", "2d", "--created", "2026-01-01T00:00:00Z") == (1, False)
    assert exporter.export("--expires", "2d") == (2, False)
    assert exporter.export("--expires", "2d") == (2, True)


def test_a_serial_or_a_time_that_is_asked_for_is_made(exporter: Exporter) -> None:
    assert exporter.export() == (1, False)
    assert exporter.export("--serial", 2) == (2, False)
    assert exporter.export("--created", "2026-01-01T00:00:00Z") == (3, False)


def test_what_the_site_has_decides_too(exporter: Exporter) -> None:
    assert exporter.export() == (1, False)
    exporter.publish("second", "origin.example/shop/tool:1")
    base = ("--since", exporter.work / "usb/prod-0001")
    assert exporter.export(*base) == (2, False)
    assert exporter.export(*base) == (2, True)
    assert exporter.export() == (3, False)


def test_encrypted_bundles_too(exporter: Exporter) -> None:
    readers = [Reader.make(exporter.work / name) for name in ("site", "depot")]
    to = [("--encrypt-to", reader.public) for reader in readers]
    assert exporter.export(*to[0]) == (1, False)
    assert exporter.export(*to[0]) == (1, True)
    assert exporter.export(*to[0], *to[1]) == (2, False)
    assert exporter.export() == (3, False)
    receipt = ("--since", exporter.work / "usb/prod-0003")
    exporter.publish("second", "origin.example/shop/tool:1")
    assert exporter.export(*to[0], *receipt) == (4, False)
    assert exporter.export(*to[0], *receipt) == (4, True)
    assert exporter.export(*to[0]) == (5, False), "the latest one lacks what the site has"
