"""Cosign's signature list: layers are told apart by payload and annotations, and the manifest is the one that cosign makes."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from airgap.importer import cosign
from airgap.oci import media
from airgap.oci.digest import Digest
from airgap.oci.reference import Reference

REFERENCE = Reference.parse("registry.site:5000/mirror/docker.io/library/nginx:1")
SUBJECT = Digest.of(b"subject")


def layer(payload: bytes, raw: bytes = b"raw") -> cosign.CosignSignature:
    return cosign.signature(payload, raw)


def test_payload_names_the_destination_and_the_digest() -> None:
    assert json.loads(cosign.payload(REFERENCE, SUBJECT)) == {
        "critical": {
            "identity": {"docker-reference": str(REFERENCE)},
            "image": {"docker-manifest-digest": str(SUBJECT)},
            "type": "cosign container image signature",
        },
        "optional": None,
    }


def test_layer_points_at_the_payload_and_carries_the_signature() -> None:
    found = layer(b"payload", b"\x00\xff")
    assert found.descriptor.digest == Digest.of(b"payload")
    assert found.descriptor.size == len(b"payload")
    assert found.descriptor.media_type == "application/vnd.dev.cosign.simplesigning.v1+json"
    assert found.descriptor.annotations == {"dev.cosignproject.cosign/signature": "AP8="}


def test_same_payload_with_another_signature_is_another_layer() -> None:
    one, two = layer(b"payload", b"one").descriptor, layer(b"payload", b"two").descriptor
    assert cosign.missing([one], [one, two]) == [two]


def test_same_signature_with_a_rekor_promise_is_another_layer() -> None:
    plain = layer(b"payload").descriptor
    logged = replace(plain, annotations={**plain.annotations, "dev.sigstore.cosign/bundle": "{}"})
    assert cosign.missing([plain], [logged]) == [logged]


@given(st.lists(st.integers(0, 5)), st.lists(st.integers(0, 5)))
def test_what_is_missing_is_what_the_others_lack_each_once_in_order(have: list[int], wanted: list[int]) -> None:
    layers = [layer(bytes([number])).descriptor for number in range(6)]
    found = cosign.missing([layers[number] for number in have], [layers[number] for number in wanted])
    assert found == [layers[number] for number in dict.fromkeys(wanted) if number not in have]


def test_manifest_is_one_that_every_registry_takes_as_an_image() -> None:
    layers = [layer(b"one").descriptor, layer(b"two").descriptor]
    manifest, config = cosign.manifest(layers)
    assert manifest.media_type == media.OCI_MANIFEST
    assert list(manifest.layers) == layers
    assert manifest.config is not None
    assert manifest.config.digest == Digest.of(config)
    assert json.loads(config)["rootfs"] == {"type": "layers", "diff_ids": [str(found.digest) for found in layers]}
    assert cosign.manifest(layers)[0].raw == manifest.raw
