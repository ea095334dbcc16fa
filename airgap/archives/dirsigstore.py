"""Sigstore signatures in skopeo's ``dir:``, as an attachment in the form that cosign and skopeo give them at a registry.

    \\0 sigstore-json \\n {"mimeType": ..., "payload": BASE64, "annotations": {...}}

The manifest for the tag ``sha256-HEX.sig`` has a layer for each signature: its payload, with its annotations. What is said in the
signature is carried byte for byte, and the manifest around it is the one that ``skopeo copy dir:... docker://...`` writes.
(containers/image, internal/signature; cosign, "Signature Specification".)
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airgap.errors import Damaged, UsageError
from airgap.oci import media, strictjson
from airgap.oci.digest import Digest
from airgap.oci.manifest import Manifest
from airgap.text import printable

_HEAD = b"\0sigstore-json\n"
_FIELDS = ("mimeType", "payload", "annotations")
#: How containers/image marks every kind of signature but GPG's.
_OTHER = b"\0"
_ESCAPED = {ord(one): f"\\u{ord(one):04x}" for one in "<>&\u2028\u2029"}


@dataclass(frozen=True)
class DirectorySignature:
    """One signature: what is signed, its media type, and what belongs to it (the signature itself, certificates, a promise)."""

    media_type: str
    payload: bytes
    annotations: Mapping[str, str]


@dataclass(frozen=True)
class SignatureImage:
    """The signatures of one manifest as an attachment: its manifest, and the bytes of that and of its blobs by digest."""

    manifest: Manifest
    blobs: Mapping[Digest, bytes]

    @classmethod
    def of(cls, signatures: Sequence[DirectorySignature], where: str) -> SignatureImage:
        """Make it of signatures in their order, each once. Raises ``Damaged`` for a media type that is none."""
        blobs: dict[Digest, bytes] = {}
        layers = []
        for one in signatures:
            layer: dict[str, Any] = _described(one.media_type, one.payload, blobs)
            if one.annotations:
                layer["annotations"] = dict(sorted(one.annotations.items()))
            if layer not in layers:
                layers.append(layer)
        rootfs = {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]}
        config = _described(media.OCI_CONFIG, _compact({"architecture": "", "os": "", "config": {}, "rootfs": rootfs}), blobs)
        document = {"schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "config": config, "layers": layers}
        manifest = Manifest.parse(_compact(document), media.OCI_MANIFEST, where)
        return cls(manifest, {**blobs, manifest.digest: manifest.raw})


def parse_sigstore(blob: bytes, where: str) -> DirectorySignature | None:
    """Read a signature file; None for a GPG signature.

    Raises:
        Damaged: it is malformed.
        UsageError: it is of a kind that is neither GPG's nor Sigstore's.
    """
    if not blob.startswith(_OTHER):
        return None
    if not blob.startswith(_HEAD):
        kind = printable(blob[1:80].partition(b"\n")[0].decode("utf-8", "replace"), 60)
        raise UsageError(
            "a signature of an unknown kind in a dir: source (skopeo format)",
            where=where,
            expected="GPG or Sigstore signatures",
            got=kind,
            hint="take the image from a registry or an OCI layout",
        )
    fields = strictjson.parse_object(blob[len(_HEAD) :], where)
    strictjson.refuse_lookalikes(fields, _FIELDS, where)
    annotations = strictjson.mapping({} if fields.get("annotations") is None else fields["annotations"], f"{where}: annotations")
    try:
        payload = base64.b64decode(strictjson.string(fields.get("payload"), f"{where}: payload"), validate=True)
    except ValueError:
        raise Damaged("a signature is malformed", where=f"{where}: payload", expected="base64") from None
    return DirectorySignature(
        strictjson.string(fields.get("mimeType"), f"{where}: mimeType"),
        payload,
        {key: strictjson.string(value, f"{where}: annotations") for key, value in annotations.items()},
    )


def _described(media_type: str, raw: bytes, blobs: dict[Digest, bytes]) -> dict[str, Any]:
    digest = Digest.of(raw)
    blobs[digest] = raw
    return {"mediaType": media_type, "digest": digest, "size": len(raw)}


def _compact(value: object) -> bytes:
    """As Go's encoder writes it: no spaces, fields in their order, and what HTML would take for its own escaped."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text.translate(_ESCAPED).encode()
