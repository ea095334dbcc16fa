"""The media of a bundle: one or more directories. Files are found by their computed names and not trusted by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from airgap import fsio
from airgap.bundle import damage, diagnosis, piecewise, presence
from airgap.bundle.copies import choose
from airgap.bundle.damage import Damage, Fault
from airgap.bundle.supplement import read_supplements
from airgap.bundle.volumes import Stretch, Volumes
from airgap.errors import Damaged, SeveralBundles, UsageError
from airgap.format import names
from airgap.format.catalog import Volume
from airgap.format.outer import Unverified
from airgap.format.outline import Outline
from airgap.limits import MAX_CATALOG, MAX_FOLDER, MAX_SIGNATURE, MAX_SIGNATURES
from airgap.oci.digest import Digest
from airgap.text import listing, plural, printable


@dataclass(frozen=True)
class Media:
    """The directories of one bundle, with the catalog's exact bytes and the signature files found (name or path -> content).

    ``supplements`` are directories as well: what they hold completes damaged and missing volumes. ``rebuilt`` are those of the
    directories that nobody has carried: airgap has made what is in them.
    """

    directories: tuple[Path, ...]
    catalog_raw: bytes
    signatures: dict[str, bytes]
    supplements: tuple[Path, ...] = ()
    rebuilt: tuple[Path, ...] = ()

    @property
    def carried(self) -> tuple[Path, ...]:
        """The directories that came from somewhere, each with a custody log of its own."""
        return tuple(directory for directory in self.directories if directory not in self.rebuilt)

    @classmethod
    def find(cls, paths: Iterable[Path]) -> Media:
        """Find the bundle in bundle directories, mount points that hold one, or directories that hold only some volumes.

        Raises:
            UsageError: a path is not a directory, or no bundle is in any of them.
            SeveralBundles: they hold different bundles (``several.py`` sorts them apart).
            Damaged: they hold different catalogs of one bundle.
        """
        found = list(dict.fromkeys(directory for path in paths for directory in bundle_directories(path)))
        raw = _one_catalog([d for d in found if _listed(d / names.CATALOG)], found)
        supplements = tuple(directory for directory in found if _listed(directory / names.SUPPLEMENT))
        return cls(tuple(d for d in found if d not in supplements), raw, signatures_in(found), supplements)

    def locate(self, catalog: Outline, partial: bool = False) -> Volumes:
        """Where every volume is, by number from 1. One that lies on several media is read where it is good (``copies.choose``).

        Blocks that a supplement brings are taken from it; the rest of such a volume may be cut short.

        Args:
            catalog: the verified catalog.
            partial: leave out what is missing instead of raising, as long as there is something.

        Raises:
            Damaged: volumes are missing or of the wrong size (``VolumesDamaged`` names all of them), or a volume is there that the
                catalog does not list.
        """
        self._refuse_strangers(catalog)
        brought = read_supplements(self.supplements, catalog, Digest.of(self.catalog_raw)) if self.supplements else {}
        files: dict[int, Path] = {}
        resent: dict[int, dict[int, Stretch]] = {}
        faults: list[Fault] = []
        for number, volume in enumerate(catalog.volumes, 1):
            blocks = brought.get(volume.name, {})
            paths, problem, bad = self._find_volume(volume, blocks)
            if paths:
                files[number], better = choose(volume, paths)
                resent[number] = better | blocks
            elif len(blocks) == len(volume.blocks):
                resent[number] = blocks
            else:
                faults.append(Fault(number, volume, problem, bad))
        places = (*self.directories, *self.supplements)
        lacking = Damage(catalog, tuple(faults), places, damage.at_hand(catalog, places, brought)) if faults else None
        found = Volumes(files, resent, catalog.pieces, places, lacking)
        if lacking is not None and not (partial and found):
            raise lacking.error()
        diagnosis.attend(catalog, found, self.locate_parity(catalog))
        return found

    def locate_parity(self, catalog: Outline) -> dict[int, Path]:
        """The parity files at hand, by number from 1. Nothing but repair needs them, so they may be missing."""
        found: dict[int, Path] = {}
        for number, file in enumerate(catalog.parity, 1):
            paths = [directory / file.name for directory in self.directories if _listed(directory / file.name)]
            if paths:
                found[number] = paths[0]
        return found

    def _find_volume(self, volume: Volume, resent: Mapping[int, Stretch]) -> tuple[list[Path], str, Path | None]:
        """The whole files of a volume, or one that lacks only blocks that were sent again; else what is wrong with which."""
        problem, usable, whole = "is missing", list[Path](), list[Path]()
        bad: Path | None = None
        for directory in self.directories:
            path = directory / volume.name
            if not _listed(path):
                continue
            seen, regular = damage.ailment(volume, path)
            if regular and not seen:
                whole.append(path)
            elif regular and completes(volume, path.lstat().st_size, resent):
                usable = usable or [path]
            else:
                problem, bad = seen, path
        if resent:
            problem += f"; the supplement supplies {len(resent)} of its {plural(len(volume.blocks), 'block')}"
        return whole or usable, problem, bad

    def _refuse_strangers(self, catalog: Outline) -> None:
        known = {volume.name for volume in catalog.volumes}
        for directory in self.directories:
            strangers = [name for name in entries(directory) if names.is_volume(name) and name not in known]
            if strangers:
                raise Damaged(
                    f"a volume that does not belong to {catalog.name}",
                    where=printable(str(directory)),
                    expected=f"{plural(len(catalog.volumes), 'volume')}, up to {catalog.volumes[-1].name}",
                    got=listing(sorted(strangers)),
                    hint="it may belong to another bundle: move it away",
                )


def completes(volume: Volume, size: int, resent: Mapping[int, Stretch]) -> bool:
    """Whether what was sent again completes a file of a wrong size (in bytes). One that is too long is wrong in its last block."""
    last = len(volume.blocks) - 1
    own = [number for number in range(last + 1) if number not in resent]
    return bool(own) and own[-1] != last and (own[-1] + 1) * names.BLOCK_SIZE <= size


def _listed(path: Path) -> bool:
    return path.is_symlink() or path.exists()


def entries(directory: Path) -> list[str]:
    with fsio.disk_errors("cannot read the directory", directory):
        found = []
        for entry in directory.iterdir():
            found.append(entry.name)
            if len(found) > MAX_FOLDER:
                raise Damaged(
                    "too many files in a bundle directory", where=printable(str(directory)), expected=f"at most {MAX_FOLDER}"
                )
        return found


def bundle_directories(path: Path) -> list[Path]:
    """The directory itself when a bundle's files are in it, else the bundle directories one level below."""
    if not path.is_dir():
        what = "not a directory" if path.exists() else "no such directory"
        raise UsageError(what, where=printable(str(path)), expected="a bundle directory or the mount point of a medium")
    presence.attend(path)
    if _holds_bundle(path):
        return [path]
    there = entries(path)
    with fsio.disk_errors("cannot read the directory", path):
        below = [path / name for name in sorted(there) if not name.endswith(names.PARTIAL)]
        found = [entry for entry in below if not entry.is_symlink() and entry.is_dir() and _holds_bundle(entry)]
    if not found:
        partial = any(name.endswith(names.PARTIAL) for name in there)
        hint = "an export or a copy was not finished there: run the same command again" if partial else ""
        raise UsageError(
            "no bundle here",
            where=printable(str(path)),
            expected=f"{names.CATALOG} or {names.volume_name(1)} in it or one level below",
            got="" if there else "an empty directory",
            hint=hint if there else "is the medium mounted there?",
        )
    for directory in found:
        presence.attend(directory)
    return found


