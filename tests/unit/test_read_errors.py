"""A read that fails says nothing about what lies there: it is no damage, and nothing is given up for it."""

from __future__ import annotations

import signal
import sqlite3
import sys
from pathlib import Path
from types import FrameType

import pytest

from airgap.cli.main import run
from airgap.documents.custody import new_entry
from airgap.errors import Interrupted, Refused
from airgap.layout import LayoutStore
from airgap.media.custody import append
from airgap.oci.digest import Digest
from airgap.state import KnownName, State
from airgap.watch.attempts import Attempt, Attempts
from tests.support import images
from tests.support.bundles import Sender
from tests.support.eio import compile_shim, fail_every_read

pytestmark = pytest.mark.slow("starts over for every read that fails")

ONE = Digest.of(b"one")


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    with State(tmp_path / "state") as made:
        for serial in range(1, 200):  # so that there are several pages to read
            made.record_import("prod", serial, ONE, "oci:/a", "loaded")
        made.record_export("lab", 3, ONE)
        made.catalogs.keep("lab", 3, b"{}", {}, b"{}")
    return tmp_path / "state"


def test_no_failing_read_of_the_state_passes_for_damage_that_a_new_state_would_mend(shim: Path, state: Path) -> None:
    before = {path.name: path.read_bytes() for path in state.iterdir() if path.is_file()}
    code = f"""
        from pathlib import Path
        from airgap.state import State
        def attempt():
            with State(Path({str(state)!r}), begin=True) as state:
                return state.last_imported("prod").serial, state.history()[-1].event
    """
    results = fail_every_read(shim, code, "state.db", ".airgap-state")
    assert len(results) > 20
    for name, forever, number, kind, what, hint in results:
        where = f"{name}, read {number}{' and all after it' if forever else ''}: {kind}: {what}"
        assert (kind, what) == ("done", "(199, 'export')") or kind == "MediaError", where
        assert "damaged" not in what, where
        assert "--init-state" not in hint, where
        assert kind == "done" or "run the same command again" in hint, where
    assert sum(kind == "MediaError" for *_, kind, _, _ in results) > 20
    assert {path.name: path.read_bytes() for path in state.iterdir() if path.is_file()} == before
    with State(state) as found:
        assert found.last_imported("prod") is not None


def test_a_journal_that_cannot_be_read_is_not_a_damaged_state(shim: Path, state: Path) -> None:
    """A crash in the middle of a change leaves a journal, without which the database is not whole."""
    code = f"""
        import os, shutil, sqlite3
        from pathlib import Path
        from airgap.state import State
        state = Path({str(state)!r})
        def crash(copy):
            shutil.copytree(state, copy)
            if os.fork() == 0:
                connection = sqlite3.connect(copy / "state.db")
                connection.execute("PRAGMA cache_size = 1")
                connection.execute("PRAGMA cache_spill = 1")
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("UPDATE history SET outcome = outcome || ?", ("x" * 3000,))
                os._exit(0)
            os.wait()
            assert (copy / "state.db-journal").stat().st_size > 512
        crashed = state.with_name("crashed")
        crash(crashed)
        def attempt():
            copy = state.with_name("copy")
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(crashed, copy)
            try:
                with State(copy, begin=True) as found:
                    return found.last_imported("prod").serial, len(found.history())
            finally:
                kept = sorted(path.name for path in copy.iterdir() if "lost" in path.name)
                assert not kept, kept
    """
    results = fail_every_read(shim, code, "copy/state.db", "copy/state.db-journal")
    assert {name for name, *_ in results} == {"copy/state.db", "copy/state.db-journal"}
    for name, forever, number, kind, what, hint in results:
        where = f"{name}, read {number}{' and all after it' if forever else ''}: {kind}: {what}"
        assert (kind, what) == ("done", "(199, 200)") or kind == "MediaError", where
        assert "--init-state" not in hint, where


def test_a_new_state_that_cannot_be_read_back_is_not_damaged(shim: Path, tmp_path: Path) -> None:
    code = f"""
        import shutil
        from pathlib import Path
        from airgap.state import State
        place = Path({str(tmp_path / "new")!r})
        def attempt():
            shutil.rmtree(place, ignore_errors=True)
            with State(place) as state:
                return len(state.history())
    """
    results = fail_every_read(shim, code, "state.db")
    assert sum(kind == "MediaError" for *_, kind, _, _ in results) > 3
    for _, _, number, kind, what, hint in results:
        assert (kind, what) == ("done", "0") or kind == "MediaError", f"read {number}: {kind}: {what}"
        assert "--init-state" not in hint, f"read {number}: {hint}"


def test_policy_check_gives_no_advice_about_a_key_that_the_disk_does_not_give(shim: Path, tmp_path: Path) -> None:
    sender = Sender.make(tmp_path / "sender")
    code = f"""
        import json
        from airgap.admission.site import read_key
        from airgap.trust.judge.advice import advise
        from airgap.trust.policy.document import parse_policy
        raw = open({str(sender.policy)!r}, "rb").read()
        def attempt():
            return advise(parse_policy(raw), json.loads(raw), read_key)
    """
    results = fail_every_read(shim, code, "sender.pub")
    assert results
    assert {kind for *_, kind, _, _ in results} == {"MediaError"}


@pytest.mark.parametrize("name", ["catalog.json", "lock.json"])
def test_a_kept_catalog_that_cannot_be_read_is_not_damaged(shim: Path, state: Path, name: str) -> None:
    code = f"""
        from pathlib import Path
        from airgap.state import State
        def attempt():
            with State(Path({str(state)!r})) as state:
                return state.catalogs.find("lab", 3)
    """
    results = fail_every_read(shim, code, name)
    assert results
    assert {kind for *_, kind, _, _ in results} == {"MediaError"}


