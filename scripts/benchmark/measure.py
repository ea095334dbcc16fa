"""One measured piece of work: commands run one after the other, their time, memory and writes."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Measured:
    """What a piece of work took.

    Attributes:
        wall: seconds from the first start to the last end.
        settle: seconds that `sync` took afterwards: data that was written but not on the disk yet.
        peak_rss: bytes; the largest of its processes. Never below this process's own size (about 25 MB): a child counts its
            parent's resident pages at the moment of exec.
        written: bytes that its processes handed to file systems.
        cpu: seconds that its processes computed, their own children included.
    """

    wall: float
    settle: float
    peak_rss: int
    written: int
    cpu: float


def measure(commands: list[list[str]], environment: dict[str, str] | None = None) -> Measured:
    """Run commands and stop the benchmark with their words when one fails. The disks are quiet before and after."""
    compiled = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}  # as pip installs it
    os.sync()
    peak, written, cpu = 0, 0, 0.0
    start = time.monotonic()
    for command in commands:
        rss, size, seconds = _run(command, {**compiled, **(environment or {})})
        peak, written, cpu = max(peak, rss), written + size, cpu + seconds
    wall = time.monotonic() - start
    os.sync()
    return Measured(wall, time.monotonic() - start - wall, peak, written, cpu)


def _run(command: list[str], environment: dict[str, str]) -> tuple[int, int, float]:
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    written = _written(process.pid)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"bench: exit code {process.returncode} from: {' '.join(command)}")
    return usage.ru_maxrss * 1024, written, usage.ru_utime + usage.ru_stime


def _written(pid: int) -> int:
    # a finished process that nobody has waited for yet still shows its sums, those of its own children included
    for line in Path(f"/proc/{pid}/io").read_text().splitlines():
        name, _, value = line.partition(": ")
        if name == "write_bytes":
            return int(value)
    return 0


def size_on_disk(directory: Path) -> int:
    """Bytes allocated for the files below a directory, each file once."""
    sizes = {}
    for path in directory.rglob("*"):
        status = path.lstat()
        sizes[status.st_ino] = status.st_blocks * 512
    return sum(sizes.values())


def size_of_files(directory: Path) -> int:
    """Bytes in the files below a directory."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def read_once(directory: Path) -> None:
    """Bring the files below a directory into the page cache."""
    buffer = bytearray(1 << 20)
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            with path.open("rb", buffering=0) as file:
                while file.readinto(buffer):
                    pass
