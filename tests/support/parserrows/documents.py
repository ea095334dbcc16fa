"""JSON, and the documents that are written in it."""

from __future__ import annotations

from collections.abc import Iterator

from airgap.bundle.supplement import Supplement
from airgap.crew.answers import read_answer
from airgap.crew.volume import FilledVolume
from airgap.documents.custody import Log, read_result
from airgap.documents.receipt import Receipt
from airgap.documents.request import ResendRequest
from airgap.documents.tufrepository import CarriedRepository
from airgap.format import names, outer
from airgap.format.catalog import Catalog, savings
from airgap.layout.index import Index
from airgap.lifecycle.pruneplan import PrunePlan
from airgap.media.disks import Disks
from airgap.mirror.placed import read_names
from airgap.oci import strictjson
from airgap.oci.manifest import Manifest, sniff_media_type
from airgap.oci.strictjson import canonical as line_of
from airgap.planning.lock import Lock, is_lock
from airgap.report.sbom import summarize
from airgap.trust.sigstore.installed import Installed
from airgap.watch.attempts import Attempts
from tests.support import parserseeds as seeds
from tests.support.parserrow import CATALOG, WHERE, Parser, document, in_file, text
from tests.support.parserseeds import numbered, repeated


def _catalog(raw: bytes) -> None:
    catalog = outer.Unverified.read(raw).claims
    if isinstance(catalog, Catalog):
        catalog.check_frame()
        savings(catalog.blobs)
        catalog.to_bytes()


def _receipt(raw: bytes) -> None:
    Receipt.from_bytes(raw, WHERE)


def _index(raw: bytes) -> None:
    index = Index.parse(raw, WHERE, "layout")
    images = index.images()
    for entry in images[:2]:
        if entry.reference is not None:
            index.find(entry.reference)
            index.pick(str(entry.reference), WHERE)
    index.merged({}, ())


def _manifest(raw: bytes) -> None:
    found = Manifest.parse(raw, sniff_media_type(raw, WHERE), WHERE)
    _ = found.descriptor, list(found.blobs()), found.annotations


