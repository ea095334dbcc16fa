"""Helm charts as other tools' lists name them: in a registry like an image, on a web server fetched, else left out and named.

A chart in a registry lies under ``oci://HOST/PATH/NAME``, its version as the tag, in which ``_`` stands for ``+`` (helm.sh, "Use
OCI-based registries"). A range of versions, or no version, means the newest one in it, as with ``helm pull``.

Also the ``Chart.yaml`` of a chart, whose annotations may name the images it needs, and ``helmfile.yaml``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from airgap.errors import UsageError
from airgap.lists.entry import Entry, Selection, Wish, Wishes
from airgap.lists.semver import Range
from airgap.lists.tags import TagRule
from airgap.lists.values import OCI, read_platform, wished_reference, wished_repository
from airgap.lists.yamltree import ListReader, peek, spot_of
from airgap.oci.descriptor import Platform
from airgap.oci.places import WEB, Place
from airgap.text import printable
from airgap.yamlnodes import nodes
from airgap.yamlnodes.nodes import Bounds, Fields, Items, Node, Scalar, is_null, text_of

#: The annotations of a chart that name its images: Artifact Hub's, Helm's proposed one (Zarf reads it), and Bitnami's.
IMAGE_ANNOTATIONS = ("artifacthub.io/images", "helm.sh/images", "images")
_INSIDE = Bounds(depth=8, nodes=20_000)
_TEMPLATE = "{{"
_EXACT = re.compile(r"v?[0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9}([-_][A-Za-z0-9._-]{1,100})?", re.ASCII)
_CHART_YAML = frozenset({"apiVersion", "name", "version"})
#: What to do with a chart that is in no registry.
BY_OTHER_MEANS = (
    "carry the chart by other means: as a file, chart:FILE in a list, or pushed to a registry, oci://HOST/PATH/NAME:VERSION"
)


def wished_chart(node: Node, where: str, version: str, reader: ListReader, keyring: str = "") -> Iterator[Wish]:
    """What is carried of a chart.

    Args:
        node: names it, for messages.
        where: its address without the version: ``oci://HOST/PATH/NAME`` in a registry, ``https://HOST/PATH/NAME`` in a chart
            repository on a web server; any other is left out.
        version: a version, a range, or ``""`` for the newest release.
        keyring: the file of keys of which one must have signed it; ``""`` when nobody asks.
    """
    if where.startswith(WEB) and _TEMPLATE not in where + version:
        yield from _on_web(node, where, version, keyring, reader)
        return
    if not where.startswith(OCI) or _TEMPLATE in where + version:
        reader.leave_out(node, f"chart {where} {version}".rstrip(), BY_OTHER_MEANS)
        return
    name = where.removeprefix(OCI)
    tag = version.replace("+", "_")
    if _EXACT.fullmatch(tag):
        reference = wished_reference(f"{name}:{tag}", spot_of(node), reader.mistakes)
        if reference is not None:
            yield Entry(reference, (), reader.origin(node))
        return
    repository = wished_repository(name, spot_of(node), reader.mistakes)
    try:
        rule = TagRule(versions=Range.parse(version or "*"), newest=1)
    except UsageError as error:
        reader.mistakes.add_error(spot_of(node), error)
        return
    if repository is not None:
        yield Selection(repository, rule, (), reader.origin(node))


def _on_web(node: Node, where: str, version: str, keyring: str, reader: ListReader) -> Iterator[Entry]:
    path = f"{where}:{version}" if version else where
    try:
        found = reader.places(Place("chart", f"{path}#keyring={keyring}" if keyring else path, ""), None)
    except UsageError as error:
        reader.mistakes.add_error(spot_of(node), error)
        return
    yield from (Entry(reference, (), reader.origin(node), source=str(place)) for reference, place in found)


def is_chart(root: Node) -> bool:
    """Whether a document is a ``Chart.yaml``."""
    fields = peek(root)
    return fields.keys() >= _CHART_YAML and text_of(fields["apiVersion"]) in ("v1", "v2") and "kind" not in fields


def parse_chart(root: Node, reader: ListReader) -> Wishes:
    """The images that a ``Chart.yaml`` names, and the charts it depends on; what is wrong goes into the reader's mistakes."""
    annotations = peek(peek(root).get("annotations"))
    found = [name for name in IMAGE_ANNOTATIONS if name in annotations]
    dependencies = [wish for item in _items(peek(root).get("dependencies")) for wish in _dependency(item, reader)]
    if not found and not dependencies:
        expected = f"annotations: with {' or '.join(IMAGE_ANNOTATIONS)}"
        hint = "render it: helm template CHART | airgap discover -"
        reader.wrong(root, "the chart names no images", expected, got=", ".join(annotations) or "no annotations", hint=hint)
    images = (entry for name in found for entry in _annotated(annotations[name], name, reader))
    return Wishes((*images, *dependencies))


