"""When a signature existed, by the word of a timestamp authority that the site trusts (RFC 3161, RFC 5816).

The reply is parsed and its signature checked by ``rfc3161-client``, which sigstore-python uses, too. The certificates in it count
for nothing: who may have signed it is the authority of the trusted root alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from cryptography import x509

from airgap.errors import Refused
from airgap.text import printable
from airgap.trust.keys.certificates import strictly
from airgap.trust.sigstore.trustedroot import Authority

if TYPE_CHECKING:
    from rfc3161_client import TimeStampResponse


@dataclass(frozen=True, slots=True)
class _Reply:
    """What is needed of a reply: when, and by which certificate it says that it was signed (issuer and number, of each signer)."""

    raw: TimeStampResponse
    when: datetime
    signers: tuple[tuple[x509.Name, int], ...]


def stamped(replies: Sequence[bytes], signature: bytes, authorities: Sequence[Authority]) -> tuple[datetime, ...]:
    """The times that are proved. Replies by others, or for other bytes, prove none, and do no harm.

    Args:
        replies: timestamp responses, DER.
        signature: what must have been stamped: the raw signature.
        authorities: the site's.

    Raises:
        Refused: a reply cannot be read, or there are replies and no authority to check them by.
    """
    if replies and not authorities:
        raise Refused("the signature has a timestamp, but the trusted root names no timestamp authority to check it by")
    read = [_read(reply) for reply in replies]
    return tuple(reply.when for reply in read if any(_vouches(authority, reply, signature) for authority in authorities))


def _read(der: bytes) -> _Reply:
    try:
        # here, not above: only keyless signatures need it, and it takes a while to load
        from rfc3161_client import decode_timestamp_response
    except ImportError as error:  # a toolkit for machines that it is not made for leaves it out
        raise Refused("this airgap cannot check timestamps", expected="the package rfc3161-client", got="not installed") from error
    try:
        with strictly():
            found = decode_timestamp_response(der)
            signers = tuple((signer.issuer, signer.serial_number) for signer in found.signed_data.signer_infos)
            return _Reply(found, found.tst_info.gen_time, signers)
    except Exception as error:  # the library lets through what its parsers raise, which is all sorts of things
        raise Refused("a timestamp of the Sigstore bundle is malformed", got=printable(repr(error), 120)) from error


def _vouches(authority: Authority, reply: _Reply, signature: bytes) -> bool:
    from rfc3161_client import VerifierBuilder

    if len(authority.chain) < 2 or not authority.valid.covers(reply.when):
        return False
    if not all(one.not_valid_before_utc <= reply.when <= one.not_valid_after_utc for one in authority.chain):
        return False
    own, *between, root = authority.chain
    if reply.signers != ((own.issuer, own.serial_number),):
        return False
    try:
        with strictly():
            VerifierBuilder(tsa_certificate=own, intermediates=between, roots=[root]).build().verify_message(reply.raw, signature)
    except Exception:  # noqa: BLE001 - as above, and its own VerificationError: whatever stops it, nothing is proved
        return False
    return True
