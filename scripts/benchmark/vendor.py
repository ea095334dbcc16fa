"""The vendor's signatures on the corpus: every image and every platform's instance signed as `cosign sign --recursive` does."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from collections.abc import Iterable
from pathlib import Path

from benchmark.registry import Registry

_SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"


def signature_tag(digest: str) -> str:
    """The tag under which cosign keeps the signatures of a manifest."""
    return f"{digest.replace(':', '-')}.sig"


def sign_images(registry: Registry, layout: Path, names: Iterable[str], key: Path) -> int:
    """Sign the images of a layout and push the signatures beside them.

    Args:
        registry: the writable registry that holds the images.
        layout: the OCI layout with the same images.
        names: ``repository:tag`` of each.
        key: the private key, a PEM file without a passphrase.

    Returns:
        How many signatures were pushed.
    """
    count = 0
    for name in names:
        repository = name.rpartition(":")[0]
        root = registry.digest(name)
        index = json.loads((layout / "blobs/sha256" / root.removeprefix("sha256:")).read_text())
        for digest in (root, *(child["digest"] for child in index["manifests"])):
            _sign(registry, repository, digest, key)
            count += 1
    return count


def _sign(registry: Registry, repository: str, digest: str, key: Path) -> None:
    identity = {"docker-reference": f"{registry.address}/{repository}"}
    image = {"docker-manifest-digest": digest}
    critical = {"identity": identity, "image": image, "type": "cosign container image signature"}
    payload = json.dumps({"critical": critical, "optional": None}, separators=(",", ":")).encode()
    signed = subprocess.run(
        ["openssl", "dgst", "-sha256", "-sign", str(key)], input=payload, check=True, stdout=subprocess.PIPE
    ).stdout
    content = f"sha256:{hashlib.sha256(payload).hexdigest()}"
    config = json.dumps({"architecture": "", "os": "", "config": {}, "rootfs": {"type": "layers", "diff_ids": [content]}}).encode()
    layer = {
        "mediaType": _SIMPLE,
        "digest": registry.put_blob(repository, payload),
        "size": len(payload),
        "annotations": {"dev.cosignproject.cosign/signature": base64.b64encode(signed).decode()},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": _CONFIG, "digest": registry.put_blob(repository, config), "size": len(config)},
        "layers": [layer],
    }
    registry.put_manifest(repository, signature_tag(digest), json.dumps(manifest).encode())
