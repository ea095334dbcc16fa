"""Open a bundle so that everything known about it afterwards is signed and whole.

The order is the security property; each step may only use what the steps before it have proved:

1. find the catalog and the signature files (nothing is parsed, every read is capped)
2. signatures over the catalog's raw bytes
3. strict parsing
4. the policy's scope for the stream; after it time and serial (gate.py)
5. the companion files, every volume present with its exact size
6. every byte between the blobs, by recomputing the tar frame
"""

from __future__ import annotations

from dataclasses import dataclass

from airgap.admission.terms import Terms
from airgap.bundle import companions
from airgap.bundle.media import Media
from airgap.bundle.store import BundleStore
from airgap.bundle.volumes import Volumes
from airgap.errors import Damaged
from airgap.format import frame, outer, sealed
from airgap.format.catalog import Catalog
from airgap.format.frame import Extent
from airgap.oci.digest import Digest
from airgap.text import printable
from airgap.trust.judge.bundles import Verdict, check_catalog_signatures, judge_stream


@dataclass(frozen=True)
class Opened:
    """A verified bundle: its catalog, the catalog's digest, why it was trusted, and its content."""

    catalog: Catalog
    digest: Digest
    verdict: Verdict
    store: BundleStore
    volumes: Volumes


def judge_catalog(media: Media, terms: Terms) -> tuple[Catalog, Verdict]:
    """Steps 2 to 4; of an encrypted bundle the catalog says only what everybody may know.

    Args:
        media: the media found.
        terms: the site's terms.

    Raises:
        Refused: no, wrong or too few signatures, or the policy rejects the stream.
        Damaged: signed, but not a catalog.
    """
    found = check_catalog_signatures(media.catalog_raw, media.signatures, terms.policy, terms.read_key, terms.revoked)
    signed = outer.read(media.catalog_raw)
    return signed, judge_stream(found, terms.policy, signed.stream)


def read_catalog(media: Media, terms: Terms) -> tuple[Catalog, Verdict]:
    """Steps 2 to 4, encrypted bundles opened; the arguments are those of :func:`judge_catalog`.

    Raises:
        Refused: as there, or the bundle is encrypted to other keys.
        Damaged: as there.
    """
    signed, verdict = judge_catalog(media, terms)
    return sealed.unseal(signed, terms.secrets), verdict


def open_content(media: Media, catalog: Catalog, verdict: Verdict, partial: bool = False) -> Opened:
    """Steps 5 and 6.

    Args:
        media: the media found.
        catalog: the verified catalog.
        verdict: why it was trusted.
        partial: go on when volumes are missing; they are then absent from ``volumes``.

    Raises:
        Damaged: incomplete, changed, or something there that does not belong to it.
    """
    _check_companions(media, catalog)
    volumes = media.locate(catalog, partial)
    catalog.check_frame()
    _check_frame_bytes(catalog, volumes)
    return Opened(catalog, Digest.of(media.catalog_raw), verdict, BundleStore(catalog, volumes), volumes)


def _check_companions(media: Media, catalog: Catalog) -> None:
    """The companion files follow from the catalog: a change in one of them is damage, or an attempt to mislead people."""
    for directory in media.directories:
        for path, why in companions.contradicting(directory, catalog, media.catalog_raw).items():
            raise Damaged(
                why,
                where=printable(str(path)),
                hint="copy it again from the original; it must not be edited",
            )


def _check_frame_bytes(catalog: Catalog, volumes: Volumes) -> None:
    with volumes.peek() as peek:
        for step in frame.walk(catalog.members(), catalog.volume_size):
            if step.content is None or step.extent.volume not in volumes:
                continue
            if peek.read(step.extent) != step.content:
                raise _frame_damage(volumes, step.extent)


def _frame_damage(volumes: Volumes, extent: Extent) -> Damaged:
    return Damaged(
        "a volume is damaged between its blobs",
        where=f"{printable(volumes.place([extent]))}; bytes {extent.offset} to {extent.offset + extent.length - 1} of the volume",
        expected="the tar headers, index and padding that the signed catalog implies",
        hint="copy this volume again from the original",
    )
