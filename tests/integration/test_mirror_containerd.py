"""The real containerd finds images by their original names through the ``hosts.toml`` tree that ``mirror-config`` writes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airgap.layout import LayoutStore
from airgap.mirror.engines import EngineAccess, for_containerd
from airgap.mirror.routes import Placed, find_routes
from airgap.oci.reference import Reference
from tests.support import images
from tests.support.containerd import Containerd, running_containerd
from tests.support.dockerregistry import DockerRegistry

pytestmark = pytest.mark.slow("starts real skopeo, podman or containerd many times")

SOURCE = "docker.io/library/web"


@pytest.fixture
def containerd() -> Iterator[Containerd]:
    with running_containerd() as running:
        yield running


def test_containerd_pulls_by_tag_and_digest(containerd: Containerd, module_registry: DockerRegistry, tmp_path: Path) -> None:
    built = images.multi_arch("web", platforms=("linux/amd64", "linux/arm64"))
    place = Reference.parse(f"{module_registry.address}/m/{SOURCE}:1")
    with LayoutStore(tmp_path / "layout") as layout:
        images.publish(layout, f"example.com/m/{SOURCE}:1", built)
        layout.commit()
    with LayoutStore(tmp_path / "layout") as layout:
        images.push_layout_to_registry(layout, module_registry.address)
    made = for_containerd(find_routes([Placed(Reference.parse(f"{SOURCE}:1"), place, built.digest)]), EngineAccess(insecure=True))
    for name, text in made.files.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    for name in (f"{SOURCE}:1", f"{SOURCE}@{built.digest}"):
        options = ["--all-platforms", "--hosts-dir", str(tmp_path / "certs.d")]
        done = containerd.ctr("content", "fetch", *options, name)
        assert done.returncode == 0, done.stderr
