"""One ``Source`` over registries and all other sources: what the list takes from an archive comes only from there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass

from airgap.errors import Damaged, Lacking, NotFound
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Reference, Repository
from airgap.oci.stores import Reader, Referrers, Source, Tagging

Signatures = Callable[[Repository, Digest], tuple[bytes, ...]]


def no_signatures(repository: Repository, digest: Digest) -> tuple[bytes, ...]:  # noqa: ARG001
    """The answer of a source that cannot hold GPG signatures."""
    return ()


def no_way_out() -> str:
    """The advice of a place that has none."""
    return ""


@dataclass(frozen=True)
class PlacedImage:
    """The source of one image.

    Attributes:
        source: the archive or directory.
        repository: the repository the image belongs to in there, for its attachments.
        root: the image.
        signatures: the GPG signatures that the place keeps for a manifest.
        where: the place, for messages.
        way_out: tells what to do where a part of the image turns out to be missing; ``""`` for nothing special.
    """

    source: Source
    repository: Repository
    root: Manifest
    where: str
    signatures: Signatures = no_signatures
    way_out: Callable[[], str] = no_way_out


class PlacedSource:
    """All places of one job as one ``Source`` that is also its own store of GPG signatures. As thread-safe as its parts.

    A repository may have images from several places. Digests are looked for in each of them, then in the registry if the job also
    wants something of that repository from there; a registry is never asked about images that were to come from elsewhere.

    Args:
        registry: answers for everything else.
        lookaside: the GPG signatures of what comes from registries.
        images: where the images come from that do not come from a registry, by the reference they will be known by.
        asked: the repositories of which something is wanted from the registry.
    """

    def __init__(
        self, registry: Source, lookaside: Signatures, images: Mapping[Reference, PlacedImage], asked: Set[Repository]
    ) -> None:
        self._registry = registry
        self._lookaside = lookaside
        self._tags = {(ref.repository, ref.tag): placed for ref, placed in images.items() if ref.tag is not None}
        self._images: dict[Repository, list[PlacedImage]] = {}
        for reference, placed in images.items():
            self._images.setdefault(reference.repository, []).append(placed)
        self._asked = asked

    def manifest(self, repository: Repository, selector: str) -> Manifest:
        """As ``Source.manifest``; one from an archive comes only when the archive holds all of its blobs.

        Raises:
            NotFound: none of the places has it.
            Damaged: an archive has it, but not whole, or lacks what an image there lists.
        """
        named = self._tags.get((repository, selector))
        if named is not None:
            return _whole(named, named.root)
        # tags of other images are the registry's to tell; an archive is only asked for what hangs off its own
        inside = ":" in selector or selector.startswith(("sha256-", "sha512-"))
        for placed in self._images.get(repository, ()) if inside else ():
            try:
                return _whole(placed, placed.source.manifest(placed.repository, selector))
            except NotFound:
                continue
        if self._from_registry(repository):
            return self._registry.manifest(repository, selector)
        if ":" in selector:  # somebody lists it, or it would not be asked for
            ways = "; ".join(filter(None, dict.fromkeys(placed.way_out() for placed in self._images.get(repository, ()))))
            raise Damaged(
                "a manifest is missing",
                where=self._places(repository),
                expected=selector,
                hint=ways or "copy the image again from the original",
            )
        raise Lacking("no such manifest", where=self._places(repository), expected=f"{repository}:{selector}")

    def referrers(self, repository: Repository, subject: Digest) -> Referrers:
        """As ``Source.referrers``: what all the places of the repository know together."""
        return self._gathered(repository, lambda source, inside: source.referrers(inside, subject))

    def tagged_referrers(self, repository: Repository, subject: Digest) -> Referrers:
        """As ``Tagging.tagged_referrers``; places that make no such difference are asked as usual."""

        def ask(source: Source, inside: Repository) -> Referrers:
            return source.tagged_referrers(inside, subject) if isinstance(source, Tagging) else source.referrers(inside, subject)

        return self._gathered(repository, ask)

    def _gathered(self, repository: Repository, ask: Callable[[Source, Repository], Referrers]) -> Referrers:
        found: dict[Digest, Descriptor] = {}
        tagged: dict[Digest, Manifest] = {}
        listed, remarks, unserved = False, dict[str, None](), list[bool]()
        for source, inside in self._all(repository):
            known = ask(source, inside)
            tagged |= {manifest.digest: manifest for manifest in known.tagged}
            listed = listed or known.listed
            unserved += [known.unserved] if isinstance(source, Tagging) else []
            remarks |= {known.remark: None} if known.remark else {}
            for descriptor in known.descriptors:
                found.setdefault(descriptor.digest, descriptor)
        nowhere = bool(unserved) and all(unserved)
        return Referrers(tuple(found.values()), tuple(tagged.values()), listed, "; ".join(remarks), nowhere)

    def has(self, repository: Repository, descriptor: Descriptor) -> bool:
        """As ``Source.has``."""
        return any(source.has(inside, descriptor) for source, inside in self._all(repository))

    def open(self, repository: Repository, descriptor: Descriptor, offset: int = 0) -> Reader:
        """As ``Source.open``."""
        for placed in self._images.get(repository, ()):
            if _holds(placed, descriptor):
                return placed.source.open(placed.repository, descriptor, offset)
        if self._from_registry(repository):
            return self._registry.open(repository, descriptor, offset)
        raise Lacking("no such blob", where=self._places(repository), expected=descriptor.digest)

    def signatures(self, repository: Repository, digest: Digest) -> tuple[bytes, ...]:
        """The GPG signatures of a manifest, in the order of the places that hold it."""
        found: list[bytes] = []
        for placed in self._images.get(repository, ()):
            found += placed.signatures(placed.repository, digest)
        if self._from_registry(repository):
            found += self._lookaside(repository, digest)
        return tuple(dict.fromkeys(found))

    def _from_registry(self, repository: Repository) -> bool:
        return repository in self._asked or repository not in self._images

    def _all(self, repository: Repository) -> Iterator[tuple[Source, Repository]]:
        for placed in self._images.get(repository, ()):
            yield placed.source, placed.repository
        if self._from_registry(repository):
            yield self._registry, repository

    def _places(self, repository: Repository) -> str:
        return ", ".join(dict.fromkeys(placed.where for placed in self._images.get(repository, ())))


def _holds(placed: PlacedImage, descriptor: Descriptor) -> bool:
    if placed.source.has(placed.repository, descriptor):
        return True
    if descriptor.media_type not in media.MANIFESTS:
        return False
    try:  # a place may keep manifests apart from blobs
        placed.source.manifest(placed.repository, descriptor.digest)
    except NotFound:
        return False
    return True


def _whole(placed: PlacedImage, manifest: Manifest) -> Manifest:
    """The manifest, when its blobs are there with their sizes: better known now than after hours of writing."""
    for blob in manifest.blobs():
        if not placed.source.has(placed.repository, blob) and not media.is_foreign(blob.media_type):
            raise Damaged(
                "a part of the image is missing or has the wrong size",
                where=placed.where,
                expected=f"{blob.digest} with {blob.size} bytes",
                hint="copy the image again from the original",
            )
    return manifest
