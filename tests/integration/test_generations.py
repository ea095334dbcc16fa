"""Generations: what names stood for after every bundle, kept by prune, and got back by rollback exactly or not at all."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from tests.support.cli import DAMAGED, USAGE, failed
from tests.support.dockerregistry import DockerRegistry
from tests.support.tools import require
from tests.support.year import Far, RegistryShelf, Vendor, done

pytestmark = pytest.mark.slow("imports several bundles one after the other")


@pytest.fixture
def vendor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vendor:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return Vendor.make(tmp_path / "vendor")


@pytest.fixture
def far(tmp_path: Path, vendor: Vendor) -> Far:
    return Far.layout(tmp_path / "far", vendor.sender)


def bring(vendor: Vendor, far: Far, *names: str, stream: str = "prod", release: int = 0) -> dict[str, str]:
    """Release these names anew, take a bundle of them, and say what all names stand for then."""
    for name in names:
        vendor.release(name, release)
    done(far.take(vendor.export(stream, list(names))))
    return far.names()


def whole(far: Far, vendor: Vendor, names: dict[str, str]) -> None:
    for name, digest in names.items():
        assert far.lost(name, digest, vendor.hanging[digest]) == [], name


def test_prune_loses_nothing_that_a_kept_generation_had_from_an_earlier_bundle(vendor: Vendor, far: Far) -> None:
    bring(vendor, far, "app:latest", "tool:latest", release=1)
    second = bring(vendor, far, "app:latest", release=2)
    third = bring(vendor, far, "app:latest", release=3)
    fourth = bring(vendor, far, "app:latest", "tool:latest", "new:1", release=4)
    far.prune(3)  # drops 1, which alone brought the tool of 2 and 3
    for serial, names in ((2, second), (3, third)):
        facts = done(far.back("prod", serial))
        assert facts["new_names"] == [{"name": "origin.example/new:1", "kept": True}]
        assert far.names() == {**fourth, **names}
        whole(far, vendor, names)
    facts = done(far.back("prod", 2, "--remove-new"))
    assert [one["name"] for one in facts["new_names"] if not one["kept"]] == ["origin.example/new:1"]
    assert far.names() == second, "the tool existed then: it is moved, never removed"


def test_a_name_that_only_an_earlier_bundle_brought_outlives_every_prune(vendor: Vendor, far: Far) -> None:
    for release in (1, 2, 3, 4):
        bring(vendor, far, f"app:{release}", "app:latest", release=release)
    before = far.names()
    gone = far.prune(1)
    assert far.names() == before
    whole(far, vendor, before)
    assert all(":sha256-" in one["name"] for one in gone["removed_names"]), "what hung off images that no name stands for"
    assert far.prune(1)["removed_manifests"] == []
    done(far.back("prod", 4))
    failed(far.back("prod", 3), USAGE, "4")


def test_names_that_no_kept_bundle_brought_go_when_that_is_asked_for_and_rollback_says_so(vendor: Vendor, far: Far) -> None:
    for release in (1, 2, 3):
        bring(vendor, far, f"app:{release}", "app:latest", release=release)
    planned = done(far.run("prune", far.target, "--keep", 2))
    assert planned["unlisted"] == ["origin.example/app:1"]
    far.prune(2, "--unlisted")
    assert sorted(far.names()) == ["app:2", "app:3", "app:latest"]
    facts = done(far.back("prod", 2, "--remove-new"))
    assert facts["taken"] == ["origin.example/app:1"]
    assert sorted(far.names()) == ["app:2", "app:latest"]
    done(far.take(vendor.export("prod", ["app:1"])))  # a name that was removed and came back
    facts = done(far.back("prod", 2))
    assert (facts["taken"], facts["new_names"]) == ([], [])
    assert sorted(far.names()) == ["app:1", "app:2", "app:latest"]


def test_a_name_of_two_streams_goes_back_to_what_it_stood_for_and_is_never_removed_from_the_other(vendor: Vendor, far: Far) -> None:
    bring(vendor, far, "app:1", release=1)
    bring(vendor, far, "app:1", "lib:1", stream="lab", release=2)
    then = bring(vendor, far, "tool:1", release=3)
    bring(vendor, far, "app:1", "lib:1", release=4)
    done(far.back("prod", 2))
    assert far.names()["app:1"] == then["app:1"], "what the other stream had brought"
    far.prune(1)
    whole(far, vendor, far.names())
    done(far.back("prod", 2, "--remove-new"))
    assert "lib:1" in far.names(), "the other stream has it, too"


def test_a_rollback_between_two_imports_is_part_of_what_came_after(vendor: Vendor, far: Far) -> None:
    first = bring(vendor, far, "app:1", "tool:1", release=1)
    bring(vendor, far, "app:1", "tool:1", release=2)
    done(far.back("prod", 1))
    third = bring(vendor, far, "app:1", release=3)
    assert third["tool:1"] == first["tool:1"]
    bring(vendor, far, "app:1", "tool:1", release=4)
    far.prune(2)
    done(far.back("prod", 3))
    assert far.names() == third
    whole(far, vendor, third)


def test_a_rollback_is_refused_whole_when_an_attachment_of_an_earlier_bundle_is_gone(vendor: Vendor, far: Far) -> None:
    first = bring(vendor, far, "tool:1", release=1)
    bring(vendor, far, "app:1", release=2)
    bring(vendor, far, "app:1", "tool:1", release=3)
    far.prune(2)
    before = far.names()
    sbom = next(one for one in vendor.hanging[first["tool:1"]] if ":" in one)
    path = far.root / "store/blobs" / sbom.replace(":", "/")
    content = path.read_bytes()
    path.unlink()
    failed(far.back("prod", 2), DAMAGED, sbom, "nothing was moved")
    assert far.names() == before
    path.write_bytes(content)
    done(far.back("prod", 2))


def test_what_hangs_off_a_rebuilt_index_stays_as_long_as_a_kept_name_stands_for_it(vendor: Vendor, far: Far) -> None:
    """It refers to the original index, which is not at the site: only the memory knows what it belongs to."""
    original = vendor.release("tool:1", 1)
    done(far.take(vendor.export("prod", ["tool:1"]), "--platform", "linux/arm64"))
    rebuilt = far.names()["tool:1"]
    assert rebuilt != original
    for release in (2, 3):
        bring(vendor, far, "app:1", release=release)
    far.prune(1)
    assert far.lost("tool:1", rebuilt, vendor.hanging[original]) == []
    bring(vendor, far, "app:1", "tool:1", release=4)
    far.prune(1)
    sbom = next(one for one in vendor.hanging[original] if ":" in one)
    assert far.shelf.manifest("tool", rebuilt) is None
    assert far.shelf.manifest("tool", sbom) is None, "with the last name it goes, too"


def test_the_memory_of_names_outlives_their_generations(vendor: Vendor, far: Far) -> None:
    """What prune forgets must not be what keeps another repository from taking the name over."""
    for _ in range(2):
        bring(vendor, far, "app:1", release=1)
    far.prune(1)
    with sqlite3.connect(far.state / "state.db") as connection:
        assert [row[0] for row in connection.execute("SELECT name FROM names")] == ["origin.example/app:1"]


def test_a_registry_keeps_what_its_generations_stood_for(vendor: Vendor, tmp_path: Path) -> None:
    require("docker-registry")
    with DockerRegistry(tmp_path / "registry") as registry:
        shelf = RegistryShelf(registry.root / "data")
        far = Far(tmp_path / "far", vendor.sender, f"docker://{registry.address}/mirror", shelf)
        bring(vendor, far, "app:latest", "tool:latest", release=1)
        second = bring(vendor, far, "app:latest", release=2)
        bring(vendor, far, "app:latest", "tool:latest", release=3)
        far.prune(2)
        done(far.back("prod", 2))
        assert far.names() == second
        whole(far, vendor, second)


_BEFORE = """
DROP TABLE stood; ALTER TABLE generations DROP COLUMN moment; ALTER TABLE generations DROP COLUMN unsure;
ALTER TABLE brought DROP COLUMN roots; ALTER TABLE brought DROP COLUMN source;
ALTER TABLE brought DROP COLUMN forms; DROP TABLE owners;
ALTER TABLE history DROP COLUMN code; PRAGMA user_version = 4;
"""


def test_generations_of_an_earlier_version_are_whole_states_of_names_too(vendor: Vendor, far: Far) -> None:
    bring(vendor, far, "app:1", "tool:1", release=1)
    second = bring(vendor, far, "app:1", release=2)
    bring(vendor, far, "app:1", "tool:1", release=3)
    done(far.back("prod", 2))
    _downgrade(far)
    bring(vendor, far, "app:1", release=4)
    assert far.names()["tool:1"] == second["tool:1"]
    far.prune(3)
    done(far.back("prod", 3))
    done(far.back("prod", 2))
    assert far.names() == second
    whole(far, vendor, second)


def test_what_an_earlier_version_has_pruned_is_not_guessed(vendor: Vendor, far: Far) -> None:
    bring(vendor, far, "tool:1", release=1)
    bring(vendor, far, "app:1", release=2)
    before = bring(vendor, far, "app:1", "tool:1", release=3)
    with sqlite3.connect(far.state / "state.db") as connection:  # as that version pruned: of the first bundle nothing is known
        connection.execute("DELETE FROM generations WHERE serial = 1")
        connection.execute("DELETE FROM brought WHERE serial = 1")
        event = ("2999-01-01T00:00:00Z", "prune", "prod", 1, "", far.target, "removed", "")
        columns = "(at, event, stream, serial, catalog, target, outcome, reason)"
        connection.execute(f"INSERT INTO history {columns} VALUES (?, ?, ?, ?, ?, ?, ?, ?)", event)
    _downgrade(far)
    failed(far.back("prod", 2), DAMAGED, "tool:1", "digests after this bundle are unknown")
    assert far.names() == before
    done(far.back("prod", 3))


def _downgrade(far: Far) -> None:
    connection = sqlite3.connect(far.state / "state.db")
    connection.executescript(_BEFORE)
    connection.close()


def test_a_plan_says_what_it_gives_up(vendor: Vendor, far: Far) -> None:
    for release in (1, 2):
        bring(vendor, far, f"app:{release}", release=release)
    plan = far.root / "plan.json"
    done(far.run("prune", far.target, "--keep", 1, "--unlisted", "--plan", plan))
    assert json.loads(plan.read_bytes())["given_up"] == ["origin.example/app:1"]
