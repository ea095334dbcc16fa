"""Merge a chain of bundles into one lock: what a site has, by name, after importing all of them in order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from airgap.bundle.chain import Chain, Link
from airgap.delta.bases import Base, held_by
from airgap.documents.holdings import Held, Holdings
from airgap.errors import Damaged, NotFound, UsageError
from airgap.limits import MAX_MANIFESTS, MAX_SIGNATURE_BLOB
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.image import Attachment, Image, LookasideSignature
from airgap.oci.reference import Reference
from airgap.oci.verify import read_all
from airgap.patch import zstd
from airgap.planning.lock import Lock, Node
from airgap.planning.plan import Made, holdable
from airgap.state import Remembered
from airgap.text import listing, plural


@dataclass(frozen=True)
class Merged:
    """What the merged bundle is made of.

    Attributes:
        lock: its images; the chain is the source of their blobs.
        bases: what it builds on in addition to the named bases: the base of the first bundle, if blobs stay held.
        patches: patches that are carried unchanged, because their bases are only at the site.
        notes: notes for the operator, one sentence each.
    """

    lock: Lock
    bases: tuple[Base, ...]
    patches: Mapping[Digest, Made]
    notes: tuple[str, ...]


def merge(chain: Chain, bases: Sequence[Base] = ()) -> Merged:
    """Merge a chain into a lock.

    Args:
        chain: the bundles.
        bases: what the site has, according to the operator.

    Raises:
        Damaged: a blob is in none of the bundles, or they contradict themselves.
        UsageError: the bases contradict each other, or a library for patches is missing.
    """
    if any(blob.patch for link in chain.links for blob in link.catalog.blobs.values()):
        zstd.require()
    reading = _Reading(chain)
    images = _by_name(reading)
    lock = reading.lock([image for image, _ in images])
    known = {base.digest for base in bases}
    first = chain.links[0].catalog
    inherited = [digest for digest in first.base if digest not in known]
    absent = _Absent(chain, held_by(bases), chain.held_before() if inherited else {}, holdable(lock))
    lost = [
        _Lost(link, image, blob)
        for image, link in images
        for node in lock.walk(image)
        for blob in node.blobs
        if blob.digest not in image.foreign and not absent.place(blob)
    ]
    if lost:
        raise _missing(chain, known, lost)
    label = f"what {first.name} builds on"
    own = tuple(Base(label, digest, Holdings(absent.held)) for digest in inherited) if absent.held else ()
    return Merged(lock, own, absent.patches, tuple(reading.notes))


def check_place(chain: Chain, serial: int | None, exported: Callable[[int | None], Remembered | None]) -> list[str]:
    """Check that the chain is part of the stream as exported here, and that the merged bundle comes after it.

    Args:
        chain: the bundles.
        serial: the requested serial, or None for the stream's next.
        exported: the highest bundle of the stream exported here, below a serial if one is given.

    Returns:
        Notes for the operator, one sentence each.

    Raises:
        UsageError: the history differs from this state's, or the serial was used.
    """
    last = chain.links[-1].catalog
    if serial is not None and serial <= last.serial:
        raise UsageError(
            "the merged bundle needs a new serial", where="--serial", expected=f"more than {last.serial}", got=str(serial)
        )
    for link in chain.links:
        known = exported(link.catalog.serial + 1)
        if known is not None and known.serial == link.catalog.serial and known.catalog != link.digest:
            raise UsageError(
                "a bundle is not the one that was exported here with its serial",
                where=link.catalog.name,
                expected=f"catalog {known.catalog}",
                got=f"catalog {link.digest}",
                hint="find out which of the two the sites have imported",
            )
    newest = exported(serial)
    if newest is not None and newest.serial > last.serial:
        return [
            f"serial {newest.serial} of the stream was exported here after {last.name}: "
            "for a site that imported it, the merged bundle moves names back"
        ]
    return []


@dataclass
class _Reading:
    """Reads manifests from a chain, each once."""

    chain: Chain
    nodes: dict[Digest, Node] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def lock(self, images: Sequence[Image]) -> Lock:
        """The lock of some images, with the content of their GPG signatures and only the manifests they need."""
        for image in images:
            for descriptor in (image.root, *(attachment.descriptor for attachment in image.attachments)):
                self.reach(image, descriptor)
        whole = [replace(image, signatures=tuple(self._with_content(image, s) for s in image.signatures)) for image in images]
        everything = Lock(tuple(whole), self.nodes)
        return Lock(everything.images, {node.descriptor.digest: node for image in whole for node in everything.walk(image)})

    def reach(self, image: Image, top: Descriptor) -> set[Digest]:
        """The manifest and those below it that the image carries."""
        found: set[Digest] = set()
        todo = [top]
        while todo:
            descriptor = todo.pop()
            if descriptor.digest in found or descriptor.digest in image.omitted:
                continue
            found.add(descriptor.digest)
            if len(found) > MAX_MANIFESTS:
                raise Damaged("an image has too many manifests", where=str(image.reference), expected=f"{MAX_MANIFESTS} at most")
            todo += self._node(image, descriptor).children
        return found

    def _node(self, image: Image, descriptor: Descriptor) -> Node:
        where = f"{image.reference}: manifest {descriptor.digest}"
        node = self.nodes.get(descriptor.digest)
        if node is None:
            try:
                node = Node.of(self.chain.find_manifest(descriptor.digest))
            except NotFound as error:
                raise Damaged("a manifest is in none of the bundles", where=where) from error
            self.nodes[descriptor.digest] = node
        if node.descriptor != Descriptor(descriptor.media_type, descriptor.digest, descriptor.size):
            raise Damaged(
                "a manifest contradicts its descriptor",
                where=where,
                expected=f"{descriptor.media_type}, {descriptor.size} bytes",
                got=f"{node.descriptor.media_type}, {node.descriptor.size} bytes",
            )
        return node

    def _with_content(self, image: Image, signature: LookasideSignature) -> LookasideSignature:
        where = f"{image.reference}: GPG signature {signature.digest}"
        if self.chain.find_blob(signature.digest) != signature.size:
            raise Damaged("a GPG signature is in none of the bundles", where=where, expected=f"{signature.size} bytes")
        content = read_all(self.chain.open_blob(signature.digest), MAX_SIGNATURE_BLOB, where)
        return replace(signature, content=content)


def _by_name(reading: _Reading) -> list[tuple[Image, Link]]:
    """Every name with its latest image, and what hung off the same image in earlier bundles; names of the last bundle last."""
    found: dict[str, list[tuple[Image, Link]]] = {}
    for link in reading.chain.links:
        fresh: dict[str, list[tuple[Image, Link]]] = {}
        for image in link.catalog.images:
            name = _name(image.reference)
            before = [other for other, _ in found.get(name, ()) if other.root == image.root]
            joined = _joined(reading, image, before)
            fresh.setdefault(name, []).append((joined, link))
        for name, images in fresh.items():
            found.pop(name, None)
            found[name] = images
    return [one for images in found.values() for one in images]


def _name(reference: Reference) -> str:
    """What a site knows an image by: a tag that is pinned to a digest is a tag."""
    return str(reference.repository.tagged(reference.tag)) if reference.tag else str(reference)


def _joined(reading: _Reading, image: Image, before: Sequence[Image]) -> Image:
    """An image with its attachments and signatures from earlier bundles that belong to carried parts of it."""
    foreign = dict.fromkeys(digest for one in (image, *before) for digest in one.foreign if digest not in reading.chain.sizes)
    image = replace(image, volumes=(), foreign=tuple(foreign))
    if not before:
        return image
    carried = reading.reach(image, image.root)
    kept: dict[str, Attachment] = {}
    for attachment in image.attachments:
        kept[_place(attachment)] = attachment
        carried |= reading.reach(image, attachment.descriptor)
    for attachment in (attachment for other in before for attachment in other.attachments):
        if attachment.subject not in carried:
            continue
        rival = kept.setdefault(_place(attachment), attachment)
        if rival is attachment:
            carried |= reading.reach(image, attachment.descriptor)
        elif rival.descriptor != attachment.descriptor:
            reading.notes.append(f"{image.reference}: the later of two versions of {attachment.tag} is kept")
    signatures = [s for one in (image, *before) for s in one.signatures if s.subject in carried]
    return replace(image, attachments=tuple(kept.values()), signatures=tuple(dict.fromkeys(signatures)))


def _place(attachment: Attachment) -> str:
    """At the destination a tag is one manifest; what has no tag is known by its digest."""
    return attachment.tag or attachment.descriptor.digest


@dataclass
class _Absent:
    """Decides which blobs are not carried: the site has them, or a patch of them is carried unchanged.

    ``stated`` is what the operator's bases hold, ``before`` what the first bundle builds on, ``free`` what may be left out.
    """

    chain: Chain
    stated: Mapping[Digest, Held]
    before: Mapping[Digest, Held]
    free: set[Digest]
    held: dict[Digest, Held] = field(default_factory=dict)
    patches: dict[Digest, Made] = field(default_factory=dict)

    def place(self, blob: Descriptor) -> bool:
        """Find where a blob is; False if it is nowhere."""
        size = self.chain.sizes.get(blob.digest)
        if size not in (None, blob.size):
            raise Damaged("a blob contradicts its manifest", where=blob.digest, expected=f"{blob.size} bytes", got=str(size))
        if self.chain.find_blob(blob.digest) is not None:
            return True
        return blob.digest in self.free and (self._holds(blob.digest) or self._patched(blob.digest))

    def _holds(self, digest: Digest) -> bool:
        if digest in self.stated:
            return True
        if digest in self.before:
            self.held[digest] = self.before[digest]
        return digest in self.before

    def _patched(self, digest: Digest) -> bool:
        for patch in self.chain.patches(digest):
            if patch.base is not None and self._holds(patch.base):
                self.patches[digest] = Made(patch, self.chain.sizes[patch.blob], None)
                return True
        return False


@dataclass(frozen=True)
class _Lost:
    """A missing blob, and the image and bundle that need it."""

    link: Link
    image: Image
    blob: Descriptor


def _missing(chain: Chain, given: Collection[Digest], lost: Sequence[_Lost]) -> Damaged:
    one = lost[0]
    more = len(dict.fromkeys(other.blob.digest for other in lost)) - 1
    patched = bool(chain.patches(one.blob.digest))
    got = "a patch without its base" if patched else "left out, because an earlier bundle or the site has it"
    return Damaged(
        "a blob is in none of the bundles",
        where=f"{one.link.catalog.name}: {one.image.reference}",
        expected=f"blob {one.blob.digest}, {one.blob.size} bytes",
        got=f"{got}; the same for {plural(more, 'other blob')}" if more else got,
        hint=_what_would_do(chain, given, {other.blob.digest for other in lost}),
    )


def _what_would_do(chain: Chain, given: Collection[Digest], lost: Collection[Digest]) -> str:
    """Which bases were said to hold what is nowhere: the bundles that leave it out name them by their digests."""
    wanted = set(lost)
    for digest in lost:  # what they are made from is missing as well
        wanted |= {patch.base for patch in chain.patches(digest) if patch.base is not None}
    known = {*given, *(link.digest for link in chain.links)}
    before = {link.catalog.previous: link.catalog.name for link in reversed(chain.links)}
    bundles, others = [], []
    for link in chain.links:
        blobs = (link.catalog.blobs.get(digest) for digest in wanted)
        if any(blob is not None and (blob.held or blob.patch) for blob in blobs):
            for base in sorted(set(link.catalog.base) - known):
                known.add(base)
                if base in before:
                    bundles.append(f"the bundle before {before[base]} (catalog {base})")
                else:
                    others.append(f"the receipt (or earlier bundle) that {link.catalog.name} was exported since: {base}")
    if not bundles and not others:
        return f"add the bundles before {chain.links[0].catalog.name}"
    ways = "add it, or name it as what the site has: --since BUNDLE" if bundles else ""
    ways += ("; " if ways and others else "") + ("name it as what the site has: --since RECEIPT" if others else "")
    return f"needed: {listing([*bundles, *others], 10)}; {ways} (sha256sum of the file is its digest)"
