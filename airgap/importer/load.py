"""Load verified images into a target: blobs, manifests children first, referrer links, tags last.

No name is set before all content of every image is at the target. Every blob is hashed while it is sent; blobs that the target
already has are not read.

A registry may be 100 ms away. So what is small is sent in width (``limits.AT_A_TIME``), large blobs a few at a time, and names are
set in width too, all of them after everything else. In stores on this machine names are set one after the other.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from airgap.admission.closure import Closure, referrers_index
from airgap.admission.wanted import Wanted
from airgap.bundle.store import BundleStore
from airgap.errors import Damaged, NotTaken
from airgap.format.frame import Extent
from airgap.importer.attempt import Crew
from airgap.importer.cosign import CosignSignature
from airgap.importer.signing import (
    MERGED_KINDS,
    SiteSigning,
    put_signature_tag,
    signature_tag,
    site_signatures,
    write_lookaside,
)
from airgap.limits import SMALL_BLOB
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.image import REFERRER, REFERRERS_TAG, digest_tag, without_option
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Reference, Repository
from airgap.oci.stores import Foretelling, Reader, Referring, Target, width
from airgap.oci.verify import VerifiedReader, WatchedReader
from airgap.progress import Progress
from airgap.text import printable
from airgap.work import Pool, cores

#: Seconds for names that are being set when the command is interrupted; a registry that does not answer is not waited for longer.
_LAST_NAMES = 10.0


@dataclass
class Loaded:
    """What a load did, in bytes and blobs. ``mounted`` blobs came from another repository; ``rebuilt`` ones were sent, too.

    ``dropped_signatures`` were carried but are not signatures: they would have spoiled the good ones beside them. ``attached`` has
    the tags of attachments that were set or found to be right.
    """

    sent: int = 0
    sent_blobs: int = 0
    present_blobs: int = 0
    mounted_blobs: int = 0
    rebuilt_blobs: int = 0
    dropped_signatures: int = 0
    attached: dict[Reference, Digest] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def count(self, name: str, size: int = 0) -> None:
        """Add one blob to a counter; thread-safe."""
        with self._guard:
            setattr(self, name, getattr(self, name) + 1)
            self.sent += size


def load(
    store: BundleStore,
    closures: Sequence[Closure],
    destinations: Mapping[Reference, Reference],
    target: Target,
    progress: Progress,
    still: Callable[[], None],
    threads: int = 4,
    signing: SiteSigning | None = None,
    held: Mapping[Digest, Repository] | None = None,
    new: Collection[Repository] = (),
    crew: Crew | None = None,
) -> Loaded:
    """Load every image, then set the names.

    Args:
        store: the bundle.
        closures: the images to load.
        destinations: the new name of every image, by source reference.
        target: the target.
        progress: told about every byte.
        still: raises if the turn was lost; called before names are moved.
        threads: blobs sent at a time.
        signing: the signatures that the site adds.
        held: where at the target the blobs are that the bundle does not carry (``held.locate``).
        new: repositories into which nobody has imported before: what is small is sent there unasked.
        crew: sends large blobs first; what it has not sent is sent from here.

    Raises:
        Damaged: a blob on the media does not match the catalog; no name was changed.
        RegistryError, MediaError: the target failed; no name was changed unless it failed while names were being set.
    """
    placed = [(closure, destinations[closure.image.reference]) for closure in closures]
    far = isinstance(target, Foretelling)
    with Pool(width(target, threads), "load") as pool:
        loader = _Loader(store, target, progress, pool, threads, signing or SiteSigning(), held or {}, frozenset(new), far, crew)
        loader.blobs(placed)
        loader.manifests(placed)
    still()
    # who is interrupted waits for the names that are being set: nobody else should have the turn before
    with Pool(width(target, 1), "names", patient=_LAST_NAMES) as pool:
        loader.pool = pool
        loader.links(placed)
        loader.signatures(placed)
        still()
        loader.tags(placed)
    target.commit()
    return loader.loaded


@dataclass
class _Loader:
    _store: BundleStore
    _target: Target
    _progress: Progress
    pool: Pool
    _threads: int
    _signing: SiteSigning
    _held: Mapping[Digest, Repository]
    _new: Collection[Repository]
    _far: bool
    _crew: Crew | None

    def __post_init__(self) -> None:
        self._streams = threading.Semaphore(max(1, self._threads))
        # rebuilding takes a core and memory, sending takes neither
        self._rebuilding = threading.Semaphore(max(1, min(self._threads, cores())))
        self._sent: Collection[Digest] = ()  # by the crew
        self.loaded = Loaded()

    def blobs(self, placed: Sequence[tuple[Closure, Reference]]) -> None:
        self._wanted = wanted = Wanted(placed)
        if self._crew is not None:
            blobs = wanted.in_media_order(self._store.catalog)
            large = [one for one in blobs if one.size > SMALL_BLOB and one.digest not in self._held]
            theirs = [(wanted.repositories(one.digest)[0], one) for one in large]
            self._sent = self._crew.send(self._store, theirs, self._held, self._progress)
        self._progress.stage("loading", wanted.size, len(wanted), "blob")
        placed_blobs = ((blob, wanted.repositories(blob.digest)) for blob in wanted.in_media_order(self._store.catalog))
        tasks = (_Task(blob, places, _Told(self._progress, blob.size, len(places))) for blob, places in placed_blobs)
        self.pool.walk(self._blob, tasks)

    def _place(self, digest: Digest) -> tuple[Extent, ...]:
        """The place of the bytes that a blob is read from (its patch if patched); held ones have none."""
        blob = self._store.catalog.blobs[digest]
        return self._store.catalog.blobs[blob.patch.blob].extents if blob.patch else blob.extents

    def _blob(self, task: _Task) -> list[_Task]:
        """One blob into the first repository that needs it; the others can be done at the same time once one has it."""
        blob = task.blob
        extents = self._place(blob.digest)
        volume = f"volume {extents[0].volume} of {len(self._store.catalog.volumes)}" if extents else ""
        self._progress.at(str(self._wanted.owner(blob.digest)), volume)
        holder = task.holder or self._held.get(blob.digest)
        first, *others = task.repositories
        self._provide(first, blob, holder, task.told)
        task.told.placed()
        return [replace(task, repositories=(one,), holder=holder or first) for one in others]

    def _provide(self, repository: Repository, blob: Descriptor, holder: Repository | None, told: _Told) -> None:
        """There already, mounted from a repository that has it, or sent."""
        if self._is_there(repository, blob, holder):
            if holder is None and blob.digest in self._sent:
                self._count_sent(blob)
            else:
                self.loaded.count("present_blobs")
        elif holder is not None and self._target.mount(repository, blob, holder):
            self.loaded.count("mounted_blobs")
        else:
            self._send(repository, blob, told)

    def _is_there(self, repository: Repository, blob: Descriptor, holder: Repository | None) -> bool:
        """Whether a blob is known to be there; elsewhere that is not asked where the answer would spare nothing."""
        if self._far and holder is not None:
            return repository == holder  # what has it elsewhere is asked to mount it, which is no more than a question
        if self._far and blob.size <= SMALL_BLOB and repository in self._new:
            return False
        return self._target.has(repository, blob)

    def _send(self, repository: Repository, blob: Descriptor, told: _Told) -> None:
        rebuilt = self._store.catalog.blobs[blob.digest].patch is not None
        with contextlib.ExitStack() as stack:
            if blob.size > SMALL_BLOB:
                stack.enter_context(self._streams)
                self.pool.check()
            if rebuilt:
                stack.enter_context(self._rebuilding)
            self._target.write(repository, blob, lambda: self._open(blob, told))
        self._count_sent(blob)

    def _count_sent(self, blob: Descriptor) -> None:
        self.loaded.count("sent_blobs", blob.size)
        if self._store.catalog.blobs[blob.digest].patch is not None:
            self.loaded.count("rebuilt_blobs")

    def _open(self, blob: Descriptor, told: _Told) -> Reader:
        reader = VerifiedReader(self._store.open_blob(blob.digest), blob, self._store.place(blob.digest))

        def watch(count: int) -> None:
            self.pool.check()
            told.read(count)

        return WatchedReader(reader, watch)

    def manifests(self, placed: Sequence[tuple[Closure, Reference]]) -> None:
        """By digest, level by level: image manifests, then the indexes over them, then the indexes over those."""
        wanted: dict[tuple[Repository, Digest], Closure] = {}
        for closure, destination in placed:
            for digest in closure.manifests:
                wanted.setdefault((destination.repository, digest), closure)
        self._progress.stage("writing manifests", 0, len(wanted), "manifest")
        heights: dict[Digest, int] = {}
        by_height: dict[int, list[tuple[Repository, Digest, Closure]]] = {}
        for (repository, digest), closure in wanted.items():
            height = self._height(digest, closure, heights)
            by_height.setdefault(height, []).append((repository, digest, closure))
        for height in sorted(by_height):
            self.pool.each(self._manifest, by_height[height])

    def _height(self, digest: Digest, closure: Closure, known: dict[Digest, int]) -> int:
        """0 for an image, one more than the highest child for an index."""
        if digest not in known:
            known[digest] = 0
            if closure.manifests[digest].media_type in media.INDEXES:
                children = [c.digest for c in self._read(digest, closure).children if c.digest in closure.manifests]
                known[digest] = 1 + max((self._height(child, closure, known) for child in children), default=0)
        return known[digest]

    def _manifest(self, item: tuple[Repository, Digest, Closure]) -> None:
        repository, digest, closure = item
        self._progress.at(str(repository))
        manifest = self._read(digest, closure)
        with _optional(lambda: _kind_of(digest, closure), manifest, closure):
            self._target.put_manifest(repository, manifest)
        self._progress.advance(0, 1)

    def _read(self, digest: Digest, closure: Closure) -> Manifest:
        return closure.rebuilt.get(digest) or self._store.find_manifest(digest)

    def links(self, placed: Sequence[tuple[Closure, Reference]]) -> None:
        """Link referrers to their subjects, in every repository they were loaded into."""
        names = {(destination.repository, destination.tag) for _, destination in placed}
        wanted: dict[tuple[Repository, Digest], tuple[Closure, Reference]] = {}
        for closure, destination in placed:
            for subject in dict.fromkeys(a.subject for a in closure.attachments if a.kind in (REFERRER, REFERRERS_TAG)):
                wanted.setdefault((destination.repository, subject), (closure, destination))
        self._progress.stage("linking referrers", 0, len(wanted), "manifest")

        def link(item: tuple[tuple[Repository, Digest], tuple[Closure, Reference]]) -> None:
            (repository, subject), (closure, destination) = item
            self._progress.at(str(destination))
            with _optional(lambda: REFERRER, subject, closure):
                self._link(closure, repository, subject, (repository, digest_tag(subject)) not in names)
            self._progress.advance(0, 1)

        self.pool.each(link, wanted.items())

    def _link(self, closure: Closure, repository: Repository, subject: Digest, is_free: bool) -> None:
        found = [a.descriptor.digest for a in closure.attachments if a.kind == REFERRER and a.subject == subject]
        referrers = [self._referrer(self._read(digest, closure), subject) for digest in dict.fromkeys(found)]
        original = referrers_index(closure, subject)
        index = self._read(original, closure) if original else None
        self._target.link_referrers(Referring(repository, subject, referrers, index, tag_is_free=is_free))

    @staticmethod
    def _referrer(manifest: Manifest, subject: Digest) -> Descriptor:
        """A referrer as referrers lists want it: with its artifact type and annotations."""
        if manifest.subject is None or manifest.subject.digest != subject:
            raise Damaged("a referrer does not refer to its subject", where=manifest.digest, expected=f"subject {subject}")
        return replace(manifest.descriptor, annotations=manifest.annotations)

    def signatures(self, placed: Sequence[tuple[Closure, Reference]]) -> None:
        """Set the tags of attachments, merged with existing ones and the site's own; write GPG signatures to the lookaside tree."""
        plain: dict[Reference, Manifest] = {}
        merged: dict[Reference, tuple[Manifest | None, list[CosignSignature]]] = {}
        kinds: dict[Reference, str] = {}
        for closure, destination in placed:
            for attachment in closure.attachments:
                if attachment.tag is not None and attachment.kind != REFERRERS_TAG:
                    reference = destination.repository.tagged(attachment.tag)
                    kinds[reference] = attachment.kind
                    manifest = self._read(attachment.descriptor.digest, closure)
                    if attachment.kind in MERGED_KINDS:
                        merged[reference] = (manifest, merged.get(reference, (None, []))[1])
                    else:
                        plain[reference] = manifest
            for digest, added in site_signatures(closure, destination, self._signing.cosign).items():
                merged.setdefault(signature_tag(destination, digest), (None, []))[1].extend(added)
            self.loaded.dropped_signatures += write_lookaside(self._store, closure, destination, self._signing)
        self._progress.stage("writing signatures", 0, len(merged) + len(plain), "tag")

        def merge(item: tuple[Reference, tuple[Manifest | None, list[CosignSignature]]]) -> None:
            reference, (ours, site) = item
            with _optional(lambda: kinds.get(reference), reference):
                found = put_signature_tag(self._target, reference, ours, site)
                self.loaded.attached |= {reference: found} if found else {}
            self._progress.advance(0, 1)

        def put(item: tuple[Reference, Manifest]) -> None:
            reference, manifest = item
            with _optional(lambda: kinds.get(reference), reference):
                self._target.tag(reference, manifest)
            self.loaded.attached[reference] = manifest.digest
            self._progress.advance(0, 1)

        self.pool.each(merge, merged.items())
        self.pool.each(put, plain.items())

    def tags(self, placed: Sequence[tuple[Closure, Reference]]) -> None:
        """Set the names of the images, last."""
        self._progress.stage("tagging", 0, len(placed))

        def tag(item: tuple[Closure, Reference]) -> None:
            closure, destination = item
            self._progress.at(str(destination))
            self._target.tag(destination, self._read(closure.root.digest, closure))
            self._progress.advance(0, 1)

        self.pool.each(tag, placed)


