"""Machines that share a registry and no state take turns by a lease at the registry."""

from __future__ import annotations

import http.client
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import MEDIA, here
from tests.support.dockerregistry import DockerRegistry
from tests.support.gateway import Gateway
from tests.support.hostile import Reply, Request
from tests.support.life import Life
from tests.support.started import Held, Started, import_of
from tests.support.walk import walk

pytestmark = pytest.mark.slow("runs whole imports against a real registry")

INDEX = "application/vnd.oci.image.index.v1+json"
PATH = "/v2/mirror/airgap-lease/manifests/turn"


@pytest.fixture(params=[True, False], ids=["deletable", "undeletable"])
def registry(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[DockerRegistry]:
    with DockerRegistry(tmp_path / "registry", delete=request.param) as found:
        yield found


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[DockerRegistry]:
    with DockerRegistry(tmp_path / "registry") as found:
        yield found


def lease(address: str, owner: str, seconds: int, tick: int = 0) -> None:
    """Somebody else's lease, written with nothing but HTTP."""
    names = {"id": "somebody", "owner": owner, "seconds": str(seconds), "tick": str(tick)}
    annotations = {f"io.airgap.lease.{name}": value for name, value in names.items()}
    body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [], "annotations": annotations})
    connection = http.client.HTTPConnection(address)
    connection.request("PUT", PATH, body, {"Content-Type": INDEX})
    assert connection.getresponse().status == 201
    connection.close()


def owner(address: str) -> str:
    """Who has the lease; empty when there is none."""
    connection = http.client.HTTPConnection(address)
    connection.request("GET", PATH, headers={"Accept": INDEX})
    answer = connection.getresponse()
    raw = answer.read()
    connection.close()
    return str(json.loads(raw)["annotations"]["io.airgap.lease.owner"]) if answer.status == 200 else ""


def test_a_second_machine_waits_for_the_first_one_and_says_for_whom(life: Life, registry: DockerRegistry, tmp_path: Path) -> None:
    one_state, other_state = str(tmp_path / "one"), str(tmp_path / "other")
    with Gateway(registry.address) as gateway:
        target = f"docker://{gateway.address}/mirror"
        held = gateway.before = Held("PUT", "/manifests/latest")
        with Started(life.site, *import_of(target, life.bundles[0], life.site.policy), state=one_state) as one:
            held.reached.wait()
            assert owner(registry.address).startswith(f"airgap import (process {one.process.pid} on")
            with Started(life.site, *import_of(target, life.bundles[1], life.site.policy), state=other_state) as other:
                line = other.says("waiting for airgap import")
                assert f"process {one.process.pid} on" in line
                assert "from another machine or state" in line
                held.let_go()
                one.ends()
                other.ends()
    assert owner(registry.address) == "", "it was given back"
    below = f"mirror/{life.origin.replace(':', '-')}/shop/app:latest"
    assert walk(registry.address).tags[below] == life.images[1]["shop/app:latest"]
    done = here("receipt", f"docker://{registry.address}", "-o", tmp_path / "receipt", "--site", "p", "--state", tmp_path / "none")
    assert done.returncode == 0, done.stderr
    assert "airgap-lease" not in (tmp_path / "receipt").read_text()


def test_a_lease_of_a_killed_import_keeps_its_own_state_waiting_no_moment(
    life: Life, plain: DockerRegistry, tmp_path: Path
) -> None:
    state = str(tmp_path / "state")
    with Gateway(plain.address) as gateway:
        target = f"docker://{gateway.address}/mirror"
        held = gateway.before = Held("PUT", "/manifests/latest")
        with Started(life.site, *import_of(target, life.bundles[0], life.site.policy), state=state) as one:
            held.reached.wait()
            one.process.kill()
            one.process.wait()
        held.let_go()
        assert owner(plain.address).startswith("airgap import")
        done = here(*import_of(target, life.bundles[0], life.site.policy, "--state", state, "--wait", 0))
        assert done.returncode == 0, done.stderr
        assert "waiting" not in done.stderr
        assert "lease" not in done.stdout


