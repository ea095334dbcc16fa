"""Images out of the stores of container engines: podman's by the real skopeo and podman, Docker's over its socket."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from airgap.archives import copy_from_storage, save_from_daemon
from airgap.errors import RegistryError, UsageError
from airgap.layout import LayoutStore
from tests.support import images
from tests.support.archives import Storage, own_storage, skopeo, skopeo_digest
from tests.support.dockerdaemon import DockerDaemon
from tests.support.dockerregistry import DockerRegistry
from tests.support.site import Site
from tests.support.tools import require
from tests.support.walk import walk

pytestmark = pytest.mark.slow("starts real skopeo, podman or containerd many times")

NAME = "vendor.example/app:1"
PACKED = images.image([images.layer("base"), images.layer("app")])


@dataclass(frozen=True)
class Engine:
    """An image in podman's storage, and the same in a docker archive."""

    work: Path
    site: Site
    own: Storage

    @property
    def storage(self) -> str:
        """What skopeo puts between the transport and the name."""
        return self.own.name

    @property
    def archive(self) -> Path:
        """The docker archive."""
        return self.work / "docker.tar"

    def export(self, line: str, out: Path, *options: object) -> Path:
        """Export one line."""
        (out / "images.txt").write_text(f"{line}\n")
        return self.site.export(out / "images.txt", out, "--scratch", self.work / "scratch", *options)

    def carry(self, line: str, out: Path) -> tuple[str, set[str]]:
        """Export one line and import it into a registry; the image's digest there and all blobs."""
        with DockerRegistry(out / "registry") as registry:
            self.site.import_(f"docker://{registry.address}", self.export(line, out), state=out.name)
            found = walk(registry.address)
        (digest,) = found.tags.values()
        return digest, found.blobs


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with own_storage() as storage:
        work = tmp_path_factory.mktemp("e")
        with LayoutStore(work / "origin") as layout:
            images.publish(layout, NAME, PACKED)
            layout.commit()
        made = Engine(work, Site.make(work / "machine"), storage)
        skopeo("copy", "-q", f"oci:{work}/origin:{NAME}", f"containers-storage:{made.storage}{NAME}")
        skopeo("copy", "-q", f"oci:{work}/origin:{NAME}", f"docker-archive:{made.archive}:{NAME}")
        yield made


def test_an_image_of_podmans_storage_arrives_as_skopeo_reads_it(engine: Engine, tmp_path: Path) -> None:
    place = f"containers-storage:{engine.storage}{NAME}"
    skopeo("copy", "-q", place, f"dir:{tmp_path}/direct")
    digest, blobs = engine.carry(place, tmp_path)
    assert digest == skopeo_digest(f"dir:{tmp_path}/direct")
    assert {layer.diff_id for layer in PACKED.blobs[1:]} < {name.rpartition("@")[2] for name in blobs}
    assert not list((engine.work / "scratch").iterdir())


def test_an_image_that_podman_built_keeps_its_digest(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "Containerfile").write_text("FROM scratch\nCOPY Containerfile /\n")
    engine.own.podman("build", "-q", "-t", "localhost/built:1", tmp_path)
    shown = engine.own.podman("images", "--format", "{{.Digest}}", "localhost/built")
    digest, _ = engine.carry(f"containers-storage:{engine.storage}localhost/built:1 as site.example/built:1", tmp_path)
    assert digest == shown.strip()


def test_without_skopeo_podman_gives_the_same_image(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    podman = require("podman")
    (tmp_path / "bin").mkdir()
    wrapper = tmp_path / "bin/podman"
    wrapper.write_text(f'#!/bin/sh\nexec {podman} {" ".join(engine.own.options)} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    copy_from_storage(NAME, tmp_path / "copy")
    monkeypatch.undo()
    skopeo("copy", "-q", f"containers-storage:{engine.storage}{NAME}", f"dir:{tmp_path}/direct")
    assert skopeo_digest(f"dir:{tmp_path}/copy") == skopeo_digest(f"dir:{tmp_path}/direct")


def test_an_image_that_the_storage_lacks_is_a_mistake_of_the_list(engine: Engine, tmp_path: Path) -> None:
    line = f"containers-storage:{engine.storage}vendor.example/none:1"
    done = engine.site.run("resolve", line, "--scratch", tmp_path / "scratch", check=False)
    assert done.returncode == 2
    assert "vendor.example/none:1" in done.stderr
    assert not list((tmp_path / "scratch").iterdir())


def test_without_a_place_for_the_copy_nothing_is_copied(engine: Engine) -> None:
    done = engine.site.run("resolve", f"containers-storage:{engine.storage}{NAME}", check=False)
    assert done.returncode == 2
    assert "--scratch DIR" in done.stderr


def test_without_any_engine_the_hint_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError) as caught:
        copy_from_storage(NAME, tmp_path / "copy")
    assert "podman save" in caught.value.hint


@pytest.mark.parametrize("chunked", [True, False])
def test_an_image_of_a_docker_daemon_arrives_as_in_a_docker_archive(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunked: bool
) -> None:
    with DockerDaemon(
        tmp_path / "s", {"vendor.example/app:1": engine.archive, "sha256:12": engine.archive}, chunked=chunked
    ) as daemon:
        monkeypatch.setenv("DOCKER_HOST", daemon.host)
        digest, _ = engine.carry(f"docker-daemon:{NAME}", tmp_path)
        assert digest == skopeo_digest(f"docker-archive:{engine.archive}")
        options = ("--scratch", tmp_path / "scratch")
        (image,) = engine.site.json("resolve", "docker-daemon:sha256:12 as site.example/app:2", *options)["images"]
        assert (image["reference"], image["digest"]) == ("site.example/app:2", digest)
        assert engine.site.run("resolve", "docker-daemon:sha256:12", *options, check=False).returncode == 2
    assert daemon.asked[0] == "/images/vendor.example/app%3A1/get"


def test_a_daemon_that_has_no_such_image_is_a_mistake_of_the_list(tmp_path: Path) -> None:
    with DockerDaemon(tmp_path / "s", {}) as daemon, pytest.raises(UsageError) as caught:
        save_from_daemon("app:1", tmp_path / "image.tar", {"DOCKER_HOST": daemon.host})
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("chunked", [True, False])
def test_a_daemon_that_hangs_up_leaves_nothing(engine: Engine, tmp_path: Path, chunked: bool) -> None:
    daemon = DockerDaemon(tmp_path / "s", {"app:1": engine.archive}, chunked=chunked, cut=5000)
    with daemon, pytest.raises(RegistryError):
        save_from_daemon("app:1", tmp_path / "image.tar", {"DOCKER_HOST": daemon.host})
    assert [path.name for path in tmp_path.iterdir() if path.name != "s"] == []


def test_a_daemon_that_fails_or_is_not_there_is_a_failure_of_its_own(tmp_path: Path) -> None:
    with DockerDaemon(tmp_path / "s", {}) as daemon, pytest.raises(RegistryError):
        save_from_daemon("broken", tmp_path / "image.tar", {"DOCKER_HOST": daemon.host})
    with pytest.raises(RegistryError):
        save_from_daemon("app:1", tmp_path / "image.tar", {"DOCKER_HOST": f"unix://{tmp_path}/none"})


@pytest.mark.parametrize("host", ["tcp://127.0.0.1:2375", "ssh://user@host", "unix://relative", "npipe:////./pipe/docker"])
def test_only_a_daemon_on_this_machine_is_asked(tmp_path: Path, host: str) -> None:
    with pytest.raises(UsageError):
        save_from_daemon("app:1", tmp_path / "image.tar", {"DOCKER_HOST": host})
