"""What an import is to bring where: every blob with the repositories that will have it, for very many blobs in little memory."""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Collection, Iterable, Iterator

from airgap.admission.closure import Closure
from airgap.format.blobtable import table_of
from airgap.format.catalog import Catalog
from airgap.format.frame import Extent
from airgap.oci.descriptor import Descriptor, DescriptorTable
from airgap.oci.digest import Digest
from airgap.oci.reference import Reference, Repository


class Wanted(Collection[Descriptor]):
    """The blobs of images, each once, in the order in which the images need them.

    Args:
        placed: the images, each with its new name.
    """

    def __init__(self, placed: Iterable[tuple[Closure, Reference]]) -> None:
        self._blobs = DescriptorTable()
        self._names: list[Reference] = []
        self._owners = array("I")  # by blob: the name of the first image that needs it
        self._others: dict[int, dict[Repository, None]] = {}  # further repositories, of the few that have them
        self.size = 0
        for closure, name in placed:
            self._names.append(name)
            for blob in closure.blobs.values():
                self._add(blob, len(self._names) - 1)

    def _add(self, blob: Descriptor, name: int) -> None:
        number = self._blobs.add(blob)
        if number == len(self._owners):
            self._owners.append(name)
            self.size += blob.size
        elif self._names[name].repository != self._names[self._owners[number]].repository:
            self._others.setdefault(number, {})[self._names[name].repository] = None

    def __iter__(self) -> Iterator[Descriptor]:
        return iter(self._blobs)

    def __len__(self) -> int:
        return len(self._blobs)

    def __contains__(self, blob: object) -> bool:
        return isinstance(blob, Descriptor) and self._blobs.number(blob.digest) is not None

    def owner(self, digest: Digest) -> Reference:
        """The name of an image that needs a blob. Raises ``KeyError``."""
        return self._names[self._owners[self._number(digest)]]

    def repositories(self, digest: Digest) -> tuple[Repository, ...]:
        """Where a blob is to be, the first image's place first. Raises ``KeyError``."""
        return (self.owner(digest).repository, *self._others.get(self._number(digest), ()))

    def in_media_order(self, catalog: Catalog) -> Iterator[Descriptor]:
        """The blobs in the order of the bytes that they are read from: of their patches if patched; held ones come first."""
        others: list[tuple[tuple[Extent, ...], Digest]] = []
        for digest in self._blobs.digests():
            blob = catalog.blobs[digest]
            if blob.patch or not blob.extents:
                others.append((catalog.blobs[blob.patch.blob].extents if blob.patch else (), digest))
        others.sort()
        carried = ((blob.extents, digest) for digest, blob in table_of(catalog.blobs).in_media_order() if not blob.patch)
        wanted = ((extents, digest) for extents, digest in carried if self._blobs.number(digest) is not None)
        return (self._blobs[self._number(digest)] for _, digest in heapq.merge(others, wanted))

    def _number(self, digest: Digest) -> int:
        number = self._blobs.number(digest)
        if number is None:
            raise KeyError(digest)
        return number
