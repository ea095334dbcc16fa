"""Patches: a blob made from another one, byte for byte (docs/format.md, "Patches").

A gzip layer is first turned into tokens (``tokens.py``), because two gzip files of nearly the same text have next to nothing in
common, but their tokens do. The token stream is taken apart into columns (``columns.py``), because bytes of one kind compress
better among themselves. What is compressed then is a segment of the new stream against a window of the base's around the same
place, column by column. Both are bounded, so memory does not grow with the layer.

Nothing here is trusted: a rebuilt blob is checked by whoever reads it, as any blob is (``oci/verify``).
"""

from __future__ import annotations

import contextlib
import itertools
import struct
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence

from airgap.errors import Damaged
from airgap.oci.stores import Reader
from airgap.oci.verify import CHUNK
from airgap.patch import columns, windows, zstd
from airgap.patch.columns import Columns
from airgap.patch.kinds import DEFLATE
from airgap.patch.tokens import GzipReader, TokenReader
from airgap.patch.zstd import Effort, Prefix

MAGIC = b"AGPATCH1"
#: Bytes of a piece of a stream; windows consist of whole pieces.
PIECE = 1 << 20
#: What the format allows: pieces of a window, and bytes of a segment. A reader needs about the sum of both in memory.
MAX_WINDOW = 128
MAX_SEGMENT = 64 << 20
#: zstd makes no use of a shorter prefix, so there is none.
MIN_PREFIX = 8

#: The first piece of the window and how many there are.
_WINDOW = struct.Struct("<II")
#: For every column: its bytes in this segment, and those of its frame.
_COLUMN = struct.Struct("<II")

Opener = Callable[[], Reader]


def make(new: Opener, base: Opener | None, codec: str, effort: Effort) -> Generator[bytes, None, None]:
    """The pieces of a patch, in order.

    Args:
        new: opens the blob to be made; twice if the base is larger than a window.
        base: opens the blob it will be made from, likewise, or None.
        codec: one of ``kinds.CODECS``.
        effort: how hard to try.

    Raises:
        Unrepresentable: one of the two is not a gzip file whose bits the tokens can give back.
        AirgapError: whatever reading them raises.
    """
    yield MAGIC
    with contextlib.ExitStack() as stack:
        places: Sequence[windows.Place] | None = None
        window = _opened(stack, base, codec) if base else None
        if base and window and not window.is_whole(effort.window):
            window.close()  # and its memory with it
            places = _places(new, base, codec, effort)
            window = _opened(stack, base, codec)
        stream = stack.enter_context(contextlib.closing(_Pieces(new, codec)))
        for number in itertools.count():
            segment = stream.read(effort.segment)
            if not segment:
                break
            if window and places:
                window.to(*places[number])
            yield from _pack(segment, window, effort)
            segment.clear()  # before the next one is read
        yield _WINDOW.pack(0, 0) + _COLUMN.pack(0, 0) * _width(codec)


def _opened(stack: contextlib.ExitStack, base: Opener, codec: str) -> _Window:
    return stack.enter_context(contextlib.closing(_Window(_Pieces(base, codec), _width(codec))))


def _places(new: Opener, base: Opener, codec: str, effort: Effort) -> list[windows.Place]:
    """The window of every segment; reads both blobs once."""
    samples = windows.Samples()
    for piece in _streamed(base, codec):
        samples.add(piece)
    votes: list[Counter[int]] = []
    for number, piece in enumerate(_streamed(new, codec)):
        if number % effort.segment == 0:
            votes.append(Counter())
        votes[-1].update(samples.votes(piece))
    return windows.chosen(votes, samples.pieces, effort.window)


def _streamed(opener: Opener, codec: str) -> Iterator[bytes]:
    """A blob's stream in pieces."""
    with contextlib.closing(_stream(opener, codec, "")) as reader:
        while piece := _read_up_to(reader, PIECE):
            yield piece


