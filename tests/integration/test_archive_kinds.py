"""Each kind of archive, made by the tool that makes it: the image in the lock has the digest that the tool states."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airgap.layout import LayoutStore
from airgap.oci.digest import Digest
from airgap.oci.reference import Reference, Repository
from airgap.registry import RegistryStore
from tests.support import images
from tests.support.archives import Storage, docker_archive, member, own_storage, skopeo, skopeo_digest
from tests.support.cli import here
from tests.support.containerd import running_containerd
from tests.support.dockerregistry import DockerRegistry
from tests.support.tools import require

pytestmark = pytest.mark.slow("starts real skopeo, podman, buildah, umoci, containerd and dockerd")

ONE, WEB = "vendor.example/shop/one:1", "vendor.example/shop/web:1"
IMAGE = images.image([images.layer("one"), images.layer("two")])
INDEX = images.multi_arch("archive kinds")
OTHER = images.image([images.layer("other")])
#: Of every line that must be given one.
NAME = "site.example/app:1"


@dataclass(frozen=True)
class Yard:
    """Where the images come from, and where the tools work."""

    work: Path
    storage: Storage

    @property
    def one(self) -> str:
        """An image, for skopeo."""
        return f"oci:{self.work}/origin:{ONE}"

    @property
    def stored(self) -> str:
        """The same in podman's storage, for skopeo."""
        return f"containers-storage:{self.storage.name}{ONE}"

    def path(self, name: str) -> Path:
        """A new path for an archive."""
        path = self.work / name
        assert not path.exists()
        return path


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    with own_storage() as storage:
        work = tmp_path_factory.mktemp("yard")
        with LayoutStore(work / "origin") as layout:
            images.publish(layout, ONE, IMAGE)
            images.publish(layout, WEB, INDEX)
            layout.commit()
        made = Yard(work, storage)
        skopeo("copy", "-q", made.one, made.stored)
        yield made


def run(tool: str, *words: object, **more: Any) -> str:
    """Run a real tool; what it printed."""
    done = subprocess.run([require(tool), *map(str, words)], capture_output=True, text=True, check=False, **more)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def resolved(line: str, *options: object) -> dict[str, str]:
    """What the lock would hold: the digest of each reference."""
    done = here("resolve", line, "--json", *options)
    assert done.returncode == 0, done.stderr
    return {image["reference"]: image["digest"] for image in json.loads(done.stdout)["images"]}


# skopeo, podman, buildah: what they state of a place is the digest of what `skopeo inspect --raw` prints of it

Make = Callable[[Yard, Path], tuple[str, str]]


def by_skopeo(transport: str, name: str = f":{ONE}") -> Make:
    def make(yard: Yard, path: Path) -> tuple[str, str]:
        skopeo("copy", "-q", yard.one, f"{transport}:{path}{name}")
        return f"{transport}:{path}", f"{transport}:{path}{name}"

    return make


def by_podman(form: str, transport: str) -> Make:
    def make(yard: Yard, path: Path) -> tuple[str, str]:
        yard.storage.podman("save", "--format", form, "-o", path, ONE)
        return (f"{transport}:{path}",) * 2

    return make


def by_buildah(transport: str, name: str = f":{ONE}") -> Make:
    def make(yard: Yard, path: Path) -> tuple[str, str]:
        run("buildah", *yard.storage.options, "push", "-q", ONE, f"{transport}:{path}{name}")
        return f"{transport}:{path}", f"{transport}:{path}{name}"

    return make


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(by_skopeo("oci"), id="skopeo-oci"),
        pytest.param(by_skopeo("oci", ":1"), id="skopeo-oci-plain-tag"),
        pytest.param(by_skopeo("oci", ""), id="skopeo-oci-unnamed"),
        pytest.param(by_skopeo("oci-archive"), id="skopeo-oci-archive"),
        pytest.param(by_skopeo("docker-archive"), id="skopeo-docker-archive"),
        pytest.param(by_skopeo("docker-archive", ""), id="skopeo-docker-archive-unnamed"),
        pytest.param(by_skopeo("dir", ""), id="skopeo-dir"),
        pytest.param(by_podman("docker-archive", "docker-archive"), id="podman-docker-archive"),
        pytest.param(by_podman("oci-archive", "oci-archive"), id="podman-oci-archive"),
        pytest.param(by_podman("oci-dir", "oci"), id="podman-oci-dir"),
        pytest.param(by_podman("docker-dir", "dir"), id="podman-docker-dir"),
        pytest.param(by_buildah("docker-archive"), id="buildah-docker-archive"),
        pytest.param(by_buildah("oci-archive"), id="buildah-oci-archive"),
        pytest.param(by_buildah("oci"), id="buildah-oci"),
        pytest.param(by_buildah("dir", ""), id="buildah-dir"),
    ],
)
def test_what_an_engine_writes_has_the_digest_that_skopeo_states(yard: Yard, request: pytest.FixtureRequest, make: Make) -> None:
    place, stated = make(yard, yard.path(request.node.callspec.id))
    assert resolved(f"{place} as {NAME}") == {NAME: skopeo_digest(stated)}


