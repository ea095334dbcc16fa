"""Build the targets that every import creates afresh: archives, directories, podman's storage, the images directory of k3s."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from airgap import fsio
from airgap.importer.signing import SiteSigning
from airgap.lookaside.places import directory_name
from airgap.lookaside.read import read_directory
from airgap.naming.mapping import FileTarget, Form, TargetSpec
from airgap.oci.descriptor import Platform
from airgap.oci.digest import Digest
from airgap.oci.reference import Repository
from airgap.targets.archive import ArchiveTarget
from airgap.targets.collecting import Collecting
from airgap.targets.directory import DirTarget, StorageTarget

ScratchOption = Annotated[
    Path | None,
    typer.Option(
        "--scratch",
        metavar="DIR",
        help="Temporary directory for repaired volumes, and for images on their way to containers-storage:.",
        show_default="the system's directory for temporary files",
    ),
]


@dataclass(frozen=True)
class FileOptions:
    """Options for these targets.

    Attributes:
        platform: the platform that is loaded, if there is only one.
        scratch: a directory with room for the images; None for the system's own.
        signatures: the lookaside tree that the import writes GPG signatures into.
    """

    platform: Platform | None = None
    scratch: Path | None = None
    signatures: Path | None = None

    @classmethod
    def of(cls, platforms: tuple[Platform, ...], scratch: Path | None, signing: SiteSigning) -> FileOptions:
        """From the options of the command line."""
        return cls(platforms[0] if len(platforms) == 1 else None, scratch, signing.lookaside)


def file_target(spec: FileTarget, bundle: str, options: FileOptions) -> Collecting:
    """Build the target; nothing is written yet.

    Args:
        spec: the target as named on the command line.
        bundle: the bundle's name; an archive in the directory of k3s is named after it.

    Raises:
        UsageError: skopeo is needed and not installed.
    """
    if spec.form is Form.DIRECTORY:
        return DirTarget(spec.path, _Tree(options.signatures))
    if spec.form is Form.STORAGE:
        return StorageTarget(options.scratch or Path(tempfile.gettempdir()), spec.place, options.platform)
    if spec.form is Form.K3S:
        return ArchiveTarget(spec.path / f"{bundle}.tar", attachments=False)
    docker = spec.form is Form.DOCKER_ARCHIVE  # whoever loads those takes every name for an image that can run
    return ArchiveTarget(spec.path, docker=docker, platform=options.platform, attachments=not docker)


@contextlib.contextmanager
def with_signatures(spec: TargetSpec, signing: SiteSigning) -> Iterator[SiteSigning]:
    """Give ``dir:`` a temporary lookaside tree, from which it takes the signatures that belong in the directory."""
    if not takes_signatures(spec) or signing.lookaside is not None:
        yield signing
        return
    with fsio.disk_errors("cannot create a directory", Path(tempfile.gettempdir())):
        directory = fsio.TemporaryDirectory(Path(tempfile.gettempdir(), "signatures"))
    with directory as tree:
        yield replace(signing, lookaside=tree, kept=False)


def takes_signatures(spec: TargetSpec) -> bool:
    """Whether the target itself holds GPG signatures."""
    return isinstance(spec, FileTarget) and spec.form is Form.DIRECTORY


class _Tree:
    """The GPG signatures of a lookaside tree, as ``dir:`` asks for them."""

    def __init__(self, tree: Path | None) -> None:
        self._tree = tree

    def __call__(self, repository: Repository, digest: Digest) -> tuple[bytes, ...]:
        return () if self._tree is None else read_directory(self._tree / directory_name(repository.path, digest))
