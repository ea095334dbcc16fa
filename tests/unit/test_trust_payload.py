"""The payload rules as measured against containers/image."""

from __future__ import annotations

import json

import pytest

from airgap.errors import Refused
from airgap.trust.keys.payload import Claim, read_gpg_payload, read_sigstore_payload

DIGEST = "sha256:" + "a" * 64
CLAIM = Claim(DIGEST, "docker.io/library/busybox:1")


def text(
    kind: str = "atomic container signature",
    optional: str = "{}",
    extra: str = "",
    critical: str = "",
    image: str = "",
    identity: str = "",
) -> bytes:
    """A payload as text, with more text pushed into its objects."""
    name = f'{{"docker-reference":"docker.io/library/busybox:1"{identity}}}'
    digest = f'{{"docker-manifest-digest":"{DIGEST}"{image}}}'
    return f'{{"critical":{{"identity":{name},"image":{digest},"type":"{kind}"{critical}}},"optional":{optional}{extra}}}'.encode()


GOOD = {
    "plain": text(),
    "whitespace-around": b" \n" + text() + b"\t\n",
    "extra-key-in-optional": text(optional='{"x":[1,{"y":null}]}'),
    "creator-and-timestamp": text(optional='{"creator":"us","timestamp":1483228800}'),
    "timestamp-as-1e3": text(optional='{"timestamp":1e3}'),
    "timestamp-as-1.0": text(optional='{"timestamp":1.0}'),
    "timestamp-negative": text(optional='{"timestamp":-1}'),
    "timestamp-null": text(optional='{"timestamp":null}'),
    "creator-null": text(optional='{"creator":null}'),
}
BAD = {
    "extra-key-at-top": text(extra=',"x":1'),
    "extra-key-in-critical": text(critical=',"x":1'),
    "extra-key-in-image": text(image=',"x":1'),
    "extra-key-in-identity": text(identity=',"x":1'),
    "duplicate-type": text(critical=',"type":"atomic container signature"'),
    "duplicate-optional": text(extra=',"optional":{}'),
    "duplicate-unknown-in-optional": text(optional='{"x":1,"x":1}'),
    "optional-missing": text().replace(b',"optional":{}', b""),
    "timestamp-1.5": text(optional='{"timestamp":1.5}'),
    "timestamp-2^70": text(optional=f'{{"timestamp":{2**70}}}'),
    "timestamp-2^63": text(optional=f'{{"timestamp":{2**63}}}'),
    "timestamp-1e400": text(optional='{"timestamp":1e400}'),
    "timestamp-text": text(optional='{"timestamp":"1"}'),
    "timestamp-true": text(optional='{"timestamp":true}'),
    "creator-number": text(optional='{"creator":1}'),
    "optional-list": text(optional="[]"),
    "optional-number-1e400": text(optional='{"x":[1e400]}'),
    "trailing-json": text() + b"{}",
    "trailing-text": text() + b"x",
    "empty": b"",
    "list": b"[]",
    "critical-null": b'{"critical":null,"optional":{}}',
    "reference-null": text().replace(b'"docker.io/library/busybox:1"', b"null"),
    "digest-number": text().replace(b'"%s"' % DIGEST.encode(), b"1"),
    "other-case": text().replace(b"critical", b"Critical"),
    "not-utf8": text().replace(b"busybox", b"busy\xffox"),
}  # fmt: skip


@pytest.mark.parametrize("payload", GOOD.values(), ids=GOOD)
def test_payloads_that_upstream_accepts_are_read(payload: bytes) -> None:
    assert read_gpg_payload(payload) == CLAIM
    assert read_sigstore_payload(payload.replace(b"atomic container", b"cosign container image")) == CLAIM


@pytest.mark.parametrize("payload", BAD.values(), ids=BAD)
def test_payloads_that_deviate_are_refused(payload: bytes) -> None:
    with pytest.raises(Refused):
        read_gpg_payload(payload)
    with pytest.raises(Refused):
        read_sigstore_payload(payload.replace(b"atomic container", b"cosign container image"))


def test_only_cosign_may_leave_optional_null() -> None:
    with pytest.raises(Refused):
        read_gpg_payload(text(optional="null"))
    assert read_sigstore_payload(text("cosign container image signature", optional="null")) == CLAIM


def test_each_kind_of_signature_has_its_own_type() -> None:
    for kind in ("cosign container image signature", "", "atomic container signature "):
        with pytest.raises(Refused):
            read_gpg_payload(text(kind))
    with pytest.raises(Refused):
        read_sigstore_payload(text())
    assert json.loads(text())
