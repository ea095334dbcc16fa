"""What is damaged or lost beyond repair is asked for, sent again, and completes the import: against the real registry."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airgap.format.names import BLOCK_SIZE
from airgap.oci.digest import Digest
from tests.support import images
from tests.support.bundles import catalog_of, flip
from tests.support.cli import DAMAGED, NETWORK, USAGE, failed, tree
from tests.support.dockerregistry import DockerRegistry
from tests.support.platform import Published
from tests.support.resending import Wish, publish_large
from tests.support.site import Site
from tests.support.tools import require
from tests.support.walk import walk

pytestmark = pytest.mark.slow("runs whole exports and imports against real registries")


@dataclass(frozen=True)
class Desk:
    """The exporter's machine, its registry, and the bundle as it was made; ``media`` is a copy that gets damaged."""

    site: Site
    registry: DockerRegistry
    published: Published
    original: Path
    media: Path
    work: Path

    @property
    def wish(self) -> Wish:
        return Wish(self.original, self.work)

    def resend(self, request: Path, *places: object, state: str = "state", **options: Any) -> Path:
        done = self.site.json("export", "--resend", request, *places, "--out", self.work / "answers", state=state, **options)
        return Path(done["supplement"])

    def refused(self, code: int, *says: str, request: Path, places: tuple[object, ...] = (), state: str = "state") -> None:
        out = self.work / "answers"
        done = self.site.run("export", "--resend", request, *places, "--out", out, "--json", state=state, check=False)
        failed(done, code, *says)
        assert not [path for path in out.glob("*") if not path.name.endswith(".partial")]

    def imported(self, *paths: object) -> None:
        """The media with the supplement pass and load: every blob is there."""
        self.site.run("verify", *paths, "--policy", self.site.policy)
        store = self.work / "store"
        self.site.import_(f"oci:{store}", *paths, state=f"state-{self.work.name}")
        arrived = {Digest.of(path.read_bytes()) for path in (store / "blobs/sha256").iterdir()}
        assert set(catalog_of(self.original).blobs) <= arrived

    def not_imported(self, code: int, *says: str, paths: tuple[object, ...]) -> None:
        """Neither verify nor import takes them, and nothing arrives."""
        store = self.work / "store"
        fixed = ["--policy", self.site.policy, "--json"]
        failed(self.site.run("verify", *paths, *fixed, check=False), code, *says)
        failed(self.site.run("import", *paths, "--to", f"oci:{store}", *fixed, state="never", check=False), code, *says)
        assert not (store / "index.json").exists() or json.loads((store / "index.json").read_bytes())["manifests"] == []


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, DockerRegistry, Published, Path]]:
    require("docker-registry")
    work = tmp_path_factory.mktemp("resend")
    site = Site.make(work / "machine")
    with DockerRegistry(work / "source") as registry:
        published = publish_large(registry.address, work / "build")
        bundle = site.export(published.list_file(work), work / "usb", "--volume-size", "18MB")
        yield site, registry, published, bundle


@pytest.fixture
def desk(made: tuple[Site, DockerRegistry, Published, Path], tmp_path: Path) -> Desk:
    site, registry, published, bundle = made
    media = tmp_path / "media" / bundle.name
    shutil.copytree(bundle, media)
    return Desk(site, registry, published, bundle, media, tmp_path)


def test_the_bundle_is_large_enough_to_tell_something(desk: Desk) -> None:
    assert [len(volume.blocks) for volume in catalog_of(desk.original).volumes] == [2, 2, 2, 1]


@pytest.mark.parametrize("gone", [False, True], ids=["from-the-bundle", "from-the-registry"])
def test_flipped_bits_in_every_volume_are_asked_for_and_completed(desk: Desk, gone: bool) -> None:
    flip(desk.media / "volume-0001.tar", 100)  # the frame
    flip(desk.media / "volume-0002.tar", BLOCK_SIZE + 5)  # a blob
    flip(desk.media / "volume-0003.tar", 700)
    desk.not_imported(DAMAGED, "damaged", paths=(desk.media,))
    request = desk.wish.request({1: [0], 2: [1], 3: [0]})
    supplement = desk.resend(request, *([desk.media / "catalog.json"] if gone else [desk.original]))
    assert sum(path.stat().st_size for path in supplement.glob("resend-*.bin")) < 36_000_000
    before = tree(desk.media)
    desk.imported(supplement, desk.media)
    assert tree(desk.media) == before


