"""Kustomizations: the images they put in place of others, and what of them is not here."""

from __future__ import annotations

import re

from airgap.discover.findings import Sheet
from airgap.discover.nodes import Fields, Items, Scalar

_NAMES = ("kustomization.yaml", "kustomization.yml", "kustomization")
_REMOTE = re.compile(r"[a-z+]+://|git@|(?:github|gitlab|bitbucket)\.[a-z]+/|.*\?ref=", re.IGNORECASE)
_SOURCES = ("resources", "bases", "components", "crds")
_HINT = "render it: kustomize build DIR | airgap discover -"


def is_kustomization(root: Fields, name: str) -> bool:
    """Whether a mapping is a kustomization, of kustomize (which may leave out the kind) or of Flux."""
    if root.text("kind") in ("Kustomization", "Component"):
        return "kustomize." in root.text("apiVersion") or not root.text("apiVersion")
    return name.lower() in _NAMES and root.get("kind") is None


def find_in_kustomization(root: Fields, sheet: Sheet) -> None:
    """Note the images that a kustomization brings in, which ones they replace, and the resources that are elsewhere."""
    spec = root.get("spec")
    of_flux = isinstance(spec, Fields)
    images = spec.get("images") if isinstance(spec, Fields) else root.get("images")
    for image in images.items if isinstance(images, Items) else ():
        if isinstance(image, Fields) and image.text("name"):
            _image(image, sheet)
    if of_flux:
        return
    for key in _SOURCES:
        node = root.get(key)
        for item in node.items if isinstance(node, Items) else ():
            if not isinstance(item, Scalar) or not item.text:
                continue
            if _REMOTE.match(item.text):
                sheet.unresolved(item.line, "a resource that is fetched from elsewhere", item.text, _HINT)
            else:
                sheet.follow(item.text, item.line)
    if isinstance(root.get("helmCharts"), Items):
        sheet.unresolved(root.line, "a kustomization that renders charts", "helmCharts", f"{_HINT} (with --enable-helm)")


def _image(image: Fields, sheet: Sheet) -> None:
    old, new, tag, digest = (image.text(key) for key in ("name", "newName", "newTag", "digest"))
    name = new or old
    version = (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
    if version:
        sheet.image(name + version, image.line, remark=f"in place of {old}", written=old)
    sheet.override(old, name, version, image.line)
