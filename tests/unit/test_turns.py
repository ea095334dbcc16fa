"""Locks that say who holds them, and directories that one command at a time writes to."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from airgap import fsio
from airgap.errors import Busy, UsageError
from airgap.registry.http.authfile import forget_all, forget_login, keep_login
from airgap.registry.settings.credentials import Login
from airgap.state import Holder, State, Turn
from tests.support.cli import USAGE, here

_BUSY = UsageError("somebody else is at work")


def test_a_turn_is_proof_for_its_places_only_and_only_while_it_lasts(tmp_path: Path) -> None:
    with State(tmp_path / "state") as memory:
        with memory.turn(["docker://one"], "airgap import", 0, print) as turn:
            turn.check("docker://one")
            with pytest.raises(RuntimeError):
                turn.check("docker://two")
        with pytest.raises(RuntimeError):
            turn.check("docker://one")
    with pytest.raises(RuntimeError):
        Turn(()).check("docker://one")


def test_a_turn_that_was_lost_is_noticed_before_names_move(tmp_path: Path) -> None:
    def lost() -> None:
        raise Busy("another machine has taken over")

    with State(tmp_path / "state") as memory, memory.turn(["docker://one"], "airgap import", 0, print) as turn:
        turn.before_writing(lambda: lost)
        turn.check("docker://one")
        turn.begin("docker://one")
        with pytest.raises(Busy):
            turn.check("docker://one")


def test_turns_at_several_places_are_taken_in_one_order(tmp_path: Path) -> None:
    """Two commands that want both of two places never wait for each other."""
    done = []

    def work(places: list[str]) -> None:
        with State(tmp_path / "state") as memory:
            for _ in range(20):
                with memory.turn(places, "airgap import", 600, lambda _: None):
                    done.append(places)

    threads = [threading.Thread(target=work, args=(places,)) for places in (["a", "b"], ["b", "a"])]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(done) == 40


@pytest.mark.parametrize("note", [b"", b"{", b"[]", b'{"command": 1}', b"\xff\x00", b'{"pid": "x"}'])
def test_a_note_that_is_none_names_nobody(note: bytes) -> None:
    assert Holder.described(note) == "another airgap command"
    assert "\x1b" not in Holder.described(Holder("\x1b[31m", 1, "m", "t").to_bytes())


def test_a_killed_holders_note_is_not_told_of_readers(tmp_path: Path) -> None:
    with State(tmp_path / "state") as memory:
        with memory.turn(["p"], "airgap import", 0, print):
            pass
        readers = memory.turn(["p"], "airgap receipt", 0, print, shared=True)
        with readers, pytest.raises(Busy) as caught, memory.turn(["p"], "airgap prune", 0, print):
            pass
    assert caught.value.got == "another airgap command"


def test_a_directory_that_was_renamed_meanwhile_is_not_locked_in_its_new_place(tmp_path: Path) -> None:
    """Who had the lock has finished: what is at the old name, if anything, is another directory."""
    directory = tmp_path / "prod-0001.partial"
    with pytest.raises(UsageError), fsio.exclusive_directory(directory, _BUSY):
        pass
    assert not os.path.lexists(directory), "and no file is made in its place"
    directory.mkdir()
    with fsio.exclusive_directory(directory, _BUSY), pytest.raises(UsageError), fsio.exclusive_directory(directory, _BUSY):
        pass
    with fsio.exclusive_directory(directory, _BUSY):
        pass


def test_two_pairs_of_keys_are_never_mixed(tmp_path: Path) -> None:
    out = tmp_path / "keys"
    out.mkdir()
    with fsio.exclusive_directory(out, _BUSY):
        done = here("keys", "generate", "--no-passphrase", "--out", out)
    assert done.returncode == USAGE
    assert "another command is generating keys here" in done.stderr
    assert list(out.iterdir()) == []


def test_a_login_is_not_lost_to_another_one(tmp_path: Path) -> None:
    file = tmp_path / "auth.json"
    keep_login(file, "one.example", "", Login("a", "b"), {})
    before = file.read_bytes()
    with fsio.exclusive_directory(tmp_path, _BUSY):
        for change in (
            lambda: keep_login(file, "two.example", "", Login("a", "b"), {}),
            lambda: forget_login(file, "one.example", "", {}),
            lambda: forget_all(file),
        ):
            with pytest.raises(Busy):
                change()
    assert file.read_bytes() == before
    keep_login(file, "two.example", "", Login("a", "b"), {})
    assert list(json.loads(file.read_bytes())["auths"]) == ["one.example", "two.example"]
