"""An import into registries that limit, fail, cut and vanish ends complete, and nothing is tagged before everything is there."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import images
from tests.support.bundles import Sender
from tests.support.cli import NETWORK, failed, here
from tests.support.cutting import Cutting
from tests.support.dockerregistry import DockerRegistry
from tests.support.gateway import Gateway
from tests.support.hostile import HANG_UP, Reply, Request
from tests.support.origin import Origin
from tests.support.restarting import Restarting
from tests.support.served import ask
from tests.support.tools import require

pytestmark = pytest.mark.slow("waits for retries, timeouts or a service")

WEB = "docker.io/shop/web:1"
LIMIT = 150_000


@dataclass(frozen=True)
class Load:
    """A bundle with large layers, and how it is imported."""

    sender: Sender
    bundle: Path
    digest: str

    def into(self, address: str, work: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        fixed = ["--policy", self.sender.policy, "--state", work / "state", "--json", "--threads", 2]
        done = here("import", self.bundle, "--to", f"docker://{address}/m", *fixed)
        assert not check or done.returncode == 0, done.stderr
        return done

    def is_complete(self, registry: DockerRegistry) -> None:
        """By the registry's own word, behind whatever is before it."""
        name = "/v2/m/docker.io/shop/web"
        accept = {"Accept": "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"}
        root = ask(registry.address, f"{name}/manifests/1", **accept)
        assert root.headers["Docker-Content-Digest"] == self.digest
        for child in root.json["manifests"]:
            manifest = ask(registry.address, f"{name}/manifests/{child['digest']}", **accept).json
            for blob in (manifest["config"], *manifest["layers"]):
                assert len(ask(registry.address, f"{name}/blobs/{blob['digest']}").body) == blob["size"]


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    work = tmp_path_factory.mktemp("load")
    sender, origin = Sender.make(work / "sender"), Origin()
    base = images.layer("base", 700_000)
    web = images.index([images.image([base, images.layer(p, 300_000)], platform=p) for p in images.PLATFORMS])
    return Load(sender, sender.bundle(origin, [origin.push(WEB, web)], work / "usb"), str(web.digest))


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[DockerRegistry]:
    require("docker-registry")
    with DockerRegistry(tmp_path / "registry") as found:
        yield found


@pytest.fixture
def gateway(registry: DockerRegistry) -> Iterator[Gateway]:
    with Gateway(registry.address) as found:
        yield found


def tags_come_last(requests: list[Request]) -> bool:
    writes = [one for one in requests if one.method in ("PUT", "PATCH", "POST") and "/airgap-lease/" not in one.path]
    tagging = [i for i, one in enumerate(writes) if "/manifests/" in one.path and "sha256" not in one.path]
    return bool(tagging) and all("/manifests/" in one.path and "sha256" not in one.path for one in writes[tagging[0] :])


def tags(registry: DockerRegistry) -> list[str]:
    reply = ask(registry.address, "/v2/m/docker.io/shop/web/tags/list")
    return (json.loads(reply.body).get("tags") or []) if reply.status == 200 else []


def test_a_proxy_that_answers_413_gets_pieces_that_it_takes(
    load: Load, registry: DockerRegistry, gateway: Gateway, tmp_path: Path
) -> None:
    gateway.before = lambda request: Reply(413, b"<html>too large</html>") if len(request.body) > LIMIT else None
    load.into(gateway.address, tmp_path)
    load.is_complete(registry)
    assert tags_come_last(gateway.requests)
    refused = [one for one in gateway.requests if len(one.body) > LIMIT]
    assert 0 < len(refused) < 12, "the limit is learned, not tried with every piece"


def test_every_third_request_fails(load: Load, registry: DockerRegistry, gateway: Gateway, tmp_path: Path) -> None:
    count = itertools.count(1)
    gateway.before = lambda _: Reply(500, b"a bad moment") if next(count) % 3 == 0 else None
    load.into(gateway.address, tmp_path)
    load.is_complete(registry)
    assert tags_come_last(gateway.requests)


