"""Consecutive bundles of one stream as one ``Source``: together they hold what each of them leaves out."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from airgap.bundle.store import BundleStore
from airgap.documents.holdings import Held
from airgap.errors import Damaged, Lacking, NotFound, UsageError
from airgap.format.catalog import Catalog, Patch
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Repository
from airgap.oci.stores import Browsable, Named, Reader, Referrers
from airgap.oci.verify import VerifiedReader, skipped


@dataclass(frozen=True)
class Link:
    """One bundle of a chain.

    Attributes:
        digest: of its catalog's exact bytes.
        catalog: the catalog.
        volumes: where its volumes are; a chain reads in the other bundles what the site holds.
    """

    digest: Digest
    catalog: Catalog
    volumes: Mapping[int, Path]


def arrange(links: Sequence[Link], stream: str) -> tuple[Link, ...]:
    """The bundles in the order of the stream, given in any.

    Raises:
        UsageError: none, one of another stream, one that is missing in between, or two histories.
    """
    for link in links:
        if link.catalog.stream != stream:
            raise UsageError(
                "the bundle belongs to another stream",
                where=link.catalog.name,
                expected=f"stream {stream}",
                got=f"stream {link.catalog.stream}",
            )
    ordered = sorted(links, key=lambda link: link.catalog.serial)
    if not ordered:
        raise UsageError("no bundles given", expected="one or more bundles of one stream")
    for before, after in itertools.pairwise(ordered):
        _check_joint(before, after)
    return tuple(ordered)


def _check_joint(before: Link, after: Link) -> None:
    """One bundle names the other as its predecessor, or they do not belong together."""
    if after.catalog.previous == before.digest:
        return
    names = f"{before.catalog.name} and {after.catalog.name}"
    expected = f"{after.catalog.name} names {before.digest} as its predecessor"
    got = after.catalog.previous or "no predecessor"
    if after.catalog.serial == before.catalog.serial:
        raise UsageError(
            "two different bundles have the same serial",
            where=names,
            expected=f"catalog {before.digest}",
            got=f"catalog {after.digest}",
            hint="each serial is used once: find out which of the two the sites imported",
        )
    if after.catalog.serial == before.catalog.serial + 1 or after.catalog.previous is None:
        raise UsageError(
            "two bundles continue different histories",
            where=names,
            expected=expected,
            got=got,
            hint="two exporters used the same stream, or one lost its state: merge only bundles of one history",
        )
    raise UsageError(
        "a bundle is missing from the chain", where=names, expected=expected, got=got, hint="give the bundles between the two too"
    )


class Chain:
    """The content of all bundles of a chain. As thread-safe as they are; every blob is checked while it is read.

    Args:
        links: in the order of the stream.
        nearby: other places at hand that may have what the first bundles build on.

    Attributes:
        sizes: of every blob that any of the catalogs lists, in bytes.

    Raises:
        Damaged: two catalogs state different sizes of one blob.
    """

    def __init__(self, links: Sequence[Link], nearby: Sequence[Browsable] = ()) -> None:
        self.links = tuple(links)
        self.sizes: dict[Digest, int] = {}
        self._stores = [BundleStore(link.catalog, link.volumes, self.open_blob) for link in links]
        for link in links:
            for digest, blob in link.catalog.blobs.items():
                if self.sizes.setdefault(digest, blob.size) != blob.size:
                    raise Damaged(
                        "two bundles state different sizes for one blob",
                        where=f"{link.catalog.name}: blob {digest}",
                        expected=f"{self.sizes[digest]} bytes, as stated before",
                        got=f"{blob.size} bytes",
                    )
        self._places = self._find(nearby)

    def names(self) -> Iterator[Named]:
        """As ``Browsable.names``: the latest bundle comes first, so that a tag is what it says."""
        for store in reversed(self._stores):
            yield from store.names()

    def manifest(self, repository: Repository, selector: str) -> Manifest:
        """As ``Source.manifest``; by tag, what the latest bundle says."""
        if ":" in selector:
            return self.find_manifest(Digest.parse(selector))
        for store in reversed(self._stores):
            try:
                return store.manifest(repository, selector)
            except NotFound:
                continue
        raise Lacking("not in these bundles", where=str(repository), got=selector)

    def referrers(self, repository: Repository, subject: Digest) -> Referrers:
        """As ``Source.referrers``: what all the bundles know together; the list of the latest."""
        found = [store.referrers(repository, subject) for store in self._stores]
        descriptors = {descriptor.digest: descriptor for known in found for descriptor in known.descriptors}
        lists = [manifest for known in found for manifest in known.tagged]
        return Referrers(tuple(descriptors.values()), tuple(lists[-1:]))

    def has(self, repository: Repository, descriptor: Descriptor) -> bool:  # noqa: ARG002 - one content store for all
        """As ``Source.has``: whether the blob can be read, as it is or rebuilt."""
        return self.find_blob(descriptor.digest) == descriptor.size

    def open(self, repository: Repository, descriptor: Descriptor, offset: int = 0) -> Reader:  # noqa: ARG002
        """As ``Source.open``."""
        return self.open_blob(descriptor.digest, offset)

    def find_manifest(self, digest: Digest) -> Manifest:
        """As ``Browsable.find_manifest``, from the latest bundle that has it. Raises ``NotFound`` or ``Damaged``."""
        for store in reversed(self._stores):
            blob = store.catalog.blobs.get(digest)
            if blob is not None and blob.extents:
                return store.find_manifest(digest)
        raise Lacking("no such manifest in these bundles", got=digest)

    def find_blob(self, digest: Digest) -> int | None:
        """As ``Browsable.find_blob``: the size of a blob that can be read, as it is or rebuilt."""
        return self.sizes[digest] if digest in self._places else None

    def open_blob(self, digest: Digest, offset: int = 0) -> Reader:
        """As ``Browsable.open_blob``, but verified, and so from the first byte on whatever the offset.

        Raises:
            NotFound: no bundle has it, nor what it could be made from.
            Damaged (when read): the bytes are not those of the blob.
        """
        place = self._places.get(digest)
        if place is None:
            raise Lacking("no such blob in these bundles", got=digest)
        where = f"{place.catalog.name}: {place.place(digest)}" if isinstance(place, BundleStore) else f"blob {digest}"
        return skipped(VerifiedReader(place.open_blob(digest), Descriptor("", digest, self.sizes[digest]), where), offset)

    def held_before(self) -> dict[Digest, Held]:
        """What the site had before the first bundle, as far as the bundles state it; empty when that one has no base.

        A blob that a later bundle leaves out and no earlier one brings was there before, if that bundle builds on nothing but
        earlier ones and what the first builds on.
        """
        first, found = self.links[0].catalog, dict[Digest, Held]()
        own: set[Digest] = set()
        brought: set[Digest] = set()
        for link in self.links if first.base else ():
            catalog = link.catalog
            same_base = set(catalog.base) - own <= set(first.base)
            for digest, blob in catalog.blobs.items():
                if blob.held and digest not in brought and (same_base or digest in found):
                    found.setdefault(digest, Held(blob.size, blob.repositories))
            brought |= {digest for digest, blob in catalog.blobs.items() if not blob.held}
            own.add(link.digest)
        return found

    def patches(self, digest: Digest) -> list[Patch]:
        """How the bundles make a blob, the latest first."""
        blobs = [link.catalog.blobs.get(digest) for link in reversed(self.links)]
        return [blob.patch for blob in blobs if blob is not None and blob.patch is not None]

    def _find(self, nearby: Sequence[Browsable]) -> dict[Digest, Browsable]:
        """Where each readable blob can be read. A blob is rebuilt only if there is no copy, and in the fewest steps."""
        found: dict[Digest, Browsable] = {}
        made_from: dict[Digest | None, list[tuple[Digest, BundleStore]]] = {}
        for store in self._stores:
            for digest, blob in store.catalog.blobs.items():
                if blob.extents:
                    found.setdefault(digest, store)
                elif blob.patch is not None:
                    made_from.setdefault(blob.patch.base, []).append((digest, store))
        for digest in [digest for digest in self.sizes if digest not in found]:
            if place := next((place for place in nearby if place.find_blob(digest) == self.sizes[digest]), None):
                found[digest] = place
        todo: deque[Digest | None] = deque([None, *found])
        while todo:
            for digest, store in made_from.pop(todo.popleft(), ()):
                if digest not in found:
                    found[digest] = store
                    todo.append(digest)
        return found
