"""Put a finished bundle into a bucket: its catalog last, so that what is not whole is not a bundle."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from airgap import fsio
from airgap.buckets.bucket import Bucket
from airgap.buckets.place import BucketPlace
from airgap.errors import UsageError
from airgap.format import names
from airgap.format.outer import Unverified
from airgap.limits import MAX_CATALOG, MAX_FOLDER
from airgap.progress import Progress


def taken_serials(place: BucketPlace, stream: str) -> frozenset[int]:
    """The serials of a stream's bundles in a place, finished or not. Raises as :meth:`Bucket.list`."""
    pattern = re.compile(re.escape(stream) + r"-(\d{4,15})/.+", re.DOTALL)
    found = (pattern.fullmatch(one.name) for one in Bucket(place).list(place, MAX_FOLDER))
    return frozenset(int(match[1]) for match in found if match)


def taken(there: BucketPlace) -> UsageError:
    """The error for a bundle whose name another one has there."""
    return UsageError(
        "a bundle with this name and different content already exists",
        where=str(there),
        hint="choose another --serial or --out; a finished bundle is never overwritten",
    )


def ship(bundle: Path, place: BucketPlace, progress: Progress) -> BucketPlace:
    """Copy a finished bundle into a place; what an earlier run has copied is not copied again.

    Args:
        bundle: its directory.
        place: its directory there is made in it.
        progress: told about every byte.

    Returns:
        The bundle's place.

    Raises:
        UsageError: another bundle has that name there.
        RegistryError: the bucket does not answer, or denies access.
        MediaError, Damaged: the bundle cannot be read.
    """
    bucket, there = Bucket(place), place.below(bundle.name)
    raw = fsio.read_capped(bundle / names.CATALOG, MAX_CATALOG)
    kept = bucket.read(there, names.CATALOG, MAX_CATALOG)
    if kept is not None and kept != raw:
        raise taken(there)
    digests = {file.name: file.sha256 for file in Unverified.read(raw).claims.files}
    with fsio.disk_errors("cannot read the bundle", bundle):
        files = {path.name: path.lstat().st_size for path in sorted(bundle.iterdir()) if path.is_file()}
    progress.stage("copying into the bucket", sum(files.values()), len(files), "file")
    for name in _in_order(files):
        progress.at(name)
        sha256 = digests.get(name, "")
        if sha256 and bucket.holds(there, name, files[name], sha256):
            progress.advance(files[name])
        else:
            bucket.put(bundle / name, there, name, progress.advance, sha256)
        progress.advance(0, 1)
    return there


def _in_order(files: Mapping[str, int]) -> list[str]:
    """Large ones first, the catalog as the very last."""
    return sorted(files, key=lambda name: (name == names.CATALOG, not (names.is_volume(name) or names.is_parity(name)), name))
