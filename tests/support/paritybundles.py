"""Bundles with parity over any bytes: what lies in the volumes is no matter to who repairs them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from random import Random

from airgap.exporter.parity import write_parity
from airgap.format import checktxt, names
from airgap.format.catalog import Blob, Catalog, Volume
from airgap.format.frame import Extent
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.image import Image
from airgap.oci.reference import Reference
from airgap.progress import Silent

BLOCK = names.BLOCK_SIZE


def content(size: int, seed: object) -> bytes:
    """Bytes that no other seed gives; long ones repeat a page that does not divide a block."""
    page = Random(str(seed)).randbytes(min(size, 1_000_003))
    return (page * (size // max(1, len(page)) + 1))[:size]


def entry(name: str, data: bytes) -> Volume:
    """What a catalog says of a file."""
    blocks = tuple(hashlib.sha256(data[at : at + BLOCK]).hexdigest() for at in range(0, len(data), BLOCK))
    return Volume(name, len(data), hashlib.sha256(data).hexdigest(), blocks)


def make(directory: Path, volumes: Sequence[bytes], parity: int, serial: int = 7) -> Catalog:
    """Write a bundle with these volumes."""
    directory.mkdir(parents=True)
    listed = []
    for number, data in enumerate(volumes, 1):
        name = names.volume_name(number)
        (directory / name).write_bytes(data)
        listed.append(entry(name, data))
    first = min(1, len(volumes[0]))
    root = Descriptor(media.OCI_MANIFEST, Digest.of(b"root"), 1)
    catalog = Catalog(
        stream="prod-site",
        serial=serial,
        created="2026-01-31T12:00:00Z",
        expires=None,
        tool="airgap 1",
        previous=None,
        base=(),
        volume_size=None,
        images=(Image(Reference.parse("shop/web:1"), root, volumes=tuple(range(1, len(volumes) + 1))),),
        blobs={root.digest: Blob(first, (Extent(1, 0, first),))},
        volumes=tuple(listed),
        parity=write_parity(directory, listed, parity, Silent()),
    )
    (directory / names.CATALOG).write_bytes(catalog.to_bytes())
    (directory / names.SUMS).write_bytes(checktxt.sha256sums(catalog, catalog.to_bytes()))
    return catalog


def files(directory: Path) -> dict[str, bytes]:
    """The volumes and parity files of a directory."""
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir()) if path.suffix in (".tar", ".bin")}


def spoil(path: Path, block: int, at: int = 0) -> None:
    """Change one byte of a block."""
    with path.open("r+b") as file:
        file.seek(block * BLOCK + at)
        old = file.read(1)
        file.seek(block * BLOCK + at)
        file.write(bytes([old[0] ^ 0x40]))
