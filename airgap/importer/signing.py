"""Signatures at the target: existing and arriving ones are merged without loss, and the site may add its own.

After its policy has accepted an image, the site can sign every instance and the index under the destination name. A key file
creates cosign signatures in the ``.sig`` tag, a GPG key simple signatures in a lookaside tree; the vendor's signatures stay.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from airgap.admission.closure import Closure
from airgap.bundle.store import BundleStore
from airgap.errors import NotTaken, Refused
from airgap.importer import cosign
from airgap.lookaside import merge_signatures
from airgap.oci import strictjson
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.image import TAG_KINDS, digest_tag
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Reference
from airgap.oci.stores import Target
from airgap.oci.verify import BytesReader, VerifiedReader, read_all
from airgap.trust.keys.openpgp import check_signed_message

_SIG = ".sig"
#: Tags that are lists: what the destination has there is kept and ours is added.
MERGED_KINDS = frozenset({TAG_KINDS[_SIG], TAG_KINDS[".att"]})


class CosignSigner(Protocol):
    """A key that creates raw signatures."""

    def sign(self, data: bytes) -> bytes:
        """The base64 text of a signature over ``data``."""


class MessageSigner(Protocol):
    """A GPG key that creates signed messages."""

    def sign_message(self, payload: bytes) -> bytes:
        """The binary signed message."""

    def has_signed(self, message: bytes, payload: bytes) -> bool:
        """Whether this is a valid signed message of this key around exactly this payload."""


@dataclass(frozen=True)
class SiteSigning:
    """What the site adds: cosign signers, GPG signers, the lookaside tree for GPG signatures, and a label for the signers.

    ``kept`` is whether that tree outlives the import.
    """

    cosign: tuple[CosignSigner, ...] = ()
    gpg: tuple[MessageSigner, ...] = ()
    lookaside: Path | None = None
    signers: str = ""
    kept: bool = True

    @property
    def label(self) -> str:
        """What distinguishes the outcomes of imports: the signers, and where GPG signatures are written."""
        place = f"lookaside {self.lookaside.absolute()}" if self.lookaside and self.kept else ""
        return f"{self.signers} {place}".strip()


def site_signatures(
    closure: Closure, destination: Reference, signers: Iterable[CosignSigner]
) -> dict[Digest, list[cosign.CosignSignature]]:
    """The site's cosign signatures of every manifest of an image, under its destination name."""
    made: dict[Digest, list[cosign.CosignSignature]] = {}
    for signer in signers:
        for part in closure.parts:
            signed = cosign.payload(_pulled_name(destination), part.digest)
            raw = base64.b64decode(signer.sign(signed), validate=True)
            made.setdefault(part.digest, []).append(cosign.signature(signed, raw))
    return made


def put_signature_tag(
    target: Target, reference: Reference, ours: Manifest | None, added: Sequence[cosign.CosignSignature]
) -> Digest | None:
    """Merge into a signature tag what it has, what the bundle brings (``ours``, already stored) and what the site adds.

    If the tag is new and the site adds nothing, the bundle's manifest is tagged unchanged, with its own digest.

    Returns:
        What the tag refers to in the end.

    Raises:
        NotTaken: the tag exists and is not a list of signatures; it is not replaced.
    """
    now = target.resolve(reference)
    existing = target.manifest(reference.repository, now) if now is not None and (ours is None or now != ours.digest) else None
    if existing is not None and (existing.is_index or any(".tar" in layer.media_type for layer in existing.layers)):
        raise NotTaken("the signature tag holds something else", where=str(reference), got=f"{existing.media_type} {now}")
    brought = list(ours.layers) if ours else []
    found = list(existing.layers) if existing else []
    site = cosign.missing([*brought, *found], (signature.descriptor for signature in added))
    if ours is not None and not site and not cosign.missing(brought, found):
        target.tag(reference, ours)
        return ours.digest
    if fresh := [*cosign.missing(found, brought), *site]:
        contents = {signature.descriptor.digest: signature.payload for signature in added}
        return _put_merged(target, reference, [*found, *fresh], contents)
    return now


def _put_merged(target: Target, reference: Reference, layers: Sequence[Descriptor], contents: dict[Digest, bytes]) -> Digest:
    """Rewrite the whole list; payloads that are not at the target yet are in ``contents``."""
    manifest, config = cosign.manifest(layers)
    written = {manifest.config.digest: config, **contents} if manifest.config else contents
    for descriptor in manifest.blobs():
        content = written.get(descriptor.digest)
        if content is not None and not target.has(reference.repository, descriptor):
            _write(target, reference, descriptor, content)
    target.put_manifest(reference.repository, manifest)
    target.tag(reference, manifest)
    return manifest.digest


def signature_tag(destination: Reference, digest: Digest) -> Reference:
    """The tag under which cosign looks for signatures of a digest."""
    return destination.repository.tagged(digest_tag(digest, _SIG))


def write_lookaside(store: BundleStore, closure: Closure, destination: Reference, signing: SiteSigning) -> int:
    """Write the vendor's and the site's GPG signatures of one image to the site's lookaside tree.

    Blobs that are not signed messages are dropped: one would make a container engine refuse the valid ones beside it.

    Returns:
        How many were dropped.
    """
    if signing.lookaside is None:
        return 0
    dropped = 0
    for part in closure.parts:
        signatures = [_read(store, s.descriptor) for s in closure.signatures if s.subject == part.digest]
        good = [content for content in signatures if _is_message(content)]
        dropped += len(signatures) - len(good)
        there = merge_signatures(signing.lookaside, destination.repository.path, part.digest, good)
        payload = _gpg_payload(_pulled_name(destination), part.digest)
        added = [signer.sign_message(payload) for signer in signing.gpg if not _has_signed(signer, there, payload)]
        if added:
            merge_signatures(signing.lookaside, destination.repository.path, part.digest, added)
    return dropped


def _has_signed(signer: MessageSigner, messages: Iterable[bytes], payload: bytes) -> bool:
    """Whether the payload is already signed: a GPG signature holds the time, so every import would add another one."""
    return any(signer.has_signed(message, payload) for message in messages)


def _pulled_name(destination: Reference) -> Reference:
    """The name that a container engine asks for: a tag pinned to a digest on the image list is pulled by the tag."""
    return destination.repository.tagged(destination.tag) if destination.tag else destination


def _is_message(content: bytes) -> bool:
    try:
        check_signed_message(content)
    except Refused:
        return False
    return True


def _gpg_payload(reference: Reference, digest: Digest) -> bytes:
    """What is signed (containers-signature(5)); without time and version, so that a later import knows it again."""
    critical = {
        "identity": {"docker-reference": str(reference)},
        "image": {"docker-manifest-digest": str(digest)},
        "type": "atomic container signature",
    }
    return strictjson.canonical({"critical": critical, "optional": {"creator": "airgap"}})


def _write(target: Target, reference: Reference, descriptor: Descriptor, content: bytes) -> None:
    target.write(
        reference.repository, descriptor, lambda: VerifiedReader(BytesReader(content), descriptor, f"signature for {reference}")
    )


def _read(store: BundleStore, blob: Descriptor) -> bytes:
    return read_all(VerifiedReader(store.open_blob(blob.digest), blob, store.place(blob.digest)), blob.size, str(blob.digest))
