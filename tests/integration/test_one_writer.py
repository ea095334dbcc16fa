"""Commands that meet at one target: they take turns, and what is left is what one after the other would have left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from airgap.layout import LayoutStore
from airgap.naming.mapping import parse_target
from airgap.state import State
from tests.support import images
from tests.support.cli import MEDIA, REFUSED, here
from tests.support.dockerregistry import DockerRegistry
from tests.support.drops import Drop, Service
from tests.support.gateway import Gateway
from tests.support.life import Life
from tests.support.started import Held, Started, import_of
from tests.support.walk import walk

pytestmark = pytest.mark.slow("runs whole imports against a real registry")

INTERRUPTED = 130


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[DockerRegistry]:
    with DockerRegistry(tmp_path / "registry") as found:
        yield found


@pytest.fixture
def gateway(registry: DockerRegistry) -> Iterator[Gateway]:
    with Gateway(registry.address) as found:
        yield found


@pytest.fixture
def state(tmp_path: Path) -> str:
    """A state directory of this test's own, as the site names it."""
    return str(tmp_path / "site-state")


def target_of(gateway: Gateway) -> str:
    return f"docker://{gateway.address}/mirror"


def below(life: Life) -> str:
    return f"mirror/{life.origin.replace(':', '-')}/"


def names(registry: DockerRegistry, life: Life) -> dict[str, str]:
    """What the images' names stand for, their closures read and hashed."""
    return {name: digest for name, digest in walk(registry.address).below(below(life)).tags.items() if ":sha256-" not in name}


def history(state: str) -> list[str]:
    done = here("history", "--state", state, "--json")
    return [f"{one['event']} {one['stream']}-{one['serial']}" for one in json.loads(done.stdout)["history"]]


@pytest.mark.parametrize("first", [1, 2])
def test_of_two_imports_at_once_the_later_one_is_judged_by_what_the_earlier_one_has_left(
    life: Life, registry: DockerRegistry, gateway: Gateway, state: str, first: int
) -> None:
    target, second = target_of(gateway), 3 - first
    held = gateway.before = Held("PUT", "/manifests/latest")
    with Started(life.site, *import_of(target, life.bundles[first - 1], life.site.policy), state=state) as one:
        held.reached.wait()
        with Started(life.site, *import_of(target, life.bundles[second - 1], life.site.policy), state=state) as other:
            line = other.says("waiting for airgap import")
            assert f"process {one.process.pid} on {socket.gethostname()}, since 20" in line
            assert f"docker://{gateway.address}" in line
            held.let_go()
            one.ends()
            if second == 1:
                assert "is older than the newest one imported here" in other.ends(REFUSED)
            else:
                other.ends()
    left = names(registry, life)
    assert left["shop/app:latest"] == life.images[1]["shop/app:latest"], "the tag never goes back to the older bundle"
    assert history(state) == ["import prod-1", "import prod-2"] if first == 1 else ["import prod-2", "refused prod-1"]


def test_names_that_an_import_is_about_to_make_are_not_pruned_under_it(
    life: Life, registry: DockerRegistry, gateway: Gateway, state: str, tmp_path: Path
) -> None:
    target, plan = target_of(gateway), tmp_path / "plan.json"
    for bundle in life.bundles:
        life.site.import_(target, bundle, state=state)
    life.site.run("prune", target, "--keep", 1, "--unlisted", "--plan", plan, state=state)
    name = f"{life.origin}/shop/app:1"
    life.site.run(
        *("export", f"bundle:{life.bundles[0]}:{name}", "--accept-unverified-bundles", "--stream", "other", "--serial", 1),
        *("--key", life.site.key, "--out", tmp_path),
    )
    held = gateway.before = Held("PUT", "/manifests/1")
    with Started(life.site, *import_of(target, tmp_path / "other-0001", life.site.policy), state=state) as one:
        held.reached.wait()
        with Started(life.site, "prune", target, "--apply", plan, state=state) as other:
            other.says("waiting for airgap import")
            held.let_go()
            one.ends()
            assert "changed since the plan" in other.ends(REFUSED)
    assert names(registry, life)["shop/app:1"] == life.images[0]["shop/app:1"]


