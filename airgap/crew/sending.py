"""Send the large blobs of a volume to a registry: the unit of work of an import on several machines.

The client has decided: a batch names each blob by its digest, its size and the repository that it goes to, and what is read is
compared with that before the registry has all of it. Workers set no names and write no manifests.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from airgap.bundle.store import BundleStore
from airgap.bundle.volumes import Stretch, Volumes
from airgap.errors import Damaged, MediaError, UsageError
from airgap.format.catalog import Catalog
from airgap.oci import strictjson
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.reference import Repository
from airgap.oci.stores import Reader, Target
from airgap.oci.verify import VerifiedReader
from airgap.text import printable
from airgap.work import Pool, cores

_SENT = "sent"


@dataclass(frozen=True)
class Batch:
    """The large blobs that begin on one volume, and what it takes to read them.

    Attributes:
        catalog: the bundle's, with no more blobs than these need.
        files, resent: the files of the volumes, as of ``Volumes``.
        wanted: the blobs, each with a repository that gets it.
        held: where at the target the blobs are from which patched ones are made.
    """

    catalog: Catalog
    files: Mapping[int, Path]
    resent: Mapping[int, Mapping[int, Stretch]]
    wanted: tuple[tuple[Repository, Descriptor], ...]
    held: Mapping[Digest, Repository]

    @property
    def size(self) -> int:
        """Bytes of the blobs."""
        return sum(blob.size for _, blob in self.wanted)


def batches_of(
    store: BundleStore, wanted: Sequence[tuple[Repository, Descriptor]], held: Mapping[Digest, Repository]
) -> dict[int, Batch]:
    """The batches of an import, by the number of the volume.

    Args:
        store: the bundle.
        wanted: the blobs to be sent, each with a repository; all of them are carried, as they are or by a patch.
        held: where at the target the blobs are that the bundle does not carry.

    Raises:
        UsageError: the bundle is encrypted; its key does not leave this machine.
    """
    catalog, volumes = store.catalog, store.volumes
    if volumes.pieces is not None:
        hint = "omit --scheduler: this machine can decrypt it"
        raise UsageError("--scheduler does not go with encrypted bundles", where=catalog.name, hint=hint)
    by_volume: dict[int, list[tuple[Repository, Descriptor]]] = {}
    for repository, blob in wanted:
        entry = catalog.blobs[blob.digest]
        extents = catalog.blobs[entry.patch.blob].extents if entry.patch else entry.extents
        by_volume.setdefault(extents[0].volume, []).append((repository, blob))
    found = {}
    for number, some in sorted(by_volume.items()):
        needed = dict.fromkeys(one for _, blob in some for one in _needed(catalog, blob.digest))
        entries = {digest: catalog.blobs[digest] for digest in needed}
        used = sorted({extent.volume for entry in entries.values() for extent in entry.extents})
        slim = replace(catalog, images=(), volumes=(), parity=(), blobs=entries)  # no table: its index is this process's own
        files = {n: path.absolute() for n in used if (path := volumes.file(n)) is not None}
        resent = {n: _absolute(volumes.resent(n)) for n in used if volumes.resent(n)}
        found[number] = Batch(slim, files, resent, tuple(some), {one: held[one] for one in needed if one in held})
    return found


def _needed(catalog: Catalog, digest: Digest) -> Iterator[Digest]:
    """A blob, its patch, and what that is made from."""
    yield digest
    if (patch := catalog.blobs[digest].patch) is not None:
        yield patch.blob
        if patch.base is not None:
            yield from _needed(catalog, patch.base)


def _absolute(blocks: Mapping[int, Stretch]) -> dict[int, Stretch]:
    return {number: replace(one, path=one.path.absolute()) for number, one in blocks.items()}


def send_batch(batch: Batch, target: Target, threads: int) -> bytes:
    """Send what is not there yet; the answer to the client. A repository has a blob whole or not at all, so this can be repeated.

    Raises:
        MediaError: a volume is not here.
        Damaged: a blob does not match the digest that the client named.
        RegistryError: the target failed.
    """
    for path in (*batch.files.values(), *(one.path for some in batch.resent.values() for one in some.values())):
        if not path.is_file():
            raise MediaError(
                "a worker does not see a volume",
                where=printable(str(path)),
                hint="PATH must be on a file system that all machines have under the same path; for s3://, --scratch must be",
            )

    def held(digest: Digest) -> Reader:
        return target.open(batch.held[digest], Descriptor("", digest, batch.catalog.blobs[digest].size))

    store = BundleStore(batch.catalog, Volumes(batch.files, batch.resent), held)
    rebuilding = threading.Semaphore(max(1, min(threads, cores())))

    def send(item: tuple[Repository, Descriptor]) -> str:
        repository, blob = item
        if target.has(repository, blob):
            return ""
        if batch.catalog.blobs[blob.digest].patch is None:
            target.write(repository, blob, lambda: _open(store, blob))
        else:
            with rebuilding:
                target.write(repository, blob, lambda: _open(store, blob))
        return str(blob.digest)

    with Pool(threads, "send") as pool:
        return strictjson.canonical({_SENT: sorted(filter(None, pool.unordered(send, batch.wanted)))})


def _open(store: BundleStore, blob: Descriptor) -> Reader:
    return VerifiedReader(store.open_blob(blob.digest), blob, store.place(blob.digest))


def sent_by(answer: Mapping[str, object], batch: Batch, where: str) -> set[Digest]:
    """What a worker says that it has sent of a batch. Raises ``Damaged`` for anything else."""
    known = {str(blob.digest): blob.digest for _, blob in batch.wanted}
    told = [strictjson.string(one, where) for one in strictjson.array(answer.get(_SENT), where)]
    if not known.keys() >= set(told):
        raise Damaged("a worker names blobs that it was not to send", where=where, hint="look at who else uses this scheduler")
    return {known[one] for one in told}
