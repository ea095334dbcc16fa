"""Small images for scripts/bench far: pushed by plain requests, and asked for again."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import json
import os
from typing import Any

_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_COSIGN = "application/vnd.dev.cosign.simplesigning.v1+json"


def push(address: str, name: str, platforms: int) -> None:
    """Push one image of its own content, and a signature of its index under cosign's tag.

    Args:
        address: ``HOST:PORT`` of a registry without TLS.
        name: ``REPOSITORY:TAG``.
        platforms: how many platforms the index has.
    """
    repository, _, tag = name.partition(":")
    connection = http.client.HTTPConnection(address)

    def put(content: bytes, media_type: str, selector: str = "") -> dict[str, Any]:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if media_type in (_INDEX, _MANIFEST):
            connection.request("PUT", f"/v2/{repository}/manifests/{selector or digest}", content, {"Content-Type": media_type})
        else:
            connection.request("POST", f"/v2/{repository}/blobs/uploads/")
            answer = connection.getresponse()
            answer.read()
            path = answer.headers["Location"].partition(address)[2]
            connection.request("PUT", f"{path}&digest={digest}", content)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 201:
            raise SystemExit(f"bench: the registry answers {answer.status}")
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def image(seed: str, selector: str = "", kind: str = _LAYER) -> dict[str, Any]:
        layer = put(gzip.compress(seed.encode() + os.urandom(4096), mtime=0), kind)
        config = put(json.dumps({"architecture": "amd64", "os": "linux", "config": {"Labels": {"seed": seed}}}).encode(), _CONFIG)
        manifest = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": config, "layers": [layer]}
        return put(json.dumps(manifest).encode(), _MANIFEST, selector)

    children = [
        {**image(f"{name} {number}"), "platform": {"os": "linux", "architecture": f"arch{number}"}} for number in range(platforms)
    ]
    index = put(json.dumps({"schemaVersion": 2, "mediaType": _INDEX, "manifests": children}).encode(), _INDEX, tag)
    image(f"{name} signature", f"{index['digest'].replace(':', '-')}.sig", _COSIGN)
    connection.close()
