"""Encrypt and decrypt the catalog of an encrypted bundle (outer.py)."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from airgap.cipher.content import ContentKey, Pieces
from airgap.cipher.forms import PIECE, TAG_SIZE
from airgap.cipher.sites import SiteKey, SiteSecret
from airgap.errors import Damaged, Refused
from airgap.format import names
from airgap.format.catalog import SEALED, Catalog, document
from airgap.format.entries import file_json
from airgap.format.outer import Sealed
from airgap.format.outline import Outline
from airgap.text import listing

_CATALOG, _TAGS = b"airgap.sealed/1 catalog", b"airgap.sealed/1 tags"


def close(catalog: Catalog, key: ContentKey, sites: Sequence[SiteKey], tags: Sequence[bytes]) -> Sealed:
    """The outer catalog of a bundle.

    Args:
        catalog: the real one, with the digests of the encrypted volumes and parity files.
        key: by which the volumes were encrypted.
        sites: who can open it.
        tags: of every volume, the tags of its pieces.
    """
    wrapped = tuple(site.wrap(key) for site in sites)
    inner, joined = key.seal(catalog.to_bytes(), _CATALOG), key.seal(b"".join(tags), _TAGS)
    top: dict[str, Any] = {
        "schema": SEALED,
        "stream": catalog.stream,
        "serial": catalog.serial,
        "created": catalog.created,
        "expires": catalog.expires,
        "block_size": names.BLOCK_SIZE,
        "piece_size": PIECE,
        "volume_size": catalog.volume_size,
        "volumes": [file_json(file) for file in catalog.volumes],
        "parity": [file_json(file) for file in catalog.parity],
        "recipients": [{"key": one.key_id, "ephemeral": _text(one.ephemeral), "secret": _text(one.secret)} for one in wrapped],
        "catalog": _text(inner),
        "tags": _text(joined),
    }
    shown = {one.name: getattr(catalog, one.name) for one in fields(Outline)}
    return Sealed(**shown, raw=document(top), recipients=wrapped, catalog=inner, tags=joined)


def unseal(outer: Catalog | Sealed, secrets: Sequence[SiteSecret]) -> Catalog:
    """The real catalog, by which the volumes can be read as well. One that is not encrypted comes back as it is.

    Args:
        outer: the catalog as it was signed.
        secrets: the site's keys.

    Raises:
        Refused: it was encrypted to other keys.
        Damaged: what is in it contradicts the outer catalog.
    """
    return open_with(_content_key(outer, secrets), outer) if isinstance(outer, Sealed) else outer


def open_with(key: ContentKey, outer: Sealed) -> Catalog:
    """As :func:`unseal`, with the content key itself. Raises ``Damaged``, also when it is another bundle's."""
    inner = Catalog.from_bytes(key.unseal(outer.catalog, _CATALOG, names.CATALOG))
    if _outside(inner) != _outside(outer):
        raise Damaged("the encrypted catalog contradicts its outer catalog", where=names.CATALOG)
    joined = key.unseal(outer.tags, _TAGS, f"{names.CATALOG}: tags")
    sizes = tuple(volume.size for volume in inner.volumes)
    counts = [-(-size // PIECE) * TAG_SIZE for size in sizes]
    if sum(counts) != len(joined):
        raise Damaged("the encrypted catalog lacks a tag for every piece", where=names.CATALOG, expected=f"{sum(counts)} bytes")
    starts = itertools.accumulate(counts[:-1], initial=0)
    tags = tuple(joined[start : start + count] for start, count in zip(starts, counts, strict=True))
    return replace(inner, pieces=Pieces(key, sizes, tags))


def _content_key(sealed: Sealed, secrets: Sequence[SiteSecret]) -> ContentKey:
    by_id = {secret.key_id: secret for secret in secrets}
    for wrapped in sealed.recipients:
        if wrapped.key_id in by_id:
            return by_id[wrapped.key_id].unwrap(wrapped)
    raise Refused(
        "the bundle is encrypted to other keys" if secrets else "the bundle is encrypted",
        where=names.CATALOG,
        expected=f"key {listing([one.key_id for one in sealed.recipients])}",
        got=f"key {listing(list(by_id))}" if secrets else "no key",
        hint="give the private key of this site: --decrypt-key FILE",
    )


def _outside(catalog: Outline) -> tuple[object, ...]:
    """What the outer and the inner catalog both say."""
    times = (catalog.created, catalog.expires)
    return (catalog.stream, catalog.serial, *times, catalog.volume_size, catalog.volumes, catalog.parity)


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
