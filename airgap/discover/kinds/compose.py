"""Compose files: the image of every service, with the variables of ``.env`` and the defaults beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from airgap.discover.anywhere import find_anywhere
from airgap.discover.findings import Sheet
from airgap.discover.kinds.containerfile import find_in_containerfile
from airgap.discover.loose import find_possible
from airgap.discover.settings import find_in_arguments, find_in_variable
from airgap.discover.variables import expand
from airgap.text import printable
from airgap.yamlnodes.nodes import Fields, Items, Node, Scalar

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
            sheet.unresolved(service.line, "not a valid service", name, "a service is a mapping with image: or build:")
    for key, node in root.entries:
        if key.startswith("x-") or key == "configs":
            find_possible(node, sheet, key)
    _models(root.get("models"), values, sheet)
    _follow(root.get("include"), ("path",), values, sheet)
    _with_variables(root, values, sheet, set())


def _service(name: str, service: Fields, values: Mapping[str, str], sheet: Sheet) -> None:
    image, build = service.get("image"), service.get("build")
    if build is not None:
        how = "built here, not pulled" if image is None else "built here, or pulled if a registry has it"
        sheet.note(build.line, f"service {printable(name, 60)} is {how}", _made_from(build))
    if isinstance(image, Scalar):
        _image(image, values, sheet, _not_pulled(service))
    elif image is not None:
        sheet.unresolved(image.line, "the image is not a string", name)
    elif build is not None:
        pass
    elif service.get("extends") is None and service.get("provider") is None:
        sheet.note(service.line, f"service {name} has neither image: nor build:; another file may add one")
    _container(service, values, sheet)
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


def _not_pulled(service: Fields) -> str:
    """Why an image may not come from a registry; empty when it does."""
    policy = service.text("pull_policy")
    if service.get("build") is not None or policy == "build":
        return "the name of an image that is built here; Compose first tries to pull it"
    return "pull_policy: never, so it must already be on the host" if policy == "never" else ""


def _image(node: Scalar, values: Mapping[str, str], sheet: Sheet, not_pulled: str = "") -> None:
    expanded = expand(node.text, values, "$")
    if expanded.missing:
        what = f"no value for {', '.join(expanded.missing[:3])}"
        sheet.unresolved(node.line, what, node.text, "set it in the .env file next to it, or add the image to the list")
        sheet.explain(node.text, node.line)
        return
    remark = not_pulled or (f"from {node.text}" if expanded.text != node.text else "")
    part = sheet.part(sure=False) if not_pulled else sheet
    part.image(expanded.text, node.line, remark=remark, written=node.text)


def _container(service: Fields, values: Mapping[str, str], sheet: Sheet) -> None:
    """What a service's command line and environment name."""
    for key in ("entrypoint", "command"):
        node = service.get(key)
        found = node.items if isinstance(node, Items) else [node]
        words = [(expand(item.text, values, "$").text, item.line) for item in found if isinstance(item, Scalar)]
        find_in_arguments(words, sheet)
    for name, value, line in _environment(service.get("environment")):
        find_in_variable(name, expand(value, values, "$").text, line, sheet)


def _environment(node: Node | None) -> Iterator[tuple[str, str, int]]:
    """Name, value and line of every variable, written as a mapping or as a list of ``NAME=value``."""
    if isinstance(node, Fields):
        for name, value in node.entries:
            if isinstance(value, Scalar):
                yield name, value.text, value.line
    elif isinstance(node, Items):
        for item in node.items:
            if isinstance(item, Scalar):
                name, _, text = item.text.partition("=")
                yield name, text, item.line


def _models(models: Node | None, values: Mapping[str, str], sheet: Sheet) -> None:
    """Models that Compose pulls, each an OCI artifact."""
    for _, model in models.entries if isinstance(models, Fields) else ():
        name = model.get("model") if isinstance(model, Fields) else None
        if isinstance(name, Scalar):
            _image(name, values, sheet)


def _with_variables(node: Node, values: Mapping[str, str], sheet: Sheet, seen: set[int]) -> None:
    """Full references that only the values of variables make, whatever key they stand under."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, Scalar):
        expanded = expand(node.text, values, "$") if "$" in node.text and "/" in node.text else None
        if expanded is not None and not expanded.missing:
            find_anywhere(expanded.text, sheet, node.line, literal=False, exact=False)
            sheet.explain(node.text, node.line)
    else:
        for child in node.items if isinstance(node, Items) else [value for _, value in node.entries]:
            _with_variables(child, values, sheet, seen)


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
            sheet.unresolved(node.line, "another Compose file that is not here", node.text, "fetch it and run discover on it too")
        else:
            sheet.follow(name.text, node.line)
