"""Compose files: the image of every service, with the variables of ``.env`` and the defaults beside them."""

from __future__ import annotations

from collections.abc import Mapping

from airgap.discover.containerfile import find_in_containerfile
from airgap.discover.findings import Sheet
from airgap.discover.nodes import Fields, Items, Node, Scalar
from airgap.discover.variables import expand

_BUILT = ("build", "never")
_IMAGE_CONTEXT = "docker-image://"


def is_compose(root: Fields, name: str) -> bool:
    """Whether a mapping is a Compose file: by its services, or by its name when it includes others."""
    if root.get("apiVersion") is not None:
        return False
    services = root.get("services")
    if isinstance(services, Fields):
        found = [service for _, service in services.entries if isinstance(service, Fields)]
        if any(service.get(key) is not None for service in found for key in ("image", "build", "extends", "provider")):
            return True
    return "compose" in name.lower() and (services is not None or root.get("include") is not None)


def find_in_compose(root: Fields, values: Mapping[str, str], sheet: Sheet) -> None:
    """Note the images of one Compose file.

    Args:
        values: the variables of the environment file beside it.
    """
    services = root.get("services")
    for name, service in services.entries if isinstance(services, Fields) else ():
        if isinstance(service, Fields):
            _service(name, service, values, sheet)
        elif not isinstance(service, Scalar) or service.text:
            sheet.unresolved(service.line, "not a service", name, "a service is a mapping with image: or build:")
    _follow(root.get("include"), ("path",), values, sheet)


def _service(name: str, service: Fields, values: Mapping[str, str], sheet: Sheet) -> None:
    image, build = service.get("image"), service.get("build")
    if isinstance(image, Scalar):
        _image(image, values, sheet, built=build is not None or service.text("pull_policy") in _BUILT)
    elif image is not None:
        sheet.unresolved(image.line, "an image that is not a text", name)
    elif build is not None:
        sheet.note(build.line, f"service {name} is built here, not fetched", _made_from(build))
    elif service.get("extends") is None and service.get("provider") is None:
        sheet.note(service.line, f"service {name} has neither image: nor build:; another file may give it one")
    if isinstance(build, Fields):
        _build(build, values, sheet)
    extends = service.get("extends")
    if isinstance(extends, Fields):
        _follow(extends, ("file",), values, sheet)
    _volumes(service.get("volumes"), values, sheet)


def _made_from(build: Node) -> str:
    """What a build is made from, for a note."""
    if isinstance(build, Scalar):
        return build.text
    return build.text("context") if isinstance(build, Fields) else ""


def _build(build: Fields, values: Mapping[str, str], sheet: Sheet) -> None:
    inline = build.get("dockerfile_inline")
    if isinstance(inline, Scalar):
        find_in_containerfile(inline.text.replace("$$", "$"), sheet, inline.line + 1)
    contexts = build.get("additional_contexts")
    entries = contexts.entries if isinstance(contexts, Fields) else ()
    found = [value for _, value in entries] + (contexts.items if isinstance(contexts, Items) else [])
    for node in found:
        if isinstance(node, Scalar) and _IMAGE_CONTEXT in node.text:
            _image(Scalar(node.text.partition(_IMAGE_CONTEXT)[2], node.line), values, sheet)


def _volumes(volumes: Node | None, values: Mapping[str, str], sheet: Sheet) -> None:
    for volume in volumes.items if isinstance(volumes, Items) else ():
        source = volume.get("source") if isinstance(volume, Fields) and volume.text("type") == "image" else None
        if isinstance(source, Scalar):
            _image(source, values, sheet)


def _image(node: Scalar, values: Mapping[str, str], sheet: Sheet, built: bool = False) -> None:
    expanded = expand(node.text, values, "$")
    if expanded.missing:
        what = f"no value for {', '.join(expanded.missing[:3])}"
        sheet.unresolved(node.line, what, node.text, "set it in the .env file beside it, or add the image to the list")
        return
    remark = "the name of what is built here" if built else ""
    if not built and expanded.text != node.text:
        remark = f"from {node.text}"
    sheet.image(expanded.text, node.line, sure=not built, remark=remark, written=node.text)


def _follow(node: Node | None, keys: tuple[str, ...], values: Mapping[str, str], sheet: Sheet) -> None:
    """Ask for the files that a Compose file takes in: a name, a list of names, or mappings that have them."""
    if isinstance(node, Items):
        for item in node.items:
            _follow(item, keys, values, sheet)
    elif isinstance(node, Fields):
        for key in keys:
            _follow(node.get(key), keys, values, sheet)
    elif isinstance(node, Scalar) and node.text:
        name = expand(node.text, values, "$")
        if name.missing or "://" in name.text or name.text.startswith("git@"):
            sheet.unresolved(node.line, "another Compose file that is not here", node.text, "fetch it and discover it too")
        else:
            sheet.follow(name.text, node.line)
