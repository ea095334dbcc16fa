"""Reading from registries (distribution-spec "Pull" and "Listing Referrers")."""

from __future__ import annotations

import re
import threading
from dataclasses import replace

from airgap.errors import Damaged, NotFound, RegistryError
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.image import digest_tag
from airgap.oci.manifest import MAX_MANIFEST, Manifest, sniff_media_type
from airgap.oci.reference import Reference, Repository
from airgap.oci.stores import Reader, Referrers
from airgap.oci.verify import BytesReader
from airgap.registry.failures import read_errors, redact, refusal, unbelievable
from airgap.registry.listing import next_page
from airgap.registry.options import RegistryOptions
from airgap.registry.reader import BlobReader
from airgap.registry.transport import PUSH, Call, Transport
from airgap.registry.wire import Answer
from airgap.text import printable

_ACCEPT = {"Accept": media.ACCEPT_MANIFESTS}
_MAX_PAGES = 100
_MAX_REFERRERS = 1000
#: Answers to a HEAD that do not tell whether the thing is there: refused, or the method is not allowed.
_UNKNOWN = frozenset({401, 403, 405})
_TOTAL = re.compile(r"bytes (?:\d{1,18}-\d{1,18}|\*)/(\d{1,18})", re.ASCII)


class RegistrySource:
    """Any registry as a ``Source``. Thread-safe."""

    def __init__(self, options: RegistryOptions) -> None:
        self._transport = Transport(options)
        self._lock = threading.Lock()
        self._without_api: set[str] = set()

    def manifest(self, repository: Repository, selector: str) -> Manifest:
        """As ``Source.manifest``: the manifest under a tag or digest, its own hash checked against a digest.

        Raises:
            NotFound: the registry says that it does not have it.
            RegistryError: it fails, refuses, or delivers something else than what was asked for.
        """
        answer, raw = self._transport.fetch(Call("GET", repository, f"manifests/{selector}", headers=_ACCEPT), MAX_MANIFEST)
        if answer.status != 200:
            raise refusal(answer, "no such manifest" if answer.status == 404 else "")
        return _checked_manifest(raw, answer.media_type, repository, selector)

    def referrers(self, repository: Repository, subject: Digest) -> Referrers:
        """As ``Source.referrers``, by the API where there is one, else by the fallback tag.

        Raises:
            RegistryError: neither way gives a believable answer.
        """
        listed = self.listed_referrers(repository, subject)
        if listed is not None:
            return Referrers(listed)
        try:
            index = self.manifest(repository, digest_tag(subject))
        except NotFound:
            return Referrers(())
        where = f"{repository}:{digest_tag(subject)}"
        if index.media_type != media.OCI_INDEX:
            raise RegistryError("the referrers tag is not an index", where=where, expected=media.OCI_INDEX, got=index.media_type)
        _check_count(len(index.children), where)
        return Referrers(index.children, index)

    def listed_referrers(self, repository: Repository, subject: Digest) -> tuple[Descriptor, ...] | None:
        """What the referrers API lists; None when the registry has no such API: then they are under the fallback tag.

        Raises:
            RegistryError: the answer cannot be believed.
        """
        if repository.host in self._without_api:
            return None
        found: dict[Digest, Descriptor] = {}
        where = f"referrers/{subject}"
        for _ in range(_MAX_PAGES):
            answer, raw = self._transport.fetch(Call("GET", repository, where, headers={"Accept": media.OCI_INDEX}), MAX_MANIFEST)
            if not found and _is_no_api(answer):
                return self._no_api(repository, answer)
            page, following = self._referrers_page(repository, answer, raw)
            for descriptor in page:
                found.setdefault(descriptor.digest, descriptor)
            _check_count(len(found), f"{repository}@{subject}")
            if following is None:
                return tuple(found.values())
            where = following
        raise RegistryError(
            "the list of referrers does not end", where=f"{repository}@{subject}", expected=f"{_MAX_PAGES} pages at most"
        )

    def has(self, repository: Repository, descriptor: Descriptor) -> bool:
        """Whether the blob is there.

        Raises:
            RegistryError: it is there with another size, or the registry does not tell.
        """
        found = self.measure(repository, descriptor)
        if found not in (None, descriptor.size):
            raise RegistryError(
                f"blob {descriptor.digest} has another size there",
                where=str(repository),
                expected=f"{descriptor.size} bytes",
                got=f"{found} bytes",
                hint="the registry's copy is damaged: delete it there and run the same command again",
            )
        return found is not None

    def measure(self, repository: Repository, descriptor: Descriptor) -> int | None:
        """The size in bytes that a blob or manifest has there, None when it is not there.

        Where the registry says that it is there and not how large it is, the descriptor is believed.

        Raises:
            RegistryError: the registry does not tell.
        """
        if descriptor.media_type in media.MANIFESTS:
            return descriptor.size if self.has_manifest(repository, descriptor.digest) else None
        call = Call("HEAD", repository, f"blobs/{descriptor.digest}")
        answer = self._ask(call)
        found = answer.length
        if answer.status in _UNKNOWN or (answer.status == 200 and found is None):
            answer.finish()
            answer = self._ask(replace(call, method="GET", headers={"Range": "bytes=0-0"}))
            found = _total(answer)
        if answer.status == 416 and descriptor.size == 0:
            answer.finish()
            return 0
        if answer.status not in (200, 206):
            _absent(answer)
            return None
        answer.close() if answer.method == "GET" else answer.finish()
        return descriptor.size if found is None else found

    def has_manifest(self, repository: Repository, digest: Digest) -> bool:
        """As ``Target.has_manifest``."""
        return self._head_manifest(repository, digest) is not None

    def resolve(self, reference: Reference) -> Digest | None:
        """As ``Target.resolve``: what a tag stands for now, None when it does not exist."""
        return self._head_manifest(reference.repository, reference.selector)

    def open(self, repository: Repository, descriptor: Descriptor, offset: int = 0) -> Reader:
        """As ``Source.open``: the stream goes on by itself after a dropped connection.

        Raises:
            NotFound: the registry says that it does not have it.
            RegistryError: it fails, refuses, or has it in another size.
        """
        if descriptor.media_type in media.MANIFESTS:
            return BytesReader(self.manifest(repository, descriptor.digest).raw, offset)
        return BlobReader(self._transport, Call("GET", repository, f"blobs/{descriptor.digest}"), descriptor, offset)

    def close(self) -> None:
        """Close idle connections. Open readers stay usable."""
        self._transport.close()

    def _ask(self, call: Call) -> Answer:
        """A question that needs no more than the right to pull; where even that is refused, ask as somebody who may push:
        a repository that does not exist yet is nothing that anybody could have the right to pull from."""
        answer = self._transport.call(call)
        if answer.status in (401, 403) and answer.own:
            answer.finish()
            answer = self._transport.call(replace(call, actions=PUSH))
        return answer

    def _head_manifest(self, repository: Repository, selector: str) -> Digest | None:
        call = Call("HEAD", repository, f"manifests/{selector}", headers=_ACCEPT)
        answer = self._ask(call)
        asked = Digest.parse(selector) if ":" in selector else None
        if answer.status == 200:
            answer.finish()
            found = asked or _stated_digest(answer)
            return found or self.manifest(repository, selector).digest
        if answer.status not in _UNKNOWN:
            _absent(answer)
            return None
        answer.finish()
        try:
            return self.manifest(repository, selector).digest
        except NotFound:
            return None

    def _referrers_page(self, repository: Repository, answer: Answer, raw: bytes) -> tuple[tuple[Descriptor, ...], str | None]:
        if answer.status != 200:
            raise refusal(answer)
        if answer.media_type != media.OCI_INDEX:
            got = printable(answer.media_type, 120) or "no media type"
            raise RegistryError(
                "the list of referrers is not an index", where=redact(answer.url), expected=media.OCI_INDEX, got=got
            )
        try:
            page = Manifest.parse(raw, answer.media_type, redact(answer.url)).children
        except Damaged as error:
            raise unbelievable(error) from error
        return page, next_page(self._transport.endpoint(Call("GET", repository, "")), answer, "the list of referrers")

    def _no_api(self, repository: Repository, answer: Answer) -> tuple[Descriptor, ...] | None:
        codes = [] if answer.status == 200 else read_errors(answer)[0]
        if "NAME_UNKNOWN" not in codes:  # that is about this repository, and tells nothing about the API
            with self._lock:
                self._without_api.add(repository.host)
        return None


