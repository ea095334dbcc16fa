"""Honest inputs of the parsers in ``tests/support/parsers.py``, and the same with as many parts as one likes."""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from airgap.documents.custody import new_entry
from airgap.documents.holdings import Held, Holdings
from airgap.documents.receipt import Receipt
from airgap.format import frame, names
from airgap.format.catalog import Blob, Catalog, Volume, layout_members
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.image import REFERRER, Attachment, Image
from airgap.oci.reference import Reference
from airgap.oci.strictjson import canonical as line_of

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
Grow = Callable[[int], bytes]


def digest(number: int) -> str:
    """A digest that looks like any other."""
    return f"sha256:{hashlib.sha256(str(number).encode()).hexdigest()}"


def repeated(part: str | bytes, before: str | bytes = b"", after: str | bytes = b"") -> Grow:
    """So many times the same."""
    head, body, tail = (text if isinstance(text, bytes) else text.encode() for text in (before, part, after))
    return lambda count: head + body * count + tail


def numbered(part: str, before: str = "", after: str = "", joint: str = "") -> Grow:
    """The same with another number in place of every ``%d`` (and another digest in place of ``%s``)."""

    def grown(count: int) -> bytes:
        named = "%s" in part
        parts = (part.replace("%d", str(i)).replace("%s", digest(i) if named else "") for i in range(count))
        return f"{before}{joint.join(parts)}{after}".encode()

    return grown


def of_value(make: Callable[[int], Any]) -> Grow:
    """JSON of what ``make`` makes for a number."""
    return lambda count: json.dumps(make(count), separators=(",", ":")).encode()


#: What every parser of JSON must stand.
JSON: dict[str, Grow] = {
    "different keys": of_value(lambda n: {f"key {i}": i for i in range(n)}),
    "a key that is there twice, at the end": numbered('"k%d":1', "{", ',"z":1,"z":2}', ","),
    "a key that is there twice, at the start": numbered('"k%d":1', '{"a":1,"a":2,', "}", ","),
    "equal keys": repeated('"a":1,', "{", '"b":2}'),
    "empty lists": repeated("[],", '{"a":[', "0]}"),
    "empty objects": repeated("{},", '{"a":[', "0]}"),
    "small objects": numbered('{"a":%d}', '{"a":[', "]}", ","),
    "lists in a list without an object": repeated("[],", "[", "0]"),
    "numbers": numbered("%d", '{"a":[', "]}", ","),
    "fractions": repeated("1.5e3,", '{"a":[', "0]}"),
    "one long number": repeated("1", '{"a":', "}"),
    "one long fraction": repeated("1", '{"a":0.', "}"),
    "one long text": repeated("x", '{"a":"', '"}'),
    "one long text beyond ASCII": repeated("ä€", '{"a":"', '"}'),
    "escapes": repeated("\\u00e9\\n", '{"a":"', '"}'),
    "texts with escapes": repeated('"\\u00e9",', '{"a":[', "0]}"),
    "halves of characters": repeated("\\ud800", '{"a":"', '"}'),
    "backslashes": repeated("\\\\", '{"a":"', '"}'),
    "blanks": repeated(" \n\t", '{"a":', "1}"),
    "open lists": repeated("["),
    "open objects": repeated('{"a":'),
    "nothing closed": repeated('{"a":[1,', "", ""),
}


