"""Copy a bundle to disks and prove that they have it: every block is checked when read and again when read back.

A disk is written in ``<bundle>.partial/`` and gets its name when all of it was read back. What an earlier run left there is never
trusted: all of it is read back as well, and blocks that are not right are written again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from airgap import fsio
from airgap.bundle.check import damaged_blocks
from airgap.bundle.media import entries
from airgap.errors import AirgapError, Damaged, MediaError, UsageError, disk_error
from airgap.format import checktxt, names
from airgap.format.catalog import Catalog, Volume
from airgap.format.names import BLOCK_SIZE
from airgap.limits import MAX_SIGNATURE, MAX_TUF_REPOSITORY
from airgap.media import disks
from airgap.media.disks import Disks
from airgap.media.survey import Survey
from airgap.oci.digest import Digest
from airgap.progress import Progress, Silent
from airgap.text import listing, printable
from airgap.work import Pool

_SMALL = 256 * 1024 * 1024
#: So many blocks are written before they are flushed: progress is then what the disk has, not what memory has (64 MiB).
_FLUSH = 4


@dataclass(frozen=True)
class Task:
    """The files for one disk.

    Attributes:
        dest: the directory that the user named; the bundle gets a directory in it.
        disks: the whole set, and which disk this one is.
        files: the volumes and parity files for it.
    """

    dest: Path
    disks: Disks
    files: tuple[Volume, ...]

    @property
    def final(self) -> Path:
        """The bundle's directory on the disk."""
        return self.dest / self.disks.bundle

    @property
    def partial(self) -> Path:
        """Its name as long as it is not whole."""
        return self.dest / f"{self.disks.bundle}{names.PARTIAL}"


@dataclass(frozen=True)
class Copied:
    """One disk that is written and read back; ``written`` are bytes of volumes and parity files, 0 when all was there already."""

    task: Task
    written: int


def copy(one: Survey, tasks: Sequence[Task], progress: Progress) -> list[Copied]:
    """Write every disk and read it back; disks of different devices at the same time.

    Args:
        one: the bundle, complete (``targets.check_source``).
        tasks: what goes where (``targets.assign``).
        progress: told about every byte twice: when it is written, or there already, and when it is read back.

    Raises:
        Damaged: the source is damaged.
        MediaError: no space, an I/O error, or a disk that returns other bytes than were written.
        UsageError: something is in the way that this command did not write.
    """
    count = sum(len(task.files) for task in tasks)
    progress.stage("copying and verifying", 2 * sum(file.size for task in tasks for file in task.files), count, "file")
    devices: dict[int, list[Task]] = {}
    for task in tasks:
        devices.setdefault(task.dest.stat().st_dev, []).append(task)
    documents_of = _Documents(one)

    with Pool(len(devices), "disk", patient=None) as pool:  # what they hold open on a disk is closed
        watched = pool.watched(progress)

        def work(queue: Sequence[Task]) -> list[Copied] | AirgapError:
            try:
                return [_Disk(one, task, documents_of.on(task), watched).write() for task in queue]
            except AirgapError as error:  # one bad disk: what the others have begun is worth finishing
                return error

        outcomes = pool.map(work, devices.values())
    errors = [outcome for outcome in outcomes if isinstance(outcome, AirgapError)]
    for other in errors[1:]:
        progress.say(f"error: {other}")
    if errors:
        raise errors[0]
    done = {copied.task.dest: copied for outcome in outcomes if not isinstance(outcome, AirgapError) for copied in outcome}
    return [done[task.dest] for task in tasks]


class _Documents:
    """What lies beside the volumes on every disk."""

    def __init__(self, one: Survey) -> None:
        self._one = one
        self._same = {names.CATALOG: one.raw, **_signatures(one), names.CHECK: checktxt.check_txt(one.catalog, one.raw)}
        self._same |= checktxt.scripts() | _trusted_root(one)

    def on(self, task: Task) -> dict[str, bytes]:
        """Name and content. The list of disks comes first: it says whose directory this is."""
        own = frozenset(file.name for file in task.files)
        return {
            disks.NAME: task.disks.to_bytes(),
            disks.TEXT: task.disks.to_text(),
            **self._same,
            names.SUMS: checktxt.sha256sums(self._one.catalog, self._one.raw, own),
        }


