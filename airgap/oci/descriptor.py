"""Descriptors and platforms (image-spec descriptor.md, image-index.md)."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airgap.errors import UsageError
from airgap.oci import strictjson
from airgap.oci.digest import Digest
from airgap.text import printable

_FIELDS = ("mediaType", "digest", "size", "urls", "annotations", "data", "artifactType", "platform")
PLATFORM_FIELDS = ("architecture", "os", "os.version", "os.features", "variant", "features")
_PART = re.compile(r"[a-z0-9_.-]+")
#: What engines take an architecture without a variant for (containerd, platforms/database.go).
_DEFAULT_VARIANTS = {"amd64": "v1", "arm": "v7", "arm64": "v8"}
_NONE: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Platform:
    """An operating system, an architecture and where it matters a variant; written ``linux/arm64/v8``."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""

    @classmethod
    def from_json(cls, value: object, where: str) -> Platform:
        """Read the ``platform`` object of a descriptor; ``null`` says nothing, as to Go's readers."""
        fields = strictjson.mapping(value, where)
        strictjson.refuse_lookalikes(fields, PLATFORM_FIELDS, where)
        named = {name: fields.get(name) for name in ("os", "architecture", "variant", "os.version")}
        return cls(*("" if value is None else strictjson.string(value, f"{where}: {name}") for name, value in named.items()))

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read what a person writes: ``linux/amd64`` or ``linux/arm/v7``.

        Raises:
            UsageError: not two or three parts, or ``unknown``, which nothing can be asked for by.
        """
        parts = text.strip().lower().split("/")
        if len(parts) not in (2, 3) or not all(map(_PART.fullmatch, parts)) or "unknown" in parts:
            raise UsageError("not a valid platform", got=printable(text), expected="os/architecture[/variant], such as linux/arm64")
        return cls(*parts)

    @classmethod
    def stated(cls, text: str) -> Platform:
        """Read what ``str`` made of one: a catalog says the platforms of its images like that."""
        return cls(*[*text.split("/", 2), "", ""][:3])

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    @property
    def is_stated(self) -> bool:
        """Whether this says anything at all."""
        return bool(self.os or self.architecture)

    def covers(self, other: Platform) -> bool:
        """Whether a wish for this platform takes ``other``: without a variant, every variant; ``arm64`` is ``arm64/v8``."""
        same = (self.os, self.architecture) == (other.os, other.architecture)
        return same and self.variant in ("", other.variant or _DEFAULT_VARIANTS.get(other.architecture, ""))


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What points at content: media type, digest and size in bytes. Two are equal when they point at the same content."""

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = field(default=None, compare=False)
    artifact_type: str = field(default="", compare=False)
    annotations: Mapping[str, str] = field(default_factory=dict, compare=False)
    urls: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def from_json(cls, value: object, where: str) -> Descriptor:
        """Read a descriptor strictly.

        Raises:
            Damaged: a field is missing, of the wrong type, or could be read differently by others.
        """
        fields = strictjson.mapping(value, where)
        strictjson.refuse_lookalikes(fields, _FIELDS, where)
        platform = fields.get("platform")
        return cls(
            media_type=sys.intern(strictjson.string(fields.get("mediaType"), f"{where}: mediaType")),
            digest=Digest.parse(fields.get("digest"), where),
            size=strictjson.integer(fields.get("size"), f"{where}: size"),
            platform=None if platform is None else Platform.from_json(platform, where),
            artifact_type=strictjson.string(fields.get("artifactType") or "", where),
            annotations={
                key: strictjson.string(text, f"{where}: annotations")
                for key, text in strictjson.mapping(fields.get("annotations") or {}, where).items()
            }
            or _NONE,
            urls=tuple(strictjson.string(url, where) for url in strictjson.array(fields.get("urls") or [], where)),
        )

    def to_json(self) -> dict[str, Any]:
        """The descriptor as image-spec JSON, without ``urls`` (we never follow them)."""
        result: dict[str, Any] = {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}
        if self.artifact_type:
            result["artifactType"] = self.artifact_type
        if self.annotations:
            result["annotations"] = dict(self.annotations)
        if self.platform is not None:
            parts = {
                "os": self.platform.os,
                "architecture": self.platform.architecture,
                "variant": self.platform.variant,
                "os.version": self.platform.os_version,
            }
            result["platform"] = {name: text for name, text in parts.items() if text}
        return result
