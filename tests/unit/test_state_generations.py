"""What the state remembers of every bundle's names at every target."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest

from airgap.oci.digest import Digest
from airgap.state import Accepted, Brought, KnownName, State, generations
from tests.support.cli import here

ONE, TWO = Digest.of(b"one"), Digest.of(b"two")
A, B = Brought("site.example/a:1", ONE, image=True), Brought("site.example/b:1", TWO, image=False)


def test_generations_are_remembered_by_target_stream_and_serial(tmp_path: Path) -> None:
    with State(tmp_path / "state") as state:
        state.record_generation("oci:/a", "prod", 2, TWO, [B, A])
        state.record_generation("oci:/a", "prod", 1, ONE, [A])
        state.record_generation("oci:/b", "prod", 9, ONE, [A])
    with State(tmp_path / "state") as state:
        found = state.generations.read("oci:/a")
        assert [(g.stream, g.serial, g.catalog, g.in_force, g.pruned, g.brought) for g in found] == [
            ("prod", 1, ONE, True, False, (A,)),
            ("prod", 2, TWO, False, False, (A, B)),
        ]
        assert state.generations.elsewhere("oci:/a") == [A]
        assert state.generations.knows("oci:/a", "prod", 2)
        assert not state.generations.knows("oci:/a", "prod", 3)


def test_a_rollback_puts_another_generation_in_force(tmp_path: Path) -> None:
    with State(tmp_path / "state") as state:
        for serial in (1, 2):
            state.record_generation("oci:/a", "prod", serial, ONE, [A])
        state.record_rollback("oci:/a", "prod", 1, [A], "moved 1 name")
        assert [g.in_force for g in state.generations.read("oci:/a")] == [True, False]
        assert [(e.event, e.serial) for e in state.history()] == [("rollback", 1)]


def test_a_pruned_generation_stays_known_as_long_as_something_of_it_is_there(tmp_path: Path) -> None:
    with State(tmp_path / "state") as state:
        state.record_generation("oci:/a", "prod", 1, ONE, [A, B])
        state.record_prune("oci:/a", [("prod", 1, A)], [("prod", 1)], "removed")
        assert [(g.pruned, g.brought) for g in state.generations.read("oci:/a")] == [(True, (B,))]
        assert not state.generations.knows("oci:/a", "prod", 1)
        state.record_prune("oci:/a", [("prod", 1, B)], [("prod", 1)], "removed")
        assert state.generations.read("oci:/a") == []


def test_only_so_many_generations_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generations, "MAX_GENERATIONS", 3)
    with State(tmp_path / "state") as state:
        for serial in range(1, 6):
            state.record_generation("oci:/a", "prod", serial, ONE, [A])
        assert [g.serial for g in state.generations.read("oci:/a")] == [3, 4, 5]
        assert all(g.brought for g in state.generations.read("oci:/a"))


def test_a_state_of_an_earlier_version_opens_and_knows_no_generations(tmp_path: Path) -> None:
    with State(tmp_path / "state") as state:
        state.record_import("prod", 1, ONE, "oci:/a", "loaded")
    connection = sqlite3.connect(tmp_path / "state/state.db")
    dropped = "".join(f"DROP TABLE {table}; " for table in ("stood", "brought", "generations", "custody", "owners"))
    connection.executescript(f"{dropped}ALTER TABLE history DROP COLUMN code; PRAGMA user_version = 2;")
    connection.close()
    for _ in range(2):
        with State(tmp_path / "state") as state:
            assert state.generations.read("oci:/a") == []
            assert state.imported_into("prod", 1, "oci:/a") == ONE


def test_the_history_shows_generations_when_asked(tmp_path: Path) -> None:
    asked = ("history", "--generations", "--state", tmp_path / "state")
    assert here(*asked).stdout == "none yet\n"
    assert list(tmp_path.iterdir()) == []
    with State(tmp_path / "state") as state:
        for serial in (1, 2):
            state.record_generation("oci:/a", "prod", serial, ONE, [A, B])
    assert [line.partition("Z  ")[2] for line in here(*asked).stdout.splitlines()] == [
        "prod-0001  oci:/a: 1 image",
        "prod-0002  oci:/a: 1 image, in force",
    ]
    found = json.loads(here(*asked, "--json").stdout)["generations"]
    assert [(one["target"], one["serial"], len(one["brought"])) for one in found] == [("oci:/a", 1, 2), ("oci:/a", 2, 2)]
    assert here(*asked, "--stream", "lab").stdout == "none yet\n"


def image(name: str, digest: Digest) -> Brought:
    return Brought(f"site.example/{name}", digest, image=True)


def stood(state: State, stream: str, moment: int) -> dict[str, Digest]:
    rows = state.generations.standing.read("oci:/a")
    return {one.name.partition("/")[2]: one.digest for one in rows if one.stream == stream and one.at(moment)}


def test_what_another_stream_or_a_rollback_moved_is_known_for_every_generation_after_it(tmp_path: Path) -> None:
    with State(tmp_path / "state") as state:
        state.record_generation("oci:/a", "prod", 1, ONE, [image("a:1", ONE), image("b:1", ONE)])
        state.record_generation("oci:/a", "lab", 1, ONE, [image("a:1", TWO)])
        state.record_generation("oci:/a", "prod", 2, ONE, [image("b:1", TWO)])
        state.record_rollback("oci:/a", "prod", 1, [image("a:1", ONE), image("b:1", ONE)], "moved")
        state.record_generation("oci:/a", "prod", 3, ONE, [image("c:1", TWO)])
        moments = {(g.stream, g.serial): g.moment for g in state.generations.read("oci:/a")}
        assert stood(state, "prod", moments["prod", 1]) == {"a:1": ONE, "b:1": ONE}
        assert stood(state, "prod", moments["prod", 2]) == {"a:1": TWO, "b:1": TWO}
        assert stood(state, "prod", moments["prod", 3]) == {"a:1": ONE, "b:1": ONE, "c:1": TWO}
        assert stood(state, "lab", moments["lab", 1]) == {"a:1": TWO}
        assert stood(state, "lab", moments["prod", 3]) == {"a:1": ONE}


def test_what_no_generation_goes_back_to_is_forgotten_and_what_was_removed_is_marked(tmp_path: Path) -> None:
    with State(tmp_path / "state") as state:
        for serial, digest in enumerate((ONE, TWO, ONE), 1):
            state.record_generation("oci:/a", "prod", serial, ONE, [image("a:1", digest), image(f"old:{serial}", digest)])
        removed = [("site.example/old:1", ONE)]
        state.record_prune("oci:/a", [("prod", 1, image("old:1", ONE))], [("prod", 1)], "removed", removed)
        rows = state.generations.standing.read("oci:/a")
        assert [(one.digest, one.until) for one in rows if one.name.endswith("/a:1")] == [(TWO, 3), (ONE, None)]
        assert {one.name.partition("/")[2]: one.taken for one in rows if "old" in one.name} == {
            "old:1": True,
            "old:2": False,
            "old:3": False,
        }
        state.record_generation("oci:/a", "prod", 4, ONE, [image("old:1", ONE)])
        assert not any(one.taken for one in state.generations.standing.read("oci:/a")), "it came back"


def test_how_an_image_was_accepted_belongs_to_what_its_name_refers_to_now(tmp_path: Path) -> None:
    target, name = "docker://r.site/m", "r.site/m/web:1"
    first = Brought(name, ONE, image=True, source="quay.io/a/web", forms=("bundle", "tag"))
    second = Brought(name, TWO, image=True, source="quay.io/a/web", forms=("gpg",))
    with State(tmp_path / "state") as state:
        for serial, one in enumerate((first, second), 1):
            state.record_generation(target, "prod", serial, ONE, [one, B])
            known = KnownName(name, "quay.io/a/web:1", one.digest)
            state.record_import("prod", serial, ONE, target, "loaded", names=[(target, known)])
            assert state.generations.accepted(target) == [Accepted(name, "quay.io/a/web:1", one.forms)]
        state.record_rollback(target, "prod", 1, [first], "moved 1 name")
    with State(tmp_path / "state") as state:
        assert state.generations.accepted("docker://r.site") == [Accepted(name, "quay.io/a/web:1", ("bundle", "tag"))]
        assert state.generations.accepted("docker://r.sit") == []
        state.record_generation(target, "prod", 3, ONE, [Brought(name, ONE, image=True)])
        assert state.generations.accepted(target), "the last that says anything counts"


def test_a_state_of_before_forms_were_recorded_knows_none(tmp_path: Path) -> None:
    with State(tmp_path / "state") as state:
        state.record_generation("docker://r.site", "prod", 1, ONE, [A])
        state.record_import(
            "prod", 1, ONE, "docker://r.site", "loaded", names=[("docker://r.site", KnownName(A.name, "x/a:1", ONE))]
        )
    with contextlib.closing(sqlite3.connect(tmp_path / "state/state.db")) as old:
        old.executescript("ALTER TABLE brought DROP COLUMN forms; PRAGMA user_version = 7;")
    with State(tmp_path / "state") as state:
        assert state.generations.accepted("docker://r.site") == []
        assert [one.brought for one in state.generations.read("docker://r.site")] == [(A,)]
