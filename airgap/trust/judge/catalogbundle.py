"""Sigstore bundles as signatures over a catalog: what ``cosign sign-blob --bundle`` writes, by a known key or keyless.

Source: sigstore ``protobuf-specs`` (``sigstore_bundle.proto``, ``sigstore_common.proto``). The signature is over the bytes of the
catalog, as a raw one is.
"""

from __future__ import annotations

from airgap.errors import Refused
from airgap.trust.sigstore.bundle import Bundle, Envelope, read, signed_bytes

#: How the names of such files end.
SUFFIX = ".sigstore.json"


def read_signature(content: bytes, catalog: bytes) -> bytes:
    """The raw signature in a bundle over a catalog. Whose it is, is not known yet; nothing else in the bundle is needed.

    Args:
        content: the bundle, already known not to be too large.
        catalog: the exact bytes that must have been signed: a digest that the bundle states must be theirs.

    Raises:
        Refused: it is malformed, over other bytes, or holds a statement instead.
    """
    return read_message(content, catalog, bare=True).content.signature


def read_message(content: bytes, catalog: bytes, *, bare: bool = False) -> Bundle:
    """A bundle over a catalog; ``bare``: one without material is one as well. Raises as :func:`read_signature`."""
    bundle = read(content, bare=bare)
    if isinstance(bundle.content, Envelope):
        raise Refused("the Sigstore bundle holds a statement, not a signature over the catalog", expected="messageSignature")
    signed_bytes(bundle, catalog)
    return bundle
