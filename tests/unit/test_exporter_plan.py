"""Lock and plan: pure, and the same for the same input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from airgap.documents.holdings import Held
from airgap.errors import RegistryError, UsageError
from airgap.format.catalog import Blob, Patch
from airgap.format.names import MIN_VOLUME
from airgap.limits import MAX_SIGNATURE_BLOB
from airgap.lists import Entry
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.image import digest_tag
from airgap.oci.reference import Reference
from airgap.planning.lock import Lock, is_lock, placed_blobs
from airgap.planning.plan import Made, check_sealable, holdable, lay_out, summary
from airgap.planning.resolve import resolve
from airgap.progress import Silent
from airgap.trust.keys import evidence as ev
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
    assert is_lock(raw.replace(b'{"schema":', b'\n{\n  "schema" : ', 1))
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
def test_a_damaged_lock_is_a_mistake_in_an_input_file(lock: Lock, change) -> None:
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


def layer_named(lock: Lock, image: int, position: int) -> Descriptor:
    """A layer of the first instance of an image."""
    return next(node for node in lock.walk(lock.images[image]) if node.blobs).blobs[1 + position]


def made(base: Digest | None, size: int = 700) -> Made:
    return Made(Patch("deflate-tokens/1", base, Digest.of(f"patch {base}".encode())), size, Path("/none"))


def test_what_is_held_is_not_carried_and_patches_take_the_place_of_what_they_make(lock: Lock) -> None:
    shared, own = layer_named(lock, 0, 0), layer_named(lock, 1, 1)
    held = {shared.digest: Held(shared.size, tuple(f"a/{n}" for n in range(100))), Digest.of(b"old"): Held(5, ("a/old",))}
    patches = {own.digest: made(Digest.of(b"old"))}
    whole, plan = lay_out(lock, None), lay_out(lock, None, held, patches)
    assert plan == lay_out(lock, None, held, patches)
    assert whole.blobs.keys() - plan.blobs.keys() == {shared.digest, own.digest}
    assert plan.blobs.keys() - whole.blobs.keys() == {made(Digest.of(b"old")).patch.blob}
    assert plan.written < whole.written - shared.size - own.size + 700 + 2000
    assert set(plan.held) == {shared.digest, Digest.of(b"old")}
    blobs = plan.catalog_blobs
    assert blobs[shared.digest].held
    assert len(blobs[shared.digest].repositories) == 16
    assert blobs[own.digest] == Blob(own.size, patch=patches[own.digest].patch)
    assert blobs[Digest.of(b"old")] == Blob(5, held=True, repositories=("a/old",))
    assert plan.files == {patches[own.digest].patch.blob: Path("/none")}


def test_what_is_held_but_not_asked_for_is_not_in_the_bundle(lock: Lock) -> None:
    held = {Digest.of(b"old"): Held(5), lock.images[0].root.digest: Held(lock.images[0].root.size)}
    assert lay_out(lock, None, held) == lay_out(lock, None)


@pytest.mark.parametrize("volume_size", [8_000, 20_000])
def test_images_need_the_volumes_of_their_patches_and_of_what_those_are_made_from(lock: Lock, volume_size: int) -> None:
    shared, web, tool = layer_named(lock, 0, 0), layer_named(lock, 0, 1), layer_named(lock, 1, 1)
    patches = {tool.digest: made(web.digest, 30_000), web.digest: made(None, 900), shared.digest: made(None, 25_000)}
    plan = lay_out(lock, volume_size, {}, patches)
    volumes = {digest: {extent.volume for extent in placed.extents} for digest, placed in plan.blobs.items()}
    needed = {1} | volumes[patches[tool.digest].patch.blob] | volumes[made(None).patch.blob]
    assert needed <= set(plan.images[1].volumes)


def test_a_base_that_is_carried_all_the_same_is_not_called_held(lock: Lock) -> None:
    """A big part of an attachment is carried whole although the site has it, and may still be the base of a patch."""
    (sbom,) = (node for node in lock.walk(lock.images[0]) if node.blobs and node.blobs[1].size == 2)
    kept, own = sbom.blobs[1], layer_named(lock, 1, 1)
    plan = lay_out(lock, None, {kept.digest: Held(kept.size)}, {own.digest: made(kept.digest)})
    assert plan.held == {}
    assert plan.catalog_blobs[kept.digest].extents
    assert plan.catalog_blobs[own.digest].patch == made(kept.digest).patch


def test_manifests_signatures_attestations_and_small_parts_of_attachments_are_always_carried() -> None:
    origin = Origin()
    web = images.image([images.layer("web", 40_000)])
    name = origin.push("docker.io/shop/web:1", web)
    payload = images.simple_signing(name.repository, web.digest)
    signature, sbom = images.cosign_signature(payload, "c2ln"), images.artifact(web, "application/spdx+json", b"small")
    large = images.artifact(web, "application/big", bytes(MAX_SIGNATURE_BLOB + 1))
    origin.push(f"{name.repository}:{digest_tag(web.digest, '.sig')}", signature)
    bundle = images.artifact(web, ev.SIGSTORE_BUNDLE, bytes(MAX_SIGNATURE_BLOB + 2), media_type=ev.SIGSTORE_BUNDLE)
    for attached in (sbom, large, bundle):
        origin.push(str(name.repository), attached)
    lock = resolve([Entry(name)], origin, Silent())
    everything = {d.digest: Held(d.size) for node in lock.manifests.values() for d in (node.descriptor, *node.blobs)}
    patches = {digest: made(None) for digest in everything}
    free = {blob.descriptor.digest for blob in (*web.blobs, large.blobs[1])}
    assert holdable(lock) == free
    assert set(lay_out(lock, None, everything).held) == free
    assert set(lay_out(lock, None, {}, patches).patched) == free
    always = {part.digest for part in (web, signature, sbom, large, bundle)} | {Digest.of(payload), Digest.of(b"small")}
    always |= {bundle.blobs[1].descriptor.digest}
    assert always <= lay_out(lock, None, everything, patches).blobs.keys()


def test_shared_bytes_are_counted_once(lock: Lock) -> None:
    facts = summary(lay_out(lock, None))
    assert sum(row["new_bytes"] for row in facts["images"]) == facts["download"]
    assert facts["images"][1]["shared_bytes"] > 30_000


def test_parity_files_are_planned_and_change_nothing_else(lock: Lock) -> None:
    plain, plan = lay_out(lock, 20_000), lay_out(lock, 20_000, parity=3)
    assert replace(plan, parity=0) == plain
    assert plan.parity_sizes == (max(plain.sizes),) * 3
    facts = summary(plan)
    assert (facts["bundle_bytes"], facts["parity_bytes"]) == (plain.written, 3 * max(plain.sizes))
    assert [file["name"] for file in facts["parity"]] == ["parity-0001.bin", "parity-0002.bin", "parity-0003.bin"]
    assert summary(plain)["parity"] == []


def test_more_volumes_than_parity_can_have_are_refused_with_a_size_that_will_do(lock: Lock) -> None:
    volumes = len(lay_out(lock, MIN_VOLUME).sizes)
    lay_out(lock, MIN_VOLUME, parity=256 - volumes)
    with pytest.raises(UsageError) as caught:
        lay_out(lock, MIN_VOLUME, parity=257 - volumes)
    advised = int(caught.value.hint.partition("--volume-size ")[2].partition("MB")[0]) * 10**6
    lay_out(lock, advised, parity=257 - volumes)


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


def test_more_than_a_reader_takes_is_not_planned(lock: Lock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airgap.planning.plan.MAX_CATALOG_MEMORY", 10_000)
    with pytest.raises(UsageError, match="more images and blobs than one bundle can hold"):
        lay_out(lock, None)


def test_more_than_a_reader_of_encrypted_catalogs_takes_is_not_planned(lock: Lock, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = lay_out(lock, None)
    check_sealable(plan)
    monkeypatch.setattr("airgap.oci.strictjson.MAX_MEMORY", 10_000)
    with pytest.raises(UsageError, match="more than one encrypted bundle can hold"):
        check_sealable(plan)
