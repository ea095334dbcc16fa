"""The images of the main job: one list with everything that a real platform has, small enough to be made in every test."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from airgap.layout import LayoutStore
from airgap.oci.reference import Repository
from tests.support import images

SPDX = "application/spdx+json"
SIGNATURE = "application/vnd.dev.sigstore.bundle.v0.3+json"


@dataclass(frozen=True)
class Published:
    """What was pushed: the registry, the references as they are on the list, and ``path:tag`` -> digest of every tag."""

    address: str
    references: list[str]
    tags: dict[str, str]

    def list_file(self, directory: Path) -> Path:
        """The image list as a text file."""
        path = directory / "images.txt"
        path.write_text("# everything\n" + "".join(f"{reference}\n" for reference in self.references))
        return path


def publish_platform(address: str, work: Path, layer_size: int = 20_000) -> Published:
    """Push an index of three platforms, a nested index, a single manifest, a Docker list, cosign tags on an index and a child,
    referrers two deep, and a base layer shared by three images; the list also asks for one of them by digest.

    Args:
        address: of an empty registry.
        work: a directory to build in.
        layer_size: bytes of the larger layers, before compression.
    """
    base = images.layer("base", layer_size * 3)
    web = images.index([images.image([base, images.layer(f"web {p}", layer_size)], platform=p) for p in images.PLATFORMS])
    nested = images.index([images.multi_arch("inner"), images.image([base, images.layer("extra")], platform="linux/s390x")])
    single = images.image([base, images.layer("single", layer_size)])
    docker = images.multi_arch("docker", platforms=("linux/amd64", "linux/arm64"), docker=True)
    with LayoutStore(work / "origin") as layout:
        repository = Repository("origin.example", "shop/web")
        images.publish(layout, f"{repository}:1.0", web)
        images.publish(layout, "origin.example/shop/nested:2", nested)
        images.publish(layout, "origin.example/single:3", single)
        images.publish(layout, "origin.example/legacy/docker:4", docker)
        for subject in (web.digest, web.children[1].digest):
            signature = images.cosign_signature(images.simple_signing(repository, subject), "c2lnbmF0dXJl")
            images.publish_attachment(layout, repository, subject, ".sig", signature)
            statement = images.cosign_attachment(json.dumps({"subject": subject}).encode(), images.DSSE)
            images.publish_attachment(layout, repository, subject, ".att", statement)
        sbom = images.artifact(web, SPDX, b'{"spdxVersion":"SPDX-2.3"}')
        images.attach(layout, repository, web, [sbom])
        images.attach(layout, repository, sbom, [images.artifact(sbom, SIGNATURE, b"signature of the sbom")])
        images.attach(layout, repository, web.children[0], [images.artifact(web.children[0], SPDX, b'{"child":1}')])
        layout.commit()
        tags = images.push_layout_to_registry(layout, address)
    references = [
        f"{address}/shop/web:1.0",
        f"{address}/shop/nested:2",
        f"{address}/single:3",
        f"{address}/legacy/docker:4",
        f"{address}/single@{single.digest}",
    ]
    return Published(address, references, {name: str(digest) for name, digest in tags.items()})
