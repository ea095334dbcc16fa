"""Everything that the report of a bundle shows, collected from the media. Nothing is judged here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from airgap.bundle.store import BundleStore
from airgap.documents import difference
from airgap.documents.custody import Custody
from airgap.documents.difference import Compared, Difference
from airgap.errors import AirgapError, MediaError
from airgap.format.catalog import Catalog
from airgap.format.outer import Sealed
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.image import LOOKASIDE, REFERRER, TAG_KINDS, Image, counts
from airgap.oci.verify import VerifiedReader, read_all
from airgap.progress import Progress
from airgap.report.sbom import MAX_SBOM, Sbom, is_likely, summarize
from airgap.report.weight import Weight, Weights, weigh

#: SBOMs of one bundle that are read: their number and their bytes together.
MAX_SBOMS = 2000
MAX_SBOM_BYTES = 512 * 1024 * 1024

#: What a signature file is, by the end of its name; else it is a Sigstore bundle.
_SIGNATURE_FILES = {"sig": "raw (cosign, openssl)", "asc": "OpenPGP"}
NEW, CHANGED, SAME = "new", "changed", "unchanged"
#: Artifact types of referrers that people have words for.
_WORDS = (
    ("application/vnd.dev.sigstore.bundle", "sigstore bundle"),
    ("application/vnd.dev.cosign.artifact.sig", "cosign signature"),
    ("application/vnd.cncf.notary.signature", "Notary signature"),
    ("application/spdx+json", "SBOM"),
    ("application/vnd.cyclonedx", "SBOM"),
    ("application/sarif", "scan result"),
    ("application/vnd.airgap.vulnerabilities", "scan result"),
)
_KINDS = {
    TAG_KINDS[".sig"]: "cosign signature",
    TAG_KINDS[".att"]: "cosign attestation",
    TAG_KINDS[".sbom"]: "SBOM",
    LOOKASIDE: "GPG signature",
}


@dataclass(frozen=True)
class ShownSignature:
    """One signature file of the catalog: its name, and whose it is: a key id as the name says it. Nothing is checked."""

    name: str
    kind: str
    key: str


@dataclass(frozen=True)
class Trust:
    """Whether signatures were checked, and with which outcome.

    Attributes:
        policy: the policy that was asked; empty: nothing was checked.
        signers: who signed, by that policy.
        reasons: why it is enough.
    """

    policy: str = ""
    signers: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Before:
    """What the bundle is compared with.

    Attributes:
        content: an earlier bundle, catalog or receipt, or what a site remembers; None: nothing is known.
        label: what it is, for people; where nothing is known, what is missing.
        is_first: there is nothing to compare it with, because it is the first bundle of its stream.
        only_names: it knows what names stood for, not what hung off them.
    """

    content: Compared | None
    label: str
    only_names: bool = False
    is_first: bool = False


@dataclass(frozen=True)
class ShownImage:
    """One image of the list.

    Attributes:
        weight: what it weighs.
        status: ``new``, ``changed`` or ``unchanged``, or empty where nothing is known about before.
        hanging: what hangs off it, in people's words, and how often.
        sboms: the SBOMs that could be read.
    """

    reference: str
    digest: Digest
    platforms: tuple[str, ...]
    volumes: tuple[int, ...]
    weight: Weight
    status: str
    hanging: Mapping[str, int] = field(default_factory=dict)
    sboms: tuple[Sbom, ...] = ()


@dataclass(frozen=True)
class Report:
    """A bundle as the page shows it.

    Attributes:
        catalog, digest: the catalog, and the SHA-256 of its exact bytes.
        made: when the report was made, RFC 3339.
        images: in the order of the list.
        weights: sharing.
        differences: from what was before, or None.
        here: the names of volumes and parity files that were there when the report was made.
        custody: who carried it, by the logs on the media.
        remarks: what could not be found out, and why.
    """

    catalog: Catalog | Sealed
    digest: Digest
    made: str
    images: Sequence[ShownImage]
    weights: Weights
    signatures: Sequence[ShownSignature]
    trust: Trust
    before: Before
    differences: Difference | None
    here: frozenset[str]
    remarks: Sequence[str]
    custody: Custody = field(default_factory=Custody)

    @property
    def sboms(self) -> int:
        """How many SBOMs were read."""
        return sum(len(image.sboms) for image in self.images)


def signatures_of(files: Iterable[str]) -> list[ShownSignature]:
    """What the names of signature files say: ``catalog.json.<id>.sig``, ``.asc`` or ``.sigstore.json``; the last may have no id."""
    found = []
    for name in sorted(files):
        key, _, suffix = name.rpartition("catalog.json.")[2].partition(".")
        kind = _SIGNATURE_FILES.get(suffix, "Sigstore bundle")
        found.append(ShownSignature(name, kind, key if suffix in (*_SIGNATURE_FILES, "sigstore.json") else ""))
    return found


def gather(
    catalog: Catalog | Sealed,
    store: BundleStore | None,
    *,
    digest: Digest,
    made: str,
    signatures: Iterable[str],
    trust: Trust,
    before: Before,
    here: Iterable[str],
    remarks: Iterable[str],
    custody: Custody,
    progress: Progress,
) -> Report:
    """Put a report together.

    Args:
        catalog, digest: the catalog, and the SHA-256 of its exact bytes.
        store: its content, of which volumes may be missing; None where it is encrypted.
        made: when, RFC 3339.
        signatures: names of the signature files.
        trust: whether they were checked.
        before: what to compare with.
        here: names of the volumes and parity files that are there.
        remarks: what is to be said besides.
        custody: the logs on the media.
        progress: told about the steps.
    """
    weights, found, images, said = Weights({}, 0, 0, 0), None, tuple[ShownImage, ...](), [*remarks]
    if store is not None:
        weights = weigh(store, progress)
        progress.stage("reading SBOMs", 0, len(store.catalog.images))
        reader = _Sboms(store)
        if before.content is not None:
            found = difference.compare(before.content, difference.of_catalog(store.catalog))
        images = tuple(_shown_images(store.catalog, weights, found, before, reader, progress))
        said += [*_unread(images), *reader.remarks()]
    return Report(
        catalog,
        digest,
        made,
        images,
        weights,
        signatures_of(signatures),
        trust,
        before,
        found,
        frozenset(here),
        tuple(said),
        custody,
    )


def _shown_images(
    catalog: Catalog, weights: Weights, found: Difference | None, before: Before, reader: _Sboms, progress: Progress
) -> Iterator[ShownImage]:
    statuses = _statuses(found, before)
    for image in catalog.images:
        progress.at(str(image.reference))
        progress.advance(0, 1)
        yield ShownImage(
            str(image.reference),
            image.root.digest,
            image.platforms,
            image.volumes,
            weights.images[image.root.digest],
            statuses.get(difference.name_of(image.reference), SAME if found else ""),
            _hanging(image),
            tuple(reader.of_image(image)),
        )


def _statuses(found: Difference | None, before: Before) -> dict[str, str]:
    if found is None:
        return {}
    changed = found.moved if before.only_names else (*found.moved, *found.changed)
    return dict.fromkeys(found.added, NEW) | {change.reference: CHANGED for change in changed}


def _hanging(image: Image) -> dict[str, int]:
    words = [word_of(one.kind, one.descriptor.artifact_type) for one in image.attachments if counts(one.kind)]
    return dict(Counter([*words, *(_KINDS[LOOKASIDE] for _ in image.signatures)]))


def word_of(kind: str, artifact_type: str) -> str:
    """What people call an attachment of this kind and, for referrers, artifact type."""
    return _KINDS.get(kind) or next((word for start, word in _WORDS if artifact_type.startswith(start)), "other referrer")


def _unread(images: Sequence[ShownImage]) -> Iterator[str]:
    missing = [image for image in images if image.weight.unread]
    if missing:
        yield f"The sizes of {len(missing)} of {len(images)} images are unknown here: {missing[0].weight.unread}"


class _Sboms:
    """Reads the SBOMs that hang off images, each document once."""

    def __init__(self, store: BundleStore) -> None:
        self._store = store
        self._known: dict[Digest, Sbom | None] = {}
        self._bytes = 0
        self._left_out = 0
        self._failures: list[str] = []

    def of_image(self, image: Image) -> Iterator[Sbom]:
        """The SBOMs of one image, its platforms' included."""
        seen: set[Digest] = set()
        for layer in self._layers(image):
            if layer.digest not in seen and is_likely(layer):
                seen.add(layer.digest)
                if (found := self._read(layer)) is not None:
                    yield found

    def remarks(self) -> Iterator[str]:
        """What was left out."""
        if self._left_out:
            yield f"{self._left_out} SBOMs were not read because they are too large or too many"
        if self._failures:
            yield f"{len(self._failures)} SBOMs could not be read: {self._failures[0]}"

    def _layers(self, image: Image) -> Iterator[Descriptor]:
        wanted = [one.descriptor for one in image.attachments if one.kind in (REFERRER, *_KINDS)]
        for descriptor in [*wanted, *self._inside(image)]:
            try:
                yield from self._store.find_manifest(descriptor.digest).layers
            except MediaError:  # a disk that fails makes no report with less in it
                raise
            except AirgapError:
                continue  # the weight of the image says so already

    def _inside(self, image: Image) -> list[Descriptor]:
        """BuildKit's attestations are children of the index, of platform unknown/unknown."""
        try:
            children = self._store.find_manifest(image.root.digest).children
        except MediaError:  # a disk that fails makes no report with less in it
            raise
        except AirgapError:
            return []
        return [child for child in children if child.platform is not None and child.platform.os == "unknown"]

    def _read(self, layer: Descriptor) -> Sbom | None:
        if layer.digest not in self._known:
            self._known[layer.digest] = self._fresh(layer)
        return self._known[layer.digest]

    def _fresh(self, layer: Descriptor) -> Sbom | None:
        self._bytes += layer.size
        if layer.size > MAX_SBOM or self._bytes > MAX_SBOM_BYTES or len(self._known) >= MAX_SBOMS:
            self._left_out += 1
            return None
        where = f"SBOM {layer.digest}"
        try:
            reader = VerifiedReader(self._store.open_blob(layer.digest), layer, where)
            return summarize(read_all(reader, layer.size, where))
        except MediaError:  # a disk that fails makes no report with less in it
            raise
        except AirgapError as error:
            self._failures.append(str(error))
            return None
