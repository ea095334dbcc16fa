"""Making referrers findable in a registry, manifest by manifest, by what the registry itself answers (distribution-spec "Pushing
Manifests with Subject"), and seeing afterwards that they are."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from airgap.errors import Damaged, NotFound, NotTaken, RegistryError
from airgap.limits import MAX_ATTACHMENTS
from airgap.oci import media, strictjson
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.image import digest_tag, may_list_referrers
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Reference, Repository
from airgap.oci.stores import Referring
from airgap.registry.source import RegistrySource
from airgap.text import listing, printable

#: How often a list is written again that another writer has replaced meanwhile.
_ROUNDS = 3


class Links:
    """What one registry client has linked. Thread-safe.

    Args:
        source: reads from the registry.
        tag: puts a manifest under a tag there (``Target.tag``).
    """

    def __init__(self, source: RegistrySource, tag: Callable[[Reference, Manifest], None]) -> None:
        self._source = source
        self._write = tag
        self._lock = threading.Lock()
        self._linked: set[tuple[Repository, Digest]] = set()

    def linked(self, repository: Repository, referrer: Digest) -> None:
        """The registry said of a manifest, when it took it, that it has linked it (``OCI-Subject``)."""
        with self._lock:
            self._linked.add((repository, referrer))

    def link(self, found: Referring) -> None:
        """As ``Target.link_referrers``. Raises ``NotTaken`` and ``RegistryError``."""
        repository, subject, referrers, original, tag_is_free = found
        empty_list = original is not None and not original.children
        if not referrers and not empty_list:
            return
        listed = self._listed(repository, subject, {one.digest for one in referrers})
        left = [one for one in referrers if listed is None or one.digest not in listed]
        if left or (listed is None and empty_list and tag_is_free):
            self._tag(repository, subject, left, original, tag_is_free)

    def _listed(self, repository: Repository, subject: Digest, wanted: set[Digest]) -> set[Digest] | None:
        """What the API lists, in the end; None where there is none.

        Raises:
            NotTaken: it does not list what the registry said it has linked.
        """
        with self._lock:
            promised = {digest for digest in wanted if (repository, digest) in self._linked}
        for attempt in range(self._source.options.retries + 1):
            found = self._source.listed_referrers(repository, subject)
            digests = None if found is None else {descriptor.digest for descriptor in found}
            if digests is None or promised <= digests:
                return digests
            self._source.pause(attempt)  # some list what they took only a moment later
        raise NotTaken(
            "the registry reported that it linked a referrer, but does not list it",
            where=f"{repository}@{subject}",
            expected=listing(sorted(promised - (digests or set())), 3),
            hint="run the same command again",
        )

    def _tag(
        self, repository: Repository, subject: Digest, referrers: Sequence[Descriptor], original: Manifest | None, is_free: bool
    ) -> None:
        """Add to the list under the fallback tag, and read it again: two writers can lose each other's entries.

        Raises:
            NotTaken: the tag is something else, or does not keep what is written.
        """
        tag, wanted = digest_tag(subject), {one.digest for one in referrers}
        where = f"{repository}:{tag}"
        if not is_free:
            raise _taken(where, "an image of this bundle")
        for _ in range(_ROUNDS):
            current = self._current(repository, subject, wanted, where)
            list_of_all = current is None and original is not None and {child.digest for child in original.children} == wanted
            new = original if list_of_all and original is not None else _merged(current, referrers, where)
            if current is None or new.raw != current.raw:
                self._write(repository.tagged(tag), new)
            now, _ = self._source.under_tag(repository, subject)
            if now is not None and wanted <= {child.digest for child in now.children}:
                return
        raise NotTaken(
            "the registry does not find referrers that were linked",
            where=where,
            expected=listing(sorted(wanted), 3),
            got="nothing" if now is None else f"{now.media_type} {now.digest}",
        )

    def _current(self, repository: Repository, subject: Digest, ours: set[Digest], where: str) -> Manifest | None:
        """The list that is there, None where nothing is. Raises ``NotTaken`` for anything else."""
        found, strange = self._source.under_tag(repository, subject)
        if strange or (found is not None and not self._is_list(repository, found, subject, ours)):
            raise _taken(where, strange or (f"{found.media_type} {found.digest}" if found else ""))
        return found

    def _is_list(self, repository: Repository, index: Manifest, subject: Digest, ours: Iterable[Digest]) -> bool:
        """Whether all that an index lists, as far as it can be read, refers to the subject."""
        if not may_list_referrers(index, subject) or len(index.children) > MAX_ATTACHMENTS:
            return False
        known, proven = set(ours), not index.children
        for child in index.children:
            if child.digest in known:
                proven = True
                continue
            manifest = self._read(repository, child)
            if manifest is not None and (manifest.subject is None or manifest.subject.digest != subject):
                return False
            proven = proven or manifest is not None
        return proven

    def _read(self, repository: Repository, descriptor: Descriptor) -> Manifest | None:
        """A manifest, None when it is gone or of a kind that nobody here can read."""
        try:
            return self._source.manifest(repository, descriptor.digest)
        except NotFound:
            return None
        except RegistryError as error:
            if not isinstance(error.__cause__, Damaged):
                raise
            return None


def _taken(where: str, by: str) -> NotTaken:
    return NotTaken(
        "the fallback tag for referrers is in use, and the registry has no other way to find them",
        where=where,
        expected="no such tag, or a list of referrers",
        got=printable(by, 300),
    )


def _merged(current: Manifest | None, referrers: Sequence[Descriptor], where: str) -> Manifest:
    """The list under a fallback tag with the referrers added: what is there keeps its place and its words."""
    document: dict[str, Any] = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": []}
    if current is not None:
        document = strictjson.parse_object(current.raw, where)
    listed = {str(child.digest) for child in (current.children if current else ())}
    added = []
    for referrer in referrers:
        if str(referrer.digest) not in listed:
            listed.add(str(referrer.digest))
            added.append(referrer.to_json())
    if current is not None and not added:
        return current
    document["manifests"] = [*document["manifests"], *added]
    return Manifest.parse(strictjson.canonical(document), media.OCI_INDEX, where)
