"""Sigstore bundles as signatures over a catalog: what ``cosign sign-blob --bundle`` writes, by a known key.

Source: sigstore ``protobuf-specs`` (``sigstore_bundle.proto``, ``sigstore_common.proto``). The signature is over the bytes of the
catalog, as a raw one is. What else a bundle holds (certificates, log entries, timestamps) is not evaluated; no key comes from it.
"""

from __future__ import annotations

import hashlib
from typing import Any

from airgap.errors import Damaged, Refused
from airgap.oci import strictjson
from airgap.text import printable
from airgap.trust.sigstore.bundle import MEDIA_TYPES, data_of, fields_of

#: How the names of such files end.
SUFFIX = ".sigstore.json"
_HASHES = {"SHA2_256": hashlib.sha256, "SHA2_384": hashlib.sha384, "SHA2_512": hashlib.sha512}


def read_signature(content: bytes, catalog: bytes) -> bytes:
    """The raw signature in a bundle over a catalog. Whose it is, is not known yet.

    Args:
        content: the bundle, already known not to be too large.
        catalog: the exact bytes that must have been signed: a digest that the bundle states must be theirs.

    Raises:
        Refused: it is malformed, over other bytes, or holds a statement instead.
    """
    try:
        bundle = fields_of(
            strictjson.parse_object(content, "bundle"),
            ("mediaType", "verificationMaterial", "messageSignature", "dsseEnvelope"),
        )
        media_type = strictjson.string(bundle.get("mediaType"), "mediaType")
        if media_type not in MEDIA_TYPES:
            raise Damaged("unsupported version or type", expected=MEDIA_TYPES[0], got=printable(media_type, 120))
        if "dsseEnvelope" in bundle:
            raise Refused("the Sigstore bundle holds a statement, not a signature over the catalog", expected="messageSignature")
        message = fields_of(bundle.get("messageSignature"), ("messageDigest", "signature"))
        if "messageDigest" in message:
            _check_digest(fields_of(message["messageDigest"], ("algorithm", "digest")), catalog)
        return data_of(message.get("signature"))
    except Damaged as error:
        raise Refused(f"the Sigstore bundle is malformed: {error.what}", got=error.got) from error


def _check_digest(stated: dict[str, Any], catalog: bytes) -> None:
    """Only a hint, as the specification says, but one of other bytes says that the file is in the wrong place."""
    algorithm = strictjson.string(stated.get("algorithm"), "algorithm")
    if algorithm not in _HASHES:
        raise Refused("the Sigstore bundle states an unknown hash", expected=", ".join(_HASHES), got=printable(algorithm, 60))
    if data_of(stated.get("digest")) != _HASHES[algorithm](catalog).digest():
        raise Refused("the Sigstore bundle is for other bytes")
