"""Layouts as a target: nothing visible before commit, nothing foreign lost, nothing half-written trusted."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from airgap.errors import Damaged, MediaError, UsageError
from airgap.fsio.leftovers import temporary_name
from airgap.layout import LayoutStore
from airgap.oci.image import digest_tag
from airgap.oci.reference import Reference, Repository
from airgap.oci.stores import Referring
from airgap.oci.verify import VerifiedReader
from tests.support import images

WEB = Reference.parse("localhost:5000/shop/web:1.0")
REPOSITORY = WEB.repository


@pytest.fixture
def web() -> images.Built:
    return images.multi_arch("web")


def committed(path: Path, reference: str, built: images.Built) -> None:
    with LayoutStore(path) as store:
        images.publish(store, reference, built)
        store.commit()


def files(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file() and p.name != ".airgap.lock"}


def test_looking_at_a_place_that_is_not_there_makes_nothing(tmp_path, web):
    store = LayoutStore(tmp_path / "new")
    assert store.resolve(WEB) is None
    assert not store.has(REPOSITORY, web.descriptor)
    assert not store.has_manifest(REPOSITORY, web.digest)
    store.commit()
    assert not (tmp_path / "new").exists()


def test_nothing_is_visible_before_commit_and_all_of_it_after(tmp_path, web):
    with LayoutStore(tmp_path / "s") as store:
        images.publish(store, str(WEB), web)
        images.publish(store, "quay.io/other/name:2", web.children[0])
        assert list(LayoutStore(tmp_path / "s").names()) == []
        assert store.resolve(WEB) is None
        store.commit()
        assert store.resolve(WEB) == web.digest
    assert len(list(LayoutStore(tmp_path / "s").names())) == 2


def test_names_forgotten_by_close_never_appear(tmp_path, web):
    with LayoutStore(tmp_path / "s") as store:
        images.publish(store, str(WEB), web)
    with LayoutStore(tmp_path / "s") as store:
        store.commit()
        assert store.resolve(WEB) is None


def test_a_digest_reference_is_a_name_of_its_own(tmp_path, web):
    pinned = WEB.at(web.digest)
    committed(tmp_path / "s", str(pinned), web)
    store = LayoutStore(tmp_path / "s")
    assert store.resolve(pinned) == web.digest
    assert [(n.path, n.tag) for n in store.names()] == [(str(REPOSITORY), None)]


def test_a_name_is_replaced_and_foreign_entries_stay_as_they_are(tmp_path, web):
    path = tmp_path / "s"
    committed(path, str(WEB), web)
    other = images.image([images.layer("other")])
    value = json.loads((path / "index.json").read_text())
    foreign = {
        "mediaType": "application/x-unknown",
        "digest": "sha256:" + "0" * 64,
        "size": 5,
        "x-field": {"b": [1, 2.5, None], "a": "é"},
        "annotations": {"org.opencontainers.image.ref.name": "not a name of ours"},
    }
    value["manifests"].insert(0, foreign)
    value["x-top"] = {"kept": True}
    (path / "index.json").write_text(json.dumps(value))
    committed(path, str(WEB), other)
    after = json.loads((path / "index.json").read_text())
    assert after["manifests"][0] == foreign
    assert after["x-top"] == {"kept": True}
    assert [m["digest"] for m in after["manifests"]] == [foreign["digest"], other.digest]


def test_a_short_foreign_name_of_the_same_image_is_replaced(tmp_path, web):
    path = tmp_path / "s"
    committed(path, "docker.io/library/nginx:1", web)
    text = (path / "index.json").read_text()
    (path / "index.json").write_text(text.replace("docker.io/library/nginx:1", "nginx:1"))
    other = images.image([images.layer("other")])
    committed(path, "docker.io/library/nginx:1", other)
    assert LayoutStore(path).resolve(Reference.parse("nginx:1")) == other.digest
    assert len(list(LayoutStore(path).names())) == 1


def test_the_same_content_again_changes_no_file(tmp_path, web):
    committed(tmp_path / "s", str(WEB), web)
    index = tmp_path / "s" / "index.json"
    before = (files(tmp_path / "s"), index.stat().st_ino)
    committed(tmp_path / "s", str(WEB), web)
    assert (files(tmp_path / "s"), index.stat().st_ino) == before


def test_the_order_of_tagging_does_not_change_the_bytes(tmp_path, web):
    names = ["a.example/x:1", "b.example/y:1", "c.example/z:1"]
    for path, order in ((tmp_path / "one", names), (tmp_path / "two", names[::-1])):
        with LayoutStore(path) as store:
            for name in order:
                images.publish(store, name, web)
            store.commit()
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_a_damaged_blob_is_written_again(tmp_path, web):
    path = tmp_path / "s"
    committed(path, str(WEB), web)
    blob = web.children[0].blobs[1]
    file = path / "blobs" / "sha256" / blob.descriptor.digest.hex
    file.write_bytes(blob.raw[:-1])
    manifest = path / "blobs" / "sha256" / web.digest.hex
    manifest.write_bytes(b"x" * len(web.manifest.raw))
    committed(path, str(WEB), web)
    assert file.read_bytes() == blob.raw
    assert manifest.read_bytes() == web.manifest.raw


def test_a_failing_stream_leaves_nothing(tmp_path):
    blob = images.layer("good")
    with LayoutStore(tmp_path / "s") as store:
        for bad in (blob.raw[:-1], blob.raw + b"x", bytes(len(blob.raw))):
            with pytest.raises(Damaged):
                store.write(
                    REPOSITORY,
                    blob.descriptor,
                    partial(lambda bad: VerifiedReader(images.BytesReader(bad), blob.descriptor, "test"), bad),
                )
        assert not store.has(REPOSITORY, blob.descriptor)
        assert list((tmp_path / "s" / "blobs" / "sha256").iterdir()) == []


def test_leftovers_of_a_killed_run_are_removed_and_other_files_are_not(tmp_path, web):
    path = tmp_path / "s"
    committed(path, str(WEB), web)
    hexes = web.digest.hex
    gone = [temporary_name(path / "blobs/sha256" / hexes), temporary_name(path / "index.json")]
    kept = [path / "blobs/sha256" / "notes.tmp", path / "README"]
    for file in (*gone, *kept):
        file.write_bytes(b"x")
    with LayoutStore(path) as store:
        store.prepare()
    assert not any(file.exists() for file in gone)
    assert all(file.exists() for file in kept)


def test_a_run_killed_while_making_the_layout_can_go_on(tmp_path, web):
    path = tmp_path / "s"
    path.mkdir()
    (path / ".airgap.lock").touch()
    temporary_name(path / "oci-layout").write_bytes(b"{")
    committed(path, str(WEB), web)
    assert LayoutStore(path).resolve(WEB) == web.digest
    (path / "index.json").unlink()
    assert LayoutStore(path).resolve(WEB) is None
    committed(path, str(WEB), web)
    assert LayoutStore(path).resolve(WEB) == web.digest


def test_a_directory_or_file_that_is_no_layout_is_refused(tmp_path, web):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.odt").touch()
    (tmp_path / "file").touch()
    for name in ("full", "file"):
        with pytest.raises(UsageError):
            LayoutStore(tmp_path / name).resolve(WEB)
        with pytest.raises(UsageError):
            LayoutStore(tmp_path / name).put_manifest(REPOSITORY, web.manifest)
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["thesis.odt"]


def test_two_writers_at_once_are_refused(tmp_path, web):
    with LayoutStore(tmp_path / "s") as first, LayoutStore(tmp_path / "s") as second:
        first.prepare()
        with pytest.raises(MediaError):
            second.prepare()
        first.commit()
        first.close()
        second.prepare()


def test_a_name_for_something_not_stored_is_an_error(tmp_path, web):
    with LayoutStore(tmp_path / "s") as store:
        store.prepare()
        with pytest.raises(Damaged):
            store.tag(WEB, web.manifest)


def test_a_mount_needs_the_blob_and_no_bytes(tmp_path, web):
    committed(tmp_path / "s", str(WEB), web)
    store = LayoutStore(tmp_path / "s")
    other = Repository("quay.io", "x")
    assert store.mount(other, web.children[0].blobs[0].descriptor, REPOSITORY)
    assert not store.mount(other, images.layer("absent").descriptor, REPOSITORY)


def test_linked_referrers_cannot_smuggle_in_a_name(tmp_path, web):
    evil = {"org.opencontainers.image.ref.name": "docker.io/library/nginx:1"}
    sbom = images.artifact(web, "application/spdx+json", b"{}", annotations=evil)
    path = tmp_path / "s"
    with LayoutStore(path) as store:
        images.publish(store, str(WEB), web)
        found = images.Built(sbom.manifest, sbom.descriptor, sbom.blobs)
        images.store(store, REPOSITORY, found)
        descriptor = type(sbom.descriptor)(
            sbom.descriptor.media_type, sbom.digest, sbom.descriptor.size, artifact_type="application/spdx+json", annotations=evil
        )
        store.link_referrers(Referring(REPOSITORY, web.digest, [descriptor], None))
        store.commit()
    entries = json.loads((path / "index.json").read_text())["manifests"]
    assert entries[1] == {
        "artifactType": "application/spdx+json",
        "digest": sbom.digest,
        "mediaType": sbom.descriptor.media_type,
        "size": sbom.descriptor.size,
    }
    assert LayoutStore(path).resolve(Reference.parse("nginx:1")) is None


def test_the_fallback_index_is_kept_byte_for_byte_and_linking_twice_is_once(tmp_path, web):
    sbom = images.artifact(web, "application/spdx+json", b"{}")
    original = images.fallback_index([sbom])
    path = tmp_path / "s"
    for _ in range(2):
        with LayoutStore(path) as store:
            images.publish(store, str(WEB), web)
            images.attach(store, REPOSITORY, web, [sbom], original)
            store.commit()
    store = LayoutStore(path)
    assert store.referrers(REPOSITORY, web.digest).tagged == (original.manifest,)
    assert store.resolve(REPOSITORY.tagged(digest_tag(web.digest))) == original.digest
    assert len(store.index().entries) == 3


def test_sha512_content_is_kept_apart(tmp_path):
    blob = images.content(b"hello", "application/x", algorithm="sha512")
    with LayoutStore(tmp_path / "s") as store:
        store.write(REPOSITORY, blob.descriptor, lambda: images.BytesReader(blob.raw))
        store.commit()
        assert store.has(REPOSITORY, blob.descriptor)
    assert (tmp_path / "s" / "blobs" / "sha512" / blob.descriptor.digest.hex).read_bytes() == b"hello"


@pytest.mark.parametrize("free", [True, False])
def test_somebody_elses_image_under_the_tag_of_a_layout_is_never_written_over(tmp_path, web, free):
    sbom, stranger = images.artifact(web, "application/spdx+json", b"{}"), images.multi_arch("stranger")
    tag = REPOSITORY.tagged(digest_tag(web.digest))
    with LayoutStore(tmp_path / "s") as store:
        images.publish(store, str(tag), stranger if free else web)
        store.commit()
    with LayoutStore(tmp_path / "s") as store:
        images.store(store, REPOSITORY, web)
        images.store(store, REPOSITORY, sbom)
        original = images.fallback_index([sbom]).manifest
        store.link_referrers(Referring(REPOSITORY, web.digest, [sbom.manifest.descriptor], original, tag_is_free=free))
        store.commit()
    store = LayoutStore(tmp_path / "s")
    assert store.resolve(tag) == (stranger if free else web).digest
    assert [one.digest for one in store.referrers(REPOSITORY, web.digest).descriptors] == [sbom.digest]
