"""A stream taken apart into columns, and put together again (docs/format.md, "Columns")."""

from __future__ import annotations

from typing import Protocol

from airgap.patch import pycolumns, tokens

try:
    from airgap.native import _columns
except ImportError:  # an installation without a compiler
    _columns = None  # type: ignore[assignment]

#: How many columns a token stream has.
OF_TOKENS = pycolumns.COLUMNS


class Columns(Protocol):
    """One stream on its way into columns, or out of them; the pieces must come in order."""

    def split(self, data: bytes, /) -> tuple[bytes, ...]:
        """Take the next bytes of the stream apart."""

    def join(self, columns: tuple[bytes, ...], /) -> bytes:
        """Put the columns of the next bytes together again. Raises ``ValueError`` when they do not fit."""


def of_tokens() -> Columns:
    """For a token stream: literals, runs, distances, lengths, framing."""
    return _columns.Columns() if tokens.HAS_EXTENSION and _columns is not None else pycolumns.Columns()


class Single:
    """For any other stream: one column, which is the stream."""

    def split(self, data: bytes, /) -> tuple[bytes, ...]:
        """As ``Columns.split``."""
        return (data,)

    def join(self, columns: tuple[bytes, ...], /) -> bytes:
        """As ``Columns.join``."""
        return columns[0]
