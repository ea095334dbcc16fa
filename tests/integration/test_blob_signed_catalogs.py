"""Bundles whose catalog was signed with ``cosign sign-blob --bundle``: instead of airgap's own signature, and beside it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support import signing
from tests.support.cli import REFUSED, failed, here
from tests.support.yard import Yard, key_of

pytestmark = pytest.mark.slow("runs whole exports and imports")


@pytest.fixture
def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Yard:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return Yard.make(tmp_path)


def sign(bundle: Path, key: signing.Key, name: str = "catalog.json.sigstore.json") -> Path:
    """As ``cosign sign-blob --key KEY --bundle NAME catalog.json`` does."""
    path = bundle / name
    path.write_text(json.dumps(signing.blob_bundle(key, (bundle / "catalog.json").read_bytes())))
    return path


def wanted(yard: Yard, key: signing.Key) -> dict[str, Any]:
    path = yard.work / f"{key.id}.pub"
    path.write_bytes(key.pem)
    return {"type": "sigstoreSigned", "keyPath": str(path)}


def test_a_catalog_signed_as_a_blob_is_accepted_copied_and_imported(yard: Yard) -> None:
    bundle, key = yard.bundle(1), signing.Key()
    policy = yard.policy([wanted(yard, key)])
    next(bundle.glob("*.sig")).unlink()
    yard.refuses(bundle, "no signature at all", policy=policy)
    sign(bundle, key)
    copy = yard.work / "copy"
    copy.mkdir()
    assert here("media", "copy", bundle, copy).returncode == 0
    (copied,) = copy.rglob("catalog.json.sigstore.json")
    shown = here("verify", copied.parent, "--policy", policy, "--state", yard.state)
    assert f"{key.id} (catalog.json.sigstore.json)" in shown.stdout
    (signer,) = yard.takes(copied.parent, policy=policy)["signers"]
    assert signer.endswith("(catalog.json.sigstore.json)")


def test_a_signature_as_a_blob_is_the_second_persons(yard: Yard) -> None:
    bundle, key = yard.bundle(1), signing.Key("ed25519")
    policy = yard.policy([key_of(yard.sender), wanted(yard, key)])
    yard.refuses(bundle, key.id, policy=policy)
    sign(bundle, key, f"catalog.json.{key.id}.sigstore.json")
    assert len(yard.takes(bundle, policy=policy)["signers"]) == 2


def test_a_signature_as_a_blob_over_another_catalog_or_by_another_key_is_refused(yard: Yard) -> None:
    bundle, key = yard.bundle(1), signing.Key()
    policy = yard.policy([wanted(yard, key)])
    other = shutil.copy(sign(yard.bundle(2), key), bundle)
    yard.refuses(bundle, "for other bytes", policy=policy)
    Path(other).unlink()
    sign(bundle, signing.Key())
    failed(
        here("verify", bundle, "--policy", policy, "--state", yard.state),
        REFUSED,
        "no accepted key made it: the file is named after another key",
    )
