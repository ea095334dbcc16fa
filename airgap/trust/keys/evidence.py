"""The signatures that came with one manifest: plain values, from wherever they were carried (containers-signature(5), cosign)."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from airgap.oci.digest import Digest

#: The media type of a cosign signature's payload layer; anything else is not an image signature.
SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"
BUNDLE = "dev.sigstore.cosign/bundle"
CERTIFICATE = "dev.sigstore.cosign/certificate"
CHAIN = "dev.sigstore.cosign/chain"

#: The artifact type of the same layers in a referrer instead of a ``.sig`` tag: what cosign writes in its OCI 1.1 mode.
SIGNATURE_REFERRER = "application/vnd.dev.cosign.artifact.sig.v1+json"

#: The media type of a layer under cosign's ``.att`` tag: a DSSE envelope over an in-toto statement.
DSSE_ENVELOPE = "application/vnd.dsse.envelope.v1+json"

#: The artifact and layer type of a cosign 3 bundle, which hangs off an image as a referrer.
SIGSTORE_BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"


class SignatureForm(enum.StrEnum):
    """Where a signature was found and how it is written: not every program that judges images reads every form."""

    GPG = "gpg"
    TAG = "tag"
    REFERRER = "referrer"
    BUNDLE = "bundle"


@dataclass(frozen=True)
class GpgSignature:
    """One GPG simple-signing blob, and a name for messages such as ``signature-1``."""

    blob: bytes
    name: str


@dataclass(frozen=True)
class SigstoreSignature:
    """One layer of a cosign signature's manifest: its payload, media type and annotations, and a name for messages."""

    payload: bytes
    annotations: Mapping[str, str]
    name: str
    media_type: str = SIMPLE_SIGNING


@dataclass(frozen=True)
class SigstoreBundle:
    """One cosign 3 bundle as it was found, and a name for messages."""

    raw: bytes
    name: str


@dataclass(frozen=True)
class Attestation:
    """What may be an attestation: a bundle, with the digest of its referrer, or a layer of type ``DSSE_ENVELOPE``, with its own."""

    content: SigstoreBundle | SigstoreSignature
    digest: Digest


@dataclass(frozen=True)
class Evidence:
    """All signatures of one manifest. ``manifest_digest`` is the SHA-256 of its bytes, whatever algorithm it is stored under.

    ``sigstore`` came from a ``.sig`` tag, ``referred`` from referrers, to which more people may be able to add: neither takes the
    other's place where only so many are looked at. ``attestations`` are there only where the site demands any; ``unread`` counts
    those that are too large, too many, or not here, and ``of_index`` those that hang off the image's index instead.
    """

    manifest_digest: Digest
    gpg: tuple[GpgSignature, ...] = ()
    sigstore: tuple[SigstoreSignature, ...] = field(default=())
    bundles: tuple[SigstoreBundle, ...] = ()
    referred: tuple[SigstoreSignature, ...] = ()
    attestations: tuple[Attestation, ...] = ()
    unread: int = 0
    of_index: int = 0

    def form_of(self, signature: GpgSignature | SigstoreSignature | SigstoreBundle) -> SignatureForm:
        """The form of one of these signatures."""
        if isinstance(signature, GpgSignature):
            return SignatureForm.GPG
        if isinstance(signature, SigstoreBundle):
            return SignatureForm.BUNDLE
        return SignatureForm.REFERRER if any(one is signature for one in self.referred) else SignatureForm.TAG

    @property
    def sigstore_count(self) -> int:
        """How many sigstore signatures there are, of every form."""
        return len(self.sigstore) + len(self.referred) + len(self.bundles)

    @classmethod
    def of(
        cls,
        manifest: bytes,
        gpg: Sequence[GpgSignature] = (),
        sigstore: Sequence[SigstoreSignature] = (),
        bundles: Sequence[SigstoreBundle] = (),
        referred: Sequence[SigstoreSignature] = (),
    ) -> Evidence:
        """The evidence for a manifest's exact bytes."""
        return cls(Digest.of(manifest), tuple(gpg), tuple(sigstore), tuple(bundles), tuple(referred))
