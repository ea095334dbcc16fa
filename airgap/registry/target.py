"""Writing to registries (distribution-spec "Push"), and making referrers findable there."""

from __future__ import annotations

from collections.abc import Callable

from airgap.errors import NotTaken, RegistryError
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Reference, Repository
from airgap.oci.stores import Outlook, Reader, Referring
from airgap.registry.http.failures import NETWORK, network_failure, redact
from airgap.registry.http.patience import PASSING, Waiting
from airgap.registry.http.refusals import refusal
from airgap.registry.http.transport import PUSH, Call
from airgap.registry.http.wire import Answer
from airgap.registry.linking import Links
from airgap.registry.outlook import foretell
from airgap.registry.settings.options import RegistryOptions
from airgap.registry.source import RegistrySource
from airgap.registry.upload import Uploader
from airgap.text import listing, printable

#: Refusals that have nothing to do with what is there.
_NOT_NOW = frozenset({401, 404, 429})
#: How registries answer a manifest with a layer that they do not find, or with URLs that they do not allow.
_CHECKED = frozenset({400, 404, 500})


class RegistryWriter(RegistrySource):
    """Any registry as a ``Target``, and as a ``Source``. Thread-safe."""

    def __init__(self, options: RegistryOptions) -> None:
        super().__init__(options)
        self._uploader = Uploader(self._transport)
        self._links = Links(self, self.tag)
        self._reluctant: set[str] = set()

    def mount(self, repository: Repository, descriptor: Descriptor, origin: Repository) -> bool:
        """As ``Target.mount``; only within one registry.

        Whether the blob is there already is asked only of a registry that did not mount: first the attempt, which mostly is all
        it takes, and the question first at a host that has refused an attempt before.
        """
        if origin.host != repository.host or origin == repository:
            return False
        reluctant = repository.host in self._reluctant
        if reluctant and self.has(repository, descriptor):
            return True
        if self._uploader.mount(repository, descriptor, origin):
            return True
        self._reluctant.add(repository.host)
        if reluctant or not self.has(repository, descriptor):
            return False
        self._uploader.forget(repository, descriptor)
        return True

    def write(self, repository: Repository, descriptor: Descriptor, opener: Callable[[], Reader]) -> None:
        """As ``Target.write``: streamed in one piece; nothing is stored when the reader raises.

        Raises:
            RegistryError: the registry does not take it, also after repeats.
        """
        self._uploader.write(repository, descriptor, opener, lambda: self.has(repository, descriptor))

    def put_manifest(self, repository: Repository, manifest: Manifest) -> None:
        """As ``Target.put_manifest``.

        Raises:
            RegistryError: the registry does not take it, with its own words.
        """
        with self._transport.slots.held(repository.host):
            self._put(repository, manifest.digest, manifest, lambda: self.has_manifest(repository, manifest.digest))

    def tag(self, reference: Reference, manifest: Manifest) -> None:
        """As ``Target.tag``; nothing to do for a reference without a tag."""
        if reference.tag is not None:
            tagged = reference.repository.tagged(reference.tag)
            with self._transport.slots.held(tagged.repository.host):
                self._put(tagged.repository, reference.tag, manifest, lambda: self.resolve(tagged) == manifest.digest)

    def commit(self) -> None:
        """As ``Target.commit``: tags are visible at once in a registry."""

    def foretell(self, reference: Reference) -> Outlook:
        """As ``Foretelling.foretell``. Raises ``RegistryError`` when the registry cannot be reached or fails."""
        return foretell(self._transport, reference)

    def link_referrers(self, found: Referring) -> None:
        """As ``Target.link_referrers``: what the API lists is linked; the rest goes under the fallback tag.

        Raises:
            NotTaken: neither is possible, or the referrers cannot be found afterwards.
            RegistryError: the registry fails.
        """
        self._links.link(found)

    def _put(self, repository: Repository, name: str, manifest: Manifest, arrived: Callable[[], bool]) -> None:
        """PUT a manifest under a tag or digest; after a failure ask first whether it arrived all the same."""
        call = Call(
            "PUT",
            repository,
            f"manifests/{name}",
            PUSH,
            headers={"Content-Type": manifest.media_type},
            body=manifest.raw,
            repeatable=False,
        )
        retries = self._transport.options.retries
        attempt, waiting = -1, Waiting()
        while (attempt := attempt + 1) <= retries + waiting.count:
            if attempt and arrived():
                return
            try:
                answer = self._transport.once(call)
            except NETWORK as error:
                url = self._transport.url(call)
                if attempt == retries + waiting.count or not self._transport.patience.may_pass(error, url):
                    raise network_failure(error, "PUT", url) from None
                self._transport.patience.pause_after(error, "PUT", url, attempt)
                continue
            if self._transport.patience.wait_out(answer, waiting):
                continue
            hopeless = self._transport.patience.is_hopeless(answer, waiting)
            if answer.status not in PASSING or attempt == retries + waiting.count or hopeless:
                self._accept(repository, name, manifest, answer)
                return
            self._transport.patience.pause(attempt, answer)

    def _accept(self, repository: Repository, name: str, manifest: Manifest, answer: Answer) -> None:
        if answer.status not in (200, 201):
            self._refused(repository, name, manifest, refusal(answer, "the registry does not accept a manifest"), answer.status)
            return
        answer.finish()
        stated = answer.header("Docker-Content-Digest")
        if stated.startswith(f"{manifest.digest.algorithm}:") and stated != manifest.digest:
            raise RegistryError(
                "the registry stored a manifest other than the one sent",
                where=f"PUT {redact(answer.url)}",
                expected=manifest.digest,
                got=printable(stated, 150),
            )
        if manifest.subject is not None and answer.header("OCI-Subject").strip() == manifest.subject.digest:
            self._links.linked(repository, manifest.digest)

    def _refused(self, repository: Repository, name: str, manifest: Manifest, error: RegistryError, status: int) -> None:
        """Some refuse what they have already, and some never let a tag be moved: find out which.

        Raises:
            NotTaken: it is neither there nor taken.
            RegistryError: it may be later.
        """
        if status in _CHECKED and any(word in error.got for word in ("UNKNOWN", "INVALID", "url")):
            _refuse_foreign(manifest, f"{repository}:{name}", error.got)
        if status in _NOT_NOW or status >= 500:
            raise error
        error = NotTaken(error.what, where=error.where, got=error.got, hint=error.hint)
        if status == 413 or "too large" in error.got:
            error.what = f"the registry does not accept a manifest of {len(manifest.raw)} bytes"
            error.hint = "the registry or a proxy in front of it limits the size of manifests: raise that limit"
            raise error
        there = self._head_manifest(repository, name)
        if there == manifest.digest:
            return
        if there is not None:
            error.what = "the tag points to another image and the registry does not allow moving it: the tag seems to be immutable"
            error.where = f"{repository}:{name}"
            error.expected, error.got = manifest.digest, f"{there}; {error.got}"
            error.hint = "import under another name (--map image=SOURCE:TAG=PATH:TAG), or make tags mutable in the registry"
        raise error


def _refuse_foreign(manifest: Manifest, where: str, got: str) -> None:
    """Some registries look for foreign layers, which nobody may send them, or at their URLs (Windows images before 2022).

    Raises:
        NotTaken: there are such layers.
    """
    foreign = [str(layer.digest) for layer in manifest.layers if media.is_foreign(layer.media_type)]
    if foreign:
        raise NotTaken(
            "the registry checks foreign layers and does not accept an image that has some",
            where=where,
            expected=f"foreign layers that it allows: {listing(foreign, 5)}",
            got=got,
            hint="allow their URLs in the registry (validation.manifests.urls.allow of distribution), or leave out the platforms "
            "that have them with --platform, such as --platform linux/amd64",
        )
