"""What a layout's index.json says, and how names are added to it. No I/O here.

Our own names are full references (``docker.io/library/nginx:1.27``). Other tools also write plain tags (``1.27``); such a name
belongs to a repository called like the directory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from airgap.errors import Damaged, UsageError
from airgap.oci import media, strictjson
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.hosts import DEFAULT_HOST
from airgap.oci.image import digest_tag
from airgap.oci.reference import Reference, Repository
from airgap.text import like, listing, plural, printable

REF_NAME = "org.opencontainers.image.ref.name"
_CONTAINERD_NAME = "io.containerd.image.name"
_FIELDS = ("schemaVersion", "mediaType", "manifests", "artifactType", "subject", "annotations")
_PLAIN = re.compile(r"[^/:@]+")
_ATTACHMENT = re.compile(r"sha(?:256|512)-[0-9a-f]{32,128}(?:\.|$)", re.ASCII)
#: A host for plain names; podman calls local images so too.
_LOCAL_HOST = "localhost"
#: The repository of an image that has no name where it lies; nothing is ever looked for under it.
NAMELESS = Repository(_LOCAL_HOST, "image")
#: How `cosign save` and hauler tell what an entry is, which they give no name or that of the image, and the tag cosign has for it.
_KIND = "kind"
_KIND_PREFIXES = ("dev.cosignproject.cosign/", "dev.hauler/")
_KIND_TAGS = {"sigs": ".sig", "atts": ".att", "sboms": ".sbom"}


@dataclass(frozen=True)
class IndexEntry:
    """One descriptor in index.json and the name it carries.

    Args:
        descriptor: what it points at.
        reference: its name, or None when it has none that can be read.
        plain: whether the name was only a tag, so that the repository is guessed from the directory.
        attached: whether it says of itself that it is signatures, attestations or an SBOM of another entry.
    """

    descriptor: Descriptor
    reference: Reference | None
    plain: bool
    attached: bool = False


@dataclass(frozen=True)
class Index:
    """A parsed index.json; ``value`` keeps all of it, known to us or not."""

    value: dict[str, Any]
    entries: tuple[IndexEntry, ...]

    @classmethod
    def parse(cls, raw: bytes, where: str, directory: str) -> Index:
        """Read an index.json.

        Args:
            raw: its bytes.
            where: the file, for messages.
            directory: the base name of the layout directory, the repository of plain names.

        Raises:
            Damaged: it is not an image index.
        """
        value = strictjson.parse_object(raw, where)
        strictjson.refuse_lookalikes(value, _FIELDS, where)
        if value.get("schemaVersion") != 2 or (value.get("mediaType") or media.OCI_INDEX) != media.OCI_INDEX:
            raise Damaged("not the index of an OCI image layout", where=where, expected="schemaVersion 2, an OCI image index")
        items = strictjson.array(value.get("manifests"), f"{where}: manifests")
        entries = (Descriptor.from_json(item, f"{where}: manifests[{i}]") for i, item in enumerate(items))
        return cls(value, _with_attached([_entry(descriptor, directory) for descriptor in entries]))

    @classmethod
    def empty(cls) -> Index:
        """The index of a new layout."""
        return cls({"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": []}, ())

    def find(self, reference: Reference) -> Descriptor | None:
        """What a name refers to; of several entries with one name the first counts, and full names before plain ones."""
        return self._names.get(name_of(reference))

    def images(self) -> tuple[IndexEntry, ...]:
        """What an image list can mean: the entries that are no attachment and have a name, or all of them where none has one."""
        images = tuple(entry for entry in self.entries if not _is_attachment(entry))
        return tuple(entry for entry in images if entry.reference is not None) or images

    def pick(self, name: str, where: str) -> IndexEntry:
        """The image of a name, as it stands in index.json or in full; ``""`` is the only one, ``@N`` the Nth entry, from 0.

        Raises:
            UsageError: there is none of that name, or a name is needed.
        """
        images = self.images()
        found: Sequence[IndexEntry] = self._found(name) if name else images
        if len({entry.descriptor.digest for entry in found}) != 1:
            names = [_spellings(entry)[0] for entry in images if _spellings(entry)]
            have = (like(name, names) if name else listing(names)) or plural(len(images), "image")
            raise UsageError(
                "the layout has no such image" if name and not found else "the layout holds several images, or none",
                where=where,
                expected="the name of one of its images, or :@N for entry N of index.json (from 0)",
                got=f"{printable(name, 200)}; it has {have}" if name else have,
            )
        return found[0]

    def merged(self, names: Mapping[str, Descriptor], unnamed: Iterable[Descriptor]) -> bytes:
        """The bytes of this index with some names set and some descriptors without a name added.

        An entry of the same name is replaced; every other one stays as it is, with all fields that we do not know.

        Args:
            names: full reference -> descriptor.
            unnamed: added where no entry without a name points at the same digest yet.
        """
        left = dict(sorted(names.items()))
        result = []
        present: set[Digest] = set()
        for item, entry in zip(self.value["manifests"], self.entries, strict=True):
            name = None if entry.reference is None or entry.plain else name_of(entry.reference)
            if name is None or name not in names:
                result.append(item)
            elif name in left:
                replacement = left.pop(name)
                same = replacement == entry.descriptor
                result.append(item if same else named_entry(name, replacement))
            if entry.reference is None:
                present.add(entry.descriptor.digest)
        result += [named_entry(name, descriptor) for name, descriptor in left.items()]
        new = {descriptor.digest: descriptor for descriptor in unnamed if descriptor.digest not in present}
        result += [_bare(new[digest]) for digest in sorted(new)]
        return strictjson.canonical({**self.value, "manifests": result})

    def _found(self, name: str) -> Sequence[IndexEntry]:
        number = name.removeprefix("@")
        if number != name and number.isascii() and number.isdigit() and len(number) < 9:
            return self.entries[int(number) : int(number) + 1]
        return self._spelled.get(name, ())

    @cached_property
    def _spelled(self) -> dict[str, list[IndexEntry]]:
        found: dict[str, list[IndexEntry]] = {}
        for entry in self.images():
            for text in _spellings(entry):
                found.setdefault(text, []).append(entry)
        return found

    @cached_property
    def _names(self) -> dict[str, Descriptor]:
        found: dict[str, Descriptor] = {}
        for entry in self.entries:
            if entry.reference is not None and not entry.plain:
                found.setdefault(name_of(entry.reference), entry.descriptor)
        for entry in self.entries:
            if entry.reference is not None and entry.plain:
                found.setdefault(name_of(entry.reference), entry.descriptor)
                docker = Repository(DEFAULT_HOST, f"library/{entry.reference.repository.path}")
                found.setdefault(name_of(entry.reference.moved(docker)), entry.descriptor)
        return found


def name_of(reference: Reference) -> str:
    """The name that a reference has in index.json: with the tag where there is one, else with the digest."""
    return str(reference.repository.tagged(reference.tag) if reference.tag else reference)


def named_entry(name: str, descriptor: Descriptor) -> dict[str, Any]:
    """The index.json entry of a name. Nothing of the descriptor's own annotations goes in: they could hold another name."""
    return {**_bare(descriptor), "annotations": {REF_NAME: name}}


