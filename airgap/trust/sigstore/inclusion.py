"""Whether a transparency log has an entry: its promise, and the path to a root that the log has signed.

Sources: RFC 6962, section 2.1 (trees) and RFC 9162, section 2.1.3.2 (checking a path); C2SP ``signed-note`` and
``tlog-checkpoint``; Rekor's ``openapi`` (SET).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from airgap.errors import Damaged, Refused
from airgap.text import printable
from airgap.trust.keys.rekor import promised
from airgap.trust.keys.signatures import verify_by_curve
from airgap.trust.policy.fields import decode_base64
from airgap.trust.sigstore.material import Entry, Proof
from airgap.trust.sigstore.trustedroot import Log

_LINE = re.compile(r"— (\S{1,300}) ([A-Za-z0-9+/]{6,}={0,2})")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_MOST_LINES = 100
_HINT = 4


@dataclass(frozen=True, slots=True)
class _Checkpoint:
    """What a log has signed: ``text``, which says its own name, how large its tree is and what its root is; and by whom."""

    text: bytes
    origin: str
    size: int
    root: bytes
    signatures: tuple[tuple[str, bytes], ...]


def check_included(entry: Entry, log: Log) -> None:
    """Check all that an entry has: its promise, and its proof with the checkpoint. Whether it is about anything is not looked at.

    Raises:
        Refused: something of it is not what this log has signed.
        Damaged: the checkpoint cannot be read.
    """
    if entry.promise is not None and entry.seconds is not None:
        signed = promised(entry.body, entry.log_id.hex(), entry.index, entry.seconds)
        if not verify_by_curve(log.key, signed, entry.promise):
            raise Refused("the transparency log's inclusion promise is not signed by the log", expected=f"key {log.key.id}")
    checkpoint = _read(entry.proof.checkpoint)
    _check_signed(checkpoint, log, first=entry.of_first)
    if (checkpoint.size, checkpoint.root) != (entry.proof.size, entry.proof.root):
        raise Refused("the log's checkpoint is for another tree than the inclusion proof")
    if _root(hashlib.sha256(b"\0" + entry.body).digest(), entry.proof) != entry.proof.root:
        raise Refused("the inclusion proof does not lead from the log entry to the root of the log's tree")


def _root(node: bytes, proof: Proof) -> bytes:
    """The root that a path leads to; nothing where its length does not fit."""
    if proof.index >= proof.size:
        return b""
    at, last = proof.index, proof.size - 1
    for other in proof.hashes:
        if last == 0:
            return b""
        if at & 1 or at == last:
            node = hashlib.sha256(b"\1" + other + node).digest()
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            node = hashlib.sha256(b"\1" + node + other).digest()
        at, last = at >> 1, last >> 1
    return node if last == 0 else b""


def _read(envelope: str) -> _Checkpoint:
    text, separator, rest = envelope.partition("\n\n")
    lines = rest.split("\n")
    if not separator or lines.pop() != "" or not 0 < len(lines) <= _MOST_LINES:
        raise Damaged("the checkpoint is not a signed note", where="checkpoint")
    head = text.split("\n")
    root = decode_base64(head[2]) if len(head) > 2 else None
    if root is None or not head[0] or not _SIZE.fullmatch(head[1]):
        raise Damaged("the checkpoint does not begin with the log's name, size and root", where="checkpoint")
    return _Checkpoint(f"{text}\n".encode(), head[0], int(head[1]), root, tuple(_signature(line) for line in lines))


def _signature(line: str) -> tuple[str, bytes]:
    found = _LINE.fullmatch(line)
    signature = decode_base64(found[2]) if found else None
    if found is None or signature is None or len(signature) <= _HINT:
        raise Damaged("a line of the checkpoint is not a signature", where="checkpoint", got=printable(line, 80))
    return found[1], signature


def _check_signed(checkpoint: _Checkpoint, log: Log, *, first: bool) -> None:
    """The log's own signature. Others may stand beside it: witnesses whose keys nobody has told us prove and spoil nothing."""
    own = [(name, signature[_HINT:]) for name, signature in checkpoint.signatures if signature[:_HINT] == log.id[:_HINT]]
    if not own:
        raise Refused("the checkpoint is not signed by the log that has the entry", expected=f"key {log.key.id}")
    for name, signature in own:
        if not _is_named(name, checkpoint.origin, log, first=first):
            got = printable(f"{name}, for {checkpoint.origin}", 200)
            raise Refused("the checkpoint is signed under the name of another log", expected=log.url, got=got)
        if not verify_by_curve(log.key, checkpoint.text, signature):
            raise Refused("the checkpoint's signature is not by the log", expected=f"key {log.key.id}")


def _is_named(name: str, origin: str, log: Log, *, first: bool) -> bool:
    """A log of version 1 puts the number of its tree behind its name; where it is reached may be another name."""
    if first:
        return origin == name or origin.startswith(f"{name} - ")
    return name == origin and name in _names(log.url)


def _names(url: str) -> Sequence[str]:
    """What a log that is reached there may be called."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return ()
    path = parts.path.rstrip("/")
    return (f"{host}{path}", f"{parts.netloc}{path}")