def _stream(opener: Opener, codec: str, where: str) -> Reader:
    reader = opener()
    return TokenReader(reader, where) if codec == DEFLATE else reader


def rebuild(patch: Reader, base: Opener | None, codec: str, where: str) -> Reader:
    """The blob that a patch makes, as a stream.

    Args:
        patch: the patch, from its first byte; owned by the result.
        base: opens the blob it applies to.
        codec: one of ``kinds.CODECS``.
        where: what it is, for messages.

    Raises (when read):
        Damaged: not a patch, or not one for this base.
    """
    segments = _Rebuilt(patch, base, codec, where)
    return GzipReader(segments, where) if codec == DEFLATE else segments


def _pack(segment: list[tuple[bytes, ...]], window: _Window | None, effort: Effort) -> Iterator[bytes]:
    head, frames = [_WINDOW.pack(*(window.place if window else (0, 0)))], []
    for number in range(len(segment[0])):
        part = b"".join(piece[number] for piece in segment)
        prefix = window.prefix(number) if window and part else None
        frames.append(zstd.compress(part, prefix, effort) if part else b"")
        head.append(_COLUMN.pack(len(part), len(frames[-1])))
    yield from head
    yield from frames


class _Pieces:
    """A blob's stream in pieces, each taken apart into columns. The blob is opened when the first one is wanted."""

    def __init__(self, opener: Opener, codec: str, where: str = "") -> None:
        self._opener = opener
        self._codec = codec
        self._where = where
        self._reader: Reader | None = None
        self._columns = _columns(codec)

    def read(self, count: int) -> list[tuple[bytes, ...]]:
        """The next pieces, less only at the end."""
        reader = self._reader = self._reader or _stream(self._opener, self._codec, self._where)
        found: list[tuple[bytes, ...]] = []
        while len(found) < count and (data := _read_up_to(reader, PIECE)):
            found.append(self._columns.split(data))
        return found

    def close(self) -> None:
        if self._reader:
            self._reader.close()


class _Column:
    """One column of a window: its pieces, or what has been made of them; never both, for they may be large."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._sizes: list[int] = []
        self._prefix: Prefix | None = None

    def prefix(self) -> Prefix | None:
        """Made once for as long as the window stands still: a patch may have a hundred segments for one window."""
        if self._prefix is None and sum(map(len, self._pieces)) >= MIN_PREFIX:
            self._sizes = [len(piece) for piece in self._pieces]
            content = b"".join(self._pieces)
            self._pieces.clear()  # before the prefix copies the content
            self._prefix = Prefix(content)
        return self._prefix

    def append(self, piece: bytes) -> None:
        self._part()
        self._pieces.append(piece)

    def drop(self) -> None:
        """The first piece."""
        self._part()
        self._pieces.popleft()

    def _part(self) -> None:
        if self._prefix is not None:
            content, at = memoryview(self._prefix.content), 0
            self._prefix = None
            for size in self._sizes:
                self._pieces.append(bytes(content[at : at + size]))
                at += size


class _Window:
    """Some pieces of the base's stream that follow each other; it moves forward."""

    def __init__(self, pieces: _Pieces, width: int) -> None:
        self._source = pieces
        self._columns = [_Column() for _ in range(width)]
        self._first = self._count = 0
        self._ended = False

    @property
    def place(self) -> windows.Place:
        """The first piece and how many there are."""
        return self._first, self._count

    def is_whole(self, count: int) -> bool:
        """Whether the stream has no more than ``count`` pieces; if so, the window is all of them."""
        while self._count <= count and self._advance():
            pass
        return self._count <= count

    def to(self, first: int, count: int) -> bool:
        """Move to exactly these pieces; False when the stream has no such, or has gone past them."""
        while self._first < first and (self._count or self._advance()):
            self._drop()
        while self._count < count and self._advance():
            pass
        return self.place == (first, count)

    def prefix(self, column: int) -> Prefix | None:
        """One column of the window."""
        return self._columns[column].prefix()

    def close(self) -> None:
        self._source.close()
        self._columns.clear()

    def _drop(self) -> None:
        for column in self._columns:
            column.drop()
        self._first += 1
        self._count -= 1

    def _advance(self) -> bool:
        found = [] if self._ended else self._source.read(1)
        self._ended = not found
        for piece in found:
            for column, part in zip(self._columns, piece, strict=True):
                column.append(part)
            self._count += 1
        return not self._ended


