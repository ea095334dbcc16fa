"""``files:`` and ``charts:`` of our own list: what else an installation needs, carried as OCI artifacts.

files:
  - ./install.sh                                    # airgap.local/files/install.sh:latest
  - {path: ./tools.tar.gz, name: tools, version: "2.1"}
  - {url: "https://get.example.com/cli-1.9.tgz", sha256: 9f86d081..., name: cli, version: "1.9"}
charts:
  - oci://ghcr.io/shop/charts/web:1.4.0             # in a registry: an image like any other
  - {path: ./api-2.1.0.tgz}                         # airgap.local/charts/api:2.1.0
  - {repo: https://charts.example.com/stable, name: db, version: ^5.1}   # charts.example.com/stable/db:5.1.7
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePath
from urllib.parse import quote, unquote, urlsplit

from airgap.errors import UsageError
from airgap.lists.entry import Entry, Wish
from airgap.lists.kinds.charts import wished_chart
from airgap.lists.values import OCI, read_images
from airgap.lists.yamltree import ListReader, spot_of
from airgap.oci.places import WEB, Place
from airgap.oci.reference import Reference
from airgap.yamlnodes.nodes import Fields, Node

#: Where artifacts are said to come from that were made of files: no registry has this name.
HOST = "airgap.local"
_CHART = re.compile(r"(.+)-(v?[0-9]+\.[0-9]+\.[0-9]+(?:[-+].*)?)\.tgz", re.ASCII)
_LATEST = "latest"
_DISCOVER = "discover"


def wished_artifacts(node: Node, kind: str, reader: ListReader, image: Callable[[Reference, str], Entry]) -> Iterator[Wish]:
    """The entries of ``files:`` or ``charts:``; what is wrong goes into the mistakes.

    Args:
        node: the list.
        kind: ``file`` or ``chart``.
        reader: reads it.
        image: the entry for an image that a chart names, and where it was asked for, with the list's choices for all images.
    """
    for item in reader.items(node, f"{kind}s"):
        if kind == "chart" and not isinstance(item, Fields):
            text = reader.text(item, "a chart") or ""
            if text.startswith(OCI):
                yield from (Entry(reference, (), reader.origin(item)) for reference, _ in read_images(reader, item))
                continue
            if text.startswith(WEB):
                yield from wished_chart(item, text, "", reader)
                continue
        fields = {"path": item}
        if isinstance(item, Fields):
            chart = kind == "chart"
            more = ("repo", "keyring", "images", "values") if chart else ("url", "sha256")
            fields = reader.fields(item, f"a {kind}", ("path", "name", "version", *more))
            if "url" in fields:
                yield from _behind_url(item, fields, reader)
                continue
            if "repo" in fields:
                yield from _with_images(item, fields, list(_in_repository(item, fields, reader)), reader, image)
                continue
        path = reader.text(fields["path"], "a path") if "path" in fields else None
        if path is None:
            if "path" not in fields:
                reader.wrong(item, f"a {kind} has no path", "path: and a file", got=", ".join(fields) or "nothing")
            continue
        yield from _with_images(item, fields, list(_entry(item, kind, path, fields, reader)), reader, image)


def _with_images(
    item: Node, fields: dict[str, Node], charts: Sequence[Wish], reader: ListReader, image: Callable[[Reference, str], Entry]
) -> Iterator[Wish]:
    """A chart, and with ``images: discover`` the images that it names."""
    yield from charts
    if "images" not in fields:
        if "values" in fields:
            reader.wrong(fields["values"], "values: has nothing to be for", "images: discover beside it", got="no images:")
        return
    if reader.text(fields["images"], "images") != _DISCOVER:
        reader.wrong(fields["images"], "not a valid value of images:", _DISCOVER)
        return
    nodes = reader.items(fields["values"], "values", few=True) if "values" in fields else []
    values = [Path(text) for text in (reader.text(node, "a file of values") for node in nodes) if text]
    for chart in charts:
        if not isinstance(chart, Entry) or not chart.source:
            hint = "pull it (helm pull) and list the file: {path: FILE, images: discover}"
            reader.wrong(item, "images: discover is for charts on disk and on web servers", "path: or repo: https://", hint=hint)
            return
        try:
            found = reader.chart_images(Place.parse(chart.source), values)
        except UsageError as error:
            reader.mistakes.add_error(spot_of(item), error)
            return
        yield from (image(reference, reader.origin(item)) for reference in found)


def _behind_url(item: Node, fields: dict[str, Node], reader: ListReader) -> Iterator[Entry]:
    said = {name: reader.text(node, name, numbers=name == "version") or "" for name, node in fields.items()}
    if "path" in fields or not said["url"].startswith(WEB):
        expected = "url: https://HOST/PATH, and perhaps sha256:, name: and version:"
        reader.wrong(item, "not a valid file behind a URL", expected, got=said["url"] or ", ".join(fields))
        return
    yield from wished_file(item, said["url"], said.get("sha256", ""), said.get("name", ""), said.get("version", ""), reader)


def wished_file(item: Node, path: str, digest: str, name: str, version: str, reader: ListReader) -> Iterator[Entry]:
    """The entry of one file, by path or URL.

    Args:
        item: names it, for messages.
        path: a path, or an ``https://`` or ``http://`` URL.
        digest: what the list says of its content: ``""``, 64 hexadecimal digits, or those after ``sha256:``.
        name: what the site calls it; ``""`` for its own name.
        version: ``""`` for ``latest``.
    """
    fragment = f"sha256={digest.removeprefix('sha256:').lower()}" if digest else ""
    file = path
    if path.startswith(WEB):
        file = unquote(urlsplit(path).path.rpartition("/")[2])
        fragment += "" if file or not name else f"{'&' if fragment else ''}title={quote(name.rpartition('/')[2], safe='')}"
        path = f"{path}#{fragment}" if fragment else path
    yield from placed(item, "file", path, name or PurePath(file).name, version or _LATEST, reader)


def _in_repository(item: Node, fields: dict[str, Node], reader: ListReader) -> Iterator[Wish]:
    named = ((name, fields[name]) for name in ("repo", "name", "version", "keyring") if name in fields)
    said = {name: reader.text(node, name, numbers=name == "version") or "" for name, node in named}
    repo, name = said["repo"].rstrip("/"), said.get("name", "")
    if "path" in fields or not name or not repo.startswith((OCI, *WEB)):
        expected = "repo: https://HOST/PATH or oci://HOST/PATH, name: and version:"
        reader.wrong(item, "not a valid chart in a repository", expected, got=", ".join(fields))
        return
    if "keyring" in fields and repo.startswith(OCI):
        hint = "signatures of charts in registries are carried and judged by the policy, as those of images"
        reader.wrong(fields["keyring"], "keyring: is for charts on web servers", "repo: https://HOST/PATH", got=repo, hint=hint)
        return
    yield from wished_chart(item, f"{repo}/{name}", said.get("version", ""), reader, said.get("keyring", ""))


def _entry(item: Node, kind: str, path: str, fields: dict[str, Node], reader: ListReader) -> Iterator[Entry]:
    name, version = _called(path, kind)
    if "name" in fields:
        name = reader.text(fields["name"], "a name") or ""
    if "version" in fields:
        version = reader.text(fields["version"], "a version", numbers=True) or ""
    if name and version:
        yield from placed(item, kind, path, name, version, reader)


def placed(item: Node, kind: str, path: str, name: str, version: str, reader: ListReader) -> Iterator[Entry]:
    """The entry ``airgap.local/KINDs/NAME:VERSION`` of what is at a path, by the transport ``kind``."""
    try:
        reference = Reference.parse(f"{HOST}/{kind}s/{name.lower()}:{version.replace('+', '_')}")
        places = list(reader.places(Place(kind, path, ""), reference))
    except UsageError as error:
        reader.mistakes.add_error(spot_of(item), error)
        return
    yield from (Entry(found, (), reader.origin(item), source=str(place)) for found, place in places)


def _called(path: str, kind: str) -> tuple[str, str]:
    """The name and version of a file that the list does not say."""
    file = unquote(urlsplit(path).path.rpartition("/")[2]) if path.startswith(WEB) else PurePath(path).name
    chart = _CHART.fullmatch(file) if kind == "chart" else None
    return (chart[1], chart[2]) if chart else (file, _LATEST)
