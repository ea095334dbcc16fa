"""Trusted roots of Sigstore instances that exist nowhere else."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from airgap.trust.sigstore.trustedroot import MEDIA_TYPES
from tests.support.privateca import PrivateCa

START = "2025-01-01T00:00:00Z"


def log(name: str, start: str = START, end: str | None = None) -> dict[str, Any]:
    """A log with a key that follows from its name."""
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()) % (1 << 200) + 1
    key = ec.derive_private_key(number, ec.SECP256R1()).public_key()
    raw = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    span = {"start": start} | ({"end": end} if end else {})
    return {
        "baseUrl": f"https://{name}",
        "hashAlgorithm": "SHA2_256",
        "publicKey": {"rawBytes": _text(raw), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": span},
        "logId": {"keyId": _text(hashlib.sha256(raw).digest())},
    }


def authority(directory: Path, name: str, start: str = START, end: str | None = None) -> dict[str, Any]:
    """A CA or a timestamp authority with a new certificate; its files go below ``directory``."""
    content = PrivateCa(directory / name).file.read_text()
    raw = base64.b64decode("".join(content.split("-----")[2].split()))
    span = {"start": start} | ({"end": end} if end else {})
    return {"uri": f"https://{name}", "certChain": {"certificates": [{"rawBytes": _text(raw)}]}, "validFor": span}


def root(
    logs: Sequence[dict[str, Any]] = (),
    authorities: Sequence[dict[str, Any]] = (),
    timestamps: Sequence[dict[str, Any]] = (),
    ct_logs: Sequence[dict[str, Any]] = (),
) -> bytes:
    """A ``trusted_root.json``."""
    document = {
        "mediaType": MEDIA_TYPES[0],
        "tlogs": list(logs),
        "certificateAuthorities": list(authorities),
        "ctlogs": list(ct_logs),
        "timestampAuthorities": list(timestamps),
    }
    return json.dumps(document, indent=2).encode()


@cache
def plain() -> bytes:
    """One with a single log."""
    return root([log("rekor.example")])


def later(days: int, since: dt.datetime | None = None) -> str:
    """A time so many days from now, in UTC as Sigstore writes it."""
    when = (since or dt.datetime.now(dt.UTC)) + dt.timedelta(days=days)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
