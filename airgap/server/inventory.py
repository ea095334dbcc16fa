"""What is served, for people: every tagged image with its platforms, size and attachments."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from airgap.errors import AirgapError
from airgap.limits import MAX_LEVELS, MAX_MANIFEST
from airgap.oci import media, strictjson
from airgap.oci.descriptor import Descriptor, Platform
from airgap.oci.digest import Digest
from airgap.oci.image import TAG_KINDS, digest_tag
from airgap.oci.manifest import Manifest
from airgap.oci.verify import VerifiedReader, read_all
from airgap.server.catalogue import Catalogue, Served

_DIGEST_TAG = re.compile(r"sha(256|512)-[0-9a-f]{64,128}(\.[a-z]+)?", re.ASCII)


@dataclass(frozen=True)
class ListedImage:
    """One name and its image.

    Attributes:
        name: repository and tag, or repository alone.
        digest: the image's digest.
        platforms: the platforms it runs on.
        size: bytes of all its content, each blob once.
        missing: blobs of it that are absent here.
        attachments: signatures, attestations, SBOMs and the like on it or its parts.
    """

    name: str
    digest: Digest
    platforms: tuple[str, ...]
    size: int
    missing: int
    attachments: int


def images(catalogue: Catalogue, limit: int) -> tuple[list[ListedImage], int]:
    """The first ``limit`` images by name, and their total number, without tags that only hold attachments."""
    names = [
        (name, tag)
        for name in catalogue.full_names
        if (served := catalogue.repository(name)) is not None
        for tag in sorted(served.tags)
        if not _DIGEST_TAG.fullmatch(tag)
    ]
    return [_shown(catalogue, name, tag) for name, tag in names[:limit]], len(names)


def _shown(catalogue: Catalogue, name: str, tag: str) -> ListedImage:
    served = catalogue.repository(name) or Served()
    root = served.tags[tag]
    under = _under(served, root)
    sizes = {digest: catalogue.blob_size(digest) for part in under for digest in served.manifests[part].blobs}
    return ListedImage(
        name=f"{name}:{tag}",
        digest=root,
        platforms=_platforms(catalogue, root),
        size=sum(served.manifests[part].descriptor.size for part in under) + sum(size or 0 for size in sizes.values()),
        missing=sum(size is None for size in sizes.values()),
        attachments=_attached(served, under),
    )


def _under(served: Served, root: Digest) -> list[Digest]:
    """The manifests that an image consists of; children that are not here are left out."""
    found: dict[Digest, None] = {}
    waiting = [root]
    while waiting:
        digest = waiting.pop()
        if digest in served.manifests and digest not in found:
            found[digest] = None
            waiting += served.manifests[digest].children
    return list(found)


def _attached(served: Served, parts: Iterable[Digest]) -> int:
    """How many attachments hang off these manifests and off one another, counted as ``Image.attachment_count`` does."""
    found: set[tuple[Digest, str]] = set()
    waiting, asked = list(parts), set[Digest]()
    while waiting:
        subject = waiting.pop()
        if subject not in asked:
            asked.add(subject)
            tags = [tag for suffix in TAG_KINDS if (tag := digest_tag(subject, suffix)) in served.tags]
            hanging = [(served.tags[tag], tag) for tag in tags]
            hanging += [(facts.descriptor.digest, "") for facts in served.referrers.get(subject, ())]
            found.update(hanging)
            waiting += [part for digest, _ in hanging for part in _under(served, digest)]
    return len(found)


def _platforms(catalogue: Catalogue, root: Digest) -> tuple[str, ...]:
    try:
        manifest = catalogue.manifest(root)
        found = _of_children(catalogue, manifest, MAX_LEVELS) if manifest.is_index else _of_config(catalogue, manifest)
        return tuple(dict.fromkeys(found))
    except AirgapError:  # the requests for it say what is wrong
        return ()


def _of_children(catalogue: Catalogue, index: Manifest, depth: int) -> Iterator[str]:
    for child in index.children:
        if child.platform is not None and child.platform.os != "unknown":
            yield str(child.platform)
        elif child.platform is None and child.media_type in media.INDEXES and depth:
            yield from _of_children(catalogue, catalogue.manifest(child.digest), depth - 1)


def _of_config(catalogue: Catalogue, manifest: Manifest) -> Iterable[str]:
    """A single image says only in its config what it runs on."""
    config = manifest.config
    if config is None or config.media_type not in media.CONFIGS or config.size > MAX_MANIFEST:
        return ()
    fields = strictjson.parse_object(_read(catalogue, config), config.digest)
    platform = {name: fields.get(name) or "" for name in ("os", "architecture", "variant")}
    return (str(Platform.from_json(platform, config.digest)),)


def _read(catalogue: Catalogue, blob: Descriptor) -> bytes:
    reader = VerifiedReader(catalogue.open_blob(blob.digest, 0), blob, blob.digest)
    return read_all(reader, blob.size, blob.digest)
