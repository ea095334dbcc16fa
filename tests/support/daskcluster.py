"""A real Dask cluster on loopback: a scheduler and workers, each a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import distributed


@dataclass
class Cluster:
    """Its scheduler's address, and its processes: those of workers by their names."""

    address: str
    directory: Path
    scheduler: subprocess.Popen[bytes]
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def add(self, name: str, environment: Mapping[str, str]) -> None:
        """Start a worker with one thread."""
        own = self.directory / name
        own.mkdir()
        options = ["--name", name, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", own]
        command = [sys.executable, "-m", "distributed.cli.dask_worker", self.address, *map(str, options)]
        with (own / "log").open("wb") as log:
            self.workers[name] = subprocess.Popen(command, env=dict(environment), stdout=log, stderr=log, cwd=own)

    def ready(self, count: int) -> None:
        """Wait for so many workers."""
        with self.client() as client:
            client.wait_for_workers(count, timeout=120)

    @contextmanager
    def client(self) -> Iterator[distributed.Client]:
        """A client of the test's own."""
        with distributed.Client(self.address, set_as_default=False) as client:
            yield client

    def busy(self, beside: subprocess.Popen[str]) -> str:
        """The name of a worker that is at work for a command; waits for one."""
        with self.client() as client:
            while beside.poll() is None:
                names = {address: one["name"] for address, one in client.scheduler_info(n_workers=-1)["workers"].items()}
                for address, keys in client.processing().items():
                    if keys and address in names:
                        return str(names[address])
        raise RuntimeError(f"the command has ended: {beside.communicate()[1]}")

    def kill(self, name: str) -> None:
        """As the out-of-memory killer does."""
        self.workers[name].kill()
        self.workers[name].wait()

    def logs(self) -> str:
        """What all of them have said."""
        return "".join(path.read_text() for path in self.directory.rglob("log"))


@contextmanager
def dask_cluster(directory: Path) -> Iterator[Cluster]:
    """A scheduler, as yet without workers."""
    directory.mkdir()
    log = directory / "log"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=directory, env={**os.environ})
    cluster: Cluster | None = None
    try:
        while (found := re.search(r"Scheduler at:\s+(tcp://[0-9.:]+)", log.read_text())) is None:
            if process.poll() is not None:
                raise RuntimeError(log.read_text())
        cluster = Cluster(found[1], directory, process)
        yield cluster
    finally:
        for one in (*(cluster.workers.values() if cluster else ()), process):
            one.kill()
            one.wait()
