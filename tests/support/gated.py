"""Two images in a real registry and a machine that exports them, for tests of what images must pass."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airgap.layout import LayoutStore
from tests.support import images
from tests.support.cli import Words, failed
from tests.support.dockerregistry import DockerRegistry
from tests.support.site import CREATED, Site


@dataclass(frozen=True)
class Yard:
    """A registry with ``shop/web:1`` (three platforms) and ``tool:2`` (one), a list of both, and a machine."""

    site: Site
    registry: DockerRegistry
    work: Path
    web: images.Built
    tool: images.Built

    @classmethod
    def make(cls, work: Path, registry: DockerRegistry) -> Yard:
        """Publish the images and write the list."""
        base = images.layer("base", 40_000)
        web = images.index([images.image([base, images.layer(f"web {p}")], platform=p) for p in images.PLATFORMS])
        yard = cls(Site.make(work / "machine"), registry, work, web, images.image([base, images.layer("tool", 30_000)]))
        yard.publish("shop/web:1", web)
        yard.publish("tool:2", yard.tool)
        yard.list(yard.web_name, yard.tool_name)
        return yard

    @property
    def web_name(self) -> str:
        """The first image on the list."""
        return f"{self.registry.address}/shop/web:1"

    @property
    def tool_name(self) -> str:
        """The second one."""
        return f"{self.registry.address}/tool:2"

    @property
    def out(self) -> Path:
        """Where bundles go."""
        return self.work / "usb"

    @property
    def bundle(self) -> Path:
        """The sealed bundle."""
        return self.out / "prod-0001"

    def publish(self, name: str, built: images.Built) -> None:
        """Push one image."""
        directory = self.work / f"origin-{name.replace('/', '-').replace(':', '-')}"
        with LayoutStore(directory) as layout:
            images.publish(layout, f"origin.example/{name}", built)
            layout.commit()
            images.push_layout_to_registry(layout, self.registry.address)

    def list(self, *references: str) -> Path:
        """Write the image list."""
        path = self.work / "images.txt"
        path.write_text("".join(f"{reference}\n" for reference in references))
        return path

    def script(self, name: str, text: str) -> Path:
        """Write a gate as a shell script; run it with ``sh``."""
        path = self.work / name
        path.write_text(f"set -eu\n{text}\n")
        return path

    def command(self, *options: object, serial: int = 1) -> Words:
        """An export of the list."""
        fixed = ["--out", self.out, "--stream", "prod", "--serial", serial, "--created", CREATED, "--key", self.site.key]
        return ["export", self.work / "images.txt", *fixed, *options]

    def export(self, *options: object, serial: int = 1) -> Any:
        """An export that must succeed; its facts."""
        return self.site.json(*self.command(*options, serial=serial))

    def refused(self, code: int, *says: str, options: tuple[object, ...]) -> subprocess.CompletedProcess[str]:
        """An export that must fail well and leave no sealed bundle."""
        done = self.site.run(*self.command(*options), check=False)
        failed(done, code, *says)
        assert not self.bundle.exists()
        return done

    def arrives(self, registry: DockerRegistry, bundle: Path | None = None) -> str:
        """Import a bundle; the prefix that its repositories then have."""
        self.site.import_(f"docker://{registry.address}/m", bundle or self.bundle)
        return f"m/{self.registry.address.replace(':', '-')}"


def attachments(bundle: Path) -> dict[str, list[dict[str, Any]]]:
    """What hangs off every image of a bundle, by its reference."""
    catalog = json.loads((bundle / "catalog.json").read_bytes())
    return {image["reference"]: image.get("attachments", []) for image in catalog["images"]}
