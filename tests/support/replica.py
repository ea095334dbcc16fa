"""A registry in memory that can be written to, with the oddities that real ones have: each is an argument or a special answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from airgap.oci import media
from airgap.oci.digest import Digest
from airgap.oci.manifest import Manifest, sniff_media_type
from tests.support import images
from tests.support.hostile import Hostile, Reply, Request, ranged

NOTHING = Reply(404, b"404 page not found\n")
FORBIDDEN = Reply(403, b'{"errors":[{"code":"DENIED","message":"no such route"}]}')
MANIFEST_UNKNOWN = b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}'


@dataclass
class Replica:
    """A registry; a context manager.

    Attributes:
        without_api: repositories without the referrers API.
        special: answers that come first, by ``METHOD /path``.
        refuse: what is said to a manifest that is not taken, None when it is.
        digests_are_tags: a tag ``sha256-HEX`` stands for the manifest of that digest (GitLab).
    """

    without_api: set[str] = field(default_factory=set)
    special: dict[str, Reply] = field(default_factory=dict)
    refuse: Callable[[str, Manifest], Reply | None] = lambda name, manifest: None
    digests_are_tags: bool = False
    manifests: dict[tuple[str, str], Manifest] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)

    def __enter__(self) -> Replica:
        self.server = Hostile(self.answer)
        self.address = self.server.address
        return self

    def __exit__(self, *error: object) -> None:
        self.server.stop()

    def push(self, name: str, built: images.Built, tag: str | None = None) -> images.Built:
        """Store an image, under a tag or without one."""
        for part in built.everything():
            self.manifests[name, part.digest] = part.manifest
            self.blobs.update({blob.descriptor.digest: blob.raw for blob in part.blobs})
        if tag is not None:
            self.manifests[name, tag] = built.manifest
        return built

    def tags(self, name: str) -> dict[str, Digest]:
        """What the tags of a repository stand for."""
        return {tag: manifest.digest for (place, tag), manifest in self.manifests.items() if place == name and ":" not in tag}

    def referring(self, name: str, subject: str) -> list[Manifest]:
        """What is there and states a subject."""
        known = [manifest for (place, key), manifest in self.manifests.items() if place == name and ":" in key]
        return [manifest for manifest in known if manifest.subject is not None and manifest.subject.digest == subject]

    def answer(self, request: Request) -> Reply:
        """One request."""
        special = self.special.get(f"{request.method} {request.path}")
        if special is not None:
            return special
        path = request.path.removeprefix("/v2/")
        for kind, what in (("manifests", self._manifest), ("referrers", self._referrers), ("blobs", self._blob)):
            name, found, rest = path.partition(f"/{kind}/")
            if found:
                return what(request, name, rest)
        return Reply()

    def _manifest(self, request: Request, name: str, key: str) -> Reply:
        if request.method == "PUT":
            return self._put(request, name, key)
        found = self.manifests.get((name, key))
        if found is None and self.digests_are_tags and key.startswith("sha256-"):
            found = self.manifests.get((name, key.replace("-", ":", 1)))
        if found is None:
            return Reply(404, MANIFEST_UNKNOWN)
        return Reply(200, found.raw, {"Content-Type": found.media_type, "Docker-Content-Digest": found.digest})

    def _put(self, request: Request, name: str, key: str) -> Reply:
        kind = request.headers.get("Content-Type") or sniff_media_type(request.body, "test")
        manifest = Manifest.parse(request.body, kind, "test")
        refusal = self.refuse(key, manifest)
        if refusal is not None:
            return refusal
        self.manifests[name, key] = self.manifests[name, manifest.digest] = manifest
        linked = manifest.subject is not None and name not in self.without_api
        return Reply(201, headers={"OCI-Subject": manifest.subject.digest} if linked and manifest.subject else {})

    def _referrers(self, request: Request, name: str, subject: str) -> Reply:
        if name in self.without_api:
            return NOTHING
        listed = [manifest.descriptor.to_json() for manifest in self.referring(name, subject)]
        body = json.dumps({"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": listed}).encode()
        return Reply(200, body, {"Content-Type": media.OCI_INDEX})

    def _blob(self, request: Request, name: str, rest: str) -> Reply:
        if request.method == "POST":
            return Reply(202, headers={"Location": f"/v2/{name}/blobs/uploads/1"})
        if request.method == "PUT":
            digest = request.query["digest"][0]
            self.blobs[digest] = request.body
            return Reply(201, headers={"Docker-Content-Digest": digest})
        raw = self.blobs.get(rest)
        return Reply(404) if raw is None else ranged(raw, request)


def everything(built: images.Built) -> Iterator[Digest]:
    """The digests of an image's manifests."""
    return (part.digest for part in built.everything())
