"""SBOMs in every form that hangs off images."""

from __future__ import annotations

import base64
import json

import pytest

from airgap.errors import Damaged
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.report.sbom import MAX_SBOM, Sbom, is_likely, summarize

SPDX = {
    "spdxVersion": "SPDX-2.3",
    "packages": [
        {"name": "a", "licenseConcluded": "MIT"},
        {"name": "b", "licenseConcluded": "NOASSERTION", "licenseDeclared": "Apache-2.0"},
        {"name": "c", "licenseConcluded": "NONE"},
        "not a package",
    ],
}
CYCLONEDX = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.6",
    "components": [
        {"name": "a", "licenses": [{"license": {"id": "MIT"}}, {"license": {"name": "Own licence"}}]},
        {"name": "b", "licenses": [{"expression": "MIT OR ISC"}], "components": [{"name": "c"}]},
    ],
}
TAG_VALUE = """SPDXVersion: SPDX-2.2
PackageName: a
PackageLicenseConcluded: NOASSERTION
PackageLicenseDeclared: MIT
PackageName: b
PackageLicenseConcluded: ISC
"""


def dump(value: object) -> bytes:
    return json.dumps(value).encode()


def envelope(value: object) -> dict[str, str]:
    return {"payloadType": "application/vnd.in-toto+json", "payload": base64.b64encode(dump(value)).decode()}


WANTED_SPDX = Sbom("SPDX-2.3", 3, {"MIT": 1, "Apache-2.0": 1})
WANTED_CYCLONEDX = Sbom("CycloneDX 1.6", 3, {"MIT": 1, "Own licence": 1, "MIT OR ISC": 1})


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        (dump(SPDX), WANTED_SPDX),
        (dump(CYCLONEDX), WANTED_CYCLONEDX),
        (TAG_VALUE.encode(), Sbom("SPDX-2.2", 2, {"MIT": 1, "ISC": 1})),
        (dump({"predicateType": "https://spdx.dev/Document", "predicate": SPDX}), WANTED_SPDX),
        (dump(envelope({"predicate": SPDX})), WANTED_SPDX),
        (dump(envelope({"predicate": {"Data": json.dumps(CYCLONEDX)}})), WANTED_CYCLONEDX),
        (dump({"dsseEnvelope": envelope({"predicate": CYCLONEDX})}), WANTED_CYCLONEDX),
    ],
    ids=["spdx", "cyclonedx", "tag-value", "statement", "envelope", "cosign-data", "sigstore-bundle"],
)
def test_packages_and_licences_are_counted(raw, wanted):
    assert summarize(raw) == wanted


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff\x00\x01",
        b"plain text",
        b"{}",
        dump({"predicate": {"Data": 7}}),
        dump({"predicate": [1]}),
        dump({"predicate": {"predicate": {"predicate": {"predicate": {"predicate": SPDX}}}}}),
        b" " * (MAX_SBOM + 1),
    ],
)
def test_what_is_no_sbom_counts_for_nothing(raw):
    assert summarize(raw) is None


@pytest.mark.parametrize(
    "raw",
    [b"{", b'{"a":1,"a":2}', b'{"a":' * 100_000, dump({"payloadType": "x", "payload": "?"}), dump({"predicate": {"Data": "{"}})],
    ids=["cut", "duplicate", "deep", "base64", "inner"],
)
def test_broken_documents_are_damage_and_nothing_else(raw):
    with pytest.raises(Damaged):
        summarize(raw)


def test_hostile_fields_are_harmless():
    found = summarize(dump({"spdxVersion": ["x"], "packages": {"a": 1}}))
    assert found is not None
    assert found.packages == 0
    licence = "\x1b[31m" + "x" * 500
    found = summarize(dump({"bomFormat": "CycloneDX", "components": [{"licenses": [{"license": {"name": licence}}]}]}))
    assert found is not None
    assert all(name.isprintable() and len(name) <= 60 for name in found.licences)


@pytest.mark.parametrize(
    ("media_type", "annotations", "likely"),
    [
        ("application/spdx+json", {}, True),
        ("application/vnd.in-toto+json", {}, True),
        ("application/vnd.in-toto+json", {"in-toto.io/predicate-type": "https://spdx.dev/Document"}, True),
        ("application/vnd.in-toto+json", {"in-toto.io/predicate-type": "https://slsa.dev/provenance/v0.2"}, False),
        ("application/vnd.oci.image.layer.v1.tar+gzip", {}, False),
    ],
)
def test_only_likely_layers_are_read(media_type, annotations, likely):
    assert is_likely(Descriptor(media_type, Digest.of(b""), 0, annotations=annotations)) is likely
