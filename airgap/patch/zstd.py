"""The one place that knows the zstd library: the standard library's from Python 3.14 on, before that its backport."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from typing import Any

from airgap.errors import UsageError

_MODULE = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard to look for what two token streams have in common.

    Long-distance matching finds nearly all of it, so its settings count for more than the level (docs/adr/0011).

    Attributes:
        level: zstd's level, for what is new.
        match: the shortest match that long-distance matching looks for, in bytes.
        rate: it remembers one position in 2**rate.
        table: it remembers 2**table positions, 8 bytes each.
        window: how much of the base's stream is looked at, in pieces of 1 MiB.
        segment: how much is compressed at a time, in the same.
    """

    level: int
    match: int
    rate: int
    table: int
    window: int = 32
    segment: int = 16


#: The fastest that is any good, the default, the best that takes seconds, and the smallest patches at any price.
EFFORTS = {
    "fast": Effort(1, 24, 5, 21),
    "default": Effort(3, 16, 4, 22),
    "best": Effort(9, 12, 2, 25, 128, 64),
    "smallest": Effort(19, 12, 2, 25, 128, 64),
}

_WINDOW_LOG = 27


def compress(data: bytes, prefix: Prefix | None, effort: Effort) -> bytes:
    """One zstd frame (RFC 8878) that holds ``data``, with its size in the header.

    Args:
        data: what to compress, 64 MiB at most.
        prefix: what the reader will have, too.
        effort: how hard to try.
    """
    zstd = _library()
    names = zstd.CompressionParameter
    options = {
        names.compression_level: effort.level,
        names.window_log: _WINDOW_LOG,
        names.enable_long_distance_matching: 1,
        names.ldm_min_match: effort.match,
        names.ldm_hash_rate_log: effort.rate,
        names.ldm_hash_log: effort.table,
    }
    compressor = zstd.ZstdCompressor(options=options, zstd_dict=prefix.value if prefix else None)
    compressor.set_pledged_input_size(len(data))
    result: bytes = compressor.compress(data, compressor.FLUSH_FRAME)
    return result


def decompress(frame: bytes, prefix: Prefix | None, size: int) -> bytes | None:
    """What :func:`compress` was given, or None when the frame is not one of exactly ``size`` bytes."""
    zstd = _library()
    options = {zstd.DecompressionParameter.window_log_max: _WINDOW_LOG}
    decompressor = zstd.ZstdDecompressor(zstd_dict=prefix.value if prefix else None, options=options)
    try:
        data: bytes = decompressor.decompress(frame, max_length=size + 1)
    except zstd.ZstdError:
        return None
    whole = len(data) == size and decompressor.eof and not decompressor.unused_data
    return data if whole else None


def decompressor() -> Any:
    """For one frame, as the library has it: with ``decompress(data, max_length)``, ``needs_input``, ``eof`` and ``unused_data``."""
    zstd = _library()
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG})


def failure() -> type[Exception]:
    """What a decompressor raises for data that is no frame."""
    kind: type[Exception] = _library().ZstdError
    return kind


class Prefix:
    """Bytes that both sides have and that a frame may refer to (zstd's ``--patch-from``); at least 8. It keeps a copy."""

    def __init__(self, data: bytes) -> None:
        self._kept = _library().ZstdDict(data, is_raw=True)
        self.value = self._kept.as_prefix

    @property
    def content(self) -> bytes:
        """The bytes, as another copy."""
        content: bytes = self._kept.dict_content
        return content


def require() -> None:
    """Make sure that there is a zstd library.

    Raises:
        UsageError: there is none.
    """
    _library()


def _library() -> Any:
    try:
        return importlib.import_module(_MODULE)
    except ImportError as error:
        raise UsageError(
            "patches need a zstd library, which this Python lacks", expected=_MODULE, hint="pip install backports.zstd"
        ) from error
