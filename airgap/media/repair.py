"""Rebuild what is lost or damaged of a bundle, from parity files, other copies and supplements. No key, no network."""

from __future__ import annotations

import contextlib
import errno
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from airgap import fsio
from airgap.bundle import piecewise, presence
from airgap.bundle.check import check_file
from airgap.bundle.media import bundle_directories, entries
from airgap.documents.request import ResendRequest
from airgap.errors import Damaged, Interrupted, MediaError, UsageError
from airgap.format import checktxt, names
from airgap.format.entries import Volume
from airgap.format.names import BLOCK_SIZE
from airgap.limits import MAX_SIGNATURE
from airgap.media.rows import BlockPlace, Row, Rows
from airgap.media.scratch import InPlace, NewFiles, put_block
from airgap.media.survey import Copy, Survey, survey
from airgap.oci.digest import Digest
from airgap.progress import Progress
from airgap.text import printable
from airgap.work import Pool, cores


@dataclass(frozen=True)
class Mended:
    """A file of the bundle that was damaged or lost. Blocks are counted from 0.

    Attributes:
        file: what the catalog says.
        title: for people, ``volume 3 of 7 (volume-0003.tar)``.
        present: whether there was a file of that name.
        rebuilt: how many blocks were made from parity.
        copied: how many came from another copy or a supplement.
        left: the blocks that are good nowhere.
        path: where it is now; None if nothing of it is available, or nothing better than what is on the media.
    """

    file: Volume
    title: str
    present: bool
    rebuilt: int
    copied: int
    left: tuple[int, ...]
    path: Path | None = None


@dataclass(frozen=True)
class Repaired:
    """The result of a repair.

    Attributes:
        survey: what lay where before.
        files: what was damaged or lost.
        spare: how many rows could have lost how many more blocks; a negative number is how many too many are lost.
        request: for what has to be sent again; None when nothing has.
    """

    survey: Survey
    files: tuple[Mended, ...]
    spare: dict[int, int]
    request: ResendRequest | None

    @property
    def worst(self) -> int:
        """How many more blocks every row could have lost, whichever; negative when some has lost too many."""
        return min(self.spare, default=len(self.survey.catalog.parity))


def repair(paths: Sequence[Path], out: Path | None, progress: Progress, in_place: bool = False, *, parity: bool = True) -> Repaired:
    """Rebuild all that can be. Every block is checked against the catalog on the media before it counts.

    After a crash the same call does what is left: files in ``out`` are a copy like any other.

    Args:
        paths: bundle directories, or mount points that hold one.
        out: where repaired files go, complete; a directory of its own. With ``in_place`` only what is lost goes there, by default
            to the first of the paths.
        progress: told about every byte that is read.
        in_place: write good blocks over the damaged ones instead. The first copy of each file is repaired.
        parity: rebuild parity files, too: nobody needs them who only reads the bundle now.

    Raises:
        UsageError: the paths hold no bundle, or ``out`` is one of them.
        SeveralBundles: they hold several bundles.
        Damaged: they hold no catalog that can be read.
        MediaError: a disk cannot take the repaired files, or a medium was taken away.
    """
    if out is None and not in_place:
        raise UsageError("no target for the repaired files", expected="--out DIR, or --in-place")
    if out is not None and out.resolve() in {path.resolve() for path in paths}:
        raise UsageError(
            "repaired files would overwrite the damaged ones",
            where=printable(str(out)),
            hint="choose another --out, or use --in-place instead",
        )
    with presence.attending():
        return _repair(paths, out, progress, in_place, parity)


def _repair(paths: Sequence[Path], out: Path | None, progress: Progress, in_place: bool, parity: bool) -> Repaired:
    found = survey([*([out] if out is not None and _holds_files(out) else []), *paths])
    target = out or found.media[0].path
    made = not target.exists()
    fsio.make_directory(target, fsio.UNCHANGEABLE)
    busy = UsageError("another repair is running here", where=printable(str(target)), hint="wait for it or choose another --out")
    with fsio.exclusive_directory(target, busy):
        done = _Repairing(found, target, out is not None, in_place, progress, parity).run()
        fsio.flush_names(target)
    if made and not any(target.iterdir()):
        target.rmdir()
    return done


