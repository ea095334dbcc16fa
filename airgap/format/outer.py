"""The outer catalog of an encrypted bundle: what copying, checking and repairing need. Nothing here can decrypt.

It is what is signed, and its digests are those of the encrypted bytes. The real catalog is in it for the sites alone (sealed.py).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field

from airgap.cipher.forms import PIECE, Wrapped
from airgap.errors import Damaged
from airgap.format import names
from airgap.format.catalog import SEALED, Catalog
from airgap.format.outline import Outline, header
from airgap.limits import MAX_RECIPIENTS
from airgap.oci import strictjson
from airgap.oci.digest import Digest
from airgap.text import printable

_FIELDS = frozenset(
    {
        "schema", "stream", "serial", "created", "expires", "block_size", "piece_size", "volume_size", "volumes", "parity",
        "recipients", "catalog", "tags",
    }
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Sealed(Outline):
    """The outer catalog.

    Attributes:
        raw: its exact bytes.
        recipients: the content key, for every site.
        catalog: the real catalog, encrypted.
        tags: the tags of all pieces of all volumes in order, encrypted.
    """

    raw: bytes = field(repr=False)
    recipients: tuple[Wrapped, ...]
    catalog: bytes = field(repr=False)
    tags: bytes = field(repr=False)

    def to_bytes(self) -> bytes:
        """The exact bytes that are signed."""
        return self.raw


@dataclass(frozen=True)
class Unverified:
    """A catalog for which nobody has vouched: for whoever carries, checks and repairs, and for who looks before trusting.

    A type of its own, so that no flow of a site takes it for a catalog.
    """

    raw: bytes = field(repr=False)
    claims: Catalog | Sealed

    @classmethod
    def read(cls, raw: bytes) -> Unverified:
        """Parse the exact bytes of a catalog. Raises ``Damaged``."""
        return cls(raw, read(raw))

    @property
    def digest(self) -> Digest:
        """The digest of its exact bytes."""
        return Digest.of(self.raw)

    def readable(self) -> Catalog:
        """What is in the bundle. Raises ``Refused``: it is encrypted."""
        return self.claims if isinstance(self.claims, Catalog) else Catalog.from_bytes(self.raw)


def read(raw: bytes) -> Catalog | Sealed:
    """A catalog of either kind. Only the door (admission/door.py) calls it, after the signatures; all others read ``Unverified``.

    Raises:
        Damaged: as ``Catalog.from_bytes``.
    """
    if b"airgap.sealed/" not in raw:  # most are not: parse once
        return Catalog.from_bytes(raw)
    where = names.CATALOG
    top = strictjson.parse_object(raw, where)
    if top.get("schema") != SEALED:
        return Catalog.from_bytes(raw)
    if set(top) != _FIELDS or top["piece_size"] != PIECE:
        wrong = printable(", ".join(sorted(set(top) ^ _FIELDS)) or str(top["piece_size"]), 200)
        raise Damaged("the encrypted catalog has the wrong fields", where=where, expected=", ".join(sorted(_FIELDS)), got=wrong)
    recipients = strictjson.array(top["recipients"], f"{where}: recipients")
    if not 0 < len(recipients) <= MAX_RECIPIENTS:
        raise Damaged(f"an encrypted catalog must have 1 to {MAX_RECIPIENTS} recipients", where=where, got=str(len(recipients)))
    wrapped = tuple(_recipient(value, where) for value in recipients)
    inner, tags = _bytes(top["catalog"], where), _bytes(top["tags"], where)
    return Sealed(**header(top), raw=raw, recipients=wrapped, catalog=inner, tags=tags)


def _recipient(value: object, where: str) -> Wrapped:
    fields = strictjson.mapping(value, f"{where}: recipients")
    if set(fields) != {"key", "ephemeral", "secret"}:
        raise Damaged("a recipient has the wrong fields", where=where, expected="key, ephemeral, secret")
    key_id = printable(strictjson.string(fields["key"], where), 64)
    return Wrapped(key_id, _bytes(fields["ephemeral"], where), _bytes(fields["secret"], where))


def _bytes(value: object, where: str) -> bytes:
    try:
        return base64.b64decode(strictjson.string(value, where).encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise Damaged("not base64", where=where) from error
