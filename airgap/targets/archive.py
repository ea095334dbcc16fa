"""Write one archive for every program that loads images from files: skopeo, podman, Docker old and new, containerd, k3s and RKE2.

It is an OCI layout in a tar, and with ``docker`` at the same time what ``docker save`` makes: manifest.json points into the
layout's blobs, as Docker 25 and later write it. Every image is in index.json under its full name, in the annotations that skopeo
and containerd look for, so nothing has to be translated.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from airgap import fsio
from airgap.archives.tree import TarTree
from airgap.errors import Damaged, UsageError
from airgap.limits import MAX_INDEX
from airgap.oci import media, strictjson
from airgap.oci.descriptor import Descriptor, Platform
from airgap.oci.digest import Digest
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Reference
from airgap.oci.stores import Reader
from airgap.targets.collecting import Collecting, is_attachment, name_of
from airgap.targets.contents import archive_contents, digest_of_all
from airgap.targets.tarwriter import TarWriter

_REF_NAME = "org.opencontainers.image.ref.name"
_CONTAINERD_NAME = "io.containerd.image.name"
_INDEX = "index.json"


class ArchiveTarget(Collecting):
    """A new archive as a ``Target``: ``oci-archive:``, ``docker-archive:``, or one file in k3s' images directory.

    ``write`` may be called from several threads; each blob is written once, to where it stays.

    Args:
        path: the archive; nothing may be there yet.
        docker: also write manifest.json. It has one image for each name, so of an index with several platforms one is chosen;
            index.json has all of them.
        platform: the one for manifest.json; needed only where an index has several.
        attachments: name attachments in index.json. k3s, RKE2 and ``ctr`` take every name for an image that can run.
    """

    def __init__(self, path: Path, *, docker: bool = False, platform: Platform | None = None, attachments: bool = True) -> None:
        super().__init__(str(path))
        self._tar = TarWriter(path)
        self._offsets: dict[Digest, int] = {}
        self._members: dict[str, tuple[int, Digest]] = {}
        self._docker = docker
        self._platform = platform
        self._attachments = attachments

    def resolve(self, reference: Reference) -> Digest | None:
        """As ``Target.resolve``: the same import a second time has nothing to do."""
        try:
            tree = TarTree(self._tar.path)
        except (Damaged, UsageError):  # nothing there, or nothing of ours: then the first write says so
            return None
        with contextlib.closing(tree), contextlib.suppress(Damaged):
            index = strictjson.parse_object(tree.read(_INDEX, MAX_INDEX), self._where)
            for item in strictjson.array(index.get("manifests"), self._where):
                descriptor = Descriptor.from_json(item, self._where)
                if descriptor.annotations.get(_REF_NAME) == name_of(reference):
                    fsio.flush_names(self._tar.path.parent)
                    return descriptor.digest
        return None

    def tag(self, reference: Reference, manifest: Manifest) -> None:
        """As ``Target.tag``.

        Raises:
            UsageError: manifest.json needs one image, and the index has several or none.
        """
        super().tag(reference, manifest)
        if self._docker and not is_attachment(reference):
            self._chosen(reference, manifest)

    def commit(self) -> None:
        """As ``Target.commit``: the archive appears, whole."""
        if not self._attachments:
            self._drop_attachments()
        for digest in sorted(self._manifests):
            self._add(_path(digest), self._manifests[digest].raw, digest)
        if self._docker:
            items = [item for reference, manifest in self._images().items() for item in self._item(reference, manifest)]
            self._add("manifest.json", strictjson.canonical(items))
        self._add("oci-layout", strictjson.canonical({"imageLayoutVersion": "1.0.0"}))
        index = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": list(self._entries())}
        self._add(_INDEX, strictjson.canonical(index))
        self._tar.refuse_taken()
        self.announce(digest_of_all(self._members))
        self._tar.finish()

    def contents(self) -> Digest | None:
        """As ``Appearing.contents``."""
        found = archive_contents(self._tar.path)
        if found is not None:
            fsio.flush_names(self._tar.path.parent)
        return found

    def rehearse(self) -> Path:
        """As ``Rehearsing.rehearse``. Raises ``UsageError`` when there is an archive already."""
        self._tar.refuse_taken()
        return self._tar.path.parent

    def close(self) -> None:
        """Remove what was not committed."""
        self._tar.close()

    # inside

    def _add(self, name: str, content: bytes, digest: Digest | None = None) -> None:
        self._tar.add(name, content)
        self._members[name] = len(content), digest or Digest.of(content)

    def _store(self, descriptor: Descriptor, reader: Reader) -> None:
        offset = self._tar.stream(_path(descriptor.digest), reader, descriptor.size)
        with self._guard:
            self._offsets[descriptor.digest] = offset
            self._members[_path(descriptor.digest)] = descriptor.size, descriptor.digest

    def _read(self, digest: Digest, offset: int) -> Reader:
        return self._tar.read(self._offsets[digest] + offset, self._blobs[digest] - offset)

    def _entries(self) -> Iterable[dict[str, Any]]:
        for reference in sorted(self._names, key=str):
            if self._attachments or not is_attachment(reference):
                name = name_of(reference)
                yield {**_bare(self._names[reference].descriptor), "annotations": {_REF_NAME: name, _CONTAINERD_NAME: name}}
        for digest in sorted(self._referrers) if self._attachments else ():
            yield _bare(self._referrers[digest])

    def _item(self, reference: Reference, manifest: Manifest) -> Iterable[dict[str, Any]]:
        image = self._chosen(reference, manifest)
        if image.config is not None and image.config.media_type in media.CONFIGS:
            tags = [str(reference.repository.tagged(reference.tag))] if reference.tag else None
            layers = [_path(layer.digest) for layer in image.layers]
            yield {"Config": _path(image.config.digest), "RepoTags": tags, "Layers": layers}

    def _chosen(self, reference: Reference, manifest: Manifest) -> Manifest:
        return self._choose(manifest, self._platform, "a docker archive holds one platform of an image", str(reference))


def _path(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.hex}"


def _bare(descriptor: Descriptor) -> dict[str, Any]:
    return Descriptor(descriptor.media_type, descriptor.digest, descriptor.size, artifact_type=descriptor.artifact_type).to_json()
