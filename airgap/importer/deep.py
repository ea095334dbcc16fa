"""Rebuild every patched blob without loading anything, as proof that an import can rebuild them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from airgap.bundle.store import BundleStore
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.verify import CHUNK, VerifiedReader
from airgap.progress import Progress
from airgap.work import Pool, cores


@dataclass(frozen=True)
class Rebuilt:
    """How many blobs were rebuilt, and which were not because only the site holds their bases."""

    count: int
    skipped: tuple[Digest, ...]


def rebuild_all(store: BundleStore, progress: Progress, threads: int) -> Rebuilt:
    """Rebuild every blob that is carried as a patch, and compare it with its digest.

    Args:
        store: the verified bundle; its ``outside`` opens held blobs, if they can be reached.
        progress: told about every byte rebuilt.
        threads: blobs at a time, at most one per core.

    Raises:
        Damaged: a patch does not rebuild its blob.
        RegistryError: a base cannot be read.
    """
    patched = [digest for digest, blob in store.catalog.blobs.items() if blob.patch]
    possible = [digest for digest in patched if store.find_blob(digest) is not None]
    progress.stage("rebuilding", sum(store.catalog.blobs[digest].size for digest in possible), len(possible), "blob")
    with Pool(min(threads, cores()), "rebuild") as pool:
        watched = pool.watched(progress)
        pool.each(lambda digest: _rebuild(store, digest, watched), possible)
    return Rebuilt(len(possible), tuple(digest for digest in patched if digest not in possible))


def _rebuild(store: BundleStore, digest: Digest, progress: Progress) -> None:
    descriptor = Descriptor("", digest, store.catalog.blobs[digest].size)
    for count in _read(VerifiedReader(store.open_blob(digest), descriptor, store.place(digest))):
        progress.advance(count)
    progress.advance(0, 1)


def _read(reader: VerifiedReader) -> Iterator[int]:
    buffer = memoryview(bytearray(CHUNK))
    with contextlib.closing(reader):
        while count := reader.readinto(buffer):
            yield count
