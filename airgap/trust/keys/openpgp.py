"""The outer framing of OpenPGP data (RFC 4880), walked before gpg sees it.

gpg is lenient: it skips what follows a message and takes several signatures at once. We accept exactly one form of each kind of
signature, so that nobody can hide a second meaning behind it. What is inside the packets is gpg's business.
"""

from __future__ import annotations

import base64
import contextlib
import re
import zlib
from collections.abc import Iterator

from airgap.errors import Refused
from airgap.trust.policy.fields import decode_base64

SIGNATURE, ONE_PASS, COMPRESSED, LITERAL = 2, 4, 8, 11
#: The payload of an image signature is a few hundred bytes.
MAX_PAYLOAD = 64 * 1024

_ARMOR = re.compile(
    r"-----BEGIN PGP SIGNATURE-----[ \t]*\n((?:[A-Za-z]{1,20}: [^\n]{0,200}\n){0,8})[ \t]*\n"
    r"((?:[A-Za-z0-9+/=]{1,76}[ \t]*\n)+?)(?:=([A-Za-z0-9+/]{4})[ \t]*\n)?-----END PGP SIGNATURE-----[ \t\n]*",
    re.ASCII,
)
#: Any block, with its headers and its checksum.
_BLOCK = re.compile(r"-----BEGIN PGP [^\n]*\n(.*?)(?=-----|\Z)", re.DOTALL)
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/]")
_SECRET = frozenset({5, 7})
_CRC_START, _CRC_POLYNOMIAL = 0xB704CE, 0x1864CFB
_MAX_PACKETS = 64


def detached_signature(armored: bytes) -> bytes:
    """The one signature packet in an ASCII-armored detached signature.

    Raises:
        Refused: not armored, text around it, a wrong checksum, several signatures, or another kind of packet.
    """
    match = _ARMOR.fullmatch(armored.decode("ascii", errors="replace").replace("\r\n", "\n"))
    if match is None:
        raise Refused("not one ASCII-armored detached OpenPGP signature")
    binary = decode_base64("".join(match[2].split()))
    if binary is None:
        raise Refused("the armor of an OpenPGP signature is damaged")
    checksum = decode_base64(match[3]) if match[3] else None
    if checksum is not None and checksum != _crc24(binary):
        raise Refused("the checksum of an OpenPGP signature's armor is wrong")
    tags = [tag for tag, _ in packets(binary)]
    if tags != [SIGNATURE]:
        raise Refused("not exactly one signature in an OpenPGP signature file", expected="one", got=_described(tags))
    return binary


def check_signed_message(blob: bytes) -> None:
    """Check that a blob is one signed message and nothing else: one-pass signature, literal data, signature; maybe compressed.

    Raises:
        Refused: any other sequence of packets, or anything after them.
    """
    _literal(blob)


def signed_data(blob: bytes) -> bytes:
    """What a signed message claims to sign; whether it does, gpg must say.

    Raises:
        Refused: as :func:`check_signed_message`.
    """
    body = _literal(blob)
    # format, length of the file name, file name, date (RFC 4880, section 5.9)
    start = 2 + body[1] + 4 if len(body) > 1 else len(body)
    return body[start:]


def _literal(blob: bytes) -> bytes:
    """The body of the literal packet in the one form that is accepted."""
    found = packets(blob)
    if [tag for tag, _ in found] == [COMPRESSED]:
        found = packets(_inflated(found[0][1]))
    tags = [tag for tag, _ in found]
    if tags != [ONE_PASS, LITERAL, SIGNATURE]:
        raise Refused("not one signed OpenPGP message", expected="one-pass signature, data, signature", got=_described(tags))
    return found[1][1]


def holds_secret_key(content: bytes) -> bool:
    """Whether there is a secret key in a key file, armored under whatever label or binary (RFC 4880, sections 5.5.1 and 6.2)."""
    armored = [_unarmored(block) for block in _BLOCK.findall(content.decode("latin-1"))]
    return any(not _SECRET.isdisjoint(_tags(binary)) for binary in armored or [content])


