"""Which files of a bundle the given media have; needs no key and does not read the volumes.

Media is hostile here, too: entries are looked at with ``lstat`` and only regular files are ever opened, so nothing hangs and
nothing escapes. The catalog is not verified: what is found out is whether the media agree with it, not who made it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from airgap import fsio
from airgap.bundle import damage, piecewise
from airgap.bundle.media import bundle_directories, entries
from airgap.bundle.supplement import read_supplements
from airgap.bundle.volumes import Stretch
from airgap.errors import AirgapError, Damaged, MediaError, SeveralBundles
from airgap.format import names
from airgap.format.catalog import Catalog, Volume
from airgap.format.outer import Sealed, Unverified
from airgap.format.outline import Outline
from airgap.limits import MAX_CATALOG
from airgap.media import disks
from airgap.media.disks import Disks
from airgap.oci.digest import Digest
from airgap.text import listing, printable


@dataclass(frozen=True)
class Medium:
    """One directory with files of a bundle.

    Attributes:
        path: the directory.
        disks: what its ``DISKS.json`` says, when there is one for this bundle.
        problems: what is wrong with it besides its volumes, for people; an import would refuse it.
        notes: what it lacks and other media may have.
        supplement: whether it holds blocks that were sent again, and no volumes.
    """

    path: Path
    disks: Disks | None = None
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    supplement: bool = False

    @property
    def name(self) -> str:
        """Its name for people: ``disk B``, or the path if it has no label."""
        return f"disk {self.disks.own}" if self.disks else printable(str(self.path))

    @property
    def title(self) -> str:
        """Its name and where it is."""
        return f"{self.name} ({printable(str(self.path))})" if self.disks else self.name


@dataclass(frozen=True)
class Copy:
    """A file on a medium that has the name of a volume or parity file of the bundle.

    Attributes:
        file: what the catalog says of it.
        path: where it is.
        medium: the medium it is on.
        problem: what can be seen without reading it, for people; empty when nothing.
        regular: whether it is a file at all, so that some of its blocks may be good.
    """

    file: Volume
    path: Path
    medium: Medium
    problem: str = ""
    regular: bool = True


@dataclass(frozen=True)
class Survey:
    """What the media at hand have of one bundle.

    Attributes:
        found: the catalog.
        media: the media that have something of it.
        copies: every file of the bundle found, in the order of the media. One may be there several times: any good one will do.
        strangers: volumes and parity files that the catalog does not list.
        brought: blocks that supplements bring, by name of the file they belong to; not read yet.
    """

    found: Unverified
    media: tuple[Medium, ...]
    copies: tuple[Copy, ...]
    strangers: tuple[Path, ...] = ()
    brought: Mapping[str, Mapping[int, Stretch]] = field(default_factory=dict)

    @property
    def catalog(self) -> Catalog | Sealed:
        """What the catalog claims."""
        return self.found.claims

    @property
    def raw(self) -> bytes:
        """Its exact bytes."""
        return self.found.raw

    @property
    def files(self) -> tuple[Volume, ...]:
        """All that should be there: the volumes, then the parity files."""
        return self.catalog.files

    def of(self, file: Volume) -> list[Copy]:
        """The copies of a volume or parity file."""
        return self._copies.get(file.name, [])

    def home(self, file: Volume) -> str:
        """The label of the disk that a file belongs on, or an empty string when nobody said."""
        found = (medium.disks.home(file.name) for medium in self.media if medium.disks)
        return next((label for label in found if label), "")

    def title(self, file: Volume) -> str:
        """A file for people: ``volume 3 of 7 (volume-0003.tar)``."""
        return damage.title(self.catalog, self._numbers[file.name])

    @cached_property
    def _copies(self) -> dict[str, list[Copy]]:
        found: dict[str, list[Copy]] = {}
        for copy in self.copies:
            found.setdefault(copy.file.name, []).append(copy)
        return found

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {file.name: number for number, file in enumerate(self.files, 1)}


@dataclass
class _BundleDirectory:
    """A bundle directory before it is known which bundle it belongs to."""

    path: Path
    names: list[str]
    raw: bytes = b""
    catalog: Unverified | None = None
    problem: str = ""
    missing: bool = False
    failure: MediaError | None = None

    @property
    def damaged(self) -> bool:
        """Whether there is a catalog, but not the right one."""
        return bool(self.problem) and not self.missing


@dataclass
class _Group:
    """The directories of one bundle, and the catalog that counts."""

    catalog: Unverified
    members: list[_BundleDirectory]


def survey(paths: Sequence[Path]) -> Survey:
    """The one bundle that lies on these media.

    Args:
        paths: bundle directories, or mount points that hold one.

    Raises:
        As :func:`survey_all`.
        SeveralBundles: they hold several bundles.
    """
    found, unreadable = survey_all(paths)
    if unreadable:
        raise unreadable[0]
    if len(found) > 1:
        raise SeveralBundles(sorted((one.catalog.name, [medium.path for medium in one.media]) for one in found))
    return found[0]


def survey_all(paths: Sequence[Path]) -> tuple[list[Survey], list[MediaError]]:
    """Every bundle that lies on these media, and why media could not be looked at.

    Raises:
        UsageError: a path is not a directory, or holds no bundle.
        Damaged: no medium has a catalog that can be read.
        MediaError: no medium can be read.
    """
    directories, unreadable = _directories(paths)
    if not directories:
        raise unreadable[0]
    return [_survey(group) for group in _groups(directories)], unreadable


def _directories(paths: Sequence[Path]) -> tuple[list[_BundleDirectory], list[MediaError]]:
    found: dict[Path, _BundleDirectory] = {}
    unreadable = []
    kept: dict[bytes, _BundleDirectory] = {}
    for path in paths:
        try:
            for directory in bundle_directories(path):
                if directory.resolve() not in found:
                    found[directory.resolve()] = _read(directory, kept)
        except MediaError as error:
            unreadable.append(error)
    return list(found.values()), unreadable


def _read(path: Path, kept: dict[bytes, _BundleDirectory]) -> _BundleDirectory:
    """Look at a directory; ``kept`` has one with each catalog, so that what lies on every medium is there once."""
    directory = _BundleDirectory(path, sorted(entries(path)))
    try:
        raw = fsio.read_capped(path / names.CATALOG, MAX_CATALOG)
        same = kept.get(hashlib.sha256(raw).digest())
        if same is not None:
            directory.raw, directory.catalog, directory.problem = same.raw, same.catalog, same.problem
            return directory
        if sum(len(other.raw) for other in kept.values()) + len(raw) > MAX_CATALOG:
            raise Damaged("the media hold too many large catalogs", hint="check one bundle at a time")
        directory.raw = raw
        kept[hashlib.sha256(raw).digest()] = directory
        directory.catalog = Unverified.read(raw)
    except AirgapError as error:
        directory.failure = error if isinstance(error, MediaError) else None
        directory.missing = isinstance(error.__cause__, FileNotFoundError)
        directory.problem = f"no {names.CATALOG} here" if directory.missing else f"{names.CATALOG} is damaged: {error.what}"
    return directory


def _groups(directories: list[_BundleDirectory]) -> list[_Group]:
    """The directories of every bundle. Where its catalogs differ, that one counts which ``SHA256SUMS`` knows and most have."""
    by_name: dict[str, list[_BundleDirectory]] = {}
    for directory in directories:
        if directory.catalog is not None:
            by_name.setdefault(directory.catalog.claims.name, []).append(directory)
    groups = [group for members in by_name.values() if (group := _group(members))]
    if not groups:
        if failure := next((directory.failure for directory in directories if directory.failure), None):
            raise failure
        raise Damaged(
            "there is no catalog to check against",
            where=listing([str(directory.path) for directory in directories]),
            expected=f"a complete {names.CATALOG} on at least one of the media",
            got=listing([directory.problem for directory in directories]),
            hint=f"copy it again from the original, or give another medium too; `sha256sum -c {names.SUMS}` needs no catalog",
        )
    for directory in directories:
        if directory.catalog is None:
            max(groups, key=lambda group: _kinship(directory.path, group.catalog.claims)).members.append(directory)
    return groups


def _group(members: list[_BundleDirectory]) -> _Group | None:
    main = max(members, key=lambda one: (_vouched(one), sum(other.raw == one.raw for other in members)))
    for member in members:
        if member.raw != main.raw:
            member.problem = f"{names.CATALOG} differs from the one on {printable(str(main.path))}: one of them was changed"
    return _Group(main.catalog, list(members)) if main.catalog else None


def _vouched(directory: _BundleDirectory) -> bool:
    """Whether the ``SHA256SUMS`` beside a catalog agrees with it: a flipped bit shows there."""
    line = f"{hashlib.sha256(directory.raw).hexdigest()}  {names.CATALOG}\n".encode()
    try:
        return line in piecewise.lines(directory.path / names.SUMS, 1024)
    except AirgapError:
        return False


def _kinship(path: Path, catalog: Outline) -> int:
    """How many files of a directory without a catalog have the name and size that this one says."""
    return sum(_size(path / file.name) == file.size for file in catalog.files)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return -1


def _survey(group: _Group) -> Survey:
    catalog = group.catalog.claims
    known = {file.name: file for file in catalog.files}
    digest = group.catalog.digest
    media: list[Medium] = []
    copies: list[Copy] = []
    strangers: list[Path] = []
    brought: dict[str, dict[int, Stretch]] = {}
    for directory in group.members:
        medium = _medium(directory, digest)
        if names.SUPPLEMENT in directory.names:
            try:
                for name, blocks in read_supplements([directory.path], catalog, digest).items():
                    brought[name] = blocks | brought.get(name, {})
            except AirgapError as error:
                medium = replace(medium, problems=(*medium.problems, f"its {names.SUPPLEMENT} cannot be used: {error.what}"))
        media.append(medium)
        for name in directory.names:
            path = directory.path / name
            if name in known:
                copies.append(_copy(known[name], path, medium))
            elif names.is_volume(name) or names.is_parity(name):
                strangers.append(path)
    return Survey(group.catalog, tuple(media), tuple(copies), tuple(strangers), brought)


def _medium(directory: _BundleDirectory, digest: Digest) -> Medium:
    problems, notes = [directory.problem] if directory.damaged else [], [directory.problem] if directory.missing else []
    found: Disks | None = None
    path = directory.path / disks.NAME
    try:
        if disks.NAME in directory.names:
            found = Disks.from_bytes(fsio.read_capped(path, disks.LIMIT), str(path))
    except AirgapError as error:
        problems.append(f"{disks.NAME} is damaged: {error.what}")
    if found is not None and found.catalog != digest:
        problems.append(f"{disks.NAME} belongs to another bundle ({printable(found.bundle, 80)})")
        found = None
    if not any(map(names.is_signature, directory.names)):
        notes.append("there is no signature of the catalog here")
    return Medium(directory.path, found, tuple(problems), tuple(notes), names.SUPPLEMENT in directory.names)


def _copy(file: Volume, path: Path, medium: Medium) -> Copy:
    problem, regular = damage.ailment(file, path)
    return Copy(file, path, medium, problem, regular)
