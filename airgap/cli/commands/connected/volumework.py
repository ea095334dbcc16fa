"""``export --scheduler``: volumes filled by Dask workers, on a file system that all share or into a bucket.

A task says what to fill and where, and no secret: a worker reads auth files and the credentials of buckets where it runs.
"""

from __future__ import annotations

import functools
import secrets
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from airgap import fsio
from airgap.buckets.place import BucketPlace
from airgap.cli.options.stores import Reach, registries
from airgap.cli.terminal.console import Console
from airgap.crew import scheduler
from airgap.crew.answers import answer_of, read_answer
from airgap.crew.volume import FilledVolume, fill_volume, record_of
from airgap.errors import Damaged, MediaError, UsageError
from airgap.exporter.fill import Filled
from airgap.exporter.request import Packing
from airgap.format import names
from airgap.format.entries import Volume
from airgap.limits import MAX_CATALOG
from airgap.lists import RegistrySettings
from airgap.planning.lock import Lock
from airgap.planning.plan import Plan, lay_out
from airgap.progress import Progress, Silent
from airgap.text import printable


@dataclass(frozen=True)
class VolumeTask:
    """One volume to fill. Sent through the scheduler, where others may read it: there is nothing secret in it.

    Attributes:
        versions: of the client.
        run: names the client's run; on a shared file system its file is there as long as that run wants the volume.
        lock: what is carried, compressed.
        volume_size, number, size: of the plan that the lock has; ``size`` of this volume in bytes.
        where: the unfinished bundle's directory on the file system that all share, or the bundle's place in a bucket.
        known: what an earlier run was told of this volume, if it was.
        reach: how registries are reached: names and paths.
        settings: what the lists say about registries, without logins.
        threads: blobs fetched at a time.
    """

    versions: dict[str, str]
    run: str
    lock: bytes
    volume_size: int | None
    number: int
    size: int
    where: Path | BucketPlace
    known: bytes | None
    reach: Reach
    settings: tuple[RegistrySettings, ...]
    threads: int


def fill_on_worker(task: VolumeTask) -> bytes:
    """Fill a volume and answer with its digests, or with the facts of an error; runs on a worker."""
    return answer_of(task.versions, lambda: _fill(task).to_bytes())


@functools.lru_cache(maxsize=1)
def _plan(lock: bytes, volume_size: int | None) -> Plan:
    return lay_out(Lock.from_bytes(zlib.decompress(lock), "the lock of the task"), volume_size)


def _fill(task: VolumeTask) -> FilledVolume:
    plan, name = _plan(task.lock, task.volume_size), names.volume_name(task.number)
    if plan.sizes[task.number - 1] != task.size:
        raise UsageError(
            "the worker lays out another plan than the client", where=name, hint="install the same versions everywhere"
        )
    if (known := _as_before(task, name)) is not None:
        return known
    console = Console(quiet=True)
    with registries(task.reach, task.threads, console, task.settings) as source:
        if isinstance(task.where, Path):
            marker, path = _marker(task.where, task.run), task.where / name
            return fill_volume(plan, task.number, path, source, task.threads, lambda: _still_wanted(marker))
        scratch = scheduler.worker_directory()
        fsio.require_free(scratch, task.size, "there is no room for a volume on a worker", "give it another --local-directory")
        with fsio.TemporaryDirectory(scratch / "volume") as directory:
            filled = fill_volume(plan, task.number, directory / name, source, task.threads)
            from airgap.buckets.bucket import Bucket

            Bucket(task.where).put(directory / name, task.where, name, lambda _: None, filled.sha256)
    return filled


def _as_before(task: VolumeTask, name: str) -> FilledVolume | None:
    """What an earlier run was told, if the volume is still that: a file is read, of an object its digest is asked for."""
    if task.known is None:
        return None
    try:
        known = FilledVolume.from_bytes(task.known, task.size, name)
        if isinstance(task.where, Path):
            from airgap.bundle.check import check_file

            found = check_file(Volume(name, task.size, known.sha256, known.blocks), task.where / name, Silent(), whole=True)
            return known if not found.damaged and found.sha256 == known.sha256 else None
    except Damaged:
        return None
    from airgap.buckets.bucket import Bucket

    return known if Bucket(task.where).holds(task.where, name, task.size, known.sha256) else None


def _marker(partial: Path, run: str) -> Path:
    return partial / names.FILLED / run


def _still_wanted(marker: Path) -> None:
    if not fsio.is_there(marker):
        raise MediaError("the export that wanted this volume has ended", where=printable(str(marker.parent)))


