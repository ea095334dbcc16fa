"""Indexes of which a place holds only a part: what is whole there, and how to ask for it.

Engines with containerd's store keep the index of a registry and the content of one platform: `docker save` (Docker 29) and
`ctr images export` write both out as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from airgap.layout import LayoutReader
from airgap.limits import MAX_LEVELS, MAX_MANIFESTS
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Manifest
from airgap.oci.selection import attested
from airgap.text import plural


@dataclass
class Inside:
    """What a layout holds of an image.

    Attributes:
        lacking: the manifests that it does not hold.
        instances: the images that it holds, with all their blobs, and how the index describes each.
    """

    lacking: list[Descriptor] = field(default_factory=list)
    instances: list[tuple[Descriptor, Manifest]] = field(default_factory=list)

    @classmethod
    def of(cls, layout: LayoutReader, root: Manifest) -> Inside:
        """Look through an image. Raises ``Damaged`` for manifests that are not what their digest says."""
        found = cls()
        found._walk(layout, root.descriptor, root, 0)
        return found

    def instance(self, config: Digest) -> Manifest | None:
        """The image that has this config."""
        return next((one for _, one in self.instances if one.config is not None and one.config.digest == config), None)

    def way_out(self, place: str) -> str:
        """What to ask for instead of all of an image of which something is lacking; ``""`` where nothing is whole.

        Args:
            place: how a list names the place, without a name in it.
        """
        attested_ones = {attested(one) for one in self.lacking}
        for described, manifest in self.instances:
            platform = described.platform
            if platform is not None and platform.is_stated and manifest.digest not in attested_ones:
                return f"select what is complete there: platforms: [{platform}] in the list, or --platform {platform}"
        for described, _ in self.instances:
            return f"take the one that is complete: {place}:@{described.digest} as NAME"
        return ""

    def _walk(self, layout: LayoutReader, described: Descriptor, manifest: Manifest, depth: int) -> None:
        if not manifest.is_index:
            if all(layout.find_blob(blob.digest) == blob.size or media.is_foreign(blob.media_type) for blob in manifest.blobs()):
                self.instances.append((described, manifest))
            return
        for child in manifest.children:
            if len(self.instances) + len(self.lacking) >= MAX_MANIFESTS or depth == MAX_LEVELS:
                return
            if layout.find_blob(child.digest) is None:
                self.lacking.append(child)
            elif child.media_type in media.MANIFESTS:
                self._walk(layout, child, layout.find_manifest(child.digest), depth + 1)

    def __str__(self) -> str:
        """What is lacking, for a message."""
        return f"{plural(len(self.lacking), 'manifest')} of it {'is' if len(self.lacking) == 1 else 'are'} not there"
