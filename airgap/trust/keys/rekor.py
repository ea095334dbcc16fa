"""Rekor's inclusion promise for a signature: the signed entry timestamp (SET) that cosign keeps in an annotation.

The promise must be about *this* signature: key, signature and payload hash of the entry are compared with ours (CVE-2022-36056).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from airgap.errors import Damaged, Refused
from airgap.oci import strictjson
from airgap.trust.keys.pem import Block, read_pem
from airgap.trust.keys.signatures import PublicKey, verify
from airgap.trust.policy.fields import decode_base64

#: The hashes that Rekor's entries know.
HASHES = ("sha256", "sha384", "sha512")
_LOG_ID = re.compile(r"[0-9a-f]{1,128}", re.ASCII)


@dataclass(frozen=True)
class Logged:
    """What must have been logged: the signer's key or certificate (PEM), the raw signature, and the payload it is over.

    ``verbatim``: the entry holds the PEM byte for byte, as every log makes it; else another wrapping of its text is the same.
    ``envelope``: the whole DSSE envelope that the payload is in, of which the log has entries of their own; ``b""``: there is none.
    """

    signer_pem: bytes
    signature: bytes
    payload: bytes
    verbatim: bool = False
    envelope: bytes = b""


def check_set(
    annotation: str,
    rekor_keys: Sequence[PublicKey],
    logged: Logged,
    check: Callable[[bytes, Logged], None] | None = None,
) -> datetime:
    """Check the promise; when the entry was integrated into the log.

    Args:
        annotation: the JSON text of ``dev.sigstore.cosign/bundle``.
        rekor_keys: the log's keys; any one may have signed.
        logged: what the entry must be about.
        check: checks that its body is; None: :func:`check_entry`. Raises ``Refused`` or ``Damaged``.

    Raises:
        Refused: malformed, not signed by the log, or about another signature.
    """
    try:
        bundle = exact(strictjson.parse_object(annotation.encode("utf-8"), "SET"), "SignedEntryTimestamp", "Payload")
        entry = exact(bundle["Payload"], "body", "integratedTime", "logIndex", "logID")
        body = data(entry["body"])
        if not _LOG_ID.fullmatch(strictjson.string(entry["logID"], "logID")):
            raise Damaged("not a log ID")
        seconds = strictjson.integer(entry["integratedTime"], "integratedTime")
        signed = promised(body, entry["logID"], strictjson.integer(entry["logIndex"], "logIndex"), seconds)
        promise = data(bundle["SignedEntryTimestamp"])
        if not any(isinstance(key.key, ec.EllipticCurvePublicKey) and verify(key, signed, promise) for key in rekor_keys):
            raise Refused("the transparency log's inclusion promise is not signed by the policy's Rekor key")
        (check or check_entry)(body, logged)
        return datetime.fromtimestamp(seconds, UTC)
    except (Damaged, OverflowError, ValueError) as error:
        what = error.what if isinstance(error, Damaged) else str(error)
        raise Refused(f"the transparency log's inclusion promise is malformed: {what}") from error


def promised(body: bytes, log_id: str, index: int, seconds: int) -> bytes:
    """What a log signs as its promise, in RFC 8785 form: of base64, hex and whole numbers, sorted keys without spaces are that.

    Args:
        body: the entry's canonical body.
        log_id: the log's id, in hex.
        index: the entry's number in the log.
        seconds: when it was taken in, since 1970.
    """
    encoded = base64.b64encode(body).decode("ascii")
    return strictjson.canonical({"body": encoded, "integratedTime": seconds, "logID": log_id, "logIndex": index})


def check_entry(body: bytes, logged: Logged, algorithms: Collection[str] = HASHES[:1]) -> None:
    """Check that the body of an entry, ``hashedrekord`` 0.0.1, is about this signature.

    Args:
        body: the entry's body.
        logged: what it must be about.
        algorithms: the hashes that it may have the payload's by; podman and skopeo know SHA-256 only.

    Raises:
        Refused: it is about another one.
        Damaged: it cannot be read.
    """
    entry = exact(strictjson.parse_object(body, "entry"), "kind", "apiVersion", "spec")
    if (entry["kind"], entry["apiVersion"]) != ("hashedrekord", "0.0.1"):
        raise Refused("the log entry has another kind", expected="hashedrekord 0.0.1")
    spec = exact(entry["spec"], "signature", "data")
    signature = exact(spec["signature"], "content", "publicKey")
    signer = exact(signature["publicKey"], "content")
    digest = exact(exact(spec["data"], "hash")["hash"], "algorithm", "value")
    check_value(data(signature["content"]), logged.signature, "signature")
    if logged.verbatim:
        check_value(data(signer["content"]), logged.signer_pem, "key")
    check_signer(data(signer["content"]), logged.signer_pem)
    check_hash(digest, logged.payload, algorithms)


def check_hash(digest: Mapping[str, Any], payload: bytes, algorithms: Collection[str]) -> None:
    """Check the payload's hash in an entry. Raises ``Refused``."""
    name = digest["algorithm"]
    if name not in algorithms or digest["value"] != hashlib.new(name, payload).hexdigest():
        raise Refused("the log entry is for another payload")


def check_signer(pem: bytes, expected: bytes) -> None:
    """Check the signer's key or certificate in an entry; the same in another wrapping of its text is the same.

    Raises:
        Refused: it is another one.
        Damaged: it is not one PEM block.
    """
    if _block(pem) != _block(expected):
        raise Refused("the log entry is for another key")


def check_value(found: bytes, expected: bytes, what: str) -> None:
    """Check a value in an entry. Raises ``Refused``: it is another one."""
    if found != expected:
        raise Refused(f"the log entry is for another {what}")


def _block(pem: bytes) -> Block:
    """The one block. Nothing may follow it, not even an empty line, or podman and skopeo take it for another key."""
    found = read_pem(pem)
    if len(found.blocks) != 1 or found.rest:
        raise Damaged("not exactly one PEM block")
    return found.blocks[0]


def exact(value: object, *names: str) -> dict[str, Any]:
    """An object with exactly these fields. Raises ``Damaged``."""
    fields = strictjson.mapping(value, "log entry")
    if fields.keys() != set(names):
        raise Damaged("the log entry has the wrong fields")
    return fields


def data(value: object) -> bytes:
    """Bytes, in the one way to write them in base64. Raises ``Damaged``."""
    text = strictjson.string(value, "log entry")
    found = decode_base64(text)
    if found is None or base64.b64encode(found).decode("ascii") != text:
        raise Damaged("not base64")
    return found
