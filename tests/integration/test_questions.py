"""What an export asks a registry: in width, nothing twice, and no more than it must."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from airgap.layout import LayoutStore
from airgap.oci.reference import Repository
from tests.support import images
from tests.support.cli import here
from tests.support.dockerregistry import DockerRegistry
from tests.support.gateway import Gateway
from tests.support.hostile import Reply, Request

IMAGES, PLATFORMS = 6, 3
#: Of an image: index and platforms, signature; the referrers of each but the signature; one list of the tags; config and layers.
MANIFESTS, REFERRERS, TAGS = PLATFORMS + 2, PLATFORMS + 1, 1


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AIRGAP_KEY_PASSPHRASE", "")
    with LayoutStore(tmp_path / "layout") as layout:
        for number in range(IMAGES):
            web = images.multi_arch(f"web{number}")
            assert len(web.children) == PLATFORMS
            repository = images.publish(layout, f"docker.io/shop/web{number}:1", web).repository
            signature = images.cosign_signature(images.simple_signing(repository, web.digest), f"signature {number}")
            images.publish_attachment(layout, repository, web.digest, ".sig", signature)
        many = images.multi_arch("many", platforms=[f"linux/arch{number}" for number in range(24)])
        images.publish(layout, "docker.io/shop/many:1", many)
        layout.commit()
        with DockerRegistry(tmp_path / "registry") as registry, Gateway(registry.address) as gateway:
            images.push_layout_to_registry(layout, registry.address)
            yield gateway


def export(work: Path, far: Gateway, *names: str) -> None:
    (work / "images.txt").write_text("".join(f"{far.address}/{name}:1\n" for name in names))
    assert here("keys", "generate", "--no-passphrase", "--out", work / "keys").returncode == 0
    where = ("--out", work / "out", "--state", work / "state")
    done = here("export", work / "images.txt", *where, "--stream", "prod", "--key", work / "keys/airgap.key")
    assert done.returncode == 0, done.stderr


def test_no_question_is_asked_twice_and_no_tag_that_is_not_there(tmp_path: Path, far: Gateway) -> None:
    export(tmp_path, far, *(f"shop/web{number}" for number in range(IMAGES)))
    lines = Counter(f"{request.method} {request.target}" for request in far.requests)
    assert [line for line, count in lines.items() if count > 1] == []
    kinds = Counter(
        next((kind for kind in ("manifests", "referrers", "tags", "blobs") if f"/{kind}/" in line), line) for line in lines
    )
    blobs = kinds.pop("blobs")
    assert kinds == {"manifests": IMAGES * MANIFESTS, "referrers": IMAGES * REFERRERS, "tags": IMAGES * TAGS}
    assert blobs == len({line.rpartition("/")[2] for line in lines if "/blobs/" in line}), "a blob of several images travels once"


def test_platforms_and_what_hangs_off_them_are_asked_for_side_by_side(tmp_path: Path, far: Gateway) -> None:
    """Each answer waits for the others: asked for one after the other, none would ever come."""
    meetings = {kind: threading.Barrier(24) for kind in ("manifests", "referrers")}

    def meet(request: Request) -> Reply | None:
        kind = next((kind for kind in meetings if f"/{kind}/sha256:" in request.path), "")
        try:
            if kind and not (kind == "referrers" and request.path.endswith(many)):
                meetings[kind].wait(60)
        except threading.BrokenBarrierError:
            return Reply(400)
        return None

    with LayoutStore(tmp_path / "layout") as layout:
        many = str(layout.resolve(Repository("docker.io", "shop/many").tagged("1")))
    far.before = meet
    export(tmp_path, far, "shop/many")
