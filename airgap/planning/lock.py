"""The lock: the image list resolved, every reference pinned, every byte that will be carried described. Pure data."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airgap.errors import Damaged, UsageError
from airgap.limits import MAX_CATALOG_MEMORY
from airgap.oci import jsonparts, strictjson
from airgap.oci.descriptor import Descriptor, Descriptors, packed
from airgap.oci.digest import Digest, DigestTable
from airgap.oci.image import Image
from airgap.oci.manifest import Manifest
from airgap.oci.places import Place
from airgap.oci.reference import Repository
from airgap.text import printable

SCHEMA = "airgap.lock/1"
# Manifests of all images together, one that several images have counted for each: more than any list comes to.
_MOST_WALKED = 2_000_000


@dataclass(frozen=True, slots=True)
class Node:
    """One manifest or index of the closure: its descriptor and its content (config and layers, or children).

    ``repository`` is where it is fetched from, with its blobs, if that is not the image's own: attachments may be stored elsewhere.
    """

    descriptor: Descriptor
    blobs: Sequence[Descriptor] = ()
    children: tuple[Descriptor, ...] = ()
    repository: Repository | None = None

    @classmethod
    def of(cls, manifest: Manifest, repository: Repository | None = None) -> Node:
        """The lock's entry for a manifest."""
        plain = Descriptor(manifest.media_type, manifest.digest, len(manifest.raw))
        return cls(plain, packed(manifest.blobs()), manifest.children, repository)

    def to_json(self) -> dict[str, Any]:
        """The JSON form in the lock file."""
        result = self.descriptor.to_json()
        for name, items in (("blobs", self.blobs), ("children", self.children)):
            if items:
                result[name] = [Descriptor(d.media_type, d.digest, d.size, d.platform).to_json() for d in items]
        if self.repository is not None:
            result["repository"] = str(self.repository)
        return result

    @classmethod
    def from_json(cls, value: object, where: str) -> Node:
        """Parse one strictly. Raises ``Damaged``."""
        fields = strictjson.mapping(value, where)

        def items(name: str) -> tuple[Descriptor, ...]:
            return tuple(Descriptor.from_json(v, f"{where}: {name}") for v in strictjson.array(fields.get(name, []), where))

        repository = fields.get("repository")
        return cls(
            Descriptor.from_json(fields, where),
            packed(items("blobs")),
            items("children"),
            None if repository is None else _repository(strictjson.string(repository, where), where),
        )


def _repository(text: str, where: str) -> Repository:
    host, _, path = text.partition("/")
    try:
        return Repository(host, path)
    except UsageError as error:
        raise Damaged(error.what, where=where, expected=error.expected, got=error.got) from error


@dataclass(frozen=True)
class Lock:
    """The resolved list: images in list order, and every manifest of their closures by digest.

    ``places`` are the sources of images that do not come from a registry (``oci.places``), by full reference.
    ``remarks`` are notes for people on how it was found.
    ``made`` are manifests and blobs that exist nowhere else, because they were created for this bundle (``attach``).
    """

    images: tuple[Image, ...]
    manifests: dict[Digest, Node]
    places: Mapping[str, str] = field(default_factory=dict)
    made: Mapping[Digest, bytes] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @property
    def contents(self) -> dict[Digest, bytes]:
        """All content that the lock itself holds: what was created here, and signatures from lookaside stores."""
        signatures = (signature for image in self.images for signature in image.signatures)
        return {**self.made, **{s.digest: s.content for s in signatures if s.content is not None}}

    def walk(self, image: Image) -> Iterator[Node]:
        """Every manifest of an image that is carried: root, children depth first, then attachments; each once."""
        seen: set[Digest] = set(image.omitted)
        stack = [image.root, *(attachment.descriptor for attachment in image.attachments)][::-1]
        while stack:
            descriptor = stack.pop()
            if descriptor.digest in seen:
                continue
            seen.add(descriptor.digest)
            node = self.manifests[descriptor.digest]
            yield node
            stack.extend(reversed(node.children))

    def check_complete(self) -> None:
        """Check that everything that :meth:`walk` needs is there.

        Raises:
            KeyError: a manifest is missing.
            Damaged: the images share so many parts that walking them would take too long.
        """
        whole: set[Digest] = set()  # nothing is missing at or below these, whatever an image leaves out
        left = _MOST_WALKED
        for image in self.images:
            omitted, seen = set(image.omitted), set[Digest]()
            stack = [image.root, *(attachment.descriptor for attachment in image.attachments)]
            while stack:
                digest = stack.pop().digest
                if digest in whole or digest in seen or digest in omitted:
                    continue
                seen.add(digest)
                stack += self.manifests[digest].children
                left -= 1
                if left < 0:
                    raise Damaged("the images of a lock have too many parts in common", expected=f"{_MOST_WALKED} at most in all")
            if not omitted:
                whole |= seen

    def to_bytes(self) -> bytes:
        """The lock file, with one image or manifest per line, so that versions compare well."""
        out = io.BytesIO()  # part by part: all parts together would take several times the memory of their text
        out.write(f'{{"schema":"{SCHEMA}","images":['.encode())
        _put(out, (image.to_json() for image in self.images))
        out.write(b'],"manifests":[')
        _put(out, (self.manifests[digest].to_json() for digest in sorted(self.manifests)))
        out.write(b"]")
        data = {digest: base64.b64encode(content).decode("ascii") for digest, content in self.made.items()}
        for name, value in (("places", self.places), ("made", data), ("remarks", list(self.remarks))):
            if value:
                out.write(f',"{name}":'.encode() + strictjson.canonical(value))
        out.write(b"}\n")
        return out.getvalue()

    @classmethod
    def from_bytes(cls, raw: bytes, where: str) -> Lock:
        """Read a lock file.

        Raises:
            UsageError: it is not a lock, or is incomplete.
        """
        try:
            top = _read(raw, where)
            images: list[Image] = strictjson.array(top.get("images"), where)
            nodes: list[Node] = strictjson.array(top.get("manifests"), where)
            places = strictjson.mapping(top.get("places", {}), f"{where}: places")
            known = {str(image.reference) for image in images}
            for name, place in places.items():
                at = f"{where}: places: {printable(name)}"
                if name not in known:  # the image it is meant for would come from its registry instead
                    raise Damaged("a place names an image that is not in the lock", where=at)
                Place.parse(strictjson.string(place, at))
            made = _made(strictjson.mapping(top.get("made", {}), f"{where}: made"), f"{where}: made")
            said = strictjson.array(top.get("remarks", []), f"{where}: remarks")
            remarks = tuple(strictjson.string(text, f"{where}: remarks") for text in said)
            lock = cls(tuple(images), {node.descriptor.digest: node for node in nodes}, places, made, remarks)
            lock.check_complete()
            for image in images:
                if any(signature.content is None for signature in image.signatures):
                    raise Damaged("a signature has no data", where=f"{where}: {image.reference}")
        except KeyError as error:
            raise UsageError("the lock is incomplete", where=where, expected=f"manifest {error.args[0]}") from error
        except Damaged as error:
            raise UsageError(error.what, where=error.where, expected=error.expected, got=error.got) from error
        return lock


