"""Cosign signatures among the referrers (cosign's OCI 1.1 mode): judged as those of ``.sig`` tags, and none hides a good one."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from airgap.limits import MAX_SIGNATURE, MAX_SIGNATURES
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.image import REFERRER, TAG_KINDS, Attachment, Image, digest_tag
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Reference
from airgap.trust.judge.images import ImageJudge
from airgap.trust.judge.judging import Case, Judgement, gather, judge_instance
from airgap.trust.keys import evidence as ev
from airgap.trust.policy.document import parse_policy
from tests.support import images, signing
from tests.support.images import Built

NAME = "vendor.example/shop/web:1.0"
APP = images.image([images.layer("app")])
OTHER_APP = images.image([images.layer("other app")])
KEY, OTHER, LOG = signing.Key(), signing.Key(), signing.Key()
SIG, BUNDLE = TAG_KINDS[".sig"], ev.SIGSTORE_BUNDLE

#: A layer of a signature's manifest: payload and annotations.
Layer = tuple[bytes, Mapping[str, str]]


class Carried:
    """What hangs off ``APP``, as content of an image; it counts the payloads that are read."""

    def __init__(self, found: Iterable[tuple[str, Built]], subject: Built = APP) -> None:
        hanging = list(found)
        self._parts = {part.digest: part for _, built in [("", APP), *hanging] for part in built.everything()}
        self._blobs = {blob.descriptor.digest: blob.raw for part in self._parts.values() for blob in part.blobs}
        self.read: list[Digest] = []
        tags = {SIG: digest_tag(subject.digest, ".sig")}
        attachments = [Attachment(kind, subject.digest, one.manifest.descriptor, tags.get(kind)) for kind, one in hanging]
        self.image = Image(Reference.parse(NAME), APP.manifest.descriptor, attachments=tuple(attachments))

    def manifest(self, digest: Digest) -> Manifest:
        """As ``ImageContent.manifest``."""
        return self._parts[digest].manifest

    def blob(self, descriptor: Descriptor) -> bytes | None:
        """As ``ImageContent.blob``."""
        self.read.append(descriptor.digest)
        return self._blobs.get(descriptor.digest)


def signed(key: signing.Key = KEY, built: Built = APP, name: str = NAME, **annotations: str) -> Layer:
    """A signature of a manifest."""
    one = signing.cosign(key, signing.cosign_payload(built.manifest.raw, name), **annotations)
    return one.payload, one.annotations


def referrer(*layers: Layer, subject: Built = APP, stated: bool = False) -> tuple[str, Built]:
    return REFERRER, images.cosign_referrer(subject, layers, stated=stated)


def junk(number: int, layers: int = 1) -> tuple[str, Built]:
    """A referrer of a stranger: its signatures look right and are by nobody's key."""
    payload = signing.cosign_payload(APP.manifest.raw, NAME)
    found = ({ev.SIGNATURE: base64.b64encode(b"%d %d" % (number, one)).decode()} for one in range(layers))
    return referrer(*((payload, annotations) for annotations in found))


def judged(content: Carried, **fields: Any) -> Judgement:
    key = {} if "fulcio" in fields else {"keyData": base64.b64encode(KEY.pem).decode()}
    wanted = {"type": "sigstoreSigned", **key, **fields}
    raw = json.dumps({"default": [{"type": "reject"}], "transports": {"docker": {"": [wanted]}}}).encode()
    case = Case(content.image, (APP.descriptor,), content)
    with ImageJudge(parse_policy(raw), now=signing.NOW) as judge:
        return judge_instance(case, APP.descriptor, gather(case, APP.digest), judge)


def accepted(*found: tuple[str, Built], **fields: Any) -> bool:
    return judged(Carried(found), **fields).verdict.accepted


@pytest.mark.parametrize("stated", [False, True], ids=["type of the config, as cosign writes it", "artifactType"])
def test_signature_in_a_referrer_counts_and_is_named(stated: bool) -> None:
    good = referrer(signed(), stated=stated)
    (decision,) = judged(Carried([good])).verdict.decisions
    assert decision.accepted
    assert decision.signature == f"cosign signature 1 of referrer {good[1].digest.short}"
    assert decision.key.split()[-1] == KEY.id


def test_any_layer_of_any_referrer_is_enough() -> None:
    (decision,) = judged(Carried([referrer(signed(OTHER)), referrer(signed(OTHER), signed(), signed(OTHER))])).verdict.decisions
    assert decision.accepted
    assert decision.signature.startswith("cosign signature 2 of referrer ")


def test_logged_signature_in_a_referrer_counts_as_logged() -> None:
    payload, annotations = signed()
    raw = base64.b64decode(annotations[ev.SIGNATURE])
    promise = signing.rekor_promise(LOG, signing.rekor_entry(raw, KEY.pem, payload))
    wanted = {"rekorPublicKeyData": base64.b64encode(LOG.pem).decode()}
    assert accepted(referrer((payload, {**annotations, ev.BUNDLE: promise})), **wanted)
    assert not accepted(referrer((payload, annotations)), **wanted)


