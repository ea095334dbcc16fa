"""Small, seeded images for tests and samples: layers, images, indexes, Docker's formats, cosign tags, referrers.

Everything is a plain value (``Content``, ``Built``); ``store``, ``publish`` and ``attach`` put values into a layout, and
``push_layout_to_registry`` sends a whole layout to a real registry with nothing but ``http.client``.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import io
import json
import random
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from airgap.layout import LayoutStore
from airgap.oci import media
from airgap.oci.descriptor import Descriptor, Platform
from airgap.oci.digest import Digest
from airgap.oci.image import digest_tag
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Reference, Repository
from airgap.oci.stores import Referring

DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE_REFERRER = "application/vnd.dev.cosign.artifact.sig.v1+json"
DSSE = "application/vnd.dsse.envelope.v1+json"
SIGNATURE_KEY = "dev.cosignproject.cosign/signature"
PLATFORMS = ("linux/amd64", "linux/arm64", "linux/arm/v7")


@dataclass(frozen=True)
class Content:
    """A blob: its bytes and what points at it. ``diff_id`` is the digest of a layer before compression."""

    raw: bytes
    descriptor: Descriptor
    diff_id: str = ""


@dataclass(frozen=True)
class Built:
    """A manifest or index with everything under it."""

    manifest: Manifest
    descriptor: Descriptor
    blobs: tuple[Content, ...] = ()
    children: tuple[Built, ...] = ()

    @property
    def digest(self) -> Digest:
        """The manifest's digest."""
        return self.manifest.digest

    def everything(self) -> Iterator[Built]:
        """Itself and everything under it, children first."""
        for child in self.children:
            yield from child.everything()
        yield self


# values


def content(raw: bytes, media_type: str, *, algorithm: str = "sha256", annotations: Mapping[str, str] | None = None) -> Content:
    """Some bytes as a blob."""
    return Content(raw, Descriptor(media_type, Digest.of(raw, algorithm), len(raw), annotations=annotations or {}))


def seeded(seed: object, size: int) -> bytes:
    """Bytes that do not compress and are always the same for one seed."""
    return random.Random(str(seed)).randbytes(size)


def tar_layer(files: Mapping[str, bytes], *, media_type: str = media.OCI_LAYER_GZIP) -> Content:
    """A gzip layer holding some files, with fixed metadata."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    packed = content(gzip.compress(plain.getvalue(), mtime=0), media_type)
    return replace(packed, diff_id=str(Digest.of(plain.getvalue())))


def layer(seed: object, size: int = 2000, *, media_type: str = media.OCI_LAYER_GZIP) -> Content:
    """A gzip layer with one file of ``size`` bytes."""
    return tar_layer({f"data/{hashlib.sha256(str(seed).encode()).hexdigest()[:8]}": seeded(seed, size)}, media_type=media_type)


def image(
    layers: Sequence[Content], *, platform: str = "linux/amd64", docker: bool = False, extra: Mapping[str, Any] | None = None
) -> Built:
    """An image of some layers. With ``docker`` in Docker's schema 2; ``extra`` are more fields of the manifest."""
    wanted = Platform.parse(platform)
    parts = {"architecture": wanted.architecture, "os": wanted.os, "variant": wanted.variant}
    config_json = {
        **{name: text for name, text in parts.items() if text},
        "config": {"Cmd": ["/bin/true"]},
        "rootfs": {"type": "layers", "diff_ids": [blob.diff_id or str(blob.descriptor.digest) for blob in layers]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "airgap sample"} for _ in layers],
    }
    if docker:
        layers = [replace(blob, descriptor=replace(blob.descriptor, media_type=DOCKER_LAYER)) for blob in layers]
    config = content(_dump(config_json), DOCKER_CONFIG if docker else media.OCI_CONFIG)
    kind = media.DOCKER_MANIFEST if docker else media.OCI_MANIFEST
    built = _manifest(kind, config, layers, extra)
    return replace(built, descriptor=replace(built.descriptor, platform=wanted))


def index(children: Sequence[Built], *, docker: bool = False, extra: Mapping[str, Any] | None = None) -> Built:
    """An index (or Docker list) of images and other indexes."""
    kind = media.DOCKER_LIST if docker else media.OCI_INDEX
    value = {"schemaVersion": 2, "mediaType": kind, "manifests": [c.descriptor.to_json() for c in children], **(extra or {})}
    manifest = Manifest.parse(_dump(value), kind, "test index")
    return Built(manifest, _plain(manifest), (), tuple(children))


def multi_arch(seed: object, base: Sequence[Content] = (), *, platforms: Sequence[str] = PLATFORMS, docker: bool = False) -> Built:
    """An index of several platforms, each with the layers of ``base`` and one of its own."""
    return index([image([*base, layer(f"{seed} {p}")], platform=p, docker=docker) for p in platforms], docker=docker)