class _Told:
    """What the progress knows of one blob: each byte as it is sent, once, in however many tries and to however many places."""

    def __init__(self, progress: Progress, size: int, places: int) -> None:
        self._progress = progress
        self._guard = threading.Lock()
        self._left = size
        self._places = places

    def read(self, count: int) -> None:
        """Some bytes were read."""
        with self._guard:
            count = min(count, self._left)
            self._left -= count
        self._progress.advance(count)

    def placed(self) -> None:
        """The blob is in one more place."""
        with self._guard:
            self._places -= 1
            left, ended = (0, 0) if self._places else (self._left, 1)
            self._left -= left
        if ended:
            self._progress.advance(left, ended)


@dataclass(frozen=True)
class _Task:
    """A blob, the repositories that still need it, and one that has it by now."""

    blob: Descriptor
    repositories: tuple[Repository, ...]
    told: _Told
    holder: Repository | None = None


def _kind_of(digest: Digest, closure: Closure) -> str | None:
    """The kind of the attachment that a manifest is or belongs to; None for one of the image itself."""
    if any(part.digest == digest for part in closure.parts):
        return None
    return next((a.kind for a in closure.attachments if a.descriptor.digest == digest), REFERRER)


@contextlib.contextmanager
def _optional(
    kind_of: Callable[[], str | None], what: Manifest | Digest | Reference, closure: Closure | None = None
) -> Iterator[None]:
    """Whatever the target does not take of an attachment, the images can be loaded without it: say how."""
    try:
        yield
    except NotTaken as error:
        if (kind := kind_of()) is not None:
            shown = f"{what.digest} ({what.descriptor.artifact_type})" if isinstance(what, Manifest) else str(what)
            owner = f" of {closure.image.reference}" if closure is not None else ""
            error.where = f"{kind} {printable(shown, 300)}{owner}: {error.where}"
            error.hint = f"load everything else with {without_option(kind)}; a later import without that option adds the rest"
        raise
