"""What every store can do: the protocols that the flows are written against.

A registry, an OCI layout directory and a bundle are all a ``Source``; a registry and a layout are also a ``Target``. The flows
(exporter, importer, server) know only these; the command line builds the real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from airgap.errors import AirgapError, Damaged
from airgap.limits import AT_A_TIME
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Reference, Repository


class Reader(Protocol):
    """A stream of one blob's bytes.

    One that reads from a registry has an attribute ``failure``: see :func:`failure_of`.
    """

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill the front of ``buffer``; how many bytes, 0 at the end."""

    def close(self) -> None:
        """Let go of the connection or file. May be called twice."""


def failure_of(reader: Reader) -> type[AirgapError]:
    """The kind of error that wrong bytes are. Who reads decides: a registry that lies is one thing, a damaged file another."""
    kind: type[AirgapError] = getattr(reader, "failure", Damaged)
    return kind


@dataclass(frozen=True)
class Referrers:
    """The manifests that a store knows to refer to a subject.

    Attributes:
        descriptors: what it lists itself.
        tagged: what is under the fallback tag of the subject (distribution-spec, "Referrers Tag Schema"), whatever that is: it is a
            list of referrers only as far as what it lists refers to the subject, and then content of its own that must not be lost.
            From several places there may be several.
        listed: whether the store has a list of its own for this subject; where not, the fallback tag is all there is.
        remark: what a person must know about how this was found, ``""`` for nothing.
        unserved: whether the store said, in words that are about no manifest, that it serves no such lists.
    """

    descriptors: tuple[Descriptor, ...]
    tagged: tuple[Manifest, ...] = ()
    listed: bool = True
    remark: str = ""
    unserved: bool = False


class Source(Protocol):
    """A place to read images from. Manifests come checked against the digest they were asked for."""

    def manifest(self, repository: Repository, selector: str) -> Manifest:
        """The manifest that a tag or digest selects. Raises ``NotFound`` only when the store clearly says so."""

    def referrers(self, repository: Repository, subject: Digest) -> Referrers:
        """Everything whose ``subject`` is this digest; empty when nothing is."""

    def has(self, repository: Repository, descriptor: Descriptor) -> bool:
        """Whether the blob is there."""

    def open(self, repository: Repository, descriptor: Descriptor, offset: int = 0) -> Reader:
        """Stream a blob or manifest from ``offset`` on. Bytes are not verified here: wrap it in ``VerifiedReader``."""


@runtime_checkable
class Tagging(Protocol):
    """A ``Source`` whose lists of referrers are at two places, of which it need not be asked for the first."""

    def tagged_referrers(self, repository: Repository, subject: Digest) -> Referrers:
        """As ``Source.referrers`` where the store serves no lists itself (``Referrers.unserved``): only the fallback tag."""


class Referring(NamedTuple):
    """Manifests that refer to a subject.

    ``original`` is the source's fallback-tag index; a target that uses such tags keeps its bytes when it can. What is under
    that tag and is no list is never written over. ``tag_is_free`` is False where the tag will be an image's name.
    """

    repository: Repository
    subject: Digest
    referrers: Sequence[Descriptor]
    original: Manifest | None
    tag_is_free: bool = True


class Target(Protocol):
    """A place to put images into. Nothing is visible under a name before ``tag`` and ``commit``."""

    def manifest(self, repository: Repository, selector: str) -> Manifest:
        """As ``Source.manifest``: what is there already, for lists that are added to."""

    def has(self, repository: Repository, descriptor: Descriptor) -> bool:
        """Whether the blob is there already, with the right size."""

    def open(self, repository: Repository, descriptor: Descriptor, offset: int = 0) -> Reader:
        """As ``Source.open``: what is there already, from which other blobs can be made."""

    def mount(self, repository: Repository, descriptor: Descriptor, origin: Repository) -> bool:
        """Make a blob of ``origin`` visible in ``repository`` without sending it; True also if it is there already.

        False when it must be sent, by ``write`` and next: a registry may have begun to wait for it.
        """

    def write(self, repository: Repository, descriptor: Descriptor, opener: Callable[[], Reader]) -> None:
        """Store one blob; ``opener`` gives a verifying reader and may be called again for a retry."""

    def has_manifest(self, repository: Repository, digest: Digest) -> bool:
        """Whether the manifest is there already."""

    def put_manifest(self, repository: Repository, manifest: Manifest) -> None:
        """Store a manifest by digest, exactly as it is. Its blobs and children must be there."""

    def link_referrers(self, found: Referring) -> None:
        """Make stored referrers findable from their subject, by the means this target has, and see that they are."""

    def resolve(self, reference: Reference) -> Digest | None:
        """The digest a name points to now, or None."""

    def tag(self, reference: Reference, manifest: Manifest) -> None:
        """Let a name stand for a manifest that is stored."""

    def commit(self) -> None:
        """Make everything that was tagged visible, where the target collects tags."""


@runtime_checkable
class Limited(Protocol):
    """A ``Target`` that has no place for some things: after ``commit`` they are named in ``left_out``."""

    left_out: list[str]


@runtime_checkable
class Appearing(Protocol):
    """A ``Target`` that appears as a whole when it is committed, and is recognised by all that is in it.

    ``announce`` is called right before, with one digest over all of that; who opens the target sets it.
    """

    announce: Callable[[Digest], None]

    def contents(self) -> Digest | None:
        """The same digest of what is there now, every byte of which is read; None when nothing is, or nothing like it."""


@dataclass(frozen=True)
class Outlook:
    """What a target reveals about a repository before anything is written to it.

    Attributes:
        repository: the repository.
        exists: whether it is there; None when that is not told.
        allowed: whether it takes what is written; None when only trying would tell.
        why: why not.
    """

    repository: Repository
    exists: bool | None
    allowed: bool | None
    why: str = ""


@runtime_checkable
class Foretelling(Protocol):
    """A ``Target`` elsewhere, which can be asked beforehand. Asking changes nothing there."""

    def foretell(self, reference: Reference) -> Outlook:
        """Predict what writing an image under this name would do."""


def width(target: Target, threads: int) -> int:
    """How many questions a target is asked at a time: one elsewhere takes its time for each, one here takes ours."""
    return max(threads, AT_A_TIME) if isinstance(target, Foretelling) else threads


@runtime_checkable
class Rehearsing(Protocol):
    """A ``Target`` on this machine, of which more can be known beforehand."""

    def rehearse(self) -> Path:
        """Raise what the first write would raise, as far as the target knows; the directory that will take the bytes."""


@dataclass(frozen=True)
class Named:
    """One name in a browsable store: a repository path as clients ask for it, the tag (or None) and what it points to."""

    path: str
    tag: str | None
    descriptor: Descriptor


class Browsable(Protocol):
    """A store that can be served: it knows all its names and finds content by digest alone."""

    def names(self) -> Iterator[Named]:
        """Every name in the store; attachments without a tag come with ``tag=None``."""

    def find_manifest(self, digest: Digest) -> Manifest:
        """A manifest by digest. Raises ``NotFound``."""

    def find_blob(self, digest: Digest) -> int | None:
        """The size of a blob, or None when it is not there."""

    def open_blob(self, digest: Digest, offset: int = 0) -> Reader:
        """Stream a blob from ``offset``."""