class _Rebuilt:
    """The stream that a patch holds, as a ``Reader``."""

    def __init__(self, patch: Reader, base: Opener | None, codec: str, where: str) -> None:
        self._patch = patch
        self._window = _Window(_Pieces(base, codec, where), _width(codec)) if base else None
        self._columns = _columns(codec)
        self._width = _width(codec)
        self._where = where
        self._left = memoryview(b"")
        self._begun = self._ended = False
        self._whole = True  # all segments so far consist of whole pieces

    def readinto(self, buffer: memoryview, /) -> int:
        while not self._left and not self._ended:
            self._left = memoryview(b"")  # before the next segment is made
            self._left = memoryview(self._segment())
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def close(self) -> None:
        self._patch.close()
        if self._window:
            self._window.close()

    def _segment(self) -> bytes:
        if not self._begun and self._exactly(len(MAGIC)) != MAGIC:
            raise self._damaged("has the wrong header")
        self._begun = True
        place = _WINDOW.unpack(self._exactly(_WINDOW.size))
        sizes = [_COLUMN.unpack(self._exactly(_COLUMN.size)) for _ in range(self._width)]
        if place == (0, 0) and not any(map(any, sizes)):
            return self._finish()
        self._check(place[1], sizes)
        if place[1] and not (self._window and self._window.to(*place)):
            raise self._damaged("refers to data that its base does not have")
        parts = tuple(self._part(number, size, packed, place[1] > 0) for number, (size, packed) in enumerate(sizes))
        try:
            return self._columns.join(parts)
        except ValueError as error:
            raise self._damaged("is malformed") from error

    def _check(self, window: int, sizes: list[tuple[int, int]]) -> None:
        total = sum(size for size, _ in sizes)
        if not 0 < total <= MAX_SEGMENT or window > MAX_WINDOW or any(frame > size + CHUNK for size, frame in sizes):
            raise self._damaged("has a segment beyond the limits of the format")
        if not self._whole:  # only the last may be less: else a patch could ask for a window, which is work, for every few bytes
            raise self._damaged("has another segment after its last one")
        self._whole = total % PIECE == 0

    def _part(self, column: int, size: int, packed: int, windowed: bool) -> bytes:
        frame = self._exactly(packed)
        prefix = self._window.prefix(column) if windowed and size and self._window else None
        data = zstd.decompress(frame, prefix, size) if size else frame
        if data is None or len(data) != size:
            raise self._damaged("does not apply to its base")
        return data

    def _finish(self) -> bytes:
        if _read_up_to(self._patch, 1):
            raise self._damaged("has data after its end")
        self._ended = True
        return b""

    def _exactly(self, count: int) -> bytes:
        data = _read_up_to(self._patch, count)
        if len(data) != count:
            raise self._damaged("ends too early")
        return data

    def _damaged(self, what: str) -> Damaged:
        return Damaged(f"a patch {what}", where=self._where, hint="copy this again from the original")


def _columns(codec: str) -> Columns:
    return columns.of_tokens() if codec == DEFLATE else columns.Single()


def _width(codec: str) -> int:
    return columns.OF_TOKENS if codec == DEFLATE else 1


def _read_up_to(reader: Reader, count: int) -> bytes:
    """``count`` bytes, less only at the end. Memory is asked for as the bytes come, not as somebody promised them."""
    parts: list[bytes] = []
    buffer = memoryview(bytearray(min(count, CHUNK)))
    while count and (got := reader.readinto(buffer[:count])):
        parts.append(bytes(buffer[:got]))
        count -= got
    return b"".join(parts)
