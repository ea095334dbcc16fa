"""Reading from registries (distribution-spec "Pull" and "Listing Referrers")."""

from __future__ import annotations

import re
from dataclasses import replace

from airgap.errors import Damaged, NotFound, RegistryError
from airgap.limits import MAX_ATTACHMENTS, MAX_MANIFEST
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.image import digest_tag
from airgap.oci.manifest import Manifest, sniff_media_type
from airgap.oci.reference import Reference, Repository
from airgap.oci.stores import Reader, Referrers
from airgap.oci.verify import BytesReader
from airgap.registry.http.failures import redact, unbelievable
from airgap.registry.http.refusals import error_body, refusal
from airgap.registry.http.transport import PUSH, Call, Transport
from airgap.registry.http.wire import Answer
from airgap.registry.listing import next_page
from airgap.registry.reader import BlobReader
from airgap.registry.settings.options import RegistryOptions
from airgap.text import printable

_ACCEPT = {"Accept": media.ACCEPT_MANIFESTS}
_MAX_PAGES = 100
#: Answers to a HEAD that do not tell whether the thing is there: refused, or the method is not allowed.
_UNKNOWN = frozenset({401, 403, 405})
#: Answers of registries that do not know the referrers API; 406 is Artifactory's.
_NO_API = frozenset({404, 405, 406, 501})
#: What the router of distribution (docker-registry, GitLab) says of a path for which it has no program, whatever follows in it. Of
#: a manifest that it does not have it says so in JSON, and a file server or a proxy does not call itself a registry.
_NO_ROUTE = b"404 page not found\n"
_ITSELF = ("Docker-Distribution-Api-Version", "registry/2.0")
_TOTAL = re.compile(r"bytes (?:\d{1,18}-\d{1,18}|\*)/(\d{1,18})", re.ASCII)


