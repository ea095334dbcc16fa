"""A state directory into which somebody else can write is no memory: it is mended or refused, and told."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airgap.errors import Refused
from airgap.lookaside import write_signatures
from airgap.oci.digest import Digest
from airgap.registry.http.authfile import keep_login
from airgap.registry.settings.credentials import Login
from airgap.state import State
from airgap.targets.directory import DirTarget, StorageTarget
from tests.support.cli import REFUSED, failed, here
from tests.support.tools import require
from tests.support.yard import Yard

SOMEBODY = 12345
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to somebody else")


@pytest.fixture
def _no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def begun(path: Path) -> Path:
    """A state that remembers something."""
    with State(path) as state:
        state.record_export("prod", 1, Digest.of(b""))
        state.catalogs.keep("prod", 1, b"{}", {}, b"")
    return path


def remembers(path: Path) -> bool:
    with State(path) as state:
        return state.last_exported("prod") is not None


@pytest.mark.usefixtures("_no_umask")
def test_a_state_and_the_directories_on_the_way_are_for_their_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    state = begun(tmp_path / "home/.local/state/airgap")
    found = list((tmp_path / "home").rglob("*"))
    assert len(found) > 6
    assert {(path, mode(path)) for path in (tmp_path / "home", *found) if mode(path) & 0o077} == set()
    assert mode(state) == 0o700


@pytest.mark.usefixtures("_no_umask")
def test_journals_of_the_database_are_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    with State(begun(tmp_path / "state")) as state:
        state._connection.execute("BEGIN IMMEDIATE")
        state._connection.execute("DELETE FROM exported")
        assert {path.name: mode(path) for path in (tmp_path / "state").glob("state.db*")} == {
            "state.db": 0o600,
            "state.db-journal": 0o600,
        }
        state._connection.rollback()


@pytest.mark.parametrize("number", [0o777, 0o770, 0o775, 0o707, 0o702])
def test_a_state_that_others_could_write_is_mended_with_a_word(tmp_path: Path, number: int) -> None:
    state = begun(tmp_path / "state")
    (state / "catalogs").chmod(0o777)
    (state / "state.db").chmod(0o666)
    state.chmod(number)
    done = here("history", "--state", state)
    assert done.returncode == 0
    assert f"others could write to the state directory {state}" in done.stderr
    assert [path for path in (state, *state.rglob("*")) if mode(path) & 0o022] == []
    assert mode(state) == 0o700
    assert here("history", "--state", state).stderr == ""
    assert remembers(state)


def test_what_others_could_write_inside_a_readable_state_is_mended(tmp_path: Path) -> None:
    state = begun(tmp_path / "state")
    state.chmod(0o755)
    (state / "state.db").chmod(0o666)
    assert "others could write" in here("history", "--state", state).stderr
    assert (mode(state), mode(state / "state.db")) == (0o755, 0o644)


@pytest.mark.parametrize(
    ("make", "got"),
    [
        (lambda path: path.chmod(0o1777), "a shared directory"),
        (lambda path: [path.chmod(0o777), (path / "letter").touch()], "other files in it"),
    ],
    ids=["sticky", "other files"],
)
def test_a_directory_for_several_is_refused_and_left_as_it_is(tmp_path: Path, make: Callable[[Path], object], got: str) -> None:
    place = tmp_path / "place"
    place.mkdir()
    make(place)
    before = mode(place), sorted(place.iterdir())
    failed(here("history", "--state", place, "--json"), REFUSED, "the state directory is not private", got, "--state")
    with pytest.raises(Refused, match="not private"):
        State(place)
    assert (mode(place), sorted(place.iterdir())) == before


def test_an_empty_directory_that_others_could_write_is_mended_before_a_state_begins(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    place.chmod(0o777)
    begun(place)
    assert mode(place) == 0o700


@as_root
def test_a_state_of_somebody_else_is_refused_also_through_a_link(tmp_path: Path) -> None:
    state = begun(tmp_path / "theirs")
    os.chown(state, SOMEBODY, SOMEBODY)
    (tmp_path / "link").symlink_to(state)
    for path in (state, tmp_path / "link"):
        failed(here("history", "--state", path, "--json"), REFUSED, "a directory of user 12345", "run as user 12345")
    os.chown(state, 0, 0)
    assert remembers(tmp_path / "link")


@as_root
@pytest.mark.parametrize("number", [0o777, 0o755])
@pytest.mark.parametrize("name", ["state.db", "state.db-journal", "revoked.txt", "catalogs/prod/1/catalog.json"])
def test_what_somebody_else_put_into_a_state_is_refused(tmp_path: Path, number: int, name: str) -> None:
    state = begun(tmp_path / "state")
    (state / name).touch()
    os.chown(state / name, SOMEBODY, SOMEBODY)
    state.chmod(number)
    failed(here("history", "--state", state, "--json"), REFUSED, f"{Path(name).name} in it belongs to user 12345")


@as_root
def test_for_an_ordinary_user_a_state_of_root_that_others_can_write_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    place.chmod(0o777)
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom airgap.state import State\n"
        "os.chdir(sys.argv[1])\nos.setgid(12345)\nos.setuid(12345)\nState.protect(Path())"
    )
    done = subprocess.run([sys.executable, "-c", code, str(place)], capture_output=True, text=True, check=False)
    assert "Refused: the state directory is not private" in done.stderr
    assert mode(place) == 0o777


@pytest.mark.usefixtures("_no_umask")
def test_keys_logins_and_scratch_lie_in_directories_for_their_owner_whatever_the_umask(tmp_path: Path) -> None:
    assert here("keys", "generate", "--no-passphrase", "--out", tmp_path / "new/keys").returncode == 0
    assert {path.relative_to(tmp_path).as_posix(): mode(path) for path in (tmp_path / "new", *(tmp_path / "new").rglob("*"))} == {
        "new": 0o700,
        "new/keys": 0o700,
        "new/keys/airgap.key": 0o600,
        "new/keys/airgap.pub": 0o644,
    }


@pytest.mark.usefixtures("_no_umask")
def test_what_we_make_for_others_to_read_is_not_for_them_to_write_whatever_the_umask(tmp_path: Path) -> None:
    yard = Yard.make(tmp_path / "yard")
    bundle = yard.bundle(1)
    here("media", "repair", bundle, "--out", tmp_path / "new/repaired")
    (tmp_path / "disk").mkdir(mode=0o755)
    assert here("media", "copy", bundle, tmp_path / "disk").returncode == 0
    write_signatures(
        tmp_path / "new/tree",
        "team/app",
        Digest.of(b""),
        [b"\xa3signature"],
    )
    keep_login(tmp_path / "new/login/auth.json", "registry.example", "", Login("user", "secret"), {})
    with DirTarget(tmp_path / "new/target/image") as target:
        target._begun()
        made = [path for root in (bundle, tmp_path / "new", tmp_path / "disk") for path in (root, *root.rglob("*"))]
        assert [path for path in made if mode(path) & 0o022] == []
    assert len(made) > 25
    assert mode(tmp_path / "new/login") == 0o700
    assert mode(tmp_path / "new/login/auth.json") == 0o600
    assert mode(tmp_path / "new/tree/team") == 0o755


@pytest.mark.usefixtures("_no_umask")
def test_a_scratch_directory_for_images_is_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    require("skopeo")
    with StorageTarget(tmp_path / "new/scratch") as target:
        target._begun()
        (pool,) = (tmp_path / "new/scratch").iterdir()
        assert [mode(path) for path in (tmp_path / "new", tmp_path / "new/scratch", pool)] == [0o700] * 3
    assert not pool.exists()
