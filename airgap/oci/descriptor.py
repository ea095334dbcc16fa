"""Descriptors and platforms (image-spec descriptor.md, image-index.md)."""

from __future__ import annotations

import re
import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, overload

from airgap.errors import UsageError
from airgap.oci import strictjson
from airgap.oci.digest import Digest, DigestTable
from airgap.text import printable

_FIELDS = ("mediaType", "digest", "size", "urls", "annotations", "data", "artifactType", "platform")
PLATFORM_FIELDS = ("architecture", "os", "os.version", "os.features", "variant", "features")
_PART = re.compile(r"[a-z0-9_.-]+")
#: What engines take an architecture without a variant for (containerd, platforms/database.go).
_DEFAULT_VARIANTS = {"amd64": "v1", "arm": "v7", "arm64": "v8"}
_NONE: Mapping[str, str] = MappingProxyType({})
#: How a packed descriptor keeps its digest.
_PACKED, _WIDTH = "sha256:", 32


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
    annotations: Mapping[str, str] = field(default_factory=lambda: _NONE, compare=False)
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


class Descriptors(Sequence[Descriptor]):
    """Descriptors that say no more than type, digest and size, in a fifth of the memory; each is made when somebody asks.

    Args:
        items: plain descriptors (:func:`packed`).
    """

    __slots__ = ("_digests", "_sizes", "_types")

    def __init__(self, items: Sequence[Descriptor]) -> None:
        self._types = tuple(sys.intern(one.media_type) for one in items)
        self._digests = b"".join(bytes.fromhex(one.digest.hex) for one in items)
        self._sizes = array("Q", (one.size for one in items)).tobytes()

    @overload
    def __getitem__(self, number: int) -> Descriptor: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Descriptor]: ...
    def __getitem__(self, number: int | slice) -> Descriptor | Sequence[Descriptor]:
        """One, or a tuple of some."""
        if isinstance(number, slice):
            return tuple(map(self.__getitem__, range(*number.indices(len(self)))))
        at = range(len(self))[number]
        digest = Digest(_PACKED + self._digests[at * _WIDTH : (at + 1) * _WIDTH].hex())
        return Descriptor(self._types[at], digest, memoryview(self._sizes).cast("Q")[at])

    def __len__(self) -> int:
        return len(self._types)

    def __eq__(self, other: object) -> bool:
        return tuple(self) == tuple(other) if isinstance(other, (Descriptors, tuple)) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))


class DescriptorsByDigest(Mapping[Digest, Descriptor]):
    """Descriptors of different content by their digests, in little memory. A single one is looked for from the first on.

    Args:
        items: the descriptors.
    """

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[Descriptor] = ()) -> None:
        self._items = packed(items)

    def __getitem__(self, digest: Digest) -> Descriptor:
        """The descriptor of a digest. Raises ``KeyError``."""
        found = next((one for one in self._items if one.digest == digest), None)
        if found is None:
            raise KeyError(digest)
        return found

    def __iter__(self) -> Iterator[Digest]:
        return (one.digest for one in self._items)

    def __len__(self) -> int:
        return len(self._items)

    def values(self) -> Sequence[Descriptor]:  # type: ignore[override]
        """The descriptors, without a search for each."""
        return self._items


class DescriptorTable:
    """Very many descriptors of different content in little memory, with numbers in the order in which they were added."""

    def __init__(self) -> None:
        self._digests = DigestTable()
        self._sizes = array("Q")
        self._types = array("I")
        self._known: dict[str, int] = {}  # media types, which have numbers, too
        self._names: list[str] = []
        self._others: dict[int, Descriptor] = {}

    def add(self, one: Descriptor) -> int:
        """Add a descriptor, unless there is one of this content; the number of what is there then."""
        number = self._digests.add(one.digest)
        if number == len(self._sizes):
            plain = _is_plain(one)
            self._sizes.append(one.size if plain else 0)
            self._types.append(self._known.setdefault(one.media_type, len(self._known)))
            if len(self._known) > len(self._names):
                self._names.append(one.media_type)
            if not plain:
                self._others[number] = one
        return number

    def number(self, digest: Digest) -> int | None:
        """The number of a digest; None where it is not there."""
        return self._digests.number(digest)

    def __iter__(self) -> Iterator[Descriptor]:
        return map(self.__getitem__, range(len(self)))

    def digests(self) -> Iterator[Digest]:
        """Their digests, in order."""
        return iter(self._digests)

    def size(self, number: int) -> int:
        """The size of a descriptor's content in bytes."""
        return self._others[number].size if number in self._others else self._sizes[number]

    def __getitem__(self, number: int) -> Descriptor:
        """The descriptor of a number. Raises ``IndexError``."""
        digest = self._digests[number]
        return self._others.get(number) or Descriptor(self._names[self._types[number]], digest, self._sizes[number])

    def __len__(self) -> int:
        return len(self._sizes)


def packed(items: Iterable[Descriptor]) -> Sequence[Descriptor]:
    """The same descriptors in as little memory as they can be kept in."""
    found = tuple(items)
    return Descriptors(found) if len(found) > 1 and all(map(_is_plain, found)) else found


def _is_plain(one: Descriptor) -> bool:
    said = one.platform or one.artifact_type or one.annotations or one.urls
    return not said and one.digest.startswith(_PACKED) and one.size < 2**64
