"""Take files out of an artifact: each layer that has a name becomes a file again, byte for byte.

The name is the layer's title (image-spec, ``annotations.md``; ORAS). A Helm chart has none: it is called as ``helm pull`` calls it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from airgap import fsio
from airgap.archives.made import CHART_LAYER, CHART_PROVENANCE
from airgap.errors import Refused, UsageError
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Reference, Repository
from airgap.oci.stores import Source
from airgap.oci.verify import CHUNK, VerifiedReader
from airgap.text import listing, printable

_LONGEST = 255  # bytes; no file system has longer names


@dataclass(frozen=True)
class WrittenFile:
    """A file that was written: where, and the layer that it was."""

    path: Path
    layer: Descriptor


def named_files(manifest: Manifest, reference: Reference) -> dict[str, Descriptor]:
    """The files in an artifact, each by its name.

    Raises:
        UsageError: it holds none: it is an image, or an index of several.
        Refused: a name leads elsewhere than into a directory, or two files have the same.
    """
    found: dict[str, Descriptor] = {}
    for layer in manifest.layers:
        name = layer.annotations.get(media.TITLE, "") or _chart_name(layer, reference)
        if not name:
            continue
        if name in (".", "..") or "/" in name or "\0" in name or printable(name) != name or len(name.encode()) > _LONGEST:
            raise Refused("an artifact names a file that cannot be one", where=str(reference), got=printable(name, 200))
        if found.setdefault(name, layer) is not layer:
            raise Refused("an artifact has two files of one name", where=str(reference), got=name)
    if not found:
        raise UsageError(
            "no files can be taken out of this: it is an image, not an artifact of files",
            where=str(reference),
            expected="layers with a title, such as file: in an image list makes, or a Helm chart",
            hint="copy an image with skopeo or podman",
        )
    return found


def take(
    source: Source, repository: Repository, manifest: Manifest, reference: Reference, out: Path | None, *, force: bool = False
) -> Sequence[WrittenFile]:
    """Write the files of an artifact; each appears whole and verified, or not at all.

    Args:
        source: where it is, under ``repository``.
        repository: its repository there.
        manifest: the artifact.
        reference: its name, for messages and for a chart's file.
        out: a file, if the artifact holds one, or a directory; None: the current directory.
        force: replace files that are there.

    Raises:
        UsageError: there are no files, several for one name, or one that is there already.
        Refused: as :func:`named_files`.
        Damaged, RegistryError, MediaError: the bytes are wrong, cannot be had, or cannot be written.
    """
    files = named_files(manifest, reference)
    directory = Path() if out is None else out if out.is_dir() or len(files) > 1 else None
    if directory is not None and not directory.is_dir():
        raise UsageError(
            "the artifact holds several files",
            where=printable(str(directory)),
            expected="-o with a directory that exists",
            got=listing(list(files)),
        )
    targets = {out if directory is None and out is not None else (directory or Path()) / name: files[name] for name in files}
    there = [path for path in targets if not force and fsio.is_there(path)]
    if there:
        where = printable(str(there[0]))
        raise UsageError("the file is there already", where=where, hint="give another name with -o, or replace it with --force")
    return [WrittenFile(path, _written(source, repository, layer, path)) for path, layer in targets.items()]


def _written(source: Source, repository: Repository, layer: Descriptor, path: Path) -> Descriptor:
    reader = VerifiedReader(source.open(repository, layer), layer, printable(str(path)))
    buffer, position = memoryview(bytearray(CHUNK)), 0
    try:
        with fsio.new_file(path) as fd:
            while count := reader.readinto(buffer):
                with fsio.disk_errors("cannot write", path):
                    fsio.write_at(fd, buffer[:count], position)
                position += count
    finally:
        reader.close()
    return layer


def _chart_name(layer: Descriptor, reference: Reference) -> str:
    if layer.media_type not in (CHART_LAYER, CHART_PROVENANCE):
        return ""
    version = (reference.tag or layer.digest.short).replace("_", "+")
    name = f"{reference.repository.path.rpartition('/')[2]}-{version}.tgz"
    return name if layer.media_type == CHART_LAYER else f"{name}.prov"
