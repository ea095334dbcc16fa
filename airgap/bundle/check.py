"""Check volumes against the signed digests: every block, and the whole file, in one pass over the bytes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from airgap import fsio
from airgap.bundle.catalog import Catalog, Volume
from airgap.bundle.names import BLOCK_SIZE
from airgap.errors import Damaged
from airgap.oci.verify import CHUNK
from airgap.progress import Progress
from airgap.text import listing, printable


def check_volumes(catalog: Catalog, paths: Mapping[int, Path], progress: Progress, threads: int = 2) -> None:
    """Read every volume once.

    Raises:
        Damaged: naming every damaged volume, its blocks, and the images that need it.
        MediaError: a disk cannot be read.
    """
    progress.stage("checking volumes", catalog.total_size)
    pool = ThreadPoolExecutor(threads)
    try:
        checks = {n: pool.submit(_check_volume, catalog.volumes[n - 1], path, progress) for n, path in paths.items()}
        bad = {number: blocks for number, check in checks.items() if (blocks := check.result())}
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # who is interrupted must not wait for a slow disk
    if not bad:
        return
    total = len(catalog.volumes)
    costs = [str(image.reference) for image in catalog.images if set(bad) & set(image.volumes)]
    raise Damaged(
        "; ".join(f"volume {n} of {total} is damaged in block {listing([str(b) for b in blocks], 8)}" for n, blocks in bad.items()),
        where=listing([str(paths[number]) for number in bad]),
        expected="the digests in the signed catalog",
        got=f"images that need the damaged volumes: {listing(costs)}",
        hint="copy the named volumes again from the original; the others are good",
    )


def _check_volume(volume: Volume, path: Path, progress: Progress) -> list[int]:
    """The numbers of the damaged blocks, from 0."""
    fd = fsio.open_regular(path)
    try:
        with fsio.disk_errors("cannot read", path):
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
            return _bad_blocks(fd, volume, progress)
    finally:
        os.close(fd)


def _bad_blocks(fd: int, volume: Volume, progress: Progress) -> list[int]:
    buffer = memoryview(bytearray(CHUNK))
    whole = hashlib.sha256()
    bad = []
    for number, expected in enumerate(volume.blocks):
        block = hashlib.sha256()
        end = min((number + 1) * BLOCK_SIZE, volume.size)
        for at in range(number * BLOCK_SIZE, end, CHUNK):
            part = buffer[: min(CHUNK, end - at)]
            count = fsio.read_at(fd, part, at)
            block.update(part[:count])
            whole.update(part[:count])
            progress.advance(count)
        if block.hexdigest() != expected:
            bad.append(number)
    if not bad and whole.hexdigest() != volume.sha256:
        raise Damaged("the catalog's digest of a volume contradicts its block digests", where=printable(volume.name))
    return bad
