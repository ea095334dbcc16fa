"""Bundles of very many blobs, made of nothing: what planning, reading, comparing and importing them takes. Needs airgap alone.

Run as a program it does one flow and prints what that took, so that the flow has a process of its own, of any version of airgap.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from airgap.admission.door import Found, Whole
from airgap.admission.terms import Terms
from airgap.documents import difference, holdings
from airgap.documents.holdings import Held, Holdings
from airgap.documents.receipt import Receipt
from airgap.errors import NotFound
from airgap.exporter.seal import write_signatures
from airgap.format import names
from airgap.format.catalog import Catalog, Volume
from airgap.importer.owning import check_places, claim_places
from airgap.importer.run import examine
from airgap.lifecycle.pruning import HeldManifest, Inventory, ShelfEntry, plan_removal
from airgap.lists import Entry
from airgap.naming.mapping import RegistryTarget
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Reference, Repository
from airgap.oci.stores import Reader, Referrers
from airgap.planning import plan as planning
from airgap.planning.lock import Lock
from airgap.planning.resolve import resolve
from airgap.progress import Silent
from airgap.state import Brought, State
from airgap.trust.keys.signers import KeySigner, generate
from airgap.trust.policy.document import parse_policy
from airgap.trust.policy.templates import PolicyKey, site_policy

try:
    from airgap.admission.wanted import Wanted
except ImportError:  # an earlier version, which had a dictionary

    def Wanted(placed: Any) -> Any:  # type: ignore[no-redef] # noqa: N802
        """As importing did then."""
        wanted: dict[Digest, tuple[Descriptor, dict[Repository, None]]] = {}
        for closure, name in placed:
            for blob in closure.blobs.values():
                wanted.setdefault(blob.digest, (blob, {}))[1][name.repository] = None
        return wanted


class _HeldDictionary(dict[Digest, Held]):
    """What holdings were in an earlier version."""

    def add(self, digest: Digest, size: int, repositories: tuple[str, ...]) -> None:
        self[digest] = Held(size, repositories)


HeldTable = getattr(holdings, "HeldTable", _HeldDictionary)

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
#: Blobs of an image: its manifest, its config, and layers.
EACH = 10
#: Bytes of a layer: a million blobs are 10 TB.
LAYER_SIZE = 12_500_000
VOLUME_SIZE = 100 * 10**9
NOW = dt.datetime(2026, 2, 1, tzinfo=dt.UTC)


def reference(number: int) -> Reference:
    """An image's name: four tags in each repository."""
    return Reference(Repository("registry.example", f"team{number // 400}/app{number // 4}"), f"v{number % 4}", None)