def rows() -> Iterator[Parser]:
    """The rows."""
    yield document(
        "JSON",
        lambda raw: strictjson.parse(raw, WHERE),
        b'{"a":[1,{"b":"c\\u00e9"}]}',
        "airgap.oci.strictjson:parse",
        "airgap.oci.strictjson:parse_object",
    )
    yield document(
        "catalog",
        _catalog,
        seeds.small_catalog().to_bytes(),
        "airgap.format.outer:read",
        "airgap.format.outer:Unverified.read",
        "airgap.format.catalog:Catalog.from_bytes",
        "airgap.format.times:parse_time",
        "airgap.oci.image:Image.from_json",
        "airgap.oci.image:Attachment.from_json",
        "airgap.oci.image:LookasideSignature.from_json",
        "airgap.oci.descriptor:Descriptor.from_json",
        "airgap.oci.descriptor:Platform.from_json",
        "airgap.oci.digest:Digest.parse",
        grow=seeds.CATALOG,
    )
    files = {"1.root.json": "{}", "targets/0a.trusted_root.json": "{}"}
    repository = {"schema": "airgap.tuf-repository/1", "source": "https://tuf.example", "files": files}
    yield document(
        "TUF repository in a bundle",
        CarriedRepository.parse,
        line_of(repository),
        "airgap.documents.tufrepository:CarriedRepository.parse",
        grow={"files": seeds.of_value(lambda n: {**repository, "files": {f"{i}.root.json": "{}" for i in range(n)}})},
        most=8 << 20,
    )
    installed = {
        "schema": "airgap.installed-root/1",
        "root": "{}",
        "roots": {"1": seeds.digest(1)},
        "timestamp": None,
        "snapshot": None,
        "target": None,
        "current": None,
        "installed": "2026-01-31T12:00:00Z",
        "source": "root.json",
    }
    yield document(
        "installed trusted root",
        text(Installed.parse),
        line_of(installed),
        "airgap.trust.sigstore.installed:Installed.parse",
        grow={"roots": seeds.of_value(lambda n: {**installed, "roots": {str(i): seeds.digest(i) for i in range(n)}})},
        most=8 << 20,
    )
    yield document(
        "answer of a worker",
        lambda raw: FilledVolume.from_bytes(raw, 512, WHERE),
        FilledVolume("0" * 64, ("1" * 64,)).to_bytes(),
        "airgap.crew.volume:FilledVolume.from_bytes",
        grow={"blocks": lambda n: FilledVolume("0" * 64, ("1" * 64,) * n).to_bytes()},
    )
    yield document(
        "what a worker has sent",
        lambda raw: read_answer(raw, WHERE),
        b'{"sent":["sha256:1"]}',
        "airgap.crew.answers:read_answer",
        grow={"sent": lambda n: strictjson.canonical({"sent": ["sha256:1"] * n})},
    )
    yield document(
        "receipt",
        _receipt,
        seeds.receipt(),
        "airgap.documents.receipt:Receipt.from_bytes",
        grow={
            "blobs": seeds.receipt,
            "repositories": lambda n: seeds.receipt(n, n),
            "every blob in every repository": lambda n: seeds.receipt(n, n, everywhere=True),
        },
    )
    yield document(
        "custody log",
        lambda raw: Log.parse(raw, CATALOG),
        seeds.custody(),
        "airgap.documents.custody:Log.parse",
        "airgap.documents.custody:parse_entry",
        grow={"entries": seeds.custody, "line feeds": repeated("\n"), "lines that are none": repeated("{}\n")},
    )
    result = {"result": "good", "exit_code": 0, "bundles": [{"catalog": seeds.digest(0)}]}
    yield document(
        "result of a check",
        lambda raw: read_result(raw, CATALOG, WHERE),
        line_of(result),
        "airgap.documents.custody:read_result",
        grow={"bundles": seeds.of_value(lambda n: {**result, "bundles": [{"catalog": str(i)} for i in range(n)]})},
    )
    asked = {
        "schema": "airgap.request/1",
        "stream": "prod",
        "serial": 1,
        "catalog": seeds.digest(0),
        "block_size": names.BLOCK_SIZE,
        "files": {"volume-0001.tar": [[0, 0], [2, 5]]},
    }
    yield document(
        "resend request",
        lambda raw: ResendRequest.from_bytes(raw, WHERE).check(seeds.small_catalog()),
        line_of(asked),
        "airgap.documents.request:ResendRequest.from_bytes",
        "airgap.documents.request:read_ranges",
        grow={
            "ranges": seeds.of_value(lambda n: {**asked, "files": {"volume-0001.tar": [[2 * i, 2 * i] for i in range(n)]}}),
            "files": seeds.of_value(lambda n: {**asked, "files": {f"volume-{i:04d}.tar": [[0, 0]] for i in range(n)}}),
        },
    )
    brought = {
        "schema": "airgap.supplement/1",
        "catalog": seeds.digest(0),
        "request": seeds.digest(1),
        "files": [[["volume-0001.tar", 0, 0]]],
    }
    yield document(
        "supplement",
        lambda raw: list(Supplement.from_bytes(raw, WHERE).places(seeds.small_catalog())),
        line_of(brought),
        "airgap.bundle.supplement:Supplement.from_bytes",
        grow={
            "runs": seeds.of_value(lambda n: {**brought, "files": [[["volume-0001.tar", 0, 0]] * n]}),
            "files": seeds.of_value(lambda n: {**brought, "files": [[["volume-0001.tar", 0, 0]]] * n}),
            "empty files": seeds.of_value(lambda n: {**brought, "files": [[]] * n}),
        },
    )
    disks = {
        "schema": "airgap.disks/1",
        "bundle": "prod-1",
        "catalog": seeds.digest(0),
        "disk": "A",
        "disks": {"A": ["volume-0001.tar"]},
    }

    def homes(raw: bytes) -> None:
        found = Disks.from_bytes(raw, WHERE)
        for held in found.files.values():
            for name in held:
                found.home(name)

    yield document(
        "list of disks",
        homes,
        line_of(disks),
        "airgap.media.disks:Disks.from_bytes",
        grow={"files": seeds.of_value(lambda n: {**disks, "disks": {"A": [names.volume_name(i) for i in range(n)]}})},
    )
    yield document(
        "lock",
        lambda raw: is_lock(raw) and Lock.from_bytes(raw, WHERE),
        seeds.lock(),
        "airgap.planning.lock:Lock.from_bytes",
        "airgap.planning.lock:Node.from_json",
        grow={
            "images": seeds.lock,
            "manifests": lambda n: seeds.lock(1, n),
            "images of one large index": lambda n: seeds.lock(n, n, n),
            "images all along a chain": seeds.chain_lock,
        },
    )
    yield document("manifest", _manifest, seeds.manifest(), "airgap.oci.manifest:Manifest.parse", grow={"layers": seeds.manifest})
    yield document("index of a layout", _index, seeds.index(), "airgap.layout.index:Index.parse", grow={"entries": seeds.index})
    yield document(
        "plan of a removal",
        lambda raw: PrunePlan.parse(raw, WHERE),
        seeds.plan(),
        "airgap.lifecycle.pruneplan:PrunePlan.parse",
        grow={"entries": seeds.plan},
    )
    named = {"names": {"docker.io/shop/web:1": "r.example/shop/web:1"}}
    yield document(
        "file of names",
        lambda raw: read_names(raw, WHERE),
        line_of(named),
        "airgap.mirror.placed:read_names",
        grow={
            "names": seeds.of_value(lambda n: {"names": {f"docker.io/shop/web:{i}": f"r.example/shop/web:{i}" for i in range(n)}}),
            "entries": seeds.of_value(
                lambda n: {"images": [{"source": f"a/b:{i}", "destination": f"r.example/b:{i}"} for i in range(n)]}
            ),
        },
    )
    tried = {"schema": "airgap.watch/1", "catalogs": {seeds.digest(0): {"name": "a", "outcome": "imported", "key": "k", "code": 0}}}
    yield document("attempts", in_file(Attempts), line_of(tried), "airgap.watch.attempts:_parse")
    packages = {"spdxVersion": "SPDX-2.3", "packages": [{"licenseConcluded": "MIT"}]}
    yield document(
        "SBOM",
        summarize,
        line_of(packages),
        "airgap.report.sbom:summarize",
        seeds=(
            b"SPDXVersion: SPDX-2.3\nPackageName: a\nPackageLicenseConcluded: MIT\n",
            line_of({"bomFormat": "CycloneDX", "components": [{"licenses": [{"license": {"id": "MIT"}}], "components": [{}]}]}),
        ),
        grow={
            "packages": seeds.of_value(lambda n: {**packages, "packages": [{"licenseConcluded": f"L{i}"} for i in range(n)]}),
            "lines": numbered("PackageName: a%d\nPackageLicenseConcluded: L%d\n", "SPDXVersion: SPDX-2.3\n"),
            "tags without lines": repeated("PackageName:"),
        },
    )
