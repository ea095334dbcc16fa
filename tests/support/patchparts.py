"""A patch in its parts, to be changed and put together again; and what the tests of patches share."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import random
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.verify import BytesReader, VerifiedReader, read_all
from airgap.patch import codec
from airgap.patch.kinds import DEFLATE, PLAIN
from airgap.patch.zstd import Effort

zstd = importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")

#: Windows and segments of this many bytes instead of 1 MiB, so that little data has several (see ``small_pieces``).
PIECE = 2048
SMALL = Effort(level=3, match=16, rate=4, table=12, window=3, segment=2)
WIDTH = {DEFLATE: 5, PLAIN: 1}
LIMIT = 1 << 26


@dataclass
class Segment:
    """A window (first piece, how many) and the columns: (size, frame). The sizes of the frames are theirs unless told."""

    window: tuple[int, int]
    columns: list[tuple[int, bytes]]
    lie: dict[int, int] = field(default_factory=dict)

    def __bytes__(self) -> bytes:
        sizes = [(size, self.lie.get(number, len(frame))) for number, (size, frame) in enumerate(self.columns)]
        head = struct.pack("<II", *self.window) + b"".join(struct.pack("<II", *pair) for pair in sizes)
        return head + b"".join(frame for _, frame in self.columns)


def segments(patch: bytes, kind: str) -> list[Segment]:
    """The segments of a good patch, without the last that means the end."""
    assert patch[:8] == b"AGPATCH1"
    found, at, width = [], 8, WIDTH[kind]
    while at < len(patch) - 8 - 8 * width:
        first, count, *sizes = struct.unpack_from(f"<{2 + 2 * width}I", patch, at)
        at += 8 + 8 * width
        columns = []
        for size, packed in zip(sizes[::2], sizes[1::2], strict=True):
            columns.append((size, patch[at : at + packed]))
            at += packed
        found.append(Segment((first, count), columns))
    assert patch[at:] == bytes(8 + 8 * width)
    return found


def put_together(parts: list[Segment], kind: str) -> bytes:
    """The patch of these segments."""
    return b"AGPATCH1" + b"".join(map(bytes, parts)) + bytes(8 + 8 * WIDTH[kind])


def make(new: bytes, base: bytes | None, kind: str, effort: Effort = SMALL) -> bytes:
    """The patch."""
    return b"".join(codec.make(lambda: BytesReader(new), opener(base), kind, effort))


def rebuild(patch: bytes, base: bytes | None, kind: str) -> bytes:
    """What the patch makes."""
    return read_all(codec.rebuild(BytesReader(patch), opener(base), kind, "the patch"), LIMIT, "the blob")


def verified(patch: bytes, base: bytes | None, kind: str, expected: bytes) -> bytes:
    """What the patch makes, compared as every blob is: ``expected``, or an error."""
    descriptor = Descriptor("", Digest("sha256:" + hashlib.sha256(expected).hexdigest()), len(expected))
    rebuilt = codec.rebuild(BytesReader(patch), opener(base), kind, "the patch")
    return read_all(VerifiedReader(rebuilt, descriptor, "the blob"), LIMIT, "the blob")


def opener(base: bytes | None) -> codec.Opener | None:
    """Opens these bytes."""
    return None if base is None else lambda: BytesReader(base)


@contextlib.contextmanager
def small_pieces() -> Iterator[None]:
    """While this lasts, a piece has ``PIECE`` bytes: what is several MiB in life is a few KiB in a test."""
    before, codec.PIECE = codec.PIECE, PIECE
    try:
        yield
    finally:
        codec.PIECE = before


def versions(seed: int, size: int) -> tuple[bytes, bytes]:
    """Two texts like two builds of a layer: parts kept, changed, moved, new and gone; not much alike to a compressor otherwise."""
    source = random.Random(seed)
    parts = [source.randbytes(source.randint(1, 900)) * source.randint(1, 3) for _ in range(max(1, size // 900))]
    changed = [part if source.random() < 0.7 else source.randbytes(len(part) // 2) + part[1:] for part in parts]
    for _ in range(source.randint(0, 3)):
        changed.insert(source.randrange(len(changed) + 1), changed.pop(source.randrange(len(changed))))
    if source.random() < 0.5:
        changed = [*changed[: source.randint(1, len(changed))], source.randbytes(source.randint(0, 2000))]
    return b"".join(parts)[:size], b"".join(changed)