def test_an_index_that_cannot_be_read_is_neither_damaged_nor_missing_nor_written_anew(shim: Path, tmp_path: Path) -> None:
    with LayoutStore(tmp_path / "store") as layout:
        images.publish(layout, "origin.example/web:1", images.image([images.layer("small")]))
        layout.commit()
    before = (tmp_path / "store/index.json").read_bytes()
    code = f"""
        from pathlib import Path
        from airgap.layout import LayoutStore
        from airgap.oci.reference import Reference
        def attempt():
            with LayoutStore(Path({str(tmp_path / "store")!r})) as layout:
                layout.prepare()
                return layout.resolve(Reference.parse("origin.example/web:1"))
    """
    results = fail_every_read(shim, code, "index.json", "oci-layout")
    assert results
    assert {kind for *_, kind, _, _ in results} == {"MediaError"}
    assert (tmp_path / "store/index.json").read_bytes() == before


def test_a_custody_log_that_cannot_be_read_is_not_broken(shim: Path, tmp_path: Path) -> None:
    entry = new_entry(ONE, "2026-01-01T00:00:00Z", "alice", "", "", None)
    append([tmp_path], entry, None)
    code = f"""
        from pathlib import Path
        from airgap.bundle.carried import read_custody
        from airgap.oci.digest import Digest
        def attempt():
            return read_custody([Path({str(tmp_path)!r})], Digest.of(b"one"))
    """
    results = fail_every_read(shim, code, "custody.jsonl")
    assert results
    assert {kind for *_, kind, _, _ in results} == {"MediaError"}


def test_what_was_tried_before_is_not_forgotten_because_it_could_not_be_read(shim: Path, tmp_path: Path) -> None:
    path = tmp_path / "attempts.json"
    Attempts(path).keep(str(ONE), Attempt("prod-0001", "imported", 0, "key"))
    code = f"""
        from pathlib import Path
        from airgap.watch.attempts import Attempts
        def attempt():
            return Attempts(Path({str(path)!r})).remark
    """
    results = fail_every_read(shim, code, "attempts.json")
    assert results
    assert {kind for *_, kind, _, _ in results} == {"MediaError"}


@pytest.mark.parametrize("name", ["airgap.key", "policy.json", "revoked.txt"])
def test_an_input_that_cannot_be_read_is_no_mistake_in_it(shim: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("content")
    code = f"""
        from pathlib import Path
        from airgap import fsio
        def attempt():
            return fsio.read_input(Path({str(tmp_path / name)!r}), 100, "file")
    """
    assert {kind for *_, kind, _, _ in fail_every_read(shim, code, name)} == {"MediaError"}


@pytest.mark.parametrize("event", ["call", "return"])
def test_a_signal_that_strikes_while_sqlite_calls_us_stays_a_signal(state: Path, event: str) -> None:
    def interrupt(number: int, frame: object) -> None:
        raise Interrupted

    def strike(frame: FrameType, what: str, _: object) -> None:
        if what == event and frame.f_code.co_name == "repository_of":
            sys.setprofile(None)
            signal.raise_signal(signal.SIGUSR1)

    with State(state) as known:
        name = KnownName("registry.site/web:1", "origin.example/web:1", ONE)
        known.record_import("prod", 300, ONE, "docker://registry.site", "loaded", names=[("docker://registry.site", name)])
        known.claim({"registry.site/web": "origin.example/web"})
        before = signal.signal(signal.SIGUSR1, interrupt)
        try:
            sys.setprofile(strike)
            with pytest.raises(Interrupted):
                known.claim({"registry.site/web": "other.example/web"}, replace=True)
        finally:
            sys.setprofile(None)
            signal.signal(signal.SIGUSR1, before)
        assert known.owners({"registry.site/web": ""}) == {"registry.site/web": "origin.example/web"}


def test_what_sqlite_calls_corrupt_is_damage_and_the_hint_names_what_a_new_state_forgets(state: Path) -> None:
    path = state / "state.db"
    data = bytearray(path.read_bytes())
    with State(state) as known:
        pages = [row[0] for row in known._connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'history'")]
    start = (pages[0] - 1) * 4096
    data[start : start + 200] = b"\xff" * 200
    path.write_bytes(data)
    with pytest.raises(Refused) as caught:
        State(state)
    hint = caught.value.hint
    assert hint.startswith("restore it from a backup")
    for word in (
        "--init-state",
        "serials",
        "latest time",
        "repository",
        "prod (taken up to serial 199)",
        "lab (exported up to serial 3)",
    ):
        assert word in hint


def test_a_value_that_nobody_wrote_is_no_reason_for_a_new_state(state: Path) -> None:
    with State(state) as known, known._connection as connection:
        connection.execute("UPDATE imported SET catalog = 'x'")
    with State(state) as known, pytest.raises(Refused) as caught:
        known.last_imported("prod")
    assert "--init-state" not in caught.value.hint
    assert "backup" in caught.value.hint


def test_a_state_of_a_newer_version_is_never_put_aside(state: Path) -> None:
    with State(state) as known:
        known._connection.execute("PRAGMA user_version = 99")
    with pytest.raises(Refused):
        State(state, begin=True)
    assert not [path for path in state.iterdir() if "lost" in path.name]


def test_a_state_that_another_command_holds_says_so(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:

    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda path, timeout=0: real(path, timeout=0))
    holder = real(state / "state.db")
    holder.execute("BEGIN EXCLUSIVE")
    assert run(["history", "--state", str(state)]) == 6
    holder.close()
    said = capsys.readouterr().err
    assert "SQLITE_BUSY" in said
    assert "another command is using it" in said
