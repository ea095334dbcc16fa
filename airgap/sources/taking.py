"""Take files out of an artifact: each layer that has a name (``archives/titles.py``) becomes a file again, byte for byte."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from airgap import fsio
from airgap.archives.titles import named_files
from airgap.errors import UsageError
from airgap.oci.descriptor import Descriptor
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Reference, Repository
from airgap.oci.stores import Source
from airgap.oci.verify import CHUNK, VerifiedReader
from airgap.text import listing, printable


@dataclass(frozen=True)
class WrittenFile:
    """A file that was written: where, and the layer that it was."""

    path: Path
    layer: Descriptor


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
        Refused: as ``named_files``.
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
