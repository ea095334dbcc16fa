"""Judge every instance of every image by the operator's policy, with the signatures at the source, before any layer is fetched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.image import Image
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Repository
from airgap.oci.stores import Source
from airgap.oci.verify import VerifiedReader, read_all
from airgap.planning.lock import Lock
from airgap.progress import Progress
from airgap.trust.judge.images import ImageJudge
from airgap.trust.judge.judging import Case, Instances, Judgement, gather, instances_of, judge_instance, require_all
from airgap.trust.judge.terms import ImageTerms
from airgap.work import Pool

#: So many instances a thread are looked at before the next ones are fetched: their signatures are in memory until then.
_AHEAD = 4


def judge_images(lock: Lock, source: Source, terms: ImageTerms, progress: Progress, threads: int = 4) -> list[Judgement]:
    """Judge everything that would be carried; all of it must be accepted.

    Args:
        lock: the resolved list.
        source: where signatures are read.
        terms: what the operator requires.
        progress: told about every step.
        threads: instances at a time whose signatures are fetched.

    Raises:
        Refused: one or more instances are not accepted; all are named.
        RegistryError, Damaged: an existing signature cannot be read.
    """
    progress.stage("judging", 0, len(lock.images))
    asked = ((case, instance) for case in _cases(lock, source, progress) for instance in case.instances)
    found: list[Judgement] = []
    with (
        Pool(threads, "judge") as pool,
        ImageJudge.of(terms) as judge,
    ):
        while part := list(islice(asked, threads * _AHEAD)):
            evidence = pool.map(lambda one: gather(one[0], one[1].digest, attested=judge.demands_any(one[0].image.reference)), part)
            found += (judge_instance(*one, signatures, judge) for one, signatures in zip(part, evidence, strict=True))
    require_all(found)
    return found


def _cases(lock: Lock, source: Source, progress: Progress) -> Iterator[Case]:
    for image in lock.images:
        progress.at(str(image.reference))
        yield Case(image, instances(lock, image), _AtSource(lock, image, source))
        progress.advance(0, 1)


def instances(lock: Lock, image: Image) -> Instances:
    """The manifests of an image to judge, each with the platform that the first index to list it states."""
    platforms: dict[Digest, Descriptor] = {}
    parts = []
    for node in lock.walk(replace(image, attachments=())):
        for child in node.children:
            platforms.setdefault(child.digest, child)
        parts.append(platforms.get(node.descriptor.digest, node.descriptor))
    return instances_of(image.root, parts)


class _AtSource:
    """One image where the export reads it from, as a ``Content``."""

    def __init__(self, lock: Lock, image: Image, source: Source) -> None:
        self._lock = lock
        self._image = image
        self._source = source
        self._here = lock.contents
        self._places: dict[Digest, Repository] = {}
        for node in lock.walk(image):
            for descriptor in (node.descriptor, *node.blobs):
                self._places.setdefault(descriptor.digest, node.repository or image.reference.repository)

    def manifest(self, digest: Digest) -> Manifest:
        made = self._here.get(digest)
        if made is not None:
            kind = self._lock.manifests[digest].descriptor.media_type
            return Manifest.parse(made, kind, f"{self._image.reference}: {digest}", digest.algorithm)
        return self._source.manifest(self._places[digest], digest)

    def blob(self, descriptor: Descriptor) -> bytes | None:
        if (made := self._here.get(descriptor.digest)) is not None:
            return made
        if descriptor.digest in self._image.foreign:
            return None
        where = f"{self._image.reference}: {descriptor.digest}"
        reader = self._source.open(self._places[descriptor.digest], descriptor)
        return read_all(VerifiedReader(reader, descriptor, where), descriptor.size, where)