def test_a_rollback_that_meets_an_import_moves_back_what_that_has_moved(
    life: Life, registry: DockerRegistry, gateway: Gateway, state: str
) -> None:
    target = target_of(gateway)
    for bundle in life.bundles[:2]:
        life.site.import_(target, bundle, state=state)
    held = gateway.before = Held("PUT", "/manifests/latest")
    with Started(life.site, *import_of(target, life.bundles[2], life.site.policy), state=state) as one:
        held.reached.wait()
        with Started(life.site, "rollback", target, "--stream", "prod", "--to", 1, state=state) as other:
            other.says("waiting for airgap import")
            held.let_go()
            one.ends()
            other.ends()
    assert names(registry, life)["shop/app:latest"] == life.images[0]["shop/app:latest"]
    assert history(state)[-2:] == ["import prod-3", "rollback prod-1"]


def test_an_import_that_was_killed_keeps_nobody_out(life: Life, registry: DockerRegistry, gateway: Gateway, state: str) -> None:
    target = target_of(gateway)
    held = gateway.before = Held("PUT", "/manifests/latest")
    with Started(life.site, *import_of(target, life.bundles[0], life.site.policy), state=state) as one:
        held.reached.wait()
        with Started(life.site, *import_of(target, life.bundles[1], life.site.policy), state=state) as other:
            other.says("waiting for airgap import")
            one.stop(signal.SIGKILL)
            held.let_go()
            other.ends()
    assert names(registry, life)["shop/app:latest"] == life.images[1]["shop/app:latest"]


def test_an_import_by_watch_waits_its_turn_and_says_for_whom(drop: Drop, life: Life, registry: DockerRegistry) -> None:
    target = f"docker://{registry.address}/mirror"
    drop.put_bundle(life.bundles[0])
    with State(drop.state) as memory, memory.turn([parse_target(target).exclusive_place], "airgap import", 0, print):
        with Service(drop, "--policy", life.site.policy, to=target) as service:
            told = service.until("waiting", "prod-0001")
            assert f"waiting for airgap import (process {os.getpid()} on" in told["waits_for"]
            assert json.loads((drop.root / "prod-0001.result.json").read_bytes())["outcome"] == "waiting"
            assert service.stop() == 0, "no import was running"
        assert walk(registry.address).tags == {}
    with Service(drop, "--policy", life.site.policy, to=target) as service:
        service.until("imported", "prod-0001")


class Busy:
    """Another command's turn, taken by this process."""

    def __init__(self, state: str, target: str) -> None:
        self._memory = State(Path(state))
        self._turn = self._memory.turn([parse_target(target).exclusive_place], "airgap rollback", 0, print)

    def __enter__(self) -> None:
        self._turn.__enter__()

    def __exit__(self, *error: object) -> None:
        self._turn.__exit__(None, None, None)
        self._memory.__exit__()


@pytest.mark.parametrize("transport", ["docker", "oci", "oci-archive", "docker-archive", "dir", "k3s", "containers-storage"])
def test_every_kind_of_target_is_written_to_in_turns(life: Life, state: str, tmp_path: Path, transport: str) -> None:
    place = {"docker": "//127.0.0.1:9/mirror", "containers-storage": ""}.get(transport, str(tmp_path / "there"))
    target = f"{transport}:{place}"
    with Busy(state, target):
        done = here(*import_of(target, life.bundles[0], life.site.policy, "--state", state, "--wait", 0))
    assert done.returncode == MEDIA
    assert f"airgap rollback (process {os.getpid()} on" in done.stderr
    assert "--wait SECONDS" in done.stderr
    assert not (tmp_path / "there").exists()
    assert history(state) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("docker://reg.site/mirror", "docker://REG.site/elsewhere"),
        ("docker://docker.io/mirror", "docker://index.docker.io/mirror"),
        ("oci:{here}/store", "oci:{here}/link/store"),
        ("oci-archive:{here}/a.tar", "docker-archive:{here}/./x/../a.tar"),
    ],
)
def test_another_spelling_of_a_target_is_no_other_place(life: Life, state: str, tmp_path: Path, one: str, other: str) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "link").symlink_to(tmp_path)
    with Busy(state, one.format(here=tmp_path)):
        target = other.format(here=tmp_path)
        done = here(*import_of(target, life.bundles[0], life.site.policy, "--state", state, "--wait", 0))
    assert done.returncode == MEDIA
    assert "another command is using the target" in done.stderr