def _is_attachment(entry: IndexEntry) -> bool:
    return entry.attached or (entry.reference is not None and _ATTACHMENT.match(entry.reference.tag or "") is not None)


def _spellings(entry: IndexEntry) -> list[str]:
    stated = entry.descriptor.annotations.get(REF_NAME, "")
    full = [] if entry.reference is None or entry.plain else [str(entry.reference)]
    return list(dict.fromkeys(text for text in (*full, stated) if text))


def _bare(descriptor: Descriptor) -> dict[str, Any]:
    return Descriptor(descriptor.media_type, descriptor.digest, descriptor.size, artifact_type=descriptor.artifact_type).to_json()


def _entry(descriptor: Descriptor, directory: str) -> IndexEntry:
    name = descriptor.annotations.get(REF_NAME, "")
    plain = bool(_PLAIN.fullmatch(name))
    if plain and _CONTAINERD_NAME in descriptor.annotations:  # buildx and docker save: the tag in one, all of it in the other
        name, plain = descriptor.annotations[_CONTAINERD_NAME], False
    try:
        if plain:
            return IndexEntry(descriptor, _local(directory).tagged(name), plain=True)
        return IndexEntry(descriptor, Reference.parse(name) if name else None, plain=False)
    except UsageError:  # a name in no grammar of ours: the entry stays, nameless for us
        return IndexEntry(descriptor, None, plain=False)


def _with_attached(entries: list[IndexEntry]) -> tuple[IndexEntry, ...]:
    """The entries; those that say that they are attached to another one get the tag that cosign has for that at a registry."""
    images: dict[str, dict[Digest, IndexEntry]] = {}
    for entry in entries:
        if not _suffix(entry.descriptor):
            images.setdefault(entry.descriptor.annotations.get(REF_NAME, ""), {})[entry.descriptor.digest] = entry
    return tuple(_attached(entry, images) if _suffix(entry.descriptor) else entry for entry in entries)


def _attached(entry: IndexEntry, images: Mapping[str, Mapping[Digest, IndexEntry]]) -> IndexEntry:
    """Attached to the one image of the same name, or to the one that has none either; nameless where that is none or several."""
    subjects = list(images.get(entry.descriptor.annotations.get(REF_NAME, ""), {}).values())
    if len(subjects) != 1:
        return IndexEntry(entry.descriptor, None, plain=False, attached=True)
    repository = NAMELESS if subjects[0].reference is None else subjects[0].reference.repository
    tag = digest_tag(subjects[0].descriptor.digest) + _suffix(entry.descriptor)
    return IndexEntry(entry.descriptor, repository.tagged(tag), plain=False, attached=True)


def _suffix(descriptor: Descriptor) -> str:
    kind = descriptor.annotations.get(_KIND, "")
    prefix = next((text for text in _KIND_PREFIXES if kind.startswith(text)), "")
    return _KIND_TAGS.get(kind.removeprefix(prefix), "") if prefix else ""


def _local(directory: str) -> Repository:
    path = re.sub(r"[^a-z0-9]+", "-", directory.lower()).strip("-")
    return Repository(_LOCAL_HOST, path[:128].rstrip("-") or "layout")
