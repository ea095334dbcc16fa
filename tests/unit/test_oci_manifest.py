"""Manifests and descriptors: understood strictly, kept as they are."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airgap.errors import Damaged
from airgap.limits import MAX_MANIFEST
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.image import KINDS, REFERRER, REFERRERS_TAG, TAG_KINDS, Attachment, Image, digest_tag
from airgap.oci.manifest import Manifest, sniff_media_type
from airgap.oci.reference import Reference

LAYER = {"mediaType": media.OCI_LAYER, "digest": str(Digest.of(b"layer")), "size": 5}
CONFIG = {"mediaType": media.OCI_CONFIG, "digest": str(Digest.of(b"{}")), "size": 2}
IMAGE = {"schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "config": CONFIG, "layers": [LAYER]}
INDEX = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": [{**LAYER, "mediaType": media.OCI_MANIFEST}]}


def parse(value: Any, media_type: str = media.OCI_MANIFEST) -> Manifest:
    return Manifest.parse(json.dumps(value).encode(), media_type, "here")


def test_a_manifest_is_kept_byte_for_byte() -> None:
    raw = b'{ "schemaVersion":2,\n"x-unknown":{"y":[1.5]}, "config":%s,"layers":[] }' % json.dumps(CONFIG).encode()
    manifest = Manifest.parse(raw, media.OCI_MANIFEST, "here")
    assert manifest.raw == raw
    assert manifest.digest == Digest.of(raw)
    assert Manifest.parse(raw, media.OCI_MANIFEST, "here", "sha512").digest == Digest.of(raw, "sha512")


def test_what_go_reads_as_nothing_is_nothing_where_nothing_is_at_stake() -> None:
    found = parse({**IMAGE, "layers": None, "subject": None, "artifactType": None, "annotations": None})
    assert (found.layers, found.subject, found.artifact_type, found.annotations) == ((), None, "", {})
    assert parse({**IMAGE, "mediaType": ""}).layers == parse(IMAGE).layers
    platform = {"os": None, "architecture": None, "variant": None}
    (child,) = parse(
        {**INDEX, "manifests": [{**LAYER, "mediaType": media.OCI_MANIFEST, "platform": platform}]}, media.OCI_INDEX
    ).children
    assert child.platform is not None
    assert not child.platform.is_stated
    (child,) = parse(
        {**INDEX, "manifests": [{**LAYER, "mediaType": media.OCI_MANIFEST, "platform": {"os": "plan9", "architecture": "z80"}}]},
        media.OCI_INDEX,
    ).children
    assert str(child.platform) == "plan9/z80"


@pytest.mark.parametrize(
    ("value", "kind", "field"),
    [
        ({**INDEX, "manifests": None}, media.OCI_INDEX, "manifests"),
        ({**IMAGE, "layers": [{**LAYER, "size": None}]}, media.OCI_MANIFEST, "layers[0]: size"),
        ({**IMAGE, "layers": [{**LAYER, "mediaType": None}]}, media.OCI_MANIFEST, "layers[0]: mediaType"),
        ({**IMAGE, "config": {**CONFIG, "annotations": {"a": None}}}, media.OCI_MANIFEST, "config: annotations"),
        ({**INDEX, "manifests": [{**LAYER, "platform": {"os": 1}}]}, media.OCI_INDEX, "manifests[0]: os"),
    ],
    ids=["index without a list", "size", "media type", "annotation", "platform that is a number"],
)
def test_what_is_at_stake_is_refused_with_its_field(value: Any, kind: str, field: str) -> None:
    with pytest.raises(Damaged) as caught:
        parse(value, kind)
    assert caught.value.where == f"here: {field}"


@pytest.mark.parametrize("field", ["manifests", "fsLayers", "history", "blobs", "Layers", "CONFIG", "mediatype", "Subject"])
def test_an_image_that_could_be_read_as_something_else_is_refused(field: str) -> None:
    with pytest.raises(Damaged):
        parse({**IMAGE, field: []})


@pytest.mark.parametrize("field", ["config", "layers", "fsLayers", "history", "blobs", "Manifests", "manifest\u017f"])
def test_an_index_that_could_be_read_as_something_else_is_refused(field: str) -> None:
    with pytest.raises(Damaged):
        parse({**INDEX, field: []}, media.OCI_INDEX)


@pytest.mark.parametrize(
    "change",
    [
        {"schemaVersion": 1},
        {"schemaVersion": "2"},
        {"mediaType": media.OCI_INDEX},
        {"mediaType": 5},
        {"config": {}},
        {"config": []},
        {"layers": {}},
        {"layers": [None]},
        {"layers": [{**LAYER, "size": -1}]},
        {"layers": [{**LAYER, "size": 2**53}]},
        {"layers": [{**LAYER, "size": "5"}]},
        {"layers": [{**LAYER, "digest": "sha256:../x"}]},
        {"layers": [{**LAYER, "Digest": "x"}]},
        {"layers": [{**LAYER, "urls": "http://x"}]},
        {"layers": [{**LAYER, "annotations": {"a": 1}}]},
        {"layers": [{**LAYER, "mediaType": None}]},
        {"subject": "x"},
        {"artifactType": 5},
        {"layers": [{**LAYER, "platform": {"os": 5}}]},
        {"layers": [{**LAYER, "platform": {"OS": "x"}}]},
    ],
    ids=lambda change: json.dumps(change)[:60],
)
def test_a_malformed_manifest_is_damage(change: dict[str, Any]) -> None:
    with pytest.raises(Damaged):
        parse({**IMAGE, **change})


def test_a_manifest_without_its_parts_and_one_too_large() -> None:
    for missing in ("config", "layers"):
        with pytest.raises(Damaged):
            parse({name: value for name, value in IMAGE.items() if name != missing})
    with pytest.raises(Damaged):
        Manifest.parse(b" " * (MAX_MANIFEST + 1), media.OCI_MANIFEST, "here")


def test_a_kind_that_cannot_be_carried_says_what_to_do() -> None:
    with pytest.raises(Damaged) as caught:
        parse(IMAGE, "application/vnd.docker.distribution.manifest.v1+json")
    assert caught.value.hint


def test_a_media_type_is_sniffed_from_the_document() -> None:
    assert sniff_media_type(json.dumps(INDEX).encode(), "here") == media.OCI_INDEX
    assert sniff_media_type(b'{"manifests":[]}', "here") == media.OCI_INDEX
    assert sniff_media_type(b'{"layers":[]}', "here") == media.OCI_MANIFEST


def test_two_descriptors_of_the_same_content_are_equal() -> None:
    one = Descriptor.from_json({**LAYER, "annotations": {"a": "b"}, "urls": ["http://x"]}, "here")
    assert one == Descriptor.from_json(LAYER, "here")
    assert "urls" not in one.to_json()
    assert Descriptor.from_json(one.to_json(), "here").annotations == {"a": "b"}


# images as lock and catalog write them


def entry(**changes: Any) -> dict[str, Any]:
    return {
        "reference": "docker.io/library/x:1",
        "mediaType": media.OCI_MANIFEST,
        "digest": str(Digest.of(b"m")),
        "size": 3,
        **changes,
    }


def test_an_image_reads_as_it_was_written() -> None:
    root = Descriptor(media.OCI_INDEX, Digest.of(b"root"), 9)
    attachments = []
    for kind in sorted(KINDS):
        suffix = next((suffix for suffix, name in TAG_KINDS.items() if name == kind), "")
        tag = None if kind == REFERRER else digest_tag(root.digest, suffix)
        attachments.append(Attachment(kind, root.digest, Descriptor(media.OCI_MANIFEST, Digest.of(kind.encode()), 4), tag))
    image = Image(
        Reference.parse("x:1"), root, ("linux/amd64",), (Digest.of(b"o"),), (Digest.of(b"f"),), tuple(attachments), volumes=(1, 2)
    )
    assert Image.from_json(image.to_json(), "here") == image


@pytest.mark.parametrize(
    "changes",
    [
        {"reference": "x:1"},
        {"reference": "docker.io/X:1"},
        {"reference": 5},
        {"digest": "x"},
        {"size": -1},
        {"platforms": "linux"},
        {"platforms": [1]},
        {"omitted": ["x"]},
        {"foreign": [None]},
        {"volumes": [-1]},
        {"attachments": [{}]},
        {"attachments": {}},
        {"reference": f"docker.io/library/x@{Digest.of(b'other')}"},
    ],
    ids=str,
)
def test_an_image_that_is_none(changes: dict[str, Any]) -> None:
    with pytest.raises(Damaged):
        Image.from_json(entry(**changes), "here")


@pytest.mark.parametrize(
    ("kind", "tag"), [(REFERRER, "latest"), (REFERRERS_TAG, "1.0"), ("cosign-signature", "prod"), ("cosign-sbom", None)]
)
def test_an_attachment_cannot_take_the_tag_of_an_image(kind: str, tag: str | None) -> None:
    value = {"kind": kind, "subject": str(Digest.of(b"m")), **LAYER, "tag": tag}
    with pytest.raises(Damaged):
        Attachment.from_json(value, "here")