def _unarmored(block: str) -> bytes:
    """The content of a block, read as leniently as gpg does, also of a damaged one."""
    lines = (line for line in block.split("\n") if ":" not in line and not line.startswith("="))
    text = _NOT_BASE64.sub("", "".join(lines))
    text = text[:-1] if len(text) % 4 == 1 else text
    return base64.b64decode(text + "=" * (-len(text) % 4))


def _tags(data: bytes) -> Iterator[int]:
    """The tags of all packets, up to the first invalid one."""
    position = 0
    with contextlib.suppress(Refused, IndexError):
        while position < len(data):
            tag, _, position = _packet(data, position)
            yield tag


def packets(data: bytes) -> list[tuple[int, bytes]]:
    """Split data into packets: tag and body (RFC 4880, section 4.2).

    Raises:
        Refused: the framing does not come out even, or there are too many packets.
    """
    result = []
    position = 0
    while position < len(data):
        tag, body, position = _packet(data, position)
        result.append((tag, body))
        if len(result) > _MAX_PACKETS:
            raise Refused("too many packets in OpenPGP data")
    return result


def _packet(data: bytes, position: int) -> tuple[int, bytes, int]:
    first = data[position]
    if not first & 0x80:
        raise Refused("not OpenPGP data")
    try:
        if first & 0x40:
            body, position = _new_body(data, position + 1)
            return first & 0x3F, body, position
        length, position = _old_length(data, first & 3, position + 1)
    except IndexError as error:
        raise _cut() from error
    if position + length > len(data):
        raise _cut()
    return first >> 2 & 0x0F, data[position : position + length], position + length


def _old_length(data: bytes, kind: int, position: int) -> tuple[int, int]:
    if kind == 3:  # indeterminate: to the end of the data
        return len(data) - position, position
    size = 1 << kind
    data[position + size - 1]
    return int.from_bytes(data[position : position + size], "big"), position + size


def _new_body(data: bytes, position: int) -> tuple[bytes, int]:
    parts = []
    while True:
        first = data[position]
        partial = 224 <= first < 255
        if first < 192:
            length, position = first, position + 1
        elif first < 224:
            length, position = ((first - 192) << 8) + data[position + 1] + 192, position + 2
        elif partial:
            length, position = 1 << (first & 0x1F), position + 1
        else:
            data[position + 4]
            length, position = int.from_bytes(data[position + 1 : position + 5], "big"), position + 5
        if position + length > len(data):
            raise _cut()
        parts.append(data[position : position + length])
        position += length
        if not partial:
            return b"".join(parts), position


def _inflated(body: bytes) -> bytes:
    """The content of a compressed packet; ZIP is raw deflate, ZLIB has a header (RFC 4880, section 5.6)."""
    window = {1: -15, 2: 15}.get(body[0] if body else 0)
    if window is None:
        raise Refused("OpenPGP data uses an unsupported compression", expected="ZIP or ZLIB")
    stream = zlib.decompressobj(window)
    try:
        data = stream.decompress(body[1:], 2 * MAX_PAYLOAD)
    except zlib.error as error:
        raise Refused("compressed OpenPGP data is damaged") from error
    if not stream.eof or stream.unused_data or stream.unconsumed_tail:
        raise Refused("compressed OpenPGP data is too large, truncated or followed by other data")
    return data


def _crc24(data: bytes) -> bytes:
    crc = _CRC_START
    for byte in data:
        crc ^= byte << 16
        for _ in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= _CRC_POLYNOMIAL
    return crc.to_bytes(3, "big")


def _described(tags: list[int]) -> str:
    names = {SIGNATURE: "signature", ONE_PASS: "one-pass signature", COMPRESSED: "compressed data", LITERAL: "data"}
    return ", ".join(names.get(tag, f"packet {tag}") for tag in tags[:8]) or "nothing"


def _cut() -> Refused:
    return Refused("OpenPGP data is truncated")