def _checked_manifest(raw: bytes, content_type: str, repository: Repository, selector: str) -> Manifest:
    asked = Digest.parse(selector) if ":" in selector else None
    where = f"{repository}@{asked}" if asked else f"{repository}:{selector}"
    algorithm = asked.algorithm if asked else "sha256"
    found = Digest.of(raw, algorithm)
    try:
        if asked is not None and found != asked:
            raise Damaged("the registry delivered another manifest than the one asked for", where=where, expected=asked, got=found)
        legacy = ".distribution.manifest.v1+" in content_type
        media_type = content_type if content_type in media.MANIFESTS or legacy else sniff_media_type(raw, where)
        return Manifest.parse(raw, media_type, where, algorithm)
    except Damaged as error:
        raise unbelievable(error) from error


def _absent(answer: Answer) -> bool:
    """False for a clear "no such thing"; anything else is raised."""
    error = refusal(answer)
    if isinstance(error, NotFound):
        return False
    raise error


def _total(answer: Answer) -> int | None:
    """The size of the whole thing, told in the answer to a request for its first byte."""
    if answer.status == 200:
        return answer.length
    match = _TOTAL.fullmatch(answer.header("Content-Range").strip())
    return int(match[1]) if match else None


def _stated_digest(answer: Answer) -> Digest | None:
    try:
        digest = Digest.parse(answer.header("Docker-Content-Digest"))
    except Damaged:
        return None
    return digest if digest.algorithm == "sha256" else None


def _is_no_api(answer: Answer) -> bool:
    """Registries without the API answer 404 or 405, or lead to a web page."""
    return answer.status in (404, 405, 501) or (answer.status == 200 and answer.media_type == "text/html")


def _check_count(count: int, where: str) -> None:
    if count > _MAX_REFERRERS:
        raise RegistryError("too many referrers", where=where, expected=f"{_MAX_REFERRERS} at most", got=printable(str(count)))
