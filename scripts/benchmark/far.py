"""scripts/bench far: small images in a registry that is so many milliseconds away."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import json
import os
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmark import stage
from benchmark.distance import Distance
from benchmark.measure import measure
from benchmark.registry import Registry

_DESCRIPTION = """\
Exports small images out of a docker-registry behind a proxy that delays every answer: each an index of some platforms, one layer
for each, and one cosign signature. Beside it skopeo, and regctl where PATH has it, image after image, and eight regctl at a time.
Also counts the requests, and the manifests that were read more than once.
"""
_EPILOG = """\
needs: docker-registry, skopeo. Examples:
  scripts/bench far --images 60 --milliseconds 50
  scripts/bench far --images 1 --platforms 50
"""
_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def main(arguments: list[str]) -> int:
    """Run the comparison; the exit code."""
    parser = stage.parser("scripts/bench far", _DESCRIPTION, _EPILOG)
    stage.add_airgap(parser)
    parser.add_argument("--images", type=int, default=60, help="(default: %(default)s)")
    parser.add_argument("--platforms", type=int, default=2, help="platforms of each image (default: %(default)s)")
    parser.add_argument("--milliseconds", type=int, default=50, help="a round trip (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="rounds that count (default: %(default)s)")
    options = parser.parse_args(arguments)
    options.cache.mkdir(parents=True, exist_ok=True)
    with stage.work_directory(options) as work, Registry(work, work / "storage") as registry:
        names = [f"far/image{number:03d}:1" for number in range(options.images)]
        for name in names:
            _push(registry.address, name, options.platforms)
        with Distance(registry.address, options.milliseconds / 1000) as far:
            ways = _ways(work, options.airgap, far.address, names)
            found = {name: [_one(way, far, len(names)) for _ in range(options.runs)] for name, way in ways.items()}
    facts = {name: {key: statistics.median(one[key] for one in rounds) for key in rounds[0]} for name, rounds in found.items()}
    for name, one in facts.items():
        ratio = facts["airgap"]["seconds"] / one["seconds"]
        print(
            f"{name:<16}{one['seconds']:7.2f} s   airgap takes {ratio:5.2f} of it   {one['requests']:5.1f} requests an image   "
            f"{one['twice']:.0f} manifests more than once"
        )
    if options.json:
        options.json.write_text(json.dumps(facts, indent=2) + "\n")
    return 0


def _one(way: Callable[[], float], far: Distance, images: int) -> dict[str, float]:
    far.asked.clear()
    seconds = way()
    twice = sum(count > 1 for line, count in far.asked.items() if line.startswith("GET") and "/manifests/sha256:" in line)
    return {"seconds": seconds, "requests": far.asked.total() / images, "twice": float(twice)}


def _ways(work: Path, airgap: str, address: str, names: list[str]) -> dict[str, Callable[[], float]]:
    images = [f"{address}/{name}" for name in names]
    (work / "images.txt").write_text("".join(f"{image}\n" for image in images))
    measure([[airgap, "keys", "generate", "--no-passphrase", "--out", str(work / "keys")]])

    def ours() -> float:
        shutil.rmtree(work / "out", ignore_errors=True)
        shutil.rmtree(work / "state", ignore_errors=True)
        command = [airgap, "export", str(work / "images.txt"), "--out", str(work / "out"), "--stream", "far"]
        settings = {"AIRGAP_STATE": str(work / "state"), "XDG_CONFIG_HOME": str(work / "none")}
        return measure([[*command, "--key", str(work / "keys/airgap.key")]], settings).wall

    def into(layout: str, make: Callable[[str], list[str]]) -> Callable[[], float]:
        def run() -> float:
            shutil.rmtree(work / layout, ignore_errors=True)
            return measure([make(image) for image in images]).wall

        return run

    skopeo = ["skopeo", "--insecure-policy", "copy", "--quiet", "--all", "--src-tls-verify=false"]
    ways = {"airgap": ours}
    ways["skopeo"] = into("skopeo", lambda image: [*skopeo, f"docker://{image}", f"oci:{work}/skopeo:{image.rpartition('/')[2]}"])
    if regctl := shutil.which("regctl"):
        os.environ["REGCTL_CONFIG"] = str(work / "regctl.json")
        measure([[regctl, "registry", "set", "--tls", "disabled", address]])
        copy = [regctl, "image", "copy", "--digest-tags", "--referrers"]
        ways["regctl"] = into("regctl", lambda image: [*copy, image, f"ocidir://{work}/regctl/{image.rpartition('/')[2]}"])
        eight = f"xargs -P 8 -I IMAGE sh -c '{' '.join(copy)} IMAGE ocidir://{work}/regctl/$(basename IMAGE)' < {work}/images.txt"
        ways["regctl, 8 at once"] = lambda: measure([["sh", "-c", eight]]).wall
    return ways


def _push(address: str, name: str, platforms: int) -> None:
    """One image of its own content, and a signature of its index under cosign's tag."""
    repository, _, tag = name.partition(":")
    connection = http.client.HTTPConnection(address)

    def put(content: bytes, media_type: str, selector: str = "") -> dict[str, Any]:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if media_type in (_INDEX, _MANIFEST):
            connection.request("PUT", f"/v2/{repository}/manifests/{selector or digest}", content, {"Content-Type": media_type})
        else:
            connection.request("POST", f"/v2/{repository}/blobs/uploads/")
            answer = connection.getresponse()
            answer.read()
            path = answer.headers["Location"].partition(address)[2]
            connection.request("PUT", f"{path}&digest={digest}", content)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 201:
            raise SystemExit(f"bench: the registry answers {answer.status}")
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def image(seed: str, selector: str = "", kind: str = _LAYER) -> dict[str, Any]:
        layer = put(gzip.compress(seed.encode() + os.urandom(4096), mtime=0), kind)
        config = put(json.dumps({"architecture": "amd64", "os": "linux", "config": {"Labels": {"seed": seed}}}).encode(), _CONFIG)
        manifest = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": config, "layers": [layer]}
        return put(json.dumps(manifest).encode(), _MANIFEST, selector)

    children = [
        {**image(f"{name} {number}"), "platform": {"os": "linux", "architecture": f"arch{number}"}} for number in range(platforms)
    ]
    index = put(json.dumps({"schemaVersion": 2, "mediaType": _INDEX, "manifests": children}).encode(), _INDEX, tag)
    image(f"{name} signature", f"{index['digest'].replace(':', '-')}.sig", "application/vnd.dev.cosign.simplesigning.v1+json")
    connection.close()
