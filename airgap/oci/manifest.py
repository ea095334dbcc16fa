"""Manifests and indexes: the raw bytes, never re-encoded, and the few fields that are needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from airgap.errors import Damaged
from airgap.limits import MAX_MANIFEST
from airgap.oci import media, strictjson
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.text import printable

_INDEX_ONLY = ("manifests",)
_IMAGE_ONLY = ("config", "layers")
_LEGACY = ("fsLayers", "history", "blobs")
_FIELDS = ("schemaVersion", "mediaType", "artifactType", "subject", "annotations", *_INDEX_ONLY, *_IMAGE_ONLY, *_LEGACY)


@dataclass(frozen=True)
class Manifest:
    """An image manifest or an index, checked and split into its descriptors; ``raw`` is what the digest is over."""

    raw: bytes
    media_type: str
    digest: Digest
    config: Descriptor | None
    layers: tuple[Descriptor, ...]
    children: tuple[Descriptor, ...]
    subject: Descriptor | None
    artifact_type: str

    @classmethod
    def parse(cls, raw: bytes, media_type: str, where: str, algorithm: str = "sha256") -> Manifest:
        """Read a manifest of a known media type.

        A document that could be taken for both an image and an index is refused (CVE-2021-41190), and so is one whose own
        ``mediaType`` contradicts the one it was found under.

        Raises:
            Damaged: malformed, ambiguous, or of a kind that airgap does not carry.
        """
        if len(raw) > MAX_MANIFEST:
            raise Damaged("the manifest is too large", where=where, expected=f"at most {MAX_MANIFEST} bytes", got=str(len(raw)))
        value = strictjson.parse_object(raw, where)
        _check_kind(value, media_type, where)
        config = value.get("config")
        subject = value.get("subject")
        return cls(
            raw=raw,
            media_type=media_type,
            digest=Digest.of(raw, algorithm),
            config=None if config is None else Descriptor.from_json(config, f"{where}: config"),
            layers=_descriptors(value, "layers", where),
            children=_descriptors(value, "manifests", where),
            subject=None if subject is None else Descriptor.from_json(subject, f"{where}: subject"),
            artifact_type=strictjson.string(value.get("artifactType") or "", where),
        )

    @cached_property
    def descriptor(self) -> Descriptor:
        """The descriptor that points at this manifest, as the referrers list wants it (artifactType filled in)."""
        artifact_type = self.artifact_type or (self.config.media_type if self.config else "")
        return Descriptor(self.media_type, self.digest, len(self.raw), artifact_type=artifact_type)

    @property
    def is_index(self) -> bool:
        """Whether this lists other manifests rather than layers."""
        return self.media_type in media.INDEXES

    @property
    def annotations(self) -> dict[str, str]:
        """The annotations of the manifest itself."""
        found = strictjson.parse_object(self.raw, str(self.digest)).get("annotations")
        return {str(k): v for k, v in found.items() if isinstance(v, str)} if isinstance(found, dict) else {}

    def blobs(self) -> Iterator[Descriptor]:
        """Config first, then the layers in order; repeated layers repeat."""
        if self.config is not None:
            yield self.config
        yield from self.layers


def sniff_media_type(raw: bytes, where: str) -> str:
    """The media type of a manifest found without one: its own ``mediaType``, else guessed from its unambiguous shape."""
    value = strictjson.parse_object(raw, where)
    stated = value.get("mediaType")
    if isinstance(stated, str) and stated:
        return stated
    return media.OCI_INDEX if "manifests" in value else media.OCI_MANIFEST


def _check_kind(value: dict[str, Any], media_type: str, where: str) -> None:
    strictjson.refuse_lookalikes(value, _FIELDS, where)
    if media_type not in media.MANIFESTS:
        raise Damaged(
            "the manifest has a type that airgap cannot carry",
            where=where,
            expected="an OCI image or index, or a Docker schema 2 manifest or list",
            got=printable(media_type, 120),
            hint="ask the publisher for an image in a current format" if ".v1+" in media_type else "",
        )
    stated = value.get("mediaType")
    if stated not in (None, "", media_type):  # Go writes "" for what nobody set
        raise Damaged("the manifest contradicts its media type", where=where, expected=media_type, got=printable(str(stated), 120))
    if value.get("schemaVersion") != 2:
        raise Damaged(
            "not a version 2 manifest", where=where, expected="schemaVersion 2", got=printable(str(value.get("schemaVersion")), 40)
        )
    index = media_type in media.INDEXES
    wrong = [name for name in (*(_IMAGE_ONLY if index else _INDEX_ONLY), *_LEGACY) if name in value]
    missing = [name for name in (_INDEX_ONLY if index else _IMAGE_ONLY) if name not in value]
    if wrong or missing:
        raise Damaged(
            "the manifest is ambiguous: tools would read it differently",
            where=where,
            expected="an index with manifests" if index else "an image with config and layers",
            got=f"also {', '.join(wrong)}" if wrong else f"no {', '.join(missing)}",
        )


def _descriptors(value: dict[str, Any], name: str, where: str) -> tuple[Descriptor, ...]:
    # Go's clients write and read null for no layers. An index is different: what has none must say so itself.
    none = name == "layers" and value.get(name) is None
    items = [] if none else strictjson.array(value.get(name, []), f"{where}: {name}")
    return tuple(Descriptor.from_json(item, f"{where}: {name}[{i}]") for i, item in enumerate(items))