def artifact(
    subject: Built | None,
    artifact_type: str,
    payload: bytes,
    *,
    media_type: str = media.OCTETS,
    annotations: Mapping[str, str] | None = None,
) -> Built:
    """An OCI 1.1 artifact with the empty config, referring to ``subject`` where there is one."""
    extra: dict[str, Any] = {"artifactType": artifact_type}
    if subject is not None:
        extra["subject"] = _plain(subject.manifest).to_json()
    if annotations:
        extra["annotations"] = dict(annotations)
    return _manifest(media.OCI_MANIFEST, content(b"{}", media.OCI_EMPTY), [content(payload, media_type)], extra)


def simple_signing(repository: Repository, digest: Digest) -> bytes:
    """The payload that a cosign signature signs."""
    critical = {
        "identity": {"docker-reference": str(repository)},
        "image": {"docker-manifest-digest": str(digest)},
        "type": "cosign container image signature",
    }
    return _dump({"critical": critical, "optional": None})


def cosign_signature(payload: bytes, signature: str) -> Built:
    """The image that cosign puts under ``sha256-<hex>.sig``; ``signature`` is base64."""
    return cosign_attachment(payload, SIMPLE_SIGNING, {SIGNATURE_KEY: signature})


def cosign_attachment(payload: bytes, media_type: str, annotations: Mapping[str, str] | None = None) -> Built:
    """An image as cosign writes it for its ``.sig``, ``.att`` and ``.sbom`` tags."""
    return image([content(payload, media_type, annotations=annotations)])


def cosign_referrer(subject: Built, signatures: Iterable[tuple[bytes, Mapping[str, str]]], *, stated: bool = False) -> Built:
    """What cosign writes in its OCI 1.1 mode: the layers of a ``.sig`` manifest in a referrer, whose type is that of its config.

    Args:
        signatures: payloads with their annotations.
        stated: name the type in ``artifactType`` instead, as other tools do.
    """
    layers = [content(payload, SIMPLE_SIGNING, annotations=annotations) for payload, annotations in signatures]
    extra: dict[str, Any] = {"subject": _plain(subject.manifest).to_json()}
    if stated:
        return _manifest(media.OCI_MANIFEST, content(b"{}", media.OCI_EMPTY), layers, {"artifactType": SIGNATURE_REFERRER, **extra})
    return _manifest(media.OCI_MANIFEST, content(_dump({"rootfs": {"type": "layers"}}), SIGNATURE_REFERRER), layers, extra)


def fallback_index(referrers: Iterable[Built]) -> Built:
    """The index that lists referrers under the tag ``sha256-<hex>`` (distribution-spec, "Referrers Tag Schema")."""
    children = [replace(r, descriptor=replace(r.manifest.descriptor, annotations=r.manifest.annotations)) for r in referrers]
    return index(children)


def _manifest(kind: str, config: Content, layers: Sequence[Content], extra: Mapping[str, Any] | None) -> Built:
    value = {
        "schemaVersion": 2,
        "mediaType": kind,
        "config": config.descriptor.to_json(),
        "layers": [blob.descriptor.to_json() for blob in layers],
        **(extra or {}),
    }
    manifest = Manifest.parse(_dump(value), kind, "test manifest")
    return Built(manifest, _plain(manifest), (config, *layers))


def _plain(manifest: Manifest) -> Descriptor:
    return Descriptor(manifest.media_type, manifest.digest, len(manifest.raw), artifact_type=manifest.artifact_type)


def _dump(value: object) -> bytes:
    return json.dumps(value, indent=1).encode()


# into a layout


class BytesReader:
    """A ``Reader`` over bytes."""

    def __init__(self, raw: bytes) -> None:
        self._file = io.BytesIO(raw)

    def readinto(self, buffer: memoryview, /) -> int:
        """As ``Reader.readinto``."""
        return self._file.readinto(buffer)

    def close(self) -> None:
        """Close it."""
        self._file.close()


def store(layout: LayoutStore, repository: Repository, built: Built) -> None:
    """Put a manifest and everything under it into a layout, without a name."""
    for part in built.everything():
        for blob in part.blobs:
            if not layout.has(repository, blob.descriptor):
                layout.write(repository, blob.descriptor, partial(BytesReader, blob.raw))
        layout.put_manifest(repository, part.manifest)


def publish(layout: LayoutStore, reference: str, built: Built) -> Reference:
    """Put it into a layout under a name; the caller commits."""
    parsed = Reference.parse(reference)
    store(layout, parsed.repository, built)
    layout.tag(parsed, built.manifest)
    return parsed


def publish_attachment(layout: LayoutStore, repository: Repository, subject: Digest, suffix: str, built: Built) -> Reference:
    """Put a cosign attachment into a layout under its tag."""
    return publish(layout, f"{repository}:{digest_tag(subject, suffix)}", built)