def test_keyless_signature_in_a_referrer_counts_as_one_of_a_tag() -> None:
    root = signing.authority("root")
    leaf = signing.leaf(root, "a@example.com", "https://issuer.example")
    certificate = leaf.pem.decode()
    payload, annotations = signed(leaf.key, certificate=certificate)
    promise = signing.rekor_promise(LOG, signing.rekor_entry(base64.b64decode(annotations[ev.SIGNATURE]), leaf.pem, payload))
    fulcio = {
        "caData": base64.b64encode(root.pem).decode(),
        "oidcIssuer": "https://issuer.example",
        "subjectEmail": "a@example.com",
    }
    wanted = {"fulcio": fulcio, "rekorPublicKeyData": base64.b64encode(LOG.pem).decode()}
    assert accepted(referrer((payload, {**annotations, ev.BUNDLE: promise})), **wanted)
    assert not accepted(referrer((payload, annotations)), **wanted)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (referrer(signed(OTHER)), "not made by this key"),
        (referrer(signed(built=OTHER_APP)), "for another manifest"),
        (referrer(signed(name="vendor.example/shop/db:1.0")), "for another name"),
        (referrer((signed()[0], {})), "has no annotation"),
        (referrer((b"{}", {ev.SIGNATURE: base64.b64encode(KEY.sign(b"{}")).decode()})), "malformed"),
        (referrer((b" " * (MAX_SIGNATURE + 1), signed()[1])), "no sigstore signature exists"),
        (referrer(), "no sigstore signature exists"),
        ((REFERRER, images.artifact(APP, "application/spdx+json", signed()[0])), "no sigstore signature exists"),
        ((REFERRER, images.artifact(APP, images.SIGNATURE_REFERRER, signed()[0])), "no sigstore signature exists"),
        (
            (REFERRER, images.index([], extra={"artifactType": images.SIGNATURE_REFERRER})),
            "no sigstore signature exists",
        ),
    ],
)
def test_what_does_not_count_in_a_tag_does_not_count_in_a_referrer(found: tuple[str, Built], reason: str) -> None:
    verdict = judged(Carried([found])).verdict
    assert not verdict.accepted
    assert reason in verdict.reason


def test_referrer_of_another_manifest_does_not_count() -> None:
    assert not judged(Carried([referrer(signed(), subject=OTHER_APP)], subject=OTHER_APP)).verdict.accepted


def test_gpg_requirement_counts_a_referrers_signature_and_is_not_satisfied_by_it() -> None:
    wanted = {"type": "signedBy", "keyType": "GPGKeys", "keyData": base64.b64encode(b"no key").decode()}
    raw = json.dumps({"default": [wanted]}).encode()
    content = Carried([referrer(signed())])
    evidence = gather(Case(content.image, (APP.descriptor,), content), APP.digest)
    assert content.image.attachment_count == evidence.sigstore_count == 1
    with ImageJudge(parse_policy(raw)) as judge:
        assert not judge.judge(Reference.parse(NAME), evidence).accepted


def test_referrers_of_strangers_do_not_hide_a_good_one_however_many_layers_they_have() -> None:
    strangers = [junk(number, layers=MAX_SIGNATURES) for number in range(MAX_SIGNATURES - 1)]
    content = Carried([*strangers, referrer(signed())])
    assert judged(content).verdict.accepted
    assert len(content.read) == MAX_SIGNATURES


def test_referrers_of_strangers_do_not_hide_a_tag_or_a_bundle() -> None:
    strangers = [junk(number, layers=2) for number in range(2 * MAX_SIGNATURES)]
    (payload, annotations) = signed()
    tag = (SIG, images.cosign_signature(payload, annotations[ev.SIGNATURE]))
    document = json.dumps(signing.bundle_document(KEY, APP.manifest.raw, NAME)).encode()
    assert accepted(*strangers, tag)
    assert accepted(*strangers, (REFERRER, images.artifact(APP, BUNDLE, document, media_type=BUNDLE)))


def test_many_bad_layers_of_a_tag_do_not_hide_a_referrer() -> None:
    payload = signing.cosign_payload(APP.manifest.raw, NAME)
    bad = [images.content(payload, images.SIMPLE_SIGNING, annotations={ev.SIGNATURE: "AAAA"})] * (2 * MAX_SIGNATURES)
    assert accepted((SIG, images.image(bad)), referrer(signed()))


def test_no_more_signatures_are_read_than_the_limit_says() -> None:
    content = Carried([*(junk(number) for number in range(MAX_SIGNATURES)), referrer(signed())])
    assert not judged(content).verdict.accepted
    assert len(content.read) == MAX_SIGNATURES


def test_cosigns_type_is_the_artifact_type_of_its_descriptor() -> None:
    (_, built) = referrer(signed())
    assert built.manifest.artifact_type == ""
    assert built.manifest.descriptor.artifact_type == ev.SIGNATURE_REFERRER
    assert built.manifest.media_type == media.OCI_MANIFEST
