"""An image as it is carried: its reference, its root and its attachments. Shared by lock and catalog."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from airgap.errors import Damaged, UsageError
from airgap.oci import media, strictjson
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Reference
from airgap.text import printable

#: How an attachment is found again: by a cosign tag, as an OCI 1.1 referrer, or as the fallback index that lists referrers.
TAG_KINDS = {".sig": "cosign-signature", ".att": "cosign-attestation", ".sbom": "cosign-sbom"}
REFERRER = "referrer"
REFERRERS_TAG = "referrers-tag"
LOOKASIDE = "lookaside-signature"
KINDS = frozenset({*TAG_KINDS.values(), REFERRER, REFERRERS_TAG})
EVERY_KIND = KINDS | {LOOKASIDE}
#: What can be left out, by the words of ``--without``: groups, and every single kind.
_GROUPS: dict[str, frozenset[str]] = {
    "referrers": frozenset({REFERRER, REFERRERS_TAG}),
    "signatures": frozenset({TAG_KINDS[".sig"], LOOKASIDE}),
    "all": EVERY_KIND,
    **{kind: frozenset({kind}) for kind in (*TAG_KINDS.values(), LOOKASIDE)},
}
#: What ``--without`` takes.
WITHOUT = tuple(_GROUPS)
_SUFFIXES = {kind: suffix for suffix, kind in TAG_KINDS.items()}


#: What tags begin with that keep images which are wanted by digest alone.
KEEPING = "airgap-"


def digest_tag(digest: Digest, suffix: str = "") -> str:
    """The tag that refers to a digest: ``sha256-<hex>`` plus cosign's suffix (distribution-spec, "Referrers Tag Schema")."""
    return f"{digest.algorithm[:32]}-{digest.hex[:64] if not suffix else digest.hex}{suffix}"


def keeping_tag(digest: Digest) -> str:
    """The tag that keeps an image which is wanted by digest alone from a registry's garbage collector: ``airgap-sha256-<hex>``.

    The digest's own tag, ``sha256-<hex>``, would be taken for a list of referrers, and with a suffix for cosign's attachments.
    """
    return f"{KEEPING}{digest_tag(digest)}"


def kinds_without(words: Iterable[str]) -> frozenset[str]:
    """The kinds of attachments that ``--without`` leaves out. Raises ``UsageError``."""
    found: set[str] = set()
    for word in words:
        if word not in _GROUPS:
            raise UsageError("not a valid attachment kind", where="--without", expected=", ".join(_GROUPS), got=printable(word, 60))
        found |= _GROUPS[word]
    return frozenset(found)


def counts(kind: str) -> bool:
    """Whether one of this kind counts as an attachment. The tag that lists referrers does not: what it lists is counted."""
    return kind != REFERRERS_TAG


def without_option(kind: str) -> str:
    """What leaves out attachments of a kind: ``--without referrers``."""
    return f"--without {'referrers' if kind in _GROUPS['referrers'] else kind}"


def may_list_referrers(found: Manifest, subject: Digest) -> bool:
    """Whether what is under a fallback tag can be a list of referrers at all.

    Some registries answer such a tag with the manifest of that digest, and some tools keep images under it. A list is an OCI index
    and not the subject itself; whether it is one is decided by what it lists.
    """
    return found.media_type == media.OCI_INDEX and found.digest != subject


