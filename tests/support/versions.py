"""Images that change a little from version to version, and a stream of bundles that brings one version after the other."""

from __future__ import annotations

import functools
import gzip
import io
import json
import random
import shutil
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from airgap.layout import LayoutStore
from airgap.oci import media
from airgap.oci.digest import Digest
from airgap.oci.reference import Repository
from tests.support import images
from tests.support.bundles import CREATED, Sender
from tests.support.cli import here
from tests.support.dockerregistry import DockerRegistry
from tests.support.walk import Contents, walk

HOST = "origin.example"
SPDX = "application/spdx+json"


def text(seed: str, size: int = 300_000, version: int = 1) -> bytes:
    """Lines of words, of which every version changes a few; about three times as long as their gzip."""
    lines = list(_lines(seed, size))
    for step in range(2, version + 1):
        change = random.Random(f"{seed} {step}")
        for _ in range(5):
            lines[change.randrange(len(lines))] = f"changed in version {step}: {change.random()}\n"
    return "".join(lines).encode()


@functools.cache
def _lines(seed: str, size: int) -> tuple[str, ...]:
    source = random.Random(seed)
    words = ["".join(source.choices("abcdefghijklmnopqrstuvwxyz", k=source.randint(3, 11))) for _ in range(3000)]
    return tuple(f"{' '.join(source.choices(words, k=10))}\n" for _ in range(size // 85))


def tar(files: dict[str, bytes]) -> bytes:
    """A plain tar with fixed metadata."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.GNU_FORMAT) as made:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            made.addfile(member, io.BytesIO(data))
    return plain.getvalue()


def layer(
    seed: str,
    version: int = 1,
    size: int = 300_000,
    media_type: str = media.OCI_LAYER_GZIP,
    pack: Callable[[bytes], bytes] = lambda plain: gzip.compress(plain, 6, mtime=0),
) -> images.Content:
    """A layer with one file of text, packed as ``pack`` does it."""
    plain = tar({f"app/{seed}": text(seed, size, version)})
    return replace(images.content(pack(plain), media_type), diff_id=str(Digest.of(plain)))


def publish(address: str, work: Path, version: int) -> list[str]:
    """Push one version of everything to a registry; its image list.

    ``shop/web`` is an index of two platforms that share most of their text, with a signature and an SBOM; ``tool:stable`` moves
    from version to version, and from version 2 on it has the base layer that only ``shop/web`` had before.
    """
    base = images.layer("base", 50_000)
    app = text("web", version=version)
    children = []
    for platform in ("linux/amd64", "linux/arm64"):
        plain = tar({"app/web": app, "app/binary": images.seeded(f"{platform} {version}", 2000)})
        packed = replace(images.content(gzip.compress(plain, 6, mtime=0), media.OCI_LAYER_GZIP), diff_id=str(Digest.of(plain)))
        children.append(images.image([base, packed], platform=platform))
    web = images.index(children)
    own = layer("tool", version, 120_000)
    tool = images.image([own, base] if version > 1 else [own], docker=True)
    with LayoutStore(work / f"version-{version}") as layout:
        repository = Repository(HOST, "shop/web")
        images.publish(layout, f"{repository}:{version}", web)
        images.publish(layout, f"{HOST}/tool:stable", tool)
        signature = images.cosign_signature(images.simple_signing(repository, web.digest), "c2lnbmF0dXJl")
        images.publish_attachment(layout, repository, web.digest, ".sig", signature)
        images.attach(layout, repository, web, [images.artifact(web, SPDX, text("sbom", 3_000, version))])
        layout.commit()
        images.push_layout_to_registry(layout, address)
    return [f"{address}/shop/web:{version}", f"{address}/tool:stable"]


@dataclass(frozen=True)
class Stream:
    """A source that has had three versions, and the bundles that brought them: ``chain[n]`` was made ``--since`` the one before.

    ``locks`` are the versions as they were asked for, ``sources`` what the source had at that time.
    """

    work: Path
    sender: Sender
    source: DockerRegistry
    locks: dict[int, Path]
    sources: dict[int, Contents]
    chain: dict[int, Path]

    @property
    def path(self) -> str:
        """The first part of every destination path under the default mapping."""
        return f"{self.source.address.replace(':', '-')}/"

    def export(self, number: int, out: Path, *options: object, serial: int | None = None, state: Path | None = None) -> Path:
        """Export one version with a fixed time and, by default, a state of its own; the bundle."""
        return self.exported(number, out, *options, serial=serial, state=state)[0]

    def exported(
        self, number: int, out: Path, *options: object, serial: int | None = None, state: Path | None = None
    ) -> tuple[Path, dict[str, Any]]:
        """As :meth:`export`, with the facts."""
        done = here(*self.command(number, out, *options, serial=serial, state=state), "--json")
        assert done.returncode == 0, done.stderr
        facts = json.loads(done.stdout)
        return Path(facts["path"]), facts

    def command(
        self, number: int, out: Path, *options: object, serial: int | None = None, state: Path | None = None
    ) -> list[object]:
        """The command line of an export of one version; its serial is the version's number."""
        fixed = ["--stream", "prod", "--serial", serial or number, "--created", CREATED, "--key", self.sender.key]
        return ["export", self.locks[number], "--out", out, *fixed, "--state", state or f"{out}-state", *options]


def make_stream(work: Path, source: DockerRegistry, versions: Sequence[int] = (1, 2, 3)) -> Stream:
    """Publish one version after the other and export each since the one before."""
    made = Stream(work, Sender.make(work / "sender"), source, {}, {}, {})
    for number in versions:
        listed, lock = work / f"images-{number}.txt", work / f"{number}.lock"
        listed.write_text("".join(f"{reference}\n" for reference in publish(source.address, work, number)))
        assert here("resolve", listed, "--lock", lock).returncode == 0
        made.locks[number] = lock
        made.sources[number] = walk(source.address)
        since = ("--since", made.chain[number - 1]) if number > 1 else ()
        made.chain[number] = made.export(number, work / "usb", *since, state=work / "state")
    return made


@dataclass(frozen=True)
class Far:
    """The far side: a registry with a memory of its own, and a prefix under which everything goes."""

    stream: Stream
    registry: DockerRegistry
    state: Path
    prefix: str = "mirror"

    @property
    def target(self) -> str:
        """As the command line names it."""
        return f"docker://{self.registry.address}" + (f"/{self.prefix}" if self.prefix else "")

    def command(self, bundle: Path, *options: object, to: str = "") -> list[object]:
        """The command line of an import."""
        policy = self.stream.sender.policy
        return ["import", bundle, "--to", to or self.target, "--policy", policy, "--state", self.state, "--json", *options]

    def takes(self, bundle: Path, *options: object, to: str = "") -> dict[str, Any]:
        """Import a bundle; the facts."""
        done = here(*self.command(bundle, *options, to=to))
        assert done.returncode == 0, done.stderr
        facts: dict[str, Any] = json.loads(done.stdout)
        return facts

    def contents(self, prefix: str | None = None) -> Contents:
        """What it has, by the paths of the source."""
        begin = f"{self.prefix if prefix is None else prefix}/".lstrip("/")
        return walk(self.registry.address).below(f"{begin}{self.stream.path}")

    def stored(self) -> dict[str, bytes]:
        """Every file of the registry's storage, but for what uploads and leases that were given back leave."""
        data = self.registry.root / "data"
        files = (path for path in data.rglob("*") if path.is_file() and "_uploads" not in path.parts)
        found = {str(path.relative_to(data)): path.read_bytes() for path in files}
        return {name: raw for name, raw in found.items() if "airgap-lease" not in name and b"io.airgap.lease" not in raw}

    def forget(self, digest: str) -> None:
        """Lose a blob: all links to it and its bytes."""
        self.registry.stop()
        for link in (self.registry.root / "data").glob(f"**/_layers/sha256/{digest.removeprefix('sha256:')}"):
            shutil.rmtree(link)
        shutil.rmtree(self.registry.blob_path(digest).parent)
        self.registry.restart()


def size_of(bundle: Path, *, volumes: bool = False) -> int:
    """Bytes of everything in a bundle's directory, or of its volumes alone."""
    return sum(path.stat().st_size for path in bundle.rglob("*.tar" if volumes else "*") if path.is_file())


def blobs_of(bundle: Path) -> dict[str, Any]:
    """What the catalog says of every blob."""
    blobs: dict[str, Any] = json.loads((bundle / "catalog.json").read_bytes())["blobs"]
    return blobs