def _read(raw: bytes, where: str) -> dict[str, Any]:
    """The entries of a lock, with images and manifests as what they are: as JSON they would take several times the memory."""
    memory = jsonparts.Memory(MAX_CATALOG_MEMORY)
    top: dict[str, Any] = {}
    for key, name, value in jsonparts.parts(raw, where, ("images", "manifests"), memory):
        if name is None:
            top[key] = value
        elif not isinstance(name, int):
            raise Damaged("not a list", where=f"{where}: {key}")
        elif key == "images":
            top[key].append(Image.from_json(value, f"{where}: image {name + 1}"))
            memory.take(strictjson.memory_of(strictjson.canonical(value), keys=False))
        else:
            node = Node.from_json(value, f"{where}: manifest {name + 1}")
            top[key].append(node)
            memory.take(512 + (96 if isinstance(node.blobs, Descriptors) else 360) * len(node.blobs) + 360 * len(node.children))
    return top


def _put(out: io.BytesIO, items: Iterable[object]) -> None:
    """Write the parts of a list, each on a line of its own."""
    out.write(b"\n")
    for number, item in enumerate(items):
        out.write((b",\n" if number else b"") + strictjson.canonical(item))
    out.write(b"\n")


def _made(fields: dict[str, Any], where: str) -> dict[Digest, bytes]:
    found: dict[Digest, bytes] = {}
    for name, text in fields.items():
        digest = Digest.parse(name, where)
        try:
            found[digest] = base64.b64decode(strictjson.string(text, where), validate=True)
        except ValueError as error:
            raise Damaged("not base64", where=f"{where}: {digest}") from error
        if Digest.of(found[digest], digest.algorithm) != digest:
            raise Damaged("data does not match its digest", where=f"{where}: {digest}")
    return found


def is_lock(raw: bytes) -> bool:
    """Whether an input file is a lock rather than an image list."""
    return re.match(rb'\s{0,200}\{\s{0,200}"schema"\s{0,20}:\s{0,20}"airgap\.lock/', raw) is not None


def placed_blobs(lock: Lock) -> Iterator[tuple[Repository, Image, Descriptor, bool]]:
    """Every blob to carry, in media order: (repository to read from, image, descriptor, whether it is metadata).

    Manifests and configs of all images come first, then layers in image-list order; each digest appears once. A layer that is also
    a config is metadata.
    """
    seen = DigestTable()
    for metadata in (True, False):
        for image in lock.images:
            for repository, descriptor in _image_blobs(lock, image, metadata):
                if descriptor.digest not in seen and descriptor.digest not in image.foreign:
                    seen.add(descriptor.digest)
                    yield repository, image, descriptor, metadata


def _image_blobs(lock: Lock, image: Image, metadata: bool) -> Iterator[tuple[Repository, Descriptor]]:
    own = image.reference.repository
    if metadata:
        yield from ((own, signature.descriptor) for signature in image.signatures)
    for node in lock.walk(image):
        blobs = (node.descriptor, *node.blobs[:1]) if metadata else node.blobs[1:]
        yield from ((node.repository or own, blob) for blob in blobs)
