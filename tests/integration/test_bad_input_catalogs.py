"""Catalogs that are signed by the right key and wrong all the same: what a broken exporter could make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.bundles import catalog_of
from tests.support.cli import DAMAGED, failed, here
from tests.support.desks import VOLUME_SIZE, SiteDesk

pytestmark = pytest.mark.slow("a wide matrix of inputs over the whole way")


def first_blob(top: dict[str, Any]) -> dict[str, Any]:
    return max(top["blobs"].values(), key=lambda blob: blob["size"])


def shift(top: dict[str, Any]) -> None:
    first_blob(top)["extents"][0][1] += 512


def drop_layer(top: dict[str, Any]) -> None:
    digest = max(top["blobs"], key=lambda name: top["blobs"][name]["size"])
    del top["blobs"][digest]


def add_blob(top: dict[str, Any]) -> None:
    top["blobs"]["sha256:" + "0" * 64] = {"size": 5, "extents": [[3, 0, 5]]}


def resize(blob: dict[str, Any], by: int) -> None:
    blob["size"] += by
    blob["extents"][0][2] += by


def drop_manifest(top: dict[str, Any]) -> None:
    del top["blobs"][top["images"][0]["digest"]]


def swap_manifest_digest(top: dict[str, Any]) -> None:
    """The manifest's bytes stay; catalog and image call them by another digest."""
    image = top["images"][0]
    top["blobs"]["sha256:" + "9" * 64] = top["blobs"].pop(image["digest"])
    image["digest"] = "sha256:" + "9" * 64