def _dependency(node: Node, reader: ListReader) -> Iterator[Wish]:
    """What a chart depends on in a repository; what lies beside it or in it is no other place's."""
    fields = peek(node)
    name, repository = text_of(fields.get("name")), text_of(fields.get("repository")).rstrip("/")
    if repository.startswith((OCI, *WEB)):
        yield from wished_chart(node, f"{repository}/{name}", text_of(fields.get("version")), reader)
    else:
        reader.notices.append(f"{reader.origin(node)}: dependency {printable(name, 200)} is in no repository that the file names")


def _annotated(node: Node, name: str, reader: ListReader) -> Iterator[Entry]:
    """The images in an annotation, which is YAML inside a text; a mistake in it is told at the annotation."""
    documents, problems = nodes.compose(text_of(node), bounds=_INSIDE)
    images = documents[0] if documents and not problems else None
    if not isinstance(images, Items):
        reader.wrong(node, f"{name}: has the wrong type", "a list of images, as YAML in a text")
        return
    for item in images.items:
        fields = peek(item)
        image = fields.get("image", item)
        if not isinstance(image, Scalar) or is_null(image):
            reader.wrong(node, f"{name}: an image has no reference", "image: and a reference", got=", ".join(fields) or "nothing")
            continue
        reference = wished_reference(image.text, spot_of(node), reader.mistakes, "", reader.expand)
        if reference is not None:
            yield Entry(reference, tuple(_platforms(fields.get("platforms"), reader)), reader.origin(node))


def _platforms(node: Node | None, reader: ListReader) -> Iterator[Platform]:
    for item in node.items if isinstance(node, Items) else ():
        platform = read_platform(reader, item)
        if platform is not None:
            yield platform


def is_helmfile(root: Node) -> bool:
    """Whether a document is a ``helmfile.yaml``: releases, each with a chart, or a list of other helmfiles."""
    top = peek(root)
    return bool(_items(top.get("helmfiles"))) or any("chart" in peek(item) for item in _items(top.get("releases")))


def parse_helmfile(root: Node, reader: ListReader) -> Wishes:
    """The charts that a helmfile installs; what it takes from elsewhere is left out."""
    top = peek(root)
    for name in ("helmfiles", "bases"):
        if name in top:
            reader.leave_out(top[name], f"{name}: (other files)", "list those files, too")
    repositories = {text_of(fields.get("name")): fields for fields in map(peek, _items(top.get("repositories")))}
    wanted: list[Wish] = []
    for release in _items(top.get("releases")):
        fields = peek(release)
        chart = fields.get("chart")
        if not isinstance(release, Fields) or chart is None:
            reader.wrong(release, "a release has no chart", "chart: and a name", got=", ".join(fields) or "nothing")
            continue
        wanted += wished_chart(chart, _address(text_of(chart), repositories), text_of(fields.get("version")), reader)
        reader.notices.append(f"{reader.origin(chart)}: the images that the chart needs are not known from here (airgap discover)")
    return Wishes(tuple(wanted))


def _address(chart: str, repositories: dict[str, dict[str, Node]]) -> str:
    """Where a release's chart is: helmfile writes ``REPOSITORY/CHART`` for the repositories it knows."""
    first, slash, rest = chart.partition("/")
    known = repositories.get(first)
    if known is None or not slash:
        return chart
    url = text_of(known.get("url"))
    return f"{OCI}{url}/{rest}" if text_of(known.get("oci")).lower() == "true" else f"{url}/{rest}"


def _items(node: Node | None) -> list[Node]:
    return node.items if isinstance(node, Items) else []
