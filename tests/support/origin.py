"""Images kept in memory: a ``Source`` for flows in this process, and a registry over HTTP for the real command line."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from airgap.errors import NotFound
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Reference, Repository
from airgap.oci.stores import Referrers
from tests.support import images
from tests.support.hostile import Reply, Request, ranged


@dataclass
class Shelf:
    """What one repository has."""

    manifests: dict[Digest, Manifest] = field(default_factory=dict)
    tags: dict[str, Digest] = field(default_factory=dict)
    blobs: dict[Digest, bytes] = field(default_factory=dict)


class Origin:
    """Repositories by their full name. Implements ``Source``; ``answer`` is an app for ``tests.support.hostile.Hostile``."""

    def __init__(self) -> None:
        self.shelves: dict[str, Shelf] = {}

    def push(self, reference: str, built: images.Built) -> Reference:
        """Store an image under a name, or without one where the reference has none but a digest."""
        parsed = Reference.parse(reference)
        shelf = self.shelves.setdefault(str(parsed.repository), Shelf())
        for part in built.everything():
            shelf.manifests[part.digest] = part.manifest
            shelf.blobs.update({blob.descriptor.digest: blob.raw for blob in part.blobs})
        if parsed.tag is not None:
            shelf.tags[parsed.tag] = built.digest
        return parsed

    # Source

    def manifest(self, repository: Repository, selector: str) -> Manifest:
        """As ``Source.manifest``."""
        shelf = self._shelf(repository)
        digest = Digest.parse(selector) if ":" in selector else shelf.tags.get(selector)
        if digest is None or digest not in shelf.manifests:
            raise NotFound("no such manifest", where=f"{repository}:{selector}")
        return shelf.manifests[digest]

    def referrers(self, repository: Repository, subject: Digest) -> Referrers:
        """As ``Source.referrers``."""
        known = self._shelf(repository).manifests.values()
        return Referrers(tuple(m.descriptor for m in known if m.subject is not None and m.subject.digest == subject))

    def has(self, repository: Repository, descriptor: Descriptor) -> bool:
        """As ``Source.has``."""
        return descriptor.digest in self._shelf(repository).blobs

    def open(self, repository: Repository, descriptor: Descriptor, offset: int = 0) -> images.BytesReader:
        """As ``Source.open``."""
        shelf = self._shelf(repository)
        manifest = shelf.manifests.get(descriptor.digest)
        return images.BytesReader((manifest.raw if manifest else shelf.blobs[descriptor.digest])[offset:])

    # over HTTP

    def answer(self, request: Request) -> Reply:
        """A registry without the referrers API, for the repositories of the host that the client asked for."""
        if request.path == "/v2/":
            return Reply()
        name, _, rest = request.path.removeprefix("/v2/").rpartition("/manifests/")
        if not name:
            name, _, rest = request.path.removeprefix("/v2/").rpartition("/blobs/")
            return self._blob(f"{request.headers['Host']}/{name}", rest, request)
        try:
            found = self.manifest(Reference.parse(f"{request.headers['Host']}/{name}").repository, rest)
        except NotFound:
            return _missing("MANIFEST_UNKNOWN")
        return Reply(200, found.raw, {"Content-Type": found.media_type, "Docker-Content-Digest": found.digest})

    def _blob(self, repository: str, digest: str, request: Request) -> Reply:
        raw = self.shelves.get(repository, Shelf()).blobs.get(Digest(digest))
        return _missing("BLOB_UNKNOWN") if raw is None else ranged(raw, request)

    def _shelf(self, repository: Repository) -> Shelf:
        return self.shelves.get(str(repository), Shelf())


def _missing(code: str) -> Reply:
    return Reply(404, json.dumps({"errors": [{"code": code, "message": "not known here"}]}).encode())
