"""Kustomizations: the images they replace, and what they refer to that is not here."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from airgap.discover.findings import Sheet
from airgap.yamlnodes.nodes import Fields, Items, Node, Scalar

_NAMES = ("kustomization.yaml", "kustomization.yml", "kustomization")
_REMOTE = re.compile(r"[a-z+]+://|git@|(?:github|gitlab|bitbucket)\.[a-z]+/|.*\?ref=", re.IGNORECASE)
_SOURCES = ("resources", "bases", "components", "crds", "generators", "transformers", "patchesStrategicMerge")
_BY_PATH = ("patches", "patchesJson6902", "replacements")
_HINT = "render it: kustomize build DIR | airgap discover -"


def is_kustomization(root: Fields, name: str) -> bool:
    """Whether a mapping is a kustomization, of kustomize (which may leave out the kind) or of Flux."""
    if root.text("kind") in ("Kustomization", "Component"):
        return "kustomize." in root.text("apiVersion") or not root.text("apiVersion")
    return name.lower() in _NAMES and root.get("kind") is None


def find_in_kustomization(root: Fields, sheet: Sheet) -> None:
    """Note the images that a kustomization brings in, which ones they replace, and the resources that are elsewhere."""
    spec = root.get("spec")
    for image in _items(spec.get("images") if isinstance(spec, Fields) else root.get("images")):
        if isinstance(image, Fields) and image.text("name"):
            _image(image, sheet)
    if isinstance(spec, Fields):
        return  # one of Flux, which takes its resources from a source
    for item in itertools.chain.from_iterable(_items(root.get(key)) for key in _SOURCES):
        if isinstance(item, Scalar) and _REMOTE.match(item.text):
            sheet.unresolved(item.line, "a remote resource", item.text, _HINT)
        elif isinstance(item, Scalar) and item.text and "\n" not in item.text:  # else it is a patch itself
            sheet.follow(item.text, item.line)
    for name in _files(root):
        sheet.follow(name.text, name.line)
    if isinstance(root.get("helmCharts"), Items):
        sheet.unresolved(root.line, "a kustomization that renders charts", "helmCharts", f"{_HINT} (with --enable-helm)")


def _files(root: Fields) -> Iterator[Scalar]:
    """The files of patches, replacements and generated ConfigMaps; the latter are written as a path or as ``key=path``."""
    for item in itertools.chain.from_iterable(_items(root.get(key)) for key in _BY_PATH):
        path = item.get("path") if isinstance(item, Fields) else None
        if isinstance(path, Scalar) and path.text:
            yield path
    for item in _items(root.get("configMapGenerator")):
        for file in _items(item.get("files") if isinstance(item, Fields) else None):
            if isinstance(file, Scalar) and file.text:
                yield Scalar(file.text.rpartition("=")[2], file.line)


def _items(node: Node | None) -> list[Node]:
    return node.items if isinstance(node, Items) else []


def _image(image: Fields, sheet: Sheet) -> None:
    old, new, tag, digest = (image.text(key) for key in ("name", "newName", "newTag", "digest"))
    name = new or old
    version = (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
    if version:
        sheet.image(name + version, image.line, remark=f"replaces {old}", written=old)
    sheet.override(old, name, version, image.line)
