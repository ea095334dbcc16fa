"""Charts of HTTP repositories: the version that was asked for, its archive byte for byte, and the provenance file beside it."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from airgap.archives import MadeArtifact
from airgap.archives.made import chart_in_memory, chart_metadata
from airgap.errors import Damaged, NotFound, Refused, UsageError
from airgap.limits import MAX_CHART, MAX_CHART_INDEX, MAX_CHARTS, MAX_SIGNATURE_BLOB
from airgap.lists.semver import Version
from airgap.oci import strictjson
from airgap.oci.digest import Digest
from airgap.oci.reference import Reference
from airgap.registry.web import WebFiles
from airgap.sources.chartaddress import ChartAddress
from airgap.sources.chartindex import ChartIndex, IndexedChart
from airgap.sources.provenance import check_provenance, is_provenance
from airgap.text import printable

#: How a server says that a provenance file is not there; S3 says the last one where nobody may list what there is.
_ABSENT = (404, 410, 403)


@dataclass(frozen=True)
class RemoteChart:
    """A chart that was fetched.

    Attributes:
        artifact: what it is carried as.
        reference: what the site knows it by, if the list does not say.
        address: it and no other archive.
    """

    artifact: MadeArtifact
    reference: Reference
    address: ChartAddress


class ChartRepositories:
    """The HTTP repositories of one command; the index of each is read once.

    Args:
        files: reads them.
        say: tells the operator something.
    """

    def __init__(self, files: WebFiles, say: Callable[[str], None]) -> None:
        self._files = files
        self._say = say
        self._indexes: dict[str, ChartIndex] = {}
        self._charts: dict[str, RemoteChart] = {}
        self._held = 0

    def find(self, address: ChartAddress) -> RemoteChart:
        """The chart at an address, verified by the digest in it, that in the index, and the keyring, as far as there are any.

        Raises:
            NotFound: there is no such chart or version.
            Damaged: the archive or the index is not what it should be, or the archive was replaced.
            Refused: the keyring does not prove it.
            RegistryError: the server does not deliver.
            UsageError: the address, a range or the keyring is no such thing, or there are too many charts.
        """
        if str(address) not in self._charts:
            found = self._fetch(address)
            self._charts[str(address)] = self._charts[str(found.address)] = found
        return self._charts[str(address)]

    def _fetch(self, address: ChartAddress) -> RemoteChart:
        where = printable(str(address), 300)
        indexed = self._index(address.repository).find(address.name, address.version)
        file = f"{indexed.name}-{indexed.version}.tgz"
        archive = self._files.fetch(indexed.url, MAX_CHART, address.repository)
        digest = Digest.of(archive)
        if address.digest not in (None, digest):
            raise Damaged(
                "the chart repository has replaced the archive of a version",
                where=where,
                expected=str(address.digest),
                got=str(digest),
                hint="ask its publisher why; airgap resolve --lock FILE --update takes the new one",
            )
        if indexed.digest not in (None, digest):
            raise Damaged(
                "the archive does not match the digest in the chart repository's index",
                where=printable(indexed.url, 300),
                expected=str(indexed.digest),
                got=str(digest),
            )
        provenance = self._provenance(indexed, address)
        self._held += len(archive) + len(provenance or b"")
        if self._held > MAX_CHARTS:
            raise UsageError(
                "the charts from HTTP repositories are too large together",
                where=where,
                expected=f"at most {MAX_CHARTS} bytes",
                hint="split the list into several bundles",
            )
        _check_named(archive, indexed)
        artifact = chart_in_memory(file, archive, provenance, printable(indexed.url, 300))
        if address.keyring is not None:
            if provenance is None:
                raise Refused(
                    "a chart has no provenance file",
                    where=where,
                    expected=f"{printable(file)}.prov beside it, signed by a key of {printable(str(address.keyring))}",
                    hint="without keyring: in the list it is carried unproven",
                )
            signer = check_provenance(provenance, file, digest, address.keyring, where)
            self._say(f"{where}: {file} {indexed.version} signed by {signer}")
        pinned = address.pinned(indexed.version, digest)
        return RemoteChart(artifact, pinned.reference(), pinned)

    def _index(self, repository: str) -> ChartIndex:
        if repository not in self._indexes:
            raw = self._files.fetch(f"{repository}/index.yaml", MAX_CHART_INDEX, repository)
            self._indexes = {repository: ChartIndex(raw, repository)}  # one at a time: the next may be as large
        return self._indexes[repository]

    def _provenance(self, chart: IndexedChart, address: ChartAddress) -> bytes | None:
        parts = urlsplit(chart.url)
        url = parts._replace(path=f"{parts.path}.prov").geturl()
        try:
            content = self._files.find(url, MAX_SIGNATURE_BLOB, address.repository, _ABSENT)
        except NotFound:  # after a redirect
            return None
        if content is not None and not is_provenance(content):
            self._say(f"{printable(url, 300)}: not a provenance file; the chart is carried without it")
            return None
        return content


def _check_named(archive: bytes, chart: IndexedChart) -> None:
    where = printable(chart.url, 300)
    try:
        own = strictjson.parse_object(chart_metadata(io.BytesIO(archive), where), where)
    except UsageError as error:
        raise Damaged(
            "the chart repository gives what is no packaged chart", where=where, expected=error.expected, got=error.got
        ) from error
    name, version = own.get("name"), str(own.get("version"))
    if name != chart.name or Version.parse(version) != Version.parse(chart.version):
        raise Damaged(
            "the chart repository gives another chart than its index says",
            where=where,
            expected=f"{chart.name} {chart.version}",
            got=printable(f"{name} {version}", 200),
        )
