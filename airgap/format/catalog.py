"""The catalog: the signed list of everything in a bundle. Pure data, strict both ways."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from airgap.errors import Damaged, Refused
from airgap.format import frame, names
from airgap.format.blobtable import BlobTable, memory_of, table_of
from airgap.format.entries import Blob as Blob  # the entries under the catalog's own name
from airgap.format.entries import Patch as Patch
from airgap.format.entries import Volume as Volume
from airgap.format.entries import blob_json, blob_of, check_blobs, file_json, file_of
from airgap.format.frame import Member
from airgap.format.outline import Outline, header
from airgap.limits import MAX_CATALOG_MEMORY
from airgap.oci import jsonparts, media, strictjson
from airgap.oci.digest import Digest
from airgap.oci.image import Image
from airgap.oci.reference import Reference
from airgap.text import printable

SCHEMA = "airgap.catalog/1"
SEALED = "airgap.sealed/1"
_IN_PARTS = ("blobs", "images", "volumes", "parity")

OCI_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
REF_NAME = "org.opencontainers.image.ref.name"


@dataclass(frozen=True, kw_only=True)
class Catalog(Outline):
    """Everything in a bundle; ``trusted_root`` is the digest of the file that carries a TUF repository beside it."""

    tool: str
    previous: Digest | None
    base: tuple[Digest, ...]
    images: tuple[Image, ...]
    blobs: Mapping[Digest, Blob]
    trusted_root: Digest | None = None

    def images_on(self, volumes: Collection[int]) -> list[str]:
        """The images that need one of these volumes, by number from 1."""
        return [str(image.reference) for image in self.images if set(volumes) & set(image.volumes)]

    def members(self) -> list[Member]:
        """The files of the layout in the order of the media."""
        return list(layout_members(self.images, ((digest, blob.size) for digest, blob in table_of(self.blobs).in_media_order())))

    def check_frame(self, seen: Callable[[frame.Step], object] | None = None) -> None:
        """Recompute the tar frame and compare: extents and volume sizes must be the canonical ones.

        Args:
            seen: told every stretch of the frame on the way, before it is known whether the catalog agrees.

        Raises:
            Damaged: the catalog contradicts the format.
        """
        current: list[tuple[Digest, Blob]] = []  # whose member is being measured, and those before it that are not compared yet
        wrong: Digest | None = None
        sizes: list[int] = []

        def sized() -> Iterator[tuple[Digest, int]]:
            for digest, blob in table_of(self.blobs).in_media_order():
                current.append((digest, blob))
                yield digest, blob.size

        for _, extents in frame.measured(layout_members(self.images, sized()), self.volume_size, sizes, seen):
            digest, blob = current.pop(0)
            if extents != blob.extents:
                wrong = wrong or digest
        if wrong is not None:
            raise Damaged("the catalog's extents contradict the format", where=f"{names.CATALOG}: blob {wrong}")
        if tuple(sizes) != tuple(volume.size for volume in self.volumes):
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
            "parity": (file_json(file) for file in self.parity),
            "images": (image.to_json() for image in self.images),
            "blobs": self._blob_lines(),
            "volumes": (file_json(file) for file in self.volumes),
        }
        if self.trusted_root is not None:
            top["trusted_root"] = self.trusted_root
        return document(top)

    def _blob_lines(self) -> Iterator[tuple[str, Any]]:
        yield from ((digest, blob_json(blob)) for digest, blob in table_of(self.blobs).in_digest_order())

    @classmethod
    def from_bytes(cls, raw: bytes) -> Catalog:
        """Read a catalog whose signature has been checked.

        Raises:
            Damaged: unknown schema, or any field that is missing, of the wrong type, or out of range.
            Refused: the bundle is encrypted.
        """
        where = names.CATALOG
        top, blobs = _read(raw)
        if top.get("schema") == SEALED:
            raise Refused(
                "the bundle is encrypted",
                where=where,
                expected="the private key of one of its recipients",
                hint="give --decrypt-key FILE to import, verify, inspect, serve or watch; check, copy and repair need no key; "
                "as the base of the next bundle use the site's receipt",
            )
        if top.get("schema") != SCHEMA:
            raise Damaged(
                "the catalog has an unknown schema",
                where=where,
                expected=SCHEMA,
                got=printable(str(top.get("schema")), 60),
                hint="the bundle was made by a newer airgap: bring that version to this site first",
            )
        previous, root = top.get("previous"), top.get("trusted_root")
        known = header(top)
        return cls(
            **known,
            tool=strictjson.string(top.get("tool"), f"{where}: tool"),
            previous=None if previous is None else Digest.parse(previous, f"{where}: previous"),
            base=tuple(Digest.parse(item, f"{where}: base") for item in strictjson.array(top.get("base"), where)),
            images=_images(strictjson.array(top.get("images"), where), len(known["volumes"])),
            blobs=check_blobs(blobs, known["volumes"]),
            trusted_root=None if root is None else Digest.parse(root, f"{where}: trusted_root"),
        )


def _read(raw: bytes) -> tuple[dict[str, Any], BlobTable]:
    """The entries of a catalog, with blobs, images and files as what they are: as JSON they would take several times the memory.

    What is wrong with a part is told at the end, after an unknown schema.
    """
    where = names.CATALOG
    memory = jsonparts.Memory(MAX_CATALOG_MEMORY)
    top: dict[str, Any] = {}
    blobs = BlobTable()
    wrong: Damaged | None = None
    for key, name, value in jsonparts.parts(raw, where, _IN_PARTS, memory):
        if name is None:
            top[key] = value
            continue
        try:
            memory.take(_part(top, blobs, key, name, value))
        except Damaged as error:
            if memory.left < 0:
                error.where = where
                raise
            wrong = wrong or error
    if top.get("schema") == SCHEMA:
        if wrong is not None:
            raise wrong
        strictjson.mapping(top.get("blobs"), where)
    return top, blobs


def _part(top: dict[str, Any], blobs: BlobTable, key: str, name: str | int, value: object) -> int:
    """Keep one blob, image or file; the memory that it takes, in bytes. Raises ``Damaged``."""
    if key == "blobs":
        digest, blob = blob_of(name, value)
        try:
            blobs.add(digest, blob)
        except ValueError as error:
            raise Damaged(f"not acceptable JSON: {error}", where=names.CATALOG) from error
        return memory_of(digest, blob)
    if not isinstance(name, int):
        raise Damaged("not a list", where=f"{names.CATALOG}: {key}")
    if key == "images":
        top[key].append(Image.from_json(value, f"{names.CATALOG}: image {name + 1}"))
        return _image_memory(value)
    own = names.volume_name(name + 1) if key == "volumes" else names.parity_name(name + 1)
    file = file_of(value, own, f"{names.CATALOG}: {'volume' if key == 'volumes' else 'parity'} {name + 1}")
    top[key].append(file)
    return _file_memory(len(file.blocks))


def memory_needed(images: Iterable[Image], blobs: Mapping[Digest, Blob], files: Iterable[int] = ()) -> int:
    """What a reader counts for images, blobs and files (by their sizes), in bytes: no more than ``MAX_CATALOG_MEMORY``."""
    return (
        sum(_file_memory(-(-size // names.BLOCK_SIZE)) for size in files)
        + sum(_image_memory(image.to_json()) for image in images)
        + sum(memory_of(*item) for item in blobs.items())
    )


def _file_memory(blocks: int) -> int:
    return 512 + 136 * blocks


def _image_memory(value: object) -> int:
    return strictjson.memory_of(strictjson.canonical(value), keys=False)


def savings(blobs: Mapping[Digest, Blob]) -> dict[str, int]:
    """What need not be carried: how many blobs are held and patched, and their bytes; and the bytes of the patches.

    What patches are made from is not counted as held.
    """
    bases = {blob.patch.base for blob in blobs.values() if blob.patch}
    held = [blob.size for digest, blob in blobs.items() if blob.held and digest not in bases]
    patched = [(blob.size, blobs[blob.patch.blob].size) for blob in blobs.values() if blob.patch]
    return {
        "held_blobs": len(held),
        "held_bytes": sum(held),
        "patched_blobs": len(patched),
        "patched_bytes": sum(size for size, _ in patched),
        "patch_bytes": sum(size for _, size in patched),
    }


def document(top: Mapping[str, Any]) -> bytes:
    """A catalog's exact bytes: sorted keys, one top-level entry a line.

    Args:
        top: the entries. One may be an iterator over the parts of a list, or over the keys (sorted) and values of an object, which
            are written one by one: all of them together would take many times the memory of their text.
    """
    out = io.BytesIO()
    for number, key in enumerate(sorted(top)):
        out.write((",\n" if number else "{\n").encode() + f"{json.dumps(key)}:".encode())
        for part in _parts_of(key, top[key]):
            out.write(part)
    out.write(b"\n}\n")
    return out.getvalue()


def _parts_of(key: str, value: Any) -> Iterator[bytes]:
    if not isinstance(value, Iterator):
        yield strictjson.canonical(value)
        return
    keyed = key == "blobs"
    yield b"{" if keyed else b"["
    for number, part in enumerate(value):
        name, inside = (f"{json.dumps(part[0])}:", part[1]) if keyed else ("", part)
        yield ("," if number else "").encode() + name.encode() + strictjson.canonical(inside)
    yield b"}" if keyed else b"]"


def layout_members(images: Iterable[Image], blobs: Iterable[tuple[Digest, int]]) -> Iterator[Member]:
    """The members of the layout: ``oci-layout``, ``index.json``, then the given blobs in their order."""
    index = index_json(images)
    yield Member("oci-layout", len(OCI_LAYOUT), OCI_LAYOUT)
    yield Member("index.json", len(index), index)
    yield from (Member(names.blob_path(digest), size) for digest, size in blobs)


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


def _entry(descriptor: dict[str, Any], name: str) -> dict[str, Any]:
    return descriptor | {"annotations": {REF_NAME: name}} if name else descriptor


def _images(values: list[Any], volumes: int) -> tuple[Image, ...]:
    images: tuple[Image, ...] = tuple(values)
    if not images or not volumes:
        raise Damaged("the catalog lists no images or no volumes", where=names.CATALOG)
    roots: dict[Reference, Digest] = {}
    for number, image in enumerate(images, 1):
        where = f"{names.CATALOG}: image {number}"
        if not image.volumes or not 1 <= min(image.volumes) <= max(image.volumes) <= volumes:
            raise Damaged("an image needs volumes that do not exist", where=where, got=printable(str(image.volumes), 80))
        if roots.setdefault(image.reference, image.root.digest) != image.root.digest:
            raise Damaged("two images have the same name", where=where, got=str(image.reference))
    return images
