"""A site's registry, filled, with the vendor gone: what hosts see that pull by the original names."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.archives import Storage
from tests.support.images import Built
from tests.support.pulling import Yard
from tests.support.tools import require


@dataclass(frozen=True)
class Host:
    """A machine of the site that has nothing but the files which mirror-config wrote.

    Attributes:
        config: the directory with ``registries.conf``, and where signatures count ``policy.json`` and ``registries.d``.
    """

    config: Path

    @property
    def environment(self) -> dict[str, str]:
        """A home of its own, in which podman finds registries.d."""
        home = self.config / "home"
        containers = home / ".config/containers"
        containers.mkdir(parents=True, exist_ok=True)
        wanted = self.config / "registries.d"
        if wanted.is_dir() and not (containers / "registries.d").exists():
            (containers / "registries.d").symlink_to(wanted)
        return {**os.environ, "HOME": str(home), "CONTAINERS_REGISTRIES_CONF": str(self.config / "registries.conf")}

    @property
    def policy(self) -> Path:
        """The policy that was written, or one that accepts everything."""
        path = self.config / "policy.json"
        if not path.exists():
            path = self.config / "anything.json"
            path.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        return path

    def skopeo(self, name: str, out: Path, *options: str, platform: str = "linux/amd64") -> subprocess.CompletedProcess[str]:
        """Copy an image by its name into a directory."""
        registries_d = ["--registries.d", str(self.config / "registries.d")] if (self.config / "registries.d").is_dir() else []
        command = [
            require("skopeo"), "--policy", str(self.policy), *registries_d,
            "--registries-conf", str(self.config / "registries.conf"),
            "--override-os", "linux", "--override-arch", platform.partition("/")[2],
            "copy", "-q", *options, f"docker://{name}", f"dir:{out}",
        ]  # fmt: skip
        return subprocess.run(command, capture_output=True, text=True, env=self.environment, check=False)

    def podman(self, storage: Storage, name: str, platform: str = "linux/amd64") -> subprocess.CompletedProcess[str]:
        """Pull an image by its name."""
        options = ["--signature-policy", str(self.policy), "--platform", platform, "-q"]
        command = [require("podman"), *storage.options, "pull", *options, name]
        return subprocess.run(command, capture_output=True, text=True, env=self.environment, check=False)


@dataclass
class Mirrored:
    """The site after two imports: into its registry and into a store that is served. The vendor's registry is stopped.

    Attributes:
        built: by path, the images that the vendor has signed, and an unsigned one.
        served: the address of ``airgap serve``.
    """

    place: Yard
    built: dict[str, Built] = field(default_factory=dict)
    served: str = ""

    def config(self, out: Path, *options: object, to: str = "", state: str = "site-state", kind: str = "registries.conf") -> Host:
        """Write the configuration for one kind of host."""
        self.place.site.json(
            "mirror-config", "--to", to or self.place.target, "--format", kind, "--out", out, *options, state=state
        )
        return Host(out)


@contextlib.contextmanager
def serving(place: Yard, store: Path) -> Iterator[str]:
    """The real ``airgap serve`` on a free port; its address."""
    command = [sys.executable, "-m", "airgap", "serve", str(store), "--listen", "127.0.0.1:0"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(place.root / "serve-home")}
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stderr is not None
        address = ""
        for line in process.stderr:
            if match := re.search(r"on http://(\S+?)/v2/", line):
                address = match[1]
                break
        assert address, "the server ended"
        yield address
    finally:
        process.terminate()
        process.communicate()


@contextlib.contextmanager
def mirrored(place: Yard, paths: Sequence[str]) -> Iterator[Mirrored]:
    """Publish, sign, carry to the registry and into a store, and take the vendor away."""
    made = Mirrored(place)
    for path in paths:
        made.built[path] = built = place.publish(path)
        place.sign(path, *built.everything())
        place.carry(path)
        store_lookaside = ("--lookaside", place.root / "store-signatures")
        place.site.import_(f"oci:{place.root / 'store'}", place.export(path), options=store_lookaside, state="store-state")
    place.vendor.stop()
    with serving(place, place.root / "store") as address:
        made.served = address
        yield made