def _descriptor(media_type: str, text: str, size: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{hashlib.sha256(text.encode()).hexdigest()}", "size": size}


def config(number: int) -> str:
    """An image's config."""
    return json.dumps({"os": "linux", "architecture": "amd64", "config": {"Labels": {"number": str(number)}}})


def manifest(number: int) -> bytes:
    """An image's manifest; its layers exist in name only."""
    layers = [_descriptor(LAYER, f"layer {number} {layer}", LAYER_SIZE + layer) for layer in range(EACH - 2)]
    own = _descriptor(CONFIG, config(number), len(config(number)))
    return json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": own, "layers": layers}).encode()


class ManySource:
    """A ``Source`` of as many images as anybody asks for, without anything attached."""

    def __init__(self) -> None:
        self._numbers: dict[Digest, int] = {}  # of the images whose configs may be asked for next

    def manifest(self, repository: Repository, selector: str) -> Manifest:
        """As ``Source.manifest``, by tag only."""
        if selector.startswith("sha256-"):
            raise NotFound("no such tag", where=selector)
        number = 4 * int(repository.path.rpartition("app")[2]) + int(selector.removeprefix("v"))
        found = Manifest.parse(manifest(number), MANIFEST, "many")
        if found.config is not None:
            self._numbers[found.config.digest] = number
        return found

    def referrers(self, repository: Repository, subject: Digest) -> Referrers:  # noqa: ARG002
        """As ``Source.referrers``."""
        return Referrers(())

    def has(self, repository: Repository, descriptor: Descriptor) -> bool:  # noqa: ARG002
        """As ``Source.has``."""
        return True

    def open(self, repository: Repository, descriptor: Descriptor, offset: int = 0) -> Reader:  # noqa: ARG002
        """As ``Source.open``: a config, once."""
        return _Bytes(config(self._numbers.pop(descriptor.digest)).encode()[offset:])


class _Bytes:
    def __init__(self, content: bytes) -> None:
        self._left = content

    def readinto(self, buffer: memoryview, /) -> int:
        count = min(len(buffer), len(self._left))
        buffer[:count], self._left = self._left[:count], self._left[count:]
        return count

    def close(self) -> None:
        self._left = b""


class Many:
    """The flows on a bundle of so many blobs; each reads what earlier ones left in the directory.

    Args:
        directory: for files; see ``scale.FLOWS`` for their order.
        blobs: how many.
    """

    def __init__(self, directory: Path, blobs: int) -> None:
        self._at = directory
        self._images = blobs // EACH
        self._key = directory / "sender.key"

    @property
    def _bundle(self) -> Path:
        return self._at / "many-000001"

    def resolve(self) -> object:
        """A list to a lock."""
        entries = [Entry(reference(number)) for number in range(self._images)]
        lock = resolve(entries, ManySource(), Silent())
        (self._at / "lock").write_bytes(lock.to_bytes())
        return lock

    def plan(self) -> object:
        """A lock to a plan, and its summary."""
        plan = planning.lay_out(Lock.from_bytes((self._at / "lock").read_bytes(), "lock"), VOLUME_SIZE)
        return plan, planning.summary(plan)

    def catalog(self) -> object:
        """A lock to a signed catalog, beside sparse volumes."""
        plan = planning.lay_out(Lock.from_bytes((self._at / "lock").read_bytes(), "lock"), VOLUME_SIZE)
        volumes = tuple(
            Volume(names.volume_name(number), size, "0" * 64, ("0" * 64,) * -(-size // names.BLOCK_SIZE))
            for number, size in enumerate(plan.sizes, 1)
        )
        catalog = Catalog(
            stream="many", serial=1, created="2026-01-31T12:00:00Z", expires=None, tool="bench", previous=None, base=(),
            volume_size=plan.volume_size, images=plan.images, blobs=plan.catalog_blobs, volumes=volumes,
        )  # fmt: skip
        self._bundle.mkdir(exist_ok=True)
        raw = catalog.to_bytes()
        (self._bundle / names.CATALOG).write_bytes(raw)
        pair = generate("ecdsa", None)
        (self._at / "sender.pub").write_bytes(pair.public_pem)
        write_signatures(self._bundle, raw, [KeySigner.load(pair.private_pem, lambda: None, "sender.key")])
        return plan, catalog, raw

    def volumes(self) -> object:
        """The volumes' bytes but for layers (not a flow of airgap's)."""
        catalog = Catalog.from_bytes((self._bundle / names.CATALOG).read_bytes())
        files = [os.open(self._bundle / volume.name, os.O_RDWR | os.O_CREAT) for volume in catalog.volumes]

        def put(step: Any) -> None:
            if step.content is not None:
                os.pwrite(files[step.extent.volume - 1], step.content, step.extent.offset)

        catalog.check_frame(put)
        contents = {Digest.of(raw): raw for raw in map(manifest, range(self._images))}
        for digest, raw in contents.items():
            (extent,) = catalog.blobs[digest].extents
            os.pwrite(files[extent.volume - 1], raw, extent.offset)
        for fd, volume in zip(files, catalog.volumes, strict=True):
            os.ftruncate(fd, volume.size)
            os.close(fd)
        return None

    def inspect(self) -> object:
        """The catalog as a reader has it."""
        return Catalog.from_bytes((self._bundle / names.CATALOG).read_bytes())

    def _whole(self) -> Whole:
        policy = site_policy([PolicyKey(path=str(self._at / "sender.pub"))])
        terms = Terms(parse_policy(json.dumps(policy).encode()), lambda path: Path(path).read_bytes(), NOW)
        return Found.at([self._bundle]).signed(terms).admitted().whole()

    def verify(self) -> object:
        """Everything but the bytes of blobs: signature, frame, manifests."""
        return self._whole()

    def diff(self) -> object:
        """The bundle and one that has lost a tenth of its images."""
        a = Catalog.from_bytes((self._bundle / names.CATALOG).read_bytes())
        b = replace(a, images=a.images[self._images // 10 :])
        found = difference.compare(difference.of_catalog(a), difference.of_catalog(b))
        return found, found.facts()

    def receipt(self) -> object:
        """What a site that has all of it holds, signed bytes and back."""
        catalog = Catalog.from_bytes((self._bundle / names.CATALOG).read_bytes())
        images = {f"mirror/{one.reference.repository.path}:{one.reference.tag}": one.root.digest for one in catalog.images}
        places = ("mirror/all",)
        held: Any = HeldTable()
        for digest, blob in catalog.blobs.items():
            held.add(digest, blob.size, places)
        made = Receipt("plant", "2026-02-01T00:00:00Z", "bench", "docker://site.example", {}, Holdings(
            held, images, frozenset(images.values())))  # fmt: skip
        del catalog
        raw = made.to_bytes()
        del made, held
        return Receipt.from_bytes(raw)

    def import_plan(self) -> object:
        """What would be loaded where, with the site's memory."""
        spec = RegistryTarget("site.example", "mirror")
        examined = examine(self._whole().judged(), spec)
        found = examined.names
        wanted = Wanted((closure, found[closure.image.reference]) for closure in examined.closures)
        with State(self._at / f"state-{self._images}") as state:
            check_places(found, spec, state, replace=False)
            claim_places(found, spec, state, replace=False)
            pairs = zip(examined.closures, found.values(), strict=True)
            rows = [Brought(str(name), one.root.digest, image=True) for one, name in pairs]
            state.record_generation(str(spec), "many", 1, examined.opened.digest, rows)
            return examined, wanted, state.generations.read(str(spec))

    def prune(self) -> object:
        """Half of what one bundle brought."""
        nodes: dict[Digest, HeldManifest] = {}
        entries = []
        for number in range(self._images):
            parsed = Manifest.parse(manifest(number), MANIFEST, "many")
            nodes[parsed.digest] = HeldManifest((), tuple((one.digest, one.size) for one in parsed.blobs()), size=len(parsed.raw))
            entries.append(ShelfEntry(str(reference(number)), parsed.digest))
        brought = [Brought(entry.name, entry.digest, image=True) for entry in entries]
        shelf = Inventory(tuple(entries), nodes)
        return plan_removal(shelf, brought[: self._images // 2], brought[self._images // 2 :])


def flow(name: str, directory: Path, blobs: int) -> Callable[[], object]:
    """A flow by its name."""
    done: Callable[[], object] = getattr(Many(directory, blobs), name)
    return done


def _main() -> None:
    name, directory, blobs = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    run = flow(name, directory, blobs)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    started = time.process_time()
    kept = run()
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "peak": peak, "grown": peak - before, "kept": kept is not None}))


if __name__ == "__main__":
    _main()
