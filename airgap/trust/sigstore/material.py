"""The log entry and the timestamps of a bundle, read strictly: what they would prove, before any of it is proved.

Sources: sigstore ``protobuf-specs`` (``sigstore_rekor.proto``, ``sigstore_bundle.proto``). One log entry, which must have an
inclusion proof with a checkpoint, as sigstore-python asks of every version; version 0.1 must have a promise as well.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airgap.errors import Damaged
from airgap.oci import strictjson
from airgap.text import printable
from airgap.trust.sigstore.bundle import Bundle, data_of, fields_of

MAX_TIMESTAMPS = 32
#: A path in a tree of 2^63 entries.
MAX_PATH = 63
_MOST_CHECKPOINT = 64 * 1024
_HASH = 32

_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_ENTRY = (
    "logIndex",
    "logId",
    "kindVersion",
    "integratedTime",
    "inclusionPromise",
    "inclusionProof",
    "canonicalizedBody",
)
#: Kinds of entries that a log of version 1 has, which knows a time. Those of version 2 never prove one.
_FIRST = (("hashedrekord", "0.0.1"), ("dsse", "0.0.1"), ("intoto", "0.0.2"))


@dataclass(frozen=True, slots=True)
class Proof:
    """That an entry is in a tree: where, in how large a one, the hashes beside its path, and the log's word for the tree's root."""

    index: int
    size: int
    root: bytes
    hashes: tuple[bytes, ...]
    checkpoint: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a transparency log. ``seconds`` (since 1970) and ``promise`` are there both or not at all."""

    log_id: bytes
    index: int
    kind: str
    version: str
    seconds: int | None
    promise: bytes | None
    proof: Proof
    body: bytes

    @property
    def of_first(self) -> bool:
        """Whether it is of Rekor 1."""
        return (self.kind, self.version) in _FIRST

    @property
    def integrated(self) -> tuple[datetime, ...]:
        """When it was taken into the log, once the promise has been checked; nothing where there is none."""
        return () if self.seconds is None else (datetime.fromtimestamp(self.seconds, UTC),)


def entry_of(bundle: Bundle) -> Entry:
    """The one log entry of a bundle.

    Raises:
        Damaged: there is none, or more, or it cannot be read, or lacks what the bundle's version asks for.
    """
    entries = strictjson.array(bundle.material.get("tlogEntries", []), "tlogEntries")
    if len(entries) != 1:
        raise Damaged("not exactly one log entry", expected="1", got=str(len(entries)))
    fields = fields_of(entries[0], _ENTRY)
    kind = fields_of(fields.get("kindVersion"), ("kind", "version"))
    seconds, promise = _promise(fields)
    entry = Entry(
        data_of(fields_of(fields.get("logId"), ("keyId",)).get("keyId")),
        _number(fields.get("logIndex"), "logIndex"),
        strictjson.string(kind.get("kind"), "kind"),
        strictjson.string(kind.get("version"), "version"),
        seconds,
        promise,
        _proof(fields.get("inclusionProof")),
        data_of(fields.get("canonicalizedBody")),
    )
    if promise is None and bundle.version < (0, 2):
        raise Damaged("no inclusion promise, which a bundle of version 0.1 must have")
    if promise is not None and not entry.of_first:
        raise Damaged("an inclusion promise for an entry of Rekor 2, which makes none", got=printable(entry.kind, 60))
    return entry


def timestamps_of(bundle: Bundle) -> tuple[bytes, ...]:
    """The timestamp responses of a bundle, DER. Raises ``Damaged``: malformed, too many, or one is there twice."""
    data = fields_of(bundle.material.get("timestampVerificationData", {}), ("rfc3161Timestamps",))
    values = strictjson.array(data.get("rfc3161Timestamps", []), "rfc3161Timestamps")
    if len(values) > MAX_TIMESTAMPS:
        raise Damaged("too many timestamps", expected=f"at most {MAX_TIMESTAMPS}", got=str(len(values)))
    replies = tuple(data_of(fields_of(value, ("signedTimestamp",)).get("signedTimestamp")) for value in values)
    if len(set(replies)) != len(replies):
        raise Damaged("the same timestamp twice")
    return replies


def _promise(fields: dict[str, Any]) -> tuple[int | None, bytes | None]:
    """A time without a promise is nobody's word, and is left alone: Rekor 2 has the field, too, as 0."""
    seconds = _number(fields.get("integratedTime", "0"), "integratedTime")
    if "inclusionPromise" not in fields:
        return None, None
    promise = data_of(fields_of(fields["inclusionPromise"], ("signedEntryTimestamp",)).get("signedEntryTimestamp"))
    if not 0 < seconds < _LAST_SECOND:
        raise Damaged("an inclusion promise without a time", where="integratedTime", got=str(seconds))
    return seconds, promise


#: The end of the year 9999, which is as far as times go here.
_LAST_SECOND = 253402300800


def _proof(value: object) -> Proof:
    if value is None:
        raise Damaged("no inclusion proof", where="tlogEntries")
    fields = fields_of(value, ("logIndex", "rootHash", "treeSize", "hashes", "checkpoint"))
    hashes = strictjson.array(fields.get("hashes", []), "hashes")
    if len(hashes) > MAX_PATH:
        raise Damaged("too many hashes in the inclusion proof", expected=f"at most {MAX_PATH}", got=str(len(hashes)))
    if "checkpoint" not in fields:
        raise Damaged("no checkpoint in the inclusion proof", where="tlogEntries")
    checkpoint = strictjson.string(fields_of(fields["checkpoint"], ("envelope",)).get("envelope"), "checkpoint")
    if len(checkpoint) > _MOST_CHECKPOINT:
        raise Damaged("the checkpoint is too large", expected=f"at most {_MOST_CHECKPOINT} characters")
    return Proof(
        _number(fields.get("logIndex"), "logIndex"),
        _number(fields.get("treeSize"), "treeSize"),
        _hash(fields.get("rootHash")),
        tuple(_hash(one) for one in hashes),
        checkpoint,
    )


def _hash(value: object) -> bytes:
    data = data_of(value)
    if len(data) != _HASH:
        raise Damaged("not a SHA-256 hash", expected=f"{_HASH} bytes", got=str(len(data)))
    return data


def _number(value: object, where: str) -> int:
    """A whole number below 2^63, which JSON made from protobuf writes as a string."""
    text = strictjson.string(value, where)
    if not _NUMBER.fullmatch(text) or int(text) >= 1 << 63:
        raise Damaged("not a number", where=where, expected="digits in a string", got=printable(text, 40))
    return int(text)
