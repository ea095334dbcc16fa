"""All places of a job as one source: who was to come from an archive comes from there and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from airgap.archives import PlacedImage, PlacedSource
from airgap.errors import Damaged, NotFound
from airgap.layout import LayoutReader, LayoutStore
from airgap.oci.image import digest_tag
from airgap.oci.reference import Reference, Repository
from airgap.oci.stores import Source
from airgap.oci.verify import read_all
from tests.support import images

APP = Reference.parse("site.example/app:1")
HERE = APP.repository
INSIDE = Repository("vendor.example", "web")
WEB = images.multi_arch("web")
OTHER = images.image([images.layer("other")])
SBOM = images.artifact(WEB, "application/spdx+json", b"{}")
SIGNATURE = images.cosign_signature(images.simple_signing(INSIDE, WEB.digest), "c2ln")


def layout(path: Path, *names: tuple[str, images.Built]) -> LayoutReader:
    with LayoutStore(path) as store:
        for name, built in names:
            images.publish(store, name, built)
        images.attach(store, INSIDE, WEB, [SBOM])
        images.publish_attachment(store, INSIDE, WEB.digest, ".sig", SIGNATURE)
        store.commit()
    return LayoutReader(path)


def no_lookaside(repository: Repository, digest: str) -> tuple[bytes, ...]:
    return (b"registry",)


def sources(archive: Source, registry: Source, *asked: Repository) -> PlacedSource:
    origin = PlacedImage(archive, INSIDE, WEB.manifest, "app.tar", lambda repository, digest: (b"archive",))
    return PlacedSource(registry, no_lookaside, {APP: origin}, set(asked))


@pytest.fixture
def archive(tmp_path: Path) -> LayoutReader:
    return layout(tmp_path / "archive", (f"{INSIDE}:1.0", WEB), (f"{INSIDE}:2", OTHER))


@pytest.fixture
def registry(tmp_path: Path) -> LayoutReader:
    return layout(tmp_path / "registry", (f"{HERE}:1", OTHER), (f"{HERE}:2", OTHER), ("far.example/x:1", OTHER))


def test_the_image_and_all_that_hangs_off_it_come_from_the_archive(archive: LayoutReader, registry: LayoutReader) -> None:
    found = sources(archive, registry)
    assert found.manifest(HERE, "1").digest == WEB.digest
    assert found.manifest(HERE, WEB.children[0].digest).digest == WEB.children[0].digest
    assert found.manifest(HERE, digest_tag(WEB.digest, ".sig")).digest == SIGNATURE.digest
    assert [descriptor.digest for descriptor in found.referrers(HERE, WEB.digest).descriptors] == [SBOM.digest]
    layer = WEB.children[0].blobs[1]
    assert found.has(HERE, layer.descriptor)
    assert read_all(found.open(HERE, layer.descriptor, 5), 10**6, "") == layer.raw[5:]
    assert found.signatures(HERE, WEB.digest) == (b"archive",)


def test_a_registry_is_not_asked_about_images_from_elsewhere(archive: LayoutReader, registry: LayoutReader) -> None:
    found = sources(archive, registry)
    for selector in ("2", digest_tag(OTHER.digest, ".sig")):
        with pytest.raises(NotFound, match=r"app\.tar"):
            found.manifest(HERE, selector)
    with pytest.raises(Damaged, match=r"app\.tar"):
        found.manifest(HERE, "sha256:" + "0" * 64)
    with pytest.raises(NotFound):
        found.open(HERE, images.content(b"nowhere", "x/y").descriptor)


def test_an_archive_is_not_asked_for_tags_of_other_images(archive: LayoutReader, registry: LayoutReader) -> None:
    assert sources(archive, registry, HERE).manifest(HERE, "2").digest == OTHER.digest
    with pytest.raises(NotFound):
        sources(archive, registry, HERE).manifest(HERE, "1.0")


def test_a_shared_repository_has_what_both_have(archive: LayoutReader, registry: LayoutReader) -> None:
    found = sources(archive, registry, HERE)
    assert found.manifest(HERE, "1").digest == WEB.digest
    assert found.manifest(HERE, OTHER.digest).digest == OTHER.digest
    assert found.has(HERE, OTHER.blobs[0].descriptor)
    assert read_all(found.open(HERE, OTHER.blobs[0].descriptor), 10**6, "") == OTHER.blobs[0].raw
    assert found.signatures(HERE, WEB.digest) == (b"archive", b"registry")


def test_other_repositories_are_the_registrys(archive: LayoutReader, registry: LayoutReader) -> None:
    found, far = sources(archive, registry), Repository("far.example", "x")
    assert found.manifest(far, "1").digest == OTHER.digest
    assert found.has(far, OTHER.blobs[0].descriptor)
    assert found.signatures(far, OTHER.digest) == (b"registry",)
    assert found.referrers(far, OTHER.digest).descriptors == ()


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.write_bytes(b"short")], ids=["missing", "short"])
def test_an_image_with_a_part_missing_is_damage_before_anything_is_written(archive, registry, change) -> None:
    change(archive.path / "blobs/sha256" / WEB.children[0].blobs[1].descriptor.digest.hex)
    found = sources(archive, registry)
    with pytest.raises(Damaged, match=r"app\.tar"):
        found.manifest(HERE, WEB.children[0].digest)


def test_layers_that_may_not_be_distributed_may_be_missing(tmp_path: Path, registry: LayoutReader) -> None:
    foreign = images.layer("foreign", media_type="application/vnd.oci.image.layer.nondistributable.v1.tar+gzip")
    built = images.image([foreign])
    archive = layout(tmp_path / "foreign", (f"{INSIDE}:1.0", built))
    (archive.path / "blobs/sha256" / foreign.descriptor.digest.hex).unlink()
    found = PlacedSource(registry, no_lookaside, {APP: PlacedImage(archive, INSIDE, built.manifest, "app.tar")}, set())
    assert found.manifest(HERE, "1").digest == built.digest
    assert not found.has(HERE, foreign.descriptor)
    assert found.signatures(HERE, built.digest) == ()
