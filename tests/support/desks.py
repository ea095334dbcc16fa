"""An operator's and a site's desk, on which everything is right until a test spoils something."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airgap.format import names
from airgap.oci.reference import Reference
from tests.support import hostile, images
from tests.support.bundles import CREATED, Sender
from tests.support.cli import Words, failed, here
from tests.support.hostile import Hostile, Reply
from tests.support.origin import Origin

WEB, TOOL = "docker.io/shop/web:1", "quay.io/tools/tool:2"
#: Bytes; the bundle of ``make_bundles`` then has three volumes.
VOLUME_SIZE = 40_000


@dataclass
class OperatorDesk:
    """An operator's desk: a key, a registry that does what the test wants, and a directory for bundles."""

    sender: Sender
    origin: Origin
    server: Hostile
    work: Path
    image: images.Built

    @property
    def out(self) -> Path:
        return self.work / "usb"

    @property
    def address(self) -> str:
        return self.server.address

    @property
    def layer(self) -> images.Content:
        """The layer that the tests spoil."""
        return self.image.blobs[1]

    def list(self, *lines: str) -> Path:
        path = self.work / "images.txt"
        path.write_text("".join(f"{line}\n" for line in lines or (f"{self.address}/shop/web:1",)))
        return path

    def command(self, *options: object, out: Path | None = None, image_list: Path | None = None) -> Words:
        key, state = self.sender.key, self.work / "state"
        fixed = ["--stream", "prod", "--created", CREATED, "--key", key, "--state", state, "--json"]
        return ["export", image_list or self.list(), "--out", out or self.out, *fixed, *options]

    def refused(self, code: int, *says: str, options: tuple[object, ...] = (), **where: Path) -> dict[str, Any]:
        """Run the export; it must fail well and leave no sealed bundle."""
        facts = failed(here(*self.command(*options, **where)), code, *says)
        assert not (where.get("out", self.out) / "prod-0001").exists()
        return facts

    def spoil(self, answer: Callable[[hostile.Request], Reply | None]) -> None:
        """Let a function answer first; what it has no answer to is answered rightly."""
        self.server.app = lambda request: answer(request) or self.origin.answer(request)

    def spoil_layer(self, reply: Reply) -> None:
        self.spoil(lambda request: reply if request.path.endswith(f"/blobs/{self.layer.descriptor.digest}") else None)


@dataclass(frozen=True)
class Made:
    """What all tests of this module take copies of: a sender and a bundle of several volumes; ``newer`` is the next serial."""

    sender: Sender
    origin: Origin
    references: list[Reference]
    bundle: Path
    newer: Path


def make_bundles(work: Path) -> Made:
    """A bundle of three volumes with two images that share a layer and an SBOM; and the next serial with the first image only."""
    sender, origin = Sender.make(work / "sender"), Origin()
    base = images.layer("base", 60_000)
    web = images.index([images.image([base, images.layer(f"web {p}")], platform=p) for p in images.PLATFORMS])
    references = [origin.push(WEB, web), origin.push(TOOL, images.image([base, images.layer("tool", 20_000)]))]
    origin.push("docker.io/shop/web", images.artifact(web, "application/spdx+json", b'{"spdx":1}'))
    bundle = sender.bundle(origin, references, work / "usb", volume_size=VOLUME_SIZE)
    newer = sender.bundle(origin, references[:1], work / "usb", serial=2, volume_size=VOLUME_SIZE)
    return Made(sender, origin, references, bundle, newer)


@dataclass
class SiteDesk:
    """A site's desk: a copy of the bundle, an empty store, and the site's own state."""

    made: Made
    work: Path
    bundle: Path

    @property
    def store(self) -> Path:
        return self.work / "store"

    def verify(self, *options: object, policy: Path | None = None) -> subprocess.CompletedProcess[str]:
        return here("verify", self.bundle, "--policy", policy or self.made.sender.policy, "--json", *options)

    def import_(
        self, *options: object, bundle: Path | None = None, to: str = "", policy: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        target = to or f"oci:{self.store}"
        fixed = ["--to", target, "--policy", policy or self.made.sender.policy, "--state", self.work / "state", "--json"]
        return here("import", bundle or self.bundle, *fixed, *options)

    def refused(self, code: int, *says: str, policy: Path | None = None, options: tuple[object, ...] = ()) -> dict[str, Any]:
        """Neither verify nor import takes the bundle, and the store does not come into being. What import says."""
        failed(self.verify(*options, policy=policy), code, *says)
        facts = failed(self.import_(*options, policy=policy), code, *says)
        self.nothing_is_visible()
        return facts

    def nothing_is_visible(self) -> None:
        index = self.store / "index.json"
        assert not index.exists() or json.loads(index.read_bytes())["manifests"] == []

    def is_taken(self, *options: object) -> None:
        done = self.import_(*options)
        assert done.returncode == 0, done.stderr

    def volume(self, number: int) -> Path:
        return self.bundle / names.volume_name(number)


def free_port() -> int:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