def test_a_lease_of_a_machine_that_died_lapses_and_this_is_said(life: Life, plain: DockerRegistry, tmp_path: Path) -> None:
    lease(plain.address, "airgap watch (process 7 on gate-2)", 3)
    target = f"docker://{plain.address}/mirror"
    done = here(*import_of(target, life.bundles[0], life.site.policy, "--state", tmp_path / "state"))
    assert done.returncode == 0, done.stderr
    assert "airgap watch (process 7 on gate-2) has not renewed its lease for 3 seconds" in done.stderr
    assert "taken away from airgap watch (process 7 on gate-2)" in done.stdout


def test_a_lease_that_lives_is_waited_for_and_broken_only_when_told_to(life: Life, plain: DockerRegistry, tmp_path: Path) -> None:
    target, ended = f"docker://{plain.address}/mirror", threading.Event()
    arguments = import_of(target, life.bundles[0], life.site.policy, "--state", tmp_path / "state")

    def live() -> None:
        tick = 0
        while not ended.wait(0.2):
            tick = 1 - tick
            lease(plain.address, "airgap watch (process 7 on gate-2)", 3, tick)

    lease(plain.address, "airgap watch (process 7 on gate-2)", 3)
    renewing = threading.Thread(target=live)
    renewing.start()
    try:
        done = here(*arguments, "--wait", 8)
    finally:
        ended.set()
        renewing.join()
    assert done.returncode == MEDIA
    for text in ("another machine or state directory", "airgap watch (process 7 on gate-2)", "--break-lease"):
        assert text in done.stderr
    assert walk(plain.address).tags == {}
    lease(plain.address, "airgap watch (process 7 on gate-2)", 900)
    done = here(*arguments, "--break-lease", "--wait", 0)
    assert done.returncode == 0, done.stderr
    assert "taken away from airgap watch (process 7 on gate-2)" in done.stdout


def test_a_lease_that_was_taken_away_stops_before_names_move(life: Life, plain: DockerRegistry, tmp_path: Path) -> None:
    with Gateway(plain.address) as gateway:
        held = gateway.before = Held("PUT", f"/manifests/{life.images[0]['shop/app:1']}")
        target = f"docker://{gateway.address}/mirror"
        with Started(life.site, *import_of(target, life.bundles[0], life.site.policy), state=str(tmp_path / "state")) as one:
            held.reached.wait()
            lease(plain.address, "airgap import (process 7 on gate-2)", 900)
            held.let_go()
            said = one.ends(MEDIA)
        written = [request.path for request in gateway.requests if request.method == "PUT" and "/manifests/" in request.path]
    assert "another machine has taken over the lease" in said
    assert "process 7 on gate-2" in said
    assert not [path for path in written if not path.rpartition("/")[2].startswith(("sha256:", "turn"))]
    assert owner(plain.address) == "airgap import (process 7 on gate-2)", "and what is not ours stays"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405])
def test_a_registry_that_takes_no_lease_keeps_nobody_out(life: Life, plain: DockerRegistry, tmp_path: Path, status: int) -> None:
    def refuse(request: Request) -> Reply | None:
        return Reply(status) if request.method != "GET" and "/airgap-lease/" in request.path else None

    with Gateway(plain.address) as gateway:
        gateway.before = refuse
        target = f"docker://{gateway.address}/mirror"
        done = here(*import_of(target, life.bundles[0], life.site.policy, "--state", tmp_path / "state", "--json"))
        assert done.returncode == 0, done.stderr
    (remark,) = json.loads(done.stdout)["remarks"]
    assert "the registry does not support leases, so only commands that share this state directory take turns" in remark


def test_without_a_lease_nothing_of_ours_is_at_the_registry_and_this_is_said(
    life: Life, plain: DockerRegistry, tmp_path: Path
) -> None:
    target = f"docker://{plain.address}/mirror"
    done = here(*import_of(target, life.bundles[0], life.site.policy, "--state", tmp_path / "state", "--no-lease"))
    assert done.returncode == 0, done.stderr
    assert "no lease was taken at the registry (--no-lease)" in done.stdout
    assert not any("airgap-lease" in path for path, _, _ in os.walk(plain.root))
