"""What could not be remembered is remembered by the same command again: one result, however often it takes."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airgap import fsio
from airgap.errors import Refused
from airgap.format.names import volume_name
from airgap.layout import LayoutStore
from airgap.state import State
from tests.support import images
from tests.support.once import World, make_world

pytestmark = pytest.mark.slow("runs whole commands again and again")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with make_world(tmp_path_factory.mktemp("once")) as made:
        yield made


@contextlib.contextmanager
def refusing(state: Path, event: str) -> Iterator[None]:
    """The database does not take one kind of change, as when its disk is full."""
    with State(state):
        pass
    with contextlib.closing(sqlite3.connect(state / "state.db")) as connection:
        connection.execute(f"CREATE TRIGGER refusing BEFORE {event} BEGIN SELECT RAISE(FAIL, 'no room'); END")
        connection.commit()
        yield
        connection.execute("DROP TRIGGER refusing")
        connection.commit()


def bundles(out: Path) -> list[str]:
    return sorted(path.name for path in out.iterdir())


@pytest.mark.parametrize("kind", [(), ("--encrypt-to",), ("--serial", 1), ("--since",), ("--parity", 1)], ids=lambda kind: kind[:1])
def test_a_state_without_room_for_what_was_sealed_does_not_make_a_second_bundle(
    world: World, tmp_path: Path, kind: tuple[object, ...]
) -> None:
    out, state, serial = tmp_path / "out", tmp_path / "state", 1
    if kind == ("--since",):
        kind, serial = ("--since", world.bundle(1)), 2
        shutil.copytree(world.root / "first-state", state)
        shutil.rmtree(state / "catalogs")
    elif kind == ("--encrypt-to",):
        kind = ("--encrypt-to", world.reader.public)
    command, name = world.exporting(serial, out, state, *kind), f"prod-{serial:04d}"
    with State(state):
        (state / "catalogs").write_bytes(b"")  # nothing can be kept there
    assert world.driver.run(*command).returncode == 6
    assert bundles(out) == [f"{name}.partial"], "what cannot be remembered is not shown"
    (state / "catalogs").unlink()
    for event in ("INSERT ON exported", "DELETE ON memory"):
        with refusing(state, event):
            assert world.driver.run(*command).returncode == 6
        assert bundles(out) == [name]
    done = world.driver.run(*command)
    assert done.returncode == 0, done.stderr
    assert (done.json["serial"], done.json["already_there"], bundles(out)) == (serial, True, [name])
    with State(state) as known:
        assert [event.serial for event in known.history() if event.event == "export"][-1:] == [serial]
        assert len([event for event in known.history() if event.event == "export"]) == serial
        assert known.intents.sealings("prod") == []
        assert known.catalogs.find("prod", serial) is not None


def test_an_export_nobody_heard_of_is_the_answer_also_when_tags_have_moved_since(world: World, tmp_path: Path) -> None:
    shutil.copytree(world.root / "v1", tmp_path / "source")
    out, state = tmp_path / "out", tmp_path / "state"
    command = world.exporting(1, out, state)
    command[1] = f"oci:{tmp_path}/source"
    with refusing(state, "DELETE ON memory"):
        assert world.driver.run(*command).returncode == 6
    with LayoutStore(tmp_path / "source") as layout:
        images.publish(layout, "origin.example/shop/web:1", images.image([images.layer("another")]))
        layout.commit()
    first = world.driver.run(*command)
    assert (first.returncode, first.json["serial"], first.json["already_there"]) == (0, 1, True)
    second = world.driver.run(*command)
    assert (second.returncode, second.json["serial"], second.json["already_there"]) == (0, 2, False)


FILES = {"oci-archive": "oci-archive:{}", "docker-archive": "docker-archive:{}", "k3s": "k3s:{}", "dir": "dir:{}"}


def died(world: World, form: str, work: Path) -> tuple[list[object], Path]:
    """An import whose result is there and not remembered: the command, and the result."""
    command = world.importing(1, FILES[form].format(work / "there"), work / "state")
    if form == "dir":
        command[1] = world.root / "single/prod-0001"
    with refusing(work / "state", "INSERT ON imported"):
        assert world.driver.run(*command).returncode == 6
    return command, work / "there/prod-0001.tar" if form == "k3s" else work / "there"


@pytest.mark.parametrize("form", FILES)
def test_an_archive_of_an_import_that_died_before_it_was_remembered_is_recognised(world: World, tmp_path: Path, form: str) -> None:
    command, _ = died(world, form, tmp_path)
    again = world.driver.run(*command)
    assert again.returncode == 0, again.stderr
    assert again.json["already_there"]
    assert world.driver.run(*command).json["already_there"]
    with State(tmp_path / "state") as known:
        imports = [event.outcome for event in known.history() if event.event == "import"]
        assert len(imports) == 2
        assert imports[0].startswith("loaded")
        assert imports[1] == "nothing to do"


def flip(path: Path) -> None:
    target = path if path.is_file() else max((one for one in path.iterdir()), key=lambda one: one.stat().st_size)
    data = bytearray(target.read_bytes())
    data[len(data) // 2] ^= 1
    target.write_bytes(data)


def add(path: Path) -> None:
    if path.is_dir():
        (path / "more").write_bytes(b"x")
    else:
        (path.parent / "x").write_bytes(b"x")
        with tarfile.open(path, "a") as archive:
            archive.add(path.parent / "x", "blobs/x")


def lengthen(path: Path) -> None:
    target = path if path.is_file() else path / "manifest.json"
    with target.open("ab") as file:
        file.write(bytes(512))


@pytest.mark.parametrize("form", FILES)
@pytest.mark.parametrize("change", [flip, add, lengthen])
def test_an_archive_that_is_not_byte_for_byte_ours_is_refused(
    world: World, tmp_path: Path, form: str, change: Callable[[Path], None]
) -> None:
    command, result = died(world, form, tmp_path)
    change(result)
    before = result.stat()
    refused = world.driver.run(*command)
    assert refused.returncode in (2, 4), refused
    assert result.stat().st_mtime_ns == before.st_mtime_ns
    with State(tmp_path / "state") as known:
        assert known.last_imported("prod") is None


def test_an_archive_of_another_bundle_or_way_is_refused(world: World, tmp_path: Path) -> None:
    command, _ = died(world, "oci-archive", tmp_path)
    assert world.driver.run(*command, "--without", "all").returncode == 2
    other = list(command)
    other[1] = world.root / "single/prod-0001"
    assert world.driver.run(*other).returncode == 2
    with State(tmp_path / "state") as known:
        assert known.last_imported("prod") is None


def test_a_repair_that_died_before_its_documents_were_written_writes_them(world: World, tmp_path: Path) -> None:
    shutil.copytree(world.root / "parity/prod-0001", tmp_path / "bundle")
    (tmp_path / "bundle" / volume_name(2)).unlink()
    command = ["media", "repair", tmp_path / "bundle", "--out", tmp_path / "out"]
    world.run(*command)
    whole = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    for name in whole.keys() - {"catalog.json", volume_name(2)}:
        for path in (tmp_path / "out").iterdir():
            if path.name not in ("catalog.json", volume_name(2)):
                path.unlink()
        (tmp_path / "out" / name).write_bytes(b"half of it")
        world.run(*command)
        assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == whole


def imported_twice(world: World, work: Path) -> str:
    target = f"oci:{work}/store"
    for serial in (1, 2):
        world.run(*world.importing(serial, target, work / "state"))
    return target


def test_a_plan_that_was_carried_out_is_nothing_to_do(world: World, tmp_path: Path) -> None:
    target, state = imported_twice(world, tmp_path), ("--state", tmp_path / "state")
    world.run("prune", target, "--keep", 1, "--plan", tmp_path / "plan.json", *state)
    world.run("prune", target, "--apply", tmp_path / "plan.json", *state)
    for _ in range(2):
        again = world.driver.run("prune", target, "--apply", tmp_path / "plan.json", *state)
        assert again.returncode == 0, again.stderr
        assert again.stdout == f"nothing to do: {tmp_path}/plan.json was already carried out\n"
    assert world.driver.run("prune", target, "--apply", tmp_path / "plan.json", *state, "--json").json["already_applied"]
    with State(tmp_path / "state") as known:
        assert [event.event for event in known.history()].count("prune") == 1


def test_a_plan_for_another_target_is_refused_although_it_was_carried_out(world: World, tmp_path: Path) -> None:
    target, state = imported_twice(world, tmp_path), ("--state", tmp_path / "state")
    world.run("prune", target, "--keep", 1, "--plan", tmp_path / "plan.json", *state)
    world.run("prune", target, "--apply", tmp_path / "plan.json", *state)
    assert world.driver.run("prune", f"oci:{tmp_path}/other", "--apply", tmp_path / "plan.json", *state).returncode == 2


def test_a_rollback_that_died_before_it_was_remembered_what_it_removed_is_remembered(world: World, tmp_path: Path) -> None:
    target = imported_twice(world, tmp_path)
    command = ["rollback", target, "--stream", "prod", "--to", 1, "--remove-new", "--state", tmp_path / "state"]
    with refusing(tmp_path / "state", "UPDATE OF pruned ON generations"):
        assert world.driver.run(*command).returncode == 6
    for _ in range(2):
        world.run(*command)
        with State(tmp_path / "state") as known:
            assert [event.event for event in known.history()].count("prune") == 1
            names = {one.name for one in known.generations.standing.read(target) if one.until is None}
            assert names == {"origin.example/shop/web:1", "origin.example/shop/only:1"}
    index = json.loads((tmp_path / "store/index.json").read_bytes())
    assert len(index["manifests"]) == 2


def test_a_bundle_whose_export_is_about_to_tell_is_not_taken_for_that_of_a_run_that_died(world: World, tmp_path: Path) -> None:
    command = world.exporting(1, tmp_path / "out", tmp_path / "state")
    with refusing(tmp_path / "state", "DELETE ON memory"):
        assert world.driver.run(*command).returncode == 6
    with fsio.exclusive_directory(tmp_path / "out/prod-0001", Refused("it is held")):
        refused = world.driver.run(*command)
    assert refused.returncode == 2
    assert "another export is writing this bundle" in refused.stderr
    assert world.driver.run(*command).json["already_there"]