class _Repairing:
    def __init__(self, found: Survey, target: Path, apart: bool, in_place: bool, progress: Progress, parity: bool) -> None:
        self._survey = found
        self._files = found.files
        self._copies = [_usable(found.of(file)) for file in found.files]
        self._lost = frozenset(share for share, copies in enumerate(self._copies) if not copies)
        self._target = target
        self._apart = apart
        self._in_place = in_place
        self._progress = progress
        self._wanted = found.files if parity else found.catalog.volumes
        self._new = NewFiles(target, self._wanted)
        self._descriptors: dict[Path, int] = {}

    def run(self) -> Repaired:
        self._check_space()
        store = InPlace(self._new, self._lost) if self._in_place else self._new
        with self._opened(), self._dropping(store), fsio.disk_errors("cannot write repaired blocks", self._target):
            self._progress.stage("reading and rebuilding", sum(f.size for f, c in zip(self._files, self._copies, strict=True) if c))
            catalog = self._survey.catalog
            rows = Rows(catalog.volumes, catalog.parity, self._places, store, self._progress).run()
            if any(row.lost for row in rows) and (gone := presence.taken_away()) is not None:
                raise gone  # what it holds is not lost, and nobody has to send it again
            done = [self._mend(share, rows, store) for share in range(len(self._wanted)) if self._damaged(share, rows)]
        new = any(one.path and one.path.parent == self._target for one in done)
        there = self._apart and any(copy.path.parent == self._target for copies in self._copies for copy in copies)
        if there or (new and not (self._in_place and fsio.is_there(self._target / names.CATALOG))):
            self._accompany()
        lost_rows = Counter(len(catalog.parity) - len(row.rebuilt | row.lost) for row in rows)
        return Repaired(self._survey, tuple(done), dict(sorted(lost_rows.items())), self._request(done))

    def _check_space(self) -> None:
        """Stop before anything is read when what is lost has no room. What is damaged is not known yet."""
        if len(self._lost) > len(self._survey.catalog.parity):
            return
        needed = sum(file.size for share, file in enumerate(self._wanted) if share in self._lost)
        fsio.require_free(self._target, needed, "no space for the repaired files", "free some space or choose another --out")

    @contextlib.contextmanager
    def _opened(self) -> Iterator[None]:
        """Every file that may have good blocks; one that cannot be opened has none."""
        paths = [copy.path for copies in self._copies for copy in copies]
        paths += [stretch.path for blocks in self._survey.brought.values() for stretch in blocks.values()]
        try:
            for path in dict.fromkeys(paths):
                try:
                    self._descriptors[path] = fsio.open_regular(path)
                except (Damaged, MediaError) as error:
                    if isinstance(error.__cause__, OSError) and error.__cause__.errno in (errno.EMFILE, errno.ENFILE):
                        raise
                    continue
                with fsio.disk_errors("cannot read", path):
                    fsio.from_disk(self._descriptors[path])  # what an earlier repair wrote counts as the disk has it
            yield
        except (KeyboardInterrupt, Interrupted):
            self._descriptors.clear()  # threads may still be in a read: the process is about to end
            raise
        finally:
            for fd in self._descriptors.values():
                fsio.release(fd)

    @contextlib.contextmanager
    def _dropping(self, store: NewFiles | InPlace) -> Iterator[None]:
        try:
            yield
        except (KeyboardInterrupt, Interrupted):
            raise
        except BaseException:
            store.drop()
            raise
        store.drop()

    def _places(self, share: int, row: int) -> list[BlockPlace]:
        offset = row * BLOCK_SIZE
        found = [BlockPlace(fd, offset) for c in self._copies[share] if (fd := self._descriptors.get(c.path)) is not None]
        stretch = self._survey.brought.get(self._files[share].name, {}).get(row)
        if stretch is not None and (fd := self._descriptors.get(stretch.path)) is not None:
            found.append(BlockPlace(fd, stretch.offset))
        return found

    def _damaged(self, share: int, rows: Sequence[Row]) -> bool:
        """Whether no single copy of a file is good."""
        copies = self._copies[share]
        if copies and not copies[0].problem and not _bad(share, rows, self._files[share]):
            return False
        return self._in_place or not any(not copy.problem and self._whole(copy) for copy in copies[1:])

    def _whole(self, copy: Copy) -> bool:
        self._progress.stage(f"reading another copy of {copy.file.name}", copy.file.size)
        return not check_file(copy.file, copy.path, self._progress).damaged

    def _mend(self, share: int, rows: Sequence[Row], store: NewFiles | InPlace) -> Mended:
        file = self._files[share]
        blocks = range(len(file.blocks))
        rebuilt = {row.number for row in rows if share in row.rebuilt}
        left = tuple(row.number for row in rows if share in row.lost)
        copied = {number for number in blocks if rows[number].found.get(share, 0) > 0}
        path = None
        if rebuilt or copied or not left:
            put = self._put_back if self._in_place and share not in self._lost else self._put_new
            path = put(share, rows, rebuilt, store)
        present = share not in self._lost
        return Mended(file, self._survey.title(file), present, len(rebuilt), len(copied), left, path)

    def _put_new(self, share: int, rows: Sequence[Row], rebuilt: set[int], store: NewFiles | InPlace) -> Path:  # noqa: ARG002
        """A complete file: what was rebuilt is in it already, the rest is copied."""
        file, fd = self._files[share], self._new.descriptor(share)
        wanted = [row for row in rows[: len(file.blocks)] if share in row.found]
        self._progress.stage(f"completing {file.name}", len(wanted) * BLOCK_SIZE)
        with Pool(cores(), "row") as pool:
            pool.each(lambda row: self._put(self._places(share, row.number)[row.found[share]], share, row.number, fd), wanted)
        return self._new.finish(share)

    def _put_back(self, share: int, rows: Sequence[Row], rebuilt: set[int], store: NewFiles | InPlace) -> Path:
        """The damaged blocks of the first copy, each written only when it is known what it must be: a crash makes nothing worse."""
        file, path = self._files[share], self._copies[share][0].path
        with fsio.disk_errors("cannot repair in place", path):
            fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                for number in _bad(share, rows, file):
                    if number in rebuilt:
                        self._put(store.place(share, number), share, number, fd)
                    elif share in rows[number].found:
                        self._put(self._places(share, number)[rows[number].found[share]], share, number, fd)
                os.ftruncate(fd, file.size)
                os.fsync(fd)
            finally:
                fsio.release(fd)
        return path

    def _put(self, source: BlockPlace, share: int, row: int, target: int) -> None:
        self._progress.advance(put_block(source, self._files[share], row, target))

    def _accompany(self) -> None:
        """What makes the place of repaired files one of the bundle's media: catalog, signatures, sums.

        Written also when nothing had to be repaired any more: an earlier run may have died before it came to all of them.
        """
        catalog, raw = self._survey.catalog, self._survey.raw
        self._document(names.CATALOG, raw)
        for medium in self._survey.media:
            for name in filter(names.is_signature, entries(medium.path)):
                if medium.path != self._target:
                    with contextlib.suppress(Damaged):  # a damaged one helps nobody
                        self._document(name, fsio.read_capped(medium.path / name, MAX_SIGNATURE))
        here = frozenset(entries(self._target))
        self._document(names.SUMS, checktxt.sha256sums(catalog, raw, here))
        for name, content in {names.CHECK: checktxt.check_txt(catalog, raw), **checktxt.scripts()}.items():
            self._document(name, content)

    def _document(self, name: str, content: bytes) -> None:
        path = self._target / name
        with contextlib.suppress(Damaged):
            if fsio.is_there(path) and piecewise.holds(path, content):
                return
        fsio.write_durable(path, content)

    def _request(self, mended: Sequence[Mended]) -> ResendRequest | None:
        """For the volumes' blocks: parity files follow from them."""
        volumes = {file.name for file in self._survey.catalog.volumes}
        wanted = {one.file.name: one.left for one in mended if one.left and one.file.name in volumes}
        return ResendRequest.of(self._survey.catalog, Digest.of(self._survey.raw), wanted) if wanted else None


def _usable(copies: Sequence[Copy]) -> list[Copy]:
    """The copies that may have good blocks, those of the right size first."""
    return sorted((copy for copy in copies if copy.regular), key=lambda copy: bool(copy.problem))


def _bad(share: int, rows: Sequence[Row], file: Volume) -> list[int]:
    """The blocks that the first copy of a file does not have."""
    return [row.number for row in rows[: len(file.blocks)] if row.found.get(share) != 0]


def _holds_files(directory: Path) -> bool:
    with contextlib.suppress(UsageError):
        return directory.is_dir() and bool(bundle_directories(directory))
    return False
