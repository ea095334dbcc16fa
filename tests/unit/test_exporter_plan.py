"""Lock and plan: pure, and the same for the same input."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airgap.bundle.names import MIN_VOLUME
from airgap.errors import RegistryError, UsageError
from airgap.exporter.lock import Lock, is_lock, placed_blobs
from airgap.exporter.plan import lay_out, summary
from airgap.exporter.resolve import resolve
from airgap.lists import Entry
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.reference import Reference
from airgap.progress import Silent
from tests.support import images
from tests.support.origin import Origin


@pytest.fixture
def lock() -> Lock:
    origin = Origin()
    base = images.layer("base", 30_000)
    web = images.multi_arch("web", [base])
    names = [origin.push("docker.io/shop/web:1", web), origin.push("quay.io/tool:2", images.image([base, images.layer("tool")]))]
    origin.push("docker.io/shop/web", images.artifact(web, "application/spdx+json", b"{}"))
    empty = images.content(b"", "application/vnd.oci.image.layer.v1.tar")
    names.append(origin.push("quay.io/empty:1", images.image([empty, images.layer("behind the empty one")])))
    return resolve([Entry(name) for name in names], origin, Silent())


def test_a_lock_reads_as_it_was_written(lock: Lock) -> None:
    raw = lock.to_bytes()
    again = Lock.from_bytes(raw, "here")
    assert again.images == lock.images
    assert again.to_bytes() == raw
    assert is_lock(raw)
    assert not is_lock(b"nginx:1\n")
    assert lay_out(again, 20_000).blobs == lay_out(lock, 20_000).blobs


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw[:-5],
        lambda raw: b"{}",
        lambda raw: raw.replace(b'"size":', b'"Size":'),
        lambda raw: raw.replace(b"sha256:", b"sha256:x"),
    ],
    ids=["cut", "nothing", "key", "digest"],
)
def test_a_damaged_lock_is_a_mistake_in_an_input_file(lock: Lock, change) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError):
        Lock.from_bytes(change(lock.to_bytes()), "here")


def test_a_lock_without_one_of_its_manifests_is_incomplete(lock: Lock) -> None:
    for digest in lock.manifests:
        nodes = {name: node for name, node in lock.manifests.items() if name != digest}
        with pytest.raises(UsageError) as caught:
            Lock.from_bytes(Lock(lock.images, nodes).to_bytes(), "here")
        assert digest in caught.value.expected


def test_metadata_comes_first_and_every_digest_once(lock: Lock) -> None:
    placed = list(placed_blobs(lock))
    digests = [descriptor.digest for _, _, descriptor, _ in placed]
    assert len(set(digests)) == len(digests)
    metadata = [is_metadata for _, _, _, is_metadata in placed]
    assert metadata == sorted(metadata, reverse=True)
    everything = {d.digest for node in lock.manifests.values() for d in (node.descriptor, *node.blobs)}
    assert set(digests) == everything


@pytest.mark.parametrize("volume_size", [None, MIN_VOLUME, 20_000, 10**9])
def test_images_know_the_volumes_they_need(lock: Lock, volume_size: int | None) -> None:
    plan = lay_out(lock, volume_size)
    assert plan == lay_out(lock, volume_size)
    assert plan.written == sum(plan.sizes)
    assert max(plan.sizes) <= (volume_size or plan.written)
    for image in plan.images:
        needed = {1}
        for node in lock.walk(image):
            for descriptor in (node.descriptor, *node.blobs):
                needed |= {extent.volume for extent in plan.blobs[descriptor.digest].extents}
        assert set(image.volumes) == needed


def test_shared_bytes_are_counted_once(lock: Lock) -> None:
    facts = summary(lay_out(lock, None))
    assert sum(row["new_bytes"] for row in facts["images"]) == facts["download"]
    assert facts["images"][1]["shared_bytes"] > 30_000


def test_contradicting_sizes_are_an_error_that_names_both(lock: Lock) -> None:
    digest, node = next((name, node) for name, node in lock.manifests.items() if node.blobs)
    layer = node.blobs[-1]
    other = replace(node, blobs=(*node.blobs, Descriptor(layer.media_type, layer.digest, layer.size + 1)))
    with pytest.raises(RegistryError) as caught:
        lay_out(Lock(lock.images, {**lock.manifests, digest: other}), None)
    assert layer.digest in caught.value.where
    assert (str(layer.size) in caught.value.expected, str(layer.size + 1) in caught.value.got) == (True, True)


def test_an_empty_layer_is_carried(lock: Lock) -> None:
    extents = lay_out(lock, None).blobs[Digest.of(b"")].extents
    assert [extent.length for extent in extents] == [0]


def test_a_reference_in_a_lock_is_pinned(lock: Lock) -> None:
    image = lock.images[0]
    lying = replace(image, reference=Reference.parse(f"docker.io/shop/web@{Digest.of(b'another')}"))
    with pytest.raises(UsageError):
        Lock.from_bytes(Lock((lying,), lock.manifests).to_bytes(), "here")
