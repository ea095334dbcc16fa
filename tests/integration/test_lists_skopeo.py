"""The real ``skopeo sync`` and we read the same file: the same images are meant."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from airgap.layout import LayoutStore
from tests.support import images
from tests.support.cli import here
from tests.support.dockerregistry import DockerRegistry
from tests.support.tools import require

pytestmark = pytest.mark.slow("starts real skopeo, podman or containerd many times")

TAGS = ("1.10", "1.9.0", "v1.9.1", "1.9.2-alpine", "latest", "2")

FILE = r"""
ADDRESS:
  tls-verify: false
  images:
    team/all: []
    team/some:
      - 1.10
      - "2"
      - DIGEST
  images-by-tag-regex:
    team/bound: ^v?1\.\d+\.[0-2]$
    team/loose: alp|\.9\.
ADDRESS/team:
  tls-verify: false
  images-by-tag-regex:
    below: ^l
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> object:
    require("docker-registry")
    work = tmp_path_factory.mktemp("registry")
    with DockerRegistry(work / "r") as running, LayoutStore(work / "layout") as layout:
        for name in ("all", "some", "bound", "loose", "below"):
            for tag in TAGS:
                images.publish(layout, f"localhost:5000/team/{name}:{tag}", images.image([images.layer("x")]))
        layout.commit()
        images.push_layout_to_registry(layout, running.address)
        yield running


def test_the_same_file_means_the_same_images(registry: DockerRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / "sync.yaml"
    digest = images.image([images.layer("x")]).digest
    path.write_text(FILE.replace("ADDRESS", registry.address).replace("DIGEST", digest))
    (tmp_path / "out").mkdir()
    words = [
        "--insecure-policy",
        "sync",
        "--all",
        "--dry-run",
        "--scoped",
        "--src",
        "yaml",
        "--dest",
        "dir",
        path,
        tmp_path / "out",
    ]
    theirs = subprocess.run([require("skopeo"), *map(str, words)], capture_output=True, text=True, check=True).stderr
    meant = set(re.findall(r'from="docker://([^"]+)"', theirs))
    ours = here("resolve", path, "--json")
    assert ours.returncode == 0, ours.stderr
    assert {image["reference"] for image in json.loads(ours.stdout)["images"]} == meant
    assert len(meant) == len(TAGS) + 3 + 2 + 3 + 1
