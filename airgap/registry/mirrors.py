"""Reading through mirrors: registries.conf decides where an image is really read; callers do not notice."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from airgap import fsio
from airgap.errors import MediaError, NotFound, RegistryError
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.image import digest_tag
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Repository
from airgap.oci.stores import Reader, Referrers
from airgap.oci.verify import BytesReader, VerifiedReader, read_all
from airgap.registry.http.failures import Unreached
from airgap.registry.known import KnownManifests, KnownTags
from airgap.registry.settings.options import RegistryOptions
from airgap.registry.settings.rules import Location
from airgap.registry.store import RegistryStore
from airgap.text import printable

#: Blobs of mirrors up to this many bytes are checked before they are handed on, so that a wrong one costs nothing.
_SMALL = 1024 * 1024

_UNREACHED_LOCATION = (
    "its mirrors may be incomplete, so only the location can tell that something does not exist; if it is never reachable, "
    "set blocked = true for it in registries.conf to rely on the mirrors alone"
)

T = TypeVar("T")


class MirroredSource:
    """All registries as one ``Source``, read where registries.conf says: mirrors in their order, then the location. Thread-safe.

    A mirror that fails, or lacks something, is passed over for that one thing. What is asked for by digest is checked by it, so it
    does not matter who delivers it; a tag means what the first place that knows it says. Lists (tags, referrers) come from the
    location: a mirror need not have all of them, and what is missing in a list is not noticed. Only where the location is
    blocked, the mirrors are believed.

    Args:
        options: how registries are spoken to; ``options.rules`` are the rules.
    """

    def __init__(self, options: RegistryOptions) -> None:
        self._options = options
        self._rules = options.rules
        self._store = RegistryStore(options)
        self._manifests = KnownManifests()
        self._tags = KnownTags(self._few_tags)
        self._lock = threading.Lock()
        self._down: set[str] = set()
        self._wrong: set[Digest] = set()

    def manifest(self, repository: Repository, selector: str) -> Manifest:
        """As ``Source.manifest``.

        Raises:
            Refused: registries.conf blocks it.
            NotFound: the location does not have it.
            RegistryError: no place delivers it.
        """
        if self._tags.lacks(repository, selector):
            raise NotFound("no such manifest", where=f"{repository}:{selector}", got="a list of tags without it")
        places = self._rules.places(repository, ":" in selector)
        if ":" not in selector and (found := self._manifests.recalled(repository, lambda: self._resolve(places, selector))):
            return found
        ask = partial(self._first, places, lambda place: self._store.manifest(place.repository, selector))
        return self._manifests.get(repository, selector, ask)

    def referrers(self, repository: Repository, subject: Digest) -> Referrers:
        """As ``Source.referrers``.

        Raises:
            As :meth:`manifest`.
        """
        return self._referrers(repository, subject)

    def tagged_referrers(self, repository: Repository, subject: Digest) -> Referrers:
        """As ``Tagging.tagged_referrers``.

        Raises:
            As :meth:`manifest`.
        """
        return self._referrers(repository, subject, served=False)

    def _referrers(self, repository: Repository, subject: Digest, *, served: bool = True) -> Referrers:
        places = self._rules.places(repository, True)
        if not places[-1].is_mirror:
            place = places[-1].repository
            tagged = not self._tags.lacks(repository, digest_tag(subject))
            return self._authoritative(places, lambda: self._store.referrers(place, subject, tagged=tagged, served=served))
        answers = (self._store.referrers(place.repository, subject) for place in places)
        found = next((found for found in answers if found.descriptors or found.tagged), Referrers((), listed=False))
        return replace(found, unserved=False)  # one of several mirrors speaks for none of the others

    def has(self, repository: Repository, descriptor: Descriptor) -> bool:
        """As ``Source.has``.

        Raises:
            As :meth:`manifest`, but for what is not there.
        """

        def ask(place: Location) -> bool:
            if not self._store.has(place.repository, descriptor):
                raise NotFound("no such blob", where=f"{place.repository}@{descriptor.digest}")
            return True

        try:
            return self._first(self._rules.places(repository, True), ask)
        except NotFound:
            return False

    def open(self, repository: Repository, descriptor: Descriptor, offset: int = 0) -> Reader:
        """As ``Source.open``; when a location fails in the middle, the stream continues from another one.

        Raises:
            As :meth:`manifest`.
        """
        if descriptor.media_type in media.MANIFESTS:
            return BytesReader(self.manifest(repository, descriptor.digest).raw, offset)
        places = self.usable(self._rules.places(repository, True))
        if descriptor.digest in self._wrong and not places[-1].is_mirror:
            places = places[-1:]
        if not places[0].is_mirror:
            return self._store.open(places[0].repository, descriptor, offset)
        return _MirroredReader(self, places, descriptor, offset)

    def tags(self, repository: Repository) -> Iterator[str]:
        """As ``RegistryStore.tags``, from the location.

        Raises:
            As :meth:`manifest`.
        """
        places = self._rules.places(repository, False)
        return self._tags.heard(repository, self._authoritative(places, lambda: self._store.tags(places[-1].repository)))

    def first_tags(self, repository: Repository) -> tuple[str, ...]:
        """As ``RegistryStore.first_tags``, from the location."""
        return self._store.first_tags(self._rules.places(repository, False)[-1].repository)

    def repositories(self, host: str) -> Iterator[Repository]:
        """As ``RegistryStore.repositories``: of that very registry, whatever its mirrors."""
        return self._store.repositories(host)

    def fetch_file(self, url: str, limit: int, absent: Collection[int] = (404,)) -> bytes | None:
        """As ``RegistryStore.fetch_file``."""
        return self._store.fetch_file(url, limit, absent)

    @contextlib.contextmanager
    def recalling(self, file: Path) -> Iterator[None]:
        """Where registries fail the block, the manifests that it has read are written to a file, for the next run with that file.

        A registry may give fewer in some hours than a list has: no run would ever finish if each started again.
        """
        self._manifests.recall(file)
        try:
            yield
        except RegistryError:
            with contextlib.suppress(MediaError):  # the registry's failure is what to tell
                fsio.make_directory(file.parent, fsio.PRIVATE)
                self._manifests.write(file)
            raise
        with fsio.disk_errors("cannot remove a file", file):
            file.unlink(missing_ok=True)

    def close(self) -> None:
        """Close idle connections. Open readers stay usable."""
        self._store.close()

    def __enter__(self) -> MirroredSource:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def begin(self, place: Location, descriptor: Descriptor, offset: int) -> Reader:
        """A blob's stream from one place; a small one of a mirror is checked first."""
        reader = self._store.open(place.repository, descriptor, offset)
        if not place.is_mirror or offset or descriptor.size > _SMALL:
            return reader
        checked = VerifiedReader(reader, descriptor, f"mirror {place.repository}")
        return BytesReader(read_all(checked, descriptor.size, str(place.repository)))

    def failed(self, place: Location, error: RegistryError) -> None:
        """Remember a mirror that cannot be reached, and say so once."""
        host = place.repository.host
        with self._lock:
            new = isinstance(error, Unreached) and place.is_mirror and host not in self._down
            if new:
                self._down.add(host)
        if new:
            self._options.say(f"mirror {host} cannot be reached ({error.what}): continuing without it")

    def lied(self, descriptor: Descriptor) -> None:
        """Remember a blob that mirrors deliver wrongly: from now on it comes from the location."""
        with self._lock:
            self._wrong.add(descriptor.digest)

    def usable(self, places: Sequence[Location]) -> list[Location]:
        """Without the mirrors that could not be reached, as long as there is the location: it knows what exists, they may not."""
        if places[-1].is_mirror:
            return list(places)
        return [place for place in places[:-1] if place.repository.host not in self._down] + [places[-1]]

    def _resolve(self, places: Sequence[Location], tag: str) -> Digest:
        def ask(place: Location) -> Digest:
            digest = self._store.resolve(place.repository.tagged(tag))
            if digest is None:
                raise NotFound("no such manifest", where=f"{place.repository}:{tag}")
            return digest

        return self._first(places, ask)

    def _few_tags(self, repository: Repository) -> frozenset[str] | None:
        """Of the location: a mirror alone need not have all of them."""
        place = self._rules.places(repository, False)[-1]
        return None if place.is_mirror else self._store.few_tags(place.repository)

    def _first(self, places: Sequence[Location], ask: Callable[[Location], T]) -> T:
        failures: list[tuple[Location, RegistryError]] = []
        for place in self.usable(places):
            try:
                return ask(place)
            except RegistryError as error:
                self.failed(place, error)
                failures.append((place, error))
        raise _of_all(failures)

    def _authoritative(self, places: Sequence[Location], ask: Callable[[], T]) -> T:
        try:
            return ask()
        except Unreached as error:
            error.hint = _UNREACHED_LOCATION if len(places) > 1 else error.hint
            raise


