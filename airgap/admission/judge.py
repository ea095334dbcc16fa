"""Judge every instance of every image by the site's policy, with the signatures in the bundle, before anything is written."""

from __future__ import annotations

from collections.abc import Sequence

from airgap.admission.closure import Closure
from airgap.admission.terms import Terms
from airgap.bundle.store import BundleStore
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Manifest
from airgap.oci.verify import VerifiedReader, read_all
from airgap.trust.judge.images import ImageJudge
from airgap.trust.judge.judging import Case, Judgement, gather, judge_instance, require_all


def judge_images(store: BundleStore, closures: Sequence[Closure], terms: Terms) -> list[Judgement]:
    """Judge everything that would be loaded; all of it must be accepted.

    Args:
        store: the verified bundle.
        closures: the images as they will be loaded.
        terms: the site's terms: its policy (transport ``docker``, scope by source reference) and its other requirements for images.

    Raises:
        Refused: one or more instances are not accepted; all are named.
    """
    found = verdicts(store, closures, terms)
    require_all(found)
    return found


def verdicts(store: BundleStore, closures: Sequence[Closure], terms: Terms) -> list[Judgement]:
    """The verdict on every instance, accepted or not; the arguments are those of :func:`judge_images`."""
    content = _Carried(store)
    cases = [Case(closure.image, closure.instances, content) for closure in closures]
    with ImageJudge.of(terms) as judge:
        return [
            judge_instance(case, one, gather(case, one.digest, attested=judge.demands_any(case.image.reference)), judge)
            for case in cases
            for one in case.instances
        ]


class _Carried:
    """The content of a bundle as a ``Content``."""

    def __init__(self, store: BundleStore) -> None:
        self._store = store

    def manifest(self, digest: Digest) -> Manifest:
        return self._store.find_manifest(digest)

    def blob(self, descriptor: Descriptor) -> bytes | None:
        if self._store.find_blob(descriptor.digest) is None:  # it was left at its source, or only the target has it
            return None
        reader = VerifiedReader(self._store.open_blob(descriptor.digest), descriptor, self._store.place(descriptor.digest))
        return read_all(reader, descriptor.size, str(descriptor.digest))
