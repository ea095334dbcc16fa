"""The ``ImagesLock`` of imgpkg and kbld (imgpkg.carvel.dev/v1alpha1): images by digest.

kind: ImagesLock
images:
- image: index.docker.io/team/app@sha256:...
  annotations: {kbld.carvel.dev/id: docker.io/team/app}
"""

from __future__ import annotations

from airgap.lists.entry import Entry, Wishes
from airgap.lists.values import read_reference
from airgap.lists.yamltree import ListReader
from airgap.yamlnodes.nodes import Fields, Node

GROUP = "imgpkg.carvel.dev/"
KIND = "ImagesLock"
VERSIONS = (f"{GROUP}v1alpha1",)


def parse_images_lock(root: Node, reader: ListReader) -> Wishes:
    """Read one document; what is wrong with it goes into the reader's mistakes."""
    fields = reader.fields(root, "the lock", ("apiVersion", "kind", "metadata", "images"))
    if "images" not in fields:
        reader.wrong(root, "the lock has no images", "images: and a list", got=", ".join(fields))
        return Wishes()
    found = [_entry(node, reader) for node in reader.items(fields["images"], "images")]
    return Wishes(tuple(entry for entry in found if entry is not None))


def _entry(node: Node, reader: ListReader) -> Entry | None:
    image = reader.fields(node, "an image", ("image", "annotations"))
    if "image" not in image:
        if isinstance(node, Fields):
            reader.wrong(node, "an image has no reference", "image: and a reference by digest", got=", ".join(image))
        return None
    reference = read_reference(reader, image["image"], what="a reference by digest")
    if reference is None:
        return None
    if reference.digest is None:
        expected = "name@sha256:..., as imgpkg and kbld write it"
        reader.wrong(image["image"], "an image in the lock has no digest", expected, got=str(reference))
        return None
    return Entry(reference, (), reader.origin(image["image"]))
