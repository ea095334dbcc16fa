"""Resolve an image list into a lock: the complete closure of every image, or an error that names every gap.

For every manifest of an image (index, nested indexes, children) and every attachment, it finds the cosign tags and the referrers,
recursively and bounded. A failed request is an error; only a clear "not found" means that there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from airgap.errors import AirgapError, Damaged, NotFound, RegistryError, UsageError
from airgap.limits import AT_A_TIME, MAX_ATTACHMENTS, MAX_LEVELS, MAX_MANIFESTS
from airgap.lists import Entry
from airgap.oci import media
from airgap.oci.descriptor import Descriptor, Platform
from airgap.oci.digest import Digest
from airgap.oci.image import (
    LOOKASIDE,
    REFERRER,
    REFERRERS_TAG,
    TAG_KINDS,
    Attachment,
    Image,
    LookasideSignature,
    digest_tag,
    may_list_referrers,
)
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Reference, Repository
from airgap.oci.selection import PlatformFilter, config_of, platform_in
from airgap.oci.stores import Source
from airgap.oci.verify import VerifiedReader, read_all
from airgap.planning.ahead import Ahead, Width
from airgap.planning.findings import Strays, remarks
from airgap.planning.gaps import raise_gaps, refuse_moved_tags
from airgap.planning.hanging import Hanging, held_wrongly
from airgap.planning.lock import Lock, Node
from airgap.progress import Progress
from airgap.text import listing
from airgap.work import Pool


class Lookaside(Protocol):
    """A store of GPG signatures beside the registries (containers-registries.d(5))."""

    def signatures(self, repository: Repository, digest: Digest) -> tuple[bytes, ...]:
        """All signatures of one manifest. Raises ``AirgapError`` if they cannot be read."""


_Walked: TypeAlias = tuple[Image, dict[Digest, Node], Strays]


def resolve(
    entries: Sequence[Entry],
    source: Source,
    progress: Progress,
    threads: int = 4,
    lookaside: Lookaside | None = None,
    near: Callable[[Reference], str] | None = None,
) -> Lock:
    """Resolve every entry; ``near`` tells which tags there are in place of one that is not there.

    Raises:
        UsageError: two entries clash, or an image lacks a requested platform.
        RegistryError, Damaged: images or parts of them cannot be read from a registry or another place; all of them are
            named.
    """
    progress.stage("resolving", 0, len(entries))
    with Pool(max(threads, AT_A_TIME), "resolve") as pool, Pool(AT_A_TIME, "ahead") as questions:
        width = Width(questions)

        def walk(entry: Entry, *, thorough: bool = False) -> _Walked | AirgapError:
            return _attempt(_ImageWalk(entry, Ahead(source, width), lookaside, near, thorough), progress)

        walks = pool.map(walk, entries)
        while again := held_wrongly((n, one[2]) for n, one in enumerate(walks) if not isinstance(one, AirgapError)):
            for number, better in zip(again, pool.map(lambda n: walk(entries[n], thorough=True), again), strict=True):
                walks[number] = better
    walked = [walk for walk in walks if not isinstance(walk, AirgapError)]
    raise_gaps([(e, walk) for e, walk in zip(entries, walks, strict=True) if isinstance(walk, AirgapError)], len(entries))
    images: list[Image] = []
    manifests: dict[Digest, Node] = {}
    findings: list[Strays] = []
    for entry, (image, nodes, found) in zip(entries, walked, strict=True):
        images.append(image)
        findings.append(found)
        if found.is_artifact:
            progress.say(f"{entry.reference} states no platform, so it is carried whole as an artifact")
        for digest, node in nodes.items():
            if node.repository is not None or digest not in manifests:  # a place that is named holds for every image
                manifests[digest] = node
    refuse_moved_tags(images)
    places = {str(entry.reference): entry.source for entry in entries if entry.source}
    return Lock(tuple(images), manifests, places, remarks=remarks(findings, entries))


def _attempt(walk: _ImageWalk, progress: Progress) -> _Walked | AirgapError:
    """An image, or what keeps it from being resolved: all gaps are named, so one does not end the others."""
    entry = walk.entry
    progress.at(str(entry.reference))
    try:
        return walk.run()
    except Damaged as error:
        if entry.source:
            return error
        # a registry that serves nonsense is the registry's failure, not a damaged bundle
        return RegistryError(error.what, where=f"{entry.reference}: {error.where}", expected=error.expected, got=error.got)
    except AirgapError as error:
        return error
    finally:
        walk.source.close()
        progress.advance(0, 0 if walk.thorough else 1)


#: The way on where what hangs off an image cannot be had.
_WITHOUT = "leave referrers out with --without referrers, or those of this image with attachments: in the list"


@dataclass
class _ImageWalk:
    """The walk over one image."""

    entry: Entry
    source: Ahead
    lookaside: Lookaside | None
    near: Callable[[Reference], str] | None
    thorough: bool = False
    nodes: dict[Digest, Node] = field(default_factory=dict)
    filter: PlatformFilter = field(init=False)
    platforms: list[str] = field(default_factory=list)
    omitted: list[Digest] = field(default_factory=list)
    foreign: dict[Digest, None] = field(default_factory=dict)
    attachments: dict[tuple[Digest, str | None], Attachment] = field(default_factory=dict)
    findings: Strays = field(default_factory=Strays)
    hanging: Hanging = field(init=False)

    def __post_init__(self) -> None:
        self.hanging = Hanging(self.source, self.findings, thorough=self.thorough)
        self.filter = PlatformFilter(self.entry.platforms)

    @property
    def repository(self) -> Repository:
        return self.entry.reference.repository

    def _blame(self, place: Repository) -> type[AirgapError]:
        """The kind of error that a mistake in what was read is: an image's own repository may be an archive or a bundle."""
        return Damaged if self.entry.source and place == self.repository else RegistryError

    def run(self) -> _Walked:
        """The image, all its manifests, and notes for people on how they were found."""
        root = self._root()
        self._descend(root, 0, root.digest, self.repository)
        if not root.is_index:
            platform = self._platform_of(root, self.repository)
            self.filter.takes(platform)
            self._note(platform)
        if self.filter.missing:
            self._refuse_platforms()
        self.findings.is_artifact = self.filter.is_beside_the_point
        self.filter = PlatformFilter(())  # what hangs off an image is carried whole
        own = list(self.nodes)
        self._find_attachments(own, 0)
        image = Image(
            reference=self.entry.reference,
            root=Descriptor(root.media_type, root.digest, len(root.raw)),
            platforms=tuple(dict.fromkeys(self.platforms)),
            omitted=tuple(dict.fromkeys(self.omitted)),
            foreign=tuple(self.foreign),
            attachments=tuple(self.attachments.values()),
            signatures=tuple(self._lookaside_signatures(own)),
        )
        return image, self.nodes, self.findings

    def _root(self) -> Manifest:
        try:
            return self.source.manifest(self.repository, self.entry.reference.selector)
        except NotFound as error:
            raise NotFound(
                "the registry has no such image",
                where=f"{self.entry.reference} ({self.entry.origin})" if self.entry.origin else str(self.entry.reference),
                expected="" if self.near is None or self.entry.source else self.near(self.entry.reference),
                got=error.got,
                hint="correct the name, the tag or the digest in the list",
            ) from error

    def _descend(self, manifest: Manifest, depth: int, path: str, place: Repository) -> None:
        where = f"{self.entry.reference}: {path}"
        if depth > MAX_LEVELS or len(self.nodes) >= MAX_MANIFESTS:
            raise self._blame(place)(
                "an image is nested too deeply or has too many manifests", where=where, expected=f"{MAX_LEVELS} levels"
            )
        if manifest.digest in self.nodes:
            return
        self.nodes[manifest.digest] = Node.of(manifest, None if place == self.repository else place)
        self._check_layers(manifest, place)
        children = self._select(manifest, where, place) if manifest.is_index else []
        self.source.expect_manifests(place, [child.digest for child, _ in children if child.digest not in self.nodes])
        for child, platform in children:
            found = self._fetch(child, where, place)
            if not found.is_index:
                self._note(platform)
            self._descend(found, depth + 1, child.digest, place)

    def _note(self, platform: Platform | None) -> None:
        if platform is not None and platform.is_stated and platform.os != "unknown":
            self.platforms.append(str(platform))

    def _fetch(self, descriptor: Descriptor, where: str, place: Repository, *, hanging: bool = False) -> Manifest:
        if descriptor.media_type not in media.MANIFESTS:
            raise self._blame(place)(
                "a manifest has an unsupported media type", where=f"{where}: {descriptor.digest}", got=descriptor.media_type
            )
        try:
            found = self.source.manifest(place, descriptor.digest)
        except NotFound as error:
            blame = self._blame(place)
            what = "the registry lacks a part of an image" if blame is RegistryError else "a part of an image is missing"
            raise blame(
                "a listed referrer is missing there" if hanging else what,
                where=where,
                expected=f"manifest {descriptor.digest}{f' ({descriptor.platform})' if descriptor.platform else ''}",
                got=error.got,
                hint=_WITHOUT if hanging else "have it pushed again, or select complete platforms with platforms: in the list",
            ) from error
        if len(found.raw) != descriptor.size or found.media_type != descriptor.media_type:
            raise self._blame(place)(
                "a manifest differs from its descriptor",
                where=f"{where}: {descriptor.digest}",
                expected=f"{descriptor.media_type}, {descriptor.size} bytes",
                got=f"{found.media_type}, {len(found.raw)} bytes",
            )
        return found

    def _select(self, index: Manifest, where: str, place: Repository) -> list[tuple[Descriptor, Platform | None]]:
        """The children to carry, each with its platform as far as that is known."""
        read: dict[Digest, Platform | None] = {}

        def platform_of(child: Descriptor) -> Platform | None:
            return read.setdefault(child.digest, self._platform_of(self._fetch(child, where, place), place))

        kept = self.filter.select(index.children, platform_of)
        self.omitted += [child.digest for child in index.children if child not in kept]
        return [(child, read.get(child.digest, child.platform)) for child in kept]

    def _platform_of(self, image: Manifest, place: Repository) -> Platform | None:
        """The platform in the config of a single image; None if it states none, or if it is too large and not needed."""
        where = f"{self.entry.reference}: {image.digest}"
        try:
            config = config_of(image, where, UsageError)
        except UsageError:
            if self.filter.wishes:
                raise
            return None
        if config is None:
            return None
        where = f"{self.entry.reference}: config {config.digest}"
        reader = VerifiedReader(self.source.open(place, config), config, where)
        return platform_in(read_all(reader, config.size, where), where)

    def _refuse_platforms(self) -> None:
        some = len(self.filter.missing) < len(self.entry.platforms)
        raise UsageError(
            f"an image has {'only some' if some else 'none'} of the requested platforms",
            where=f"{self.entry.reference} ({self.entry.origin})" if self.entry.origin else str(self.entry.reference),
            expected=listing([str(platform) for platform in self.entry.platforms]),
            got=listing([str(platform) for platform in self.filter.there]) or "no platform",
            hint="correct the platforms of this image (platforms: in the list), or remove the image",
        )

    def _check_layers(self, manifest: Manifest, place: Repository) -> None:
        """Foreign layers travel only when the registry itself has them; their ``urls`` are never followed."""
        for layer in manifest.layers:
            if media.is_foreign(layer.media_type) and not self.source.has(place, layer):
                self.foreign[layer.digest] = None

    def _find_attachments(self, subjects: Sequence[Digest], depth: int) -> None:
        if depth > MAX_LEVELS and subjects:
            raise self._blame(self.repository)(
                "attachments are nested too deeply", where=str(self.entry.reference), expected=f"{MAX_LEVELS} levels"
            )
        places = (self.repository, *self.entry.attachment_repositories)
        wanted = [suffix for suffix, kind in TAG_KINDS.items() if self.entry.wants(kind)]
        for place in places:
            self.hanging.expect(place, subjects if self.entry.wants(REFERRER) else (), depth)
            self.source.expect_manifests(place, [digest_tag(subject, suffix) for subject in subjects for suffix in wanted])
        for subject in subjects:
            for place in places:
                self._find_tagged(subject, depth, place, wanted)
                if self.entry.wants(REFERRER):
                    self._find_referrers(subject, depth, place)

    def _find_tagged(self, subject: Digest, depth: int, place: Repository, suffixes: Iterable[str]) -> None:
        for suffix in suffixes:
            kind, tag = TAG_KINDS[suffix], digest_tag(subject, suffix)
            try:
                found = self.source.manifest(place, tag)
            except NotFound:
                continue
            self._refuse_rival(tag, found, place)
            self._attach(Attachment(kind, subject, found.descriptor, tag), found, depth, place)

    def _find_referrers(self, subject: Digest, depth: int, place: Repository) -> None:
        """What the place lists, and what its fallback tag lists beside that."""
        referrers = self.hanging.of(place, subject, depth)
        self.source.expect_manifests(place, [found.digest for found in referrers.descriptors])
        for descriptor in referrers.descriptors:
            self._attach_referrer(descriptor, subject, depth, place)
        lists = [index for index in referrers.tagged if self._attach_listed(index, subject, depth, place)]
        if lists and place == self.repository:  # another repository's list of its referrers is not this one's
            self.nodes[lists[0].digest] = Node.of(lists[0])
            self._keep(Attachment(REFERRERS_TAG, subject, lists[0].descriptor, digest_tag(subject)))

    def _attach_listed(self, index: Manifest, subject: Digest, depth: int, place: Repository) -> bool:
        """Take in what an index under the fallback tag lists and what refers to the subject; whether that is all of it.

        Raises:
            RegistryError: it lists something that the place does not have, and it may be a list of referrers.
        """
        if not may_list_referrers(index, subject):
            self.findings.stranger(place, subject)
            return False
        if len(index.children) > MAX_ATTACHMENTS:
            where, most = f"{place}:{digest_tag(subject)}", f"{MAX_ATTACHMENTS} at most"
            raise RegistryError("too many referrers", where=where, expected=most, got=str(len(index.children)))
        self.source.expect_manifests(place, [child.digest for child in index.children])
        own, strangers, lost = 0, 0, list[RegistryError]()
        for child in index.children:
            try:
                found = self._fetch(child, f"{self.entry.reference}: referrer of {subject}", place, hanging=True)
            except RegistryError as error:
                if child.media_type in media.MANIFESTS and not isinstance(error.__cause__, NotFound):
                    raise
                lost.append(error)
                continue
            if found.subject is None or found.subject.digest != subject:
                strangers += 1
                continue
            own += 1
            self._attach(Attachment(REFERRER, subject, found.descriptor), found, depth, place)
        if lost and (own or not strangers):
            raise lost[0]
        if strangers:
            self.findings.stranger(place, subject)
        return not strangers

    def _refuse_rival(self, tag: str, found: Manifest, place: Repository) -> None:
        """At the destination there is one repository, and a tag is one manifest: neither of two may be lost silently."""
        other = next((digest for digest, known in self.attachments if known == tag and digest != found.digest), None)
        if other is not None:
            raise self._blame(place)(
                "two repositories have different attachments with the same tag",
                where=f"{self.entry.reference}: {tag}",
                expected=f"{other}, as found before",
                got=f"{found.digest} in {place}",
                hint="remove one of the repositories from attachments-from:",
            )

    def _lookaside_signatures(self, digests: Iterable[Digest]) -> Iterator[LookasideSignature]:
        if self.lookaside is not None and self.entry.wants(LOOKASIDE):
            for digest in digests:
                for content in dict.fromkeys(self.lookaside.signatures(self.repository, digest)):
                    yield LookasideSignature.of(digest, content)

    def _attach_referrer(self, descriptor: Descriptor, subject: Digest, depth: int, place: Repository) -> None:
        found = self._fetch(descriptor, f"{self.entry.reference}: referrer of {subject}", place, hanging=True)
        if found.subject is None or found.subject.digest != subject:
            raise self._blame(place)(
                "a listed referrer does not refer to its subject",
                where=f"{self.entry.reference}: {descriptor.digest}",
                expected=f"subject {subject}",
                got=str(found.subject.digest) if found.subject else "no subject",
                hint=_WITHOUT,
            )
        self._attach(Attachment(REFERRER, subject, found.descriptor), found, depth, place)

    def _attach(self, attachment: Attachment, manifest: Manifest, depth: int, place: Repository) -> None:
        if (attachment.descriptor.digest, attachment.tag) in self.attachments:
            return
        self._keep(attachment)
        known = set(self.nodes)
        platforms = list(self.platforms)
        self._descend(manifest, 1, attachment.descriptor.digest, place)
        self.platforms = platforms
        self._find_attachments([digest for digest in self.nodes if digest not in known], depth + 1)

    def _keep(self, attachment: Attachment) -> None:
        if len(self.attachments) >= MAX_ATTACHMENTS:
            raise self._blame(self.repository)(
                "too many attachments", where=str(self.entry.reference), expected=f"{MAX_ATTACHMENTS} at most"
            )
        self.attachments[attachment.descriptor.digest, attachment.tag] = attachment
