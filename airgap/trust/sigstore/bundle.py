"""Sigstore bundles, read strictly: what was signed, and the material that may prove by whom, without judging any of it.

Sources: sigstore ``protobuf-specs`` (``sigstore_bundle.proto``, ``sigstore_common.proto``), of which versions 0.1 to 0.3 exist;
DSSE v1.0 ``protocol.md``. A version has two numbers only, so a later 0.3.x is none.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from airgap.errors import Damaged, Refused
from airgap.limits import MAX_ATTESTATION
from airgap.oci import strictjson
from airgap.text import printable
from airgap.trust.policy.fields import decode_base64

#: The first is what clients write today; the second is its older spelling.
MEDIA_TYPES = (
    "application/vnd.dev.sigstore.bundle.v0.3+json",
    "application/vnd.dev.sigstore.bundle+json;version=0.3",
    "application/vnd.dev.sigstore.bundle+json;version=0.2",
    "application/vnd.dev.sigstore.bundle+json;version=0.1",
)
PAYLOAD_TYPE = "application/vnd.in-toto+json"

_VERSIONS = ((0, 3), (0, 3), (0, 2), (0, 1))
_BUNDLE_FIELDS = ("mediaType", "verificationMaterial", "dsseEnvelope", "messageSignature")
_EVIDENCE = ("tlogEntries", "timestampVerificationData")
_HASHES = {"SHA2_256": "sha256", "SHA2_384": "sha384", "SHA2_512": "sha512"}
_MOST_CERTIFICATES = 16
_CHAIN = "x509CertificateChain"


@dataclass(frozen=True, slots=True)
class Envelope:
    """A statement: the signed payload and the raw signature over its :func:`pae`."""

    payload: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Message:
    """A raw signature over bytes that are elsewhere. The digest of them is a hint: its algorithm and value, or None."""

    signature: bytes
    digest: tuple[str, bytes] | None = None


Content: TypeAlias = Envelope | Message


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a bundle holds. ``material`` has its right fields, but nothing in it has been looked at."""

    version: tuple[int, int]
    content: Content
    material: Mapping[str, Any]


def pae(payload_type: str, payload: bytes) -> bytes:
    """What is signed instead of the payload itself: DSSE's pre-authentication encoding; lengths are in bytes."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """Turns what cannot be read within a bundle into a refusal of it: it counts as no signature."""
    try:
        yield
    except Damaged as error:
        what = f"the Sigstore bundle is malformed: {error.what}"
        raise Refused(what, where=error.where, expected=error.expected, got=error.got) from error


def read(raw: bytes, *, bare: bool = False) -> Bundle:
    """Read a bundle of version 0.1 to 0.3.

    Args:
        raw: the bundle.
        bare: it may lack the field for what proves it: a signature by a known key needs no more.

    Raises:
        Refused: it is malformed, too large, or of an unknown version.
    """
    if len(raw) > MAX_ATTESTATION:
        raise Refused("the Sigstore bundle is too large", expected=f"at most {MAX_ATTESTATION} bytes")
    with reading():
        fields = fields_of(strictjson.parse_object(raw, "bundle"), _BUNDLE_FIELDS)
        media_type = strictjson.string(fields.get("mediaType"), "mediaType")
        if media_type not in MEDIA_TYPES:
            raise Damaged("unsupported version or type", expected=MEDIA_TYPES[0], got=printable(media_type, 120))
        version = _VERSIONS[MEDIA_TYPES.index(media_type)]
        content = _content(fields)
        if bare and "verificationMaterial" not in fields:
            return Bundle(version, content, {})
        return Bundle(version, content, _material(fields.get("verificationMaterial"), version))


def read_bundle(raw: bytes) -> Envelope:
    """The statement of a bundle.

    Raises:
        Refused: it cannot be read, or is of a kind that cannot sign an image.
    """
    return envelope_of(read(raw))


def read_envelope(raw: bytes) -> Envelope:
    """Read a DSSE envelope that stands alone, as under cosign's ``.att`` tag.

    Raises:
        Refused: it is malformed, too large, or holds no in-toto statement.
    """
    if len(raw) > MAX_ATTESTATION:
        raise Refused("the envelope is too large", expected=f"at most {MAX_ATTESTATION} bytes")
    try:
        return _dsse(strictjson.parse_object(raw, "envelope"), "envelope")
    except Damaged as error:
        raise Refused(f"the envelope is malformed: {error.what}", got=error.got) from error


def envelope_of(bundle: Bundle) -> Envelope:
    """The statement of a bundle. Raises ``Refused``: it has none."""
    if isinstance(bundle.content, Message):
        raise Refused("a messageSignature covers bytes, not a statement about an image", expected="dsseEnvelope")
    return bundle.content


def signed_bytes(bundle: Bundle, message: bytes) -> bytes:
    """What a bundle's signature must be over: its statement as it is encoded for that, or else a message.

    The digest that a bundle states of its message is only a hint, but one of other bytes says that it is in the wrong place.

    Raises:
        Refused: the bundle is for another message.
    """
    if isinstance(bundle.content, Envelope):
        return pae(PAYLOAD_TYPE, bundle.content.payload)
    if bundle.content.digest is not None:
        name, digest = bundle.content.digest
        if name not in _HASHES:
            raise Refused("the Sigstore bundle states an unknown hash", expected=", ".join(_HASHES), got=printable(name, 60))
        if digest != hashlib.new(_HASHES[name], message).digest():
            raise Refused("the Sigstore bundle is for other bytes")
    return message


def certificates_of(bundle: Bundle) -> tuple[bytes, ...]:
    """The certificates, DER, the signer's first; none where the bundle gives a hint for a key. Raises ``Damaged``."""
    if "certificate" in bundle.material:
        return (_certificate(bundle.material["certificate"]),)
    if _CHAIN not in bundle.material:
        return ()
    chain = strictjson.array(fields_of(bundle.material[_CHAIN], ("certificates",)).get("certificates"), "certificates")
    if not 0 < len(chain) <= _MOST_CERTIFICATES:
        raise Damaged("the certificate chain", expected=f"1 to {_MOST_CERTIFICATES} certificates", got=str(len(chain)))
    return tuple(_certificate(one) for one in chain)


