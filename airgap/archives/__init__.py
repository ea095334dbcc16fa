"""Images outside registries: docker archives, OCI archives, skopeo's directories, the stores of container engines.

``tree`` and ``tarindex`` read a tar in place, ``dockerarchive`` and ``imagedir`` are sources, ``engines`` copies out of podman's
and Docker's stores, ``many`` makes one ``Source`` of all places of a job.
``archivetarget`` and ``dirtarget`` are the targets.
"""

from airgap.archives.archivetarget import ArchiveTarget
from airgap.archives.dirtarget import DirTarget, StorageTarget
from airgap.archives.dockerarchive import DockerArchive
from airgap.archives.engines import copy_from_storage, save_from_daemon
from airgap.archives.imagedir import ImageDirectory
from airgap.archives.many import Origin, Sources
from airgap.archives.tree import TarTree

__all__ = [
    "ArchiveTarget",
    "DirTarget",
    "DockerArchive",
    "ImageDirectory",
    "Origin",
    "Sources",
    "StorageTarget",
    "TarTree",
    "copy_from_storage",
    "save_from_daemon",
]
