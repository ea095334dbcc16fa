"""Clients that pull images as fast as they are given: keep-alive, one connection a pull, bodies counted and thrown away."""

from __future__ import annotations

import multiprocessing
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Barrier, Event

_BUFFER = 1 << 20


@dataclass(frozen=True)
class Pull:
    """One image: the paths of its manifest and blobs on a server, and their sizes in bytes."""

    paths: tuple[str, ...]
    sizes: tuple[int, ...]


def pull_all(address: str, pulls: Sequence[Pull], parallel: int, processes: int) -> float:
    """Pull everything, ``parallel`` images at a time; the seconds that took. Stops the benchmark when an answer is wrong."""
    context = multiprocessing.get_context("fork")
    ready, go = context.Barrier(processes + 1), context.Event()
    jobs = context.Value("i", 0)
    arguments = (address, pulls, parallel // processes, ready, go, jobs)
    children = [context.Process(target=_many, args=arguments) for _ in range(processes)]
    for child in children:
        child.start()
    ready.wait()
    start = time.monotonic()
    go.set()
    for child in children:
        child.join()
    if any(child.exitcode for child in children):
        raise SystemExit("bench: a pull failed")
    return time.monotonic() - start


def _many(address: str, pulls: Sequence[Pull], threads: int, ready: Barrier, go: Event, jobs: Synchronized[int]) -> None:
    failed: list[Exception] = []

    def run() -> None:
        buffer = bytearray(_BUFFER)
        go.wait()
        while True:
            with jobs.get_lock():
                number, jobs.value = jobs.value, jobs.value + 1
            if number >= len(pulls):
                return
            try:
                _pull(address, pulls[number], buffer)
            except (OSError, ValueError) as error:
                failed.append(error)
                return

    workers = [threading.Thread(target=run) for _ in range(threads)]
    for worker in workers:
        worker.start()
    ready.wait()
    for worker in workers:
        worker.join()
    if failed:
        raise SystemExit(f"bench: {failed[0]}")


def _pull(address: str, pull: Pull, buffer: bytearray) -> None:
    host, _, port = address.rpartition(":")
    view = memoryview(buffer)
    with socket.create_connection((host, int(port)), timeout=120) as connection:
        for path, size in zip(pull.paths, pull.sizes, strict=True):
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: */*\r\n\r\n".encode())
            filled = 0
            while (end := buffer.find(b"\r\n\r\n", 0, filled)) < 0:
                count = connection.recv_into(view[filled:])
                if not count:
                    raise ValueError(f"{path}: closed")
                filled += count
            if not buffer.startswith(b"HTTP/1.1 200"):
                raise ValueError(f"{path}: {bytes(buffer[:60])!r}")
            left = size - (filled - end - 4)
            while left:
                count = connection.recv_into(view, min(left, _BUFFER))
                if not count:
                    raise ValueError(f"{path}: {left} bytes short")
                left -= count
