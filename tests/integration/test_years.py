"""Twelve months of three sites for each of several seeds, and of one site with a real registry."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.dockerregistry import DockerRegistry
from tests.support.life import collect_garbage
from tests.support.months import Months, facts_of
from tests.support.tools import require
from tests.support.year import Far, RegistryShelf, Vendor

pytestmark = pytest.mark.slow("lives sixteen years")


@pytest.mark.parametrize("seed", range(2, 7))
def test_nothing_is_lost_in_twelve_months_of_three_sites(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    vendor = Vendor.make(tmp_path / "vendor")
    counts = Months(seed, vendor, [Far.layout(tmp_path / f"far-{i}", vendor.sender) for i in range(3)]).run(12)
    print(f"seed {seed}: {json.dumps(facts_of(counts))}")
    assert counts["rollback"] + counts["rollback --remove-new"] > 0
    assert counts["prune"] > 0


@pytest.mark.parametrize("mapped", [False, True])
def test_nothing_is_lost_in_twelve_months_of_a_registry_that_collects_its_garbage(
    mapped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where names are mapped and the site adds its own signatures."""
    require("docker-registry")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    vendor = Vendor.make(tmp_path / "vendor")
    with DockerRegistry(tmp_path / "registry") as registry:
        shelf = RegistryShelf(registry.root / "data", *(["mirror"] if mapped else []))
        options = ("--map", "strip-host", "--sign-by", vendor.sender.key) if mapped else ()
        far = Far(tmp_path / "far", vendor.sender, f"docker://{registry.address}/mirror", shelf, options)

        def collect() -> None:
            registry.stop()
            collect_garbage(registry)
            registry.restart()

        counts = Months(7 + mapped, vendor, [far], collect).run(12)
    print(f"registry: {json.dumps(facts_of(counts))}")
    assert counts["prune"] > 0