def catalog(blobs: int = 3, images: int = 2, volume_size: int | None = None, size: int = 1000) -> Catalog:
    """A catalog in the canonical form, over content that does not exist."""
    sizes = [(Digest(digest(i)), size) for i in range(blobs)]
    root = Descriptor(media.OCI_MANIFEST, *sizes[0], annotations={"org.opencontainers.image.title": "a ⚓"})
    sbom = Attachment(REFERRER, root.digest, Descriptor(media.OCI_MANIFEST, Digest(digest(1)), 3, artifact_type="text/spdx"))
    made = [Image(Reference.parse(f"shop/web{i}:1"), root, ("linux/amd64",), attachments=(sbom,)) for i in range(images)]
    measured = frame.measure(layout_members(made, sizes), volume_size)
    volumes = tuple(
        Volume(names.volume_name(i), length, "0" * 64, ("1" * 64,) * -(-length // names.BLOCK_SIZE))
        for i, length in enumerate(measured.sizes, 1)
    )
    needed = tuple(range(1, min(len(volumes), 1000) + 1))
    return Catalog(
        stream="prod-site",
        serial=7,
        created="2026-01-31T12:00:00Z",
        expires=None,
        tool="airgap 1",
        previous=Digest(digest(0)),
        base=(),
        volume_size=volume_size,
        images=tuple(Image(i.reference, i.root, i.platforms, attachments=i.attachments, volumes=needed) for i in made),
        blobs={at: Blob(length, measured.extents[names.blob_path(at)]) for at, length in sizes},
        volumes=volumes,
    )


@functools.cache
def small_catalog() -> Catalog:
    """A catalog to compare with."""
    return catalog(20, 3, 20_480)


def volumes_of(count: int) -> list[dict[str, Any]]:
    """So many volumes as a catalog lists them."""
    return [{"name": names.volume_name(i), "size": 20_480, "sha256": "0" * 64, "blocks": ["1" * 64]} for i in range(1, count + 1)]


def changed(top: bytes, **fields: Any) -> bytes:
    """A document with some entries in place of its own."""
    return line_of({**json.loads(top), **fields})


def image(number: int, **fields: Any) -> dict[str, Any]:
    """One image as a catalog or a lock lists it."""
    root = {"mediaType": media.OCI_MANIFEST, "digest": digest(0), "size": 5}
    return {"reference": f"docker.io/shop/web{number}:1", **root, "volumes": [1], **fields}


CATALOG: dict[str, Grow] = {
    "blobs": lambda n: catalog(n + 1, 1).to_bytes(),
    "images": lambda n: catalog(2, n + 1).to_bytes(),
    "extents of one blob": lambda n: catalog(1, 1, 10_240, 8_000 * n).to_bytes(),
    "volumes": lambda n: changed(small_catalog().to_bytes(), volumes=volumes_of(n)),
    "images that need volumes": lambda n: changed(
        small_catalog().to_bytes(), volumes=volumes_of(n), images=[image(i, volumes=[1, n]) for i in range(n)]
    ),
    "one image that needs volumes": lambda n: changed(
        small_catalog().to_bytes(), volumes=volumes_of(n), images=[image(0, volumes=list(range(1, n + 1)))]
    ),
    "platforms": lambda n: changed(small_catalog().to_bytes(), images=[image(0, platforms=[f"linux/a{i}" for i in range(n)])]),
    "empty extents": lambda n: changed(small_catalog().to_bytes(), blobs={digest(0): {"size": 0, "extents": [[1, 0, 0]] * n}}),
    "patches": lambda n: changed(
        small_catalog().to_bytes(),
        blobs={digest(i): {"size": 1, "patch": {"codec": "x", "base": digest(i + 1), "blob": digest(n)}} for i in range(n)},
    ),
    "hints": lambda n: changed(
        small_catalog().to_bytes(), blobs={digest(i): {"size": 1, "held": True, "repositories": ["a/b"] * 9} for i in range(n)}
    ),
    "lists where a number belongs": lambda n: changed(small_catalog().to_bytes(), serial=[[]] * n),
}


def receipt(blobs: int = 4, repositories: int = 2, everywhere: bool = False) -> bytes:
    """A receipt; with ``everywhere`` every blob is in every repository."""
    places = [f"mirror/r{i:06d}" for i in range(repositories)]
    held = {Digest(digest(i)): Held(100 + i, tuple(places) if everywhere else (places[i % repositories],)) for i in range(blobs)}
    named = {f"{places[0]}:t{i}": Digest(digest(i)) for i in range(min(blobs, 3))}
    holdings = Holdings(held, named, frozenset(list(held)[:3]))
    return Receipt("plant-7", "2026-01-31T12:00:00Z", "airgap 1", "docker://r.example/mirror", {}, holdings).to_bytes()


@functools.cache
def custody(entries: int = 3) -> bytes:
    """A custody log."""
    lines, of, last = list[bytes](), Digest(digest(0)), None
    for i in range(entries):
        entry = new_entry(of, "2026-01-31T12:00:00Z", f"Ann {i}", "gate 3", "sealed", None)
        lines.append(replace(entry, number=i + 1, previous=last).line())
        last = Digest.of(lines[-1])
    return b"".join(line + b"\n" for line in lines)


def lock(images: int = 2, nodes: int = 3, children: int = 0) -> bytes:
    """A lock in which every image has the same root, which has so many children."""
    described = {"mediaType": media.OCI_INDEX, "size": 5}
    listed = [{**described, "digest": digest(i)} for i in range(1, min(children, nodes - 1) + 1)]
    manifests = [{**described, "digest": digest(i), **({"children": listed} if i == 0 and listed else {})} for i in range(nodes)]
    shown = [{key: value for key, value in image(i).items() if key != "volumes"} for i in range(images)]
    return json.dumps({"schema": "airgap.lock/1", "images": shown, "manifests": manifests}).encode()


def chain_lock(count: int) -> bytes:
    """A lock in which every manifest has the next one as its child, and every image begins somewhere in the chain."""
    described = {"mediaType": media.OCI_INDEX, "size": 5}
    manifests = [
        {**described, "digest": digest(i), "children": [{**described, "digest": digest(i + 1)}] if i < count - 1 else []}
        for i in range(count)
    ]
    shown = [{key: value for key, value in image(i, digest=digest(i)).items() if key != "volumes"} for i in range(count)]
    return json.dumps({"schema": "airgap.lock/1", "images": shown, "manifests": manifests}).encode()


def tar(members: Iterable[tuple[str, bytes]], **attributes: Any) -> bytes:
    """An archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.pax_headers = dict(attributes)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def docker_archive(tags: int = 1, images: int = 1, layers: int = 1) -> bytes:
    """What ``docker save`` writes."""
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": [digest(0)] * layers}}).encode()
    name = hashlib.sha256(config).hexdigest() + ".json"
    listed = [
        {"Config": name, "RepoTags": [f"shop/web{i}:t{t}" for t in range(tags)], "Layers": ["layer.tar"] * layers}
        for i in range(images)
    ]
    return tar([("manifest.json", json.dumps(listed).encode()), (name, config), ("layer.tar", b"layer")])


def manifest(layers: int = 2) -> bytes:
    """An image manifest."""
    config = {"mediaType": media.OCI_CONFIG, "digest": digest(0), "size": 2}
    listed = [{"mediaType": "application/x", "digest": digest(i), "size": 5, "annotations": {"a": "b"}} for i in range(layers)]
    return json.dumps({"schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "config": config, "layers": listed}).encode()


def index(entries: int = 2) -> bytes:
    """The index of a layout, every entry with a name."""
    listed = [
        {
            "mediaType": media.OCI_MANIFEST,
            "digest": digest(i),
            "size": 5,
            "platform": {"os": "linux", "architecture": "amd64"},
            "annotations": {"org.opencontainers.image.ref.name": f"docker.io/shop/web:{i}"},
        }
        for i in range(entries)
    ]
    return json.dumps({"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": listed}).encode()


def payload(**optional: Any) -> bytes:
    """What cosign signs."""
    critical = {
        "type": "cosign container image signature",
        "image": {"docker-manifest-digest": digest(0)},
        "identity": {"docker-reference": "quay.io/team/app:1"},
    }
    return json.dumps({"critical": critical, "optional": optional or None}).encode()


STATEMENT = {
    "_type": "https://in-toto.io/Statement/v1",
    "predicateType": "https://sigstore.dev/cosign/sign/v1",
    "predicate": {},
    "subject": [{"name": "", "digest": {"sha256": "0" * 64}}],
}


def sigstore_bundle(signatures: int = 1, payload_size: int = 3) -> bytes:
    """A bundle of cosign 3."""
    return json.dumps(
        {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {"publicKey": {"hint": "x"}},
            "dsseEnvelope": json.loads(sigstore_envelope(signatures, payload_size)),
        }
    ).encode()


def sigstore_envelope(signatures: int = 1, payload_size: int = 3) -> bytes:
    """The envelope in it, which stands alone under cosign's ``.att`` tag."""
    return json.dumps(
        {
            "payload": base64.b64encode(b"x" * payload_size).decode(),
            "payloadType": "application/vnd.in-toto+json",
            "signatures": [{"sig": "MEQ="}] * signatures,
        }
    ).encode()


def provenance(subjects: int = 1, sources: int = 1) -> bytes:
    """A statement of SLSA provenance."""
    definition = {
        "buildType": "https://tekton.dev/chains/v2/slsa",
        "externalParameters": {"workflow": {"repository": "x"}, "source": "x", "configSource": {"uri": "x"}},
        "resolvedDependencies": [
            {"uri": f"git+https://x.example/{i}@refs/heads/x", "name": "inputs/result"} for i in range(sources)
        ],
    }
    return json.dumps(
        {
            **STATEMENT,
            "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": {"buildDefinition": definition, "runDetails": {"builder": {"id": "https://x.example"}}},
            "subject": [{"name": "", "digest": {"sha256": "0" * 64}}] * subjects,
        }
    ).encode()


def blob_bundle(size: int = 3) -> bytes:
    """What ``cosign sign-blob`` writes about empty bytes."""
    stated = {"algorithm": "SHA2_256", "digest": base64.b64encode(hashlib.sha256(b"").digest()).decode()}
    return json.dumps(
        {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {"publicKey": {"hint": "x"}},
            "messageSignature": {"messageDigest": stated, "signature": base64.b64encode(b"x" * size).decode()},
        }
    ).encode()


def log_promise(body: bytes = b"{}") -> bytes:
    """The annotation with Rekor's promise."""
    entry = {"body": base64.b64encode(body).decode(), "integratedTime": 1, "logIndex": 1, "logID": "ab"}
    return json.dumps({"SignedEntryTimestamp": "MEQ=", "Payload": entry}).encode()


def armor(lines: int = 2) -> bytes:
    """Something in the armor of a detached OpenPGP signature."""
    body = "A" * 64 + "\n"
    return f"-----BEGIN PGP SIGNATURE-----\n\n{body * lines}-----END PGP SIGNATURE-----\n".encode()


def pem(kind: str, lines: int = 2) -> bytes:
    """A PEM block of that kind with nothing real in it."""
    return f"-----BEGIN {kind}-----\n{('A' * 64 + chr(10)) * lines}-----END {kind}-----\n".encode()


def policy(scopes: int = 2) -> bytes:
    """A policy with so many scopes."""
    signed = [{"type": "sigstoreSigned", "keyPath": "/k.pub", "signedIdentity": {"type": "matchRepository"}}]
    named = {f"quay.io/team{i}": signed for i in range(scopes)}
    return json.dumps({"default": [{"type": "reject"}], "transports": {"airgap": {"prod": signed}, "docker": named}}).encode()


def plan(entries: int = 2) -> bytes:
    """A plan of ``airgap prune``."""
    named = [{"name": f"a/b:{i}", "digest": digest(i)} for i in range(entries)]
    removed = {"names": named, "manifests": [digest(0)], "blobs": [{"digest": digest(i), "size": 1} for i in range(entries)]}
    value = {
        "schema": "airgap.prune/1",
        "target": "docker://r.example",
        "made": "2026-01-31T12:00:00Z",
        "generations": [{"stream": "prod", "serial": 1, "catalog": digest(0), "in_force": True, "keep": True}],
        "steps": [{"repository": "a/b", "remove": removed, "stay": ["x"], "names": named}],
    }
    return json.dumps({**value, "digest": Digest.of(line_of(value))}).encode()
