"""Plain files and Helm charts as OCI artifacts, made when they are opened: an image that only this place knows.

A file is an artifact of one layer, the file byte for byte, whose title is its name (image-spec, ``manifest.md``, "Guidelines for
Artifact Usage"; the title as ORAS reads it). A chart is what ``helm push`` makes of it (helm.sh, "Use OCI-based registries"): its
``Chart.yaml`` as config, the archive byte for byte as the layer, and a provenance file beside it as a second one. The manifest is a
function of the files alone: the same files give the same digest.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from airgap import fsio
from airgap.archives.titles import CHART_LAYER, CHART_PROVENANCE
from airgap.errors import Lacking, UsageError
from airgap.fsio import DirectoryTree
from airgap.limits import MAX_PLAIN_CHART, MAX_SETTINGS, MAX_SIGNATURE_BLOB
from airgap.oci import media, strictjson
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Repository
from airgap.oci.stores import Reader, Referrers
from airgap.oci.verify import BytesReader, digest_of
from airgap.text import printable
from airgap.yamlnodes import nodes
from airgap.yamlnodes.nodes import Fields, Items, Node

#: What a plain file is, as an artifact.
FILE_TYPE = "application/vnd.airgap.file.v1"
CHART_CONFIG = "application/vnd.cncf.helm.config.v1+json"

_PROVENANCE = ".prov"
#: Members of a chart's archive that are looked at before its ``Chart.yaml``; ``helm package`` writes it first.
_MOST_MEMBERS = 10_000


class MadeArtifact:
    """Files of one directory as a ``Source`` of one artifact. Thread-safe.

    Args:
        manifest: names every part by its digest.
        files: the parts that are files, by their names in ``folder``.
        parts: the parts that are in memory.
        folder: where the files are.
        where: what to call the place in messages; empty: the folder.
    """

    def __init__(
        self, manifest: Manifest, files: Mapping[Digest, str], parts: Mapping[Digest, bytes], folder: Path, where: str = ""
    ) -> None:
        self.root = manifest
        self._files = files
        self._parts = {**parts, manifest.digest: manifest.raw}
        self._tree = DirectoryTree(folder)
        self._where = where or printable(str(folder))

    def manifest(self, repository: Repository, selector: str) -> Manifest:  # noqa: ARG002
        """As ``Source.manifest``, by digest only."""
        if selector != self.root.digest:
            raise Lacking("the artifact has no such manifest", where=self._where, expected=printable(selector, 200))
        return self.root

    def referrers(self, repository: Repository, subject: Digest) -> Referrers:  # noqa: ARG002
        """As ``Source.referrers``: nothing refers to it."""
        return Referrers(())

    def has(self, repository: Repository, descriptor: Descriptor) -> bool:  # noqa: ARG002
        """As ``Source.has``."""
        part = self._parts.get(descriptor.digest)
        if part is not None:
            return len(part) == descriptor.size
        name = self._files.get(descriptor.digest)
        return name is not None and self._tree.size(name) == descriptor.size

    def open(self, repository: Repository, descriptor: Descriptor, offset: int = 0) -> Reader:  # noqa: ARG002
        """As ``Source.open``."""
        if descriptor.digest in self._parts:
            return BytesReader(self._parts[descriptor.digest], offset)
        if descriptor.digest not in self._files:
            raise Lacking("the artifact has no such part", where=self._where, expected=descriptor.digest)
        return self._tree.open(self._files[descriptor.digest], descriptor.size, offset)


def file_artifact(path: Path) -> MadeArtifact:
    """A plain file as an artifact.

    Raises:
        UsageError: there is no such file, or it is none.
        MediaError: it cannot be read.
    """
    layer = _layer(path, _file_type(path.name))
    return _made(path.parent, FILE_TYPE, (media.OCI_EMPTY, media.EMPTY), [layer])


def file_manifest(name: str, digest: Digest, size: int, where: str) -> Manifest:
    """The manifest that a plain file of this name and content has as an artifact."""
    layer = Descriptor(_file_type(name), digest, size, annotations={media.TITLE: name})
    return _manifest(FILE_TYPE, (media.OCI_EMPTY, media.EMPTY), [layer], where)


def chart_artifact(path: Path) -> MadeArtifact:
    """A packaged Helm chart as an artifact, with the provenance file beside it, if there is one.

    Raises:
        UsageError: there is no such file, or it is no packaged chart.
        MediaError: it cannot be read.
    """
    layers = [_layer(path, CHART_LAYER)]
    with path.open("rb") as archive:
        config = chart_metadata(archive, printable(str(path)))
    provenance = path.with_name(path.name + _PROVENANCE)
    if fsio.is_there(provenance):
        fsio.read_input(provenance, MAX_SIGNATURE_BLOB, "provenance file")  # not larger than readers of it accept
        layers.append(_layer(provenance, CHART_PROVENANCE))
    return _made(path.parent, "", (CHART_CONFIG, config), layers)


def chart_in_memory(file: str, archive: bytes, provenance: bytes | None, where: str) -> MadeArtifact:
    """A packaged chart that was fetched, as the same artifact that it would be as a file.

    Args:
        file: its name, ``NAME-VERSION.tgz``.
        archive: the packaged chart.
        provenance: its provenance file, if there is one.
        where: where it was fetched, for messages.

    Raises:
        UsageError: it is no packaged chart.
    """
    config = chart_metadata(io.BytesIO(archive), where)
    found = [(CHART_LAYER, file, archive)]
    found += [(CHART_PROVENANCE, file + _PROVENANCE, provenance)] if provenance is not None else []
    layers = [Descriptor(kind, Digest.of(data), len(data), annotations={media.TITLE: name}) for kind, name, data in found]
    manifest = _manifest("", (CHART_CONFIG, config), layers, where)
    parts = {Digest.of(data): data for data in (config, *(data for _, _, data in found))}
    return MadeArtifact(manifest, {}, parts, Path(), where)


def _made(folder: Path, artifact_type: str, config: tuple[str, bytes], layers: list[Descriptor]) -> MadeArtifact:
    manifest = _manifest(artifact_type, config, layers, printable(str(folder)))
    files = {layer.digest: layer.annotations[media.TITLE] for layer in layers}
    return MadeArtifact(manifest, files, {Digest.of(config[1]): config[1]}, folder)


def _manifest(artifact_type: str, config: tuple[str, bytes], layers: list[Descriptor], where: str) -> Manifest:
    media_type, content = config
    value = {
        "schemaVersion": 2,
        "mediaType": media.OCI_MANIFEST,
        **({"artifactType": artifact_type} if artifact_type else {}),
        "config": Descriptor(media_type, Digest.of(content), len(content)).to_json(),
        "layers": [layer.to_json() for layer in layers],
    }
    return Manifest.parse(strictjson.canonical(value), media.OCI_MANIFEST, where)


def _layer(path: Path, media_type: str) -> Descriptor:
    where = printable(str(path))
    if not path.is_file():
        got = "a directory" if path.is_dir() else "no such file"
        raise UsageError("cannot read the file", where=where, expected="a regular file", got=got)
    if printable(path.name) != path.name:
        raise UsageError("the name of the file cannot be carried", where=where, expected="printable UTF-8 text without line ends")
    size = path.stat().st_size
    reader = DirectoryTree(path.parent).open(path.name, size, 0)
    try:
        return Descriptor(media_type, digest_of(reader), size, annotations={media.TITLE: path.name})
    finally:
        reader.close()


def _file_type(name: str) -> str:
    """Archives are said to be such, so that patches between two of their versions can be made."""
    if name.endswith((".tar.gz", ".tgz")):
        return media.OCI_LAYER_GZIP
    return media.OCI_LAYER if name.endswith(".tar") else media.OCTETS


def chart_metadata(file: IO[bytes], where: str) -> bytes:
    """The ``Chart.yaml`` of a packaged chart as JSON, which is the config that Helm writes.

    Raises:
        UsageError: it is no packaged chart.
    """
    try:
        # tarfile's own streams of gzip cannot read the extra field that Helm writes (RFC 1952, section 2.3.1.1)
        with _Bounded(file) as plain, tarfile.open(fileobj=plain, mode="r|") as archive:
            for count, member in enumerate(archive):
                if count == _MOST_MEMBERS:
                    break
                if member.isfile() and member.name.count("/") == 1 and member.name.endswith("/Chart.yaml"):
                    content = archive.extractfile(member)
                    raw = content.read(MAX_SETTINGS + 1) if content is not None else b""
                    return _as_json(raw, where)
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error) as error:
        raise UsageError(
            "not a packaged chart", where=where, expected="what helm package writes", got=printable(str(error), 200)
        ) from error
    raise UsageError("not a packaged chart", where=where, expected="NAME/Chart.yaml in it", got="no such member")


class _Bounded(gzip.GzipFile):
    """What is read of a compressed file, up to a bound: a few kilobytes may become gigabytes."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(fileobj=file, mode="rb")
        self._left = MAX_PLAIN_CHART

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self._left -= len(data)
        if self._left < 0:
            raise ValueError(f"no Chart.yaml in its first {MAX_PLAIN_CHART >> 20} MiB, uncompressed")
        return data


def _as_json(raw: bytes, where: str) -> bytes:
    expected = "name: and version:, UTF-8, at most 1 MiB"
    try:
        documents, problems = nodes.compose(raw[: MAX_SETTINGS + 1].decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UsageError("the chart's Chart.yaml is not valid", where=where, expected=expected, got="not UTF-8") from error
    value = _plain(documents[0]) if len(documents) == 1 and not problems and len(raw) <= MAX_SETTINGS else None
    if not isinstance(value, dict) or not {"name", "version"} <= value.keys():
        raise UsageError("the chart's Chart.yaml is not valid", where=where, expected=expected)
    return strictjson.canonical(value)


def _plain(node: Node) -> Any:
    """A node as Helm's JSON has it; what YAML takes for a date or a fraction stays the text that it is."""
    if isinstance(node, Fields):
        return {name: _plain(value) for name, value in node.entries}
    if isinstance(node, Items):
        return [_plain(value) for value in node.items]
    if node.kind == "null":
        return None
    return node.text.lower() in ("true", "yes", "on") if node.kind == "bool" else node.text
