"""Fill one volume by itself: the unit of work of an export on several machines. The plan fixes its bytes, whoever writes them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from airgap import fsio
from airgap.errors import Damaged
from airgap.exporter.digests import Digester
from airgap.format import names
from airgap.format.names import BLOCK_SIZE
from airgap.oci import strictjson
from airgap.oci.stores import Reader, Source
from airgap.oci.verify import CHUNK, BytesReader, VerifiedReader
from airgap.planning.placed import PlacedMember
from airgap.planning.plan import Plan
from airgap.work import Pool

_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)
_SHA256, _BLOCKS = "sha256", "blocks"


@dataclass(frozen=True)
class FilledVolume:
    """SHA-256 of a volume and of each of its blocks, hex, as the catalog will have them."""

    sha256: str
    blocks: tuple[str, ...]

    def to_bytes(self) -> bytes:
        """As a worker answers, and as the client keeps it."""
        return strictjson.canonical({_SHA256: self.sha256, _BLOCKS: list(self.blocks)})

    @classmethod
    def from_bytes(cls, raw: bytes, size: int, where: str) -> FilledVolume:
        """Read it; ``size`` of the volume in bytes says how many blocks there are. Raises ``Damaged``."""
        top = strictjson.parse_object(raw, where)
        sha256 = strictjson.string(top.get(_SHA256), where)
        blocks = tuple(strictjson.string(one, where) for one in strictjson.array(top.get(_BLOCKS), where))
        if len(blocks) != -(-size // BLOCK_SIZE) or not all(map(_HEX.fullmatch, (sha256, *blocks))):
            raise Damaged("not the digests of a volume of this size", where=where, hint="run the same command again")
        return cls(sha256, blocks)


def fill_volume(
    plan: Plan, number: int, path: Path, source: Source, threads: int, still: Callable[[], None] = lambda: None
) -> FilledVolume:
    """Write one volume to a new file, which has its name when it is whole and flushed; a file of that name is replaced.

    A blob that lies on several volumes is read wholly for each of them: its digest speaks of all of its bytes.

    Args:
        plan: where everything goes. What is read of it comes from ``source`` or from the lock.
        number: the volume, from 1.
        path: the file.
        source: where blobs come from.
        threads: blobs fetched at a time.
        still: asked before the file gets its name; raises if nobody wants it any more.

    Raises:
        RegistryError, Damaged: a blob is missing or does not match its descriptor.
        MediaError: the disk fails or is full.
    """
    size = plan.sizes[number - 1]
    with fsio.new_file(path) as fd, fsio.disk_errors("cannot write a volume", path):
        digester = Digester([fd], [size])

        def put(content: memoryview | bytes, offset: int) -> None:
            fsio.write_at(fd, content, offset)
            digester.wrote(1, offset, len(content))

        digester.start()
        try:
            for step in plan.steps():
                if step.content is not None and step.extent.volume == number:
                    put(step.content, step.extent.offset)
            here = [blob for blob in plan.blobs.values() if any(extent.volume == number for extent in blob.extents)]
            with Pool(threads, "fetch") as pool:
                pool.each(lambda blob: _fetch(plan, blob, number, source, put), here)
            digester.finish()
            still()
        except BaseException:
            digester.stop()
            raise
    return FilledVolume(digester.volumes[0], tuple(digester.blocks[0]))


def _fetch(plan: Plan, placed: PlacedMember, number: int, source: Source, put: Callable[[memoryview, int], None]) -> None:
    """Read a blob to its end, and write what of it lies on the volume."""
    descriptor, position = placed.descriptor, 0
    reader = VerifiedReader(_open(plan, placed, source), descriptor, f"{placed.repository}: blob {descriptor.digest}")
    buffer = memoryview(bytearray(min(CHUNK, max(descriptor.size, 1))))
    with contextlib.closing(reader):
        while count := reader.readinto(buffer):
            base = 0
            for extent in placed.extents:
                start, end = max(position, base), min(position + count, base + extent.length)
                if start < end and extent.volume == number:
                    put(buffer[start - position : end - position], extent.offset + start - base)
                base += extent.length
            position += count


def _open(plan: Plan, placed: PlacedMember, source: Source) -> Reader:
    content = plan.contents.get(placed.descriptor.digest)
    return source.open(placed.repository, placed.descriptor, 0) if content is None else BytesReader(content, 0)


def record_of(work: Path, number: int) -> Path:
    """Where the client of several machines keeps what it was told of a volume, until the bundle is finished."""
    return work / names.FILLED / f"{names.volume_name(number)}.json"
