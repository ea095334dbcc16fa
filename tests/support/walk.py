"""Read everything a registry has, with nothing but HTTP: the independent witness that nothing was lost."""

from __future__ import annotations

import hashlib
import http.client
import json
from dataclasses import dataclass, field

ACCEPT = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)


@dataclass
class Contents:
    """Tags (``path:tag`` -> digest) and everything reachable from them: manifests and blobs by ``path@digest``."""

    tags: dict[str, str] = field(default_factory=dict)
    manifests: set[str] = field(default_factory=set)
    blobs: set[str] = field(default_factory=set)

    def below(self, prefix: str) -> Contents:
        """What is under a path prefix, without that prefix."""

        def cut(names: set[str]) -> set[str]:
            return {name.removeprefix(prefix) for name in names if name.startswith(prefix)}

        tags = {name.removeprefix(prefix): digest for name, digest in self.tags.items() if name.startswith(prefix)}
        return Contents(tags, cut(self.manifests), cut(self.blobs))


def walk(address: str) -> Contents:
    """Everything in a registry that can be reached from its tags; every byte is fetched and hashed."""
    found = Contents()
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        for path in json.loads(_get(connection, "/v2/_catalog?n=1000"))["repositories"]:
            for tag in json.loads(_get(connection, f"/v2/{path}/tags/list")).get("tags") or []:
                raw = _get(connection, f"/v2/{path}/manifests/{tag}")
                found.tags[f"{path}:{tag}"] = _digest(raw)
                _descend(connection, path, _digest(raw), found)
    finally:
        connection.close()
    return found


def _descend(connection: http.client.HTTPConnection, path: str, digest: str, found: Contents) -> None:
    if f"{path}@{digest}" in found.manifests:
        return
    raw = _get(connection, f"/v2/{path}/manifests/{digest}")
    assert _digest(raw) == digest
    found.manifests.add(f"{path}@{digest}")
    value = json.loads(raw)
    for child in value.get("manifests", []):
        _descend(connection, path, child["digest"], found)
    for blob in [value["config"], *value["layers"]] if "layers" in value else []:
        if f"{path}@{blob['digest']}" not in found.blobs:
            content = _get(connection, f"/v2/{path}/blobs/{blob['digest']}")
            assert _digest(content) == blob["digest"]
            assert len(content) == blob["size"]
            found.blobs.add(f"{path}@{blob['digest']}")


def _get(connection: http.client.HTTPConnection, target: str) -> bytes:
    connection.request("GET", target, headers={"Accept": ACCEPT})
    response = connection.getresponse()
    body = response.read()
    assert response.status == 200, f"{target}: {response.status} {body[:200]!r}"
    return body


def _digest(raw: bytes) -> str:
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"
