"""Which trusted root judges, and what happens when an installed one grows old or is damaged."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.support import trustedroots
from tests.support.cli import REFUSED, USAGE, failed, here
from tests.support.crash import crasher
from tests.support.rootworld import KEYLESS, World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return World.make(tmp_path)


def explained(world: World, *options: object) -> Any:
    command = ("policy", "explain", "quay.io/a", "--policy", world.sender.policy, "--state", world.state)
    return here(*command, *options)


def test_commands_judge_by_what_is_installed_unless_a_file_is_named(world: World) -> None:
    world.pin()
    assert "root   none: " in explained(world).stdout
    world.updated(world.bundle())
    assert "root   installed, root version 1\n" in explained(world).stdout
    path = world.work / "own.json"
    path.write_bytes(trustedroots.plain())
    assert f"root   {path}\n" in explained(world, "--trusted-root", path).stdout


def test_an_installed_root_that_grows_old_warns_first_and_stops_then(world: World) -> None:
    world.ask_for_keyless()
    world.pin()
    bundle = world.bundle()
    world.updated(bundle)
    command = ("verify", bundle, "--policy", world.sender.policy, "--state", world.state)
    assert "warning" not in here(*command).stderr
    world.grow_old(200)
    done = here(*command)
    assert done.returncode == 0
    assert "warning: the installed trusted root was current 200 days ago" in done.stderr
    assert here(*command, "--root-warn-age", "201d").stderr.count("warning") == 0
    assert world.shown()["warnings"] == ["it grows old (root-warn-age 180d): bring a newer one"]
    world.grow_old(400)
    failed(here(*command), REFUSED, "the installed trusted root is too old", "less than 400 days ago")
    failed(here(*command, "--root-max-age", "300d", "--root-warn-age", "1d"), REFUSED, "less than 300 days ago")
    assert here(*command, "--root-max-age", "500d").returncode == 0
    assert world.updated(world.bundle(serial=2))["installed"]
    assert here(*command).returncode == 0


def test_a_site_whose_policy_asks_for_no_keyless_signature_is_not_stopped_by_an_old_root(world: World) -> None:
    world.pin()
    bundle = world.bundle()
    world.updated(bundle)
    world.grow_old(1000)
    done = here("verify", bundle, "--policy", world.sender.policy, "--state", world.state)
    assert (done.returncode, "warning" in done.stderr) == (0, False)


def test_an_old_copy_of_the_state_and_a_clock_that_was_set_back_do_not_make_a_root_fresh(world: World) -> None:
    world.ask_for_keyless()
    world.pin()
    bundle = world.bundle()
    world.updated(bundle)
    world.grow_old(300)
    with sqlite3.connect(world.state / "state.db") as database:
        database.execute("INSERT OR REPLACE INTO memory VALUES ('floor', ?)", (trustedroots.later(150),))
    database.close()
    failed(explained(world), REFUSED, "the installed trusted root is too old")


def test_ages_are_days_and_the_warning_comes_first(world: World) -> None:
    failed(explained(world, "--root-max-age", "soon"), USAGE, "--root-max-age", "such as 90d")
    failed(explained(world, "--root-warn-age", "90d", "--root-max-age", "30d"), USAGE, "the warning would never come")


def test_ages_and_the_policy_of_an_update_can_stand_in_the_configuration(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRGAP_CONFIG", raising=False)
    monkeypatch.chdir(world.work)
    (world.work / "site.toml").write_text(f'[site]\npolicy = "{world.sender.policy}"\nroot-max-age = "7d"\nroot-warn-age = "1d"\n')
    world.pin()
    config = ("--config", world.work / "site.toml")
    done = here("trust", "update", world.bundle(), "--state", world.state, "--yes", *config)
    assert done.returncode == 0, done.stderr
    world.grow_old(8)
    assert world.shown(*config)["warnings"][0].startswith("it is too old (root-max-age 7d)")


def test_a_damaged_installation_is_refused_and_can_be_replaced(world: World) -> None:
    world.ask_for_keyless()
    world.pin()
    world.updated(world.bundle())
    with sqlite3.connect(world.state / "state.db") as database:
        database.execute("UPDATE memory SET value = '{}' WHERE name = 'sigstore-root'")
    database.close()
    failed(explained(world), REFUSED, "the installed trusted root is damaged", "--replace")
    failed(world.update(world.bundle(serial=2)), REFUSED, "damaged")
    assert world.pin(1, "--replace").returncode == 0
    assert world.updated(world.bundle(serial=3))["installed"]


def test_an_update_that_is_killed_anywhere_leaves_the_former_root_or_the_new_one(world: World) -> None:
    world.pin()
    world.updated(world.bundle())
    before = world.shown()
    world.instance.rotate()
    world.instance.publish(trustedroots.root([trustedroots.log("rekor2.example")]))
    bundle = world.bundle(serial=2)
    kept = shutil.copytree(world.state, world.work / "kept")
    command = ("trust", "update", bundle, "--policy", world.sender.policy, "--state", world.state, "--yes")
    with crasher(world.work / "home") as driver:
        points = driver.crash("", *command).points
        assert {"before record_sigstore_root #1", "after history #1"} <= set(points)
        for point in points:
            shutil.rmtree(world.state)
            shutil.copytree(kept, world.state)
            assert driver.crash(point, *command).killed
            done = point == "after record_sigstore_root #1"
            assert world.shown()["root_version"] == (2 if done else 1), point
            assert done or world.shown() == before
            assert driver.run(*command).returncode == 0
            assert world.shown()["root_version"] == 2


def test_watch_looks_again_at_what_it_refused_when_something_else_is_trusted(world: World) -> None:
    bundle, own = world.bundle(), world.work / "own.json"
    document = json.loads(world.sender.policy.read_text())
    document["transports"]["docker"] = {"": [KEYLESS]}
    world.sender.policy.write_text(json.dumps(document))
    own.write_bytes(trustedroots.plain())

    def events(*options: object) -> list[str]:
        fixed = ("--to", f"oci:{world.work / 'store'}", "--policy", world.sender.policy, "--state", world.state)
        done = here("watch", bundle.parent, *fixed, "--once", "--settle", 0, "--json", *options)
        return [one["event"] for one in map(json.loads, done.stdout.splitlines()) if one["event"] in ("refused", "unchanged")]

    assert (events(), events()) == (["refused"], ["unchanged"])
    world.pin()
    world.updated(bundle)
    assert (events(), events()) == (["refused"], ["unchanged"])
    assert (events("--trusted-root", own), events("--trusted-root", own)) == (["refused"], ["unchanged"])
    own.write_bytes(trustedroots.root([trustedroots.log("rekor2.example")]))
    assert events("--trusted-root", own) == ["refused"]
