"""Rekor's logs: version 1 promises and proves, version 2 only proves and knows no time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives import serialization

from airgap.oci import strictjson
from tests.support.sigstoreinstance import merkle
from tests.support.sigstoreinstance.parts import Pair, Signed, b64

_OTHERS = tuple(merkle.leaf(b"entry %d" % i) for i in range(5))


def note(text: str, *signatures: tuple[str, bytes]) -> str:
    """A signed note (C2SP ``signed-note``): a text, and signatures by name, each with its hint of four bytes before it."""
    return text + "\n" + "".join(f"— {name} {b64(signature)}\n" for name, signature in signatures)


@dataclass
class Log:
    """What both versions have: a name, a key, an id, and a tree in which an entry stands between others."""

    host: str
    pair: Pair
    others: Sequence[bytes] = _OTHERS
    id: bytes = field(init=False)

    @property
    def url(self) -> str:
        """Where it would be."""
        return f"https://{self.host}"

    @property
    def origin(self) -> str:
        """The first line of its checkpoints."""
        return self.host

    def checkpoint(self, size: int, root: bytes, *signatures: tuple[str, bytes], **changes: Any) -> str:
        """A checkpoint of the tree; ``signatures`` are further ones, ``before`` puts them first; ``text``, ``name``, ``hint``."""
        text = changes.get("text", f"{self.origin}\n{size}\n{b64(root)}\n")
        own = (changes.get("name", self.host), changes.get("hint", self.id[:4]) + self.pair.sign(text.encode()))
        return note(text, *((*signatures, own) if changes.get("before") else (own, *signatures)))

    def proof(self, body: bytes, at: int = 3) -> dict[str, Any]:
        """The inclusion proof of an entry."""
        leaves = [*self.others[:at], merkle.leaf(body), *self.others[at:]]
        root = merkle.root(leaves)
        return {
            "logIndex": str(at),
            "rootHash": b64(root),
            "treeSize": str(len(leaves)),
            "hashes": [b64(one) for one in merkle.path(at, leaves)],
            "checkpoint": {"envelope": self.checkpoint(len(leaves), root)},
        }


class Rekor1(Log):
    """Version 1. ``kind`` of its entries: ``hashedrekord``, ``dsse`` (0.0.1), ``intoto`` (0.0.2)."""

    def __init__(self, host: str = "rekor.test") -> None:
        super().__init__(host, Pair.make())
        self.id = hashlib.sha256(self.pair.spki).digest()

    @property
    def origin(self) -> str:
        """With the number of the tree."""
        return f"{self.host} - 2605736670972794746"

    def promise(self, body: bytes, when: datetime, index: int) -> bytes:
        """The signed entry timestamp."""
        entry = {"body": b64(body), "integratedTime": int(when.timestamp()), "logID": self.id.hex(), "logIndex": index}
        return self.pair.sign(strictjson.canonical(entry))

    def entry(self, signed: Signed, when: datetime, kind: str = "", index: int = 700) -> dict[str, Any]:
        """A log entry about a signature."""
        kind = kind or ("hashedrekord" if signed.payload is None else "dsse")
        version = "0.0.2" if kind == "intoto" else "0.0.1"
        return self.entry_of(signed.body(kind, version), when, kind, version, index)

    def entry_of(self, body: bytes, when: datetime, kind: str, version: str, index: int = 700) -> dict[str, Any]:
        """A log entry with any body."""
        return {
            "logIndex": str(index),
            "logId": {"keyId": b64(self.id)},
            "kindVersion": {"kind": kind, "version": version},
            "integratedTime": str(int(when.timestamp())),
            "inclusionPromise": {"signedEntryTimestamp": b64(self.promise(body, when, index))},
            "inclusionProof": self.proof(body),
            "canonicalizedBody": b64(body),
        }


class Rekor2(Log):
    """Version 2. Its entries are ``hashedrekord`` and ``dsse``, 0.0.2."""

    def __init__(self, host: str = "log2026.rekor.test") -> None:
        super().__init__(host, Pair.make("Ed25519"))
        raw = self.pair.private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self.id = hashlib.sha256(host.encode() + b"\n\x01" + raw).digest()

    def entry(self, signed: Signed, kind: str = "hashedrekord") -> dict[str, Any]:
        """A log entry about a signature."""
        return self.entry_of(signed.body(kind, "0.0.2"), kind)

    def entry_of(self, body: bytes, kind: str = "hashedrekord") -> dict[str, Any]:
        """A log entry with any body."""
        return {
            "logIndex": "3",
            "logId": {"keyId": b64(self.id)},
            "kindVersion": {"kind": kind, "version": "0.0.2"},
            "inclusionProof": self.proof(body),
            "canonicalizedBody": b64(body),
        }
