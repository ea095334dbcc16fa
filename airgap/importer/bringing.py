"""What an import has brought, for the site's memory: by what names images and attachments can be found and removed again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from airgap.importer.closure import Closure
from airgap.importer.mapping import tagged_name
from airgap.importer.signing import SiteSigning, signature_tag
from airgap.oci.image import REFERRER, digest_tag
from airgap.oci.reference import Reference
from airgap.oci.stores import Target
from airgap.state import Brought


def brought(
    closures: Sequence[Closure], names: Mapping[Reference, Reference], target: Target, signing: SiteSigning | None, threads: int
) -> list[Brought]:
    """The images and attachments that are at the target now because of this bundle.

    Attachments known by a tag are asked for: what a bundle brings is merged with what is there, and not every target has such tags.

    Args:
        closures: the images that were loaded.
        names: the destination of every image, by source reference.
        target: where they were loaded, everything visible.
        signing: what the site has added.
        threads: how many questions are asked at a time.
    """
    placed = [(closure, names[closure.image.reference]) for closure in closures]
    found = {tagged_name(name): Brought(tagged_name(name), closure.root.digest, image=True) for closure, name in placed}
    tags: dict[Reference, None] = {}
    for closure, name in placed:
        for attachment in closure.attachments:
            if attachment.kind == REFERRER:
                referrer = str(name.at(attachment.descriptor.digest))
                found.setdefault(referrer, Brought(referrer, attachment.descriptor.digest, image=False))
        tags |= dict.fromkeys(_tags(closure, name, bool(signing and signing.cosign)))
    with ThreadPoolExecutor(threads, thread_name_prefix="brought") as pool:
        for reference, digest in zip(tags, pool.map(target.resolve, tags), strict=True):
            if digest is not None:
                found.setdefault(str(reference), Brought(str(reference), digest, image=False))
    return list(found.values())


def _tags(closure: Closure, name: Reference, signed: bool) -> Iterator[Reference]:
    """The tags under which attachments of an image may be."""
    for attachment in closure.attachments:
        yield name.repository.tagged(attachment.tag or digest_tag(attachment.subject))
    for part in closure.parts if signed else ():
        yield signature_tag(name, part.digest)
