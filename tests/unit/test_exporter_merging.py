"""What a merged bundle holds: for every name the latest image, and everything that ever hung off it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from airgap.bundle.chain import Chain, Link, arrange
from airgap.bundle.media import Media
from airgap.delta.merging import Merged, check_place, merge
from airgap.errors import Damaged, UsageError
from airgap.exporter.export import export
from airgap.lists import Entry
from airgap.oci.descriptor import Platform
from airgap.oci.digest import Digest
from airgap.oci.image import digest_tag
from airgap.oci.reference import Reference, Repository
from airgap.progress import Silent
from airgap.state import Remembered, State
from tests.support import images
from tests.support.bundles import Sender, asking, catalog_of, flip
from tests.support.images import Built
from tests.support.origin import Origin

APP = "origin.example/app"


class Lookaside:
    """GPG signatures by digest."""

    def __init__(self, *known: tuple[Digest, bytes]) -> None:
        self._known = known

    def signatures(self, repository: Repository, digest: Digest) -> tuple[bytes, ...]:
        return tuple(content for subject, content in self._known if subject == digest)


class Desk:
    """Makes the bundles of one stream from whatever the origin has at the time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.origin = Origin()
        self.sender = Sender.make(root / "sender")
        self.bundles: list[Path] = []

    def export(self, *references: str, **options: Any) -> Path:
        platforms = tuple(Platform.parse(text) for text in options.pop("platforms", ()))
        wanted = [Entry(Reference.parse(reference), platforms) for reference in references]
        request = asking(wanted, self.origin, self.root, [self.sender.signer], serial=len(self.bundles) + 1, **options)
        with State(self.root / "state") as state:
            self.bundles.append(export(request, state, Silent()).path)
        return self.bundles[-1]

    def chain(self) -> Chain:
        links = []
        for bundle in self.bundles:
            catalog, media = catalog_of(bundle), Media.find([bundle])
            links.append(Link(Digest.of(media.catalog_raw), catalog, media.locate(catalog)))
        return Chain(arrange(links, "prod"))

    def merged(self) -> Merged:
        return merge(self.chain())


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def names(merged: Merged) -> dict[str, Digest]:
    return {str(image.reference): image.root.digest for image in merged.lock.images}


def sign(desk: Desk, subject: Digest, signature: str) -> Built:
    made = images.cosign_signature(images.simple_signing(Repository("origin.example", "app"), subject), signature)
    desk.origin.push(f"{APP}:{digest_tag(subject, '.sig')}", made)
    return made


def attached(merged: Merged) -> Sequence[Digest]:
    return [attachment.descriptor.digest for image in merged.lock.images for attachment in image.attachments]


def test_the_later_image_wins_a_name_and_no_name_is_lost(desk: Desk) -> None:
    old, new, other = images.multi_arch("old"), images.multi_arch("new"), images.multi_arch("other")
    desk.origin.push(f"{APP}:1", old)
    desk.origin.push(f"{APP}:other", other)
    desk.export(f"{APP}:1", f"{APP}:other")
    desk.origin.push(f"{APP}:1", new)
    desk.export(f"{APP}:1")
    merged = desk.merged()
    assert names(merged) == {f"{APP}:other": other.digest, f"{APP}:1": new.digest}
    assert old.digest not in merged.lock.manifests
    assert (merged.bases, merged.patches, merged.notes) == ((), {}, ())
    assert merged.lock == type(merged.lock).from_bytes(merged.lock.to_bytes(), "lock")


def test_a_tag_pinned_to_a_digest_is_the_same_name_as_the_tag(desk: Desk) -> None:
    old, new = images.multi_arch("old"), images.multi_arch("new")
    desk.origin.push(f"{APP}:1", old)
    desk.export(f"{APP}:1@{old.digest}", f"{APP}@{old.digest}")
    desk.origin.push(f"{APP}:1", new)
    desk.export(f"{APP}:1")
    assert names(desk.merged()) == {f"{APP}@{old.digest}": old.digest, f"{APP}:1": new.digest}


def test_attachments_of_the_same_image_are_joined(desk: Desk) -> None:
    image = images.multi_arch("app")
    desk.origin.push(f"{APP}:1", image)
    first = images.artifact(image, "application/spdx+json", b"first")
    deeper = images.artifact(first, "text/plain", b"about the first")
    for built in (first, deeper):
        desk.origin.push(f"{APP}@{built.digest}", built)
    desk.export(f"{APP}:1")
    desk.origin.shelves.clear()
    second = images.artifact(image, "application/spdx+json", b"second")
    desk.origin.push(f"{APP}:1", image)
    desk.origin.push(f"{APP}@{second.digest}", second)
    desk.export(f"{APP}:1")
    merged = desk.merged()
    assert attached(merged) == [second.digest, first.digest, deeper.digest]
    assert merged.notes == ()