@pytest.mark.parametrize("command", ["import", "prune", "rollback", "receipt", "watch"])
def test_every_command_that_meets_another_one_waits_no_longer_than_it_is_told(
    life: Life, registry: DockerRegistry, state: str, tmp_path: Path, command: str
) -> None:
    target, plan, drop = f"docker://{registry.address}/mirror", tmp_path / "plan.json", tmp_path / "drop"
    life.site.import_(target, life.bundles[0], state=state)
    life.site.run("prune", target, "--keep", 1, "--plan", plan, state=state)
    before = walk(registry.address), history(state)
    shutil.copytree(life.bundles[1], drop / "prod-0002")
    arguments: tuple[object, ...] = {
        "import": import_of(target, life.bundles[1], life.site.policy),
        "prune": ("prune", target, "--apply", plan),
        "rollback": ("rollback", target, "--stream", "prod", "--to", 1),
        "receipt": ("receipt", target, "-o", tmp_path / "receipt", "--site", "plant"),
        "watch": ("watch", drop, "--to", target, "--policy", life.site.policy, "--once", "--settle", 0),
    }[command]
    with Busy(state, target):
        done = here(*arguments, "--state", state, "--wait", 0.3)
    assert done.returncode == MEDIA
    said = done.stdout + done.stderr
    assert f"waiting for airgap rollback (process {os.getpid()} on" in said
    assert "another command is using the target and still was after 0.3 seconds" in said
    assert (walk(registry.address), history(state)) == before
    assert not (tmp_path / "receipt").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_it_waits_ends_it_and_decides_nothing(life: Life, state: str, tmp_path: Path, number: int) -> None:
    target = f"oci:{tmp_path / 'store'}"
    with Busy(state, target), Started(life.site, *import_of(target, life.bundles[0], life.site.policy), state=state) as waits:
        waits.says("waiting for airgap rollback")
        waits.stop(number)
        waits.ends(INTERRUPTED)
    assert not (tmp_path / "store").exists()
    assert history(state) == []


def test_a_key_that_is_revoked_while_it_waits_opens_nothing(life: Life, state: str, tmp_path: Path) -> None:
    """The gate is asked when the turn has come, by clock, memory and revoked keys of that moment."""
    target = f"oci:{tmp_path / 'store'}"
    (key_id,) = (file.name.split(".")[2] for file in life.bundles[0].iterdir() if file.name.endswith(".sig"))
    with Busy(state, target):
        waits = Started(life.site, *import_of(target, life.bundles[0], life.site.policy), state=state)
        waits.says("waiting for airgap rollback")
        (Path(state) / "revoked.txt").write_text(f"{key_id}\n")
    with waits:
        assert "revoked" in waits.ends(REFUSED)
    assert not (tmp_path / "store").exists()


def test_readers_do_not_wait_for_each_other(life: Life, state: str, tmp_path: Path) -> None:
    target = f"oci:{tmp_path / 'store'}"
    life.site.import_(target, life.bundles[0], state=state)
    place = parse_target(target).exclusive_place
    with State(Path(state)) as memory, memory.turn([place], "airgap receipt", 0, print, shared=True):
        done = here("receipt", target, "-o", tmp_path / "receipt", "--site", "plant", "--state", state, "--wait", 0)
        assert done.returncode == 0, done.stderr
        done = here(*import_of(target, life.bundles[1], life.site.policy, "--state", state, "--wait", 0))
        assert done.returncode == MEDIA


def test_two_exports_with_one_state_do_not_give_one_serial_twice(life: Life, tmp_path: Path) -> None:
    state, layout = str(tmp_path / "state"), f"oci:{tmp_path / 'layout'}:origin.example/web:1"
    with LayoutStore(tmp_path / "layout") as store:
        images.publish(store, "origin.example/web:1", images.image([images.layer("web")]))
        store.commit()

    def export(out: str) -> tuple[object, ...]:
        return ("export", layout, "--out", tmp_path / out, "--stream", "lab", "--key", life.site.key)

    with State(Path(state)) as memory, memory.turn(["stream lab"], "airgap merge", 0, print):
        done = here(*export("one"), "--state", state, "--wait", 0)
        assert done.returncode == MEDIA
        assert f"airgap merge (process {os.getpid()} on" in done.stderr
        assert not (tmp_path / "one").exists()
        first, second = (Started(life.site, *export(out), state=state) for out in ("one", "two"))
        first.says("waiting for airgap merge")
        second.says("waiting for airgap merge")
    with first, second:
        first.ends()
        second.ends()
    found = sorted(path.name for out in ("one", "two") for path in (tmp_path / out).iterdir())
    assert found == ["lab-0001", "lab-0002"]
