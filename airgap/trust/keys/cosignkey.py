"""Opening the encrypted private keys that cosign writes: scrypt, then NaCl secretbox (XSalsa20-Poly1305), then PKCS #8."""

from __future__ import annotations

import hashlib
import re
import struct

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.poly1305 import Poly1305

from airgap.errors import AirgapError, UsageError
from airgap.oci import strictjson
from airgap.trust.policy.fields import decode_base64

_PEM = re.compile(rb"\s*-----BEGIN (ENCRYPTED (?:SIGSTORE|COSIGN) PRIVATE KEY)-----\s([A-Za-z0-9+/=\s]+)-----END \1-----\s*")
# Only what cosign has ever written: any other cost would let a key file take all memory.
_COSTS = ((65536, 8, 1), (32768, 8, 1))
_SCRYPT_MEMORY = 256 * 1024 * 1024
_WORDS = struct.Struct("<16I")
_SIGMA = (0x61707865, 0x3320646E, 0x79622D32, 0x6B206574)
_MASK = 0xFFFFFFFF


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
    subkey = _hsalsa20(key, nonce[:16])
    stream = b"".join(_salsa20_block(subkey, nonce[16:], i) for i in range((len(sealed) + 16) // 64 + 1))
    tag, ciphertext = sealed[:16], sealed[16:]
    try:
        Poly1305.verify_tag(stream[:32], ciphertext, tag)
    except InvalidSignature as error:
        raise UsageError("the passphrase does not decrypt the key") from error
    return bytes(a ^ b for a, b in zip(ciphertext, stream[32:], strict=False))


def _salsa20_block(key: bytes, nonce: bytes, counter: int) -> bytes:
    state = _state(key, nonce + struct.pack("<Q", counter))
    mixed = _rounds(state)
    return _WORDS.pack(*((a + b) & _MASK for a, b in zip(state, mixed, strict=True)))


def _hsalsa20(key: bytes, block: bytes) -> bytes:
    mixed = _rounds(_state(key, block))
    return struct.pack("<8I", *(mixed[i] for i in (0, 5, 10, 15, 6, 7, 8, 9)))


def _state(key: bytes, block: bytes) -> list[int]:
    k, n = struct.unpack("<8I", key), struct.unpack("<4I", block)
    return [_SIGMA[0], *k[:4], _SIGMA[1], *n, _SIGMA[2], *k[4:], _SIGMA[3]]


_COLUMNS = ((0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11))
_ROWS = ((0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14))


def _rounds(state: list[int]) -> list[int]:
    x = list(state)
    for _ in range(10):
        for a, b, c, d in (*_COLUMNS, *_ROWS):
            x[b] ^= _rotated(x[a] + x[d], 7)
            x[c] ^= _rotated(x[b] + x[a], 9)
            x[d] ^= _rotated(x[c] + x[b], 13)
            x[a] ^= _rotated(x[d] + x[c], 18)
    return x


def _rotated(word: int, count: int) -> int:
    word &= _MASK
    return (word << count | word >> (32 - count)) & _MASK
