"""Attestations as they hang off an image: which are read, how many and how large ones, and which are only counted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from airgap.limits import MAX_ATTESTATION, MAX_ATTESTATIONS, MAX_SIGNATURE_BLOB, MAX_SIGNATURES
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.image import REFERRER, TAG_KINDS, Attachment, Image, digest_tag
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Reference
from airgap.trust.judge.judging import Case, gather
from airgap.trust.keys import evidence as ev
from tests.support import attesting, images, signing
from tests.support.images import Built

KEY = signing.Key()
APP = images.image([images.layer("app")])
INDEX = images.index([APP])
ATT = TAG_KINDS[".att"]


class Content:
    """An image of one instance, and what hangs off it or off its index."""

    def __init__(self, hanging: Iterable[tuple[str, Built]], subject: Built = APP, *, absent: bool = False) -> None:
        found = list(hanging)
        self._parts = {part.digest: part for built in [APP, *(one for _, one in found)] for part in built.everything()}
        self._blobs = {blob.descriptor.digest: blob.raw for part in self._parts.values() for blob in part.blobs}
        self._absent = absent
        self.read = 0
        tags = {ATT: digest_tag(subject.digest, ".att")}
        attachments = tuple(Attachment(kind, subject.digest, one.manifest.descriptor, tags.get(kind)) for kind, one in found)
        self._image = Image(Reference.parse("ghcr.io/acme/app:1"), INDEX.manifest.descriptor, attachments=attachments)

    def manifest(self, digest: Digest) -> Manifest:
        """As ``ImageContent.manifest``."""
        return self._parts[digest].manifest

    def blob(self, descriptor: Descriptor) -> bytes | None:
        """As ``ImageContent.blob``."""
        self.read += 1
        return None if self._absent else self._blobs[descriptor.digest]

    def evidence(self, *, attested: bool = True) -> ev.Evidence:
        """What is found for the instance."""
        return gather(Case(self._image, (APP.descriptor,), self), APP.digest, attested=attested)


def bundle(number: int, size: int = 0) -> tuple[str, Built]:
    stated = attesting.statement(APP.manifest.raw, "x", {"number": number, "text": "x" * size})
    return REFERRER, attesting.referrer(APP, KEY, stated)


def att(*sizes: int) -> tuple[str, Built]:
    made = (attesting.statement(APP.manifest.raw, "x", {"number": n, "text": "x" * size}) for n, size in enumerate(sizes))
    return ATT, attesting.att_image(KEY, *made)


def test_both_forms_are_read_where_they_are_asked_for() -> None:
    content = Content([bundle(1), att(0, 1), (REFERRER, images.artifact(APP, "application/spdx+json", b"{}"))])
    found = content.evidence()
    assert [type(one.content) for one in found.attestations] == [ev.SigstoreSignature, ev.SigstoreSignature, ev.SigstoreBundle]
    assert (found.unread, found.of_index) == (0, 0)
    assert found.attestations[2].digest == bundle(1)[1].digest
    assert content.evidence(attested=False).attestations == ()


def test_layers_that_are_no_envelopes_are_not_read() -> None:
    layer = images.content(b"{}", "application/vnd.in-toto+json")
    content = Content([(ATT, images.image([layer]))])
    assert (content.evidence().attestations, content.read) == ((), 0)


def test_as_many_of_either_form_are_read_as_of_signatures_and_the_others_are_counted() -> None:
    content = Content([att(*range(MAX_SIGNATURES + 2)), *(bundle(number) for number in range(MAX_SIGNATURES + 3))])
    found = content.evidence()
    assert (len(found.attestations), found.unread) == (2 * MAX_SIGNATURES, 5)


def test_one_that_is_too_large_is_counted_and_not_read() -> None:
    large = MAX_ATTESTATION * 3 // 4
    content = Content([att(large), bundle(1, large), bundle(2)])
    found = content.evidence()
    assert ([one.digest for one in found.attestations], found.unread) == ([bundle(2)[1].digest], 2)


def test_all_together_stay_below_the_cap_and_small_ones_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airgap.trust.judge.judging.MAX_ATTESTATIONS", 10_000)
    found = Content([bundle(0, 6_000), bundle(1, 5_000), bundle(2), att(1)]).evidence()
    digests = [one.digest for one in found.attestations]
    assert bundle(2)[1].digest in digests
    assert bundle(1, 5_000)[1].digest in digests
    assert bundle(0, 6_000)[1].digest not in digests
    assert found.unread == 1
    assert MAX_ATTESTATIONS >= 4 * MAX_ATTESTATION


def test_what_is_not_here_is_counted() -> None:
    found = Content([bundle(0), att(1)], absent=True).evidence()
    assert (found.attestations, found.unread, found.bundles) == ((), 2, ())


def test_what_hangs_off_the_index_is_counted_and_not_read() -> None:
    content = Content([bundle(0), att(1, 2), (REFERRER, images.artifact(APP, "application/spdx+json", b"{}"))], INDEX)
    found = content.evidence()
    assert (found.attestations, found.unread, found.of_index, content.read) == ((), 0, 2, 0)


def test_bundle_that_is_larger_than_a_signature_may_be_is_an_attestation_only() -> None:
    found = Content([bundle(0, MAX_SIGNATURE_BLOB)]).evidence()
    assert (len(found.attestations), found.bundles) == (1, ())
    assert replace(found, attestations=()).sigstore_count == 0
