"""Identify a volume that is not what its name says: it may be another one of this bundle or of another bundle."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from airgap import fsio
from airgap.errors import AirgapError
from airgap.format import names
from airgap.format.catalog import Catalog, index_json
from airgap.format.names import BLOCK_SIZE
from airgap.media.survey import Copy, Survey

_RECORD = 512
#: More different bytes than this are not damage.
_DAMAGE = 64
_NAME = 100  # bytes of the name field of a tar header


def recognise(copy: Copy, one: Survey, surveys: Sequence[Survey]) -> str:
    """What a file is instead of what its name says, for people; empty if unknown.

    Args:
        copy: a file whose first block is not the right one.
        one: the bundle that it should belong to.
        surveys: all bundles whose catalogs are at hand.
    """
    try:
        block = read(copy.path, 0, BLOCK_SIZE)
    except AirgapError:
        return ""
    for other in (one, *surveys):
        digest = hashlib.sha256(block).hexdigest()
        for file in other.files:
            if file.blocks[:1] == (digest,) and file != copy.file:
                whose = "this bundle" if other is one else f"another bundle, {other.catalog.name}"
                return f"it is {other.title(file)} of {whose}"
    return _by_header(block, copy, one)


def read(path: Path, offset: int, length: int) -> bytes:
    """Some bytes of a regular file, fewer where it ends. Raises ``Damaged`` and ``MediaError``."""
    with fsio.opened(path) as fd, fsio.disk_errors("cannot read", path):
        buffer = bytearray(length)
        return bytes(buffer[: fsio.read_at(fd, memoryview(buffer), offset)])


def _by_header(block: bytes, copy: Copy, one: Survey) -> str:
    """A volume begins with the header of a blob, the first one with the layout's files: what is there gives another one away."""
    name, catalog = _first_name(block), one.catalog
    # the volumes of an encrypted bundle have no such headers
    images, blobs = (catalog.images, catalog.blobs) if isinstance(catalog, Catalog) else ((), {})
    if name == b"oci-layout":
        if copy.file != one.catalog.volumes[0]:
            return "it is the first volume of a bundle"
        return "it is the first volume of another bundle" if _other_index(block, index_json(images)) else ""
    if not name.startswith(b"blobs/sha"):
        return ""
    known = (names.blob_path(digest).encode()[: len(name)] for digest in blobs)
    return "" if name in known else "it is a volume of another bundle"


def _other_index(block: bytes, expected: bytes) -> bool:
    """Whether the second member, ``index.json``, is not ours with some damage but another one."""
    header = block[2 * _RECORD : 3 * _RECORD]
    field = header[124:136].rstrip(b"\0 ")
    if not header.startswith(b"index.json\0") or not re.fullmatch(rb"[0-7]{1,11}", field):
        return False
    found = block[3 * _RECORD : 3 * _RECORD + int(field, 8)]
    return len(found) != len(expected) or sum(a != b for a, b in zip(found, expected, strict=True)) > _DAMAGE


def _first_name(block: bytes) -> bytes:
    """The name in the first tar header, with the GNU long name where there is one."""
    header = block[:_RECORD]
    if header[257:262] != b"ustar":
        return b""
    if header[156:157] == b"L":
        return block[_RECORD : 2 * _RECORD].partition(b"\0")[0]
    return header[:_NAME].partition(b"\0")[0]
