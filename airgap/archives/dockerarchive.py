"""The archives of ``docker save``, and what skopeo and podman write as ``docker-archive:``.

Such an archive holds layers and a config, but no manifest. The one made here says just that and nothing else, with the same bytes
that skopeo gives it, so its digest is the one that ``skopeo inspect docker-archive:FILE`` names: layers are the archive's members
as they are, never recompressed. An archive that holds an OCI layout as well (Docker 25 and later) is better read as a layout.
(Docker image specification v1.2, "Combined Image JSON + Filesystem Changeset Format".)
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from airgap.archives.tree import TarTree
from airgap.errors import Damaged, Lacking, UsageError
from airgap.limits import MAX_MANIFEST
from airgap.oci import media, strictjson
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Reference, Repository
from airgap.oci.stores import Reader, Referrers
from airgap.oci.verify import BytesReader, digest_of
from airgap.text import like, listing, plural, printable

_INDEX = "manifest.json"
_MAX_INDEX = 16 * 1024 * 1024
_MAX_IMAGES = 10_000
_MAX_LAYERS = 1_000
_FIELDS = ("Config", "RepoTags", "Layers", "Parent", "LayerSources")
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_CONFIG_NAME = re.compile(r"(?:blobs/sha256/)?([0-9a-f]{64})(?:\.json)?", re.ASCII)
_GZIP = b"\x1f\x8b"
_OTHER_COMPRESSION = (b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")


@dataclass(frozen=True)
class _Item:
    """One image as manifest.json lists it."""

    config: str
    tags: tuple[str, ...]
    layers: tuple[str, ...]


class DockerArchive:
    """An archive of images without manifests as a ``Source``. Thread-safe once its images have been picked.

    Args:
        tree: the archive, which stays the caller's to close.

    Raises:
        UsageError: not a docker archive.
        Damaged: its list of images is malformed.
    """

    def __init__(self, tree: TarTree) -> None:
        self._tree = tree
        self._where = printable(str(tree.path))
        if tree.size(_INDEX) is None:
            raise UsageError(
                "not a docker archive",
                where=self._where,
                expected=f"{_INDEX} in it, as docker save writes it",
                hint="if it is an OCI archive, use oci-archive:FILE" if tree.size("index.json") is not None else "",
            )
        self._items = self._read_items()
        self._by_name: dict[str, list[int]] = {}
        for number, item in enumerate(self._items):
            for tag in dict.fromkeys(item.tags):
                self._by_name.setdefault(tag, []).append(number)
        self._made: dict[int, Manifest] = {}
        self._manifests: dict[Digest, Manifest] = {}
        self._blobs: dict[Digest, tuple[str, int]] = {}

    def names(self) -> list[str]:
        """The full names of its images, in their order."""
        return [tag for item in self._items for tag in item.tags]

    def tags(self, name: str) -> tuple[str, ...]:
        """All full names of the image that ``name`` picks. Raises as :meth:`pick`."""
        return self._items[self._find(name)].tags

    def config(self, name: str) -> Digest:
        """The digest of the config of the image that ``name`` picks. Raises as :meth:`pick`."""
        return Digest.of(self._tree.read(self._items[self._find(name)].config, MAX_MANIFEST))

    def pick(self, name: str) -> Manifest:
        """The image of a name (``""``: the only one; ``@N``: the one at that place, from 0), with a manifest made for it.

        Raises:
            UsageError: there is none of that name, or a name is needed.
            Damaged: a member is missing, or contradicts the config.
        """
        number = self._find(name)
        if number not in self._made:
            self._made[number] = self._manifest_of(self._items[number])
        manifest = self._made[number]
        self._manifests[manifest.digest] = manifest
        return manifest

    def manifest(self, repository: Repository, selector: str) -> Manifest:
        """As ``Source.manifest``: an image that was picked, by digest or by its name here."""
        if ":" in selector:
            found = self._manifests.get(Digest.parse(selector, self._where))
            if found is not None:
                return found
        elif str(repository.tagged(selector)) in self._by_name:
            return self.pick(str(repository.tagged(selector)))
        raise Lacking("the archive has no such image", where=self._where, expected=f"{repository}:{selector}")

    def referrers(self, repository: Repository, subject: Digest) -> Referrers:  # noqa: ARG002
        """As ``Source.referrers``: such archives cannot hold any."""
        return Referrers(())

    def has(self, repository: Repository, descriptor: Descriptor) -> bool:  # noqa: ARG002
        """As ``Source.has``."""
        found = self._blobs.get(descriptor.digest)
        return found is not None and found[1] == descriptor.size

    def open(self, repository: Repository, descriptor: Descriptor, offset: int = 0) -> Reader:  # noqa: ARG002
        """As ``Source.open``."""
        manifest = self._manifests.get(descriptor.digest)
        if manifest is not None:
            return BytesReader(manifest.raw, offset)
        found = self._blobs.get(descriptor.digest)
        if found is None:
            raise Lacking("the archive has no such blob", where=self._where, expected=descriptor.digest)
        return self._tree.open(found[0], descriptor.size, offset)

    # inside

    def _read_items(self) -> list[_Item]:
        where = f"{self._where}: {_INDEX}"
        values = strictjson.array(strictjson.parse(self._tree.read(_INDEX, _MAX_INDEX), where), where)
        if not 0 < len(values) <= _MAX_IMAGES:
            raise Damaged("the docker archive has no images or too many", where=where, expected=f"1 to {_MAX_IMAGES}")
        return [_item(value, f"{where}: image {number}") for number, value in enumerate(values)]

    def _find(self, name: str) -> int:
        known: Sequence[int] = self._by_name.get(name, []) if name else range(len(self._items))
        if name.startswith("@"):
            number = int(name[1:]) if name[1:].isascii() and name[1:].isdigit() and len(name) < 9 else -1
            known = [number] if 0 <= number < len(self._items) else []
        if len(known) != 1:
            names = like(name, self.names()) if name else listing(self.names())
            have = names or f"{plural(len(self._items), 'image')} without a name: :@0 is the first"
            raise UsageError(
                "the archive has no such image" if name else "the archive holds several images",
                where=self._where,
                expected="one of its names after the file name: docker-archive:FILE:NAME",
                got=f"{printable(name, 200)}; it has {have}" if name else have,
            )
        return known[0]

    def _manifest_of(self, item: _Item) -> Manifest:
        raw = self._tree.read(item.config, MAX_MANIFEST)
        config = Descriptor(media.DOCKER_CONFIG, Digest.of(raw), len(raw))
        stated = _CONFIG_NAME.fullmatch(item.config)
        if stated is not None and stated[1] != config.digest.hex:
            raise Damaged("a config has the wrong digest", where=self._where, expected=item.config, got=config.digest)
        where = f"{self._where}: {printable(item.config, 100)}"
        rootfs = strictjson.mapping(strictjson.parse_object(raw, where).get("rootfs"), f"{where}: rootfs")
        contents = [Digest.parse(value, f"{where}: diff_ids") for value in _list(rootfs.get("diff_ids"), where)]
        if len(contents) != len(item.layers):
            raise Damaged(
                "the layers of an image contradict its config",
                where=where,
                expected=plural(len(contents), "layer"),
                got=str(len(item.layers)),
            )
        layers = [self._layer(name, content) for name, content in zip(item.layers, contents, strict=True)]
        for blob, name in zip((config, *layers), (item.config, *item.layers), strict=True):
            self._blobs[blob.digest] = (name, blob.size)
        return Manifest.parse(_document(config, layers), media.DOCKER_MANIFEST, self._where)

    def _layer(self, name: str, content: Digest) -> Descriptor:
        """A plain layer has the digest that the config states, which is checked as it is read; a compressed one has its own."""
        size = self._tree.size(name)
        if size is None:
            raise Damaged("a layer is missing from the archive", where=self._where, expected=printable(name, 200))
        start = memoryview(bytearray(8))
        reader = self._tree.open(name, size, 0)
        try:
            count = reader.readinto(start)
        finally:
            reader.close()
        if bytes(start[:count]).startswith(_OTHER_COMPRESSION):
            raise UsageError(
                "a layer has a compression that docker archives do not support",
                where=f"{self._where}: {printable(name, 200)}",
                expected="uncompressed tar or gzip",
                hint="write the image as an OCI archive: skopeo copy ... oci-archive:FILE",
            )
        return Descriptor(_LAYER, digest_of(self._tree.open(name, None, 0)) if bytes(start).startswith(_GZIP) else content, size)


def _item(value: object, where: str) -> _Item:
    fields = strictjson.mapping(value, where)
    strictjson.refuse_lookalikes(fields, _FIELDS, where)
    layers = [strictjson.string(name, where) for name in _list(fields.get("Layers"), f"{where}: Layers")]
    if len(layers) > _MAX_LAYERS:
        raise Damaged("an image has too many layers", where=where, expected=f"at most {_MAX_LAYERS}", got=str(len(layers)))
    tags = [strictjson.string(tag, where) for tag in _list(fields.get("RepoTags"), f"{where}: RepoTags")]
    try:
        names = tuple(str(Reference.parse(tag)) for tag in tags)
    except UsageError as error:
        raise Damaged(error.what, where=where, got=error.got) from error
    return _Item(strictjson.string(fields.get("Config"), f"{where}: Config"), names, tuple(layers))


def _list(value: object, where: str) -> list[Any]:
    """A list; Go's writers leave an empty one out or write null."""
    return [] if value is None else strictjson.array(value, where)


def _document(config: Descriptor, layers: list[Descriptor]) -> bytes:
    """The bytes that Go's encoder makes of such a manifest: its order of fields, no spaces."""

    def plain(descriptor: Descriptor) -> dict[str, Any]:
        return {"mediaType": descriptor.media_type, "size": descriptor.size, "digest": descriptor.digest}

    value = {
        "schemaVersion": 2,
        "mediaType": media.DOCKER_MANIFEST,
        "config": plain(config),
        "layers": [plain(layer) for layer in layers],
    }
    return json.dumps(value, separators=(",", ":")).encode()
