"""A vendor, an exporter and sites in this process, with small images that share layers, children and attachments.

What a target holds is read from its files, by nothing of what is tested.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from airgap.layout import LayoutStore
from airgap.oci.image import digest_tag
from airgap.oci.reference import Reference
from tests.support import images
from tests.support.bundles import Sender
from tests.support.cli import here

HOST = "origin.example"
SPDX = "application/spdx+json"


def done(result: subprocess.CompletedProcess[str]) -> Any:
    """The facts of a command that ended well."""
    assert result.returncode == 0, f"{' '.join(map(str, result.args))}: exit {result.returncode}\n{result.stderr}\n{result.stdout}"
    return json.loads(result.stdout) if "--json" in result.args else result.stdout


@dataclass
class Vendor:
    """Publishes images with signatures and SBOMs, and exports bundles of them.

    Attributes:
        now: what every name stands for at the origin, by name without the host.
        hanging: what hangs off every root: tags and digests of manifests.
    """

    root: Path
    sender: Sender
    now: dict[str, str] = field(default_factory=dict)
    hanging: dict[str, set[str]] = field(default_factory=dict)

    @classmethod
    def make(cls, root: Path) -> Vendor:
        """With an empty origin."""
        root.mkdir(parents=True, exist_ok=True)
        return cls(root, Sender.make(root / "sender"))

    @property
    def origin(self) -> Path:
        """The layout in which everything is published."""
        return self.root / "origin"

    def release(self, name: str, seed: object, attached: bool = True) -> str:
        """Publish an index of two platforms, of which arm64 changes only with every third number; its digest.

        Root and arm64 child are signed, and the root has an SBOM.
        """
        reference = Reference.parse(f"{HOST}/{name}")
        repository = reference.repository
        steady = images.image([images.layer("base"), images.layer(f"{repository} arm {hash_of(seed) % 3}")], platform="linux/arm64")
        built = images.index([images.image([images.layer("base"), images.layer(f"{name} {seed}")]), steady])
        hanging = self.hanging.setdefault(str(built.digest), set())
        with LayoutStore(self.origin) as layout:
            for name_in_layout in (str(reference), f"{repository}@{built.digest}"):  # to be asked for by tag and by digest
                images.publish(layout, name_in_layout, built)
            for subject in (built.digest, steady.digest) if attached else ():
                signature = images.cosign_signature(images.simple_signing(repository, subject), "c2lnbmF0dXJl")
                images.publish_attachment(layout, repository, subject, ".sig", signature)
                hanging.add(digest_tag(subject, ".sig"))
            if attached:
                sbom = images.artifact(built, SPDX, f'{{"sbom":"{name} {seed}"}}'.encode())
                images.attach(layout, repository, built, [sbom])
                hanging.add(str(sbom.digest))
            layout.commit()
        self.now[name] = str(built.digest)
        return str(built.digest)

    def export(self, stream: str, names: list[str], *options: object) -> Path:
        """A bundle of what these names stand for now; a name may be ``path@digest``."""
        listed = self.root / "images.txt"
        listed.write_text("".join(f"oci:{self.origin}:{HOST}/{name}\n" for name in names))
        key, state = self.sender.key, self.root / "exporter-state"
        fixed = [
            "--out",
            self.root / "out",
            "--stream",
            stream,
            "--key",
            key,
            "--state",
            state,
            "--threads",
            1,
            "--again",
            "--json",
        ]
        return Path(done(here("export", listed, *fixed, *options))["path"])


def hash_of(seed: object) -> int:
    """A number that is the same in every run."""
    return int.from_bytes(hashlib.sha256(str(seed).encode()).digest()[:4], "big")


class Shelf(Protocol):
    """What is at a target, as its files say."""

    def tags(self) -> dict[str, str]:
        """Every tag: ``repository:tag`` as at the vendor, without host -> digest; attachments have tags, too."""

    def manifest(self, repository: str, digest: str) -> dict[str, Any] | None:
        """A manifest that can be got by digest."""

    def has_blob(self, repository: str, digest: str) -> bool:
        """Whether a blob can be got."""


@dataclass(frozen=True)
class LayoutShelf:
    """An OCI layout."""

    path: Path

    def tags(self) -> dict[str, str]:
        """As ``Shelf``."""
        return {name: digest for name, digest in self.entries() if "@" not in name and name}

    def entries(self) -> list[tuple[str, str]]:
        """Every entry of index.json by name, empty where it has none."""
        if not (self.path / "index.json").exists():
            return []
        listed = json.loads((self.path / "index.json").read_bytes())["manifests"]
        found = [(one.get("annotations", {}).get("org.opencontainers.image.ref.name", ""), one["digest"]) for one in listed]
        return [(name.removeprefix(f"{HOST}/"), digest) for name, digest in found]

    def manifest(self, repository: str, digest: str) -> dict[str, Any] | None:
        """As ``Shelf``."""
        path = self.path / "blobs" / digest.replace(":", "/")
        return json.loads(path.read_bytes()) if path.exists() else None

    def has_blob(self, repository: str, digest: str) -> bool:
        """As ``Shelf``; the bytes are hashed."""
        path = self.path / "blobs" / digest.replace(":", "/")
        return path.exists() and f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" == digest


@dataclass(frozen=True)
class RegistryShelf:
    """The files of a docker-registry below ``data``, of the repositories below a prefix."""

    data: Path
    prefix: str = f"mirror/{HOST}"

    @property
    def _storage(self) -> Path:
        return self.data / "docker/registry/v2"

    def _repositories(self) -> dict[str, Path]:
        top = self._storage / "repositories" / self.prefix
        return {str(path.parent.relative_to(top)): path.parent for path in top.rglob("_manifests")}

    def tags(self) -> dict[str, str]:
        """As ``Shelf``."""
        return {
            f"{name}:{link.parent.parent.name}": link.read_text()
            for name, path in self._repositories().items()
            for link in path.glob("_manifests/tags/*/current/link")
        }

    def manifest(self, repository: str, digest: str) -> dict[str, Any] | None:
        """As ``Shelf``."""
        if not (self._place(repository) / "_manifests/revisions" / digest.replace(":", "/") / "link").exists():
            return None
        path = self._blob(digest)
        return json.loads(path.read_bytes()) if path.exists() else None

    def has_blob(self, repository: str, digest: str) -> bool:
        """As ``Shelf``."""
        return (self._place(repository) / "_layers" / digest.replace(":", "/") / "link").exists() and self._blob(digest).exists()

    def _place(self, repository: str) -> Path:
        return self._storage / "repositories" / self.prefix / repository

    def _blob(self, digest: str) -> Path:
        algorithm, _, value = digest.partition(":")
        return self._storage / "blobs" / algorithm / value[:2] / value / "data"


def missing(shelf: Shelf, repository: str, digest: str) -> list[str]:
    """What is not there of a manifest and everything below it."""
    manifest = shelf.manifest(repository, digest)
    if manifest is None:
        return [f"{repository}@{digest}"]
    lost = [part for child in manifest.get("manifests", []) for part in missing(shelf, repository, child["digest"])]
    blobs = [manifest["config"], *manifest["layers"]] if "layers" in manifest else []
    return lost + [f"{repository}: blob {blob['digest']}" for blob in blobs if not shelf.has_blob(repository, blob["digest"])]


@dataclass
class Far:
    """A site: its state, its target, what is there, and with which options it imports."""

    root: Path
    sender: Sender
    target: str
    shelf: Shelf
    options: tuple[object, ...] = ()

    @classmethod
    def layout(cls, root: Path, sender: Sender) -> Far:
        """A site with a layout."""
        return cls(root, sender, f"oci:{root / 'store'}", LayoutShelf(root / "store"))

    @property
    def state(self) -> Path:
        """Its memory."""
        return self.root / "state"

    def run(self, command: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        """A command with this site's state."""
        return here(command, *arguments, "--state", self.state, "--json", "--threads", 1)

    def take(self, bundle: Path, *options: object) -> subprocess.CompletedProcess[str]:
        """Import a bundle."""
        return self.run("import", bundle, "--to", self.target, "--policy", self.sender.policy, *self.options, *options)

    def back(self, stream: str, serial: int, *options: object) -> subprocess.CompletedProcess[str]:
        """Roll a stream back (or forward)."""
        return self.run("rollback", self.target, "--stream", stream, "--to", serial, *options)

    def prune(self, keep: int, *options: object) -> Any:
        """Plan and apply; the facts of what was done."""
        plan = self.root / "plan.json"
        done(self.run("prune", self.target, "--keep", keep, "--plan", plan, *options))
        return done(self.run("prune", self.target, "--apply", plan))

    def names(self) -> dict[str, str]:
        """What the names of images stand for, without those of attachments."""
        return {name: digest for name, digest in self.shelf.tags().items() if ":sha256-" not in name}

    def lost(self, name: str, digest: str, hanging: Collection[str] = ()) -> list[str]:
        """What is not there of an image and of what hangs off it."""
        repository = name.partition("@")[0].rpartition(":")[0] if "@" not in name else name.partition("@")[0]
        tags = self.shelf.tags()
        found = missing(self.shelf, repository, digest)
        for one in hanging:
            at = one if ":" in one else tags.get(f"{repository}:{one}")
            found += missing(self.shelf, repository, at) if at else [f"{repository}:{one}"]
        return found
