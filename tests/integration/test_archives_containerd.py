"""Archives for containerd's client-side import: the real ``ctr`` takes what an import without attachments writes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from airgap.layout import LayoutStore
from airgap.oci.image import digest_tag
from airgap.oci.reference import Repository
from tests.support import images
from tests.support.containerd import Containerd, running_containerd
from tests.support.dockerregistry import DockerRegistry
from tests.support.site import Site
from tests.support.tools import require

pytestmark = pytest.mark.slow("starts real skopeo, podman or containerd many times")

APP, LAST = Repository("example.com", "team/app"), Repository("example.com", "team/last")
INDEX = images.multi_arch("app", platforms=("linux/amd64", "linux/arm64"))
OTHER = images.image([images.layer("last")])


@dataclass(frozen=True)
class World:
    """A bundle of two images with every kind of attachment, and a site with containerd."""

    work: Path
    site: Site
    bundle: Path
    address: str
    containerd: Containerd

    def archive(self, name: str, *options: object, kind: str = "oci-archive") -> Path:
        """Import the bundle into an archive."""
        path = self.work / name
        self.site.import_(f"{kind}:{path}", self.bundle, options=options, state=f"state-{name}")
        return path

    def expected(self) -> dict[str, str]:
        """The images, as ``ctr`` should list them."""
        return {f"{self.address}/team/app:1": str(INDEX.digest), f"{self.address}/team/last:1": str(OTHER.digest)}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    require("docker-registry")
    site = Site.make(tmp_path / "site")
    with LayoutStore(tmp_path / "layout") as layout:
        images.publish(layout, f"{APP}:1", INDEX)
        images.publish(layout, f"{LAST}:1", OTHER)
        images.attach(layout, APP, INDEX, [images.artifact(INDEX, "application/spdx+json", b"{}")])
        for part in (INDEX, *INDEX.children):
            signature = images.cosign_signature(images.simple_signing(APP, part.digest), "c2ln")
            images.publish_attachment(layout, APP, part.digest, ".sig", signature)
        sbom = images.cosign_attachment(b"{}", "application/vnd.dsse.envelope.v1+json")
        images.publish_attachment(layout, APP, INDEX.digest, ".att", sbom)
        layout.commit()
    with DockerRegistry(tmp_path / "vendor") as vendor, running_containerd() as containerd:
        with LayoutStore(tmp_path / "layout") as layout:
            images.push_layout_to_registry(layout, vendor.address)
        (tmp_path / "images.txt").write_text(f"{vendor.address}/team/app:1\n{vendor.address}/team/last:1\n")
        bundle = site.export(tmp_path / "images.txt", tmp_path / "out")
        yield World(tmp_path, site, bundle, vendor.address, containerd)


@pytest.mark.parametrize("options", [(), ("--all-platforms",)], ids=["this-platform", "all-platforms"])
def test_containerd_imports_and_unpacks_an_archive_without_attachments(world: World, options: tuple[str, ...]) -> None:
    archive = world.archive("app.tar", "--without", "all")
    done = world.containerd.ctr("images", "import", *options, archive)
    assert done.returncode == 0, done.stderr
    assert world.containerd.images() == world.expected()
    checked = world.containerd.ctr("images", "check").stdout.splitlines()[1:]
    assert not any("incomplete" in line for line in checked), checked
    assert [line.split()[-1] for line in checked] == ["true", "true"], "both are unpacked"


@pytest.mark.parametrize("left_out", ["signatures", "referrers"])
def test_containerd_stops_at_the_first_attachment_that_has_a_name(world: World, left_out: str) -> None:
    """What docs/targets.md says: leaving out one kind is not enough while another one has a tag."""
    done = world.containerd.ctr("images", "import", world.archive("app.tar", "--without", left_out))
    assert done.returncode != 0
    assert "team/app:sha256-" in done.stdout.splitlines()[-1]
    assert "team/last:1" not in done.stdout, "what comes after it is not unpacked"


def test_containerd_takes_every_attachment_if_it_need_not_unpack_them(world: World) -> None:
    done = world.containerd.ctr("images", "import", "--no-unpack", "--all-platforms", world.archive("app.tar"))
    assert done.returncode == 0, done.stderr
    found = world.containerd.images()
    assert world.expected().items() <= found.items()
    assert f"{world.address}/team/app:{digest_tag(INDEX.digest, '.sig')}" in found


def test_containerd_imports_a_docker_archive_of_its_platform(world: World) -> None:
    done = world.containerd.ctr("images", "import", world.archive("app.tar", "--platform", "linux/amd64", kind="docker-archive"))
    assert done.returncode == 0, done.stderr
    assert set(world.containerd.images()) == set(world.expected())


def test_containerd_imports_what_k3s_gets(world: World) -> None:
    done = world.containerd.ctr("images", "import", world.archive("images", kind="k3s") / "prod-0001.tar")
    assert done.returncode == 0, done.stderr
    assert world.containerd.images() == world.expected()
