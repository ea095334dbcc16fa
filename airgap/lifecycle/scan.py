"""Find out what a registry or store really holds by asking it, whoever filled it.

In a registry only manifests are read: those of all tags in every repository, the children of indexes, and the referrers of each.
Cosign's attachments and fallback indexes are tags, too, so they are found like images. A config or layer counts if the registry
says that it has it (or, if the operator trusts manifests, if a manifest names it). Anything absent is simply not held: an index
with children left out is normal at a site.

No list leads to manifests without a tag: an untagged image, the previous image of a name, a referrer without a referrers API. What
the site has imported is therefore looked up by digest, and counts if it is there.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

from airgap.documents.holdings import Held, HeldTable, Holdings
from airgap.documents.receipt import Taken
from airgap.errors import AirgapError, Damaged, NotFound, RegistryError
from airgap.naming.mapping import LayoutTarget, StoreSpec
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Reference, Repository
from airgap.oci.stores import Browsable
from airgap.progress import Progress
from airgap.state import State
from airgap.text import plural
from airgap.work import Pool

#: More blobs and manifests than this are not looked at: a receipt has no room for them.
MAX_BLOBS = 5_000_000
_SAID = 10

Job: TypeAlias = "Callable[[], Iterable[Job]]"


class Listed(Protocol):
    """A registry that lists its content (``RegistryStore``)."""

    def repositories(self, host: str) -> Iterator[Repository]:
        """All repositories of a registry."""

    def tags(self, repository: Repository) -> Iterator[str]:
        """All tags of a repository. Raises ``NotFound``."""

    def manifest(self, repository: Repository, selector: str) -> Manifest:
        """As ``Source.manifest``; an unreadable manifest is an error whose cause is ``Damaged``."""

    def listed_referrers(self, repository: Repository, subject: Digest) -> Sequence[Descriptor] | None:
        """What the referrers API lists; None without that API."""

    def measure(self, repository: Repository, descriptor: Descriptor) -> int | None:
        """The size of a blob, or None if it is absent."""


class Scannable(Browsable, Protocol):
    """A store that knows all its blobs (``LayoutStore``)."""

    def blobs(self) -> Iterator[tuple[Digest, int]]:
        """Every blob and its size."""


@dataclass(frozen=True)
class ScanPart:
    """The part of a registry to scan.

    Args:
        host: the registry.
        prefix: only the repositories at or below this path; empty for all.
        repositories: paths below the prefix; if there are none, all that the catalog lists.
    """

    host: str
    prefix: str = ""
    repositories: tuple[str, ...] = ()

    def named(self) -> list[Repository]:
        """The requested repositories. Raises ``UsageError``."""
        wanted = dict.fromkeys(self.repositories)
        return [Repository(self.host, "/".join(part for part in (self.prefix, path) if part)) for path in wanted]

    def covers(self, repository: Repository) -> bool:
        """Whether a repository of the catalog is in this part."""
        return not self.prefix or f"{repository.path}/".startswith(f"{self.prefix}/")


def what_is_remembered(directory: Path, spec: StoreSpec) -> tuple[list[tuple[Repository, Digest]], dict[str, Taken]]:
    """What imports of this machine brought to a target, by digest, and the newest bundle of every stream there.

    For a registry the first is what was brought to any part of it.
    """
    if not State.exists(directory):
        return [], {}
    target = str(spec) if isinstance(spec, LayoutTarget) else ""
    with State(directory) as memory:
        found = {(Reference.parse(name).repository, digest) for name, digest in memory.generations.known(target)}
        newest = memory.taken_into(str(spec)).items()
    known = sorted(one for one in found if isinstance(spec, LayoutTarget) or one[0].host == spec.host)
    return known, {stream: Taken(one.serial, one.catalog) for stream, one in newest}


def scan(
    store: Listed,
    part: ScanPart,
    progress: Progress,
    threads: int = 4,
    *,
    trust_manifests: bool = False,
    known: Iterable[tuple[Repository, Digest]] = (),
) -> Holdings:
    """Find out what a registry holds.

    Args:
        store: the registries.
        part: which one, and which part of it.
        progress: told about every step, and about manifests that are ignored because they cannot be read.
        threads: requests at a time.
        trust_manifests: count configs and layers as held if a manifest names them, without asking for each.
        known: manifests that may be there although no list leads to them (:func:`remembered`).

    Raises:
        NotFound: a requested repository does not exist.
        RegistryError: the registry fails or does not list its content.
    """
    return _Scan(store, part, progress, threads, known).run(trust_manifests)


def scan_store(store: Scannable, progress: Progress, known: Iterable[Digest] = ()) -> Holdings:
    """Find out what an OCI layout holds: files of the size that the manifests state; manifests are hashed as well.

    Args:
        store: the layout.
        progress: told about manifests that are ignored because they cannot be read.
        known: manifests that may be there although no name leads to them.

    Raises:
        Damaged: the layout cannot be read.
    """
    progress.stage("scanning the store", 0)
    blobs = dict(store.blobs())
    names = list(store.names())
    manifests: set[Digest] = set()
    wrong: set[Digest] = set()
    todo = [named.descriptor for named in names]
    for digest in dict.fromkeys(known):
        with contextlib.suppress(NotFound, Damaged):  # what is damaged and has no name is nobody's loss; it does not count
            todo.append(store.find_manifest(digest).descriptor)
    while todo:
        descriptor = todo.pop()
        if blobs.get(descriptor.digest) != descriptor.size:
            wrong.add(descriptor.digest)
        elif descriptor.media_type in media.MANIFESTS and descriptor.digest not in manifests and descriptor.digest not in wrong:
            try:
                manifest = store.find_manifest(descriptor.digest)
            except Damaged as error:
                progress.say(f"ignored: {error}")
                wrong.add(descriptor.digest)
                continue
            manifests.add(descriptor.digest)
            todo += [*manifest.children, *manifest.blobs()]
    found = HeldTable()
    for digest, size in blobs.items():
        if digest not in wrong:
            found.add(digest, size)
    manifests -= wrong
    images = {f"{n.path}:{n.tag}": n.descriptor.digest for n in names if n.tag and n.descriptor.digest in manifests}
    return Holdings(found, images, frozenset(manifests))


@dataclass(slots=True)
class _Claim:
    """What manifests say about one blob: its sizes (one, unless a manifest is wrong) and the repositories that use it."""

    descriptor: Descriptor
    sizes: set[int] = field(default_factory=set)
    repositories: set[str] = field(default_factory=set)


class _Scan:
    def __init__(
        self, store: Listed, part: ScanPart, progress: Progress, threads: int, known: Iterable[tuple[Repository, Digest]]
    ) -> None:
        self._store = store
        self._part = part
        self._progress = progress
        self._threads = threads
        self._lock = threading.Lock()
        self._images: dict[str, Digest] = {}
        self._sizes: dict[Digest, int] = {}
        self._places: dict[Digest, set[str]] = {}
        self._claims: dict[Digest, _Claim] = {}
        self._held: dict[Digest, Held] = {}
        self._unread = 0
        self._seen: dict[Repository, set[Digest]] = {}  # the manifests of each that are read or about to be
        self._known: dict[Repository, list[Digest]] = {}
        for repository, digest in known:
            self._known.setdefault(repository, []).append(digest)

    def run(self, trust_manifests: bool) -> Holdings:
        self._progress.stage(f"reading the manifests of {self._part.host}", 0, 0, "manifest")
        self._work(self._beginnings())
        for digest in self._sizes:
            self._claims.pop(digest, None)
        if trust_manifests:
            self._believe()
        else:
            total = sum(claim.descriptor.size for claim in self._claims.values())
            self._progress.stage("asking for blobs", total, len(self._claims), "blob")
            self._work(self._proof(claim) for claim in self._claims.values())
        if self._unread > _SAID:
            self._progress.say(f"{plural(self._unread - _SAID, 'more manifest')} could not be read and are ignored")
        manifests = {digest: Held(size, tuple(sorted(self._places[digest]))) for digest, size in self._sizes.items()}
        images = {name: digest for name, digest in self._images.items() if digest in manifests}
        return Holdings({**manifests, **self._held}, images, frozenset(manifests))

    def _work(self, jobs: Iterator[Job]) -> None:
        """Do all jobs, and those that come of them."""
        with Pool(self._threads, "scan") as pool:
            pool.walk(lambda job: list(job()), jobs)

    def _beginnings(self) -> Iterator[Job]:
        named = self._part.named()
        if named:
            yield from (self._tags(repository, must_exist=True) for repository in named)
            yield from (self._by_digest(repository, self._known.get(repository, ()), listed=True) for repository in named)
            return
        listed = set()
        for repository in self._store.repositories(self._part.host):
            if self._part.covers(repository):
                listed.add(repository)
                yield self._tags(repository, must_exist=False)
        for repository, digests in self._known.items():
            if self._part.covers(repository):
                yield self._by_digest(repository, digests, repository in listed)

    def _tags(self, repository: Repository, must_exist: bool) -> Job:
        def job() -> Iterator[Job]:
            seen = self._seen_in(repository)
            try:
                for tag in self._store.tags(repository):
                    yield self._manifest(repository, tag, seen)
            except NotFound:  # a catalog also lists repositories whose last tag was deleted
                if must_exist:
                    raise

        return job

    def _by_digest(self, repository: Repository, digests: Iterable[Digest], listed: bool) -> Job:
        def job() -> Iterator[Job]:
            seen = self._seen_in(repository)
            yield from (self._manifest(repository, digest, seen, listed) for digest in digests if self._is_new(digest, seen))

        return job

    def _seen_in(self, repository: Repository) -> set[Digest]:
        with self._lock:
            return self._seen.setdefault(repository, set())

    def _manifest(self, repository: Repository, selector: str, seen: set[Digest], listed: bool = True) -> Job:
        def job() -> Iterator[Job]:
            manifest = self._read(repository, selector, listed)
            if manifest is None:
                return
            if ":" not in selector:
                with self._lock:
                    self._images[f"{repository.path}:{selector}"] = manifest.digest
                if not self._is_new(manifest.digest, seen):
                    return
            self._record(repository, manifest)
            self._progress.at(str(repository))
            self._progress.advance(0, 1)
            for child in (*manifest.children, *(self._store.listed_referrers(repository, manifest.digest) or ())):
                if child.media_type in media.MANIFESTS and self._is_new(child.digest, seen):
                    yield self._manifest(repository, child.digest, seen)

        return job

    def _is_new(self, digest: Digest, seen: set[Digest]) -> bool:
        """Claim a manifest; False if it is already claimed."""
        with self._lock:
            new = digest not in seen
            seen.add(digest)
            return new

    def _read(self, repository: Repository, selector: str, listed: bool) -> Manifest | None:
        """A manifest; None if it is absent or cannot be carried.

        Some registries refuse requests about deleted repositories: for unlisted ones that counts as an answer, too.
        """
        try:
            return self._store.manifest(repository, selector)
        except NotFound:
            return None
        except RegistryError as error:
            if listed and not isinstance(error.__cause__, Damaged):
                raise
            self._say_unread(error)
            return None

    def _record(self, repository: Repository, manifest: Manifest) -> None:
        with self._lock:
            self._sizes[manifest.digest] = len(manifest.raw)
            self._places.setdefault(manifest.digest, set()).add(repository.path)
            for blob in manifest.blobs():
                claim = self._claims.setdefault(blob.digest, _Claim(blob))
                claim.sizes.add(blob.size)
                claim.repositories.add(repository.path)
            if len(self._sizes) + len(self._claims) > MAX_BLOBS:
                raise RegistryError(
                    "the registry holds too much for one receipt",
                    where=self._part.host,
                    expected=f"{MAX_BLOBS} blobs at most",
                    hint="scan only a part: give a prefix in the target, or --repository",
                )

    def _proof(self, claim: _Claim) -> Job:
        """Ask for a blob, in one repository after the other until it is found; where it was not, it is not said to be."""

        def job() -> Iterable[Job]:
            places = sorted(claim.repositories)
            for i, place in enumerate(places):
                size = self._store.measure(Repository(self._part.host, place), claim.descriptor)
                if size in claim.sizes:
                    self._keep(claim.descriptor.digest, Held(size, tuple(places[i:])))
                    break
            self._progress.advance(claim.descriptor.size, 1)
            return ()

        return job

    def _believe(self) -> None:
        for digest, claim in self._claims.items():
            if len(claim.sizes) == 1 and not media.is_foreign(claim.descriptor.media_type):
                self._keep(digest, Held(claim.descriptor.size, tuple(sorted(claim.repositories))))

    def _keep(self, digest: Digest, held: Held) -> None:
        with self._lock:
            self._held[digest] = held

    def _say_unread(self, error: AirgapError) -> None:
        with self._lock:
            self._unread += 1
            say = self._unread <= _SAID
        if say:
            self._progress.say(f"ignored: {error}")
