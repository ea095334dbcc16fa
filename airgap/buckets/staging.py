"""Bundles in buckets, copied to a local directory for as long as a command reads them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from airgap import fsio
from airgap.buckets.bucket import Bucket, Object
from airgap.buckets.place import BucketPlace, place_of
from airgap.bundle import presence
from airgap.errors import AirgapError, Damaged, UsageError
from airgap.format import names
from airgap.limits import MAX_CATALOG, MAX_FOLDER
from airgap.progress import Progress
from airgap.text import listing, printable

#: Files of a bundle that are no volumes: none of them has more bytes.
_MOST_SMALL = MAX_CATALOG
_SMALL = frozenset({names.CATALOG, names.SUMS, names.CHECK, names.CUSTODY, names.SUPPLEMENT, names.TRUSTED_ROOT, *names.SCRIPTS})


@contextlib.contextmanager
def staged(paths: Sequence[Path], scratch: Path, progress: Progress, *, whole: bool = True) -> Iterator[list[Path]]:
    """The same paths with a local copy in place of each ``s3://BUCKET/PREFIX``; the copies are gone when the block ends.

    Of a bucket only files of bundles are taken, in the place itself or one level below. Nothing of what they say is believed here.

    Args:
        paths: arguments of a command.
        scratch: a directory with room for the bundles.
        progress: told about every byte.
        whole: copy volumes and parity files, too; else there are files of their size without content, for who reads none of them.

    Raises:
        UsageError: there is no finished bundle in a place, no such bucket, or the extra is not installed.
        RegistryError: a bucket does not answer, or denies access.
        Damaged: there are too many objects, or too large ones.
        MediaError: there is no room for them.
    """
    places = {path: place for path in paths if (place := place_of(path)) is not None}
    if not places:
        yield list(paths)
        return
    with fsio.disk_errors("cannot create a directory", scratch):
        directory = fsio.TemporaryDirectory(scratch / "bucket")
    with directory as root:
        local: dict[Path, Path] = {}
        for number, (path, place) in enumerate(places.items(), 1):
            local[path] = root / str(number)
            _copy(place, local[path], progress, whole=whole)
        with presence.attending(), _named(local, places):
            yield [local.get(path, path) for path in paths]


@contextlib.contextmanager
def _named(local: Mapping[Path, Path], places: Mapping[Path, BucketPlace]) -> Iterator[None]:
    """What fails in the block is told by the names that a person knows."""
    try:
        yield
    except AirgapError as error:
        for path, copy in local.items():
            for fact in ("where", "expected", "got", "hint"):
                setattr(error, fact, getattr(error, fact).replace(str(copy), str(places[path])))
        raise


def objects_of(bucket: Bucket, place: BucketPlace, passed_over: list[AirgapError] | None = None) -> list[Object]:
    """The files of bundles in a place or one level below it.

    Args:
        passed_over: takes the errors of objects that are too large, which are left out then.

    Raises:
        Damaged: one is too large, and nobody takes that.
        UsageError, RegistryError: as :meth:`Bucket.list`.
    """
    found = []
    for one in bucket.list(place, MAX_FOLDER):
        folder, _, name = one.name.rpartition("/")
        large = names.is_volume(name) or names.is_parity(name) or names.is_resend(name)
        if "/" in folder or folder.startswith(".") or not (large or name in _SMALL or names.is_signature(name)):
            continue
        if printable(folder) != folder or len(os.fsencode(folder)) > 255:  # it becomes the name of a directory
            continue
        if not large and one.size > _MOST_SMALL:
            error = Damaged("an object is too large", where=str(place.below(one.name)), expected=f"at most {_MOST_SMALL} bytes")
            if passed_over is None:
                raise error
            passed_over.append(error)
            continue
        found.append(one)
    return found


def _copy(place: BucketPlace, directory: Path, progress: Progress, *, whole: bool) -> None:
    bucket = Bucket(place)
    found = objects_of(bucket, place)
    finished = {folder for folder, name in (_parts(one.name) for one in found) if name in (names.CATALOG, names.SUPPLEMENT)}
    if not finished:
        hint = "look at the bucket and the prefix"
        begun = sorted({_parts(one.name)[0] for one in found})
        raise UsageError(
            "no finished bundle here",
            where=str(place),
            expected=f"{names.CATALOG} in it or one level below",
            got=f"only volumes, in {listing([str(place.below(name)) for name in begun], 3)}" if begun else "",
            hint="the last object of an upload is the catalog: run the export again" if begun else hint,
        )
    wanted = [one for one in found if whole or not is_large(one)]
    needed = sum(one.size for one in wanted)
    fsio.make_directory(directory, fsio.PRIVATE)
    hint = "free some space, or name another directory with --scratch (import) or TMPDIR"
    fsio.require_free(directory, needed, "there is no room for a copy of the bundle", hint)
    progress.stage("copying from the bucket", needed, len(wanted), "file")
    for one in found:
        folder, name = _parts(one.name)
        target = directory / folder / name
        fsio.make_directory(target.parent, fsio.PRIVATE)
        progress.at(one.name)
        if one in wanted:
            bucket.fetch(place, one, target, progress.advance)
            progress.advance(0, 1)
        else:
            with fsio.new_file(target, durable=False) as fd:
                os.truncate(fd, one.size)


def _parts(name: str) -> tuple[str, str]:
    folder, _, last = name.rpartition("/")
    return folder, last


def is_large(one: Object) -> bool:
    """Whether it is a volume, a parity file, or blocks of a supplement."""
    name = _parts(one.name)[1]
    return names.is_volume(name) or names.is_parity(name) or names.is_resend(name)
