"""The names of the files in an artifact.

A name is the layer's title (image-spec, ``annotations.md``; ORAS). A Helm chart has none: it is called as ``helm pull`` calls it.
"""

from __future__ import annotations

from collections.abc import Iterable

from airgap.errors import Refused, UsageError
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Reference
from airgap.text import printable

CHART_LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
CHART_PROVENANCE = "application/vnd.cncf.helm.chart.provenance.v1.prov"

_LONGEST = 255  # bytes; no file system has longer names


def named_files(manifest: Manifest, reference: Reference) -> dict[str, Descriptor]:
    """The files in an artifact, each by its name.

    Raises:
        UsageError: it holds none: it is an image, or an index of several.
        Refused: a name leads elsewhere than into a directory, or two files have the same.
    """
    found = titled(manifest.layers, reference)
    if not found:
        raise UsageError(
            "no files can be taken out of this: it is an image, not an artifact of files",
            where=str(reference),
            expected="layers with a title, such as file: in an image list makes, or a Helm chart",
            hint="copy an image with skopeo or podman",
        )
    return found


def has_name(layer: Descriptor) -> bool:
    """Whether a layer is a file with a name, be it a good one."""
    return bool(layer.annotations.get(media.TITLE)) or layer.media_type in (CHART_LAYER, CHART_PROVENANCE)


def titled(layers: Iterable[Descriptor], reference: Reference) -> dict[str, Descriptor]:
    """As :func:`named_files`; nothing where no layer has a name."""
    found: dict[str, Descriptor] = {}
    for layer in filter(has_name, layers):
        name = layer.annotations.get(media.TITLE, "") or _chart_name(layer, reference)
        if name in (".", "..") or "/" in name or "\0" in name or printable(name) != name or len(name.encode()) > _LONGEST:
            raise Refused("an artifact names a file that cannot be one", where=str(reference), got=printable(name, 200))
        if found.setdefault(name, layer) is not layer:
            raise Refused("an artifact has two files of one name", where=str(reference), got=name)
    return found


def _chart_name(layer: Descriptor, reference: Reference) -> str:
    version = (reference.tag or layer.digest.short).replace("_", "+")
    name = f"{reference.repository.path.rpartition('/')[2]}-{version}.tgz"
    return name if layer.media_type == CHART_LAYER else f"{name}.prov"