@dataclass(frozen=True, slots=True)
class Attachment:
    """One thing that hangs off an image.

    Attributes:
        kind: one of ``KINDS``.
        subject: the digest of the manifest it belongs to.
        descriptor: the attachment's own manifest.
        tag: the tag it is known by in the image's repository, or None.
    """

    kind: str
    subject: Digest
    descriptor: Descriptor
    tag: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As in the lock and the catalog."""
        result: dict[str, Any] = {"kind": self.kind, "subject": str(self.subject), **self.descriptor.to_json()}
        if self.tag is not None:
            result["tag"] = self.tag
        return result

    @classmethod
    def from_json(cls, value: object, where: str) -> Attachment:
        """Read one strictly. Raises ``Damaged``."""
        fields = strictjson.mapping(value, where)
        kind, tag = strictjson.string(fields.get("kind"), where), fields.get("tag")
        if kind not in KINDS:
            raise Damaged(
                "the attachment has an unknown kind", where=where, expected=", ".join(sorted(KINDS)), got=printable(kind, 60)
            )
        subject = Digest.parse(fields.get("subject"), where)
        wanted = None if kind == REFERRER else digest_tag(subject, _SUFFIXES.get(kind, ""))
        if tag != wanted:  # a tag follows from kind and subject: any other could take the place of an image
            raise Damaged(
                "an attachment does not have the tag of its subject",
                where=where,
                expected=wanted or "none",
                got=printable(str(tag), 100),
            )
        return cls(kind, subject, Descriptor.from_json(fields, where), wanted)


@dataclass(frozen=True, slots=True)
class LookasideSignature:
    """A GPG signature that a lookaside store held for one manifest: not a manifest itself, so it lives beside the attachments.

    Attributes:
        subject: the digest of the signed manifest.
        digest, size: of the signature blob, in bytes.
        content: the blob, in a lock; a catalog points at it only.
    """

    subject: Digest
    digest: Digest
    size: int
    content: bytes | None = field(default=None, compare=False)

    @classmethod
    def of(cls, subject: Digest, content: bytes) -> LookasideSignature:
        """One that was just read."""
        return cls(subject, Digest.of(content), len(content), content)

    @property
    def descriptor(self) -> Descriptor:
        """What points at the blob."""
        return Descriptor(media.GPG_SIGNATURE, self.digest, self.size)

    def to_json(self) -> dict[str, Any]:
        """As in the lock (with ``data``) and the catalog."""
        result: dict[str, Any] = {"kind": LOOKASIDE, "subject": str(self.subject), **self.descriptor.to_json()}
        if self.content is not None:
            result["data"] = base64.b64encode(self.content).decode("ascii")
        return result

    @classmethod
    def from_json(cls, value: object, where: str) -> LookasideSignature:
        """Read one strictly. Raises ``Damaged``."""
        fields = strictjson.mapping(value, where)
        descriptor = Descriptor.from_json(fields, where)
        content = None
        if "data" in fields:
            try:
                content = base64.b64decode(strictjson.string(fields["data"], where), validate=True)
            except ValueError as error:
                raise Damaged("not base64", where=f"{where}: data") from error
            if Digest.of(content) != descriptor.digest or len(content) != descriptor.size:
                raise Damaged("a signature's data does not match its digest", where=where)
        return cls(Digest.parse(fields.get("subject"), where), descriptor.digest, descriptor.size, content)


@dataclass(frozen=True, slots=True)
class Image:
    """One entry of the image list, resolved.

    Attributes:
        reference: the full source reference that was asked for.
        root: the manifest or index it refers to.
        platforms: what it runs on, for people.
        omitted: children of its indexes that a platform filter left out.
        foreign: layers that may not be distributed and that the source registry does not have.
        attachments: everything that hangs off it or off one of its children, nearest first.
        signatures: GPG signatures from a lookaside store, of its index and its instances.
        volumes: (in a catalog) the volumes without which it is incomplete.
    """

    reference: Reference
    root: Descriptor
    platforms: tuple[str, ...] = ()
    omitted: tuple[Digest, ...] = ()
    foreign: tuple[Digest, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    signatures: tuple[LookasideSignature, ...] = ()
    volumes: tuple[int, ...] = ()

    @property
    def attachment_count(self) -> int:
        """How many attachments it has, GPG signatures included: the number that every command and page tells."""
        return sum(counts(attachment.kind) for attachment in self.attachments) + len(self.signatures)

    def to_json(self) -> dict[str, Any]:
        """As in the lock and the catalog; empty lists are left out."""
        result: dict[str, Any] = {"reference": str(self.reference), **self.root.to_json()}
        lists: dict[str, list[Any]] = {
            "platforms": list(self.platforms),
            "omitted": [str(digest) for digest in self.omitted],
            "foreign": [str(digest) for digest in self.foreign],
            "attachments": [*(a.to_json() for a in self.attachments), *(s.to_json() for s in self.signatures)],
            "volumes": list(self.volumes),
        }
        return result | {name: items for name, items in lists.items() if items}

    def facts(self) -> dict[str, Any]:
        """For ``--json``: the same, always with every key, and with keys that mean one thing in all results."""
        return {
            "reference": str(self.reference),
            **_pointed_at(self.root),
            "platforms": list(self.platforms),
            "omitted": [str(digest) for digest in self.omitted],
            "foreign_layers": [str(digest) for digest in self.foreign],
            "attachments": [
                {"kind": kind, "subject": str(subject), "tag": tag, **_pointed_at(descriptor)}
                for kind, subject, tag, descriptor in (
                    *((one.kind, one.subject, one.tag, one.descriptor) for one in self.attachments),
                    *((LOOKASIDE, one.subject, None, one.descriptor) for one in self.signatures),
                )
            ],
            "volume_numbers": list(self.volumes),
        }

    @classmethod
    def from_json(cls, value: object, where: str) -> Image:
        """Read one strictly. Raises ``Damaged``."""
        fields = strictjson.mapping(value, where)
        text = strictjson.string(fields.get("reference"), where)
        try:
            reference = Reference.parse(text)
        except UsageError as error:
            raise Damaged(error.what, where=where, got=error.got) from error
        if str(reference) != text:
            raise Damaged("the reference is not written in full", where=where, expected=str(reference), got=printable(text, 300))

        def items(name: str) -> list[Any]:
            return strictjson.array(fields.get(name, []), f"{where}: {name}")

        root = Descriptor.from_json(fields, where)
        if reference.digest not in (None, root.digest):
            raise Damaged(
                "the image is not the one that its reference pins", where=where, expected=reference.digest or "", got=root.digest
            )
        hanging, at = items("attachments"), f"{where}: attachment"
        return cls(
            reference=reference,
            root=root,
            platforms=tuple(strictjson.string(item, where) for item in items("platforms")),
            omitted=tuple(Digest.parse(item, where) for item in items("omitted")),
            foreign=tuple(Digest.parse(item, where) for item in items("foreign")),
            attachments=tuple(Attachment.from_json(item, at) for item in hanging if not _is_lookaside(item)),
            signatures=tuple(LookasideSignature.from_json(item, at) for item in hanging if _is_lookaside(item)),
            volumes=tuple(strictjson.integer(item, where) for item in items("volumes")),
        )


def _is_lookaside(value: object) -> bool:
    return isinstance(value, dict) and value.get("kind") == LOOKASIDE


def _pointed_at(descriptor: Descriptor) -> dict[str, Any]:
    digest, size = str(descriptor.digest), descriptor.size
    return {"digest": digest, "size": size, "media_type": descriptor.media_type, "artifact_type": descriptor.artifact_type}
