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

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from airgap import fsio
from airgap.bundle import documents, frame, names
from airgap.bundle.catalog import Catalog
from airgap.bundle.media import Media
from airgap.bundle.store import BundleStore
from airgap.errors import Damaged
from airgap.oci.digest import Digest
from airgap.text import printable
from airgap.trust.bundle import Verdict, check_catalog_signatures, judge_stream
from airgap.trust.policy import Policy
from airgap.trust.revoked import Revoked

_NONE = Revoked()
_COMPANION_LIMIT = 64 * 1024 * 1024


@dataclass(frozen=True)
class Opened:
    """A verified bundle: its catalog, the catalog's digest, why it was trusted, and its content."""

    catalog: Catalog
    digest: Digest
    verdict: Verdict
    store: BundleStore
    volumes: Mapping[int, Path]


def read_catalog(
    media: Media, policy: Policy, read_key: Callable[[str], bytes], revoked: Revoked = _NONE
) -> tuple[Catalog, Verdict]:
    """Steps 2 to 4.

    Args:
        media: the media found.
        policy: the site's policy.
        read_key: reads a key file that the policy names.
        revoked: keys that the site does not believe any more, whatever the policy says.

    Raises:
        Refused: no, wrong or too few signatures, or the policy rejects the stream.
        Damaged: signed, but not a catalog.
    """
    found = check_catalog_signatures(media.catalog_raw, media.signatures, policy, read_key, revoked)
    catalog = Catalog.from_bytes(media.catalog_raw)
    return catalog, judge_stream(found, policy, catalog.stream)


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
    expected = {
        names.SUMS: documents.sha256sums(catalog, media.catalog_raw),
        names.CHECK: documents.check_txt(catalog, media.catalog_raw),
    }
    for directory in media.directories:
        for name, content in expected.items():
            path = directory / name
            if (path.exists() or path.is_symlink()) and fsio.read_capped(path, _COMPANION_LIMIT) != content:
                raise Damaged(
                    f"{name} does not agree with the signed catalog",
                    where=printable(str(path)),
                    hint="copy it again from the original; it must not be edited",
                )


def _check_frame_bytes(catalog: Catalog, volumes: Mapping[int, Path]) -> None:
    fd, current = -1, 0
    try:
        for step in frame.walk(catalog.members(), catalog.volume_size):
            number = step.extent.volume
            if step.content is None or number not in volumes:
                continue
            if number != current:
                if fd >= 0:
                    os.close(fd)
                fd, current = fsio.open_regular(volumes[number]), number
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
            _compare(fd, step.extent.offset, step.content, volumes[number])
    finally:
        if fd >= 0:
            os.close(fd)


def _compare(fd: int, offset: int, expected: bytes, path: Path) -> None:
    buffer = bytearray(len(expected))
    with fsio.disk_errors("cannot read", path):
        count = fsio.read_at(fd, memoryview(buffer), offset)
    if count != len(expected) or buffer != expected:
        raise Damaged(
            "a volume is damaged between its blobs",
            where=f"{printable(str(path))}, bytes {offset} to {offset + len(expected) - 1}",
            expected="the tar headers, index and padding that the signed catalog implies",
            hint="copy this volume again from the original",
        )
