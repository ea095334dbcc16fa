"""Media types, and what each one means for us (image-spec media-types.md; distribution manifest v2 schema 2)."""

from __future__ import annotations

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
#: What stands where nothing is needed, with its media type above (image-spec, ``manifest.md``, "Guidance for an Empty Descriptor").
EMPTY = b"{}"
#: The annotation that names a file in an artifact (image-spec, ``annotations.md``).
TITLE = "org.opencontainers.image.title"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
#: A GPG simple-signing blob from a lookaside store (containers-signature(5)); it has no registered media type.
GPG_SIGNATURE = "application/vnd.airgap.simple-signing.v1+pgp"
OCTETS = "application/octet-stream"

INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})
IMAGES = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
MANIFESTS = INDEXES | IMAGES
CONFIGS = frozenset({OCI_CONFIG, DOCKER_CONFIG})

#: The ``Accept`` header for manifests. Without all of these some registries answer 404 or convert the manifest.
ACCEPT_MANIFESTS = ", ".join((OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST))


def is_foreign(media_type: str) -> bool:
    """Whether a layer is of a type that its author does not let others distribute."""
    return ".foreign." in media_type or "nondistributable" in media_type
