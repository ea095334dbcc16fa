"""What a catalog is made of: blobs, volumes and parity files, strict both ways, and what of it is sealed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airgap.errors import Damaged
from airgap.format import names
from airgap.format.frame import Extent
from airgap.limits import MAX_SHARES
from airgap.oci import strictjson
from airgap.oci.digest import Digest
from airgap.patch.kinds import CODECS
from airgap.text import printable


@dataclass(frozen=True, slots=True)
class Patch:
    """How a blob that is not carried is made.

    Attributes:
        codec: the name and version of the method, one of ``patch.kinds.CODECS``.
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
    """One volume or parity file: size in bytes, SHA-256 of the whole file and of every 16 MiB block (hex)."""

    name: str
    size: int
    sha256: str
    blocks: tuple[str, ...]


def file_json(file: Volume) -> dict[str, Any]:
    """A volume or parity file as JSON."""
    return {"name": file.name, "size": file.size, "sha256": file.sha256, "blocks": list(file.blocks)}


def blob_json(blob: Blob) -> dict[str, Any]:
    """A blob as JSON."""
    if blob.held:
        return {"size": blob.size, "held": True, "repositories": list(blob.repositories)}
    if blob.patch is not None:
        patch = {"codec": blob.patch.codec, "base": blob.patch.base, "blob": blob.patch.blob}
        return {"size": blob.size, "patch": patch}
    return {"size": blob.size, "extents": [[e.volume, e.offset, e.length] for e in blob.extents]}


def volume_of(value: object, number: int, most: int | None) -> Volume:
    """Read volume ``number`` (from 1), of ``most`` bytes at most. Raises ``Damaged``."""
    where = f"{names.CATALOG}: volume {number}"
    volume = file_of(value, names.volume_name(number), where)
    if most is not None and volume.size > most:
        raise Damaged(
            "a volume is larger than the volume size", where=where, expected=f"at most {most} bytes", got=str(volume.size)
        )
    return volume


def parity_of(values: list[Any], volumes: tuple[Volume, ...]) -> tuple[Volume, ...]:
    """Read the parity files of these volumes: each as large as the largest of them. Raises ``Damaged``."""
    where = f"{names.CATALOG}: parity"
    if values and len(values) + len(volumes) > MAX_SHARES:
        raise Damaged("too many volumes and parity files", where=where, expected=f"at most {MAX_SHARES}")
    files = tuple(file_of(value, names.parity_name(i), f"{where} {i}") for i, value in enumerate(values, 1))
    largest = max((volume.size for volume in volumes), default=0)
    for file in files:
        if file.size != largest:
            raise Damaged(
                "a parity file is not the size of the largest volume", where=where, expected=str(largest), got=str(file.size)
            )
    return files


def file_of(value: object, name: str, where: str) -> Volume:
    """Read the file of this name, unless it was read already. Raises ``Damaged``."""
    if isinstance(value, Volume):
        return value
    fields = strictjson.mapping(value, where)
    size = strictjson.integer(fields.get("size"), where)
    blocks = tuple(_sha256(item, where) for item in strictjson.array(fields.get("blocks"), where))
    if fields.get("name") != name or len(blocks) != -(-size // names.BLOCK_SIZE):
        raise Damaged("a file's name or number of blocks is wrong", where=where, expected=name)
    return Volume(name, size, _sha256(fields.get("sha256"), where), blocks)


def _sha256(value: object, where: str) -> str:
    return Digest.parse(f"sha256:{value}", where).hex


def blob_of(name: object, value: object) -> tuple[Digest, Blob]:
    """Read one blob; whether it fits the others and the volumes, :func:`check_blobs` says. Raises ``Damaged``."""
    digest = Digest.parse(name, names.CATALOG)
    return digest, _blob(value, f"{names.CATALOG}: blob {digest}")


def check_blobs(blobs: Mapping[Digest, Blob], volumes: tuple[Volume, ...]) -> Mapping[Digest, Blob]:
    """All blobs, when they lie within these volumes and patches have what they apply to. Raises ``Damaged``."""
    where = names.CATALOG
    for digest, blob in blobs.items():
        for extent in blob.extents:
            if not 1 <= extent.volume <= len(volumes) or extent.offset + extent.length > volumes[extent.volume - 1].size:
                got = str([extent.volume, extent.offset, extent.length])
                raise Damaged("a blob's extent lies outside its volume", where=f"{where}: blob {digest}", got=got)
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
            "the patch has an unknown kind",
            where=where,
            expected=", ".join(CODECS),
            got=printable(patch.codec, 60),
            hint="the bundle was made by a newer airgap: bring that version to this site first",
        )


def _blob(value: object, where: str) -> Blob:
    fields = strictjson.mapping(value, where)
    size = strictjson.integer(fields.get("size"), where)
    if len(fields.keys() & {"held", "patch", "extents"}) != 1 or fields.get("held", True) is not True:
        raise Damaged("a blob must be exactly one of carried, held and made by a patch", where=where)
    if "held" in fields:
        repositories = strictjson.array(fields.get("repositories", []), where)
        return Blob(size, held=True, repositories=tuple(strictjson.string(name, where) for name in repositories))
    if "patch" in fields:
        return Blob(size, patch=_patch(strictjson.mapping(fields["patch"], where), where))
    extents = tuple(_extent(item, where, size) for item in strictjson.array(fields.get("extents"), where))
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


def _extent(value: object, where: str, size: int) -> Extent:
    numbers = [strictjson.integer(item, where) for item in strictjson.array(value, where)]
    if len(numbers) != 3:
        raise Damaged("a blob's extent lies outside its volume", where=where, got=printable(str(numbers), 80))
    volume, offset, length = numbers
    return Extent(volume, offset, size if length == size else length)  # most blobs have one: the number is there once
