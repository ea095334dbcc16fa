"""The ``additionalImages`` of an oc-mirror ``ImageSetConfiguration`` (mirror.openshift.io/v1alpha2 and v2alpha1).

    kind: ImageSetConfiguration
    mirror: {additionalImages: [{name: registry.redhat.io/ubi9/ubi:latest}]}

Everything else in it stands for images that only oc-mirror can find: such a section is refused, not left out.
"""

from __future__ import annotations

from collections.abc import Iterator

from airgap.lists.entry import Entry, Wishes
from airgap.lists.values import read_reference
from airgap.lists.yamltree import ListReader
from airgap.yamlnodes.nodes import Fields, Items, Node, is_null

GROUP = "mirror.openshift.io/"
KIND = "ImageSetConfiguration"
VERSIONS = (f"{GROUP}v1alpha2", f"{GROUP}v2alpha1")
_ADDITIONAL = "additionalImages"
_OTHER = ("platform", "operators", "helm", "samples", "blockedImages", "ocp")
_TOP_UNDONE = {"archiveSize": "use export --volume-size", "storageConfig": "airgap keeps its own state (--state)"}
_IMAGE_UNDONE = dict.fromkeys(("targetRepo", "targetTag"), "import --map sets the names at the destination")
_HINT = "remove the section from this file; mirror it with oc-mirror, or list its images one by one"


def parse_oc_mirror(root: Node, reader: ListReader) -> Wishes:
    """Read one document; what is wrong with it goes into the reader's mistakes."""
    fields = reader.fields(root, "the configuration", ("apiVersion", "kind", "metadata", "mirror", *_TOP_UNDONE))
    notices = _undone(fields, _TOP_UNDONE, reader)
    if "mirror" not in fields:
        reader.wrong(root, "the configuration has no mirror:", f"mirror: with {_ADDITIONAL}:", got=", ".join(fields))
        return Wishes()
    images = _additional(fields["mirror"], reader)
    if images is None:
        return Wishes()
    wanted: list[Entry] = []
    for node in reader.items(images, _ADDITIONAL):
        image = reader.fields(node, "an image", ("name", *_IMAGE_UNDONE))
        notices += _undone(image, _IMAGE_UNDONE, reader)
        wanted += _entry(node, image, reader)
    return Wishes(tuple(wanted), (), tuple(notices))


def _additional(mirror: Node, reader: ListReader) -> Node | None:
    """The node of the images; every other section that asks for something is a mistake."""
    found, refused = None, not isinstance(mirror, Fields)
    for name, key_node, section in reader.pairs(mirror, "mirror"):
        if name == _ADDITIONAL:
            found = section
        elif name not in _OTHER:
            reader.wrong(key_node, "an unknown key", " or ".join((_ADDITIONAL, *_OTHER)), got=name)
        elif not _is_empty(section):
            refused = True
            reader.wrong(key_node, f"{name}: is not carried by airgap", f"{_ADDITIONAL}: alone", got=f"{name}:", hint=_HINT)
    if found is None and not refused:
        reader.wrong(mirror, "mirror: has no images", f"{_ADDITIONAL}: and a list", got="no such key")
    return found


def _entry(node: Node, image: dict[str, Node], reader: ListReader) -> Iterator[Entry]:
    if "name" in image:
        reference = read_reference(reader, image["name"])
        if reference is not None:
            yield Entry(reference, (), reader.origin(image["name"]))
    elif isinstance(node, Fields):
        reader.wrong(node, "an image has no name", "name: and a reference", got=", ".join(image))


def _is_empty(node: Node) -> bool:
    return is_null(node) or (isinstance(node, Items) and not node.items) or (isinstance(node, Fields) and not node.entries)


def _undone(fields: dict[str, Node], known: dict[str, str], reader: ListReader) -> list[str]:
    return [f"{reader.origin(fields[name])}: {name}: is not used here: {why}" for name, why in known.items() if name in fields]
