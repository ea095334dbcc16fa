"""Ours and skopeo must agree about GPG-signed images and about what is a policy at all; where we are stricter is written down."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airgap import fsio
from airgap.errors import UsageError
from airgap.oci.reference import Reference
from airgap.trust.keys import evidence as ev
from airgap.trust.policy.document import parse_policy
from tests.support import signing
from tests.support.tools import require
from tests.support.trustkit import GpgHome, gpg_home, judge_image

CONFIG = {
    "mediaType": "application/vnd.docker.container.image.v1+json",
    "size": 2,
    "digest": f"sha256:{hashlib.sha256(b'{}').hexdigest()}",
}
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
MANIFEST = json.dumps({"schemaVersion": 2, "mediaType": DOCKER, "config": CONFIG, "layers": []}).encode()
NAME = "docker.io/testing/manifest:latest"
IDENTITY = {"type": "exactReference", "dockerReference": NAME}


@pytest.fixture(scope="module")
def home() -> Iterator[GpgHome]:
    with gpg_home() as opened:
        yield opened


@pytest.fixture(scope="module")
def keys(home: GpgHome, tmp_path_factory) -> dict[str, Any]:
    """Two keys and their files."""
    directory = tmp_path_factory.mktemp("keys")
    found: dict[str, Any] = {"dir": directory}
    for name in ("good", "other"):
        found[name] = home.new_key(name, algorithm="rsa2048")
        found[f"{name}.gpg"] = directory / f"{name}.gpg"
        found[f"{name}.gpg"].write_bytes(home.export(found[name]))
    return found


def skopeo_says(directory: Path, policy: bytes, blobs: list[bytes], manifest: bytes = MANIFEST) -> str:
    """``bad policy``, ``accepted`` or ``rejected``, for an image in a ``dir:``."""
    image = directory / "image"
    image.mkdir()
    (image / "version").write_text("Directory Transport Version: 1.1\n", encoding="ascii")
    (image / "manifest.json").write_bytes(manifest)
    (image / hashlib.sha256(b"{}").hexdigest()).write_bytes(b"{}")
    for i, blob in enumerate(blobs, 1):
        (image / f"signature-{i}").write_bytes(blob)
    (directory / "policy.json").write_bytes(policy)
    command = (require("skopeo"), "--policy", "policy.json", "copy", f"dir:{image}", f"dir:{directory}/out")
    done = subprocess.run(command, cwd=directory, capture_output=True, check=False)
    if b"trust policy" in done.stderr:
        return "bad policy"
    if done.returncode == 0:
        return "accepted"
    assert b"Source image rejected" in done.stderr, done.stderr
    return "rejected"


def we_say(policy: bytes, blobs: list[bytes], manifest: bytes = MANIFEST) -> str:
    try:
        parsed = parse_policy(policy)
    except UsageError:
        return "bad policy"
    found = ev.Evidence.of(manifest, [ev.GpgSignature(blob, f"signature-{i}") for i, blob in enumerate(blobs, 1)])
    verdict = judge_image(parsed, Reference.parse(NAME), found, lambda path: fsio.read_input(Path(path), 1 << 20, "key"))
    return "accepted" if verdict.accepted else "rejected"


def policy(*requirements: object) -> bytes:
    return json.dumps(
        {"default": [{"type": "reject"}], "transports": {name: {"": requirements} for name in ("dir", "docker")}}
    ).encode()


def wanted(keys: dict[str, Any], **fields: object) -> dict[str, object]:
    whole = {"type": "signedBy", "keyType": "GPGKeys", "keyPath": str(keys["good.gpg"]), "signedIdentity": IDENTITY, **fields}
    return {name: value for name, value in whole.items() if value is not None}


def changed(**changes: Any) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(signing.payload(MANIFEST, NAME))
    for place, content in changes.items():
        target = value
        *parents, last = place.split("__")
        for parent in parents:
            target = target[parent]
        if content is None:
            del target[last]
        else:
            target[last] = content
    return value


PAYLOADS: dict[str, bytes] = {
    "valid": signing.payload(MANIFEST, NAME),
    "other-name": signing.payload(MANIFEST, "docker.io/testing/manifest:other"),
    "short-name": signing.payload(MANIFEST, "testing/manifest"),
    "bad-name": signing.payload(MANIFEST, "UPPER:1"),
    "other-digest": signing.payload(MANIFEST + b" ", NAME),
    "other-type": signing.cosign_payload(MANIFEST, NAME),
    "optional-null": signing.payload(MANIFEST, NAME, optional=None),
    "timestamp-1.5": signing.payload(MANIFEST, NAME, optional={"timestamp": 1.5}),
    "timestamp-2^70": signing.payload(MANIFEST, NAME, optional={"timestamp": 2**70}),
    "timestamp-float": signing.payload(MANIFEST, NAME, optional={"timestamp": 1e3}),
    "creator-number": signing.payload(MANIFEST, NAME, optional={"creator": 1}),
    "optional-extra": signing.payload(MANIFEST, NAME, optional={"x": [1]}),
    "extra-top": json.dumps(changed(extra=1)).encode(),
    "extra-critical": json.dumps(changed(critical__extra=1)).encode(),
    "no-optional": json.dumps(changed(optional=None)).encode(),
    "no-identity": json.dumps(changed(critical__identity=None)).encode(),
    "indented": json.dumps(changed(), indent=2).encode() + b"\n",
    "trailing": signing.payload(MANIFEST, NAME) + b"{}",
    "duplicate": signing.payload(MANIFEST, NAME).replace(b'"optional":{}', b'"optional":{"x":1,"x":1}'),
    "empty": b"",
}


@pytest.mark.parametrize("case", PAYLOADS)
def test_payloads_are_judged_as_skopeo_judges_them(home, keys, tmp_path, case) -> None:
    blob = home.message(keys["good"], PAYLOADS[case])
    document = policy(wanted(keys))
    assert we_say(document, [blob]) == skopeo_says(tmp_path, document, [blob])


def test_images_are_judged_as_skopeo_judges_them(home, keys, tmp_path) -> None:
    good = home.message(keys["good"], PAYLOADS["valid"])
    other = home.message(keys["other"], PAYLOADS["valid"])
    bad_json = home.message(keys["good"], b"{}{}")
    requirement = wanted(keys)
    both = wanted(keys, keyPath=None, keyPaths=None, keyData=None)
    cases: list[tuple[bytes, list[bytes]]] = [
        (policy(requirement), []),
        (policy(requirement), [other]),
        (policy(requirement), [other, good]),
        (policy(requirement), [bad_json, good]),
        (policy(requirement, wanted(keys, keyPath=str(keys["other.gpg"]))), [good]),
        (policy(requirement, wanted(keys, keyPath=str(keys["other.gpg"]))), [good, other]),
        (policy({"type": "insecureAcceptAnything"}, requirement), []),
        (policy(requirement, {"type": "reject"}), [good]),
        (policy(wanted(keys, keyPath="/nonexistent")), [good]),
        (policy(wanted(keys, keyType="signedByGPGKeys")), [good]),
        (policy({"type": "signedBaseLayer", "baseLayerIdentity": {"type": "matchExact"}}), [good]),
        (policy(both), [good]),
        (policy(wanted(keys, signedIdentity={"type": "exactRepository", "dockerRepository": "testing/manifest:x"})), [good]),
        (policy(wanted(keys, signedIdentity={"type": "exactReference", "dockerReference": "testing/manifest"})), [good]),
        (policy(), [good]),
        (b"{}", [good]),
        (policy(requirement) + b"x", [good]),
    ]
    for i, (document, blobs) in enumerate(cases):
        directory = tmp_path / str(i)
        directory.mkdir()
        assert we_say(document, blobs) == skopeo_says(directory, document, blobs), (i, document)


def test_where_we_are_stricter_than_skopeo(home, keys, tmp_path) -> None:
    good = home.message(keys["good"], PAYLOADS["valid"], "--compress-algo", "none")
    stricter = {
        "marker-packet-after-the-message": [good + b"\xca\x03PGP"],
        "text-mode": [home.message(keys["good"], PAYLOADS["valid"], "--textmode")],
    }
    document = policy(wanted(keys))
    for name, blobs in stricter.items():
        directory = tmp_path / name
        directory.mkdir()
        assert (skopeo_says(directory, document, blobs), we_say(document, blobs)) == ("accepted", "rejected"), name
