"""Opening the encrypted private keys that cosign writes: scrypt, then NaCl secretbox (XSalsa20-Poly1305), then PKCS #8."""

from __future__ import annotations

import hashlib
import re

from airgap.errors import AirgapError, UsageError
from airgap.oci import strictjson
from airgap.trust.policy.fields import decode_base64

_PEM = re.compile(rb"\s*-----BEGIN (ENCRYPTED (?:SIGSTORE|COSIGN) PRIVATE KEY)-----\s([A-Za-z0-9+/=\s]+)-----END \1-----\s*")
# Only what cosign has ever written: any other cost would let a key file take all memory.
_COSTS = ((65536, 8, 1), (32768, 8, 1))
_SCRYPT_MEMORY = 256 * 1024 * 1024


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
    key = hashlib.scrypt(passphrase, salt=salt, n=cost, r=block, p=parallel, maxmem=_SCRYPT_MEMORY, dklen=32)
    return _open_box(key, nonce, sealed)


def _read(value: dict[str, dict[str, str]]) -> tuple[bytes, bytes, bytes]:
    names = value["kdf"]["name"], value["cipher"]["name"]
    salt = decode_base64(value["kdf"]["salt"])
    nonce = decode_base64(value["cipher"]["nonce"])
    sealed = decode_base64(str(value["ciphertext"]))
    if names != ("scrypt", "nacl/secretbox") or salt is None or nonce is None or sealed is None:
        raise ValueError
    if len(salt) != 32 or len(nonce) != 24 or not 16 < len(sealed) < 65536:
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
