"""Images outside registries: docker archives, OCI archives, skopeo's directories, the stores of container engines.

``tree`` and ``tarindex`` read a tar in place, ``dockerarchive`` and ``imagedir`` are sources, ``made`` makes artifacts of files
and charts, ``engines`` copies out of podman's and Docker's stores, ``placed`` makes one ``Source`` of all places of a job.
"""

from airgap.archives.dockerarchive import DockerArchive
from airgap.archives.engines import copy_from_storage, save_from_daemon
from airgap.archives.imagedir import ImageDirectory
from airgap.archives.made import MadeArtifact, chart_artifact, file_artifact
from airgap.archives.placed import PlacedImage, PlacedSource
from airgap.archives.tree import TarTree

__all__ = [
    "DockerArchive", "ImageDirectory", "MadeArtifact", "PlacedImage", "PlacedSource", "TarTree", "chart_artifact",
    "copy_from_storage", "file_artifact", "save_from_daemon",
]  # fmt: skip
