"""What one run has learned of the registries that it reads, so that no question is asked twice."""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Generic, TypeVar

from airgap import fsio
from airgap.errors import AirgapError, RegistryError
from airgap.oci.digest import Digest
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Repository

#: Bytes of manifests that are kept: 10,000 to 60,000 of them.
_MOST_BYTES = 64 * 1024 * 1024
#: Bytes of a file with all of them, in base64 with their names.
_MOST_WRITTEN = 2 * _MOST_BYTES
#: Tags of one repository that are kept.
_MOST_TAGS = 100_000
#: The tags that cosign and the referrers tag schema make of a digest: the only ones whose absence is believed.
_OF_A_DIGEST = re.compile(r"sha(?:256|512)-[0-9a-f]{64,128}(?:\.[a-z]{3,8})?", re.ASCII)

K = TypeVar("K")
V = TypeVar("V")


class Once(Generic[K, V]):
    """Asks each question once; whoever has the same one meanwhile waits for the answer. A failure is nobody else's. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[K, Future[V]] = {}

    def get(self, key: K, ask: Callable[[], V]) -> V:
        """The answer to a question, or what ``ask`` raises."""
        with self._lock:
            future = self._running.get(key)
            mine = future is None
            if future is None:
                future = self._running[key] = Future()
        if not mine:
            try:
                return future.result()
            except Exception:  # noqa: BLE001 - it was another one's failure, in another one's words
                return ask()
        try:
            future.set_result(ask())
        except BaseException as error:
            future.set_exception(error)
            raise
        finally:
            with self._lock:
                del self._running[key]
        return future.result()


class KnownManifests:
    """Manifests by digest, as long as they are not too many; also from one run to the next. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[tuple[Repository, str], Manifest] = {}
        self._bytes = 0
        self._once = Once[tuple[Repository, str], Manifest]()
        self._recalled: set[Repository] = set()

    def write(self, file: Path) -> None:
        """Write down what is known, for :meth:`recall` of a later run. Raises ``MediaError``."""
        with self._lock:
            kept = [(str(repository), digest, one) for (repository, digest), one in self._kept.items()]
        lines = (f"{name} {digest} {one.media_type} {base64.b64encode(one.raw).decode()}\n" for name, digest, one in kept)
        if kept:
            fsio.write_durable(file, "".join(lines).encode(), 0o600)

    def recall(self, file: Path) -> None:
        """Know what an earlier run wrote down there, if there is such a file; what is damaged in it is not known."""
        with contextlib.suppress(AirgapError):
            for line in (fsio.read_if_there(file, _MOST_WRITTEN) or b"").splitlines():
                with contextlib.suppress(AirgapError, ValueError, binascii.Error):
                    name, digest, media_type, content = line.decode("ascii").split(" ")
                    repository, own = Repository.parse(name), Digest.parse(digest)
                    found = Manifest.parse(base64.b64decode(content, validate=True), media_type, name, own.algorithm)
                    if found.digest == own:
                        self._keep(repository, found)
                        self._recalled.add(repository)

    def recalled(self, repository: Repository, resolve: Callable[[], Digest | None]) -> Manifest | None:
        """What a tag selects, if an earlier run has read it. Only its digest is asked for, which no allowance counts.

        Args:
            repository: of the tag.
            resolve: what the tag refers to now. What it raises is nobody's failure: then nothing is known.
        """
        if repository not in self._recalled:
            return None
        try:
            digest = resolve()
        except RegistryError:
            return None
        return self._kept.get((repository, str(digest)))

    def get(self, repository: Repository, selector: str, ask: Callable[[], Manifest]) -> Manifest:
        """What a tag or digest selects: a digest is asked for once, what a tag means every time."""
        if ":" not in selector:
            return self._keep(repository, ask())
        key = (repository, str(selector))
        found = self._kept.get(key)
        return found or self._once.get(key, lambda: self._kept.get(key) or self._keep(repository, ask()))

    def _keep(self, repository: Repository, manifest: Manifest) -> Manifest:
        key = (repository, str(manifest.digest))
        with self._lock:
            if key not in self._kept:
                self._kept[key] = manifest
                self._bytes += len(manifest.raw)
            while self._bytes > _MOST_BYTES:
                self._bytes -= len(self._kept.pop(next(iter(self._kept))).raw)
        return manifest


class KnownTags:
    """The tags of digests that repositories have. Thread-safe.

    An image of three manifests may have twelve tags beside it and mostly has one: reading the list costs less than asking for each.
    A list that a registry does not give, or that takes more than two pages, says nothing.

    Args:
        read: the tags of a repository, None if they are too many. May raise ``RegistryError``.
    """

    def __init__(self, read: Callable[[Repository], frozenset[str] | None]) -> None:
        self._read = read
        self._known: dict[Repository, frozenset[str] | None] = {}
        self._once = Once[Repository, frozenset[str] | None]()

    def lacks(self, repository: Repository, tag: str) -> bool:
        """Whether a repository certainly has no such tag, made of a digest."""
        if _OF_A_DIGEST.fullmatch(tag) is None:
            return False
        if repository not in self._known:
            self._once.get(repository, lambda: self._ask(repository))
        known = self._known.get(repository)
        return known is not None and tag not in known

    def heard(self, repository: Repository, tags: Iterable[str]) -> Iterator[str]:
        """All tags of a repository, as somebody else reads them: the list need not be read again."""
        kept: set[str] = set()
        for tag in tags:
            if len(kept) <= _MOST_TAGS and _OF_A_DIGEST.fullmatch(tag):
                kept.add(tag)
            yield tag
        self._known[repository] = frozenset(kept) if len(kept) <= _MOST_TAGS else None

    def _ask(self, repository: Repository) -> frozenset[str] | None:
        if repository not in self._known:
            try:
                found = self._read(repository)
            except RegistryError:
                found = None
            self._known[repository] = None if found is None else frozenset(filter(_OF_A_DIGEST.fullmatch, found))
        return self._known[repository]