def test_volumes_that_are_lost_come_from_the_registry_as_they_were(desk: Desk) -> None:
    (desk.media / "volume-0002.tar").unlink()
    (desk.media / "volume-0004.tar").unlink()
    supplement = desk.resend(desk.wish.request({2: [0, 1], 4: [0]}))
    with DockerRegistry(desk.work / "target") as target:
        desk.site.import_(f"docker://{target.address}/mirror", desk.media, supplement, state="state-registry")
        arrived = walk(target.address).below(f"mirror/{desk.registry.address.replace(':', '-')}/")
        assert arrived == walk(desk.registry.address)
    content = b"".join((desk.original / f"volume-000{n}.tar").read_bytes() for n in (2, 4))
    assert b"".join(path.read_bytes() for path in sorted(supplement.glob("resend-*.bin"))) == content
    desk.imported(desk.media.parent, supplement)


def test_a_supplement_with_every_volume_is_a_bundle_by_itself(desk: Desk) -> None:
    supplement = desk.resend(desk.wish.request({1: [0, 1], 2: [0, 1], 3: [0, 1], 4: [0]}))
    assert len(list(supplement.glob("resend-*.bin"))) > 1  # none is larger than a volume may be
    desk.imported(supplement)


def test_files_of_a_wrong_size_are_completed_where_the_rest_of_them_is_good(desk: Desk) -> None:
    with (desk.media / "volume-0002.tar").open("r+b") as file:
        file.truncate(BLOCK_SIZE + 1)
    with (desk.media / "volume-0003.tar").open("ab") as file:
        file.write(b"more")
    desk.imported(desk.media, desk.resend(desk.wish.request({2: [1], 3: [1]})))


def test_a_file_that_is_cut_before_what_was_sent_again_is_still_incomplete(desk: Desk) -> None:
    with (desk.media / "volume-0002.tar").open("r+b") as file:
        file.truncate(BLOCK_SIZE - 1)
    supplement = desk.resend(desk.wish.request({2: [1]}))
    desk.not_imported(DAMAGED, "volume 2 of 4", "the supplement supplies 1 of its 2 blocks", paths=(desk.media, supplement))


def test_two_supplements_complete_what_one_does_not(desk: Desk) -> None:
    (desk.media / "volume-0002.tar").unlink()
    one, other = (desk.resend(desk.wish.request({2: [block]})) for block in (0, 1))
    desk.not_imported(DAMAGED, "the supplement supplies 1 of its 2 blocks", paths=(desk.media, one))
    desk.imported(one, desk.media, other)


@pytest.mark.parametrize("damage", ["flipped", "cut", "lost", "link"])
def test_a_damaged_supplement_is_named(desk: Desk, damage: str) -> None:
    flip(desk.media / "volume-0003.tar", 700)
    supplement = desk.resend(desk.wish.request({3: [0]}))
    file = supplement / "resend-0001.bin"
    if damage == "flipped":
        flip(file, 900)
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    else:
        file.unlink()
        if damage == "link":
            file.symlink_to(desk.original / "volume-0003.tar")
    desk.not_imported(DAMAGED, str(file), paths=(desk.media, supplement))


def test_a_supplement_for_another_bundle_is_refused(desk: Desk) -> None:
    other = desk.site.export(desk.published.list_file(desk.work), desk.work / "usb2", "--volume-size", "40MB", serial=2)
    supplement = desk.resend(Wish(other, desk.work).request({1: [0]}), other)
    desk.not_imported(USAGE, "several bundles", paths=(desk.media, supplement))
    shutil.copy(desk.original / "catalog.json", supplement)
    desk.not_imported(DAMAGED, "the supplement is for another bundle", paths=(desk.media, supplement))


def test_the_same_request_again_finds_the_supplement_there(desk: Desk) -> None:
    request = desk.wish.request({1: [0]})
    first = tree(desk.resend(request))
    done = desk.site.json("export", "--resend", request, "--out", desk.work / "answers")
    assert done["already_there"]
    assert tree(Path(done["supplement"])) == first


