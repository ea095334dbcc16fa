"""A Sigstore instance as a site trusts it: its logs, certificate authorities and timestamp authorities, and when each was in use.

Source: sigstore ``protobuf-specs`` (``sigstore_trustroot.proto``), as JSON: what ``trusted_root.json`` of a TUF repository holds,
and what ``cosign trusted-root create`` writes. It is the site's own file; nothing that comes with a bundle is ever read as one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from airgap.errors import AirgapError, Damaged, UsageError
from airgap.oci import strictjson
from airgap.text import printable
from airgap.trust.keys.signatures import PublicKey, load_public_key
from airgap.trust.policy.fields import decode_base64

MEDIA_TYPES = (
    "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    "application/vnd.dev.sigstore.trustedroot.v0.2+json",
)
_MOST = 256  # logs or authorities of one kind; the public instance has four

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Span:
    """When something was in use, both ends included. ``end`` is None as long as it is."""

    start: datetime
    end: datetime | None = None

    def covers(self, when: datetime) -> bool:
        """Whether it was in use then."""
        return self.start <= when and (self.end is None or when <= self.end)


@dataclass(frozen=True)
class Log:
    """A transparency log (Rekor or Certificate Transparency): where it is, its key, and by which id entries name it."""

    url: str
    id: bytes
    key: PublicKey
    valid: Span


@dataclass(frozen=True)
class Authority:
    """A CA or a timestamp authority: ``chain`` goes from the issuing certificate to the root."""

    uri: str
    chain: tuple[x509.Certificate, ...]
    valid: Span


@dataclass(frozen=True)
class TrustedRoot:
    """What one file says. Any part may be empty: what needs it then cannot be proved."""

    logs: tuple[Log, ...] = ()
    ct_logs: tuple[Log, ...] = ()
    authorities: tuple[Authority, ...] = ()
    timestamp_authorities: tuple[Authority, ...] = ()

    @classmethod
    def parse(cls, raw: bytes, where: str) -> TrustedRoot:
        """Read a ``trusted_root.json``. Unknown fields are left alone, as the specification's readers do.

        Args:
            raw: the file, already known not to be too large.
            where: its name, for messages.

        Raises:
            UsageError: it is none, or something in it cannot be read. Nothing is left out in silence.
        """
        try:
            return cls._parsed(strictjson.parse_object(raw, where))
        except Damaged as error:
            raise UsageError(
                f"not a trusted root: {error.what}",
                where=where if error.where in ("", where) else f"{where}: {error.where}",
                expected=error.expected or "trusted_root.json of a Sigstore instance",
                got=error.got,
            ) from error

    @classmethod
    def _parsed(cls, document: dict[str, Any]) -> TrustedRoot:
        media_type = strictjson.string(document.get("mediaType"), "mediaType")
        if media_type not in MEDIA_TYPES:
            raise Damaged("unsupported version or type", expected=" or ".join(MEDIA_TYPES), got=printable(media_type, 120))
        return cls(
            _items(document, "tlogs", _log),
            _items(document, "ctlogs", _log),
            _items(document, "certificateAuthorities", _authority),
            _items(document, "timestampAuthorities", _authority),
        )


def _items(document: dict[str, Any], name: str, read: Callable[[dict[str, Any], str], _Item]) -> tuple[_Item, ...]:
    values = strictjson.array(document.get(name, []), name)
    if len(values) > _MOST:
        raise Damaged(f"too many {name}", expected=f"at most {_MOST}", got=str(len(values)))
    return tuple(read(strictjson.mapping(value, f"{name}[{i}]"), f"{name}[{i}]") for i, value in enumerate(values))


def _log(fields: dict[str, Any], where: str) -> Log:
    key = strictjson.mapping(fields.get("publicKey"), f"{where}.publicKey")
    names = strictjson.mapping(fields.get("logId"), f"{where}.logId")
    try:
        public = load_public_key(_data(key.get("rawBytes"), f"{where}.publicKey.rawBytes"))
    except AirgapError as error:
        raise Damaged(f"{where}.publicKey: {error.what}", expected=error.expected, got=error.got) from error
    url = strictjson.string(fields.get("baseUrl", ""), f"{where}.baseUrl")
    return Log(printable(url, 300), _data(names.get("keyId"), f"{where}.logId.keyId"), public, _span(key.get("validFor"), where))


def _authority(fields: dict[str, Any], where: str) -> Authority:
    chain = strictjson.mapping(fields.get("certChain"), f"{where}.certChain")
    values = strictjson.array(chain.get("certificates"), f"{where}.certificates")
    if not 0 < len(values) <= _MOST:
        raise Damaged(f"{where}.certificates", expected=f"1 to {_MOST} certificates", got=str(len(values)))
    ders = [_data(strictjson.mapping(value, where).get("rawBytes"), f"{where}.rawBytes") for value in values]
    try:
        certificates = tuple(x509.load_der_x509_certificate(der) for der in ders)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Damaged(f"{where}: not a certificate", got=printable(str(error), 120)) from error
    uri = strictjson.string(fields.get("uri", ""), f"{where}.uri")
    return Authority(printable(uri, 300), certificates, _span(fields.get("validFor"), where))


def _data(value: object, where: str) -> bytes:
    data = decode_base64(strictjson.string(value, where))
    if not data:
        raise Damaged(f"{where}: not base64")
    return data


def _span(value: object, where: str) -> Span:
    fields = strictjson.mapping(value, f"{where}.validFor")
    start = _time(fields.get("start"), f"{where}.validFor.start")
    end = None if fields.get("end") is None else _time(fields["end"], f"{where}.validFor.end")
    return Span(start, end)


def _time(value: object, where: str) -> datetime:
    text = strictjson.string(value, where)
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise Damaged(f"{where}: not a time", expected="such as 2026-01-31T12:00:00Z", got=printable(text, 60)) from error
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
