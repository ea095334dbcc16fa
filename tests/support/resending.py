"""Bundles of several blocks a volume, and requests for some of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airgap.documents.request import ResendRequest
from airgap.format import names
from airgap.layout import LayoutStore
from airgap.oci.digest import Digest
from tests.support import images
from tests.support.bundles import catalog_of
from tests.support.platform import Published

_LAYER = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True)
class Wish:
    """Somebody who needs parts of a bundle again, and a directory to write requests into."""

    bundle: Path
    work: Path

    def request(self, blocks: Mapping[int, Sequence[int]]) -> Path:
        """A request file for blocks of volumes, by number."""
        raw = (self.bundle / names.CATALOG).read_bytes()
        wanted = {names.volume_name(number): found for number, found in blocks.items()}
        request = ResendRequest.of(catalog_of(self.bundle), Digest.of(raw), wanted)
        path = self.work / f"{request.id}.request.json"
        path.write_bytes(request.to_bytes())
        return path

    def document(self, blocks: Mapping[int, Sequence[int]]) -> dict[str, Any]:
        """The same as a document to be changed."""
        document: dict[str, Any] = json.loads(self.request(blocks).read_bytes())
        return document


def publish_large(address: str, work: Path, extra: images.Content | None = None) -> Published:
    """Push two images with 58 MB of layers that do not compress, one of them in both.

    Args:
        address: of a registry.
        work: a directory to build in.
        extra: one more layer.
    """
    base, more = (images.content(images.seeded(name, size), _LAYER) for name, size in (("base", 30_000_000), ("more", 28_000_000)))
    web = images.index([images.image([base, *([extra] if extra else [])], platform=p) for p in images.PLATFORMS])
    with LayoutStore(work / "origin") as layout:
        images.publish(layout, "origin.example/shop/web:1.0", web)
        images.publish(layout, "origin.example/single:3", images.image([base, more]))
        layout.commit()
        tags = images.push_layout_to_registry(layout, address)
    return Published(address, [f"{address}/shop/web:1.0", f"{address}/single:3"], {n: str(d) for n, d in tags.items()})
