"""Held blobs: looked for where they should be, and every one that is missing is named."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from airgap.admission.closure import Closure
from airgap.errors import Damaged, RegistryError
from airgap.format.catalog import Blob, Catalog, Patch
from airgap.importer.held import locate
from airgap.naming.mapping import destinations, parse_target
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.image import Image
from airgap.oci.reference import Reference, Repository
from airgap.oci.stores import Target

HELD, BASE, PATCH, MADE, OTHER, CARRIED = (
    Digest.of(name.encode()) for name in ("held", "base", "patch", "made", "other", "carried")
)


@dataclass
class Place:
    """A target that is only asked: what it has, by repository path."""

    blobs: dict[str, set[Digest]]
    asked: list[tuple[str, Digest, int]] = field(default_factory=list)
    guard: Any = field(default_factory=threading.Lock)

    def has(self, repository: Repository, descriptor: Descriptor) -> bool:
        with self.guard:
            self.asked.append((repository.path, descriptor.digest, descriptor.size))
        return descriptor.digest in self.blobs.get(repository.path, set())


def catalog(**blobs: Blob) -> Catalog:
    """A catalog of two images; ``blobs`` by the names above, in lower case."""
    known = {name.lower(): digest for name, digest in globals().items() if isinstance(digest, Digest)}
    root = Descriptor(media.OCI_MANIFEST, Digest.of(b"root"), 4)
    images = tuple(Image(Reference.parse(name), root, (), volumes=(1,)) for name in ("docker.io/shop/web:1", "quay.io/tool:1"))
    return Catalog(
        stream="prod", serial=2, created="2026-01-31T12:00:00Z", expires=None, tool="airgap", previous=None,
        base=(Digest.of(b"since"),), volume_size=None, images=images,
        blobs={known[name]: blob for name, blob in blobs.items()}, volumes=(),
    )  # fmt: skip


def find(catalog: Catalog, place: Place, target: str = "docker://site:5000/mirror", **needs: list[Digest]) -> dict[Digest, str]:
    """Locate what ``web`` and ``tool`` need; digest -> path."""
    spec = parse_target(target)
    closures = []
    for image, name in zip(catalog.images, ("web", "tool"), strict=True):
        blobs = {digest: Descriptor("", digest, catalog.blobs[digest].size) for digest in needs.get(name, [])}
        closures.append(Closure(image, image.root, blobs=blobs))
    names = destinations([(image.reference, image.root.digest) for image in catalog.images], spec)
    found = locate(catalog, closures, names, spec, cast(Target, place), 2)  # all that it asks of a target is whether it has a blob
    return {digest: repository.path for digest, repository in found.items()}


def held(*repositories: str, size: int = 7) -> Blob:
    return Blob(size, held=True, repositories=repositories)


def test_a_held_blob_is_found_where_its_image_goes() -> None:
    place = Place({"mirror/docker.io/shop/web": {HELD}})
    assert find(catalog(held=held(), carried=Blob(3)), place, web=[HELD, CARRIED]) == {HELD: "mirror/docker.io/shop/web"}
    assert place.asked == [("mirror/docker.io/shop/web", HELD, 7)]


@pytest.mark.parametrize(
    ("target", "hint", "path"),
    [
        ("docker://site:5000/mirror", "quay.io/old", "mirror/quay.io/old"),
        ("docker://site:5000/mirror", "mirror/quay.io/old", "mirror/quay.io/old"),
        ("docker://site:5000/mirror", "127.0.0.1:5000/old", "mirror/127.0.0.1-5000/old"),
        ("docker://site:5000", "some/where", "some/where"),
        ("oci:store", "quay.io/old", "old"),
    ],
)
def test_or_where_the_base_of_the_bundle_had_it(target: str, hint: str, path: str) -> None:
    assert find(catalog(held=held(hint)), Place({path: {HELD}}), target, web=[HELD]) == {HELD: path}


def test_hints_are_only_hints() -> None:
    hints = ["", "/", "..", "a//b", "Not/A/Name", "x" * 5000, "quay.io/old\n", *(f"quay.io/no{n}" for n in range(5000))]
    place = Place({"mirror/quay.io/no4999": {HELD}})
    with pytest.raises(Damaged, match="lacks 1 blob"):
        find(catalog(held=held(*hints)), place, web=[HELD])
    assert len(place.asked) < 200
    assert all(path.startswith(("mirror/", "quay.io/")) for path, *_ in place.asked)


def test_what_patches_are_made_from_must_be_there_too() -> None:
    blobs = catalog(base=held(), made=Blob(9, patch=Patch("bytes/1", BASE, PATCH)), patch=Blob(2))
    there = Place({"mirror/quay.io/tool": {BASE}})
    assert find(blobs, there, tool=[MADE]) == {BASE: "mirror/quay.io/tool"}
    with pytest.raises(Damaged) as caught:
        find(blobs, Place({}), tool=[MADE])
    assert BASE in caught.value.got
    assert "quay.io/tool:1" in caught.value.got
    alone = catalog(made=Blob(9, patch=Patch("bytes/1", None, PATCH)), patch=Blob(2))
    assert find(alone, Place({}), tool=[MADE]) == {}


def test_everything_that_is_missing_is_named_with_size_and_image() -> None:
    blobs = catalog(held=held(size=123), other=held(size=456), carried=Blob(3))
    with pytest.raises(Damaged) as caught:
        find(blobs, Place({}), web=[HELD, OTHER, CARRIED], tool=[OTHER])
    error = caught.value
    assert "lacks 2 blobs that prod-0002 does not carry" in error.what
    lines = sorted(line.strip() for line in error.got.splitlines() if line.strip())
    assert lines == sorted(
        [f"{HELD}  123 bytes, for docker.io/shop/web:1", f"{OTHER}  456 bytes, for docker.io/shop/web:1 and 1 more"]
    )
    assert Digest.of(b"since") in error.expected
    assert error.where == "docker://site:5000/mirror"


def test_only_what_the_chosen_images_need_is_asked_for() -> None:
    place = Place({})
    assert find(catalog(held=held(), other=held()), place, web=[]) == {}
    assert place.asked == []


def test_one_that_is_needed_in_several_places_is_looked_for_in_all_of_them() -> None:
    place = Place({"mirror/quay.io/tool": {HELD}})
    assert find(catalog(held=held()), place, web=[HELD], tool=[HELD]) == {HELD: "mirror/quay.io/tool"}


def test_a_target_that_fails_is_not_one_that_lacks_something() -> None:
    class Failing(Place):
        def has(self, repository: Repository, descriptor: Descriptor) -> bool:
            raise RegistryError("the registry answered 503")

    with pytest.raises(RegistryError, match="503"):
        find(catalog(held=held()), Failing({}), web=[HELD])


def test_very_many_that_are_missing_make_a_bounded_message() -> None:
    digests = [Digest.of(str(number).encode()) for number in range(1500)]
    blobs = replace(catalog(), blobs={digest: held() for digest in digests})
    with pytest.raises(Damaged) as caught:
        find(blobs, Place({}), web=digests)
    assert "and 1496 more" in caught.value.got
    assert caught.value.got.count("\n") == 5