@pytest.mark.parametrize("seed", range(3))
def test_connections_are_cut_at_random_bytes(load: Load, registry: DockerRegistry, tmp_path: Path, seed: int) -> None:
    with Cutting(registry.address, cuts=6, most=600_000, seed=seed) as wire:
        load.into(wire.address, tmp_path)
        assert wire.left < 6
    load.is_complete(registry)


def test_a_registry_is_restarted_in_the_middle(load: Load, registry: DockerRegistry, gateway: Gateway, tmp_path: Path) -> None:
    lock, uploads = threading.Lock(), itertools.count()

    def restart(request: Request) -> Reply | None:
        with lock:
            if request.method == "PUT" and "/uploads/" in request.path and next(uploads) == 2:
                assert tags(registry) == []
                registry.restart()
                return HANG_UP
        return None

    gateway.before = restart
    load.into(gateway.address, tmp_path)
    load.is_complete(registry)


@pytest.mark.parametrize("seed", range(4))
def test_a_registry_that_refuses_connections_for_two_seconds_ends_neither_import_nor_export(
    load: Load, registry: DockerRegistry, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    # in the questions before, among the blobs, and once more
    with Restarting(registry.address, [chance.randrange(300, 6_000), chance.randrange(100_000, 1_200_000)], away=2.0) as wire:
        load.into(wire.address, tmp_path)
        assert wire.restarts == 2
    load.is_complete(registry)
    with Restarting(registry.address, [chance.randrange(300, 8_000)], away=2.0) as wire:
        (tmp_path / "list.txt").write_text(f"{wire.address}/m/docker.io/shop/web:1\n")
        fixed = ["--stream", "back", "--state", tmp_path / "exporter", "--key", load.sender.key]
        done = here("export", tmp_path / "list.txt", "--out", tmp_path / "usb", *fixed)
        assert done.returncode == 0, done.stderr
        assert wire.restarts == 1
    assert f"registry {wire.address} is answering again" in done.stderr


def test_what_ends_in_failure_has_tagged_nothing_and_goes_on_later(
    load: Load, registry: DockerRegistry, gateway: Gateway, tmp_path: Path
) -> None:
    gateway.before = lambda one: Reply(403) if one.method == "PUT" and one.path.endswith(load.digest) else None
    failed(load.into(gateway.address, tmp_path, check=False), NETWORK, "does not accept a manifest")
    assert tags(registry) == []
    gateway.before = lambda _: None
    gateway.requests.clear()
    load.into(gateway.address, tmp_path)
    load.is_complete(registry)
    assert not [one for one in gateway.requests if "/uploads/" in one.path]


def test_an_immutable_tag(load: Load, registry: DockerRegistry, gateway: Gateway, tmp_path: Path) -> None:
    refusal = Reply(409, b'{"errors":[{"code":"DENIED","message":"tag is immutable"}]}')
    gateway.before = lambda one: refusal if one.method == "PUT" and one.path.endswith("/manifests/1") else None
    other = images.image([images.layer("other")])
    origin = Origin()
    first = load.sender.bundle(origin, [origin.push(WEB, other)], tmp_path / "usb", stream="first")
    fixed = ["--policy", load.sender.policy, "--json", "--state"]
    assert here("import", first, "--to", f"docker://{registry.address}/m", *fixed, tmp_path / "one").returncode == 0
    done = here("import", first, "--to", f"docker://{gateway.address}/m", *fixed, tmp_path / "two")
    assert done.returncode == 0, "what is there already is no reason to fail"
    facts = failed(load.into(gateway.address, tmp_path, check=False), NETWORK, "the tag seems to be immutable", "tag is immutable")
    assert facts["expected"] == load.digest
    assert str(other.digest) in facts["got"]


def test_a_manifest_that_is_too_large_for_the_registry(load: Load, gateway: Gateway, tmp_path: Path) -> None:
    gateway.before = lambda one: Reply(413) if one.method == "PUT" and "/manifests/" in one.path else None
    done = load.into(gateway.address, tmp_path, check=False)
    failed(done, NETWORK, "does not accept a manifest of ", "limits the size of manifests")
