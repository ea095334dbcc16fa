"""An import through a real nginx that limits requests to 10 MB, as it stands before many a site's registry."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.support import images
from tests.support.bundles import Sender
from tests.support.cli import here
from tests.support.desks import free_port
from tests.support.dockerregistry import DockerRegistry
from tests.support.nginxproxy import NginxProxy
from tests.support.origin import Origin
from tests.support.served import ask
from tests.support.tools import require

pytestmark = pytest.mark.slow("starts real skopeo, podman or containerd many times")

MEGABYTE = 1_000_000


@pytest.mark.parametrize("threads", [1, 4])
def test_layers_far_above_the_limit_arrive_whole(tmp_path: Path, threads: int) -> None:
    require("docker-registry")
    require("nginx")
    sender, origin = Sender.make(tmp_path / "sender"), Origin()
    layers = [images.layer("large", 26 * MEGABYTE), images.layer("just above", 11 * MEGABYTE), images.layer("small", MEGABYTE)]
    bundle = sender.bundle(origin, [origin.push("docker.io/shop/web:1", images.image(layers))], tmp_path / "usb")
    with (
        DockerRegistry(tmp_path / "registry") as registry,
        NginxProxy(tmp_path / "nginx", registry.address, f"127.0.0.1:{free_port()}", "10m") as proxy,
    ):
        done = here(
            "import", bundle, "--to", f"docker://{proxy.address}/m", "--policy", sender.policy, "--state", tmp_path / "state",
            "--threads", threads, "--json",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert 0 < proxy.answered(413) <= 2 * threads, "the limit is learned, not tried with every piece"
        found = ask(registry.address, "/v2/m/docker.io/shop/web/manifests/1", Accept="application/vnd.oci.image.manifest.v1+json")
        for layer in json.loads(found.body)["layers"]:
            blob = ask(registry.address, f"/v2/m/docker.io/shop/web/blobs/{layer['digest']}")
            assert f"sha256:{hashlib.sha256(blob.body).hexdigest()}" == layer["digest"]
