"""The one door into a bundle. What is behind it is known by rungs, each of which only this module makes:

- :class:`Found`: files on media. Nothing is parsed, every read is capped.
- :class:`Signed`: the signatures over the catalog's raw bytes satisfy the policy. Only then is it parsed and, if encrypted, opened;
  the policy's scope for its stream decides.
- :class:`Admitted`: it may enter now (gate.py): time, and for an import serial and predecessor.
- :class:`Whole`: companion files, every volume with its exact size, every byte between blobs, and every manifest of every image.
- :class:`Judged`: the policy accepts every instance of every image.

A flow asks for the rung that it needs as the type of an argument, so it cannot be given less. docs/policy.md ("Every way into a
bundle") lists the ways in, with the rung at which each stops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self, TypeVar

from airgap.admission import gate
from airgap.admission.closure import Closure, check_extraneous, walk_all
from airgap.admission.judge import judge_images
from airgap.admission.terms import Terms
from airgap.bundle import companions
from airgap.bundle.media import Media
from airgap.bundle.store import BundleStore, Kept
from airgap.bundle.volumes import Volumes
from airgap.cipher.sites import SiteSecret
from airgap.errors import Damaged, Refused
from airgap.format import frame, outer, sealed
from airgap.format.catalog import Catalog
from airgap.format.frame import Extent
from airgap.format.outline import Outline
from airgap.oci.digest import Digest
from airgap.oci.image import Image
from airgap.state import Known
from airgap.text import printable
from airgap.trust.judge.bundles import Verdict, check_catalog_signatures, judge_stream
from airgap.trust.judge.judging import Judgement

_DOOR = object()


@dataclass(frozen=True)
class Found:
    """The media of one bundle, of which nothing is believed yet."""

    media: Media
    digest: Digest  # of the catalog
    _made_by: object = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        if self._made_by is not _DOOR:
            raise TypeError(f"only the door makes {type(self).__name__}")

    @classmethod
    def at(cls, paths: Sequence[Path], rebuilt: Sequence[Path] = ()) -> Self:
        """Find a bundle.

        Args:
            paths: bundle directories or mount points of its media.
            rebuilt: those of them that are no media: airgap has just made what is in them.

        Raises:
            UsageError, Damaged: as ``Media.find``.
        """
        media = replace(Media.find(paths), rebuilt=tuple(rebuilt))
        return cls(media, Digest.of(media.catalog_raw), _DOOR)

    def vouched(self, terms: Terms) -> Verdict:
        """Who vouches for it; an encrypted bundle stays closed.

        Raises:
            Refused: no, wrong or too few signatures, or the policy rejects the stream.
            Damaged: signed, but not a catalog.
        """
        return self._judge(terms)[1]

    def outline(self, terms: Terms) -> Outline:
        """What its catalog shows without being decrypted, once its signatures are enough. Raises as :meth:`vouched`."""
        return self._judge(terms)[0]

    def signed(self, terms: Terms) -> Signed:
        """Check the signatures, and open the catalog.

        Raises:
            Refused, Damaged: as :meth:`vouched`; or it is encrypted to other keys.
        """
        outside, verdict = self._judge(terms)
        return Signed(**vars(self), terms=terms, catalog=sealed.unseal(outside, terms.secrets), verdict=verdict)

    def _judge(self, terms: Terms) -> tuple[Catalog | outer.Sealed, Verdict]:
        raw = self.media.catalog_raw
        found = check_catalog_signatures(
            raw, self.media.signatures, terms.policy, terms.read_key, terms.revoked, terms.trusted_root
        )
        outside = outer.read(raw)
        return outside, judge_stream(found, terms.policy, outside.stream)


@dataclass(frozen=True)
class Signed(Found):
    """A bundle that somebody vouches for whom the site trusts: its catalog, and why it is trusted."""

    terms: Terms
    catalog: Catalog
    verdict: Verdict

    @property
    def expired(self) -> bool:
        """Whether it has expired, by the later of this machine's clock and the latest time that the site has seen."""
        return gate.expired_at(self.catalog, self.terms)

    def admitted(self, known: Known | None = None) -> Admitted:
        """Ask whether it may enter now.

        Args:
            known: what the site remembers of its stream; None where only time counts, because the site's memory does not go on.

        Raises:
            Refused: the gate says no.
        """
        if known is None:
            remarks = gate.check_times(self.catalog, None, self.terms)
        else:
            remarks = gate.admit(self.catalog, self.digest, known, self.terms)
        return Admitted(**vars(self), remarks=tuple(remarks))


@dataclass(frozen=True)
class Admitted(Signed):
    """A bundle that may enter now; the remarks say what the operator let pass, one sentence each."""

    remarks: tuple[str, ...]

    def whole(self) -> Whole:
        """Check that everything belongs to the bundle and all of it is there; blobs are checked as they are read.

        With ``terms.partial`` volumes may be missing, as long as one image is complete.

        Raises:
            Damaged: incomplete, changed, or something there that does not belong to it.
        """
        _check_companions(self.media, self.catalog)
        volumes = self.media.locate(self.catalog, self.terms.partial)
        _check_frame(self.catalog, volumes)
        store = BundleStore(self.catalog, volumes, kept=Kept())
        there = set(volumes)
        complete = [image for image in self.catalog.images if there.issuperset(image.volumes)]
        if not complete:
            raise Damaged(
                "no image is complete",
                where=self.catalog.name,
                expected="the volumes of at least one image",
                hint="add more of the bundle's media",
            )
        closures = walk_all(store, complete)
        if len(complete) == len(self.catalog.images):
            check_extraneous(store, closures)
        return Whole(**vars(self), store=store, volumes=volumes, closures=tuple(closures))


