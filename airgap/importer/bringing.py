"""What an import has brought, for the state: the names by which images and attachments can be found and removed again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from airgap.admission.closure import Closure
from airgap.importer.signing import SiteSigning, signature_tag
from airgap.naming.mapping import tagged_name
from airgap.oci.digest import Digest
from airgap.oci.image import REFERRER, digest_tag
from airgap.oci.reference import Reference
from airgap.oci.stores import Target, width
from airgap.state import Brought
from airgap.trust.judge.judging import Judgement
from airgap.work import Pool


def brought(
    closures: Sequence[Closure],
    names: Mapping[Reference, Reference],
    judgements: Sequence[Judgement],
    target: Target,
    signing: SiteSigning | None,
    threads: int,
    attached: Mapping[Reference, Digest],
) -> list[Brought]:
    """The images and attachments that this bundle has put at the target.

    Tagged attachments are looked up: a bundle's tags are merged with existing ones, and not every target has such tags.

    Args:
        closures: the images that were loaded.
        names: the destination of every image, by source reference.
        judgements: the verdicts on the images.
        target: where they were loaded, with every name visible.
        signing: the signatures that the site has added.
        threads: requests at a time.
        attached: the tags of attachments that have just been set.
    """
    placed = [(closure, names[closure.image.reference]) for closure in closures]
    images: dict[str, Brought] = {}
    forms: dict[Reference, set[str]] = {}
    for one in judgements:
        forms.setdefault(one.reference, set()).update(one.verdict.forms)
    for closure, name in placed:
        source, used = str(closure.image.reference.repository), tuple(sorted(forms.get(closure.image.reference, ())))
        images[tagged_name(name)] = Brought(tagged_name(name), closure.root.digest, image=True, source=source, forms=used)
    roots: dict[Reference, dict[Digest, None]] = {}  # the images of every attachment
    for closure, name in placed:
        referrers = (name.at(one.descriptor.digest) for one in closure.attachments if one.kind == REFERRER)
        for reference in (*referrers, *_tags(closure, name, bool(signing and signing.cosign))):
            roots.setdefault(reference, {})[closure.root.digest] = None
    with Pool(width(target, threads), "brought") as pool:
        found = pool.map(lambda one: one.digest or attached.get(one) or target.resolve(one), roots)
        digests = dict(zip(roots, found, strict=True))
    attachments = {
        str(reference): Brought(str(reference), digest, image=False, roots=tuple(roots[reference]))
        for reference, digest in digests.items()
        if digest is not None
    }
    return list({**attachments, **images}.values())


def _tags(closure: Closure, name: Reference, signed: bool) -> Iterator[Reference]:
    """The tags under which attachments of an image may be."""
    for attachment in closure.attachments:
        yield name.repository.tagged(attachment.tag or digest_tag(attachment.subject))
    for part in closure.parts if signed else ():
        yield signature_tag(name, part.digest)
