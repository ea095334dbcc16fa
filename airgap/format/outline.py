"""The outline of a catalog: what it says whether or not the bundle is encrypted. Enough to carry, check and repair. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airgap.errors import Damaged, UsageError
from airgap.format import names
from airgap.format.entries import Volume, parity_of, volume_of
from airgap.format.times import check_time
from airgap.oci import strictjson
from airgap.text import printable

if TYPE_CHECKING:
    from airgap.cipher.content import Pieces


@dataclass(frozen=True, kw_only=True)
class Outline:
    """What both kinds of catalog say; a ``Catalog`` says more, a ``Sealed`` one hides the rest.

    Attributes:
        stream, serial: which bundle it is.
        created, expires: RFC 3339 in UTC.
        volume_size: the bound given, in bytes, or None.
        volumes: the volumes in order.
        parity: the files from which volumes can be rebuilt (format/parity.py); nothing but repair needs them.
        pieces: how volumes are decrypted, once an encrypted catalog was opened.
    """

    stream: str
    serial: int
    created: str
    expires: str | None
    volume_size: int | None
    volumes: tuple[Volume, ...]
    parity: tuple[Volume, ...] = ()
    pieces: Pieces | None = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        """The directory name, ``stream-serial``."""
        return names.bundle_name(self.stream, self.serial)

    @property
    def total_size(self) -> int:
        """Bytes of all volumes."""
        return sum(volume.size for volume in self.volumes)

    @property
    def files(self) -> tuple[Volume, ...]:
        """Volumes, then parity files: the numbers of the code's shares are places in this, from 0."""
        return self.volumes + self.parity

    def images_on(self, volumes: Collection[int]) -> list[str]:  # noqa: ARG002 - a readable catalog needs it
        """The images that need one of these volumes, by number from 1; of an encrypted bundle nobody can tell."""
        return []


def header(top: dict[str, Any]) -> dict[str, Any]:
    """The fields of ``Catalog`` that say nothing about what is inside: the only ones that an encrypted bundle shows.

    Args:
        top: the document.

    Raises:
        Damaged: one is missing, of the wrong type, or out of range.
    """
    where = names.CATALOG
    _check_header(top, where)
    volume_size = _volume_size(top.get("volume_size"))
    volumes = tuple(volume_of(item, i, volume_size) for i, item in enumerate(strictjson.array(top.get("volumes"), where), 1))
    return {
        "stream": _stream(top),
        "serial": strictjson.integer(top.get("serial"), f"{where}: serial"),
        "created": check_time(top.get("created"), f"{where}: created"),
        "expires": None if top.get("expires") is None else check_time(top.get("expires"), f"{where}: expires"),
        "volume_size": volume_size,
        "volumes": volumes,
        "parity": parity_of(strictjson.array(top.get("parity"), f"{where}: parity"), volumes),
    }


def _check_header(top: dict[str, Any], where: str) -> None:
    if top.get("block_size") != names.BLOCK_SIZE:
        raise Damaged(
            "an unknown block size", where=where, expected=str(names.BLOCK_SIZE), got=printable(str(top.get("block_size")), 60)
        )


def _stream(top: dict[str, Any]) -> str:
    try:
        return names.check_stream(strictjson.string(top.get("stream"), names.CATALOG))
    except UsageError as error:
        raise Damaged(error.what, where=names.CATALOG, expected=error.expected, got=error.got) from error


def _volume_size(value: object) -> int | None:
    where = f"{names.CATALOG}: volume_size"
    if value is not None and strictjson.integer(value, where) < names.MIN_VOLUME:
        raise Damaged("the volume size is too small", where=where, expected=f"at least {names.MIN_VOLUME} bytes")
    return None if value is None else strictjson.integer(value, where)
