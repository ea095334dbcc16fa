"""Which layer a patch is made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from airgap.delta.bases import Base
from airgap.delta.candidates import (
    SMALLEST,
    Layer,
    PatchAttempt,
    attempts,
    attempts_for,
    estimate,
    method,
    new_layers,
    old_layers,
    open_base,
)
from airgap.documents.holdings import Held, Holdings
from airgap.lists import Entry
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.image import digest_tag
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Reference, Repository
from airgap.oci.stores import Named
from airgap.oci.verify import read_all
from airgap.planning.lock import Lock, Node
from airgap.planning.resolve import resolve
from airgap.progress import Silent
from tests.support import images
from tests.support.origin import Origin

WEB = Repository("docker.io", "shop/web")
BIG = 100_000
ARM, AMD = "linux/arm64", "linux/amd64"


def layer(name: str, size: int = BIG, platform: str = AMD, position: int = 0, **other: object) -> Layer:
    """A layer of the image ``name`` (up to the first blank)."""
    kind = str(other.get("kind", media.OCI_LAYER_GZIP))
    repository = other.get("repository", WEB)
    assert isinstance(repository, Repository)
    image = Digest.of(f"{name.partition(' ')[0]} {platform}".encode())
    return Layer(repository, platform, position, Descriptor(kind, Digest.of(name.encode()), size), image)


def base_of(new: Layer, *old: Layer) -> str | None:
    """The base that is tried for a layer."""
    (attempt,) = attempts([new], old, always=True)
    return attempt.base.digest if attempt.base else None


@pytest.mark.parametrize(
    ("media_type", "codec"),
    [
        (media.OCI_LAYER_GZIP, "deflate-tokens/1"),
        (images.DOCKER_LAYER, "deflate-tokens/1"),
        ("application/vnd.cncf.helm.chart.content.v1.tar+gzip", "deflate-tokens/1"),
        (media.OCI_LAYER, "bytes/1"),
        ("application/vnd.docker.image.rootfs.diff.tar", "bytes/1"),
        (f"{media.OCI_LAYER}+zstd", ""),
        ("application/octet-stream", ""),
    ],
)
def test_the_media_type_decides_how(media_type: str, codec: str) -> None:
    assert method(media_type) == codec


def test_the_same_place_of_the_same_platform_is_nearest_then_size_decides() -> None:
    new = layer("new", position=1)
    exact, other_platform = layer("old 1", position=1), layer("old 2", platform=ARM, position=1)
    moved, other_repository = layer("old 3", position=2), layer("old 4", position=1, repository=Repository("quay.io", "x"))
    shrunk = layer("old 5", BIG // 5, position=1)
    everything = [other_repository, other_platform, shrunk, moved, exact]
    for nearest in (exact, moved, other_platform, other_repository, shrunk):
        assert base_of(new, *everything) == nearest.descriptor.digest
        everything.remove(nearest)


def test_nothing_similar_is_no_base() -> None:
    assert base_of(layer("new"), layer("old", BIG * 20)) is None
    assert base_of(layer("new"), layer("old", kind=media.OCI_LAYER)) is None
    assert attempts([layer("new")], [layer("old", BIG * 20)], always=False) == []


def test_siblings_of_one_bundle_are_made_from_each_other_and_never_in_a_chain() -> None:
    layers = [
        layer(f"{image} {place}", BIG * (1 + 3 * place), platform, place)
        for image in ("one", "two")
        for platform in (AMD, ARM)
        for place in (0, 1)
    ]
    layers = [replace(one, descriptor=replace(one.descriptor, digest=Digest.of(f"{one}".encode()))) for one in layers]
    tried = {attempt.new.digest: attempt for attempt in attempts(layers, [], always=True)}
    alone = [digest for digest, attempt in tried.items() if attempt.base is None]
    place = {one.descriptor.digest: one.position for one in layers}
    assert sorted(place[digest] for digest in alone) == [0, 1], "one base for each place"
    for digest, attempt in tried.items():
        if attempt.base:
            assert attempt.inside
            assert attempt.base.digest in alone
            assert place[attempt.base.digest] == place[digest]


def test_a_layer_of_another_repository_is_a_base_unless_a_sibling_gains_more() -> None:
    other = Repository("quay.io", "x")
    pair = [layer("one"), layer("two", repository=other)]
    assert [attempt.base is not None for attempt in attempts(pair, [], always=True)] == [False, True]
    three = [*pair, layer("two arm", platform=ARM, repository=other)]
    made = {attempt.new.digest: attempt.base for attempt in attempts(three, [], always=True)}
    assert [made[one.descriptor.digest] for one in three] == [three[1].descriptor, None, three[1].descriptor]


def test_a_layer_in_many_places_is_tried_once_from_the_best_of_them() -> None:
    shared = layer("shared", position=0)
    elsewhere = replace(shared, repository=Repository("quay.io", "x"), position=3)
    old = layer("old", BIG, position=3, repository=Repository("quay.io", "x"))
    (attempt,) = attempts([shared, elsewhere], [old], always=False)
    assert attempt == PatchAttempt(WEB, shared.descriptor, old.descriptor, old.repository, "deflate-tokens/1")
    assert estimate([attempt]) == BIG * 7 // 8
    assert estimate(attempts([shared], [], always=True)) == BIG // 3


@pytest.fixture
def origin() -> Origin:
    return Origin()


def locked(origin: Origin, *names: Reference) -> Lock:
    return resolve([Entry(name) for name in names], origin, Silent())


def versions(origin: Origin) -> tuple[Lock, Base]:
    """Version 2 of an image of two platforms, and a base that has version 1 of it under the name of a mapping."""
    old, new = (
        images.index([images.image([images.layer(f"{version} {p}", BIG)], platform=p) for p in (AMD, ARM)]) for version in (1, 2)
    )
    origin.push(f"{WEB}:1", old)
    found = locked(origin, origin.push(f"{WEB}:2", new))
    blobs = {blob.descriptor.digest: Held(blob.descriptor.size) for part in old.everything() for blob in part.blobs}
    return found, Base("base", old.digest, Holdings(blobs, {"mirror/docker.io/shop/web:1": old.digest}))


def test_old_layers_are_found_by_the_names_that_mappings_make(origin: Origin) -> None:
    lock, base = versions(origin)
    found = old_layers(lock, [base], origin)
    assert sorted((one.platform, one.position) for one in found) == [(AMD, 0), (ARM, 0)]
    assert {attempt.base.digest for attempt in attempts_for(lock, [base], "auto", origin) if attempt.base} == {
        one.descriptor.digest for one in found
    }
    root = next(iter(base.holdings.images.values()))
    for name, same in {
        "docker.io/shop/web:1": True,
        "docker.io/shop/web@sha256:0": True,
        "shop/web:1": True,
        "x/shop/web:latest": True,
        "shop/webs:1": False,
        "shop/other/web:1": False,
        "localhost:5000/shop/web": True,
    }.items():
        named = replace(base, holdings=replace(base.holdings, images={name: root}))
        assert bool(old_layers(lock, [named], origin)) == same, name


def elsewhere(origin: Origin, name: str, size: int = BIG, platform: str = AMD) -> list[PatchAttempt]:
    """What is tried for ``quay.io/new/service``, whose layer has 100,000 bytes, when the site has one image of another name."""
    old = images.index([images.image([images.layer("old", size), images.layer("app", BIG)], platform=platform)])
    new = images.index([images.image([images.layer("new", BIG)], platform=AMD)])
    for source in ("quay.io/shop/web", "quay.io/old/service", "ghcr.io/shop/web"):
        origin.push(f"{source}:1", old)
    path = name.rpartition(":")[0]
    blobs = {blob.descriptor.digest: Held(blob.descriptor.size, (path,)) for part in old.everything() for blob in part.blobs}
    base = Base("base", old.digest, Holdings(blobs, {name: old.digest}))
    return attempts_for(locked(origin, origin.push("quay.io/new/service:1", new)), [base], "auto", origin)


@pytest.mark.parametrize(
    ("name", "size", "platform", "found"),
    [
        ("quay.io/shop/web:1", BIG, AMD, True),
        ("mirror/quay.io/shop/web:1", BIG + 4000, AMD, True),
        ("mirror/quay.io/shop/web:1", BIG * 2, AMD, False),
        ("mirror/quay.io/shop/web:1", BIG, ARM, False),
        ("mirror/quay.io/old/service:1", BIG * 2, AMD, True),
        ("mirror/ghcr.io/shop/web:1", BIG, AMD, False),
        ("mirror/shop/web:1", BIG, AMD, False),
        ("mirror/quay.io/:1", BIG, AMD, False),
    ],
)
def test_an_image_new_to_the_site_is_made_from_others_of_the_same_base_image_or_last_name(
    origin: Origin, name: str, size: int, platform: str, found: bool
) -> None:
    tried = elsewhere(origin, name, size, platform)
    assert len(tried) == found
    assert all(attempt.origin and attempt.origin.host == "quay.io" for attempt in tried)


def test_other_repositories_are_left_alone_where_the_site_has_the_image_itself(origin: Origin) -> None:
    lock, base = versions(origin)
    other = images.image([images.layer("other", BIG)])
    origin.push("docker.io/shop/other:1", other)
    blobs = {blob.descriptor.digest: Held(blob.descriptor.size, ("docker.io/shop/other",)) for blob in other.blobs}
    more = Holdings({**base.holdings.blobs, **blobs}, {**base.holdings.images, "docker.io/shop/other:1": other.digest})
    with_other = replace(base, holdings=more)
    new = new_layers(lock, more.blobs)
    assert old_layers(lock, [with_other], origin, new) == old_layers(lock, [base], origin)


def test_few_names_of_other_repositories_are_looked_at_the_likeliest_first(origin: Origin) -> None:
    built = {number: images.image([images.layer(f"old {number}", BIG)]) for number in range(40)}
    for number, one in built.items():
        origin.push(f"docker.io/old/app{number}:1", one)
    blobs = {one.blobs[1].descriptor.digest: Held(BIG, (f"docker.io/old/app{number}",)) for number, one in built.items()}
    moved = images.image([images.layer("moved", BIG)])
    origin.push("docker.io/before/web:1", moved)
    blobs[moved.blobs[1].descriptor.digest] = Held(BIG, ("docker.io/before/web",))
    names = {f"docker.io/old/app{number}:1": one.digest for number, one in built.items()} | {"docker.io/before/web:1": moved.digest}
    base = Base("base", moved.digest, Holdings(blobs, names))
    lock = locked(origin, origin.push(f"{WEB}:1", images.image([images.layer("new", BIG)])))
    found = old_layers(lock, [base], origin, new_layers(lock, blobs))
    assert len(found) == 4
    assert found[0].repository == Repository("docker.io", "before/web")


def test_of_hundreds_of_earlier_versions_those_with_the_most_alike_tags_are_looked_at(origin: Origin) -> None:
    built = {f"{n}.{m}": images.image([images.layer(f"{n}.{m}", BIG)]) for n in range(1, 6) for m in range(8)}
    for tag, one in built.items():
        origin.push(f"{WEB}:{tag}", one)
    lock = locked(origin, origin.push(f"{WEB}:3.9", images.image([images.layer("new", BIG)])))
    blobs = {blob.descriptor.digest: Held(blob.descriptor.size) for one in built.values() for blob in one.blobs}
    names = {f"{WEB}:{tag}": one.digest for tag, one in built.items()}
    attached = {f"{WEB}:{digest_tag(one.digest, '.sig')}": one.digest for one in built.values()}
    base = Base("base", next(iter(built.values())).digest, Holdings(blobs, {**attached, **names}))
    found = {one.descriptor.digest for one in old_layers(lock, [base], origin)}
    assert len(found) == 16
    assert {one.blobs[1].descriptor.digest for tag, one in built.items() if tag.startswith("3.")} <= found
    alone = replace(base, holdings=Holdings(blobs, attached))
    assert old_layers(lock, [alone], origin) == []


def test_without_a_base_or_its_manifests_there_is_nothing_to_try(origin: Origin) -> None:
    lock, base = versions(origin)
    assert attempts_for(lock, [base], "never", origin) == []
    assert attempts_for(lock, [], "auto", origin) == []
    assert len(attempts_for(lock, [], "always", origin)) == 2
    origin.shelves[str(WEB)].manifests.clear()
    assert attempts_for(lock, [base], "auto", origin) == []


def test_what_is_held_tiny_or_foreign_is_not_tried(origin: Origin) -> None:
    built = images.image([images.layer("held", BIG), images.layer("tiny", SMALLEST - 5000), images.layer("new", BIG)])
    lock = locked(origin, origin.push(f"{WEB}:1", built))
    held, _, new = (blob.descriptor.digest for blob in built.blobs[1:])
    assert [one.descriptor.digest for one in new_layers(lock, {held})] == [new]
    foreign = replace(lock, images=(replace(lock.images[0], foreign=(new,)),))
    assert new_layers(foreign, {held}) == []


def test_an_index_that_lists_the_same_child_again_and_again_is_walked_once(origin: Origin) -> None:
    """A registry can make an index whose walk would never end."""
    lock = locked(origin, origin.push(f"{WEB}:1", images.image([images.layer("new", BIG)])))
    root = lock.images[0].root
    nodes = dict(lock.manifests)
    for depth in range(7):
        parent = Descriptor(media.OCI_INDEX, Digest.of(bytes([depth])), 1)
        nodes[parent.digest] = Node(parent, children=(root,) * 1000)
        root = parent
    deep = Lock((replace(lock.images[0], root=root),), nodes)
    assert len(new_layers(deep, ())) == 1


def test_a_base_is_read_from_where_it_is_at_hand_else_from_the_source(origin: Origin) -> None:
    lock, base = versions(origin)
    old = old_layers(lock, [base], origin)[0]
    reader = open_base([base], origin, WEB, old.descriptor)
    assert Digest.of(read_all(reader, BIG * 2, "base")) == old.descriptor.digest

    class Near:
        def find_blob(self, digest: Digest) -> int:
            return old.descriptor.size

        def open_blob(self, digest: Digest, offset: int = 0) -> images.BytesReader:
            return images.BytesReader(b"near")

        def find_manifest(self, digest: Digest) -> Manifest:
            raise AssertionError("only blobs are asked for")

        def names(self) -> Iterator[Named]:
            raise AssertionError("only blobs are asked for")

    near = replace(base, content=Near())
    assert read_all(open_base([near], origin, WEB, old.descriptor), 10, "base") == b"near"
