"""SHA-256 of a file and of each of its blocks, in one pass over the bytes where the processor can.

The SHA instructions of x86 processors wait for themselves most of the time, so that a second digest of the same bytes costs
nothing beside the first (``airgap/native/_sha256.c``). ``hashlib`` takes one at a time. Where the instructions or the extension are
missing, blocks are another pass, for the caller's other threads.
"""

from __future__ import annotations

import contextlib
import hashlib
import struct
from collections.abc import Callable, Iterable

_PIECE = 64
_STATE = 32
#: The state before the first byte (FIPS 180-4, 5.3.3), as the machine keeps numbers.
_START = struct.pack("=8I", 0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)

_Absorb = Callable[[bytes, memoryview | bytes], bytes]


class FileHash:
    """The digest of a file that is taken in block by block, and those of its blocks on the way.

    Args:
        absorb: takes whole pieces of 64 bytes into two states at once; None: only the file is hashed here.
    """

    def __init__(self, absorb: _Absorb | None) -> None:
        self._absorb = absorb
        self._whole = hashlib.sha256()
        self._states = _START + _START
        self._rest = b""
        self._size = 0

    def block(self, parts: Iterable[memoryview]) -> str:
        """Take in the next block.

        Args:
            parts: its bytes, in order; a part may be overwritten after the next was asked for.

        Returns:
            The SHA-256 of the block, hex, or an empty string where it is a pass of its own (:func:`in_one_pass`).

        Raises:
            ValueError: the block before was no multiple of 64 bytes long, so it should have been the last.
        """
        if self._absorb is None:
            for part in parts:
                self._whole.update(part)
            return ""
        states, rest, size = self._states[:_STATE] + _START, b"", 0
        for part in parts:
            if self._rest and len(part):
                raise ValueError("only the last block may be no multiple of 64 bytes long")
            size += len(part)
            content = rest + part if rest else part
            end = len(content) - len(content) % _PIECE
            states, rest = self._absorb(states, content[:end]), bytes(content[end:])
        self._states = states
        self._rest = rest or self._rest
        self._size += size
        return _sealed(self._absorb, states, rest, size)[_STATE:].hex()

    def hexdigest(self) -> str:
        """The SHA-256 of everything so far, hex."""
        if self._absorb is None:
            return self._whole.hexdigest()
        return _sealed(self._absorb, self._states, self._rest, self._size)[:_STATE].hex()


def _sealed(absorb: _Absorb, states: bytes, rest: bytes, size: int) -> bytes:
    """Both digests, of messages of ``size`` bytes that end in ``rest`` (FIPS 180-4, 5.1.1)."""
    padding = b"\x80" + bytes(-(len(rest) + 9) % _PIECE) + struct.pack(">Q", 8 * size)
    return struct.pack(">16I", *struct.unpack("=16I", absorb(states, rest + padding)))


def _absorbing() -> _Absorb | None:
    with contextlib.suppress(ImportError):
        from airgap.native import _sha256

        if _sha256.able() and _right(_sha256.absorb):
            return _sha256.absorb
    return None


def _right(absorb: _Absorb) -> bool:
    """Whether it agrees with ``hashlib`` here: a processor or a compiler may be broken."""
    text = memoryview(bytes(range(256)))
    one, expected = FileHash(absorb), [hashlib.sha256(text[:part]).hexdigest() for part in (192, 100)]
    found = [one.block([text[:64], text[64:192]]), one.block([text[:100]])]
    return found == expected and one.hexdigest() == hashlib.sha256(bytes(text[:192]) + bytes(text[:100])).hexdigest()


_ABSORB = _absorbing()


def in_one_pass() -> bool:
    """Whether blocks cost no pass of their own here."""
    return _ABSORB is not None


def file_hash() -> FileHash:
    """A fresh one, the fastest that this machine has."""
    return FileHash(_ABSORB)
