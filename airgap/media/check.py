"""Are the media complete and undamaged? Everything a person without a key can find out; no network.

It proves that the media agree with the catalog found on them, block by block. Who made that catalog only its signatures prove.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from airgap.bundle import companions, presence
from airgap.bundle.check import THREADS, Checked, check_file, damaged_resent, lost_images
from airgap.bundle.damage import healable
from airgap.bundle.volumes import Stretch
from airgap.errors import AirgapError, Damaged, MediaError
from airgap.format.catalog import Volume
from airgap.media import foreign
from airgap.media.survey import Copy, Survey, survey_all
from airgap.progress import Progress
from airgap.work import Pool

_DAMAGED = 4
_UNREADABLE = 6


@dataclass(frozen=True)
class CopyFinding:
    """The result of checking one copy of a file.

    Attributes:
        copy: where it is.
        damaged: its damaged blocks, from 0.
        unreadable: those of them that the disk would not give.
        foreign: what it is instead, for people, when it seems to be another file.
    """

    copy: Copy
    damaged: tuple[int, ...]
    unreadable: tuple[int, ...] = ()
    foreign: str = ""

    @property
    def good(self) -> bool:
        """Whether it is exactly what the catalog says."""
        return not (self.copy.problem or self.damaged)


@dataclass(frozen=True)
class FileState:
    """A volume or parity file of the bundle.

    Attributes:
        file: what the catalog says.
        title: for people, ``volume 3 of 7 (volume-0003.tar)``.
        home: the label of the disk that it belongs on, or an empty string.
        expected: whether it should be on the media at hand.
        findings: its copies.
        brought: its blocks that a supplement has.
    """

    file: Volume
    title: str
    home: str
    expected: bool
    findings: tuple[CopyFinding, ...]
    brought: frozenset[int] = frozenset()

    @property
    def lost(self) -> frozenset[int]:
        """The blocks that are good nowhere."""
        left = frozenset(range(len(self.file.blocks))) - self.brought
        for finding in self.findings:
            left &= frozenset(finding.damaged)
        return left

    @property
    def good(self) -> bool:
        """Whether all of it is at hand, so that an import can read it."""
        if self.brought and not self.lost:
            return True
        return any(finding.good for finding in self.findings)

    @property
    def word(self) -> str:
        """``good``, ``damaged`` or ``missing``."""
        if self.good:
            return "good"
        return "damaged" if self.findings else "missing"


@dataclass(frozen=True)
class CheckReport:
    """The result of checking all media of one bundle.

    Attributes:
        survey: what lies where.
        files: every volume, then every parity file.
        companions: ``SHA256SUMS`` and ``CHECK.txt`` files that contradict the catalog.
        subset: whether only what belongs on these media was asked for.
        unreadable: media that could not be looked at.
    """

    survey: Survey
    files: tuple[FileState, ...]
    companions: tuple[Path, ...]
    subset: bool
    unreadable: tuple[MediaError, ...] = ()

    @property
    def wanted(self) -> list[FileState]:
        """The files asked for that are not good."""
        return [state for state in self.files if not state.good and (state.expected or state.findings or not self.subset)]

    @property
    def bad(self) -> list[CopyFinding]:
        """Every copy that is not what it should be and that no supplement completes, even if another one is good."""
        return [one for state in self.files for one in state.findings if not one.good and not (state.good and state.brought)]

    @property
    def costs(self) -> list[str]:
        """The images that cannot be loaded from what is at hand."""
        return lost_images(self.survey.catalog, [state.file for state in self.files if not state.good])

    @property
    def complete(self) -> bool:
        """Whether all volumes are at hand and good, so that everything can be imported."""
        good = {state.file.name for state in self.files if state.good}
        volumes = self.survey.catalog.volumes
        return bool(volumes) and all(volume.name in good for volume in volumes)

    @property
    def healable(self) -> bool:
        """Whether repair can give back all that is lost."""
        return healable({state.file.name: state.lost for state in self.files}, len(self.survey.catalog.parity))

    @property
    def result(self) -> str:
        """``good``, ``unreadable``, ``damaged`` or ``incomplete``."""
        if self.unreadable or any(_wholly(finding) for finding in self.bad):
            return "unreadable"
        if self.bad and all(_unread(finding) for finding in self.bad) and not self.companions:
            return "unreadable"
        if self.bad or self.companions or self.survey.strangers or any(medium.problems for medium in self.survey.media):
            return "damaged"
        return "incomplete" if self.wanted else "good"

    @property
    def exit_code(self) -> int:
        """0 good, 4 damaged or incomplete, 6 a disk or a whole file cannot be read, or some blocks and nothing else is wrong."""
        return {"good": 0, "unreadable": _UNREADABLE}.get(self.result, _DAMAGED)


def check(paths: Sequence[Path], progress: Progress, *, subset: bool = False, threads: int = THREADS) -> list[CheckReport]:
    """Read everything that the media have, and compare.

    Args:
        paths: bundle directories, or mount points that hold them, of one or several bundles.
        progress: told about every block.
        subset: what belongs on other media is not missed.
        threads: how many blocks are hashed at a time.

    Returns:
        One report for every bundle.

    Raises:
        UsageError: a path is not a directory, or holds no bundle.
        Damaged: no medium has a catalog that can be read.
        MediaError: no medium can be read, or one was taken away before all of it was read.
    """
    with presence.attending():
        progress.stage("reading catalogs", 0)
        surveys, unreadable = survey_all(paths)
        copies = [copy for one in surveys for copy in one.copies if copy.regular]
        progress.stage("checking", sum(copy.file.size for copy in copies), len(copies), "file")
        checked = _read_all(copies, progress, threads)
        reports = [_report(one, surveys, checked, subset, tuple(unreadable)) for one in surveys]
        if any(report.result != "good" for report in reports) and (gone := presence.taken_away()) is not None:
            raise gone
        return reports


def _read_all(copies: Sequence[Copy], progress: Progress, threads: int) -> dict[Path, Checked]:
    """Check files of different devices at the same time, but of one device one after the other: that is how a disk is fast."""
    devices: dict[int, list[Copy]] = {}
    for copy in copies:
        devices.setdefault(_device(copy.medium.path), []).append(copy)
    each = max(1, threads // max(1, len(devices)))
    with Pool(min(4, len(devices)), "device") as pool:
        watched = pool.watched(progress)
        found = pool.map(lambda queue: {copy.path: _check(copy, watched, each) for copy in queue}, devices.values())
    return {path: checked for one in found for path, checked in one.items()}


def _device(path: Path) -> int:
    try:
        return os.stat(path).st_dev  # noqa: PTH116 - as cheap as it gets
    except OSError:
        return -1


def _check(copy: Copy, progress: Progress, threads: int) -> Checked:
    """A file that cannot be opened, or that went away meanwhile, is a damaged one: the others are still worth reading."""
    progress.at(copy.path.name, copy.medium.name)
    try:
        return check_file(copy.file, copy.path, progress, threads, fresh=True)
    except (MediaError, Damaged):
        everything = tuple(range(len(copy.file.blocks)))
        return Checked(everything, everything)
    finally:
        progress.advance(0, 1)


def _report(
    one: Survey, surveys: Sequence[Survey], checked: Mapping[Path, Checked], subset: bool, unreadable: tuple[MediaError, ...]
) -> CheckReport:
    states = []
    for file in one.files:
        findings = tuple(_finding(copy, checked.get(copy.path), one, surveys) for copy in one.of(file))
        brought = _brought(file, one.brought.get(file.name, {}))
        states.append(FileState(file, one.title(file), one.home(file), _expected(file, one), findings, brought))
    return CheckReport(one, tuple(states), tuple(_companions(one)), subset, unreadable)


def _finding(copy: Copy, checked: Checked | None, one: Survey, surveys: Sequence[Survey]) -> CopyFinding:
    if checked is None:
        return CopyFinding(copy, tuple(range(len(copy.file.blocks))))
    whole = len(checked.unreadable) == len(copy.file.blocks)
    other = foreign.recognise(copy, one, surveys) if checked.damaged[:1] == (0,) and not whole else ""
    return CopyFinding(copy, checked.damaged, checked.unreadable, other)


def _expected(file: Volume, one: Survey) -> bool:
    """Whether a file should be on the media at hand: one of their lists of disks puts it there."""
    return any(medium.disks.is_own(file.name) for medium in one.media if medium.disks)


def _brought(file: Volume, blocks: Mapping[int, Stretch]) -> frozenset[int]:
    """The blocks of a supplement that are good."""
    try:
        return frozenset(blocks.keys() - damaged_resent(file, blocks).keys())
    except AirgapError:
        return frozenset()


def _companions(one: Survey) -> Iterable[Path]:
    for medium in (medium for medium in one.media if not medium.supplement):
        yield from companions.contradicting(medium.path, one.catalog, one.raw)


def _unread(finding: CopyFinding) -> bool:
    """Whether nothing is known to be wrong with a file but that the disk does not give some of it."""
    return bool(finding.unreadable) and finding.unreadable == finding.damaged and not finding.copy.problem


def _wholly(finding: CopyFinding) -> bool:
    """Whether nothing of a file can be read."""
    return bool(finding.unreadable) and len(finding.unreadable) == len(finding.copy.file.blocks)