def test_a_skopeo_directory_keeps_the_index_of_all_platforms(yard: Yard) -> None:
    path = yard.path("dir-all")
    skopeo("copy", "-q", "--all", f"oci:{yard.work}/origin:{WEB}", f"dir:{path}")
    assert resolved(f"dir:{path} as {NAME}") == {NAME: INDEX.digest}


def test_a_docker_archive_of_several_images_gives_each_by_its_name(yard: Yard) -> None:
    """`podman save --multi-image-archive`."""
    path, second = yard.path("multi.tar"), "vendor.example/shop/two:2"
    yard.storage.podman("tag", ONE, second)
    (yard.work / "Containerfile").write_text("FROM scratch\nCOPY Containerfile /\n")
    run("buildah", *yard.storage.options, "bud", "-q", "-t", "vendor.example/shop/built:3", yard.work)
    yard.storage.podman("save", "--multi-image-archive", "-o", path, ONE, second, "vendor.example/shop/built:3")
    found = resolved(f"docker-archive:{path}")
    names = (ONE, second, "vendor.example/shop/built:3")
    assert found == {name: skopeo_digest(f"docker-archive:{path}:{name}") for name in names}
    assert len(set(found.values())) == 2


def test_tags_of_a_layout_that_umoci_keeps_are_told_apart(yard: Yard) -> None:
    require("umoci")
    path = yard.path("umoci")
    skopeo("copy", "-q", yard.one, f"oci:{path}:1")
    run("umoci", "tag", "--image", f"{path}:1", "same")
    run("umoci", "config", "--image", f"{path}:1", "--tag", "changed", "--config.user", "shop")
    tags = run("umoci", "ls", "--layout", path).split()
    assert sorted(tags) == ["1", "changed", "same"]
    for tag in tags:
        assert resolved(f"oci:{path}:{tag} as {NAME}") == {NAME: skopeo_digest(f"oci:{path}:{tag}")}
    assert skopeo_digest(f"oci:{path}:same") == IMAGE.digest


@pytest.mark.parametrize("rootfs", [{"type": "layers"}, {"type": "layers", "diff_ids": None}], ids=["left-out", "null"])
def test_an_image_without_layers_in_a_docker_archive_is_read_as_skopeo_reads_it(tmp_path: Path, rootfs: dict[str, Any]) -> None:
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs}).encode()
    name = f"{Digest.of(config).hex}.json"
    items: list[dict[str, Any]] = [{"Config": name, "RepoTags": [NAME], "Layers": None}]
    path = docker_archive(tmp_path / "empty.tar", [member(name, data=config)], items)
    assert resolved(f"docker-archive:{path}") == {NAME: skopeo_digest(f"docker-archive:{path}")}


@pytest.fixture(scope="module")
def registry(yard: Yard) -> Iterator[DockerRegistry]:
    with DockerRegistry(yard.work / "registry") as served:
        with LayoutStore(yard.work / "origin") as layout:
            images.push_layout_to_registry(layout, served.address)
        yield served


def test_what_ctr_exports_has_the_digest_that_ctr_lists(yard: Yard, registry: DockerRegistry) -> None:
    """All platforms: the index. One: the index with one platform's content, as Docker 29's `docker save` writes it, too."""
    name = f"{registry.address}/shop/web:1"
    with running_containerd() as containerd:
        for kind, chosen in (("one", ("--platform", "linux/amd64")), ("all", ("--all-platforms",))):
            done = containerd.ctr("content", "fetch", "--plain-http", *chosen, name)
            assert done.returncode == 0, done.stderr
            done = containerd.ctr("images", "export", *chosen, yard.path(f"ctr-{kind}.tar"), name)
            assert done.returncode == 0, done.stderr
        listed = containerd.images()
    assert resolved(f"oci-archive:{yard.work}/ctr-all.tar") == resolved(f"docker-archive:{yard.work}/ctr-all.tar") == listed
    assert listed == {name: INDEX.digest}
    assert "--platform linux/amd64" in here("resolve", f"oci-archive:{yard.work}/ctr-one.tar").stderr
    assert resolved(f"oci-archive:{yard.work}/ctr-one.tar", "--platform", "linux/amd64") == listed
    assert resolved(f"docker-archive:{yard.work}/ctr-one.tar") == {name: INDEX.children[0].digest}


def test_an_index_that_only_the_layout_in_a_docker_archive_names_is_not_missed(yard: Yard, registry: DockerRegistry) -> None:
    """Two indexes share the platform that is exported: ctr gives it one of both names in manifest.json."""
    shared = INDEX.children[0]
    indexes = [images.index([shared, other]) for other in INDEX.children[1:]]
    names = [f"{registry.address}/shop/same:{number}" for number in range(2)]
    with LayoutStore(yard.work / "sharing") as layout:
        for number, index in enumerate(indexes):
            images.publish(layout, f"vendor.example/shop/same:{number}", index)
        layout.commit()
        images.push_layout_to_registry(layout, registry.address)
    with running_containerd() as containerd:
        for name in names:
            done = containerd.ctr("content", "fetch", "--plain-http", "--all-platforms", name)
            assert done.returncode == 0, done.stderr
        done = containerd.ctr("images", "export", "--all-platforms", yard.path("same.tar"), *names)
        assert done.returncode == 0, done.stderr
    found = {name: index.digest for name, index in zip(names, indexes, strict=True)}
    assert resolved(f"docker-archive:{yard.work}/same.tar") == found
    assert resolved(f"docker-archive:{yard.work}/same.tar:{names[1]}") == {names[1]: indexes[1].digest}


