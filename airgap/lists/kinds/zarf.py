"""Zarf's packages (zarf.dev/v1alpha1 and v1beta1): the images, charts and git repositories of all components.

    kind: ZarfPackageConfig
    metadata: {name: shop, architecture: amd64}
    components: [{name: web, only: {cluster: {architecture: arm64}}, images: [...], charts: [{name, url: oci://..., version}],
                  repos: [https://git.example.com/shop/deploy.git@v1.2]}]

``###ZARF_PKG_TMPL_NAME###`` stands for a value that is given (``--values``), and so does the ``${NAME}`` of packages that scripts
fill in first. The rest of a package that is content is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from airgap.errors import UsageError
from airgap.lists.entry import Entry, Wish, Wishes
from airgap.lists.gits import wished_git
from airgap.lists.kinds.charts import BY_OTHER_MEANS, wished_chart
from airgap.lists.values import wished_reference
from airgap.lists.yamltree import ListReader, is_empty, peek, spot_of
from airgap.oci.descriptor import Platform
from airgap.oci.places import WEB
from airgap.yamlnodes.nodes import Fields, Node, text_of

KINDS = ("ZarfPackageConfig", "ZarfInitConfig")
_TOP_SETTINGS = ("apiVersion", "kind", "build", "constants", "variables", "documentation")
_SETTINGS = (
    *("name", "description", "default", "required", "group", "healthChecks", "stateAccess", "actions", "scripts"),
    *("cosignKeyPath", "optional", "service", "target"),
)
_CONTENT = ("files", "repositories", "imageArchives", "dataInjections")
_CHART_SETTINGS = (
    *("namespace", "releaseName", "noWait", "valuesFiles", "templatedValuesFiles", "variables", "values", "schemaValidation"),
    *("serverSideApply", "skipWait", "skipSchemaValidation"),
)
#: Where charts of v1beta1 may be that are in no registry.
_ELSEWHERE = ("git", "local")
#: What to do with a repository that is not on a web server.
BY_CLONE = "clone it to this machine (git clone --mirror) and list the directory under gits:"
_CHOICES = ("only", "selector", "import", "manifests")
_TEMPLATE = re.compile(
    r"(?:###ZARF_(?:PKG_TMPL_|PKG_VAR_)?(?=[A-Z0-9_]{1,80}###)|\$\{(?=[A-Za-z_][A-Za-z0-9_]{0,99}\}))([A-Za-z0-9_]{1,100})(?:###|\})",
    re.ASCII,
)
_ARCHITECTURE = "PKG_ARCH"


def parse_zarf(root: Node, reader: ListReader) -> Wishes:
    """Read one package; what is wrong with it goes into the reader's mistakes."""
    top = reader.taken(root, "the package", ("metadata", "components", "values"), _TOP_SETTINGS)
    if "components" not in top:
        reader.wrong(root, "the package has no components", "components: and a list", got=", ".join(top) or "nothing")
        return Wishes()
    metadata = peek(top.get("metadata"))
    architecture = _filled(metadata["architecture"], "", reader) if "architecture" in metadata else ""
    wanted: list[Wish] = []
    for node in reader.items(top["components"], "components"):
        wanted += _component(node, architecture, reader)
    return Wishes(tuple(wanted))


def _component(node: Node, architecture: str, reader: ListReader) -> Iterator[Wish]:
    fields = reader.taken(node, "a component", ("images", "charts", "repos", *_CHOICES), _SETTINGS, _CONTENT)
    if "import" in fields and not is_empty(fields["import"]):
        reader.leave_out(fields["import"], "import: (components of another package)", "list that package, too")
    if "manifests" in fields and not is_empty(fields["manifests"]):
        # what they name as images stands in images:, too, for Zarf carries no other
        reader.notices.append(f"{reader.origin(fields['manifests'])}: manifests: are not carried; their images are under images:")
    only = _architecture(fields) or architecture
    platforms = _platforms(only, node, reader)
    for item in reader.items(fields["images"], "images") if _given(fields, "images") else []:
        image = peek(item).get("name", item)  # in v1beta1 each is a mapping
        if text_of(peek(item).get("source")) == "daemon":
            reader.leave_out(image, f"{text_of(image)} of the local engine", "list it as docker-daemon:NAME")
            continue
        text = _filled(image, only, reader)
        reference = wished_reference(text, spot_of(image), reader.mistakes, "", reader.expand) if text else None
        if reference is not None:
            yield Entry(reference, platforms, reader.origin(image))
    for chart in reader.items(fields["charts"], "charts") if _given(fields, "charts") else []:
        yield from _chart(chart, only, reader)
    for repo in reader.items(fields["repos"], "repos") if _given(fields, "repos") else []:
        yield from _repository(repo, only, reader)


