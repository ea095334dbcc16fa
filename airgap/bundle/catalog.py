"""The catalog: the signed list of everything in a bundle. Pure data, strict both ways."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from airgap.bundle import frame, names
from airgap.bundle.frame import Extent, Member
from airgap.errors import Damaged, UsageError
from airgap.oci import media, strictjson
from airgap.oci.digest import Digest
from airgap.oci.image import Image
from airgap.oci.reference import Reference
from airgap.patch.codec import CODECS
from airgap.text import printable

SCHEMA = "airgap.catalog/1"
#: A catalog may not be larger than this, in bytes: about a million blobs.
MAX_CATALOG = 256 * 1024 * 1024

OCI_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
REF_NAME = "org.opencontainers.image.ref.name"


@dataclass(frozen=True, slots=True)
class Patch:
    """How a blob that is not carried is made.

    Attributes:
        codec: the name and version of the method, one of ``patch.CODECS``.
        base: the blob that the patch applies to, held by the site or carried whole; None where the patch alone will do.
        blob: the patch itself, a blob like any other.
    """

    codec: str
    base: Digest | None
    blob: Digest


@dataclass(frozen=True, slots=True)
class Blob:
    """Where a blob is: its extents; or nowhere in this bundle, because the site holds it already or because it is made by a patch.

    Attributes:
        size: in bytes.
        extents: its stretches of the volumes, in order.
        held: the site has it.
        repositories: where the base of the bundle had a held blob: hints for finding it, never names to write to.
        patch: how it is made.
    """

    size: int
    extents: tuple[Extent, ...] = ()
    held: bool = False
    repositories: tuple[str, ...] = ()
    patch: Patch | None = None


@dataclass(frozen=True, slots=True)
class Volume:
    """One volume: size in bytes, SHA-256 of the whole file and of every 16 MiB block (hex)."""

    name: str
    size: int
    sha256: str
    blocks: tuple[str, ...]


@dataclass(frozen=True)
class Catalog:
    """Everything in a bundle. ``created`` and ``expires`` are RFC 3339 in UTC; ``volume_size`` is the bound given, or None."""

    stream: str
    serial: int
    created: str
    expires: str | None
    tool: str
    previous: Digest | None
    base: tuple[Digest, ...]
    volume_size: int | None
    images: tuple[Image, ...]
    blobs: Mapping[Digest, Blob]
    volumes: tuple[Volume, ...]

    @property
    def name(self) -> str:
        """The directory name, ``stream-serial``."""
        return names.bundle_name(self.stream, self.serial)

    @property
    def total_size(self) -> int:
        """Bytes of all volumes."""
        return sum(volume.size for volume in self.volumes)

    def savings(self) -> dict[str, int]:
        """What need not be carried: how many blobs are held and patched, and their bytes; and the bytes of the patches.

        What patches are made from is not counted as held.
        """
        bases = {blob.patch.base for blob in self.blobs.values() if blob.patch}
        held = [blob.size for digest, blob in self.blobs.items() if blob.held and digest not in bases]
        patched = [(blob.size, self.blobs[blob.patch.blob].size) for blob in self.blobs.values() if blob.patch]
        return {
            "held_blobs": len(held),
            "held_bytes": sum(held),
            "patched_blobs": len(patched),
            "patched_bytes": sum(size for size, _ in patched),
            "patch_bytes": sum(size for _, size in patched),
        }

    def members(self) -> list[Member]:
        """The files of the layout in the order of the media."""
        carried = [(blob.extents[0], digest, blob.size) for digest, blob in self.blobs.items() if blob.extents]
        return layout_members(self.images, [(digest, size) for _, digest, size in sorted(carried)])

    def check_frame(self) -> None:
        """Recompute the tar frame and compare: extents and volume sizes must be the canonical ones.

        Raises:
            Damaged: the catalog contradicts the format.
        """
        computed = frame.measure(self.members(), self.volume_size)
        for digest, blob in self.blobs.items():
            expected = computed.extents.get(names.blob_path(digest), ())
            if expected != blob.extents:
                raise Damaged("the catalog's extents contradict the format", where=f"{names.CATALOG}: blob {digest}")
        if computed.sizes != tuple(volume.size for volume in self.volumes):
            raise Damaged("the catalog's volume sizes contradict the format", where=names.CATALOG)

    def to_bytes(self) -> bytes:
        """The exact bytes that are signed: sorted keys, one top-level entry a line."""
        top: dict[str, Any] = {
            "schema": SCHEMA,
            "stream": self.stream,
            "serial": self.serial,
            "created": self.created,
            "expires": self.expires,
            "tool": self.tool,
            "previous": self.previous,
            "base": list(self.base),
            "block_size": names.BLOCK_SIZE,
            "volume_size": self.volume_size,
            "parity": [],
            "images": [image.to_json() for image in self.images],
            "blobs": {digest: _blob_json(blob) for digest, blob in self.blobs.items()},
            "volumes": [{"name": v.name, "size": v.size, "sha256": v.sha256, "blocks": list(v.blocks)} for v in self.volumes],
        }
        lines = (f"{json.dumps(key)}:{strictjson.canonical(top[key]).decode()}" for key in sorted(top))
        return ("{\n" + ",\n".join(lines) + "\n}\n").encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> Catalog:
        """Read a catalog whose signature has been checked.

        Raises:
            Damaged: unknown schema, or any field that is missing, of the wrong type, or out of range.
        """
        where = names.CATALOG
        top = strictjson.parse_object(raw, where)
        if top.get("schema") != SCHEMA:
            raise Damaged(
                "a catalog of an unknown schema",
                where=where,
                expected=SCHEMA,
                got=printable(str(top.get("schema")), 60),
                hint="the bundle was made by a newer airgap: bring that version to this site first",
            )
        _check_header(top, where)
        volume_size = _volume_size(top.get("volume_size"))
        volumes = tuple(_volume(item, i, volume_size) for i, item in enumerate(strictjson.array(top.get("volumes"), where), 1))
        previous = top.get("previous")
        return cls(
            stream=_stream(top),
            serial=strictjson.integer(top.get("serial"), f"{where}: serial"),
            created=check_time(top.get("created"), f"{where}: created"),
            expires=None if top.get("expires") is None else check_time(top.get("expires"), f"{where}: expires"),
            tool=strictjson.string(top.get("tool"), f"{where}: tool"),
            previous=None if previous is None else Digest.parse(previous, f"{where}: previous"),
            base=tuple(Digest.parse(item, f"{where}: base") for item in strictjson.array(top.get("base"), where)),
            volume_size=volume_size,
            images=_images(strictjson.array(top.get("images"), where), len(volumes)),
            blobs=_blobs(strictjson.mapping(top.get("blobs"), where), volumes),
            volumes=volumes,
        )


def layout_members(images: Iterable[Image], blobs: Iterable[tuple[Digest, int]]) -> list[Member]:
    """The members of the layout: ``oci-layout``, ``index.json``, then the given blobs in their order."""
    index = index_json(images)
    head = [Member("oci-layout", len(OCI_LAYOUT), OCI_LAYOUT), Member("index.json", len(index), index)]
    return head + [Member(names.blob_path(digest), size) for digest, size in blobs]


def index_json(images: Iterable[Image]) -> bytes:
    """The layout's ``index.json``: every image by its full reference, and every attachment (image-spec image-layout.md)."""
    entries: dict[tuple[str, str], dict[str, Any]] = {}
    for image in images:
        entries.setdefault((str(image.reference), image.root.digest), _entry(image.root.to_json(), str(image.reference)))
    for image in images:
        for attachment in image.attachments:
            name = str(image.reference.repository.tagged(attachment.tag)) if attachment.tag else ""
            entries.setdefault((name, attachment.descriptor.digest), _entry(attachment.descriptor.to_json(), name))
    index = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": list(entries.values())}
    return strictjson.canonical(index)


