"""Cosign's signature tag, a manifest whose layers are signatures: create it, and merge it without losing a signature. Pure.

The tag ``sha256-<hex>.sig`` is a mutable list (cosign SIGNATURE_SPEC): adding a signature rewrites the whole list, so the result
must hold both what the target already has and what the bundle brings.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from airgap.oci import media, strictjson
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Reference

_PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json"
_SIGNATURE = "dev.cosignproject.cosign/signature"
_TYPE = "cosign container image signature"


@dataclass(frozen=True)
class CosignSignature:
    """One signature as a layer: the payload's descriptor and bytes."""

    descriptor: Descriptor
    payload: bytes


def payload(reference: Reference, digest: Digest) -> bytes:
    """The signed statement that this digest is this reference (containers-signature(5), cosign's variant)."""
    critical = {
        "identity": {"docker-reference": str(reference)},
        "image": {"docker-manifest-digest": str(digest)},
        "type": _TYPE,
    }
    return strictjson.canonical({"critical": critical, "optional": None})


def signature(signed: bytes, raw_signature: bytes) -> CosignSignature:
    """A layer for a payload and its raw signature."""
    text = base64.b64encode(raw_signature).decode("ascii")
    descriptor = Descriptor(_PAYLOAD, Digest.of(signed), len(signed), annotations={_SIGNATURE: text})
    return CosignSignature(descriptor, signed)


def missing(have: Iterable[Descriptor], wanted: Iterable[Descriptor]) -> list[Descriptor]:
    """The layers in ``wanted`` that ``have`` lacks, each once; layers are equal if payload and annotations are."""
    known = [(layer.digest, dict(layer.annotations)) for layer in have]
    found = []
    for layer in wanted:
        if (layer.digest, dict(layer.annotations)) not in known:
            known.append((layer.digest, dict(layer.annotations)))
            found.append(layer)
    return found


def manifest(layers: Sequence[Descriptor]) -> tuple[Manifest, bytes]:
    """The manifest with these layers and the bytes of its config, as cosign creates them."""
    rootfs = {"type": "layers", "diff_ids": [str(layer.digest) for layer in layers]}
    config = strictjson.canonical({"architecture": "", "os": "", "config": {}, "rootfs": rootfs})
    value = {
        "schemaVersion": 2,
        "mediaType": media.OCI_MANIFEST,
        "config": Descriptor(media.OCI_CONFIG, Digest.of(config), len(config)).to_json(),
        "layers": [layer.to_json() for layer in layers],
    }
    return Manifest.parse(strictjson.canonical(value), media.OCI_MANIFEST, "signature manifest"), config
