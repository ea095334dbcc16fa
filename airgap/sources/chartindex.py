"""The index of a chart repository (helm.sh, "The Chart Repository Guide"): which versions of a chart there are, and where. Pure.

apiVersion: v1
entries:
  web:
    - {name: web, version: 1.4.0, urls: [web-1.4.0.tgz], digest: 0123...}
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urljoin

from airgap.errors import Damaged, NotFound, UsageError
from airgap.limits import MAX_INDEXED_CHARTS
from airgap.lists.semver import Range, Version
from airgap.oci.digest import Digest
from airgap.registry.web import web_url
from airgap.text import like, listing, printable
from airgap.yamlnodes import nodes
from airgap.yamlnodes.nodes import Bounds, Fields, Items, Node, text_of
from airgap.yamlnodes.spans import NotYaml, spans

_BOUNDS = Bounds(depth=24, nodes=2_000_000)
_VALID = "the index.yaml of a chart repository (helm repo index)"


@dataclass(frozen=True)
class IndexedChart:
    """One version of a chart.

    Attributes:
        name: of the chart.
        version: as the index spells it.
        url: of the archive, absolute.
        digest: what the index says of the archive; None when it says nothing.
    """

    name: str
    version: str
    url: str
    digest: Digest | None


class ChartIndex:
    """What a repository has.

    Args:
        raw: the ``index.yaml``.
        url: of the repository, to which the archives' addresses are relative.

    Raises:
        Damaged: it is no index.
    """

    def __init__(self, raw: bytes, url: str) -> None:
        self._url = f"{url.rstrip('/')}/"
        self._where = f"{printable(self._url, 300)}index.yaml"
        try:
            self._entries = spans(raw.decode("utf-8-sig"), "entries", MAX_INDEXED_CHARTS)
        except UnicodeDecodeError:
            raise self._damaged("not UTF-8 text") from None
        except NotYaml as error:
            raise self._damaged(str(error)) from None

    def find(self, name: str, wanted: str) -> IndexedChart:
        """The chart that ``helm pull NAME --version WANTED`` would take: that very version, or the newest in the range.

        Args:
            name: of the chart.
            wanted: a version or a range (docs/lists.md); ``""`` for the newest release.

        Raises:
            NotFound: there is no such chart or no such version.
            UsageError: ``wanted`` is neither.
            Damaged: the index cannot be read there.
        """
        if name not in self._entries:
            near = like(name, list(self._entries)) or "none"
            raise NotFound("the chart repository has no such chart", where=self._where, got=f"{name}; it has {near}")
        versions = [(text_of(one.get("version")), one) for one in self._versions(name)]
        exact = next((one for version, one in versions if version and version == wanted), None)
        if exact is not None:
            return self._chart(name, exact)
        limits = Range.parse(wanted or "*")
        parsed = [(Version.parse(version), one) for version, one in versions]
        fitting = [(version, one) for version, one in parsed if version is not None and limits.holds(version)]
        if not fitting:
            known = [version for version, _ in versions]
            raise NotFound(
                f"the chart repository has no such version of {name}",
                where=self._where,
                expected=wanted or "a release",
                got=listing(known) or "no version",
                hint="a pre-release is only in a range that names one: >=1.2-0",
            )
        return self._chart(name, max(fitting, key=lambda pair: pair[0])[1])

    def _versions(self, name: str) -> list[Fields]:
        documents, problems = nodes.compose(self._entries[name], literal=False, bounds=_BOUNDS)
        found = documents[0] if len(documents) == 1 and not problems else None
        if not isinstance(found, Items):
            raise self._damaged(problems[0].what if problems else f"{name}: no list of versions")
        return [item for item in found.items if isinstance(item, Fields)]

    def _chart(self, name: str, fields: Fields) -> IndexedChart:
        version, digest_node = text_of(fields.get("version")), fields.get("digest")
        stated = text_of(digest_node).strip().lower()
        if isinstance(digest_node, Fields | Items):
            raise self._damaged(f"{name} {version}: a digest that is no text")
        urls = fields.get("urls")
        first = next((text_of(url) for url in _items(urls) if text_of(url)), "")
        if not first:
            raise self._damaged(f"{name} {version}: no urls")
        try:
            url = urljoin(self._url, first)
            web_url(url)
            digest = Digest.parse(f"sha256:{stated.removeprefix('sha256:')}", self._where) if stated else None
        except ValueError:
            raise self._damaged(f"{name} {version}: not a URL") from None
        except UsageError as error:
            raise self._damaged(f"{name} {version}: no URL of a web server: {error.got}") from None
        return IndexedChart(name, version, url, digest)

    def _damaged(self, got: str) -> Damaged:
        return Damaged("not a valid index of charts", where=self._where, expected=_VALID, got=printable(got, 300))


def _items(node: Node | None) -> list[Node]:
    return node.items if isinstance(node, Items) else []