class RegistrySource:
    """Any registry as a ``Source``. Thread-safe."""

    def __init__(self, options: RegistryOptions) -> None:
        self._transport = Transport(options)

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

    def referrers(self, repository: Repository, subject: Digest, *, tagged: bool = True, served: bool = True) -> Referrers:
        """As ``Source.referrers``: what the API lists, and what is under the fallback tag, which may hold what the API does not.

        Args:
            tagged: False if it is known that there is no such tag.
            served: False if it is known that the registry serves no lists: then the API is not asked.

        Raises:
            RegistryError: one of the ways gives no believable answer.
        """
        listed, unserved = self._list(repository, subject) if served else (None, True)
        index, remark = self.under_tag(repository, subject) if tagged else (None, "")
        if self._transport.options.lacks_referrers(repository):
            remark = f"the referrers API of {repository} was not used (--no-referrers-api)"
        return Referrers(listed or (), () if index is None else (index,), listed is not None, remark, unserved)

    def listed_referrers(self, repository: Repository, subject: Digest) -> tuple[Descriptor, ...] | None:
        """What the referrers API lists; None when it says that there is no such API: then they are under the fallback tag.

        Every subject is asked for. What a registry answers about one says nothing about others, not even in the same repository:
        projects of one host differ, proxies lack some manifests, and any answer may be odd once.

        Raises:
            RegistryError: the response is neither a list nor a clear statement that there is no such API.
        """
        return self._list(repository, subject)[0]

    def _list(self, repository: Repository, subject: Digest) -> tuple[tuple[Descriptor, ...] | None, bool]:
        """As :meth:`listed_referrers`, and whether the registry said that it serves no such lists of anything."""
        if self._transport.options.lacks_referrers(repository):
            return None, False
        found: dict[Digest, Descriptor] = {}
        where: str | None = f"referrers/{subject}"
        for number in range(_MAX_PAGES):
            call = Call("GET", repository, where or "", headers={"Accept": media.OCI_INDEX})
            answer, raw = self._transport.fetch(call, MAX_MANIFEST)
            if answer.status != 200 or _is_web_page(answer):
                return None, self._check_no_api(repository, subject, answer, first=number == 0)
            page, where = self._referrers_page(repository, answer, raw)
            for descriptor in page:
                found.setdefault(descriptor.digest, descriptor)
            _check_count(len(found), f"{repository}@{subject}")
            if where is None:
                return tuple(found.values()), False
        raise RegistryError(
            "the list of referrers does not end", where=f"{repository}@{subject}", expected=f"at most {_MAX_PAGES} pages"
        )

    def has(self, repository: Repository, descriptor: Descriptor) -> bool:
        """Whether the blob is there.

        Raises:
            RegistryError: it is there with another size, or the registry does not tell.
        """
        found = self.measure(repository, descriptor)
        if found not in (None, descriptor.size):
            raise RegistryError(
                f"blob {descriptor.digest} has the wrong size there",
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
        """As ``Target.resolve``: what a tag points to now, None when it does not exist."""
        return self._head_manifest(reference.repository, reference.selector)

    def open(self, repository: Repository, descriptor: Descriptor, offset: int = 0) -> Reader:
        """As ``Source.open``: the stream resumes by itself after a dropped connection.

        Raises:
            NotFound: the registry says that it does not have it.
            RegistryError: it fails, refuses, or has it in another size.
        """
        if descriptor.media_type in media.MANIFESTS:
            return BytesReader(self.manifest(repository, descriptor.digest).raw, offset)
        return BlobReader(self._transport, Call("GET", repository, f"blobs/{descriptor.digest}"), descriptor, offset)

    @property
    def options(self) -> RegistryOptions:
        """How registries are spoken to."""
        return self._transport.options

    def pause(self, attempt: int) -> None:
        """Wait before the next of several attempts, the longer the more there were."""
        self._transport.patience.pause(attempt)

    def close(self) -> None:
        """Close idle connections. Open readers stay usable."""
        self._transport.close()

    def _ask(self, call: Call) -> Answer:
        """A question that needs no more than the right to pull; where even that is refused, ask as somebody who may push:
        a repository that does not exist yet is nothing that anybody could have the right to pull from."""
        with self._transport.slots.held(call.host):
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

    def under_tag(self, repository: Repository, subject: Digest) -> tuple[Manifest | None, str]:
        """What is under the fallback tag of a subject; a remark in its place where that can be no list.

        Raises:
            RegistryError: the registry does not tell.
        """
        tag = digest_tag(subject)
        answer, raw = self._transport.fetch(Call("GET", repository, f"manifests/{tag}", headers=_ACCEPT), MAX_MANIFEST)
        if answer.status != 200:
            _absent(answer)
            return None, ""
        kind = answer.media_type
        if kind.startswith("application/vnd.") and kind not in media.MANIFESTS:
            return None, f"{repository}:{tag} is not a list of referrers: {printable(kind, 100)}"
        return _checked_manifest(raw, kind, repository, tag), ""

    def _referrers_page(self, repository: Repository, answer: Answer, raw: bytes) -> tuple[tuple[Descriptor, ...], str | None]:
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

    def _check_no_api(self, repository: Repository, subject: Digest, answer: Answer, *, first: bool) -> bool:
        """Accept an answer that clearly says that there is no such API for this subject (distribution-spec "Listing Referrers");
        whether it is about no subject at all.

        Raises:
            RegistryError: it says something else.
        """
        if first and (answer.status in _NO_API or _is_web_page(answer)):
            said = error_body(answer)
            return (answer.status, said, answer.own) == (404, _NO_ROUTE, True) and answer.header(_ITSELF[0]) == _ITSELF[1]
        status = answer.status
        error = refusal(answer, "the registry does not list the referrers of a manifest")
        if first and status == 400 and "UNSUPPORTED" in error.got:
            return False
        error.hint = (
            f"run the same command again; if it has no such API, use --no-referrers-api {repository.host} to rely on fallback "
            "tags alone; or leave referrers out: --without referrers"
        )
        if status in (401, 403) and self._shows(repository, subject):
            error.what = "the registry shows the manifests of this repository, but not their referrers"
            error.hint = (
                f"if it has no referrers API (Harbor before 2.8), use --no-referrers-api {repository.host} to rely on fallback "
                "tags alone; otherwise ask for permission to read them, or leave them out: --without referrers"
            )
        raise RegistryError(error.what, where=error.where, expected="a list, or 404", got=error.got, hint=error.hint)

    def _shows(self, repository: Repository, digest: Digest) -> bool:
        try:
            return self.has_manifest(repository, digest)
        except RegistryError:
            return False


def _checked_manifest(raw: bytes, content_type: str, repository: Repository, selector: str) -> Manifest:
    asked = Digest.parse(selector) if ":" in selector else None
    where = f"{repository}@{asked}" if asked else f"{repository}:{selector}"
    algorithm = asked.algorithm if asked else "sha256"
    found = Digest.of(raw, algorithm)
    try:
        if asked is not None and found != asked:
            raise Damaged("the registry returned another manifest than the one requested", where=where, expected=asked, got=found)
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


def _is_web_page(answer: Answer) -> bool:
    """Registries without the API may lead to a web page, with whatever status."""
    return answer.status == 200 and answer.media_type == "text/html"


def _check_count(count: int, where: str) -> None:
    if count > MAX_ATTACHMENTS:
        raise RegistryError("too many referrers", where=where, expected=f"at most {MAX_ATTACHMENTS}", got=printable(str(count)))