def test_of_two_signature_tags_the_later_is_kept_and_that_is_said(desk: Desk) -> None:
    image = images.multi_arch("app")
    desk.origin.push(f"{APP}:1", image)
    sign(desk, image.digest, "b2xk")
    desk.export(f"{APP}:1")
    later = sign(desk, image.digest, "bmV3")
    desk.export(f"{APP}:1")
    merged = desk.merged()
    assert attached(merged) == [later.digest]
    assert "of two versions of sha256-" in merged.notes[0]


def test_gpg_signatures_are_joined_with_their_content(desk: Desk) -> None:
    image = images.multi_arch("app")
    child = image.children[0].digest
    desk.origin.push(f"{APP}:1", image)
    desk.export(f"{APP}:1", lookaside=Lookaside((image.digest, b"one"), (child, b"of a child")))
    desk.export(f"{APP}:1", lookaside=Lookaside((image.digest, b"one"), (image.digest, b"two")))
    (found,) = desk.merged().lock.images
    assert {(s.subject, s.content) for s in found.signatures} == {
        (image.digest, b"one"),
        (image.digest, b"two"),
        (child, b"of a child"),
    }


def test_what_hangs_off_a_part_that_is_no_longer_carried_is_left_out(desk: Desk) -> None:
    image = images.multi_arch("app")
    amd64, arm64 = image.children[0], image.children[1]
    desk.origin.push(f"{APP}:1", image)
    kept, left = sign(desk, amd64.digest, "b25l"), sign(desk, arm64.digest, "dHdv")
    first = desk.export(f"{APP}:1")
    assert {a.descriptor.digest for a in catalog_of(first).images[0].attachments} == {kept.digest, left.digest}
    desk.origin.shelves.clear()
    desk.origin.push(f"{APP}:1", image)
    desk.export(f"{APP}:1", platforms=["linux/amd64"])
    merged = desk.merged()
    assert attached(merged) == [kept.digest]
    assert arm64.digest not in merged.lock.manifests


def test_a_foreign_layer_that_any_bundle_carries_is_carried(desk: Desk) -> None:
    layer = images.layer("foreign", media_type="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")
    image = images.image([layer])
    desk.origin.push(f"{APP}:1", image)
    desk.export(f"{APP}:1")
    del desk.origin.shelves[APP].blobs[layer.descriptor.digest]
    second = desk.export(f"{APP}:1")
    assert catalog_of(second).images[0].foreign == (layer.descriptor.digest,)
    (found,) = desk.merged().lock.images
    assert found.foreign == ()


def test_a_blob_that_a_signed_catalog_leaves_out_without_a_base_is_named(desk: Desk) -> None:
    image = images.image([images.layer("app")])
    desk.origin.push(f"{APP}:1", image)
    first = desk.export(f"{APP}:1")
    layer = image.blobs[1].descriptor
    second = desk.export(f"{APP}:1")
    for bundle, previous in ((first, None), (second, first)):
        digest = Digest.of((previous / "catalog.json").read_bytes()) if previous else None

        def edit(top: dict[str, Any], digest: Digest | None = digest) -> None:
            top["blobs"][layer.digest] = {"size": layer.size, "held": True}
            top["previous"] = digest

        desk.sender.resign(bundle, edit)
    with pytest.raises(Damaged, match="a blob is in none of the bundles") as raised:
        desk.merged()
    assert raised.value.where == f"prod-0002: {APP}:1"
    assert layer.digest in raised.value.expected


def test_a_damaged_manifest_is_damage(desk: Desk) -> None:
    image = images.multi_arch("app")
    desk.origin.push(f"{APP}:1", image)
    first = desk.export(f"{APP}:1")
    desk.origin.push(f"{APP}:2", images.multi_arch("app 2"))
    desk.export(f"{APP}:2")
    flip(first / "volume-0001.tar", catalog_of(first).blobs[image.digest].extents[0].offset + 9)
    with pytest.raises(Damaged, match="wrong digest"):
        desk.merged()


def test_the_place_of_a_merged_bundle_in_its_stream(desk: Desk) -> None:
    for number in (1, 2):
        desk.origin.push(f"{APP}:{number}", images.image([images.layer(number)]))
        desk.export(f"{APP}:{number}")
    chain = desk.chain()
    known = {1: chain.links[0].digest, 2: chain.links[1].digest}

    def exported(below: int | None) -> Remembered | None:
        last = max((number for number in known if below is None or number < below), default=None)
        return Remembered(last, known[last]) if last else None

    assert check_place(chain, None, exported) == check_place(chain, 9, exported) == []
    with pytest.raises(UsageError, match="needs a new serial"):
        check_place(chain, 2, exported)
    known[3] = Digest.of(b"later")
    assert "serial 3 of the stream" in check_place(chain, None, exported)[0]
    assert check_place(chain, 3, exported) == []
    known[1] = Digest.of(b"another")
    with pytest.raises(UsageError, match="not the one that was exported here"):
        check_place(chain, None, exported)
