"""Readers that turn gzip bytes into tokens, and tokens into gzip bytes, while they are read.

The work is done by the C extension ``airgap.native._deflate``, or by ``pydecode`` and ``pyencode`` where that is missing or
``AIRGAP_PURE_PYTHON=1`` is set; both do exactly the same. What tokens are is said in ``pydeflate``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

from airgap.errors import AirgapError, Damaged
from airgap.oci.stores import Reader
from airgap.patch import pydecode, pyencode
from airgap.patch.pydeflate import MAX_LEFT

try:
    from airgap.native import _deflate
except ImportError:  # an installation without a compiler
    HAS_EXTENSION = False
else:
    HAS_EXTENSION = os.environ.get("AIRGAP_PURE_PYTHON") != "1"

#: How much new input a step gets, in bytes: fits the cache, and makes the rest cheap.
_STEP = 256 * 1024

_NOT_AS_TOKENS = "a gzip blob cannot be rebuilt from tokens"
_NO_TOKENS = "the tokens of a gzip blob are damaged"


class Unrepresentable(Damaged):
    """A blob whose bits tokens cannot give back: not gzip, damaged, or made by an unusual encoder. It must be carried whole."""


class Codec(Protocol):
    """What both directions are, compiled or not; as ``pydeflate.Codec``."""

    def step(self, data: bytes | bytearray | memoryview, final: bool, /) -> tuple[int, bytes]: ...


def token_decoder() -> Codec:
    """A fresh codec from gzip bytes to tokens."""
    return _deflate.TokenDecoder() if HAS_EXTENSION else pydecode.TokenDecoder()


def token_encoder() -> Codec:
    """A fresh codec from tokens to gzip bytes."""
    return _deflate.TokenEncoder() if HAS_EXTENSION else pyencode.TokenEncoder()


class _Converted:
    """A reader whose bytes pass through a codec. Memory: less than 1 MiB, and what one step may give (16 times its input)."""

    def __init__(self, reader: Reader, codec: Codec, failure: Callable[[str], AirgapError]) -> None:
        self._reader = reader
        self._codec = codec
        self._failure = failure
        self._input = memoryview(bytearray(MAX_LEFT + _STEP))
        self._left = 0  # bytes of the input that the last step did not consume
        self._final = False
        self._ready = memoryview(b"")

    def readinto(self, buffer: memoryview, /) -> int:
        """As ``Reader.readinto``; raises what ``failure`` makes of the codec's reason."""
        while not self._ready:
            if self._final:
                return 0
            self._convert()
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def close(self) -> None:
        """Close the wrapped reader."""
        self._reader.close()

    def _convert(self) -> None:
        count = self._reader.readinto(self._input[self._left : self._left + _STEP])
        filled = self._left + count
        try:
            consumed, output = self._codec.step(self._input[:filled], not count)
        except ValueError as error:
            raise self._failure(str(error)) from error
        self._final = not count
        self._left = filled - consumed
        self._input[: self._left] = self._input[consumed:filled]
        self._ready = memoryview(output)


class TokenReader(_Converted):
    """Gives the tokens of a gzip blob; raises ``Unrepresentable`` when tokens cannot give that blob back.

    Args:
        reader: the gzip bytes; closed with this one.
        where: whose blob it is, for the message.
    """

    def __init__(self, reader: Reader, where: str = "") -> None:
        super().__init__(reader, token_decoder(), lambda reason: Unrepresentable(_NOT_AS_TOKENS, where=where, got=reason))


class GzipReader(_Converted):
    """Gives the gzip blob that tokens stand for; raises ``Damaged`` when they are not the tokens of any.

    Args:
        reader: the tokens; closed with this one.
        where: whose they are, for the message.
    """

    def __init__(self, reader: Reader, where: str = "") -> None:
        super().__init__(reader, token_encoder(), lambda reason: Damaged(_NO_TOKENS, where=where, got=reason))
