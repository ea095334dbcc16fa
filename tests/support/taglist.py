"""A registry with one repository of very many tags, listed page by page, that knows what it was asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from airgap.oci.manifest import Manifest
from tests.support import images
from tests.support.hostile import Hostile, Reply, Request

_LIST = re.compile(r"/v2/(.+)/tags/list")


class ManyTags:
    """An app for ``Hostile``: every tag is the same image. Pages by ``n`` and ``last`` and links to the next.

    Args:
        tags: as the registry has them, in the order of a list.
        built: the image that all of them name.
    """

    def __init__(self, tags: Iterable[str], built: images.Built) -> None:
        self.tags = sorted(tags)
        self._parts: dict[str, Manifest] = {part.digest: part.manifest for part in built.everything()}
        self._blobs: dict[str, bytes] = {blob.descriptor.digest: blob.raw for part in built.everything() for blob in part.blobs}
        self._root = built.manifest

    def answer(self, request: Request) -> Reply:
        """Answer one request."""
        listed = _LIST.fullmatch(request.path)
        if listed:
            return self._page(listed[1], request)
        _, _, name = request.path.rpartition("/")
        if "/blobs/" in request.path and name in self._blobs:
            return Reply(200, self._blobs[name])
        manifest = self._parts.get(name, self._root if name in self.tags else None)
        if "/manifests/" not in request.path or manifest is None:
            return Reply(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')
        return Reply(200, manifest.raw, {"Content-Type": manifest.media_type, "Docker-Content-Digest": manifest.digest})

    def _page(self, name: str, request: Request) -> Reply:
        size = min(int(request.query.get("n", ["100"])[0]), 250)
        after = request.query.get("last", [""])[0]
        left = [tag for tag in self.tags if tag > after]
        page = left[:size]
        more = {"Link": f'</v2/{name}/tags/list?n={size}&last={page[-1]}>; rel="next"'} if len(left) > size else {}
        return Reply(200, json.dumps({"name": name, "tags": page}).encode(), {"Content-Type": "application/json", **more})


def manifests_asked(server: Hostile) -> list[str]:
    """The tags whose manifests the server was asked for, leaving out those that stand for digests; each as often as asked."""
    names = [request.path.rpartition("/")[2] for request in server.requests if "/manifests/" in request.path]
    return [name for name in names if not name.startswith("sha256")]
