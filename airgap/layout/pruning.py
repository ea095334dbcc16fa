"""Removing from an OCI image layout directory.

Order on disk: first index.json without the names, in one durable replacement, then the files. A killed run leaves files that no
name leads to, and the same plan, applied again, removes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from airgap import fsio
from airgap.errors import Damaged
from airgap.layout.index import IndexEntry, name_of
from airgap.layout.reading import BLOBS, INDEX
from airgap.layout.writing import LayoutStore
from airgap.oci import media, strictjson
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.reference import Repository
from airgap.progress import Progress
from airgap.text import printable


class PrunableLayout(LayoutStore):
    """A layout that names, manifests and blobs can be removed from."""

    def entries(self, repository: Repository) -> Iterator[tuple[str, Digest]]:  # noqa: ARG002 - a layout has no repositories
        """Every entry of index.json by its full name, ``""`` where it has none.

        Raises:
            Damaged: there is no layout that can be read, or it lists something whose content cannot be known.
        """
        for entry in self.index().entries:
            if entry.descriptor.media_type not in media.MANIFESTS:
                raise Damaged(
                    "the layout lists an entry that is not an image, so the blobs it needs are unknown",
                    where=self._where,
                    got=printable(f"{entry.descriptor.digest} {entry.descriptor.media_type}"),
                )
            yield _name(entry), entry.descriptor.digest

    def listed_referrers(self, repository: Repository, subject: Digest) -> Sequence[Descriptor] | None:  # noqa: ARG002
        """None: in a layout referrers are entries themselves."""
        return None

    def begin(self) -> None:
        """Nobody else may write until ``close``.

        Raises:
            Damaged: there is no layout: none is made.
            MediaError: another process is writing.
        """
        self.index()
        self.prepare()

    def remove(
        self,
        repository: Repository,  # noqa: ARG002
        names: Sequence[tuple[str, Digest]],
        manifests: Sequence[Digest],
        blobs: Sequence[Digest],
        progress: Progress,
    ) -> None:
        """Remove names, then the files of manifests and blobs; what is gone already is no error.

        Raises:
            MediaError: another process is writing, or the disk refuses.
        """
        self.begin()
        progress.stage("removing files", 0, len(manifests) + len(blobs), "file")
        going = set(names)
        index = self.index()
        items = zip(index.value["manifests"], index.entries, strict=True)
        left = [item for item, entry in items if (_name(entry), entry.descriptor.digest) not in going]
        if len(left) < len(index.entries):
            fsio.write_durable(self.path / INDEX, strictjson.canonical({**index.value, "manifests": left}))
        touched = set()
        for digest in (*manifests, *blobs):
            path = self._blob_path(digest)
            with fsio.disk_errors("cannot remove", path):
                path.unlink(missing_ok=True)
            touched.add(path.parent)
            progress.advance(0, 1)
        with fsio.disk_errors("cannot flush", self.path / BLOBS):
            for directory in touched:
                if directory.is_dir():
                    fsio.sync_directory(directory)


def _name(entry: IndexEntry) -> str:
    if entry.reference is None:
        return ""
    # a plain tag is nothing that an import of ours has made, whatever repository it is guessed to belong to
    return f"plain:{entry.reference}" if entry.plain else name_of(entry.reference)
