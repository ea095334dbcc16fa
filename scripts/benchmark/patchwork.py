"""One piece of work on patches in a process of its own: started by scripts/bench patches with the Python that has airgap.

Prints what it took as one JSON object; start-up and what comes before the work proper are not counted.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from airgap import fsio
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.stores import Reader
from airgap.oci.verify import CHUNK, VerifiedReader
from airgap.patch import codec, kinds
from airgap.patch.tokens import GzipReader, TokenReader
from airgap.patch.zstd import EFFORTS, Effort


@dataclass(frozen=True)
class Job:
    """A layer, the one it is made from, where its patch is, and how hard to try."""

    new: Path
    base: Path
    patch: Path
    effort: Effort


def main(arguments: list[str]) -> None:
    """Do one work: WORK NEW BASE PATCH LEVEL COPIES; that many at the same time, each with a patch file of its own."""
    name, new, base, patch, level, copies = arguments
    jobs = [Job(Path(new), Path(base), Path(f"{patch}.{number}"), EFFORTS[level]) for number in range(int(copies))]
    works = [_WORKS[name](job) for job in jobs]
    with ThreadPoolExecutor(len(works)) as pool:
        wall, cpu = time.perf_counter(), time.process_time()
        for done in [pool.submit(work) for work in works]:
            done.result()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(json.dumps({"wall": wall, "cpu": cpu, "patch": jobs[0].patch.stat().st_size if jobs[0].patch.exists() else 0}))


def _decode(job: Job) -> Callable[[], None]:
    return lambda: _drain(TokenReader(_open(job.new)))


def _encode(job: Job) -> Callable[[], None]:
    fd = os.memfd_create("tokens")  # in memory, but not in what this process is said to occupy
    size = 0
    for piece in _pieces(TokenReader(_open(job.new))):
        fsio.write_at(fd, piece, size)
        size += len(piece)
    return lambda: _drain(GzipReader(fsio.FileReader(fd, 0, size, "tokens")))


def _make(job: Job) -> Callable[[], None]:
    def work() -> None:
        with job.patch.open("wb") as file:
            file.writelines(codec.make(lambda: _open(job.new), lambda: _open(job.base), kinds.DEFLATE, job.effort))
        _prove(job)

    return work


def _rebuild(job: Job) -> Callable[[], None]:
    return lambda: _prove(job)


def _prove(job: Job) -> None:
    """Rebuild, and check size and SHA-256 as the exporter and the importer do; blobs of a layout are named by digest."""
    wanted = Descriptor(media.OCTETS, Digest.parse(f"sha256:{job.new.name}"), job.new.stat().st_size)
    rebuilt = codec.rebuild(_open(job.patch), lambda: _open(job.base), kinds.DEFLATE, "patch")
    _drain(VerifiedReader(rebuilt, wanted, "rebuilt"))


def _open(path: Path) -> Reader:
    return fsio.FileReader(fsio.open_regular(path), 0, path.stat().st_size, str(path))


def _drain(reader: Reader) -> None:
    for _ in _pieces(reader):
        pass


def _pieces(reader: Reader) -> Iterator[memoryview]:
    buffer = memoryview(bytearray(CHUNK))
    with contextlib.closing(reader):
        while count := reader.readinto(buffer):
            yield buffer[:count]


_WORKS = {"decode": _decode, "encode": _encode, "make": _make, "rebuild": _rebuild}

if __name__ == "__main__":
    main(sys.argv[1:])
