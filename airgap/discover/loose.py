"""Values that look like images in other fields: Helm values, unknown resources, embedded documents. Only possible."""

from __future__ import annotations

import re

from airgap.discover.findings import TEMPLATE_HINT, Sheet
from airgap.discover.variables import expand
from airgap.discover.written import looks_like_image
from airgap.yamlnodes.nodes import Fields, Items, Node, Scalar

_REPOSITORY = ("repository", "repo", "imageRepository")
_VERSION = ("tag", "version", "imageTag")
_REGISTRY = ("registry", "imageRegistry", "hub")
# What a job's container may be called: a name with a tag.
_BOUNDED = re.compile(r"[a-z0-9][A-Za-z0-9._/-]*+:[A-Za-z0-9_][A-Za-z0-9_.-]*+(?:@sha256:[0-9a-f]{64})?", re.ASCII)
_SHORT = re.compile(r"[a-z0-9][a-z0-9._-]*+", re.ASCII)  # a name alone, which is an image where a container stands
# Written like a reference, but perhaps with upper case or an invalid digest.
_NEARLY = re.compile(r"(?!\w+://)[\w.:-]+/[\w./-]+[:@][\w.:@-]+", re.ASCII)
_IMAGE_ONLY = re.compile(r"image([_-]?(name|ref|reference|url))?$", re.IGNORECASE)


def find_possible(node: Node, sheet: Sheet, key: str = "") -> None:
    """Note everything below a node that could be an image.

    Args:
        key: the key the node stands under.
    """
    if isinstance(node, Items):
        for item in node.items:
            find_possible(item, sheet, key)
    elif isinstance(node, Fields):
        done = _values_style(node, key, sheet)
        _named_value(node, sheet)
        _ci(node, sheet)
        _chart(node, key, sheet)
        _container(node, key, sheet)
        for name, value in node.entries:
            if not (done and name == "image" and isinstance(value, Scalar)):
                find_possible(value, sheet, name)
    elif "image" in key.lower():
        if looks_like_image(node.text) and (key == "image" or _beyond_doubt(node.text)):
            sheet.image(node.text, node.line, sure=False)
        elif _IMAGE_ONLY.search(key) and ("{{" in node.text or "$" in node.text):
            _with_variables(node, sheet)
        elif _IMAGE_ONLY.search(key) and _NEARLY.fullmatch(node.text) and not looks_like_image(node.text):
            sheet.open(node.line, "not a valid image reference", node.text)


def _ci(node: Fields, sheet: Sheet) -> None:
    """``container: IMAGE`` of a job, ``services: [IMAGE]`` of a pipeline, with a tag or a path."""
    for key in ("container", "services"):
        value = node.get(key)
        for item in value.items if isinstance(value, Items) else [value]:
            if isinstance(item, Scalar) and _BOUNDED.fullmatch(item.text) and looks_like_image(item.text):
                sheet.image(item.text, item.line, sure=False)


def _container(node: Fields, key: str, sheet: Sheet) -> None:
    """A container in values, whose image may be a name alone."""
    image = node.get("image")
    if key.lower().endswith("containers") and isinstance(image, Scalar) and _SHORT.fullmatch(image.text):
        sheet.image(f"docker.io/library/{image.text}", image.line, sure=False, written=image.text)


def _chart(node: Fields, key: str, sheet: Sheet) -> None:
    """A chart that something fetches and renders: a release of helmfile, a dependency of a chart."""
    chart = node.get("chart") if key == "releases" else None
    if key == "dependencies" and node.get("repository") is not None:
        chart = node.get("name")
    if isinstance(chart, Scalar) and chart.text and not chart.text.startswith("."):
        sheet.unresolved(chart.line, "a chart that is not here", f"{node.text('repository')} {chart.text}".strip(), TEMPLATE_HINT)


def _with_variables(node: Scalar, sheet: Sheet) -> None:
    """With defaults it may be an image; else it is told, unless a reader that knows more resolves it."""
    expanded = expand(node.text, {})
    if expanded.missing or "{{" in node.text:
        sheet.open(node.line, "an image that is filled in elsewhere", node.text)
    elif looks_like_image(expanded.text):
        sheet.image(expanded.text, node.line, sure=False, written=node.text)


def _beyond_doubt(text: str) -> bool:
    """What a value must be whose key or name only has the word in it (sidecarImage, BASE_IMAGE)."""
    return "/" in text and (":" in text or "@" in text)


def _values_style(node: Fields, key: str, sheet: Sheet) -> bool:
    """``{registry, repository, tag, digest}`` as Helm charts have it, ``image: {name, tag}``, ``{repository, image, version}``.

    Returns whether the value of ``image`` is a part of it and no image by itself.
    """
    keys = (*_REPOSITORY, "name") if "image" in key.lower() else _REPOSITORY
    version, digest, registry = _first(node, _VERSION), _first(node, ("digest", "sha")), _first(node, _REGISTRY)
    image, repository = node.text("image"), _first(node, keys)
    part = bool(image) and (not looks_like_image(image) if repository else ":" not in image.rpartition("/")[2] and "@" not in image)
    if repository and part:
        repository = f"{repository}/{image}"
    elif part and (version or digest):
        repository = image
    if not repository or "://" in repository:
        return False
    whole = f"{registry.rstrip('/')}/{repository}" if registry else repository
    if version or digest:
        digest = f"sha256:{digest}" if digest and ":" not in digest else digest
        sheet.image(whole + (f":{version}" if version else "") + (f"@{digest}" if digest else ""), node.line, sure=False)
    elif any(node.get(name) is not None for name in (*_VERSION, *_REGISTRY)):
        sheet.note(node.line, "the chart selects the tag of this image: render the chart", whole)
    return part and bool(version or digest)


def _first(node: Fields, keys: tuple[str, ...]) -> str:
    """The value of the first of these keys that has one."""
    return next((node.text(name) for name in keys if node.text(name)), "")


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
            elif _IMAGE_ONLY.search(name) and "/" in text and ("$" in text or "{{" in text):
                sheet.open(value.line, "an image that is filled in elsewhere", text)