@dataclass(frozen=True)
class Machines:
    """Has volumes filled by the workers of a scheduler (``exporter.request.Crew``).

    Attributes:
        address: of the scheduler.
        place: where bundles go in a bucket; None: into a directory that all machines share.
        stream: of the bundle.
        reach, settings, threads: as of :class:`VolumeTask`.
    """

    address: str
    place: BucketPlace | None
    stream: str
    reach: Reach
    settings: Sequence[RegistrySettings]
    threads: int

    @classmethod
    def of(
        cls,
        address: str,
        place: BucketPlace | None,
        stream: str,
        packing: Packing,
        asked: tuple[bool, bool],
        reach: Reach,
        settings: Sequence[RegistrySettings],
        threads: int,
    ) -> Machines | None:
        """None without an address.

        Args:
            asked: whether there are ``--since`` and ``--gate``.

        Raises:
            UsageError: it is no address, or something else was asked for that workers cannot do; or the extra is not installed.
        """
        if not address:
            return None
        scheduler.check_address(address)
        since, gate = asked
        away = place is not None
        for given, option, why in (
            (bool(packing.recipients), "--encrypt-to", "the key of the content must not leave this machine"),
            (since or packing.patch == "always", "--since", "patches are made on this machine"),
            (away and gate, "--gate", "the volumes are not on this machine"),
            (away and packing.parity > 0, "--parity", "the volumes are not on this machine"),
            (any(one.username is not None for one in settings), "a login in the list", "secrets do not go through a scheduler"),
        ):
            if given:
                hint = "give every worker its own auth file" if "login" in option else f"omit {option} or --scheduler"
                raise UsageError(f"{option} does not go with --scheduler here", where="--scheduler", got=why, hint=hint)
        return cls(address, place, stream, reach.elsewhere(), tuple(settings), threads)

    @property
    def is_away(self) -> bool:
        """As of ``Crew``."""
        return self.place is not None

    def fill(self, plan: Plan, partial: Path, serial: int, progress: Progress) -> Filled:
        """As of ``Crew``. Raises besides as ``scheduler.run_all``, and what a worker's volume failed with."""
        if plan.lock.places:
            first = next(iter(plan.lock.places.values()))
            hint = "export this list without --scheduler"
            raise UsageError("workers read images from registries only", where="--scheduler", got=printable(first), hint=hint)
        partial, run = partial.absolute(), f"run-{secrets.token_hex(8)}"
        fsio.make_directory(partial / names.FILLED)
        _drop_strangers(partial, len(plan.sizes))
        where = partial if self.place is None else self.place.below(names.bundle_name(self.stream, serial))
        lock = zlib.compress(plan.lock.to_bytes(), 1)
        told = {n: fsio.read_if_there(record_of(partial, n), MAX_CATALOG) for n in range(1, len(plan.sizes) + 1)}
        tasks = {
            n: VolumeTask(
                scheduler.versions(), run, lock, plan.volume_size, n, plan.sizes[n - 1], where, known, self.reach,
                tuple(self.settings), self.threads,
            )
            for n, known in told.items()
        }  # fmt: skip
        found: dict[int, FilledVolume] = {}

        def took(number: int, answer: bytes) -> None:
            found[number] = _answered(answer, plan.sizes[number - 1], where, number)
            fsio.write_durable(record_of(partial, number), found[number].to_bytes())
            progress.advance(plan.sizes[number - 1], 1)

        progress.stage("filling volumes", plan.written, len(plan.sizes), "volume")
        marker = _marker(partial, run)
        fsio.write_durable(marker, b"")
        try:
            scheduler.run_all(self.address, fill_on_worker, tasks, took, progress.say)
        finally:
            marker.unlink(missing_ok=True)
        done = [found[number] for number in sorted(found)]
        return Filled([one.sha256 for one in done], [list(one.blocks) for one in done])


def _drop_strangers(partial: Path, count: int) -> None:
    """What an earlier run left that had more volumes."""
    wanted = {names.volume_name(number) for number in range(1, count + 1)}
    with fsio.disk_errors("cannot remove a volume of an earlier run", partial):
        for entry in partial.iterdir():
            if names.is_volume(entry.name) and entry.name not in wanted:
                entry.unlink()


def _answered(answer: bytes, size: int, where: Path | BucketPlace, number: int) -> FilledVolume:
    """What a worker answered of a volume of ``size`` bytes. Raises what it failed with, and ``MediaError`` without a volume."""
    name = names.volume_name(number)
    at = f"the answer of a worker about {name}"
    read_answer(answer, at)
    filled = FilledVolume.from_bytes(answer, size, at)
    if isinstance(where, Path):
        path = where / name
        found = path.stat().st_size if path.is_file() else None
        if found != size:
            raise MediaError(
                "a volume that a worker has filled is not here",
                where=printable(str(path)),
                expected=f"{size} bytes",
                got="no file" if found is None else f"{found} bytes",
                hint="--out must be on a file system that all machines have under the same path",
            )
    return filled
