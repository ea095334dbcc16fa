"""Attach the operator's files to images: SBOMs and scan results become OCI 1.1 referrers that travel in the bundle.

The artifact manifest (image-spec manifest.md, "Guidelines for Artifact Usage") is a pure function of image, kind and file, so the
same export gives the same bytes. It exists nowhere else: the lock holds its bytes, and those of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from airgap.errors import UsageError
from airgap.oci import media, strictjson
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.image import REFERRER, Attachment, Image
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Reference
from airgap.planning.lock import Lock, Node
from airgap.text import human_size, listing, printable

#: What may be written in place of a media type. There is no registered one for scanners' own reports.
#: That of OpenVEX is the one that tools agree on.
KINDS = {
    "sbom-spdx": "application/spdx+json",
    "sbom-cyclonedx": "application/vnd.cyclonedx+json",
    "sarif": "application/sarif+json",
    "vuln": "application/vnd.airgap.vulnerabilities.v1+json",
    "vex": "application/vnd.openvex+json",
}
#: Bytes of all files together: they are kept in memory and in the lock.
MAX_ALL = 128 * 1024 * 1024

_CREATED = "org.opencontainers.image.created"
_NAME = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
_MEDIA_TYPE = re.compile(rf"{_NAME}/{_NAME}", re.ASCII)  # RFC 6838, section 4.2
_EXPECTED = f"[IMAGE::]KIND=FILE; KIND is {', '.join(KINDS)} or a media type"


@dataclass(frozen=True)
class Wanted:
    """One ``--attach``: the image (None: the only one), the media type, and the file."""

    image: Reference | None
    media_type: str
    path: str

    @classmethod
    def parse(cls, text: str) -> Wanted:
        """Read ``[IMAGE::]KIND=FILE``.

        Raises:
            UsageError: it does not follow the grammar, or the kind is unknown.
        """
        before, equals, path = text.partition("=")
        name, colons, kind = before.rpartition("::")
        if not equals or not path or not kind or (colons and not name):
            raise UsageError("invalid attachment", where="--attach", expected=_EXPECTED, got=printable(text))
        media_type = KINDS.get(kind, kind)
        if not _MEDIA_TYPE.fullmatch(media_type) or media_type in media.MANIFESTS or media.is_foreign(media_type):
            raise UsageError("unknown kind of attachment", where="--attach", expected=_EXPECTED, got=printable(kind))
        return cls(Reference.parse(name) if name else None, media_type, path)


@dataclass(frozen=True)
class Attached:
    """One file to attach: its image (None: the only one), its media type, and its name without directories."""

    image: Reference | None
    media_type: str
    title: str
    content: bytes

    def facts(self) -> list[str]:
        """The facts that decide the bytes of the bundle."""
        return [str(self.image or ""), self.media_type, self.title, Digest.of(self.content)]


def check_sizes(attached: Iterable[Attached]) -> None:
    """Refuse more content than a lock should hold. Raises ``UsageError``."""
    total = sum(len(one.content) for one in attached)
    if total > MAX_ALL:
        raise UsageError(
            "the files to attach are too large together",
            where="--attach",
            expected=f"{human_size(MAX_ALL)} at most",
            got=human_size(total),
        )


def attach(lock: Lock, attached: Sequence[Attached], created: str | None = None) -> Lock:
    """Attach files to the images of a lock.

    Args:
        lock: the resolved list.
        attached: the files.
        created: the time that the manifests state, RFC 3339; None for none.

    Raises:
        UsageError: an image is not in the lock, or none is named and there are several.
    """
    images, manifests, made = list(lock.images), dict(lock.manifests), dict(lock.made)
    for one in attached:
        for number in _positions(images, one):
            manifest = artifact(images[number].root, one, created)
            parts = {manifest.digest: manifest.raw, Digest.of(one.content): one.content, Digest.of(media.EMPTY): media.EMPTY}
            attachment = Attachment(REFERRER, images[number].root.digest, manifest.descriptor)
            if attachment not in images[number].attachments:
                images[number] = replace(images[number], attachments=(*images[number].attachments, attachment))
            manifests[manifest.digest] = Node.of(manifest)
            made |= parts
    return replace(lock, images=tuple(images), manifests=manifests, made=made)


def artifact(subject: Descriptor, one: Attached, created: str | None = None) -> Manifest:
    """The manifest of one attachment. Pure."""
    layer = Descriptor(one.media_type, Digest.of(one.content), len(one.content), annotations={media.TITLE: one.title})
    value = {
        "schemaVersion": 2,
        "mediaType": media.OCI_MANIFEST,
        "artifactType": one.media_type,
        "config": Descriptor(media.OCI_EMPTY, Digest.of(media.EMPTY), len(media.EMPTY)).to_json(),
        "layers": [layer.to_json()],
        "subject": Descriptor(subject.media_type, subject.digest, subject.size).to_json(),
        **({"annotations": {_CREATED: created}} if created else {}),
    }
    return Manifest.parse(strictjson.canonical(value), media.OCI_MANIFEST, f"attachment {printable(one.title)}")


def _positions(images: Sequence[Image], one: Attached) -> list[int]:
    """Which images are meant. A list may have one image twice, under one name: both are."""
    if one.image is None:
        if len({image.root.digest for image in images}) != 1:
            raise UsageError(
                "a file to attach names no image",
                where=f"--attach: {printable(one.title)}",
                expected="IMAGE::KIND=FILE, because there are several images",
                got=listing([str(image.reference) for image in images]),
            )
        return list(range(len(images)))
    found = [number for number, image in enumerate(images) if one.image in _names(image.reference)]
    if not found:
        raise UsageError(
            "a file is to be attached to an image that is not on the list",
            where=f"--attach: {printable(one.title)}",
            expected=listing([str(image.reference) for image in images]),
            got=str(one.image),
        )
    return found


def _names(reference: Reference) -> set[Reference]:
    """What an image may be called: as on the list, and without the digest that pins its tag."""
    return {reference} if reference.tag is None else {reference, replace(reference, digest=None)}
