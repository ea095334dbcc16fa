"""Judge every instance of an image by a policy, with all its signatures, wherever image and signatures are stored.

An instance is an image manifest reached from the image's root: what a container engine finally pulls and verifies. Where there
is none, as in an index without children, the root itself is the instance: whatever is about to get a name is judged.
It is judged under the source reference of the image it belongs to.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Protocol, TypeAlias

from airgap.errors import Refused
from airgap.limits import MAX_ATTESTATION, MAX_ATTESTATIONS, MAX_SIGNATURE, MAX_SIGNATURE_BLOB, MAX_SIGNATURES
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.image import REFERRER, TAG_KINDS, Image
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Reference
from airgap.text import plural
from airgap.trust.judge.images import ImageJudge, ImageVerdict
from airgap.trust.keys.evidence import (
    DSSE_ENVELOPE,
    SIGNATURE_REFERRER,
    SIGSTORE_BUNDLE,
    SIMPLE_SIGNING,
    Attestation,
    Evidence,
    GpgSignature,
    SigstoreBundle,
    SigstoreSignature,
)

_COSIGN = TAG_KINDS[".sig"]
_ATTESTED = TAG_KINDS[".att"]
_SHOWN = 1000

#: One or more. No image is ever accepted because there was nothing to judge: the type has no empty value.
Instances: TypeAlias = tuple[Descriptor, *tuple[Descriptor, ...]]


def instances_of(root: Descriptor, parts: Iterable[Descriptor]) -> Instances:
    """The instances of an image: the image manifests among its parts, or its root if there are none."""
    found = [part for part in parts if part.media_type in media.IMAGES]
    return (found[0], *found[1:]) if found else (root,)


class ImageContent(Protocol):
    """What one image consists of, from wherever it can be read. Every byte that it gives has been checked by its digest."""

    def manifest(self, digest: Digest) -> Manifest:
        """A manifest of the image or of one of its attachments."""

    def blob(self, descriptor: Descriptor) -> bytes | None:
        """A small blob wholly; None when it was left at its source."""


@dataclass(frozen=True)
class Case:
    """One image to judge: its instances, and where their signatures are read."""

    image: Image
    instances: Instances
    content: ImageContent


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
                    "unnamed_scope": decision.unnamed_scope,
                    "demand_scope": decision.demand_scope,
                    "attestation": decision.attested.facts() if decision.attested else None,
                }
                for decision in self.verdict.decisions
            ],
        }


def judge_instance(case: Case, instance: Descriptor, evidence: Evidence, judge: ImageJudge) -> Judgement:
    """The verdict on one instance."""
    verdict = judge.judge(case.image.reference, evidence)
    platform = str(instance.platform or "")
    if not platform and instance.digest == case.image.root.digest and len(case.image.platforms) == 1:
        platform = case.image.platforms[0]  # an image without an index: its config says it
    return Judgement(case.image.reference, instance.digest, platform, verdict)


def gather(case: Case, instance: Digest, *, attested: bool = False) -> Evidence:
    """All signatures that came with one instance, and with ``attested`` its attestations. Reads, and so raises what that raises."""
    image, content = case.image, case.content
    sigstore: list[SigstoreSignature] = []
    for attachment in image.attachments:
        if attachment.kind == _COSIGN and attachment.subject == instance:
            sigstore += _cosign_signatures(content, attachment.descriptor.digest)
    gpg = [
        GpgSignature(blob, f"GPG signature {signature.digest.short}")
        for signature in image.signatures
        if signature.subject == instance and signature.size <= MAX_SIGNATURE_BLOB
        if (blob := content.blob(signature.descriptor)) is not None
    ]
    bundles = list(islice(_bundles(content, image, instance), MAX_SIGNATURES))
    referred = list(islice(_referred_signatures(content, image, instance), MAX_SIGNATURES))
    found = Evidence.of(content.manifest(instance).raw, gpg[:MAX_SIGNATURES], sigstore[:MAX_SIGNATURES], bundles, referred)
    return _with_attestations(found, content, image, instance) if attested else found


def require_all(found: Sequence[Judgement]) -> None:
    """Go on only when every instance is accepted.

    Raises:
        Refused: one or more are not, all are named; or there is none.
    """
    if not found:
        raise Refused("no image was judged, so none is accepted", expected="at least one image")
    refused = [judgement for judgement in found if not judgement.verdict.accepted]
    if len(refused) == 1:
        _refuse(refused[0])
    if refused:
        lines = [f"\n  {j.reference} {j.platform or j.instance.short}: {j.verdict.reason} ({j.verdict.scope})" for j in refused]
        more = f"\n  and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
        hint = "sign the images as the policy requires, leave them out of the list, or change the policy's scope for them"
        if all(judgement.verdict.lacks_attestations for judgement in refused):
            hint = "carry the attestations that are demanded, leave the images out of the list, or change the demands"
        raise Refused(
            f"the policy does not accept {len(refused)} of {plural(len(found), 'image instance')}",
            got="".join(lines[:_SHOWN]) + more,
            hint=hint,
        )


def _refuse(judgement: Judgement) -> None:
    try:
        judgement.verdict.require()
    except Refused as refusal:
        refusal.got = f"{judgement.platform or judgement.instance.short}: {refusal.got}"
        raise


def _bundles(content: ImageContent, image: Image, instance: Digest) -> Iterator[SigstoreBundle]:
    """The cosign 3 bundles among one instance's referrers that may be signatures: not too large, and here."""
    for digest, layer in _bundle_layers(content, image, instance):
        if layer.size <= MAX_SIGNATURE_BLOB and (raw := content.blob(layer)) is not None:
            yield SigstoreBundle(raw, f"cosign bundle {digest.short}")


