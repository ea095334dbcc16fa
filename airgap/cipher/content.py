"""The content key of a bundle: what encrypts volumes and the catalog."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from airgap.cipher.forms import KEY_SIZE, NONCE_SIZE, PIECE, TAG_SIZE
from airgap.errors import Damaged

_BLOCK = 16


class ContentKey:
    """The key of one bundle.

    Args:
        secret: 32 bytes; new ones where none are given.
    """

    def __init__(self, secret: bytes | None = None) -> None:
        self.secret = os.urandom(KEY_SIZE) if secret is None else secret
        self._volumes = derive(self.secret, b"airgap volumes")
        self._gcm = AESGCM(self._volumes)
        self._catalog = AESGCM(derive(self.secret, b"airgap catalog"))

    def apply(self, volume: int, offset: int, data: memoryview | bytes) -> bytes:
        """Encrypt, or decrypt, a stretch of a volume that begins ``offset`` bytes into it. Nothing is checked."""
        result, done = bytearray(), 0
        view = memoryview(data)
        while done < len(view):
            piece, inside = divmod(offset + done, PIECE)
            part = view[done : done + PIECE - inside]
            counter = _nonce(volume, piece) + (2 + inside // _BLOCK).to_bytes(4, "big")  # 1 is for the tag
            stream = Cipher(algorithms.AES(self._volumes), modes.CTR(counter)).encryptor()
            stream.update(bytes(inside % _BLOCK))
            result += stream.update(part)
            done += len(part)
        return bytes(result)

    def tag(self, volume: int, piece: int, content: memoryview | bytes) -> bytes:
        """The tag of an encrypted piece."""
        plain = self.apply(volume, piece * PIECE, content)
        return self._gcm.encrypt(_nonce(volume, piece), plain, None)[-TAG_SIZE:]

    def open_piece(self, volume: int, piece: int, content: bytes, tag: bytes) -> bytes | None:
        """The plain bytes of a piece; None when it was changed."""
        try:
            return self._gcm.decrypt(_nonce(volume, piece), content + tag, None)
        except InvalidTag:
            return None

    def seal(self, content: bytes, context: bytes) -> bytes:
        """Encrypt a document: nonce, content, tag. ``context`` must be the same when it is opened."""
        nonce = os.urandom(NONCE_SIZE)
        return nonce + self._catalog.encrypt(nonce, content, context)

    def unseal(self, sealed: bytes, context: bytes, where: str) -> bytes:
        """Decrypt a document. Raises ``Damaged``."""
        try:
            return self._catalog.decrypt(sealed[:NONCE_SIZE], sealed[NONCE_SIZE:], context)
        except (InvalidTag, ValueError) as error:
            raise Damaged("the encrypted catalog cannot be decrypted with its own key", where=where) from error


@dataclass(frozen=True)
class Pieces:
    """How the volumes of one bundle are decrypted.

    Attributes:
        key: the content key.
        sizes: of every volume, in bytes.
        tags: of every volume the tags of its pieces, joined; None while they are not known: then nothing is checked here.
    """

    key: ContentKey = field(repr=False)
    sizes: tuple[int, ...]
    tags: tuple[bytes, ...] | None

    def length(self, volume: int, piece: int) -> int:
        """Bytes of a piece."""
        return min(PIECE, self.sizes[volume - 1] - piece * PIECE)

    def open(self, volume: int, piece: int, content: bytes, where: str) -> bytes:
        """The plain bytes of a piece of a volume (from 1).

        Raises:
            Damaged: it was changed.
        """
        if self.tags is None:
            return self.key.apply(volume, piece * PIECE, content)
        tag = self.tags[volume - 1][piece * TAG_SIZE : (piece + 1) * TAG_SIZE]
        plain = self.key.open_piece(volume, piece, content, tag) if len(content) == self.length(volume, piece) else None
        if plain is None:
            raise Damaged(
                f"piece {piece} of volume {volume} was changed",
                where=where,
                expected="the tag in the signed catalog",
                hint="copy this volume again from the original",
            )
        return plain


def derive(secret: bytes, purpose: bytes, salt: bytes | None = None) -> bytes:
    """A key for one purpose out of a secret (HKDF-SHA256)."""
    return HKDF(hashes.SHA256(), KEY_SIZE, salt, purpose).derive(secret)


def _nonce(volume: int, piece: int) -> bytes:
    return volume.to_bytes(4, "big") + piece.to_bytes(8, "big")
