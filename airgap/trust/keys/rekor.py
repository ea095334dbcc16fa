"""Rekor's inclusion promise for a signature: the signed entry timestamp (SET) that cosign keeps in an annotation.

The promise must be about *this* signature: key, signature and payload hash of the entry are compared with ours (CVE-2022-36056).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from airgap.errors import Damaged, Refused
from airgap.oci import strictjson
from airgap.trust.keys.pem import Block, read_pem
from airgap.trust.keys.signatures import PublicKey, verify
from airgap.trust.policy.fields import decode_base64

_LOG_ID = re.compile(r"[0-9a-f]{1,128}", re.ASCII)


@dataclass(frozen=True)
class _Entry:
    """What an entry says: the key or certificate (PEM), the payload's hash as it is written there, and the signature.

    ``envelope``: in place of the signature, the hash of the envelope, which has it.
    """

    signer: bytes
    payload: object
    signature: bytes = b""
    envelope: object = None


@dataclass(frozen=True)
class Logged:
    """What must have been logged: the signer's key or certificate (PEM), the raw signature, and the payload it is over.

    ``envelope``: the whole DSSE envelope that the payload is in, of which the log has entries of their own; ``b""``: there is none.
    """

    signer_pem: bytes
    signature: bytes
    payload: bytes
    envelope: bytes = b""


def check_set(annotation: str, rekor_keys: Sequence[PublicKey], logged: Logged) -> datetime:
    """Check the promise; when the entry was integrated into the log.

    Args:
        annotation: the JSON text of ``dev.sigstore.cosign/bundle``.
        rekor_keys: the log's keys; any one may have signed.

    Raises:
        Refused: malformed, not signed by the log, or about another signature.
    """
    try:
        bundle = _exact(strictjson.parse_object(annotation.encode("utf-8"), "SET"), "SignedEntryTimestamp", "Payload")
        entry = _exact(bundle["Payload"], "body", "integratedTime", "logIndex", "logID")
        canonical = _canonical(entry)
        promise = _data(bundle["SignedEntryTimestamp"])
        if not any(isinstance(key.key, ec.EllipticCurvePublicKey) and verify(key, canonical, promise) for key in rekor_keys):
            raise Refused("the transparency log's inclusion promise is not signed by the policy's Rekor key")
        _check_entry(_data(entry["body"]), logged)
        return datetime.fromtimestamp(entry["integratedTime"], UTC)
    except (Damaged, OverflowError, ValueError) as error:
        what = error.what if isinstance(error, Damaged) else str(error)
        raise Refused(f"the transparency log's inclusion promise is malformed: {what}") from error


def _canonical(entry: dict[str, Any]) -> bytes:
    """RFC 8785 form. With base64, hex and whole numbers only, sorted keys without spaces are that form."""
    _data(entry["body"])
    if not _LOG_ID.fullmatch(strictjson.string(entry["logID"], "logID")):
        raise Damaged("not a log ID")
    strictjson.integer(entry["integratedTime"], "integratedTime")
    strictjson.integer(entry["logIndex"], "logIndex")
    return strictjson.canonical(entry)


def _check_entry(body: bytes, logged: Logged) -> None:
    entry = _exact(strictjson.parse_object(body, "entry"), "kind", "apiVersion", "spec")
    readers = _ENVELOPED if logged.envelope else _PLAIN
    read = readers.get(f"{entry['kind']} {entry['apiVersion']}")
    if read is None:
        raise Refused("the log entry has another kind", expected=" or ".join(readers))
    found = read(entry["spec"])
    same = found.signature == logged.signature if found.envelope is None else _is_hash_of(logged.envelope, found.envelope)
    if not same:
        raise Refused("the log entry is for another signature")
    if _block(found.signer) != _block(logged.signer_pem):
        raise Refused("the log entry is for another key")
    if not _is_hash_of(logged.payload, found.payload):
        raise Refused("the log entry is for another payload")


def _is_hash_of(content: bytes, value: object) -> bool:
    digest = _exact(value, "algorithm", "value")
    return (digest["algorithm"], digest["value"]) == ("sha256", hashlib.sha256(content).hexdigest())


def _hashedrekord(value: object) -> _Entry:
    spec = _exact(value, "signature", "data")
    signature = _exact(spec["signature"], "content", "publicKey")
    signer = _exact(signature["publicKey"], "content")
    return _Entry(_data(signer["content"]), _exact(spec["data"], "hash")["hash"], _data(signature["content"]))


def _dsse(value: object) -> _Entry:
    """What Rekor keeps of an envelope since 1.1 (``dsse_v0_0_1_schema.json``), when its own bytes are taken away."""
    spec = _exact(value, "envelopeHash", "payloadHash", "signatures")
    signature = _exact(_only(spec["signatures"]), "signature", "verifier")
    return _Entry(_data(signature["verifier"]), spec["payloadHash"], _data(signature["signature"]))


def _intoto_1(value: object) -> _Entry:
    """What cosign asked for before (``intoto_v0_0_1_schema.json``): no signature, but the hash of the envelope that has it."""
    spec = _exact(value, "content", "publicKey")
    content = _exact(spec["content"], "hash", "payloadHash")
    return _Entry(_data(spec["publicKey"]), content["payloadHash"], envelope=strictjson.mapping(content["hash"], "hash"))


def _intoto_2(value: object) -> _Entry:
    """The next version (``intoto_v0_0_2_schema.json``): the envelope without payload, its signature in base64 once more."""
    content = _exact(_exact(value, "content")["content"], "envelope", "hash", "payloadHash")
    envelope = _exact(content["envelope"], "payloadType", "signatures")
    signature = _exact(_only(envelope["signatures"]), "publicKey", "sig")
    inner = _data(signature["sig"]).decode("ascii")
    return _Entry(_data(signature["publicKey"]), content["payloadHash"], _data(inner))


def _only(value: object) -> object:
    signatures = strictjson.array(value, "signatures")
    if len(signatures) != 1:
        raise Damaged("not exactly one signature")
    return signatures[0]


def _block(pem: bytes) -> Block:
    """The one block. Nothing may follow it, not even an empty line, or podman and skopeo take it for another key."""
    found = read_pem(pem)
    if len(found.blocks) != 1 or found.rest:
        raise Damaged("not exactly one PEM block")
    return found.blocks[0]


_PLAIN: dict[str, Callable[[object], _Entry]] = {"hashedrekord 0.0.1": _hashedrekord}
_ENVELOPED: dict[str, Callable[[object], _Entry]] = {
    "dsse 0.0.1": _dsse,
    "intoto 0.0.1": _intoto_1,
    "intoto 0.0.2": _intoto_2,
}


def _exact(value: object, *names: str) -> dict[str, Any]:
    fields = strictjson.mapping(value, "log entry")
    if fields.keys() != set(names):
        raise Damaged("the log entry has the wrong fields")
    return fields


def _data(value: object) -> bytes:
    text = strictjson.string(value, "log entry")
    data = decode_base64(text)
    if data is None or base64.b64encode(data).decode("ascii") != text:
        raise Damaged("not base64")
    return data