def check_time(value: object, where: str) -> str:
    """An RFC 3339 time in UTC, ``2026-01-31T12:00:00Z``. Raises ``Damaged``."""
    text = strictjson.string(value, where)
    try:
        parse_time(text)
    except UsageError as error:
        raise Damaged(error.what, where=where, expected=error.expected, got=error.got) from error
    return text


def parse_time(text: str) -> dt.datetime:
    """Read an RFC 3339 time; a time zone is required. Raises ``UsageError``."""
    try:
        moment = dt.datetime.fromisoformat(text)
        if moment.tzinfo is not None and "T" in text.upper():
            return moment.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        pass
    raise UsageError("not a time", expected="RFC 3339, such as 2026-01-31T12:00:00Z", got=printable(text, 60))


def format_time(moment: dt.datetime) -> str:
    """Write a time as RFC 3339 in UTC, in whole seconds."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _entry(descriptor: dict[str, Any], name: str) -> dict[str, Any]:
    return descriptor | {"annotations": {REF_NAME: name}} if name else descriptor


def _blob_json(blob: Blob) -> dict[str, Any]:
    if blob.held:
        return {"size": blob.size, "held": True, "repositories": list(blob.repositories)}
    if blob.patch is not None:
        patch = {"codec": blob.patch.codec, "base": blob.patch.base, "blob": blob.patch.blob}
        return {"size": blob.size, "patch": patch}
    return {"size": blob.size, "extents": [[e.volume, e.offset, e.length] for e in blob.extents]}


def _check_header(top: dict[str, Any], where: str) -> None:
    if top.get("block_size") != names.BLOCK_SIZE:
        raise Damaged(
            "an unknown block size", where=where, expected=str(names.BLOCK_SIZE), got=printable(str(top.get("block_size")), 60)
        )
    if top.get("parity") != []:
        raise Damaged("the catalog lists parity files, which this version does not know", where=where, hint="use a newer airgap")


def _stream(top: dict[str, Any]) -> str:
    try:
        return names.check_stream(strictjson.string(top.get("stream"), names.CATALOG))
    except UsageError as error:
        raise Damaged(error.what, where=names.CATALOG, expected=error.expected, got=error.got) from error


def _volume_size(value: object) -> int | None:
    where = f"{names.CATALOG}: volume_size"
    if value is not None and strictjson.integer(value, where) < names.MIN_VOLUME:
        raise Damaged("a volume size that nothing fits into", where=where, expected=f"{names.MIN_VOLUME} bytes at least")
    return None if value is None else strictjson.integer(value, where)


def _images(values: list[Any], volumes: int) -> tuple[Image, ...]:
    images = tuple(Image.from_json(value, f"{names.CATALOG}: image {i}") for i, value in enumerate(values, 1))
    if not images or not volumes:
        raise Damaged("the catalog lists no images or no volumes", where=names.CATALOG)
    roots: dict[Reference, Digest] = {}
    for number, image in enumerate(images, 1):
        where = f"{names.CATALOG}: image {number}"
        if not image.volumes or not set(image.volumes) <= set(range(1, volumes + 1)):
            raise Damaged("an image needs volumes that do not exist", where=where, got=printable(str(image.volumes), 80))
        if roots.setdefault(image.reference, image.root.digest) != image.root.digest:
            raise Damaged("two images have the same name", where=where, got=str(image.reference))
    return images


def _volume(value: object, number: int, most: int | None) -> Volume:
    where = f"{names.CATALOG}: volume {number}"
    fields = strictjson.mapping(value, where)
    size = strictjson.integer(fields.get("size"), where)
    blocks = tuple(_sha256(item, where) for item in strictjson.array(fields.get("blocks"), where))
    if fields.get("name") != names.volume_name(number) or len(blocks) != -(-size // names.BLOCK_SIZE):
        raise Damaged("a volume's name or number of blocks is wrong", where=where)
    if most is not None and size > most:
        raise Damaged("a volume is larger than the volume size", where=where, expected=f"{most} bytes at most", got=str(size))
    return Volume(names.volume_name(number), size, _sha256(fields.get("sha256"), where), blocks)


def _sha256(value: object, where: str) -> str:
    return Digest.parse(f"sha256:{value}", where).hex


def _blobs(values: dict[str, Any], volumes: tuple[Volume, ...]) -> dict[Digest, Blob]:
    where = names.CATALOG
    blobs = {
        Digest.parse(key, where): _blob(value, f"{where}: blob {printable(key, 90)}", volumes) for key, value in values.items()
    }
    for digest, blob in blobs.items():
        if blob.patch is not None:
            _check_patch(blob.patch, blobs, f"{where}: blob {digest}")
    return blobs


def _check_patch(patch: Patch, blobs: Mapping[Digest, Blob], where: str) -> None:
    """A patch is carried, and what it applies to is held, carried whole, or made by a patch alone: two steps make any blob."""
    carried, base = blobs.get(patch.blob), blobs.get(patch.base) if patch.base else None
    if carried is None or not carried.extents:
        raise Damaged("a patch is not in the bundle", where=where, expected=patch.blob)
    if patch.base is not None and (base is None or (base.patch is not None and base.patch.base is not None)):
        raise Damaged("a patch applies to a blob that is neither held nor in the bundle", where=where, expected=patch.base)
    if patch.codec not in CODECS:
        raise Damaged(
            "a patch of an unknown kind",
            where=where,
            expected=", ".join(CODECS),
            got=printable(patch.codec, 60),
            hint="the bundle was made by a newer airgap: bring that version to this site first",
        )


def _blob(value: object, where: str, volumes: tuple[Volume, ...]) -> Blob:
    fields = strictjson.mapping(value, where)
    size = strictjson.integer(fields.get("size"), where)
    if len(fields.keys() & {"held", "patch", "extents"}) != 1 or fields.get("held", True) is not True:
        raise Damaged("a blob must be carried, held or made by a patch, and only one of these", where=where)
    if "held" in fields:
        repositories = strictjson.array(fields.get("repositories", []), where)
        return Blob(size, held=True, repositories=tuple(strictjson.string(name, where) for name in repositories))
    if "patch" in fields:
        return Blob(size, patch=_patch(strictjson.mapping(fields["patch"], where), where))
    extents = tuple(_extent(item, where, volumes) for item in strictjson.array(fields.get("extents"), where))
    if not extents or sum(extent.length for extent in extents) != size:
        raise Damaged("a blob's extents do not add up to its size", where=where, expected=str(size))
    return Blob(size, extents)


def _patch(fields: dict[str, Any], where: str) -> Patch:
    base = fields.get("base")
    return Patch(
        codec=strictjson.string(fields.get("codec"), where),
        base=None if base is None else Digest.parse(base, where),
        blob=Digest.parse(fields.get("blob"), where),
    )


def _extent(value: object, where: str, volumes: tuple[Volume, ...]) -> Extent:
    numbers = [strictjson.integer(item, where) for item in strictjson.array(value, where)]
    if len(numbers) != 3 or not 1 <= numbers[0] <= len(volumes) or numbers[1] + numbers[2] > volumes[numbers[0] - 1].size:
        raise Damaged("a blob's extent lies outside its volume", where=where, got=printable(str(numbers), 80))
    return Extent(*numbers)
