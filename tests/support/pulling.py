"""A vendor who signs, a site that imports, and the real skopeo that pulls at the site under a policy that rejects by default."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airgap.layout import LayoutStore
from airgap.lookaside import write_signatures
from tests.support import images, signing
from tests.support.dockerregistry import DockerRegistry
from tests.support.images import Built
from tests.support.site import Site
from tests.support.tools import require
from tests.support.trustkit import GpgHome, gpg_home

PLATFORMS = ("linux/amd64", "linux/arm64")
PREFIX = "mirror"


@dataclass(frozen=True)
class Yard:
    """Both sides: the vendor's registry and lookaside, the site's registry, and a GPG key of each."""

    root: Path
    site: Site
    home: GpgHome
    vendor_key: str
    site_key: str
    vendor: DockerRegistry
    registry: DockerRegistry

    @property
    def sources(self) -> Path:
        """The vendor's lookaside tree."""
        return self.root / "vendor-signatures"

    @property
    def signatures(self) -> Path:
        """The site's lookaside tree."""
        return self.root / "signatures"

    @property
    def host(self) -> str:
        """The vendor's host as a path component."""
        return self.vendor.address.replace(":", "-")

    @property
    def target(self) -> str:
        """Where the site imports into."""
        return f"docker://{self.registry.address}/{PREFIX}"

    def original(self, path: str, tag: str = "1") -> str:
        """An image's name at the vendor."""
        return f"{self.vendor.address}/{path}:{tag}"

    def internal(self, path: str, tag: str = "1") -> str:
        """Its name at the site."""
        return f"{self.registry.address}/{PREFIX}/{self.host}/{path}:{tag}"

    def publish(self, path: str) -> Built:
        """An index of two platforms in the vendor's registry, under tag 1."""
        built = images.multi_arch(path, platforms=PLATFORMS)
        self.push(built, path, self.vendor.address)
        return built

    def push(self, built: Built, path: str, address: str) -> None:
        """Push an image as ``path:1``."""
        layout_path = self.root / "layouts" / address.replace(":", "-") / path
        with LayoutStore(layout_path) as layout:
            images.publish(layout, f"example.com/{path}:1", built)
            layout.commit()
        with LayoutStore(layout_path) as layout:
            images.push_layout_to_registry(layout, address)

    def message(self, path: str, built: Built, key: str = "") -> bytes:
        """The vendor's GPG signature of one manifest."""
        return self.home.message(key or self.vendor_key, signing.payload(built.manifest.raw, self.original(path)))

    def sign(self, path: str, *builts: Built) -> None:
        """Put the vendor's signatures into the vendor's lookaside."""
        for built in builts:
            write_signatures(self.sources, path, built.digest, [self.message(path, built)])

    def export(self, path: str, serial: int = 1) -> Path:
        """A bundle with this image, in a stream of its own; one that was made before is taken as it is."""
        work = self.root / "bundles" / path
        work.mkdir(parents=True, exist_ok=True)
        bundle = work / f"{path.replace('/', '-')}-{serial:04d}"
        if bundle.exists():
            return bundle
        (work / "images.txt").write_text(f"{self.original(path)}\n")
        options = ("--registries-d", self.root / "registries.d")
        return self.site.export(work / "images.txt", work, *options, stream=path.replace("/", "-"), serial=serial)

    def carry(self, path: str, *, serial: int = 1, state: str = "site-state") -> Any:
        """Export and import it, signed by the site's GPG key as well."""
        options = ("--lookaside", self.signatures, "--sign-by", f"gpg:{self.site_key}")
        return self.site.import_(self.target, self.export(path, serial), options=options, state=state)

    def refusal(self, path: str) -> str:
        """Export it and let the site refuse it; what it says."""
        options = ("--to", self.target, "--policy", self.site.policy, "--lookaside", self.signatures)
        done = self.site.run("import", self.export(path), *options, state="site-state", check=False)
        assert done.returncode == 3, done.stderr
        return done.stderr

    def mirror_config(self, mode: str, lookaside: Path, out: Path, *, site_key: bool = False) -> Any:
        """Let airgap write the files for one way to pull; mode site always asks for the site's key."""
        options = ["--to", self.target, "--format", "policy", "--policy", self.site.policy, "--out", out, "--lookaside", lookaside]
        keys = ["--site-key", self.root / "site.gpg"] if site_key or mode == "site" else []
        return self.site.json("mirror-config", *options, "--mode", mode, *keys)

    def name(self, mode: str, path: str) -> str:
        """What is pulled in this mode."""
        return self.original(path) if mode == "original" else self.internal(path)

    def skopeo(self, config: Path, name: str, *options: str, platform: str = PLATFORMS[0]) -> bool:
        """Whether skopeo copies an image under these files. A refusal must be the policy's, not another failure."""
        out = config / f"copy-{len(list(config.iterdir()))}"
        command = [
            require("skopeo"), "--policy", str(config / "policy.json"), "--registries.d", str(config / "registries.d"),
            "--registries-conf", str(config / "registries.conf"), "--override-os", "linux",
            "--override-arch", platform.partition("/")[2], "copy", *options, f"docker://{name}", f"dir:{out}",
        ]  # fmt: skip
        environment = {**os.environ, "HOME": str(config), "XDG_RUNTIME_DIR": str(config)}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0 or "Source image rejected" in done.stderr, done.stderr
        return done.returncode == 0


@contextlib.contextmanager
def yard(root: Path) -> Iterator[Yard]:
    """Build both sides; the site's policy asks for the vendor's signature below ``team`` and rejects everything else."""
    for tool in ("docker-registry", "skopeo"):
        require(tool)
    with (
        gpg_home() as home,
        pytest.MonkeyPatch.context() as environment,
        DockerRegistry(root / "vendor") as vendor,
        DockerRegistry(root / "registry") as registry,
    ):
        environment.setenv("GNUPGHOME", str(home.path))
        vendor_key, site_key = (home.new_key(name, algorithm="rsa2048") for name in ("vendor", "site"))
        for name, key in (("vendor", vendor_key), ("site", site_key)):
            (root / f"{name}.gpg").write_bytes(home.export(key))
        site = Site.make(root / "site")
        found = Yard(root, site, home, vendor_key, site_key, vendor, registry)
        policy = json.loads(site.policy.read_text())
        requirement = {"type": "signedBy", "keyType": "GPGKeys", "keyPath": str(root / "vendor.gpg")}
        policy["transports"]["docker"] = {f"{vendor.address}/team": [requirement]}
        site.policy.write_text(json.dumps(policy))
        (root / "registries.d").mkdir()
        config = f"docker:\n  {vendor.address}:\n    lookaside: {found.sources.as_uri()}\n"
        (root / "registries.d/vendor.yaml").write_text(config)
        yield found


def flip(path: Path, position: int = -20) -> None:
    """Change one bit of a file, by default in the signature proper of a signed message."""
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)