def attachment(top: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(image for image in top["images"] if "attachments" in image)["attachments"][0]
    return found


EDITS: dict[str, Callable[[dict[str, Any]], object]] = {
    "no manifest": drop_manifest,
    "manifest digest error": swap_manifest_digest,
    "unknown schema": lambda top: top.update(schema="airgap.catalog/2"),
    "no schema": lambda top: top.pop("schema"),
    "stream like a path": lambda top: top.update(stream="../../etc"),
    "no stream": lambda top: top.pop("stream"),
    "serial as text": lambda top: top.update(serial="1"),
    "negative serial": lambda top: top.update(serial=-1),
    "huge serial": lambda top: top.update(serial=2**53),
    "serial true": lambda top: top.update(serial=True),
    "serial 1.0": lambda top: top.update(serial=1.0),
    "created not a time": lambda top: top.update(created="now"),
    "created out of range": lambda top: top.update(created="0001-01-01T00:00:00+23:00"),
    "expires not a time": lambda top: top.update(expires="2026-13-45T00:00:00Z"),
    "previous not a digest": lambda top: top.update(previous="sha256:../../x"),
    "other block size": lambda top: top.update(block_size=4096),
    "parity": lambda top: top.update(parity=[{"name": "parity-0001.bin"}]),
    "no images": lambda top: top.update(images=[]),
    "no volumes": lambda top: top.update(volumes=[]),
    "volume size nothing fits into": lambda top: top.update(volume_size=0),
    "volume size of one record": lambda top: top.update(volume_size=512),
    "other volume size": lambda top: top.update(volume_size=VOLUME_SIZE + 512),
    "volume named otherwise": lambda top: top["volumes"][0].update(name="../volume-0001.tar"),
    "volume size lies": lambda top: top["volumes"][1].update(size=VOLUME_SIZE // 512 * 512 - 512),
    "volume without blocks": lambda top: top["volumes"][1].update(blocks=[]),
    "volume digest lies": lambda top: top["volumes"][1].update(sha256="0" * 64),
    "volume digest not hex": lambda top: top["volumes"][1].update(sha256="../" * 21 + "x"),
    "blob moved": shift,
    "blob outside its volume": lambda top: first_blob(top)["extents"][0].__setitem__(1, 10**12),
    "blob in volume 9": lambda top: first_blob(top)["extents"][0].__setitem__(0, 9),
    "extent of two numbers": lambda top: first_blob(top)["extents"][0].pop(),
    "extents do not add up": lambda top: first_blob(top)["extents"][0].__setitem__(2, 7),
    "no extents": lambda top: first_blob(top).update(extents=[]),
    "blob size lies": lambda top: first_blob(top).update(size=first_blob(top)["size"] + 1),
    "manifest size lies": lambda top: resize(top["blobs"][top["images"][0]["digest"]], 1),
    "blob name not a digest": lambda top: top["blobs"].update({"sha256:../../etc/passwd": {"size": 1, "extents": [[1, 0, 1]]}}),
    "layer missing": drop_layer,
    "extra blob": add_blob,
    "held blob": lambda top: top["blobs"].update({d: {"size": b["size"], "held": True} for d, b in [*top["blobs"].items()][-1:]}),
    "image of an unknown manifest": lambda top: top["images"][0].update(digest="sha256:" + "1" * 64),
    "image of another size": lambda top: top["images"][0].update(size=1),
    "image of another media type": lambda top: top["images"][1].update(mediaType="application/vnd.oci.image.index.v1+json"),
    "image in no grammar": lambda top: top["images"][0].update(reference="Docker.io/UPPER:1"),
    "image not written in full": lambda top: top["images"][0].update(reference="shop/web:1"),
    "image pinned to another digest": lambda top: top["images"][0].update(reference=f"docker.io/shop/web@sha256:{'2' * 64}"),
    "two images of one name": lambda top: top["images"][1].update(reference=top["images"][0]["reference"]),
    "image in volume 9": lambda top: top["images"][0].update(volumes=[1, 2, 3, 9]),
    "image in no volume": lambda top: top["images"][0].pop("volumes"),
    "attachment of an unknown kind": lambda top: attachment(top).update(kind="magic"),
    "attachment under the name of an image": lambda top: attachment(top).update(tag="1"),
    "attachment of something else": lambda top: attachment(top).update(subject="sha256:" + "3" * 64),
    "attachment dropped": lambda top: next(i for i in top["images"] if "attachments" in i).pop("attachments"),
    "images of a wrong type": lambda top: top.update(images={}),
    "blobs of a wrong type": lambda top: top.update(blobs=[]),
    "volumes of a wrong type": lambda top: top.update(volumes="three"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_signed_catalog_with(site: SiteDesk, edit: str) -> None:
    site.made.sender.resign(site.bundle, EDITS[edit])
    if edit == "volume digest lies":  # import hashes blobs and compares the frame: it does not need the digests of volumes
        failed(site.verify(), DAMAGED)
        return
    site.refused(DAMAGED)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b'{"schema":"airgap.catalog/1","schema":"x"}',
        b"[" * 200_000,
        b'{"a":NaN}',
    ],
    ids=["nothing", "cut", "a list", "null", "bytes", "bom", "twice", "deep", "nan"],
)
def test_a_signed_catalog_that_is_not_one(site: SiteDesk, raw: bytes) -> None:
    site.made.sender.sign(site.bundle, raw)
    site.refused(DAMAGED)
    failed(here("inspect", site.bundle, "--json"), DAMAGED)


def test_an_ordinary_layer_that_the_catalog_calls_foreign_is_loaded_all_the_same(site: SiteDesk) -> None:
    layer = max((size.size, digest) for digest, size in catalog_of(site.bundle).blobs.items())[1]
    site.made.sender.resign(site.bundle, lambda top: [image.update(foreign=[layer]) for image in top["images"]])
    site.is_taken()
    assert (site.store / "blobs/sha256" / layer.hex).exists()


def test_a_lying_list_of_volumes_with_partial(site: SiteDesk) -> None:
    site.made.sender.resign(site.bundle, lambda top: [image.update(volumes=[1]) for image in top["images"]])
    site.volume(3).unlink()
    failed(site.import_("--partial"), DAMAGED, site.volume(3).name)
    site.nothing_is_visible()


def test_inspect_shows_what_a_stranger_wrote_without_obeying_it(site: SiteDesk) -> None:
    site.made.sender.resign(site.bundle, lambda top: top["images"][0].update(platforms=["\x1b]0;owned\x07", "\u202egnp.exe"]))
    for options in ((), ("--json",)):
        done = here("inspect", site.bundle, *options)
        assert done.returncode == 0, done.stderr
        assert "\x1b" not in done.stdout
        assert "\u202e" not in done.stdout
