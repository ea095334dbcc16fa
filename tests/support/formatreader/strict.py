"""JSON as the page wants it read and written, and signatures."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa


class Bad(Exception):
    """What is read is not what the page allows."""


def want(condition: object, what: str) -> None:
    if not condition:
        raise Bad(what)


def parse(raw: bytes) -> dict[str, Any]:
    """One JSON object: no key twice, no deep nesting, no byte order mark."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        want(len(dict(items)) == len(items), "a key that is there twice")
        return dict(items)

    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=pairs)
    except ValueError as error:
        raise Bad("not JSON") from error
    want(isinstance(value, dict) and depth(value) <= 32, "no object, or nested too deeply")
    return value  # type: ignore[no-any-return]


def depth(value: object) -> int:
    inside = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return 1 + max(map(depth, inside), default=0) if isinstance(value, dict | list) else 0


def canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def number(value: object) -> int:
    want(isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53, f"not a number: {value!r}")
    return value  # type: ignore[return-value]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def digest_of(data: bytes, like: str = "sha256:") -> str:
    algorithm = like.partition(":")[0]
    want(algorithm in ("sha256", "sha512"), f"unknown digest {like}")
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def key_id(public_pem: bytes) -> str:
    """First 16 hex digits of the SHA-256 of the SPKI DER."""
    public = serialization.load_pem_public_key(public_pem)
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return sha256(der)[:16]


def is_signed(document: bytes, signature: bytes, public_pem: bytes) -> bool:
    """Whether a ``.sig`` file is a signature over the exact bytes of a document."""
    public, raw = serialization.load_pem_public_key(public_pem), base64.b64decode(signature, validate=False)
    try:
        if isinstance(public, ed25519.Ed25519PublicKey):
            public.verify(raw, document)
        elif isinstance(public, ec.EllipticCurvePublicKey):
            public.verify(raw, document, ec.ECDSA(hashes.SHA256()))
        elif isinstance(public, rsa.RSAPublicKey):
            public.verify(raw, document, padding.PKCS1v15(), hashes.SHA256())
        else:
            return False
    except InvalidSignature:
        return False
    return True