def attach(
    layout: LayoutStore, repository: Repository, subject: Built, referrers: Sequence[Built], original: Built | None = None
) -> None:
    """Put referrers into a layout and link them to their subject; ``original`` is the source's fallback-tag index."""
    for built in referrers:
        store(layout, repository, built)
    descriptors = [built.manifest.descriptor for built in referrers]
    layout.link_referrers(Referring(repository, subject.digest, descriptors, None if original is None else original.manifest))


# into a registry


def push_layout_to_registry(layout: LayoutStore, address: str, *, prefix: str = "") -> dict[str, Digest]:
    """Send every name of a layout to a plain-HTTP registry, without the source host.

    Referrers go to every repository that has their subject; where the layout names no fallback tag for a subject, one is made,
    as a client of a registry without the referrers API does.

    Args:
        layout: the layout.
        address: ``HOST:PORT``.
        prefix: a first path component, so that tests can share a registry.

    Returns:
        What was tagged: ``path:tag`` -> digest, the fallback tags included.
    """
    push = _Push(layout, address)
    try:
        for name in layout.names():
            if name.path:
                repository = Reference.parse(name.path).repository if "/" in name.path else Repository("localhost", name.path)
                push.name(f"{prefix}/{repository.path}".lstrip("/"), name.tag, name.descriptor)
        push.referrers([name.descriptor for name in layout.names() if not name.path])
    finally:
        push.connection.close()
    return push.tags


class _Push:
    def __init__(self, layout: LayoutStore, address: str) -> None:
        self.layout = layout
        self.connection = http.client.HTTPConnection(address, timeout=30)
        self.tags: dict[str, Digest] = {}
        self._done: dict[str, set[Digest]] = {}

    def name(self, path: str, tag: str | None, descriptor: Descriptor) -> None:
        self.closure(path, descriptor.digest)
        if tag is not None:
            self._put_manifest(path, self.layout.find_manifest(descriptor.digest), tag)
            self.tags[f"{path}:{tag}"] = descriptor.digest

    def referrers(self, unnamed: Sequence[Descriptor]) -> None:
        """Until nothing new is found: a referrer's referrers find their subject only then."""
        manifests = [self.layout.find_manifest(descriptor.digest) for descriptor in unnamed]
        listed: dict[tuple[str, Digest], list[Manifest]] = {}
        for _ in range(len(manifests) + 1):
            for manifest in manifests:
                for path, done in self._done.items():
                    subject = manifest.subject.digest if manifest.subject else None
                    if subject in done and manifest not in (found := listed.setdefault((path, subject), [])):
                        self.closure(path, manifest.digest)
                        found.append(manifest)
        for (path, subject), found in listed.items():
            if f"{path}:{digest_tag(subject)}" not in self.tags:
                made = fallback_index(Built(manifest, manifest.descriptor) for manifest in found).manifest
                self._put_manifest(path, made, digest_tag(subject))
                self.tags[f"{path}:{digest_tag(subject)}"] = made.digest

    def closure(self, path: str, digest: Digest) -> None:
        done = self._done.setdefault(path, set())
        if digest in done:
            return
        manifest = self.layout.find_manifest(digest)
        for child in manifest.children:
            self.closure(path, child.digest)
        for blob in manifest.blobs():
            if blob.digest not in done:
                self._put_blob(path, blob)
                done.add(blob.digest)
        self._put_manifest(path, manifest, digest)
        done.add(digest)

    def _put_blob(self, path: str, blob: Descriptor) -> None:
        status, _ = self._ask("HEAD", f"/v2/{path}/blobs/{blob.digest}", expect=(200, 404))
        if status == 200:
            return
        _, location = self._ask("POST", f"/v2/{path}/blobs/uploads/", expect=(202,))
        target = location.removeprefix(f"http://{self.connection.host}:{self.connection.port}")
        raw = _read(self.layout, blob)
        self._ask("PUT", f"{target}{'&' if '?' in target else '?'}digest={blob.digest}", raw, media.OCTETS, expect=(201,))

    def _put_manifest(self, path: str, manifest: Manifest, selector: str) -> None:
        self._ask("PUT", f"/v2/{path}/manifests/{selector}", manifest.raw, manifest.media_type, expect=(201,))

    def _ask(
        self, method: str, target: str, body: bytes = b"", content_type: str = "", *, expect: Sequence[int]
    ) -> tuple[int, str]:
        headers = {"Content-Type": content_type} if content_type else {}
        self.connection.request(method, target, body=body or None, headers=headers)
        response = self.connection.getresponse()
        text = response.read()
        if response.status not in expect:
            raise AssertionError(f"{method} {target}: {response.status} {text[:300]!r}")
        return response.status, response.headers.get("Location", "")


def _read(layout: LayoutStore, blob: Descriptor) -> bytes:
    reader = layout.open_blob(blob.digest)
    try:
        buffer = memoryview(bytearray(blob.size))
        assert reader.readinto(buffer) == blob.size
        return bytes(buffer)
    finally:
        reader.close()