def _chart(node: Node, architecture: str, reader: ListReader) -> Iterator[Wish]:
    known = ("name", "version", "url", "repoName", "gitPath", "localPath")
    place = peek(node)
    if "oci" in place:
        yield from _artifact(place["oci"], architecture, reader)
        return
    if "helmRepository" in place:
        said = {name: _filled(value, architecture, reader) for name, value in peek(place["helmRepository"]).items()}
        name = said.get("name", "") or text_of(place.get("name"))
        yield from wished_chart(node, f"{said.get('url', '').rstrip('/')}/{name}", said.get("version", ""), reader)
        return
    elsewhere = next((name for name in _ELSEWHERE if name in place), None)
    if elsewhere is not None:
        reader.leave_out(node, f"chart {text_of(place.get('name'))} ({elsewhere}:)", BY_OTHER_MEANS)
        return
    fields = reader.taken(node, "a chart", known, _CHART_SETTINGS)
    if not isinstance(node, Fields):
        return
    said = {name: _filled(fields[name], architecture, reader) for name in known if name in fields}
    url = said.get("url", "")
    where = url or said.get("localPath", "") or said.get("name", "")
    if where.startswith(WEB) and "gitPath" not in said and not url.endswith(".git"):
        where = f"{url.rstrip('/')}/{said.get('repoName', '') or said.get('name', '')}"
    elif where.startswith(WEB):
        reader.leave_out(fields["url"], f"chart {where} in git", BY_OTHER_MEANS)
        return
    yield from wished_chart(fields.get("url", node), where, said.get("version", ""), reader)


def _repository(node: Node, architecture: str, reader: ListReader) -> Iterator[Entry]:
    """A git repository, ``URL[@REF]``; without a ref Zarf takes all of it. Its name tells where it is: others end alike."""
    text = _filled(node, architecture, reader)
    if text and not text.startswith(WEB):
        reader.leave_out(node, f"git repository {text}", BY_CLONE)
    elif text:
        host, _, path = text.split("://", 1)[1].partition("/")
        path, _, ref = path.partition("@")
        name = f"{host.replace(':', '-')}/{path.rstrip('/').removesuffix('.git')}"
        version = ref.removeprefix("refs/heads/").removeprefix("refs/tags/").replace("/", "-")
        url = text.removesuffix(f"@{ref}") if ref else text
        yield from wished_git(node, url, [ref or "*"], name, version, reader)


def _artifact(node: Node, architecture: str, reader: ListReader) -> Iterator[Entry]:
    """A chart of v1beta1 in a registry: its address, and a tag or a digest."""
    said, version = peek(node), peek(peek(node).get("ref"))
    if "url" not in said or not version.keys() & {"tag", "digest"}:
        reader.wrong(node, "a chart in a registry has no address or version", "url:, and ref: with tag: or digest:")
        return
    name = "tag" if "tag" in version else "digest"
    mark = ":" if name == "tag" else "@"
    text = f"{_filled(said['url'], architecture, reader)}{mark}{_filled(version[name], architecture, reader)}"
    reference = wished_reference(text, spot_of(node), reader.mistakes)
    if reference is not None:
        yield Entry(reference, (), reader.origin(node))


def _architecture(fields: dict[str, Node]) -> str:
    """The one that a component is for: ``only.cluster`` in v1alpha1, ``selector`` in v1beta1."""
    places = (peek(peek(fields.get("only")).get("cluster")), peek(fields.get("selector")))
    return next((text for place in places if (text := text_of(place.get("architecture")))), "")


def _given(fields: dict[str, Node], name: str) -> bool:
    return name in fields and not is_empty(fields[name])


def _platforms(architecture: str, node: Node, reader: ListReader) -> tuple[Platform, ...]:
    if not architecture:
        return ()
    try:
        return (Platform.parse(f"linux/{architecture}"),)
    except UsageError as error:
        reader.mistakes.add_error(spot_of(node), error)
        return ()


def _filled(node: Node, architecture: str, reader: ListReader) -> str:
    return reader.filled(node, _TEMPLATE, {_ARCHITECTURE: architecture} if architecture else {})