def _signatures(one: Survey) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for medium in one.media:
        for name in filter(names.is_signature, entries(medium.path)):
            found.setdefault(name, fsio.read_capped(medium.path / name, MAX_SIGNATURE))
    return found


def _trusted_root(one: Survey) -> dict[str, bytes]:
    """What the bundle carries of a TUF repository; of several copies the one that the catalog names."""
    wanted = one.catalog.trusted_root if isinstance(one.catalog, Catalog) else None
    for medium in one.media:
        raw = fsio.read_if_there(medium.path / names.TRUSTED_ROOT, MAX_TUF_REPOSITORY)
        if raw is not None and wanted in (None, Digest.of(raw)):
            return {names.TRUSTED_ROOT: raw}
    return {}


class _Disk:
    def __init__(self, one: Survey, task: Task, documents_on: Mapping[str, bytes], progress: Progress) -> None:
        self._one = one
        self._task = task
        self._documents = documents_on
        self._progress = progress
        self._written = 0

    def write(self) -> Copied:
        """Write what is not there yet, read everything back, and give the directory its name."""
        task = self._task
        if task.final.exists():
            if self._whole(task.final):
                return Copied(task, 0)
            fsio.rename_durable(task.final, task.partial)
        fsio.make_directory(task.partial, fsio.UNCHANGEABLE)
        busy = UsageError("another copy is writing there", where=printable(str(task.partial)), hint="wait for it or stop it")
        with fsio.exclusive_directory(task.partial, busy):
            if task.final.exists():  # another copy was finished since we looked
                fsio.remove_if_empty(task.partial)
                raise busy
            for name, content in self._documents.items():
                self._document(task.partial / name, content)
            for file in task.files:
                self._append(file)
            self._read_back(task.partial)
            fsio.rename_durable(task.partial, task.final)
        return Copied(task, self._written)

    def _whole(self, directory: Path) -> bool:
        """Whether a finished copy is still good. It is read as the disk gives it."""
        self._progress.say(f"{printable(str(directory))} already exists: verifying it")
        for file in self._task.files:
            _check_regular(directory / file.name)
            if not (directory / file.name).exists() or damaged_blocks(
                file, directory / file.name, _Quiet(self._progress), fresh=True
            ):
                return False
        if not all(_holds(directory / name, content) for name, content in self._documents.items()):
            return False
        fsio.flush_names(directory)
        fsio.flush_names(directory.parent)
        for file in self._task.files:
            self._progress.advance(2 * file.size, 1)
        return True

    def _document(self, path: Path, content: bytes) -> None:
        _check_regular(path)
        if not _holds(path, content):
            fsio.write_durable(path, content)

    def _append(self, file: Volume) -> None:
        """Write a file from where an earlier run stopped; whether what is there is right shows when it is read back."""
        path = self._task.partial / file.name
        self._progress.at(file.name, f"disk {self._task.disks.own}")
        with self._target(path) as fd, self._source(file) as read:
            with fsio.disk_errors("cannot write", path):
                begun = min(os.fstat(fd).st_size // BLOCK_SIZE, len(file.blocks))
                if begun == len(file.blocks) - 1 and os.fstat(fd).st_size == file.size:
                    begun = len(file.blocks)
            self._progress.advance(min(begun * BLOCK_SIZE, file.size))
            for number in range(begun, len(file.blocks)):
                self._put(fd, path, number, read(number))
                self._progress.advance(min(BLOCK_SIZE, file.size - number * BLOCK_SIZE))
            with fsio.disk_errors("cannot write", path):
                if os.fstat(fd).st_size > file.size:
                    os.ftruncate(fd, file.size)
                os.fsync(fd)

    def _put(self, fd: int, path: Path, number: int, block: memoryview) -> None:
        with fsio.disk_errors("cannot write", path):
            fsio.write_at(fd, block, number * BLOCK_SIZE)
            if number % _FLUSH == _FLUSH - 1:
                os.fdatasync(fd)
                os.posix_fadvise(fd, 0, (number + 1) * BLOCK_SIZE, os.POSIX_FADV_DONTNEED)
        self._written += len(block)

    def _read_back(self, directory: Path) -> None:
        """Everything at the end and not file by file: a stick that is smaller than it says overwrites what came first."""
        fsio.flush_names(directory)
        for file in self._task.files:
            self._progress.at(f"{file.name} (reading back)", f"disk {self._task.disks.own}")
            bad = damaged_blocks(file, directory / file.name, self._progress, fresh=True)
            if bad:
                self._mend(file, directory / file.name, bad)
            self._progress.advance(0, 1)
        for name, content in self._documents.items():
            if not _holds(directory / name, content):
                raise _liar(directory / name, "bytes differ from what was written")

    def _mend(self, file: Volume, path: Path, bad: Sequence[int]) -> None:
        """Write blocks again that an earlier run left half written. A disk that then still has others is not to be trusted."""
        with self._target(path) as fd, self._source(file) as read:
            for number in bad:
                self._put(fd, path, number, read(number))
            with fsio.disk_errors("cannot write", path):
                os.fsync(fd)
        if still := damaged_blocks(file, path, _Quiet(self._progress), fresh=True):
            raise _liar(path, f"bytes differ from what was written in block {listing([str(number) for number in still], 8)}")

    @contextlib.contextmanager
    def _target(self, path: Path) -> Iterator[int]:
        _check_regular(path)
        with fsio.disk_errors("cannot create", path):
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
        try:
            yield fd
        finally:
            fsio.release(fd)

    @contextlib.contextmanager
    def _source(self, file: Volume) -> Iterator[_BlockReader]:
        paths = [copy.path for copy in self._one.of(file) if copy.regular and not copy.problem]
        with contextlib.ExitStack() as stack:
            fds = [fsio.open_regular(path) for path in paths]
            for fd in fds:
                stack.callback(fsio.release, fd)
            yield _BlockReader(self._one.title(file), file, dict(zip(paths, fds, strict=True)))


class _BlockReader:
    """Reads blocks of a file of the bundle, from whichever copy has them right."""

    def __init__(self, title: str, file: Volume, copies: Mapping[Path, int]) -> None:
        self._title = title
        self._file = file
        self._copies = copies
        self._buffer = memoryview(bytearray(min(BLOCK_SIZE, file.size)))

    def __call__(self, number: int) -> memoryview:
        """The bytes of a block, valid until the next one is read. Raises ``Damaged``; ``MediaError`` where no copy can be read."""
        block = self._buffer[: min(BLOCK_SIZE, self._file.size - number * BLOCK_SIZE)]
        failures: dict[Path, OSError] = {}
        for path, fd in self._copies.items():
            try:
                count = fsio.read_at(fd, block, number * BLOCK_SIZE)
            except OSError as error:
                failures[path] = error
                continue
            if count == len(block) and hashlib.sha256(block).hexdigest() == self._file.blocks[number]:
                return block
        if failures and failures.keys() == self._copies.keys():
            path, why = failures.popitem()
            raise disk_error(why, f"cannot read {self._title}, block {number}", printable(str(path))) from why
        raise Damaged(
            f"the source bundle is damaged: {self._title}, block {number}",
            where=listing([str(path) for path in self._copies]),
            hint="run `airgap media check` to find all damage; repair it or use another copy, then run this command again",
        )


class _Quiet(Silent):
    """The progress of reading something once more: not told, but it stops when the other does."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def advance(self, count: int, items: int = 0) -> None:  # noqa: ARG002 - as ``Progress.advance``
        """Nothing new."""
        self._progress.advance(0)


def _holds(path: Path, content: bytes) -> bool:
    """Whether a small file has this content, as the disk gives it."""
    try:
        with fsio.disk_errors("cannot read", path):
            fsio.settle(path)
        return fsio.read_if_there(path, _SMALL + len(content)) == content
    except Damaged:
        return False


def _check_regular(path: Path) -> None:
    """Refuse to write through a link or into something that is no file."""
    if fsio.is_there(path) and (path.is_symlink() or not path.is_file()):
        raise UsageError(
            "the target contains something that this command did not write",
            where=printable(str(path)),
            got="not a regular file",
            hint="move it away, then run the same command again",
        )


def _liar(path: Path, got: str) -> MediaError:
    return MediaError(
        "the disk returns something other than what was written to it",
        where=printable(str(path)),
        got=got,
        hint="do not use this disk: run the command again with another one",
    )