class _MirroredReader:
    """A blob from several places, one after the other. What comes from a mirror is hashed here too, to say who was wrong."""

    failure = RegistryError

    def __init__(self, source: MirroredSource, places: Sequence[Location], descriptor: Descriptor, offset: int) -> None:
        self._source = source
        self._left = list(places)
        self._descriptor = descriptor
        self._position = offset
        self._hasher = descriptor.digest.hasher() if offset == 0 else None
        self._mirrors: list[str] = []
        self._failures: list[tuple[Location, RegistryError]] = []
        self._reader = self._next()

    def readinto(self, buffer: memoryview, /) -> int:
        """As ``Reader.readinto``.

        Raises:
            RegistryError: no place delivers the rest, or a mirror delivered something else.
        """
        while True:
            try:
                count = self._reader.readinto(buffer)
            except RegistryError as error:
                self._reader.close()
                self._failed(error)
                self._reader = self._next()
                continue
            self._check(buffer[:count])
            return count

    def close(self) -> None:
        """As ``Reader.close``."""
        self._reader.close()

    def _next(self) -> Reader:
        while self._left:
            self._place = self._left.pop(0)
            try:
                reader = self._source.begin(self._place, self._descriptor, self._position)
            except RegistryError as error:
                self._failed(error)
                continue
            if self._place.is_mirror:
                self._mirrors.append(str(self._place.repository))
            return reader
        raise _of_all(self._failures)

    def _failed(self, error: RegistryError) -> None:
        self._source.failed(self._place, error)
        self._failures.append((self._place, error))

    def _check(self, piece: memoryview) -> None:
        self._position += len(piece)
        if self._hasher is None or not piece:
            return
        self._hasher.update(piece)
        if self._position == self._descriptor.size and (found := Digest.sealed(self._hasher)) != self._descriptor.digest:
            self._source.lied(self._descriptor)
            raise RegistryError(
                f"a mirror returned a blob other than {self._descriptor.digest}",
                where=", ".join(self._mirrors),
                expected=self._descriptor.digest,
                got=found,
                hint="repair the mirror or remove it from registries.conf, then run the same command again",
            )


def _of_all(failures: Sequence[tuple[Location, RegistryError]]) -> RegistryError:
    """The location's error, which decides. Without it something is only known not to exist when no mirror failed otherwise."""
    deciding = len(failures) - 1
    if failures[-1][0].is_mirror:
        deciding = next((at for at, (_, error) in enumerate(failures) if not isinstance(error, NotFound)), deciding)
    error = failures[deciding][1]
    others = [f"{place.repository}: {printable(one.what, 100)}" for place, one in failures if one is not error]
    error.got = "; ".join(part for part in (error.got, *others) if part)
    if others and isinstance(error, Unreached) and not failures[-1][0].is_mirror:
        error.hint = _UNREACHED_LOCATION
    return error
