"""The common base of the targets here: manifests and names are collected, and written when everything is complete."""

from __future__ import annotations

import abc
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from airgap.errors import Damaged, Lacking, UsageError
from airgap.oci import media
from airgap.oci.descriptor import Descriptor, Platform
from airgap.oci.digest import Digest
from airgap.oci.image import digest_tag
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Reference, Repository
from airgap.oci.stores import Reader, Referring
from airgap.text import listing, printable

_ATTACHMENT = re.compile(r"sha(?:256|512)-[0-9a-f]{32,128}(?:\..*)?", re.ASCII)


class Collecting(abc.ABC):
    """A ``Target`` that is new: it holds what this run has written and nothing else. A context manager.

    A subclass stores blobs (``_store``, ``_read``), writes the rest in ``commit`` and releases it in ``close``; without
    ``commit`` nothing is left.

    Attributes:
        left_out: what the format cannot hold, for people: names of attachments.
        announce: as ``Appearing``; called by those that appear as a whole.
    """

    def __init__(self, where: str) -> None:
        self.left_out: list[str] = []
        self.announce: Callable[[Digest], None] = _nobody
        self._where = printable(where)
        self._guard = threading.Lock()
        self._blobs: dict[Digest, int] = {}
        self._manifests: dict[Digest, Manifest] = {}
        self._names: dict[Reference, Manifest] = {}
        self._referrers: dict[Digest, Descriptor] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def manifest(self, repository: Repository, selector: str) -> Manifest:
        """As ``Target.manifest``."""
        found = self._manifests.get(Digest.parse(selector)) if ":" in selector else self._names.get(repository.tagged(selector))
        if found is None:
            raise Lacking("no manifest of that name has been written yet", where=self._where, expected=f"{repository}: {selector}")
        return found

    def has(self, repository: Repository, descriptor: Descriptor) -> bool:  # noqa: ARG002 - one content store for all
        """As ``Target.has``."""
        return self._blobs.get(descriptor.digest) == descriptor.size

    def open(self, repository: Repository, descriptor: Descriptor, offset: int = 0) -> Reader:  # noqa: ARG002
        """As ``Target.open``. Raises ``NotFound``."""
        if descriptor.digest not in self._blobs:
            raise Lacking("no such blob has been written yet", where=self._where, expected=descriptor.digest)
        return self._read(descriptor.digest, offset)

    def mount(self, repository: Repository, descriptor: Descriptor, origin: Repository) -> bool:  # noqa: ARG002
        """As ``Target.mount``: what is there is there for all."""
        return self.has(repository, descriptor)

    def write(self, repository: Repository, descriptor: Descriptor, opener: Callable[[], Reader]) -> None:  # noqa: ARG002
        """As ``Target.write``."""
        reader = opener()
        try:
            self._store(descriptor, reader)
        finally:
            reader.close()
        with self._guard:
            self._blobs[descriptor.digest] = descriptor.size

    def has_manifest(self, repository: Repository, digest: Digest) -> bool:  # noqa: ARG002
        """As ``Target.has_manifest``."""
        return digest in self._manifests

    def put_manifest(self, repository: Repository, manifest: Manifest) -> None:  # noqa: ARG002
        """As ``Target.put_manifest``."""
        with self._guard:
            self._manifests[manifest.digest] = manifest

    def link_referrers(self, found: Referring) -> None:
        """As ``Target.link_referrers``."""
        repository, subject, referrers, original, tag_is_free = found
        for descriptor in referrers:
            self._require(descriptor.digest)
            self._referrers[descriptor.digest] = descriptor
        if original is not None and tag_is_free:
            self.put_manifest(repository, original)
            self.tag(repository.tagged(digest_tag(subject)), original)

    def resolve(self, reference: Reference) -> Digest | None:  # noqa: ARG002
        """As ``Target.resolve``: what an earlier run has made here, where that can be told."""
        return None

    def contents(self) -> Digest | None:
        """As ``Appearing.contents``; None where it never appears as a whole."""
        return None

    def tag(self, reference: Reference, manifest: Manifest) -> None:
        """As ``Target.tag``; visible after ``commit``."""
        self._require(manifest.digest)
        self._names[reference] = manifest

    @abc.abstractmethod
    def rehearse(self) -> Path:
        """As ``Rehearsing.rehearse``."""

    @abc.abstractmethod
    def commit(self) -> None:
        """As ``Target.commit``."""

    @abc.abstractmethod
    def close(self) -> None:
        """Let go of everything; what was not committed is gone."""

    # inside

    @abc.abstractmethod
    def _store(self, descriptor: Descriptor, reader: Reader) -> None:
        """Store one blob. Called by several threads."""

    @abc.abstractmethod
    def _read(self, digest: Digest, offset: int) -> Reader:
        """Read a blob that was stored."""

    def _require(self, digest: Digest) -> None:
        if digest not in self._manifests:
            raise Damaged("the manifest to be named is not stored", where=self._where, expected=digest)

    def _images(self) -> dict[Reference, Manifest]:
        """The names that are images, in order; the others are attachments."""
        return {ref: self._names[ref] for ref in sorted(self._names, key=str) if not is_attachment(ref)}

    def _closure(self, root: Manifest) -> Iterator[Manifest]:
        """A manifest and all that was written of what is under it, each once however often it is listed."""
        seen, waiting = {root.digest}, [root]
        while waiting:
            manifest = waiting.pop()
            yield manifest
            for child in manifest.children:
                if child.digest in self._manifests and child.digest not in seen:
                    seen.add(child.digest)
                    waiting.append(self._manifests[child.digest])

    def _choose(self, root: Manifest, platform: Platform | None, what: str, where: str) -> Manifest:
        """The one image that a manifest means for a platform, or without a choice, however deep in indexes it lies.

        An image of which no index states the platform counts if no other one fits: the import has looked at its config.

        Args:
            root: an index, or the image itself.
            platform: the one that is wanted.
            what: the rule that several images would break, for people.
            where: the name of the image.

        Raises:
            UsageError: there is none, or there are several.
        """
        if not root.is_index:
            return root
        found: dict[Digest, Platform | None] = {}
        for index in self._closure(root):
            for child in index.children:
                if child.media_type in media.IMAGES and child.digest in self._manifests:
                    found[child.digest] = found.get(child.digest) or child.platform
        real = {digest: stated for digest, stated in found.items() if stated is None or stated.os != "unknown"}
        fits = [digest for digest, stated in real.items() if platform is None or (stated and platform.covers(stated))]
        fits = fits or [digest for digest, stated in real.items() if stated is None]
        if len(fits) != 1:
            raise UsageError(
                what,
                where=where,
                expected=str(platform or "--platform"),
                got=listing([printable(str(stated or "one without a platform")) for stated in real.values()]) or "none of them",
                hint="choose one platform that the image has",
            )
        return self._manifests[fits[0]]

    def _drop_attachments(self) -> None:
        """Note everything that is neither an image nor a part of one."""
        names = [str(reference) for reference in sorted(self._names, key=str) if is_attachment(reference)]
        self.left_out += [*names, *(f"referrer {digest}" for digest in sorted(self._referrers))]


def _nobody(contents: Digest) -> None:
    """Nobody wants to know."""


def name_of(reference: Reference) -> str:
    """The name an image goes by in files: with the tag where there is one, else with the digest."""
    return str(reference.repository.tagged(reference.tag) if reference.tag else reference)


def is_attachment(reference: Reference) -> bool:
    """Whether a name is that of an attachment: ``sha256-HEX`` with or without cosign's suffix."""
    return reference.tag is not None and _ATTACHMENT.fullmatch(reference.tag) is not None
