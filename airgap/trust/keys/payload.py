"""What an image signature says: the payload of GPG simple signing and of cosign, read as strictly as containers/image reads it."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from airgap.errors import Damaged, Refused
from airgap.oci import strictjson
from airgap.text import printable

GPG_TYPE = "atomic container signature"
SIGSTORE_TYPE = "cosign container image signature"


@dataclass(frozen=True, slots=True)
class Claim:
    """What was signed: this manifest digest, under this name. Both are texts from outside."""

    digest: str
    reference: str


def read_gpg_payload(payload: bytes) -> Claim:
    """The claim of a GPG simple-signing payload.

    Raises:
        Refused: it deviates from the form.
    """
    return _read(payload, GPG_TYPE, null_optional=False)


def read_sigstore_payload(payload: bytes) -> Claim:
    """The claim of a cosign payload, where ``optional`` may be null.

    Raises:
        Refused: it deviates from the form.
    """
    return _read(payload, SIGSTORE_TYPE, null_optional=True)


def _read(payload: bytes, kind: str, *, null_optional: bool) -> Claim:
    try:
        top = _exact(strictjson.parse_object(payload, "payload"), ("critical", "optional"))
        critical = _exact(top["critical"], ("type", "image", "identity"))
        image = _exact(critical["image"], ("docker-manifest-digest",))
        identity = _exact(critical["identity"], ("docker-reference",))
        found = strictjson.string(critical["type"], "type")
        claim = Claim(
            digest=strictjson.string(image["docker-manifest-digest"], "docker-manifest-digest"),
            reference=strictjson.string(identity["docker-reference"], "docker-reference"),
        )
        if top["optional"] is not None or not null_optional:
            _check_optional(strictjson.mapping(top["optional"], "optional"))
    except Damaged as error:
        raise Refused(f"the signed payload is malformed: {error.what}", got=error.got) from error
    if found != kind:
        raise Refused("the signed payload has the wrong type", expected=kind, got=printable(found, 80))
    return claim


def _exact(value: object, names: Collection[str]) -> dict[str, Any]:
    fields = strictjson.mapping(value, "payload")
    if fields.keys() != set(names):
        raise Damaged("the signature has the wrong fields", got=printable(", ".join(fields), 120))
    return fields


def _check_optional(optional: dict[str, Any]) -> None:
    creator, timestamp = optional.get("creator"), optional.get("timestamp")
    if creator is not None:
        strictjson.string(creator, "creator")
    if timestamp is not None and not _is_int64(timestamp):
        raise Damaged("the timestamp is not a whole number", got=printable(str(timestamp), 40))
    if not _finite(optional):
        raise Damaged("a number is too large")


def _is_int64(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return -(2**63) <= value < 2**63 and value == int(value)


def _finite(value: object) -> bool:
    if isinstance(value, dict | list):
        return all(_finite(child) for child in (value.values() if isinstance(value, dict) else value))
    return not isinstance(value, int | float) or (abs(value) < 10**300 and math.isfinite(value))
