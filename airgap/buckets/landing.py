"""A place in a bucket where bundles arrive, kept as a directory of this machine for as long as the site wants their volumes.

Objects appear whole, so nothing has to settle. Anybody may write there: what is small is copied, capped; volumes are copied only of
a bundle that the caller wants.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from airgap import fsio
from airgap.buckets.bucket import Bucket, Object
from airgap.buckets.place import BucketPlace
from airgap.buckets.staging import is_large, objects_of
from airgap.errors import AirgapError, Damaged, RegistryError, UsageError, disk_error
from airgap.format import names
from airgap.limits import MAX_CATALOG
from airgap.oci import strictjson
from airgap.oci.digest import Digest
from airgap.progress import Progress

#: Bundles that are looked at, and bytes of the note about what was copied.
_MOST_FOLDERS = 500
_MOST_NOTE = 16 * 1024 * 1024


class Landing:
    """The copy of a place.

    Args:
        place: the place in the bucket.
        directory: of this copy alone; what is in it survives a restart.

    Attributes:
        root: the directory that has the copies of the bundles.
        problems: what could not be copied at the latest :meth:`refresh`; the rest was.
    """

    def __init__(self, place: BucketPlace, directory: Path) -> None:
        self.place = place
        self.root = directory / "bundles"
        self._note = directory / "objects.json"
        self._bucket: Bucket | None = None
        self.problems: list[AirgapError] = []
        self._copied = self._read_note()

    def refresh(self, wanted: Callable[[Path, Digest], bool], progress: Progress) -> None:
        """Make the copy what the bucket has.

        Args:
            wanted: whether volumes are wanted of the bundle in a directory, with the digest of its catalog.
            progress: told about every byte.

        Raises:
            UsageError, RegistryError: the bucket is not there, does not answer, or denies access.
            MediaError: the disk fails.
        """
        self.problems, before = [], dict(self._copied)
        self._bucket = self._bucket or Bucket(self.place)
        folders: dict[str, list[Object]] = {}
        for one in objects_of(self._bucket, self.place, self.problems):
            folders.setdefault(one.name.rpartition("/")[0], []).append(one)
        begun = {folder for folder, found in folders.items() if not any(one.name.endswith(names.CATALOG) for one in found)}
        finished = sorted(folders.keys() - begun)
        if len(finished) > _MOST_FOLDERS:
            told, hint = f"at most {_MOST_FOLDERS}", "remove old ones"
            self.problems.append(Damaged("too many bundles in one place", where=str(self.place), expected=told, hint=hint))
        fsio.make_directory(self.root, fsio.PRIVATE)
        kept: set[str] = set()
        for folder in finished[:_MOST_FOLDERS]:
            try:
                kept |= self._folder(folder, folders[folder], wanted, progress)
            except (RegistryError, UsageError):
                raise
            except AirgapError as error:
                self.problems.append(error)
                kept |= {one.name for one in folders[folder]}
            except OSError as error:
                self.problems.append(disk_error(error, "cannot copy from the bucket", str(self.place.below(folder))))
        self._drop(kept)
        if self._copied != before:
            fsio.write_durable(self._note, strictjson.canonical(dict(sorted(self._copied.items()))), 0o600)

    def _folder(self, folder: str, found: list[Object], wanted: Callable[[Path, Digest], bool], progress: Progress) -> set[str]:
        """Copy what is new of a bundle; the names of what stays here."""
        small = [one for one in found if not is_large(one)]
        self._fetch(small, progress)
        directory = self.root / folder
        catalog = Digest.of(fsio.read_capped(directory / names.CATALOG, MAX_CATALOG))
        if not wanted(directory, catalog):
            return {one.name for one in small}
        self._fetch([one for one in found if is_large(one)], progress)
        return {one.name for one in found}

    def _fetch(self, objects: list[Object], progress: Progress) -> None:
        new = [one for one in objects if self._copied.get(one.name) != one.stamp or not fsio.is_there(self.root / one.name)]
        if not new or self._bucket is None:
            return
        size = sum(one.size for one in new)
        hint = "free some space, or name another directory with --scratch"
        fsio.require_free(self.root, size, "there is no room for a copy of the bundle", hint)
        progress.stage("copying from the bucket", size, len(new), "file")
        for one in new:
            path = self.root / one.name
            fsio.make_directory(path.parent, fsio.PRIVATE)
            progress.at(one.name)
            self._copied.pop(one.name, None)
            self._bucket.fetch(self.place, one, path, progress.advance)
            self._copied[one.name] = one.stamp
            progress.advance(0, 1)

    def _drop(self, kept: set[str]) -> None:
        """Remove what the bucket has no more, or nobody wants."""
        self._copied = {name: stamp for name, stamp in self._copied.items() if name in kept}
        with fsio.disk_errors("cannot remove the copy of a bundle", self.root):
            for directory, folders, files in os.walk(self.root, topdown=False):
                here = Path(directory)
                for name in files:
                    if (here / name).relative_to(self.root).as_posix() not in kept:
                        (here / name).unlink()
                for name in folders:
                    fsio.remove_if_empty(here / name)

    def _read_note(self) -> dict[str, str]:
        """What an earlier run has copied. A note that is lost or damaged costs copying again."""
        try:
            raw = fsio.read_if_there(self._note, _MOST_NOTE)
            top = strictjson.parse_object(raw, str(self._note)) if raw is not None else {}
            return {name: strictjson.string(stamp, str(self._note)) for name, stamp in top.items()}
        except Damaged:
            return {}
