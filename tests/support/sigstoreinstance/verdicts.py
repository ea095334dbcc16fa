"""What we and sigstore-python say of a bundle, whatever it is about."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from airgap.errors import AirgapError, Refused
from airgap.trust.keys.keystore import KeyStore
from airgap.trust.policy.requirements import Fulcio, KeySource, SigstoreSigned
from airgap.trust.sigstore.bundle import Envelope, read, signed_bytes
from airgap.trust.sigstore.keyless import signer_of
from airgap.trust.sigstore.trustedroot import TrustedRoot
from tests.support.sigstoreinstance.instance import IDENTITY, ISSUER

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def requirement(root: bytes, identity: str = IDENTITY, issuer: str = ISSUER, key: bytes | None = None) -> SigstoreSigned:
    """Somebody's signature by any CA and any log of a trusted root, or a key's in any log of it."""
    trusted = TrustedRoot.parse(root, "trusted_root.json")
    logs = KeySource(datas=tuple(log.key.pem for log in trusted.logs))
    if key is not None:
        return SigstoreSigned(KeySource(datas=(key,)), rekor=logs)
    ca = pems(*(one for authority in trusted.authorities for one in authority.chain))
    return SigstoreSigned(None, fulcio=Fulcio(KeySource(datas=(ca,)), issuer, identity), rekor=logs)


def pems(*certificates: x509.Certificate) -> bytes:
    """Certificates as a policy has them."""
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


def ours(bundle: bytes, artifact: bytes, root: bytes, wanted: SigstoreSigned | None = None) -> str:
    """Why we refuse a bundle about an artifact; nothing if it is accepted. A statement must name the artifact's digest."""
    try:
        found = read(bundle)
        signed = signed_bytes(found, artifact)
        trusted = TrustedRoot.parse(root, "trusted_root.json")
        signer_of(wanted or requirement(root), found, signed, KeyStore(lambda _: b""), trusted, NOW)
        if isinstance(found.content, Envelope) and hashlib.sha256(artifact).hexdigest() not in subjects(found.content.payload):
            raise Refused("the statement is about other bytes")
    except AirgapError as error:
        return error.what
    return ""


def subjects(payload: bytes) -> Sequence[str]:
    """The digests that a statement names."""
    return [subject["digest"].get("sha256", "") for subject in json.loads(payload)["subject"]]
