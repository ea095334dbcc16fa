"""Private keys as cosign reads them: the format again, in other code than airgap's, and a key that cosign's own library wrote.

Written from go-securesystemslib's package ``encrypted``, cosign's ``pkg/cosign/keys.go``, Go's ``encoding/pem`` and the papers on
Salsa20 and XSalsa20; no part of it is shared with airgap or with libsodium.
"""

from __future__ import annotations

import base64
import json
import re
import struct

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.poly1305 import Poly1305

#: Written by go-securesystemslib's ``encrypted.Encrypt`` and Go's ``pem.EncodeToMemory``, as ``cosign generate-key-pair`` does.
MADE_BY_GO = b"""-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----
eyJrZGYiOnsibmFtZSI6InNjcnlwdCIsInBhcmFtcyI6eyJOIjo2NTUzNiwiciI6
OCwicCI6MX0sInNhbHQiOiI0VC9Odys3d3hYakVhSmZNMWtYVXpub291QzJsaTRF
djhIYUppTWpMVWFvPSJ9LCJjaXBoZXIiOnsibmFtZSI6Im5hY2wvc2VjcmV0Ym94
Iiwibm9uY2UiOiJHREpvcUNMVGlocmJTTmVzR3d3M0JJZ2pjSGszR3p2ZSJ9LCJj
aXBoZXJ0ZXh0IjoiWW1mRzJFMit6Y09ZcVZnVWpmWGx1THJ3VnpKQnZUZmY1emov
aU9GZTVnMHpXUW5ERHZkY0x2NGhRZEgya1ErYmFuejFUYW1yTFNoUkswV3pSWEhV
QzVZQXRQeDJ1aW84M1FYOEJZdW5jaTRIeitHc1ZZTGorN2dWUmwxM0Z4MCtnZGhy
VFp2UHZVckt5Vzc2QTJ0MGQzVDVIRVhyc2IxSDZoclcwZUZ0ajVhMHBQTUg3SDcy
cllMNmhtUmx6VktRTVlmSVJnUmozUDNvd3c9PSJ9
-----END ENCRYPTED SIGSTORE PRIVATE KEY-----
"""
MADE_BY_GO_PASSPHRASE = "pw é".encode()
#: The SHA-256 of its public key (SPKI), as openssl says it.
MADE_BY_GO_FINGERPRINT = "8d09bb7dc5f6223ba0e8df2f9c117ad15c657e2a90ea2751c18153b362f0e16b"

_SIGMA = struct.unpack("<4I", b"expand 32-byte k")
_MASK = 0xFFFFFFFF
# (target, one addend, other addend, rotation) of a quarter round, and the columns and rows of a double round
_STEPS = ((1, 0, 3, 7), (2, 1, 0, 9), (3, 2, 1, 13), (0, 3, 2, 18))
_COLUMNS = ((0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11))
_ROWS = ((0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14))


def read(pem: bytes, passphrase: bytes) -> bytes:
    """What cosign gets from the file: PKCS #8 DER.

    Raises:
        ValueError: cosign refuses the file or the passphrase.
    """
    lines = pem.decode("ascii").split("\n")
    if lines[0] != "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----" or lines[-2:] != [
        "-----END ENCRYPTED SIGSTORE PRIVATE KEY-----",
        "",
    ]:
        raise ValueError("invalid pem block")
    if any(len(line) != 64 for line in lines[1:-3]) or len(lines[-3]) > 64:
        raise ValueError("not the lines that Go writes")
    body = json.loads(base64.b64decode("".join(lines[1:-2]), validate=True))
    if (body["kdf"]["name"], body["cipher"]["name"]) != ("scrypt", "nacl/secretbox"):
        raise ValueError("unknown kdf or cipher")
    if body["kdf"]["params"] not in ({"N": cost, "r": 8, "p": 1} for cost in (32768, 65536)):
        raise ValueError("unsupported scrypt parameters")
    salt, nonce, box = (
        base64.b64decode(text, validate=True) for text in (body["kdf"]["salt"], body["cipher"]["nonce"], body["ciphertext"])
    )
    key = Scrypt(salt=salt, length=32, n=body["kdf"]["params"]["N"], r=8, p=1).derive(passphrase)
    return _open(key, nonce, box)


def shape(pem: bytes) -> tuple[list[str], str]:
    """The form of a file without its content: markers and lengths of lines, and the JSON with lengths instead of texts."""
    lines = pem.decode("ascii").split("\n")
    body = base64.b64decode("".join(lines[1:-2])).decode("ascii")
    return [line if line.startswith("-----") else str(len(line)) for line in lines], re.sub(r"[A-Za-z0-9+/=]{24,}", _length, body)


def _length(match: re.Match[str]) -> str:
    return f"<{len(match[0])}>"


def _open(key: bytes, nonce: bytes, box: bytes) -> bytes:
    subkey = _hsalsa20(key, nonce[:16])
    stream = b"".join(_salsa20(subkey, nonce[16:], number) for number in range((len(box) + 16 + 63) // 64))
    try:
        Poly1305.verify_tag(stream[:32], box[16:], box[:16])
    except Exception as error:
        raise ValueError("decryption failed") from error
    return bytes(a ^ b for a, b in zip(box[16:], stream[32:], strict=False))


def _rounds(state: list[int]) -> list[int]:
    state = list(state)
    for _ in range(10):
        for quarter in _COLUMNS + _ROWS:
            for target, one, other, turn in _STEPS:
                total = (state[quarter[one]] + state[quarter[other]]) & _MASK
                state[quarter[target]] ^= ((total << turn) | (total >> (32 - turn))) & _MASK
    return state


def _start(key: bytes, data: bytes) -> list[int]:
    k, n = struct.unpack("<8I", key), struct.unpack("<4I", data)
    return [_SIGMA[0], *k[:4], _SIGMA[1], *n, _SIGMA[2], *k[4:], _SIGMA[3]]


def _hsalsa20(key: bytes, data: bytes) -> bytes:
    state = _rounds(_start(key, data))
    return struct.pack("<8I", *(state[index] for index in (0, 5, 10, 15, 6, 7, 8, 9)))


def _salsa20(key: bytes, nonce: bytes, number: int) -> bytes:
    start = _start(key, nonce + struct.pack("<Q", number))
    return struct.pack("<16I", *((a + b) & _MASK for a, b in zip(start, _rounds(start), strict=True)))
