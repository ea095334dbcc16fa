"""Judge every instance of every image by the site's policy, with the signatures in the bundle, before anything is written.

An instance is an image manifest reached from the image's root: what a container engine pulls in the end, and what it verifies then
(reference: facts 1 and 6). It is judged under the source reference of the image it belongs to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from airgap.bundle.store import BundleStore
from airgap.errors import Refused
from airgap.importer.closure import Closure
from airgap.importer.terms import Terms
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.image import REFERRER, TAG_KINDS
from airgap.oci.manifest import MAX_MANIFEST
from airgap.oci.reference import Reference
from airgap.oci.verify import VerifiedReader, read_all
from airgap.text import plural
from airgap.trust.evidence import (
    MAX_BUNDLE,
    MAX_SIGNATURES,
    SIGSTORE_BUNDLE,
    SIMPLE_SIGNING,
    Evidence,
    GpgSignature,
    SigstoreBundle,
    SigstoreSignature,
)
from airgap.trust.images import ImageJudge, ImageVerdict

_COSIGN = TAG_KINDS[".sig"]
_SHOWN = 10


@dataclass(frozen=True)
class Judgement:
    """The verdict on one instance."""

    reference: Reference
    instance: Digest
    platform: str
    verdict: ImageVerdict

    def facts(self) -> dict[str, Any]:
        """For the report: image, instance, scope, and every requirement with the signature and key that decided."""
        return {
            "image": str(self.reference),
            "instance": str(self.instance),
            "platform": self.platform,
            "scope": self.verdict.scope,
            "accepted": self.verdict.accepted,
            "decisions": [
                {
                    "requirement": decision.requirement,
                    "accepted": decision.accepted,
                    "reason": decision.reason,
                    "signature": decision.signature,
                    "key": decision.key,
                }
                for decision in self.verdict.decisions
            ],
        }


def judge_images(store: BundleStore, closures: Sequence[Closure], terms: Terms) -> list[Judgement]:
    """Judge everything that would be loaded, and go on only when all of it is accepted.

    Args:
        store: the verified bundle.
        closures: the images as they will be loaded.
        terms: the site's terms: its policy (transport ``docker``, scope by source reference) and what else it asks of images.

    Raises:
        Refused: one or more instances are not accepted; all are named.
    """
    found = verdicts(store, closures, terms)
    refused = [judgement for judgement in found if not judgement.verdict.accepted]
    if len(refused) == 1:
        _refuse(refused[0])
    if refused:
        lines = [f"\n  {j.reference} {j.platform or j.instance.short}: {j.verdict.reason} ({j.verdict.scope})" for j in refused]
        more = f"\n  and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
        raise Refused(
            f"the policy does not accept {len(refused)} of {plural(len(found), 'image instance')}",
            got="".join(lines[:_SHOWN]) + more,
            hint="get the images signed as the policy says, leave them out of the list, or change the policy's scope for them",
        )
    return found


def verdicts(store: BundleStore, closures: Sequence[Closure], terms: Terms) -> list[Judgement]:
    """The verdict on every instance, whatever it is; the arguments are those of :func:`judge_images`."""
    unnamed = terms.accept_unnamed_bundles
    with ImageJudge(
        terms.policy, terms.read_key, require_signed=terms.require_signed, now=terms.now, unnamed_bundles=unnamed
    ) as judge:
        return [judgement for closure in closures for judgement in _judge_image(store, closure, judge)]


def _refuse(judgement: Judgement) -> None:
    try:
        judgement.verdict.require()
    except Refused as refusal:
        refusal.got = f"{judgement.platform or judgement.instance.short}: {refusal.got}"
        raise


def _judge_image(store: BundleStore, closure: Closure, judge: ImageJudge) -> Iterator[Judgement]:
    for instance in closure.instances:
        platform = str(instance.platform or "")
        verdict = judge.judge(closure.image.reference, _evidence(store, closure, instance.digest))
        yield Judgement(closure.image.reference, instance.digest, platform, verdict)


def _evidence(store: BundleStore, closure: Closure, digest: Digest) -> Evidence:
    """All signatures that came with one instance."""
    raw = store.find_manifest(digest).raw
    sigstore: list[SigstoreSignature] = []
    for attachment in closure.image.attachments:
        if attachment.kind == _COSIGN and attachment.subject == digest:
            sigstore += _cosign_signatures(store, attachment.descriptor.digest)
    gpg = [
        GpgSignature(_read(store, signature.descriptor), f"GPG signature {signature.digest.short}")
        for signature in closure.image.signatures
        if signature.subject == digest and signature.size <= MAX_MANIFEST
    ]
    bundles = list(islice(_bundles(store, closure, digest), MAX_SIGNATURES))
    return Evidence.of(raw, gpg[:MAX_SIGNATURES], sigstore[:MAX_SIGNATURES], bundles)


def _bundles(store: BundleStore, closure: Closure, digest: Digest) -> Iterator[SigstoreBundle]:
    """The cosign 3 bundles among one instance's referrers: one layer each, not too large, and here."""
    for attachment in closure.image.attachments:
        if attachment.kind != REFERRER or attachment.subject != digest:
            continue
        manifest = store.find_manifest(attachment.descriptor.digest)
        if len(manifest.layers) != 1 or SIGSTORE_BUNDLE not in (manifest.artifact_type, manifest.layers[0].media_type):
            continue
        layer = manifest.layers[0]
        if layer.size <= MAX_BUNDLE and layer.digest in store.catalog.blobs:  # it may be one that was left at its source
            yield SigstoreBundle(_read(store, layer), f"cosign bundle {attachment.descriptor.digest.short}")


def _cosign_signatures(store: BundleStore, digest: Digest) -> Iterator[SigstoreSignature]:
    """The layers of a ``.sig`` manifest; what is not a signature, or too large to be one, is left to nobody's trust."""
    layers = store.find_manifest(digest).layers
    for number, layer in enumerate(layers[:MAX_SIGNATURES], 1):
        if layer.media_type == SIMPLE_SIGNING and layer.size <= MAX_MANIFEST:
            yield SigstoreSignature(
                _read(store, layer), layer.annotations, f"cosign signature {number} of {digest.short}", SIMPLE_SIGNING
            )


def _read(store: BundleStore, blob: Descriptor) -> bytes:
    reader = VerifiedReader(store.open_blob(blob.digest), blob, store.place(blob.digest))
    return read_all(reader, blob.size, str(blob.digest))
