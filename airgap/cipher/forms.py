"""Sizes, and what a wrapped key looks like. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

#: Bytes of a piece; the last one of a volume is shorter.
PIECE = 1024 * 1024
KEY_SIZE, TAG_SIZE, NONCE_SIZE = 32, 16, 12


@dataclass(frozen=True)
class Wrapped:
    """A content key for one site: the id of its key, the sender's one-time public key, and the encrypted content key."""

    key_id: str
    ephemeral: bytes
    secret: bytes
