"""The same lock, serial and creation time give the same bytes: whatever the threads, the directory, the order of answers."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.crash import Crasher, crasher
from tests.support.dockerregistry import DockerRegistry
from tests.support.gateway import Gateway
from tests.support.hostile import Request
from tests.support.platform import publish_platform
from tests.support.site import CREATED
from tests.support.tools import require

pytestmark = pytest.mark.slow("runs whole exports and imports against real registries")


@dataclass(frozen=True)
class Exporter:
    """Exports one lock, or the list it was made from, through a gateway that answers in a random order."""

    run: Crasher
    listed: Path
    lock: Path
    key: Path

    def export(self, out: Path, *options: object, wanted: Path | None = None) -> dict[str, bytes]:
        """The files of the bundle, made with a new state."""
        fixed = ["--stream", "prod", "--serial", 7, "--created", CREATED, "--key", self.key, "--state", f"{out}-state"]
        done = self.run.run("export", wanted or self.lock, "--out", out, *fixed, *options)
        assert done.returncode == 0, done.stderr
        bundle = out / "prod-0007"
        return {str(path.relative_to(bundle)): path.read_bytes() for path in bundle.rglob("*") if path.is_file()}


def _late(request: Request) -> bool:
    """Every answer takes another time, so that no two runs get them in the same order; none is held back for ever."""
    time.sleep(random.random() * 0.004)
    return False


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporter]:
    require("docker-registry")
    work = tmp_path_factory.mktemp("determinism")
    with DockerRegistry(work / "source") as registry, Gateway(registry.address) as gateway, crasher(work / "home") as driver:
        listed, lock = publish_platform(registry.address, work / "build").list_file(work), work / "images.lock"
        listed.write_text(listed.read_text().replace(registry.address, gateway.address))
        driver.run("keys", "generate", "--no-passphrase", "--out", work / "keys")
        gateway.hold(_late)
        assert driver.run("resolve", listed, "--lock", lock).returncode == 0
        yield Exporter(driver, listed, lock, work / "keys/airgap.key")


@pytest.mark.parametrize("size", [(), ("--volume-size", "20kB")], ids=["one volume", "several"])
def test_any_number_of_threads_and_any_place_give_the_same_bundle(
    exporter: Exporter, tmp_path: Path, size: tuple[object, ...]
) -> None:
    first = exporter.export(tmp_path / "first", *size, "--threads", 1)
    volumes = [name for name in first if name.startswith("volume-")]
    assert len(volumes) == len(json.loads(first["catalog.json"])["volumes"])
    assert (len(volumes) > 1) == bool(size)
    for threads in (2, 8):
        assert exporter.export(tmp_path / f"some/other/place/{threads}", *size, "--threads", threads) == first


def test_a_list_gives_the_bundle_of_its_lock(exporter: Exporter, tmp_path: Path) -> None:
    from_lock = exporter.export(tmp_path / "lock", "--volume-size", "50kB")
    assert exporter.export(tmp_path / "list", "--volume-size", "50kB", wanted=exporter.listed) == from_lock


def test_resolving_gives_the_same_lock_with_any_number_of_threads(exporter: Exporter, tmp_path: Path) -> None:
    for threads in (1, 8):
        exporter.run.run("resolve", exporter.listed, "--lock", tmp_path / f"{threads}.lock", "--threads", threads)
        assert (tmp_path / f"{threads}.lock").read_bytes() == exporter.lock.read_bytes()


def test_another_serial_or_time_changes_the_catalog_and_not_a_byte_of_the_volumes(exporter: Exporter, tmp_path: Path) -> None:
    first = exporter.export(tmp_path / "first", "--volume-size", "30kB")
    later = exporter.export(tmp_path / "later", "--volume-size", "30kB", "--created", "2027-01-01T00:00:00Z")
    changed = {name for name in first if first[name] != later[name]}
    assert {name.partition(".")[0] for name in changed} == {"catalog", "CHECK", "SHA256SUMS"}