def _content(fields: dict[str, Any]) -> Content:
    if ("messageSignature" in fields) == ("dsseEnvelope" in fields):
        raise Damaged("not exactly one of dsseEnvelope and messageSignature")
    if "messageSignature" in fields:
        return _message(fields_of(fields["messageSignature"], ("messageDigest", "signature")))
    return _dsse(fields["dsseEnvelope"], "Sigstore bundle")


def _dsse(value: object, what: str) -> Envelope:
    """A DSSE envelope with one signature; ``what`` has it, for messages."""
    envelope = fields_of(value, ("payload", "payloadType", "signatures"))
    payload_type = strictjson.string(envelope.get("payloadType"), "payloadType")
    if payload_type != PAYLOAD_TYPE:
        raise Refused(f"the {what}'s payload has the wrong type", expected=PAYLOAD_TYPE, got=printable(payload_type, 120))
    signatures = strictjson.array(envelope.get("signatures"), "signatures")
    if len(signatures) != 1:
        raise Refused(f"not exactly one signature in the {what}", expected="1", got=str(len(signatures)))
    signature = fields_of(signatures[0], ("sig", "keyid"))
    strictjson.string(signature.get("keyid", ""), "keyid")
    return Envelope(data_of(envelope.get("payload")), data_of(signature.get("sig")))


def _message(message: dict[str, Any]) -> Message:
    digest = None
    if "messageDigest" in message:
        stated = fields_of(message["messageDigest"], ("algorithm", "digest"))
        digest = strictjson.string(stated.get("algorithm"), "algorithm"), data_of(stated.get("digest"))
    return Message(data_of(message.get("signature")), digest)


def _material(value: object, version: tuple[int, int]) -> dict[str, Any]:
    """Its form only: neither a hint nor a certificate that the bundle brings along says which key to trust."""
    certificate = "certificate" if version >= (0, 3) else _CHAIN
    material = fields_of(value, ("publicKey", certificate, *_EVIDENCE))
    if ("publicKey" in material) == (certificate in material):
        raise Damaged(f"not exactly one of publicKey and {certificate}")
    if "publicKey" in material:
        strictjson.string(fields_of(material["publicKey"], ("hint",)).get("hint", ""), "hint")
    elif certificate == "certificate":
        _certificate(material["certificate"])
    strictjson.array(material.get("tlogEntries", []), "tlogEntries")
    return material


def _certificate(value: object) -> bytes:
    return data_of(fields_of(value, ("rawBytes",)).get("rawBytes"))


def fields_of(value: object, known: Collection[str]) -> dict[str, Any]:
    """An object that has no other fields than these. Raises ``Damaged``."""
    fields = strictjson.mapping(value, "bundle")
    unknown = [name for name in fields if name not in known]
    if unknown:
        raise Damaged("an unknown field", expected=", ".join(known), got=printable(unknown[0], 80))
    return fields


def data_of(value: object) -> bytes:
    """Bytes, not none, in base64. Raises ``Damaged``."""
    data = decode_base64(strictjson.string(value, "base64"))
    if not data:
        raise Damaged("not base64")
    return data
