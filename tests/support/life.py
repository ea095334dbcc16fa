"""A vendor's three releases as three bundles, which share layers, children of indexes, and attachments."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from airgap.layout import LayoutStore
from airgap.oci.reference import Reference, Repository
from tests.support import images
from tests.support.dockerregistry import DockerRegistry
from tests.support.site import Site
from tests.support.tools import require

SPDX = "application/spdx+json"


@dataclass
class Life:
    """The bundles, and by generation the digest of every image by its name at the origin, without the host."""

    site: Site
    bundles: list[Path] = field(default_factory=list)
    origin: str = ""
    images: list[dict[str, str]] = field(default_factory=list)
    attachments: list[dict[str, str]] = field(default_factory=list)

    def names(self, serial: int, prefix: str) -> dict[str, str]:
        """What stands under which name below a prefix after an import of this serial alone."""
        return {f"{prefix}{name}": digest for name, digest in self.images[serial - 1].items()}


def publish(root: Path, kind: str = "ecdsa") -> Life:
    """Release 1 has ``app:latest``, ``app:1`` and ``tool:1``; 2 and 3 move ``latest``, add their own tag and drop the one before.

    All share a base layer; the arm64 child of ``app`` never changes; every index and that child are signed and have an SBOM.
    """
    require("docker-registry")
    life = Life(Site.make(root / "site", kind))
    base, same = images.layer("base", 30_000), images.image([images.layer("arm")], platform="linux/arm64")
    with DockerRegistry(root / "origin") as registry:
        life.origin = registry.address
        for serial in (1, 2, 3):
            app = images.index([images.image([base, images.layer(f"app {serial}")]), same])
            tool = images.image([base, images.layer("tool" if serial < 3 else "tool 3")])
            repository = Repository("origin.example", "shop/app")
            with LayoutStore(root / f"layout-{serial}") as layout:
                for tag in ("latest", str(serial)):
                    images.publish(layout, f"{repository}:{tag}", app)
                images.publish(layout, "origin.example/shop/tool:1", tool)
                for subject in (app.digest, same.digest):
                    signature = images.cosign_signature(images.simple_signing(repository, subject), "c2lnbmF0dXJl")
                    images.publish_attachment(layout, repository, subject, ".sig", signature)
                images.attach(layout, repository, app, [images.artifact(app, SPDX, f'{{"sbom":{serial}}}'.encode())])
                layout.commit()
                tags = {name: str(digest) for name, digest in images.push_layout_to_registry(layout, registry.address).items()}
            named = {name: digest for name, digest in tags.items() if ":sha256-" not in name}
            life.images.append(named)
            life.attachments.append({name: digest for name, digest in tags.items() if name not in named})
            listed = root / f"images-{serial}.txt"
            listed.write_text("".join(f"{registry.address}/{name}\n" for name in named))
            life.bundles.append(life.site.export(listed, root / "out", serial=serial))
    return life


def skopeo_has(image: str, out: Path) -> None:
    """The real skopeo pulls the image with all its platforms."""
    copy = [require("skopeo"), "--insecure-policy", "copy", "-q", "--all", "--src-tls-verify=false", image, f"dir:{out}"]
    done = subprocess.run(copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{image}: {done.stderr}"


def collect_garbage(registry: DockerRegistry) -> None:
    """Let a stopped registry free what no manifest needs, with its own command."""
    command = [require("docker-registry"), "garbage-collect", str(registry.root / "config.yml")]
    subprocess.run(command, check=True, capture_output=True, env={"PATH": "/usr/bin"})


def retag(layout: LayoutStore, old: str, new: str) -> None:
    """Somebody else's name for an image that is there."""
    found = Reference.parse(old)
    layout.tag(Reference.parse(new), layout.manifest(found.repository, found.selector))
    layout.commit()
