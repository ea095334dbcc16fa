"""An import killed by SIGKILL anywhere: no name for anything unfinished, and the same command finishes it without sending twice."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.crash import Crasher, Ended, crasher
from tests.support.dockerregistry import DockerRegistry
from tests.support.gateway import Gateway
from tests.support.platform import publish_platform
from tests.support.tools import require
from tests.support.walk import ACCEPT, Contents, walk

pytestmark = pytest.mark.slow("kills and repeats whole runs")

REF_NAME = "org.opencontainers.image.ref.name"


@dataclass(frozen=True)
class Site:
    """A bundle, and what undisturbed imports make of it: the content of a registry, the files of a layout."""

    crasher: Crasher
    bundle: Path
    policy: Path
    in_registry: Contents
    in_layout: dict[str, bytes]
    registry_points: tuple[str, ...]
    layout_points: tuple[str, ...]

    def arguments(self, target: str, state: Path, *options: object) -> list[object]:
        """The command line of an import with a state of its own."""
        return ["import", self.bundle, "--to", target, "--policy", self.policy, "--state", state, "--json", *options]

    def finish(self, target: str, state: Path) -> Ended:
        """Run the same command again: it must end well, and once more: it must find nothing to do."""
        done = self.crasher.run(*self.arguments(target, state))
        assert done.returncode == 0, done.stderr
        third = self.crasher.run(*self.arguments(target, state))
        assert third.returncode == 0, third.stderr
        assert third.json["already_there"]
        assert third.json["sent_blobs"] == 0
        return done


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    require("docker-registry")
    with make_site(tmp_path_factory.mktemp("kill-import")) as made:
        yield made


@contextlib.contextmanager
def make_site(work: Path) -> Iterator[Site]:
    """Make a bundle and import it twice, undisturbed. scripts/crash-points uses it too."""
    policy = work / "policy.json"
    with DockerRegistry(work / "source") as source, DockerRegistry(work / "target") as target, crasher(work / "home") as driver:
        web, _, single, *_ = publish_platform(source.address, work / "build").references
        listed = work / "images.txt"
        listed.write_text(f"{web}\n{single}\n")
        driver.run("keys", "generate", "--no-passphrase", "--out", work / "keys")
        driver.run("policy", "init", "--key", work / "keys/airgap.pub", "-o", policy)
        common = ["--stream", "prod", "--serial", 1, "--key", work / "keys/airgap.key", "--state", work / "state"]
        exported = driver.run("export", listed, "--out", work / "usb", *common, "--volume-size", "50kB")
        assert exported.returncode == 0, exported.stderr
        source.stop()
        site = Site(driver, work / "usb/prod-0001", policy, Contents(), {}, (), ())
        to_registry = driver.crash("", *site.arguments(f"docker://{target.address}/mirror", work / "state-registry"))
        to_layout = driver.crash("", *site.arguments(f"oci:{work}/store", work / "state-layout"))
        in_registry, in_layout = walk(target.address), files(work / "store")
        target.stop()
        assert in_registry.tags
        yield Site(driver, site.bundle, policy, in_registry, in_layout, to_registry.points, to_layout.points)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[DockerRegistry]:
    with DockerRegistry(tmp_path / "registry") as made:
        yield made


def files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


class Registry:
    """Questions to a registry that may be empty."""

    def __init__(self, address: str) -> None:
        self._address = address

    def digest(self, name: str) -> str | None:
        """What a ``path:tag``, or a manifest ``path@digest``, stands for."""
        path, _, selector = name.partition("@") if "@" in name else name.rpartition(":")
        return self._head(f"/v2/{path}/manifests/{selector}")

    def has_blob(self, name: str) -> bool:
        """Whether ``path@digest`` is there."""
        path, _, digest = name.partition("@")
        return self._head(f"/v2/{path}/blobs/{digest}") is not None

    def _head(self, target: str) -> str | None:
        connection = http.client.HTTPConnection(self._address)
        try:
            connection.request("HEAD", target, headers={"Accept": ACCEPT})
            response = connection.getresponse()
            response.read()
        finally:
            connection.close()
        assert response.status in (200, 404)
        return response.headers["Docker-Content-Digest"] if response.status == 200 else None


def check_names(site: Site, address: str) -> int:
    """A name is either not there or complete, and there is none before everything is; how many blobs there are."""
    asked = Registry(address)
    named = {name: digest for name in site.in_registry.tags if (digest := asked.digest(name))}
    blobs = [name for name in site.in_registry.blobs if asked.has_blob(name)]
    if named:
        assert named.items() <= site.in_registry.tags.items()
        assert len(blobs) == len(site.in_registry.blobs)
        assert all(asked.digest(name) for name in site.in_registry.manifests)
    return len(blobs)


IN_REGISTRY = [
    "before write at target #1",
    "inside write at target #2",
    "inside write at target #15",
    "after mount at target #1",
    "before put_manifest at target #1",
    "after put_manifest at target #10",
    "after link_referrers at target #1",
    "before tag at target #4",
    "after tag at target #4",
    "after tag at target #8",
    "before record_import #1",
    "after history #1",
    "after record_import #1",
]


@pytest.mark.parametrize("at", IN_REGISTRY)
def test_import_into_a_registry_killed_and_run_again(site: Site, registry: DockerRegistry, tmp_path: Path, at: str) -> None:
    kill_and_finish_registry(site, at, registry, tmp_path / "state")


@pytest.mark.parametrize("part", range(2))
def test_import_into_a_registry_killed_anywhere_while_blobs_are_sent(
    site: Site, registry: DockerRegistry, tmp_path: Path, part: int
) -> None:
    sending = [number for number, point in enumerate(site.registry_points, 1) if "write at target" in point]
    at = sending[len(sending) * (part + 1) // 4]
    kill_and_finish_registry(site, at, registry, tmp_path / "state", "--threads", 1 + 7 * part)


def kill_and_finish_registry(site: Site, at: str | int, registry: DockerRegistry, state: Path, *options: object) -> None:
    """The promise: no name before everything is there; the same command again finishes it and sends no blob that is there."""
    target = f"docker://{registry.address}/mirror"
    killed = site.crasher.crash(at, *site.arguments(target, state, *options))
    assert killed.killed, f"{at} was not reached: {killed}"
    there = check_names(site, registry.address)
    done = site.finish(target, state)
    assert walk(registry.address) == site.in_registry
    assert done.json["sent_blobs"] <= len(site.in_registry.blobs) - there


IN_LAYOUT = [
    "before rename oci-layout #1",
    "after rename oci-layout #1",
    "after rename index.json #1",
    "inside write new file #3",
    "before rename blob #7",
    "after rename blob #20",
    "before tag at target #1",
    "before commit at target #1",
    "before rename index.json #2",
    "after rename index.json #2",
    "before record_import #1",
]


@pytest.mark.parametrize("at", IN_LAYOUT)
def test_import_into_a_layout_killed_and_run_again(site: Site, tmp_path: Path, at: str) -> None:
    kill_and_finish_layout(site, at, tmp_path / "store", tmp_path / "state")


def kill_and_finish_layout(site: Site, at: str | int, store: Path, state: Path) -> None:
    """As :func:`kill_and_finish_registry`, into ``oci:store``; afterwards not one file more or less."""
    target = f"oci:{store}"
    killed = site.crasher.crash(at, *site.arguments(target, state))
    assert killed.killed, f"{at} was not reached: {killed}"
    there = check_layout(site, store)
    done = site.finish(target, state)
    assert files(store) == site.in_layout
    missing = {name for name in site.in_layout if name.startswith("blobs/")} - there
    assert done.json["sent_blobs"] <= len(missing)


def check_layout(site: Site, store: Path) -> set[str]:
    """A blob with its final name is whole, and a name in the index means that all are there; the blobs that are there."""
    if not store.exists():
        return set()
    found = {name: data for name, data in files(store).items() if name.startswith("blobs/") and not name.endswith(".tmp")}
    for name, data in found.items():
        assert hashlib.sha256(data).hexdigest() == Path(name).name
    index = store / "index.json"
    if index.exists() and json.loads(index.read_bytes())["manifests"]:
        assert index.read_bytes() == site.in_layout["index.json"]
        assert len(found) == len([name for name in site.in_layout if name.startswith("blobs/")])
    return set(found)


@pytest.mark.parametrize(
    ("step", "number"), [("blobs/uploads", signal.SIGINT), ("manifests", signal.SIGTERM)], ids=["blobs-SIGINT", "manifests-SIGTERM"]
)
def test_an_interrupted_import_says_how_to_go_on_and_does(
    site: Site, registry: DockerRegistry, tmp_path: Path, step: str, number: signal.Signals
) -> None:
    state = tmp_path / "state"
    with Gateway(registry.address) as gateway:
        gateway.hold(lambda request: request.method == "PUT" and f"/{step}/" in request.path)
        target = f"docker://{gateway.address}/mirror"
        arguments = [str(argument) for argument in site.arguments(target, state) if argument != "--json"]
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        command = [sys.executable, "-m", "airgap", *arguments]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            gateway.stuck.wait()
            process.send_signal(number)
            output, errors = process.communicate()
        gateway.release()
        assert process.returncode == 130
        assert output == ""
        assert errors.count("airgap: error:") == 1
        assert "run the same command again" in errors
        assert "Traceback" not in errors
        check_names(site, registry.address)
        site.finish(target, state)
        assert walk(registry.address) == site.in_registry
