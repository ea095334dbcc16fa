"""Rebuild an index with only some of its children. Pure; the one place where an import rewrites manifest bytes."""

from __future__ import annotations

from collections.abc import Mapping

from airgap.oci import strictjson
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Manifest

#: Annotation on a rebuilt index: the digest of the index it was made from.
ORIGINAL_DIGEST = "dev.airgap.original-digest"


def rebuild_index(index: Manifest, kept: Mapping[Digest, Descriptor]) -> Manifest:
    """The index with only the kept children, each at its (possibly rebuilt) new descriptor; everything else stays.

    The digest changes, so a signature on the original index does not apply to the result: the original digest is kept as an
    annotation.
    """
    value = strictjson.parse_object(index.raw, str(index.digest))
    children = []
    for child in value["manifests"]:
        new = kept.get(child["digest"])
        if new is not None:
            children.append(child | {"digest": str(new.digest), "size": new.size})
    value["manifests"] = children
    value["annotations"] = (value.get("annotations") or {}) | {ORIGINAL_DIGEST: str(index.digest)}
    return Manifest.parse(strictjson.canonical(value), index.media_type, f"rebuilt index of {index.digest}")