def test_sigstore_signatures_in_a_directory_become_what_skopeo_makes_of_them(yard: Yard, registry: DockerRegistry) -> None:
    """Skopeo takes two signatures out of a registry, and puts them into another repository: byte for byte what the lock has."""
    layers = []
    for number in range(2):
        annotations = {images.SIGNATURE_KEY: f"c2ln{number}", "dev.sigstore.cosign/bundle": '{"text": "<&> \u00e9 \u2028"}'}
        payload = images.simple_signing(Repository("vendor.example", "shop/one"), Digest.of(b"%d" % number))
        layers.append(images.content(payload, images.SIMPLE_SIGNING, annotations=annotations))
    with LayoutStore(yard.work / "signed") as layout:
        repository = images.publish(layout, "vendor.example/shop/signed:1", IMAGE).repository
        images.publish_attachment(layout, repository, IMAGE.digest, ".sig", images.image(layers))
        layout.commit()
        images.push_layout_to_registry(layout, registry.address)
    settings = yard.path("registries.d")
    settings.mkdir()
    (settings / "all.yaml").write_text("default-docker: {use-sigstore-attachments: true}\n")
    copy = ("--registries.d", settings, "copy", "-q")
    path, back = yard.path("signed-dir"), f"{registry.address}/shop/back"
    skopeo(*copy, "--src-tls-verify=false", f"docker://{registry.address}/shop/signed:1", f"dir:{path}")
    skopeo(*copy, "--dest-tls-verify=false", f"dir:{path}", f"docker://{back}:1")
    done = here("resolve", f"dir:{path} as {NAME}", "--json")
    (image,) = json.loads(done.stdout)["images"]
    tag = f"sha256-{IMAGE.digest.hex}.sig"
    with RegistryStore() as store:
        made = store.manifest(Reference.parse(f"{back}:{tag}").repository, tag)
    assert len(made.layers) == 2
    assert [(one["kind"], one["digest"]) for one in image["attachments"]] == [("cosign-signature", made.digest)]


@contextlib.contextmanager
def running_docker(folder: Path) -> Iterator[str]:
    """A Docker daemon of one's own without a network; its socket."""
    program = require("dockerd")
    folder.mkdir()
    state = ("--data-root", folder / "root", "--exec-root", folder / "run", "--pidfile", folder / "pid", "-H", f"unix://{folder}/s")
    plain = ("--iptables=false", "--bridge=none", "--storage-driver", "vfs")
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen([program, *map(str, state), *plain], stdout=log, stderr=log) as process,
    ):
        try:
            while not (folder / "pid").exists() or b"API listen on" not in (folder / "log").read_bytes():
                if process.poll() is not None:
                    pytest.skip("dockerd does not run here")
                time.sleep(0.05)
            yield f"unix://{folder}/s"
        finally:
            process.terminate()


def test_what_docker_saves_has_the_digest_that_skopeo_states(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker before 25, without a layout in its archives: from a file, and straight from the daemon."""
    require("dockerd")
    path, second = yard.path("docker.tar"), "vendor.example/shop/two:2"
    skopeo("copy", "-q", yard.one, f"docker-archive:{yard.path('load.tar')}:{ONE}")
    with running_docker(yard.storage.root / "docker") as host:
        monkeypatch.setenv("DOCKER_HOST", host)
        run("docker", "load", "-i", yard.work / "load.tar")
        run("docker", "tag", ONE, second)
        run("docker", "save", "-o", path, ONE, second)
        stated = skopeo_digest(f"docker-archive:{path}:{ONE}")
        assert resolved(f"docker-daemon:{second}", "--scratch", yard.path("docker-scratch")) == {second: stated}
    assert resolved(f"docker-archive:{path}") == {ONE: stated, second: stated}


@pytest.mark.parametrize("program", ["gzip", "bzip2", "xz", "zstd", "pigz"])
def test_a_compressed_archive_has_the_digest_of_the_plain_one(yard: Yard, program: str) -> None:
    """`docker save | gzip`, Nix and others; what it takes is said."""
    require(program)
    path = yard.path(f"{program}.tar")
    skopeo("copy", "-q", yard.one, f"docker-archive:{path}:{ONE}")
    stated = skopeo_digest(f"docker-archive:{path}")
    with path.open("rb") as plain, (yard.work / f"{program}.packed").open("wb") as packed:
        subprocess.run([program, "-c"], stdin=plain, stdout=packed, check=True)
    scratch = yard.path(f"{program}-scratch")
    assert resolved(f"docker-archive:{yard.work}/{program}.packed", "--scratch", scratch) == {ONE: stated}
    assert list(scratch.iterdir()) == []
