"""What looks like an image where nobody promises one: Helm values, unknown resources, embedded documents. Always only possible."""

from __future__ import annotations

from airgap.discover.findings import Sheet, looks_like_image
from airgap.discover.nodes import Fields, Items, Node, Scalar

_REPOSITORY = ("repository", "repo")
_VERSION = ("tag", "version", "imageTag")


def find_possible(node: Node, sheet: Sheet, key: str = "") -> None:
    """Note everything below a node that could be an image.

    Args:
        key: the key the node stands under.
    """
    if isinstance(node, Items):
        for item in node.items:
            find_possible(item, sheet, key)
    elif isinstance(node, Fields):
        _values_style(node, key, sheet)
        _named_value(node, sheet)
        for name, value in node.entries:
            find_possible(value, sheet, name)
    elif "image" in key.lower() and looks_like_image(node.text) and (key == "image" or _beyond_doubt(node.text)):
        sheet.image(node.text, node.line, sure=False)


def _beyond_doubt(text: str) -> bool:
    """What a value must be whose key or name only has the word in it (sidecarImage, BASE_IMAGE)."""
    return "/" in text and (":" in text or "@" in text)


def _values_style(node: Fields, key: str, sheet: Sheet) -> None:
    """``{registry, repository, tag, digest}`` as Helm charts have it, ``image: {name, tag}``, ``{repository, image, version}``."""
    keys = (*_REPOSITORY, "name") if "image" in key.lower() else _REPOSITORY
    repository = next((node.text(name) for name in keys if node.text(name)), "")
    version = next((node.text(name) for name in _VERSION if node.text(name)), "")
    digest = next((text for text in (node.text("digest"), node.text("sha")) if text), "")
    if not repository or "://" in repository:
        return
    image = node.text("image")
    if image and not looks_like_image(image):
        repository = f"{repository}/{image}"
    registry = node.text("registry")
    whole = f"{registry.rstrip('/')}/{repository}" if registry else repository
    if not version and not digest:
        if any(node.get(name) is not None for name in (*_VERSION, "registry")):
            sheet.note(node.line, "an image whose tag the chart chooses: render the chart to see it", whole)
        return
    digest = f"sha256:{digest}" if digest and ":" not in digest else digest
    sheet.image(whole + (f":{version}" if version else "") + (f"@{digest}" if digest else ""), node.line, sure=False)


def _named_value(node: Fields, sheet: Sheet) -> None:
    """``{name: X_IMAGE, value: ...}``, as environments, parameters and Helm settings are written; JSON patches."""
    value = node.get("value")
    if not isinstance(value, Scalar):
        return
    name = (node.text("name") or node.text("path")).lower()
    if "image" in name:
        for line in value.text.split():  # also several, one a line, as "3.9.0=quay.io/strimzi/kafka:0.45.0-kafka-3.9.0"
            text = line.partition("=")[2] or line
            if _beyond_doubt(text) and looks_like_image(text):
                sheet.image(text, value.line, sure=False)
