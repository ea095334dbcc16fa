"""Compressed archives (`.tar.gz`, `.tar.bz2`, `.tar.xz`, `.tar.zst`): uncompressed once, through a stream, into a file of ours.

An archive is read in place, at any member and any offset; that takes a file without compression. The kind is told from the first
bytes, never from the name. The memory that is used does not grow with the archive, and neither does the file beyond its bound.
"""

from __future__ import annotations

import bz2
import lzma
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from airgap import fsio
from airgap.archives.tarindex import COMPRESSED
from airgap.errors import AirgapError, Damaged, MediaError
from airgap.patch import zstd
from airgap.text import human_size, printable

_PIECE = 1024 * 1024
#: Bytes for the window and the tables of xz: what its highest preset takes, and more than any other kind may take.
_XZ_MEMORY = 128 * 1024 * 1024


class _Gzip:
    """zlib's decompressor with the interface of the others."""

    def __init__(self) -> None:
        self._one = zlib.decompressobj(wbits=31)

    def decompress(self, data: bytes, most: int) -> bytes:
        return self._one.decompress(self._one.unconsumed_tail + data, most)

    @property
    def needs_input(self) -> bool:
        return not self._one.unconsumed_tail

    @property
    def eof(self) -> bool:
        return self._one.eof

    @property
    def unused_data(self) -> bytes:
        return self._one.unused_data


def _xz() -> Any:
    return lzma.LZMADecompressor(memlimit=_XZ_MEMORY)


_KINDS: dict[str, Callable[[], Any]] = {"gzip": _Gzip, "bzip2": bz2.BZ2Decompressor, "xz": _xz, "zstd": zstd.decompressor}


def compression(path: Path) -> str:
    """How a file is compressed: ``gzip``, ``bzip2``, ``xz``, ``zstd``; ``""`` for not at all, and for what cannot be read."""
    try:
        with os.fdopen(fsio.open_regular(path.resolve()), "rb") as file:
            start = file.read(8)
    except (OSError, RuntimeError, AirgapError):  # who opens it then says what is wrong with it
        return ""
    return next((program for magic, program in COMPRESSED.items() if start.startswith(magic)), "")


def unpack(path: Path, kind: str, target: Path, bound: int) -> int:
    """Uncompress an archive into a new file; how many bytes that has.

    Args:
        path: the compressed archive.
        kind: as :func:`compression` tells it.
        target: made here.
        bound: bytes that the file may have.

    Raises:
        Damaged: it is truncated, damaged, or needs more memory than any usual one.
        MediaError: the disk refuses, or the archive needs more than ``bound`` bytes.
    """
    where, size = printable(str(path)), 0
    with fsio.disk_errors("cannot read the archive", path):
        source = os.fdopen(fsio.open_regular(path.resolve()), "rb")
    with source, _new_file(target) as made:
        for piece in _pieces(source, kind, path):
            size += len(piece)
            if size > bound:
                raise MediaError(
                    "the uncompressed archive does not fit",
                    where=printable(str(target.parent)),
                    expected=f"at most {human_size(bound)}",
                    got=f"{where} has more",
                    hint="free some space, or name another directory with --scratch",
                )
            with fsio.disk_errors("cannot write", target):
                made.write(piece)
        with fsio.disk_errors("cannot write", target):
            made.flush()
    return size


def _new_file(target: Path) -> BinaryIO:
    with fsio.disk_errors("cannot create a file", target):
        return os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "wb")


def _pieces(source: BinaryIO, kind: str, path: Path) -> Iterator[bytes]:
    """What the streams of a file hold, one behind the other; zeros behind the last one do not count."""
    one, waiting = _KINDS[kind](), b""
    try:
        while True:
            with fsio.disk_errors("cannot read", path):
                more = waiting or source.read(_PIECE)
            waiting = b""
            if one.eof:
                if not more:
                    return
                more = more.lstrip(b"\0")
                if not more:
                    continue
                one = _KINDS[kind]()
            if not more and one.needs_input:
                raise EOFError
            yield one.decompress(more, _PIECE)
            while not one.eof and not one.needs_input:
                yield one.decompress(b"", _PIECE)
            waiting = one.unused_data if one.eof else b""
    except (EOFError, ValueError, zlib.error, lzma.LZMAError, zstd.failure()) as error:
        raise _bad(path, kind, error) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise _bad(path, kind, error) from error  # bzip2's way of saying that the data is no data


def _bad(path: Path, kind: str, error: Exception) -> Damaged:
    what = "the compressed archive is truncated" if isinstance(error, EOFError) else "the compressed archive is damaged"
    got = printable(str(error), 120)
    expected = f"{kind} data to its end"
    return Damaged(what, where=printable(str(path)), expected=expected, got=got, hint="copy the archive again from the original")
