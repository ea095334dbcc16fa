"""Layouts as a source: names, content, referrers, and damage."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from airgap.errors import Damaged, NotFound
from airgap.layout import LayoutStore
from airgap.oci import media
from airgap.oci.digest import Digest
from airgap.oci.image import digest_tag
from airgap.oci.reference import Reference, Repository
from airgap.oci.stores import Named
from airgap.oci.verify import VerifiedReader, read_all
from tests.support import images

WEB = "localhost:5000/shop/web:1.0"
REPOSITORY = Repository("localhost:5000", "shop/web")


@pytest.fixture
def web() -> images.Built:
    return images.multi_arch("web")


@pytest.fixture
def layout(tmp_path: Path, web: images.Built) -> Path:
    path = tmp_path / "store"
    with LayoutStore(path) as store:
        images.publish(store, WEB, web)
        store.commit()
    return path


def edit_index(path: Path, change) -> None:
    file = path / "index.json"
    value = json.loads(file.read_text())
    change(value)
    file.write_text(json.dumps(value))


def blob_file(path: Path, digest: str) -> Path:
    algorithm, _, encoded = digest.partition(":")
    return path / "blobs" / algorithm / encoded


def test_a_tag_and_a_digest_give_the_manifest_byte_for_byte(layout, web):
    store = LayoutStore(layout)
    assert store.manifest(REPOSITORY, "1.0").raw == web.manifest.raw
    child = web.children[0]
    assert store.manifest(REPOSITORY, child.digest) == child.manifest
    assert list(store.names()) == [Named("localhost:5000/shop/web", "1.0", web.descriptor)]


def test_blobs_stream_verified_and_from_an_offset(layout, web):
    store = LayoutStore(layout)
    blob = web.children[0].blobs[1]
    assert store.has(REPOSITORY, blob.descriptor)
    assert store.find_blob(blob.descriptor.digest) == len(blob.raw)
    reader = VerifiedReader(store.open(REPOSITORY, blob.descriptor), blob.descriptor, "test")
    assert read_all(reader, 10**6, "test") == blob.raw
    assert read_all(store.open(REPOSITORY, blob.descriptor, 7), 10**6, "test") == blob.raw[7:]


def test_an_unknown_name_and_an_unknown_digest_are_not_found(layout):
    store = LayoutStore(layout)
    for selector in ("2.0", Digest.of(b"nothing")):
        with pytest.raises(NotFound):
            store.manifest(REPOSITORY, selector)
    with pytest.raises(NotFound):
        store.manifest(Repository("localhost:5000", "shop/other"), "1.0")


def test_a_plain_tag_belongs_to_a_repository_called_like_the_directory(tmp_path, web):
    path = tmp_path / "My_App"
    with LayoutStore(path) as store:
        images.publish(store, WEB, web)
        store.commit()
    edit_index(path, lambda v: v["manifests"][0]["annotations"].update({"org.opencontainers.image.ref.name": "1.0"}))
    assert list(LayoutStore(path).names()) == [Named("my-app", "1.0", web.descriptor)]
    for repository in (Repository("localhost", "my-app"), Reference.parse("my-app").repository):
        assert LayoutStore(path).manifest(repository, "1.0").digest == web.digest


def test_a_short_name_is_expanded_as_docker_does(layout, web):
    edit_index(layout, lambda v: v["manifests"][0]["annotations"].update({"org.opencontainers.image.ref.name": "nginx:1.27"}))
    assert LayoutStore(layout).manifest(Repository("docker.io", "library/nginx"), "1.27").digest == web.digest


def test_containerd_names_are_preferred_to_the_plain_tag(layout, web):
    names = {"org.opencontainers.image.ref.name": "1.0", "io.containerd.image.name": "quay.io/a/b:1.0"}
    edit_index(layout, lambda v: v["manifests"][0].update(annotations=names))
    assert LayoutStore(layout).manifest(Repository("quay.io", "a/b"), "1.0").digest == web.digest


@pytest.mark.parametrize("stated", [None, "", media.OCI_INDEX])
def test_an_index_json_that_leaves_its_media_type_empty_is_one(layout, stated):
    edit_index(layout, lambda v: v.update(mediaType=stated))
    assert [name.tag for name in LayoutStore(layout).names()]


def test_a_manifest_without_a_media_type_takes_it_from_its_descriptor(tmp_path):
    plain = images.image([images.layer("x")])
    value = json.loads(plain.manifest.raw)
    del value["mediaType"]
    raw = json.dumps(value).encode()
    manifest = type(plain.manifest).parse(raw, media.OCI_MANIFEST, "test")
    with LayoutStore(tmp_path / "s") as store:
        images.store(store, REPOSITORY, plain)
        store.put_manifest(REPOSITORY, manifest)
        store.tag(Reference.parse(WEB), manifest)
        store.commit()
    assert LayoutStore(tmp_path / "s").manifest(REPOSITORY, "1.0").media_type == media.OCI_MANIFEST
    assert LayoutStore(tmp_path / "s").find_manifest(manifest.digest).media_type == media.OCI_MANIFEST


def test_referrers_are_found_two_deep_with_type_and_annotations(layout, web):
    sbom = images.artifact(web, "application/spdx+json", b"{}", annotations={"org.example.made": "yes"})
    signature = images.artifact(sbom, "application/vnd.example.signature", b"sig")
    with LayoutStore(layout) as store:
        images.attach(store, REPOSITORY, web, [sbom])
        images.attach(store, REPOSITORY, sbom, [signature])
        store.commit()
    found = LayoutStore(layout).referrers(REPOSITORY, web.digest)
    assert [(d.digest, d.artifact_type, dict(d.annotations)) for d in found.descriptors] == [
        (sbom.digest, "application/spdx+json", {"org.example.made": "yes"})
    ]
    assert found.tagged == ()
    assert LayoutStore(layout).referrers(REPOSITORY, sbom.digest).descriptors[0].digest == signature.digest
    assert LayoutStore(layout).referrers(REPOSITORY, signature.digest).descriptors == ()


def test_what_is_under_a_fallback_tag_is_handed_on_as_it_is(layout, web):
    sbom = images.artifact(web, "application/spdx+json", b"{}")
    with LayoutStore(layout) as store:
        images.publish(store, f"{REPOSITORY}:{digest_tag(web.digest)}", images.fallback_index([sbom]))
        store.commit()
    found = LayoutStore(layout).referrers(REPOSITORY, web.digest)
    assert [one.raw for one in found.tagged] == [images.fallback_index([sbom]).manifest.raw]
    assert LayoutStore(layout).referrers(Repository("localhost:5000", "other"), web.digest).tagged == ()


def test_index_json_is_read_again_after_another_process_changed_it(layout, web):
    store = LayoutStore(layout)
    assert store.manifest(REPOSITORY, "1.0")
    with LayoutStore(layout) as other:
        images.publish(other, f"{REPOSITORY}:2.0", web)
        other.commit()
    assert store.manifest(REPOSITORY, "2.0").digest == web.digest


def missing_directory(path: Path, web: images.Built) -> None:
    path.rename(path.with_name("elsewhere"))


def missing_index(path: Path, web: images.Built) -> None:
    (path / "index.json").unlink()


def missing_marker(path: Path, web: images.Built) -> None:
    (path / "oci-layout").unlink()


def other_version(path: Path, web: images.Built) -> None:
    (path / "oci-layout").write_text('{"imageLayoutVersion":"2.0.0"}')


def garbage_index(path: Path, web: images.Built) -> None:
    (path / "index.json").write_text("{")


def ambiguous_index(path: Path, web: images.Built) -> None:
    edit_index(path, lambda value: value.update(Manifests=[]))


def traversing_digest(path: Path, web: images.Built) -> None:
    edit_index(path, lambda value: value["manifests"][0].update(digest="sha256:../../../etc/passwd"))


def flipped_byte(path: Path, web: images.Built) -> None:
    file = blob_file(path, web.digest)
    raw = bytearray(file.read_bytes())
    raw[10] ^= 1
    file.write_bytes(raw)


def missing_manifest(path: Path, web: images.Built) -> None:
    blob_file(path, web.digest).unlink()


def wrong_size(path: Path, web: images.Built) -> None:
    edit_index(path, lambda value: value["manifests"][0].update(size=web.descriptor.size + 1))


def linked_manifest(path: Path, web: images.Built) -> None:
    file = blob_file(path, web.digest)
    file.rename(path / "moved")
    file.symlink_to(path / "moved")


def fifo_index(path: Path, web: images.Built) -> None:
    (path / "index.json").unlink()
    os.mkfifo(path / "index.json")


def linked_blobs(path: Path, web: images.Built) -> None:
    (path / "blobs").rename(path.with_name("blobs-elsewhere"))
    (path / "blobs").symlink_to(path.with_name("blobs-elsewhere"))


@pytest.mark.parametrize(
    "damage",
    [
        missing_directory,
        missing_index,
        missing_marker,
        other_version,
        garbage_index,
        ambiguous_index,
        traversing_digest,
        flipped_byte,
        missing_manifest,
        wrong_size,
        linked_manifest,
        fifo_index,
        linked_blobs,
    ],
)
def test_damage_is_named_and_says_where(layout, web, damage):
    damage(layout, web)
    with pytest.raises(Damaged) as caught:
        LayoutStore(layout).manifest(REPOSITORY, "1.0")
    assert str(layout) in caught.value.where


def test_a_blob_of_the_wrong_size_is_not_there_and_does_not_open(layout, web):
    blob = web.children[0].blobs[1].descriptor
    with blob_file(layout, blob.digest).open("ab") as file:
        file.write(b"x")
    store = LayoutStore(layout)
    assert not store.has(REPOSITORY, blob)
    with pytest.raises(Damaged):
        store.open(REPOSITORY, blob)