def _holds_bundle(directory: Path) -> bool:
    if directory.name.endswith(names.PARTIAL):
        raise UsageError(
            "this export or copy was not finished",
            where=printable(str(directory)),
            hint="run the same command again to continue",
        )
    return any(name == names.CATALOG or names.is_volume(name) or names.is_parity(name) for name in entries(directory))


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
        if not piecewise.holds(other / names.CATALOG, raw):
            _refuse_several(holders)
            raise Damaged(
                "the paths hold two different bundles, or one catalog is damaged",
                where=f"{printable(str(holders[0]))} and {printable(str(other))}",
                expected="the same catalog.json on every medium, and in a supplement for its bundle",
                hint="give the media of one bundle at a time",
            )
    return raw


def _refuse_several(holders: Sequence[Path]) -> None:
    """Ask which bundle is meant, if the catalogs claim to be of different ones; a catalog that cannot be read claims nothing."""
    claimed: dict[str, list[Path]] = {}
    for holder in holders:
        try:
            name = Unverified.read(fsio.read_capped(holder / names.CATALOG, MAX_CATALOG)).claims.name
        except Damaged:
            continue
        claimed.setdefault(name, []).append(holder)
    if len(claimed) > 1:
        raise SeveralBundles(sorted(claimed.items()))


def signatures_in(directories: Sequence[Path]) -> dict[str, bytes]:
    """The signature files of a catalog by name; one of the same name and other content, on another medium, by its path.

    Raises:
        Damaged: a file that is no signature, or too many of them.
        MediaError: the disk refuses.
    """
    found: dict[str, bytes] = {}
    for directory in directories:
        for name in sorted(filter(names.is_signature, entries(directory))):
            content = fsio.read_capped(directory / name, MAX_SIGNATURE)
            if found.get(name, content) != content:
                name = f"{directory}/{name}"
            found[name] = content
            if len(found) > MAX_SIGNATURES:
                raise Damaged("too many signature files", where=printable(str(directory)), expected=f"at most {MAX_SIGNATURES}")
    return found
