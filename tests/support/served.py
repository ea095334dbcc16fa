"""A layout with everything in it, served by ``airgap serve``'s engine, and a plain client for it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airgap.layout import LayoutStore
from airgap.oci.reference import Repository
from airgap.server import Catalogue, RegistryServer
from tests.support import images

REPOSITORY = Repository("localhost:5000", "shop/web")


@dataclass
class Reply:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The first error code."""
        return str(self.json["errors"][0]["code"])


@dataclass
class World:
    """A served layout with everything in it."""

    address: str
    layout: Path
    web: images.Built
    sbom: images.Built
    sbom_signature: images.Built
    plain: images.Built
    log: list[str]

    def ask(self, path: str, method: str = "GET", **headers: str) -> Reply:
        """As :func:`ask`."""
        return ask(self.address, path, method, **headers)


def ask(address: str, path: str, method: str = "GET", **headers: str) -> Reply:
    """One request on a connection of its own; ``_`` in header names stands for ``-``."""
    connection = http.client.HTTPConnection(address, timeout=20)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})
        response = connection.getresponse()
        return Reply(response.status, response.headers, response.read())
    finally:
        connection.close()


def serve_everything(tmp_path: Path) -> Iterator[World]:
    """Build it, serve it, stop. For fixtures."""
    web = images.index([images.multi_arch("web", [images.layer("base", 5000)]), images.image([images.layer("base", 5000)])])
    sbom = images.artifact(web, "application/spdx+json", b'{"spdx": 1}', annotations={"org.example.made": "yes"})
    sbom_signature = images.artifact(sbom, "application/vnd.example.signature", b"signature")
    plain = images.image([images.layer("plain")], docker=True)
    path = tmp_path / "store"
    with LayoutStore(path) as store:
        images.publish(store, f"{REPOSITORY}:1.0", web)
        images.publish(store, f"{REPOSITORY}:1.0-slim", web.children[1])
        images.publish(store, f"{REPOSITORY}:flat", web.children[0])
        signature = images.cosign_signature(b"payload", "c2ln")
        images.publish_attachment(store, REPOSITORY, web.digest, ".sig", signature)
        images.attach(store, REPOSITORY, web, [sbom], images.fallback_index([sbom]))
        images.attach(store, REPOSITORY, sbom, [sbom_signature])
        images.publish(store, "docker.io/library/plain:latest", plain)
        store.commit()
    log: list[str] = []
    with RegistryServer(Catalogue(LayoutStore(path)), "127.0.0.1", 0, log.append) as server:
        yield World(server.address, path, web, sbom, sbom_signature, plain, log)
