"""Rebuild every patched blob without loading anything: the proof that an import will succeed in making them."""

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
    """How many blobs were rebuilt, and those that were not because the site holds what they are made from."""

    count: int
    skipped: tuple[Digest, ...]


def rebuild_all(store: BundleStore, progress: Progress, threads: int) -> Rebuilt:
    """Make every blob that is carried as a patch, and compare it with its digest.

    Args:
        store: the verified bundle; its ``outside`` opens held blobs, where they are within reach.
        progress: told about every byte made.
        threads: how many at a time, not more than there are cores.

    Raises:
        Damaged: a patch does not give its blob back.
        RegistryError: a base cannot be read.
    """
    patched = [digest for digest, blob in store.catalog.blobs.items() if blob.patch]
    possible = [digest for digest in patched if store.find_blob(digest) is not None]
    progress.stage("rebuilding", sum(store.catalog.blobs[digest].size for digest in possible))
    with Pool(min(threads, cores()), "rebuild") as pool:
        watched = pool.watched(progress)
        pool.each(lambda digest: _rebuild(store, digest, watched), possible)
    return Rebuilt(len(possible), tuple(digest for digest in patched if digest not in possible))


def _rebuild(store: BundleStore, digest: Digest, progress: Progress) -> None:
    descriptor = Descriptor("", digest, store.catalog.blobs[digest].size)
    for count in _read(VerifiedReader(store.open_blob(digest), descriptor, store.place(digest))):
        progress.advance(count)


def _read(reader: VerifiedReader) -> Iterator[int]:
    buffer = memoryview(bytearray(CHUNK))
    with contextlib.closing(reader):
        while count := reader.readinto(buffer):
            yield count
