"""What is said to be different between two contents."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from airgap.documents.difference import Compared, compare, of_catalog, of_receipt, shown_images
from airgap.documents.holdings import Held, Holdings
from airgap.documents.receipt import Receipt
from airgap.format.catalog import Blob, Catalog, Patch
from airgap.format.frame import Extent
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.image import REFERRER, TAG_KINDS, Attachment, Image, LookasideSignature, digest_tag
from airgap.oci.reference import Reference
from airgap.patch.kinds import DEFLATE
from airgap.trust.keys.evidence import SIGNATURE_REFERRER


def descriptor(seed: str, artifact_type: str = "") -> Descriptor:
    return Descriptor(media.OCI_INDEX, Digest.of(seed.encode()), 10, artifact_type=artifact_type)


def image(name: str, seed: str, **more: Any) -> Image:
    return Image(Reference.parse(name), descriptor(seed), more.pop("platforms", ("linux/amd64",)), **more)


def signature(subject: str, seed: str = "signature") -> Attachment:
    digest = descriptor(subject).digest
    return Attachment(TAG_KINDS[".sig"], digest, descriptor(seed), digest_tag(digest, ".sig"))


def referrer(subject: str, artifact_type: str) -> Attachment:
    return Attachment(REFERRER, descriptor(subject).digest, descriptor(f"{subject} {artifact_type}", artifact_type))


def content(*images: Image) -> Compared:
    return Compared("some", "lock", shown_images(images), {}, None, 0)


def differences(a: Compared, b: Compared) -> dict[str, Any]:
    facts = compare(a, b).facts()
    return {name: facts[name] for name in ("added", "removed", "moved", "changed") if facts[name]}


def sort(kind: str, artifact_type: str = "", *, of: str = "image", signature: bool = False) -> dict[str, Any]:
    return {"kind": kind, "artifact_type": artifact_type, "of": of, "is_signature": signature, "count": 1}


def test_the_same_images_are_the_same_in_any_order() -> None:
    one, two = image("app:1", "a", attachments=(signature("a"),)), image("app:2", "b")
    facts = compare(content(one, two), content(two, one)).facts()
    assert facts["same"]
    assert facts["unchanged_count"] == 2


def test_names_that_come_go_and_move() -> None:
    found = compare(content(image("app:1", "a"), image("gone:1", "b")), content(image("app:1", "c"), image("new:1", "d"))).facts()
    assert not found["same"]
    assert [entry["reference"] for entry in found["added"]] == ["docker.io/library/new:1"]
    assert [entry["reference"] for entry in found["removed"]] == ["docker.io/library/gone:1"]
    (moved,) = found["moved"]
    assert (moved["from"], moved["to"]) == (descriptor("a").digest, descriptor("c").digest)


def test_a_tag_that_is_pinned_to_another_digest_has_moved() -> None:
    a, b = (image(f"app:1@{descriptor(seed).digest}", seed) for seed in ("a", "b"))
    assert [change["reference"] for change in compare(content(a), content(b)).facts()["moved"]] == ["docker.io/library/app:1"]


def test_platforms_that_come_and_go() -> None:
    a, b = (
        image("app:1", "a", platforms=("linux/amd64", "linux/arm64")),
        image("app:1", "b", platforms=("linux/arm64", "linux/s390x")),
    )
    (moved,) = compare(content(a), content(b)).facts()["moved"]
    assert (moved["platforms_gained"], moved["platforms_lost"]) == (["linux/s390x"], ["linux/amd64"])


def test_parts_that_are_left_out_although_the_digest_is_the_same() -> None:
    full = image("app:1", "a")
    filtered = replace(full, omitted=(descriptor("child").digest,))
    (changed,) = compare(content(full), content(filtered)).facts()["changed"]
    assert changed["left_out_count"] == 1
    (changed,) = compare(content(filtered), content(full)).facts()["changed"]
    assert changed["no_longer_left_out_count"] == 1


@pytest.mark.parametrize("bundle", ["application/vnd.dev.sigstore.bundle.v0.3+json", SIGNATURE_REFERRER])
def test_a_signature_that_a_new_version_does_not_have_is_lost(bundle: str) -> None:
    sbom = "application/spdx+json"
    a = image("app:1", "a", attachments=(signature("a"), signature("child"), referrer("a", sbom), referrer("a", bundle)))
    b = image("app:1", "b", attachments=(signature("b"), referrer("b", sbom), referrer("b", "text/new")))
    (moved,) = compare(content(a), content(b)).facts()["moved"]
    assert moved["lost"] == [
        sort(TAG_KINDS[".sig"], of="part", signature=True),
        sort(REFERRER, bundle, signature=True),
    ]
    assert moved["signatures_lost"] == 2
    assert moved["gained"] == [sort(REFERRER, "text/new")]


def test_of_one_digest_attachments_are_compared_one_by_one() -> None:
    a = image("app:1", "a", attachments=(signature("a", "one"), referrer("a", "text/old")))
    b = image("app:1", "a", attachments=(signature("a", "two"), referrer("a", "text/new")))
    (changed,) = compare(content(a), content(b)).facts()["changed"]
    assert changed["replaced"] == [sort(TAG_KINDS[".sig"], signature=True)]
    assert (changed["lost"], changed["gained"]) == ([sort(REFERRER, "text/old")], [sort(REFERRER, "text/new")])
    assert changed["signatures_lost"] == 0


def test_a_gpg_signature_that_is_gone_is_lost() -> None:
    signed = image("app:1", "a", signatures=(LookasideSignature.of(descriptor("a").digest, b"gpg"),))
    plain = replace(signed, signatures=())
    assert compare(content(signed), content(plain)).facts()["changed"][0]["signatures_lost"] == 1
    assert compare(content(plain), content(signed)).facts()["changed"][0]["gained"][0]["is_signature"]


def catalog(blobs: dict[str, Blob]) -> Catalog:
    listed = {Digest.of(name.encode()): blob for name, blob in blobs.items()}
    return Catalog(
        stream="prod",
        serial=1,
        created="2026-01-31T12:00:00Z",
        expires=None,
        tool="airgap 1",
        previous=None,
        base=(),
        volume_size=None,
        images=(image("app:1", "a"),),
        blobs=listed,
        volumes=(),
    )


def test_blobs_and_what_a_bundle_would_be_in_full() -> None:
    carried = Blob(100, (Extent(1, 0, 100),))
    full = of_catalog(catalog({"old": carried, "same": carried}))
    patch = Patch(DEFLATE, Digest.of(b"old"), Digest.of(b"patch"))
    blobs = {
        "old": Blob(100, held=True),
        "same": Blob(100, held=True),
        "new": Blob(120, patch=patch),
        "patch": Blob(7, carried.extents),
    }
    facts = compare(full, of_catalog(catalog(blobs))).facts()
    assert (facts["compared_blobs"]["shared"]["count"], facts["compared_blobs"]["only_a"]["count"]) == (2, 0)
    assert facts["compared_blobs"]["only_b"] == {"count": 1, "bytes": 120, "digests": [Digest.of(b"new")]}
    assert facts["b"]["full_bytes"] == 220
    assert (facts["b"]["held_blobs"], facts["b"]["patched_blobs"], facts["b"]["patch_bytes"]) == (1, 1, 7)
    assert facts["verified"] is False


def test_receipts_are_compared_by_names_and_blobs() -> None:
    def receipt(**images: str) -> Compared:
        held = {Digest.of(seed.encode()): Held(10, ("app",)) for seed in images.values()}
        names = {name.replace("_", ":"): Digest.of(seed.encode()) for name, seed in images.items()}
        return of_receipt(Receipt("plant", "2026-01-31T12:00:00Z", "airgap 1", "docker://r", {}, Holdings(held, names)))

    tag = f"app_{digest_tag(Digest.of(b'a'), '.sig')}"
    facts = compare(receipt(app_1="a", **{tag: "s"}), receipt(app_1="b")).facts()
    assert [change["reference"] for change in facts["moved"]] == ["app:1"]
    assert [entry["is_signature"] for entry in facts["removed"]] == [True]
    assert facts["compared_blobs"]["only_a"]["count"] == 2
    assert differences(receipt(app_1="a"), receipt(app_1="a")) == {}
