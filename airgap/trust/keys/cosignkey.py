"""The encrypted private keys that cosign reads and writes: PKCS #8 in a NaCl secretbox (XSalsa20-Poly1305), its key by scrypt.

The format is that of go-securesystemslib's package ``encrypted``: JSON, which cosign puts into PEM (its ``pkg/cosign/keys.go``).
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re

from airgap.errors import AirgapError, UsageError
from airgap.oci import strictjson
from airgap.trust.policy.fields import decode_base64

_PEM = re.compile(rb"\s*-----BEGIN (ENCRYPTED (?:SIGSTORE|COSIGN) PRIVATE KEY)-----\s([A-Za-z0-9+/=\s]+)-----END \1-----\s*")
# Only what cosign has ever written: any other cost would let a key file take all memory. The first one is what it writes now.
_COSTS = ((65536, 8, 1), (32768, 8, 1))
_SCRYPT_MEMORY = 256 * 1024 * 1024
_SALT, _NONCE = 32, 24
_LABEL = "ENCRYPTED SIGSTORE PRIVATE KEY"
_PEM_LINE = 64


def is_cosign_key(pem: bytes) -> bool:
    """Whether this is a private key file of cosign."""
    return _PEM.fullmatch(pem) is not None


def open_cosign_key(pem: bytes, passphrase: bytes) -> bytes:
    """Decrypt the key; the result is PKCS #8 DER.

    Raises:
        UsageError: malformed, or the wrong passphrase.
    """
    match = _PEM.fullmatch(pem)
    body = decode_base64(b"".join(match[2].split()).decode("ascii")) if match else None
    try:
        if body is None:
            raise ValueError
        salt, nonce, sealed = _read(strictjson.parse_object(body, "cosign key"))
        cost, block, parallel = _cost(strictjson.parse_object(body, "cosign key"))
    except (AirgapError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError("a damaged cosign key", expected="scrypt with cosign's parameters and nacl/secretbox") from error
    return _open_box(_box_key(passphrase, salt, (cost, block, parallel)), nonce, sealed)


def write_cosign_key(pkcs8: bytes, passphrase: bytes) -> bytes:
    """A private key file that cosign reads with this passphrase, PEM.

    Args:
        pkcs8: the key, PKCS #8 DER.
        passphrase: may be empty; cosign takes that as well, and then the key is a secret no longer than its file is.
    """
    from nacl.secret import SecretBox

    cost, salt, nonce = _COSTS[0], os.urandom(_SALT), os.urandom(_NONCE)
    box = SecretBox(_box_key(passphrase, salt, cost)).encrypt(pkcs8, nonce).ciphertext
    body = {
        "kdf": {"name": "scrypt", "params": dict(zip("Nrp", cost, strict=True)), "salt": _base64(salt)},
        "cipher": {"name": "nacl/secretbox", "nonce": _base64(nonce)},
        "ciphertext": _base64(box),
    }
    text = _base64(json.dumps(body, separators=(",", ":")).encode())
    lines = [text[at : at + _PEM_LINE] for at in range(0, len(text), _PEM_LINE)]
    return "\n".join([f"-----BEGIN {_LABEL}-----", *lines, f"-----END {_LABEL}-----", ""]).encode()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _box_key(passphrase: bytes, salt: bytes, cost: tuple[int, int, int]) -> bytes:
    n, r, p = cost
    return hashlib.scrypt(passphrase, salt=salt, n=n, r=r, p=p, maxmem=_SCRYPT_MEMORY, dklen=32)


def _read(value: dict[str, dict[str, str]]) -> tuple[bytes, bytes, bytes]:
    names = value["kdf"]["name"], value["cipher"]["name"]
    salt = decode_base64(value["kdf"]["salt"])
    nonce = decode_base64(value["cipher"]["nonce"])
    sealed = decode_base64(str(value["ciphertext"]))
    if names != ("scrypt", "nacl/secretbox") or salt is None or nonce is None or sealed is None:
        raise ValueError
    if len(salt) != _SALT or len(nonce) != _NONCE or not 16 < len(sealed) < 65536:
        raise ValueError
    return salt, nonce, sealed


def _cost(value: dict[str, dict[str, dict[str, int]]]) -> tuple[int, int, int]:
    params = value["kdf"]["params"]
    cost = params["N"], params["r"], params["p"]
    return _COSTS[_COSTS.index(cost)]


def _open_box(key: bytes, nonce: bytes, sealed: bytes) -> bytes:
    # here, not above: this costs 15 ms, which only the commands that open such a key should take
    from nacl.exceptions import CryptoError
    from nacl.secret import SecretBox

    try:
        return SecretBox(key).decrypt(sealed, nonce)
    except CryptoError as error:
        raise UsageError("the passphrase does not decrypt the key") from error
