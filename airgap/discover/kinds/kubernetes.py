"""Kubernetes objects, as manifests, as a chart renders them or as a cluster prints them: every kind, by the shape of its parts.

Pod specs stand in many kinds, also in ones that nobody knows yet, but a list ``containers`` always is one. So no kind is
enumerated: lists and keys that can only be a pod's parts are looked for wherever they stand.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping

from airgap.discover.findings import Sheet
from airgap.discover.kinds.customresources import find_special, keys_of
from airgap.discover.loose import find_possible
from airgap.discover.settings import find_in_arguments, find_in_variable
from airgap.yamlnodes.nodes import Fields, Items, Node, Scalar

_CONTAINERS = frozenset(
    ("containers", "initContainers", "ephemeralContainers", "sidecars", "steps", "relatedImages",
     "container", "script", "stepTemplate", "containerDisk", "containerTemplate")
)  # fmt: skip
# Not carried: status repeats the spec or tells the past, metadata has old copies of the whole object.
_PASSED_OVER = frozenset(("apiVersion", "kind", "metadata", "status"))
# Kinds that only speak about images (schemas, rules that forbid some), or that hold secrets.
SCHEMAS = frozenset(("CustomResourceDefinition", "Secret", "ConstraintTemplate"))
_RULES = re.compile(r"(.*\.)?(kyverno\.io|gatekeeper\.sh|kubewarden\.io|policy\.sigstore\.dev)|admissionregistration\.k8s\.io")
_PARAMETER = re.compile(
    r"\$\((?:params|inputs\.params)\.([\w.-]+)\)|\$\(params\[[\"']([^\"']+)[\"']\]\)"
    r"|\{\{=?\s*(?:inputs|workflow)\.parameters\.([\w.-]+)\s*\}\}|\$\{\{?(\w+)\}?\}"
)
_MOST_VALUES = 20


def is_kubernetes(root: Fields) -> bool:
    """Whether a mapping says that it is an object of the Kubernetes API."""
    return bool(root.text("apiVersion") and root.text("kind"))


def find_in_kubernetes(root: Fields, sheet: Sheet, kind: str = "") -> None:
    """Note the images of one object, or of all in a List.

    Args:
        kind: what it is when it does not say so itself, as in a DeploymentList.
    """
    kind = root.text("kind") or kind
    items = root.get("items")
    if kind.endswith("List") and isinstance(items, Items):
        for item in items.items:
            if isinstance(item, Fields):
                find_in_kubernetes(item, sheet, kind.removesuffix("List"))
    elif _RULES.fullmatch(group_of(root)):
        find_possible(root, sheet)
    elif kind not in SCHEMAS:
        parameters: dict[str, list[str]] = {}
        _collect(root, "", parameters)
        _Object(root, parameters, sheet).find()
        for name, value in root.entries:
            if name not in _PASSED_OVER:
                find_possible(value, sheet, name)


def group_of(root: Fields) -> str:
    """The API group of an object; empty for the core group."""
    group, slash, _ = root.text("apiVersion").partition("/")
    return group if slash else ""


class _Object:
    """One object, and the values that its parameters may have."""

    def __init__(self, root: Fields, parameters: Mapping[str, list[str]], sheet: Sheet) -> None:
        self._root = root
        self._keys = keys_of(group_of(root), root.text("kind"))
        self._parameters = parameters
        self._sheet = sheet

    def find(self) -> None:
        find_special(group_of(self._root), self._root.text("kind"), self._root, self._sheet)
        for name, value in self._root.entries:
            if name not in _PASSED_OVER:
                self._walk(value, name, "")
        metadata = self._root.get("metadata")
        annotations = metadata.get("annotations") if isinstance(metadata, Fields) else None
        image = annotations.get("containerImage") if isinstance(annotations, Fields) else None
        if isinstance(image, Scalar):  # of a ClusterServiceVersion
            self._sheet.image(image.text, image.line, sure=False)

    def _walk(self, node: Node, key: str, parent: str) -> None:
        if isinstance(node, Items):
            for item in node.items:
                self._walk(item, key, parent)
            if key in ("args", "command"):
                find_in_arguments(((item.text, item.line) for item in node.items if isinstance(item, Scalar)), self._sheet)
        elif isinstance(node, Scalar):
            if key in self._keys:
                self._image(node)
        elif is_kubernetes(node):  # in a Template, a ResourceTemplate, a ManifestWork
            if node.text("kind") not in SCHEMAS:
                _Object(node, self._parameters, self._sheet).find()
        else:
            self._fields(node, key, parent)

    def _fields(self, node: Fields, key: str, parent: str) -> None:
        image, reference, url = node.get("image"), node.get("reference"), node.get("url")
        if isinstance(image, Scalar) and key in _CONTAINERS and "image" not in self._keys:
            self._image(image)
        elif isinstance(image, Items) and key in _CONTAINERS:
            self._sheet.unresolved(image.line, "the image is a list", key, "use a string")
        if isinstance(reference, Scalar) and key == "image" and parent == "volumes":
            self._image(reference)
        if isinstance(url, Scalar) and key == "registry" and url.text.startswith("docker://"):  # of a KubeVirt DataVolume
            self._image(url)
        self._named(node, key)
        for name, value in node.entries:
            self._walk(value, name, key)

    def _named(self, node: Fields, key: str) -> None:
        """``{kind: DockerImage, name}`` of OpenShift; variables of a container's environment."""
        name, value = node.get("name"), node.get("value")
        if node.text("kind") == "DockerImage" and isinstance(name, Scalar):
            self._image(name)
        elif isinstance(value, Scalar) and key == "env":
            find_in_variable(node.text("name"), value.text, value.line, self._sheet)

    def _image(self, node: Scalar) -> None:
        """Note an image; one with parameters in it becomes every image that they make of it."""
        names = list(dict.fromkeys(name for found in _PARAMETER.finditer(node.text) for name in found.groups() if name))
        choices = [self._parameters.get(name, []) for name in names]
        if not names or (not all(choices) and "${" in node.text):
            self._sheet.image(node.text, node.line)
        elif not all(choices) or math.prod(map(len, choices)) > _MOST_VALUES:
            hint = "set its default, or add the image to the list"
            self._sheet.unresolved(node.line, f"no unique value for the parameter {names[0]}", node.text, hint)
        else:
            for values in itertools.product(*choices):
                known = dict(zip(names, values, strict=True))
                text = _PARAMETER.sub(lambda found: known[next(name for name in found.groups() if name)], node.text)  # noqa: B023
                self._sheet.image(text, node.line, remark=f"with {', '.join(names)} from its parameters", written=node.text)


def _collect(node: Node, key: str, into: dict[str, list[str]]) -> None:
    """All values and defaults of the parameters declared or set anywhere in an object, by name."""
    if isinstance(node, Items):
        for item in node.items:
            _collect(item, key, into)
    elif isinstance(node, Fields):
        if key in ("params", "parameters"):
            values = into.setdefault(node.text("name"), [])
            for text in (node.text("value"), node.text("default")):
                if text and text not in values and len(values) <= _MOST_VALUES:
                    values.append(text)
        for name, value in node.entries:
            _collect(value, name, into)