@dataclass(frozen=True)
class Whole(Admitted):
    """A bundle of which everything is there: its content, and what each of its complete images consists of."""

    store: BundleStore
    volumes: Volumes
    closures: tuple[Closure, ...]

    @property
    def complete(self) -> list[Image]:
        """The images of which all volumes are there."""
        return [closure.image for closure in self.closures]

    def judged(self) -> Judged:
        """Judge every instance of the complete images, of ``terms.platforms`` where these are given.

        Raises:
            Refused: an instance is not accepted, or a platform is not there; all are named.
        """
        wanted = walk_all(self.store, self.complete, self.terms.platforms) if self.terms.platforms else self.closures
        judgements = judge_images(self.store, wanted, self.terms)
        return Judged(**{**vars(self), "closures": tuple(wanted)}, judgements=tuple(judgements))


@dataclass(frozen=True)
class Judged(Whole):
    """A bundle whose images the policy accepts, each with the verdict; closures are those of the platforms that are wanted."""

    judgements: tuple[Judgement, ...]


@dataclass(frozen=True)
class UnverifiedBundle:
    """A bundle whose signature was not verified, taken deliberately: no rung, so no flow of a site accepts it."""

    digest: Digest
    catalog: Catalog
    volumes: Volumes

    @classmethod
    def at(cls, paths: Sequence[Path], secrets: Sequence[SiteSecret] = ()) -> Self:
        """Find a bundle of which every volume must be there; ``secrets`` open an encrypted one.

        Raises:
            UsageError, Refused, Damaged: there is no bundle, it is encrypted to other keys, or it is incomplete.
        """
        media = Media.find(paths)
        catalog = sealed.unseal(outer.Unverified.read(media.catalog_raw).claims, secrets)
        return cls(Digest.of(media.catalog_raw), catalog, media.locate(catalog))

    @property
    def store(self) -> BundleStore:
        """Its content."""
        return BundleStore(self.catalog, self.volumes)

    @property
    def expired(self) -> bool:
        """Whether it has expired, by this machine's clock."""
        return gate.expired_at(self.catalog, None)


def believed_by(terms: Terms) -> Callable[[Sequence[Path]], Outline | None]:
    """How a site reads catalogs to sort several bundles apart: one whose signatures are not enough is not even parsed."""

    def read(directories: Sequence[Path]) -> Outline | None:
        try:
            return Found.at(directories).outline(terms)
        except (Refused, Damaged):  # whoever opens it next says why
            return None

    return read


Rung = TypeVar("Rung", bound=Signed)


def open_bundle(paths: Sequence[Path], terms: Terms, upto: type[Rung]) -> Rung:
    """Open a bundle as far as a flow needs it, where no memory of earlier bundles counts.

    Args:
        paths: bundle directories or mount points of its media.
        terms: the site's terms.
        upto: the rung.

    Raises:
        UsageError, Refused, Damaged: what the rungs on the way raise.
    """
    rung: Any = Found.at(paths).signed(terms)
    for climb in (Signed.admitted, Admitted.whole, Whole.judged):
        if isinstance(rung, upto):
            break
        rung = climb(rung)
    assert isinstance(rung, upto)  # noqa: S101 - for the type checker
    if isinstance(rung, Whole):
        rung.store.kept = None  # whoever opens it this way may go on for days, and the media change
    return rung


def _check_companions(media: Media, catalog: Catalog) -> None:
    """The companion files follow from the catalog: a change in one of them is damage, or an attempt to mislead people."""
    for directory in media.directories:
        for path, why in companions.contradicting(directory, catalog, media.catalog_raw).items():
            raise Damaged(
                why,
                where=printable(str(path)),
                hint="copy the file again from the original; it must not be edited",
            )


def _check_frame(catalog: Catalog, volumes: Volumes) -> None:
    """Walk the frame once: the catalog must agree with it, and so must every byte between the blobs.

    A catalog that contradicts itself is told first: then nothing can be said about bytes.
    """
    wrong: list[Extent | Damaged] = []

    def compare(step: frame.Step) -> None:
        at = step.extent
        if step.content is None or wrong or at.volume not in volumes or at.offset + at.length > catalog.volumes[at.volume - 1].size:
            return
        try:
            if peek.read(at) != step.content:
                wrong.append(at)
        except Damaged as error:
            wrong.append(error)

    with volumes.peek() as peek:
        catalog.check_frame(compare)
    for one in wrong:
        raise one if isinstance(one, Damaged) else _frame_damage(volumes, one)


def _frame_damage(volumes: Volumes, extent: Extent) -> Damaged:
    return Damaged(
        "a volume is damaged between its blobs",
        where=f"{printable(volumes.place([extent]))}; bytes {extent.offset} to {extent.offset + extent.length - 1} of the volume",
        expected="the tar headers, index and padding that follow from the signed catalog",
        hint="copy this volume again from the original",
    )
