"""The ``additionalImages`` of an oc-mirror ``ImageSetConfiguration`` (mirror.openshift.io/v1alpha2 and v2alpha1).

    kind: ImageSetConfiguration
    mirror: {additionalImages: [{name: registry.redhat.io/ubi9/ubi:latest}]}

Everything else in it stands for images that only oc-mirror can find: such a section is left out. ``blockedImages`` are
expressions that are taken out of the others, as oc-mirror does. oc-mirror reads keys in upper and lower case alike, and so they
are here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from airgap.lists.entry import Entry, Wishes
from airgap.lists.values import read_reference, wished_platform
from airgap.lists.yamllist import read_pattern
from airgap.lists.yamltree import ListReader, is_empty, spot_of
from airgap.oci.descriptor import Platform
from airgap.yamlnodes.nodes import Fields, Items, Node, Scalar, text_of

GROUP = "mirror.openshift.io/"
KIND = "ImageSetConfiguration"
VERSIONS = (f"{GROUP}v1alpha2", f"{GROUP}v2alpha1")
_ADDITIONAL = "additionalImages"
_BLOCKED = "blockedImages"
_OTHER = ("platform", "operators", "helm", "samples", "ocp")
_TOP_UNDONE = {"archiveSize": "use export --volume-size", "storageConfig": "airgap keeps its own state (--state)"}
_IMAGE_UNDONE = dict.fromkeys(("targetRepo", "targetTag"), "import --map sets the names at the destination")
_KEYS = ("mirror", _ADDITIONAL, _BLOCKED, *_OTHER, *_TOP_UNDONE, "name", "platforms", "os", "architecture", *_IMAGE_UNDONE)
_SPELLED = {key.lower(): key for key in _KEYS}
_HINT = "mirror it with oc-mirror, or list its images one by one"


def parse_oc_mirror(root: Node, reader: ListReader) -> Wishes:
    """Read one document; what is wrong with it goes into the reader's mistakes."""
    root = _spelled(root)
    fields = reader.fields(root, "the configuration", ("apiVersion", "kind", "metadata", "mirror", *_TOP_UNDONE))
    notices = _undone(fields, _TOP_UNDONE, reader)
    if "mirror" not in fields:
        reader.wrong(root, "the configuration has no mirror:", f"mirror: with {_ADDITIONAL}:", got=", ".join(fields))
        return Wishes()
    images, blocked = _sections(fields["mirror"], reader)
    wanted: list[Entry] = []
    for node in reader.items(images, _ADDITIONAL) if images is not None else []:
        image = reader.taken(node, "an image", ("name", "platforms", *_IMAGE_UNDONE))
        notices += _undone(image, _IMAGE_UNDONE, reader)
        wanted += _entry(node, image, reader)
    kept, without = _unblocked(wanted, blocked, reader)
    return Wishes(kept, (), (*notices, *without))


def _spelled(node: Node) -> Node:
    """A node whose known keys have their one spelling; one that stands beside that spelling keeps its own, and is a mistake."""
    if isinstance(node, Items):
        return replace(node, items=[_spelled(item) for item in node.items])
    if not isinstance(node, Fields):
        return node
    given = {name for name, _ in node.entries}
    names = {name: spelled for name in given if (spelled := _SPELLED.get(name.lower(), name)) not in given}
    keys = [replace(key, text=names.get(key.text, key.text)) if isinstance(key, Scalar) else key for key in node.keys]
    return replace(node, entries=[(names.get(name, name), _spelled(value)) for name, value in node.entries], keys=keys)


def _sections(mirror: Node, reader: ListReader) -> tuple[Node | None, Node | None]:
    """The nodes of the images and of those that are blocked; every other section that asks for something is left out."""
    found, others = dict[str, Node](), not isinstance(mirror, Fields)
    for name, key_node, section in reader.pairs(mirror, "mirror"):
        if name in (_ADDITIONAL, _BLOCKED):
            found[name] = section
        elif name not in _OTHER:
            reader.wrong(key_node, "an unknown key", " or ".join((_ADDITIONAL, _BLOCKED, *_OTHER)), got=name)
        elif not is_empty(section):
            others = True
            reader.leave_out(key_node, f"{name}:", _HINT)
    if _ADDITIONAL not in found and not others:
        reader.wrong(mirror, "mirror: has no images", f"{_ADDITIONAL}: and a list", got="no such key")
    return found.get(_ADDITIONAL), found.get(_BLOCKED)


def _unblocked(wanted: Sequence[Entry], blocked: Node | None, reader: ListReader) -> tuple[tuple[Entry, ...], list[str]]:
    """The images that no expression of the blocked ones matches, and a line for each that one does."""
    nodes = [] if blocked is None or is_empty(blocked) else reader.items(blocked, _BLOCKED)
    names = [reader.fields(node, "a blocked image", ("name",)).get("name") for node in nodes]
    patterns = [pattern for name in names if name is not None and (pattern := read_pattern(name, reader)) is not None]
    kept = tuple(one for one in wanted if not any(pattern.found_in(str(one.reference)) for pattern in patterns))
    return kept, [f"{one.origin}: {one.reference} is not carried: it is under {_BLOCKED}:" for one in wanted if one not in kept]


def _entry(node: Node, image: dict[str, Node], reader: ListReader) -> Iterator[Entry]:
    if "name" in image:
        reference = read_reference(reader, image["name"])
        platforms = tuple(_platforms(image["platforms"], reader)) if "platforms" in image else ()
        if reference is not None:
            yield Entry(reference, platforms, reader.origin(image["name"]))
    elif isinstance(node, Fields):
        reader.wrong(node, "an image has no name", "name: and a reference", got=", ".join(image))


def _platforms(node: Node, reader: ListReader) -> Iterator[Platform]:
    for item in reader.items(node, "platforms"):
        said = reader.fields(item, "a platform", ("os", "architecture"))
        text = "/".join(text_of(said.get(name)) for name in ("os", "architecture"))
        platform = wished_platform(text, spot_of(item), reader.mistakes) if isinstance(item, Fields) else None
        if platform is not None:
            yield platform


def _undone(fields: dict[str, Node], known: dict[str, str], reader: ListReader) -> list[str]:
    return [f"{reader.origin(fields[name])}: {name}: is not used here: {why}" for name, why in known.items() if name in fields]
