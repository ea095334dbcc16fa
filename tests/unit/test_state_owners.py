"""Which source every repository at a target is for, as the state remembers it: also of states that older versions wrote."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from pathlib import Path

from airgap.oci.digest import Digest
from airgap.state import Brought, KnownName, State
from airgap.state import place as states

ONE, TWO = Digest.of(b"one"), Digest.of(b"two")
PLACE = "r.site:5000/m/web"


def test_a_repository_belongs_to_the_source_that_was_there_first(tmp_path: Path) -> None:
    with State(tmp_path / "state") as state:
        assert state.claim({PLACE: "docker.io/a/web", "r.site:5000/m/other": "docker.io/a/other"}) == {}
        assert state.claim({PLACE: "docker.io/a/web"}) == {}
    with State(tmp_path / "state") as state:
        wanted = {"r.site:5000/m/free": "quay.io/a/free", PLACE: "quay.io/a/web"}
        assert state.claim(wanted) == {PLACE: "docker.io/a/web"}
        assert state.owners(wanted) == {PLACE: "docker.io/a/web"}, "all or nothing: the free one was not taken"


def test_a_repository_that_is_taken_over_forgets_the_names_that_it_had(tmp_path: Path) -> None:
    names = [("docker://r.site:5000/m", KnownName(f"{PLACE}:{tag}", f"docker.io/a/web:{tag}", ONE)) for tag in ("1", "2")]
    names.append(("docker://r.site:5000/m", KnownName("r.site:5000/m/web2:1", "docker.io/a/web2:1", ONE)))
    with State(tmp_path / "state") as state:
        state.claim({PLACE: "docker.io/a/web"})
        state.record_import("prod", 1, ONE, "docker://r.site:5000/m", "loaded", names=names)
        assert state.claim({PLACE: "quay.io/a/web"}, replace=True) == {}
        assert state.owners({PLACE: ""}) == {PLACE: "quay.io/a/web"}
        assert [one.name for one in state.names("docker://r.site:5000/m")] == ["r.site:5000/m/web2:1"]


def test_of_two_imports_at_a_time_one_gets_the_repository(tmp_path: Path) -> None:
    with State(tmp_path / "state"):
        pass
    barrier, answers = threading.Barrier(4), []

    def run(source: str) -> None:
        with State(tmp_path / "state") as state:
            barrier.wait()
            answers.append(state.claim({PLACE: source}))

    threads = [threading.Thread(target=run, args=(f"host{number}.example/web",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with State(tmp_path / "state") as state:
        owner = state.owners({PLACE: ""})[PLACE]
    assert sorted(answers, key=str) == sorted([{}, *[{PLACE: owner}] * 3], key=str)


def old_state(directory: Path) -> sqlite3.Connection:
    """A state as version 4 wrote it, to be filled."""
    directory.mkdir()
    connection = sqlite3.connect(directory / "state.db")
    steps = "; ".join(statement for step in states._STEPS[:4] for statement in step)
    connection.executescript(f"{states._SCHEMA} {steps}; PRAGMA user_version = 4; PRAGMA application_id = {states._APPLICATION};")
    return connection


def test_an_older_state_opens_and_its_names_tell_the_owners(tmp_path: Path) -> None:
    target = "docker://R.Site:05000/m"
    with contextlib.closing(old_state(tmp_path / "state")) as connection, connection:
        rows = [
            (target, "R.Site:05000/m/web:1", "QUAY.IO/a/web:1", ONE, "2026-01-01T00:00:00Z"),
            (target, "R.Site:05000/m/tool:1", "docker.io/a/tool:1", ONE, "2026-01-02T00:00:00Z"),
            (target, "R.Site:05000/m/tool:2", "ghcr.io/a/tool:2", TWO, "2026-01-03T00:00:00Z"),
            (target, f"R.Site:05000/m/pin@{ONE}", f"quay.io/a/pin@{ONE}", ONE, "2026-01-03T00:00:00Z"),
            ("oci:/srv/store", "quay.io/a/web:1", "quay.io/a/web:1", ONE, "2026-01-03T00:00:00Z"),
            (target, "not a name", "docker.io/a/x:1", ONE, "2026-01-03T00:00:00Z"),
        ]
        connection.executemany("INSERT INTO names VALUES (?, ?, ?, ?, ?)", rows)
        connection.execute("INSERT INTO imported VALUES ('prod', 3, ?, ?, '')", (ONE, f"{target} only linux/amd64 signed by ABC"))
        connection.execute("INSERT INTO generations VALUES (?, 'prod', 3, ?, '', 1, 0)", (target, ONE))
        connection.execute("INSERT INTO brought VALUES (?, 'prod', 3, 'R.Site:05000/m/web:1', ?, 1)", (target, ONE))
        connection.execute("INSERT INTO brought VALUES (?, 'prod', 3, 'R.Site:05000/m/web:s.sig', ?, 0)", (target, ONE))
    to = "docker://r.site:5000/m"
    for _ in range(2):
        with State(tmp_path / "state") as state:
            places = {f"r.site:5000/m/{name}": "" for name in ("web", "tool", "pin")} | {"quay.io/a/web": ""}
            assert state.owners(places) == {
                "r.site:5000/m/web": "quay.io/a/web",
                "r.site:5000/m/tool": "ghcr.io/a/tool",  # two had it: the last one keeps it
                "r.site:5000/m/pin": "quay.io/a/pin",
            }
            assert state.imported_into("prod", 3, f"{to} only linux/amd64 signed by ABC") == ONE
            (generation,) = state.generations.read(to)
            assert generation.brought == (
                Brought("r.site:5000/m/web:1", ONE, image=True, source="quay.io/a/web"),
                Brought("r.site:5000/m/web:s.sig", ONE, image=False),
            )
            assert {one.name for one in state.names(to)} >= {"r.site:5000/m/web:1", f"r.site:5000/m/pin@{ONE}"}