def _bundle_layers(content: ImageContent, image: Image, instance: Digest) -> Iterator[tuple[Digest, Descriptor]]:
    """The cosign 3 bundles among one instance's referrers, one layer each, with the digest of the referrer."""
    for attachment in image.attachments:
        if attachment.kind != REFERRER or attachment.subject != instance:
            continue
        manifest = content.manifest(attachment.descriptor.digest)
        if len(manifest.layers) == 1 and SIGSTORE_BUNDLE in (manifest.artifact_type, manifest.layers[0].media_type):
            yield attachment.descriptor.digest, manifest.layers[0]


def _with_attestations(found: Evidence, content: ImageContent, image: Image, instance: Digest) -> Evidence:
    """The same with what may be an attestation: of bundles and of layers under the ``.att`` tag as many as of signatures each.

    Small ones are read first: where not all fit, none that is large takes the place of the others.
    """
    layers = [
        layer
        for attachment in image.attachments
        if attachment.kind == _ATTESTED and attachment.subject == instance
        for layer in content.manifest(attachment.descriptor.digest).layers
        if layer.media_type == DSSE_ENVELOPE
    ]
    bundles = list(_bundle_layers(content, image, instance))
    wanted = [(layer.digest, layer, True) for layer in layers[:MAX_SIGNATURES]]
    wanted += [(digest, layer, False) for digest, layer in bundles[:MAX_SIGNATURES]]
    wanted.sort(key=lambda one: one[1].size)
    read: list[Attestation] = []
    room = MAX_ATTESTATIONS
    for digest, layer, classic in wanted:
        if layer.size > min(MAX_ATTESTATION, room) or (raw := content.blob(layer)) is None:
            continue
        room -= layer.size
        name = f"attestation {digest.short}"
        one = SigstoreSignature(raw, layer.annotations, name, DSSE_ENVELOPE) if classic else SigstoreBundle(raw, name)
        read.append(Attestation(one, digest))
    of_index = sum(
        one.subject == image.root.digest != instance
        and (one.kind == _ATTESTED or (one.kind == REFERRER and one.descriptor.artifact_type == SIGSTORE_BUNDLE))
        for one in image.attachments
    )
    unread = len(layers) + len(bundles) - len(read)
    return replace(found, attestations=tuple(read), unread=unread, of_index=of_index)


def _referred_signatures(content: ImageContent, image: Image, instance: Digest) -> Iterator[SigstoreSignature]:
    """The cosign signatures among one instance's referrers, one of each referrer in turn, so that none hides the others."""
    waiting = deque(
        _cosign_signatures(content, attachment.descriptor.digest, "referrer ")
        for attachment in image.attachments
        if attachment.kind == REFERRER and attachment.subject == instance
        if attachment.descriptor.artifact_type == SIGNATURE_REFERRER
    )
    while waiting:
        signatures = waiting.popleft()
        if (signature := next(signatures, None)) is not None:
            yield signature
            waiting.append(signatures)


def _cosign_signatures(content: ImageContent, digest: Digest, what: str = "") -> Iterator[SigstoreSignature]:
    """The layers of a cosign signature's manifest; what is not a signature, or too large to be one, is left to nobody's trust."""
    for number, layer in enumerate(content.manifest(digest).layers[:MAX_SIGNATURES], 1):
        if layer.media_type == SIMPLE_SIGNING and layer.size <= MAX_SIGNATURE and (payload := content.blob(layer)) is not None:
            yield SigstoreSignature(payload, layer.annotations, f"cosign signature {number} of {what}{digest.short}")
