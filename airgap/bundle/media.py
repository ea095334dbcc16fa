"""The media that a bundle lies on: one directory or several, each file found by its computed name, nothing trusted by name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from airgap import fsio
from airgap.bundle import names
from airgap.bundle.catalog import MAX_CATALOG, Catalog, Volume
from airgap.errors import Damaged, UsageError, disk_error
from airgap.text import listing, plural, printable

_MAX_SIGNATURE = 64 * 1024
_MAX_SIGNATURES = 128
_MAX_ENTRIES = 10_000


@dataclass(frozen=True)
class Media:
    """The directories of one bundle, with the catalog's exact bytes and the signature files found (name or path -> content)."""

    directories: tuple[Path, ...]
    catalog_raw: bytes
    signatures: dict[str, bytes]

    @classmethod
    def find(cls, paths: Iterable[Path]) -> Media:
        """Find the bundle in bundle directories, mount points that hold one, or directories that hold only some volumes.

        Raises:
            UsageError: a path is not a directory, or no bundle is in any of them.
            Damaged: the paths hold different bundles.
        """
        directories = [found for path in paths for found in _bundle_directories(path)]
        raw = _one_catalog([d for d in directories if _listed(d / names.CATALOG)], directories)
        return cls(tuple(directories), raw, _signatures(directories))

    def locate(self, catalog: Catalog, partial: bool = False) -> dict[int, Path]:
        """The file of every volume, by number from 1. A volume may lie on several media; any whole one will do.

        Args:
            catalog: the verified catalog.
            partial: leave out what is missing instead of raising, as long as there is something.

        Raises:
            Damaged: volumes are missing or of the wrong size (all of them are named, with the images they cost), or a volume is
                there that the catalog does not list.
        """
        self._refuse_strangers(catalog)
        found: dict[int, Path] = {}
        wrong: list[str] = []
        for number, volume in enumerate(catalog.volumes, 1):
            path, problem = self._find_volume(volume)
            if path is not None:
                found[number] = path
            else:
                wrong.append(f"volume {number} of {len(catalog.volumes)} ({volume.name}): {problem}")
        if wrong and not (partial and found):
            numbers = {n for n in range(1, len(catalog.volumes) + 1) if n not in found}
            costs = [str(image.reference) for image in catalog.images if numbers & set(image.volumes)]
            raise Damaged(
                f"the bundle {catalog.name} is incomplete: {'; '.join(wrong)}",
                where=listing([str(d) for d in self.directories]),
                expected=f"{plural(len(catalog.volumes), 'volume')}; without these, no {listing(costs)}",
                hint="bring the missing media and give their directories too, or copy the named volumes again from the original",
            )
        return found

    def _find_volume(self, volume: Volume) -> tuple[Path | None, str]:
        problem = "missing"
        for directory in self.directories:
            path = directory / volume.name
            if not _listed(path):
                continue
            try:
                size = path.lstat().st_size
            except OSError as error:
                raise disk_error(error, "cannot read", printable(str(path))) from error
            if path.is_symlink() or not path.is_file():
                problem = "not a regular file"
            elif size != volume.size:
                problem = f"wrong size, expected {volume.size} bytes, got {size}"
            else:
                return path, ""
        return None, problem

    def _refuse_strangers(self, catalog: Catalog) -> None:
        known = {volume.name for volume in catalog.volumes}
        for directory in self.directories:
            strangers = [name for name in _entries(directory) if names.is_volume(name) and name not in known]
            if strangers:
                raise Damaged(
                    f"a volume that does not belong to {catalog.name}",
                    where=printable(str(directory)),
                    expected=f"{plural(len(catalog.volumes), 'volume')}, {catalog.volumes[-1].name} the last",
                    got=listing(sorted(strangers)),
                    hint="it may belong to another bundle: move it away",
                )


def _listed(path: Path) -> bool:
    return path.is_symlink() or path.exists()


def _entries(directory: Path) -> list[str]:
    with fsio.disk_errors("cannot read the directory", directory):
        found = []
        for entry in directory.iterdir():
            found.append(entry.name)
            if len(found) > _MAX_ENTRIES:
                raise Damaged(
                    "too many files in a bundle directory", where=printable(str(directory)), expected=f"{_MAX_ENTRIES} at most"
                )
        return found


def _bundle_directories(path: Path) -> list[Path]:
    """The directory itself when a bundle's files are in it, else the bundle directories one level below."""
    if not path.is_dir():
        what = "not a directory" if path.exists() else "no such directory"
        raise UsageError(what, where=printable(str(path)), expected="a bundle directory or the mount point of a medium")
    if _holds_bundle(path):
        return [path]
    below = [path / name for name in sorted(_entries(path)) if not name.endswith(names.PARTIAL)]
    found = [entry for entry in below if not entry.is_symlink() and entry.is_dir() and _holds_bundle(entry)]
    if not found:
        partial = any(entry.endswith(names.PARTIAL) for entry in _entries(path))
        raise UsageError(
            "no bundle here",
            where=printable(str(path)),
            expected=f"{names.CATALOG} or {names.volume_name(1)} in it or one level below",
            hint="an export was not finished there: run the same export again" if partial else "",
        )
    return found


def _holds_bundle(directory: Path) -> bool:
    if directory.name.endswith(names.PARTIAL):
        raise UsageError(
            "this export was not finished",
            where=printable(str(directory)),
            hint="run the same export again: it goes on where it stopped",
        )
    return any(name == names.CATALOG or names.is_volume(name) for name in _entries(directory))


def _one_catalog(holders: list[Path], directories: list[Path]) -> bytes:
    if not holders:
        raise Damaged(
            "the catalog is missing",
            where=listing([str(d) for d in directories]),
            expected=names.CATALOG,
            hint="copy it, its signatures and SHA256SUMS again from the original: every medium should carry them",
        )
    raw = fsio.read_capped(holders[0] / names.CATALOG, MAX_CATALOG)
    for other in holders[1:]:
        if fsio.read_capped(other / names.CATALOG, MAX_CATALOG) != raw:
            raise Damaged(
                "the paths hold two different bundles, or one catalog is damaged",
                where=f"{printable(str(holders[0]))} and {printable(str(other))}",
                expected="the same catalog.json on every medium",
                hint="give the media of one bundle at a time",
            )
    return raw


def _signatures(directories: list[Path]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for directory in directories:
        for name in sorted(filter(names.is_signature, _entries(directory))):
            content = fsio.read_capped(directory / name, _MAX_SIGNATURE)
            if found.get(name, content) != content:
                name = f"{directory}/{name}"
            found[name] = content
            if len(found) > _MAX_SIGNATURES:
                raise Damaged("too many signature files", where=printable(str(directory)), expected=f"{_MAX_SIGNATURES} at most")
    return found
