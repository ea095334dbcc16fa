"""The real skopeo reads our layouts, and we read its."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from airgap.layout import LayoutStore
from airgap.oci.reference import Repository
from tests.support import images
from tests.support.tools import require

pytestmark = pytest.mark.slow("starts real skopeo, podman or containerd many times")

WEB = "localhost:5000/shop/web:1.0"


def skopeo(*words: str) -> str:
    done = subprocess.run([require("skopeo"), "--insecure-policy", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def manifest_files(path: Path) -> set[str]:
    return {p.name for p in (path / "blobs" / "sha256").iterdir()}


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    with LayoutStore(tmp_path / "ours") as store:
        base = images.layer("base")
        images.publish(store, WEB, images.multi_arch("web", [base]))
        images.publish(store, "docker.io/library/single:2", images.image([base]))
        store.commit()
    return tmp_path / "ours"


def test_skopeo_copies_everything_out_of_our_layout_by_full_name(ours, tmp_path):
    out = tmp_path / "out"
    skopeo("copy", "--all", f"oci:{ours}:{WEB}", f"oci:{out}:1.0")
    skopeo("copy", f"oci:{ours}:docker.io/library/single:2", f"oci:{out}:single")
    assert manifest_files(out) == manifest_files(ours)


def test_skopeo_sees_the_digest_that_we_see(ours):
    raw = skopeo("inspect", "--raw", f"oci:{ours}:{WEB}")
    assert LayoutStore(ours).manifest(Repository("localhost:5000", "shop/web"), "1.0").raw == raw.encode()


def test_we_read_what_skopeo_wrote_under_plain_tags(ours, tmp_path):
    theirs = tmp_path / "shop"
    skopeo("copy", "--all", f"oci:{ours}:{WEB}", f"oci:{theirs}:1.0")
    store = LayoutStore(theirs)
    [name] = store.names()
    assert (name.path, name.tag) == ("shop", "1.0")
    index = store.manifest(Repository("localhost", "shop"), "1.0")
    assert index.digest == LayoutStore(ours).manifest(Repository("localhost:5000", "shop/web"), "1.0").digest
    for child in index.children:
        assert all(store.has(Repository("localhost", "shop"), blob) for blob in store.find_manifest(child.digest).blobs())


def test_we_add_to_a_layout_of_skopeo_and_it_still_reads_its_own(ours, tmp_path):
    theirs = tmp_path / "shop"
    skopeo("copy", "--all", f"oci:{ours}:{WEB}", f"oci:{theirs}:1.0")
    before = json.loads((theirs / "index.json").read_text())["manifests"]
    with LayoutStore(theirs) as store:
        images.publish(store, "quay.io/a/b:1", images.image([images.layer("more")]))
        store.commit()
    assert json.loads((theirs / "index.json").read_text())["manifests"][:1] == before
    assert skopeo("inspect", "--raw", f"oci:{theirs}:1.0")
    assert skopeo("inspect", f"oci:{theirs}:quay.io/a/b:1")