def test_an_unfinished_supplement_goes_on_where_it_stopped(desk: Desk) -> None:
    request = desk.wish.request({1: [0, 1]})
    whole = tree(desk.resend(request))
    made = desk.resend(request)
    partial = made.rename(made.with_name(made.name + ".partial"))
    flip(partial / "resend-0001.bin", BLOCK_SIZE + 9)  # what an earlier run left is only kept where it is right
    (partial / "SHA256SUMS").unlink()
    assert tree(desk.resend(request)) == whole


def test_requests_that_are_wrong_say_why(desk: Desk) -> None:
    good = desk.wish.document({1: [0]})
    for change, *says in (
        ({"stream": "other"}, "the bundle of the resend request is unknown"),
        ({"serial": 9}, "the bundle of the resend request is unknown"),
        ({"catalog": Digest.of(b"")}, "the bundle of the resend request is unknown"),
        ({"files": {"volume-0001.tar": [[0, 2]]}}, "beyond the end", "2 blocks", "block 2"),
        ({"files": {"volume-0009.tar": [[0, 0]]}}, "does not have", "volume-0009.tar"),
        ({"files": {"../keys": [[0, 0]]}}, "does not have"),
        ({"files": {}}, "resend request is empty"),
        ({"schema": "airgap.request/2"}, "not a resend request"),
    ):
        path = desk.work / "request.json"
        path.write_text(json.dumps(good | change))
        desk.refused(USAGE, *says, request=path)


def test_a_request_and_a_bundle_that_do_not_belong_together_are_refused(desk: Desk) -> None:
    other = desk.site.export(desk.published.list_file(desk.work), desk.work / "usb3", "--volume-size", "40MB", serial=3)
    desk.refused(USAGE, "for another bundle", "prod-0003", request=desk.wish.request({1: [0]}), places=(other,))


def test_an_original_that_is_damaged_in_the_same_place_is_named(desk: Desk) -> None:
    flip(desk.media / "volume-0001.tar", 100)
    request = desk.wish.request({1: [0]})
    desk.refused(DAMAGED, "block 0 of volume-0001.tar is damaged here, too", request=request, places=(desk.media,))


def test_a_machine_that_never_exported_it_needs_only_the_catalog(desk: Desk) -> None:
    request = desk.wish.request({3: [1]})
    desk.refused(USAGE, "the bundle of the resend request is unknown", request=request, state="new")
    (desk.media / "volume-0003.tar").unlink()
    (desk.media / "volume-0001.tar").unlink()
    whole = desk.resend(desk.wish.request({1: [0, 1], 3: [0, 1]}), desk.media, state="new")
    desk.imported(whole, desk.media)


def test_an_image_that_the_registry_has_lost_is_named(desk: Desk) -> None:
    lost = images.content(images.seeded("lost", 300_000), "application/vnd.oci.image.layer.v1.tar")
    with DockerRegistry(desk.work / "short-lived") as registry:
        published = publish_large(registry.address, desk.work / "build2", extra=lost)
        bundle = desk.site.export(published.list_file(desk.work), desk.work / "usb4", stream="lost")
        request = Wish(bundle, desk.work).request({1: [0, 1, 2]})
        shutil.rmtree(bundle)
        shutil.rmtree(registry.root / "data/docker/registry/v2/blobs/sha256" / lost.descriptor.digest.hex[:2])
        desk.refused(NETWORK, str(lost.descriptor.digest), request=request)


@pytest.mark.parametrize("parity", [0, 1])
def test_one_more_lost_volume_than_parity_heals_is_requested_and_the_answer_completes_the_import(desk: Desk, parity: int) -> None:
    usb, serial = desk.work / "usb", 20 + parity
    bundle = desk.site.export(desk.published.list_file(desk.work), usb, "--volume-size", "18MB", "--parity", parity, serial=serial)
    for number in range(parity + 1):
        (bundle / f"volume-000{number + 2}.tar").unlink()
    flip(bundle / "volume-0001.tar", 5)
    done = desk.site.run("media", "repair", bundle, "--out", desk.work / "repaired", "--request", usb / "need.json", check=False)
    assert done.returncode == DAMAGED, done.stderr
    supplement = desk.resend(usb / "need.json", bundle / "catalog.json")
    if parity:
        desk.site.run("media", "repair", bundle, supplement, "--out", desk.work / "mended")
        desk.imported(bundle, desk.work / "mended", supplement)
    else:
        desk.imported(bundle, supplement)
