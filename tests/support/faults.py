"""Calls to the disk that fail when they are told to: the shim ``faults.c``, and what it makes fail.

The shim is loaded into the driver of :mod:`tests.support.crash` and armed in the child that runs one command. Every call of the C
library that touches a file below a directory is of a kind; call number ``n`` of a kind fails with a chosen errno, once or for ever.
What is called without the C library (nothing of Python's, SQLite's and our own) and through ``mmap`` is not seen.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from airgap.cli.main import main as airgap_main
from tests.support.tools import require

_ROOT = Path(__file__).resolve().parents[2]
_SOURCE = Path(__file__).with_name("faults.c")
#: What a kind of call fails with in real life.
ERRORS: Mapping[str, tuple[int, ...]] = {
    "open": (errno.EIO, errno.EACCES, errno.EMFILE, errno.ENOSPC, errno.EROFS),
    "read": (errno.EIO, errno.ENODEV),
    "write": (errno.ENOSPC, errno.EIO, errno.EDQUOT),
    "sendfile": (errno.EIO,),
    "fsync": (errno.EIO, errno.ENOSPC, errno.EDQUOT),
    "truncate": (errno.EIO, errno.ENOSPC),
    "rename": (errno.EIO, errno.ENOSPC, errno.EROFS),
    "link": (errno.EIO, errno.ENOSPC),
    "unlink": (errno.EIO, errno.EROFS),
    "rmdir": (errno.EIO, errno.EROFS),
    "mkdir": (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EIO),
    "chmod": (errno.EIO, errno.EROFS, errno.EPERM),
    "fstat": (errno.EIO,),
    "stat": (errno.EIO, errno.EACCES),
    "statvfs": (errno.EIO,),
    "list": (errno.EIO, errno.EACCES),
    "lock": (errno.EIO, errno.ENOLCK),
    "allocate": (errno.ENOSPC, errno.EIO),
    "advise": (errno.EIO,),
    "close": (errno.EIO, errno.EDQUOT),
}


@dataclass(frozen=True)
class Fault:
    """Call ``number`` (from 1) of a kind on files below a directory fails; with ``number`` 0 none does, and all are only logged."""

    below: str
    kind: str = "open"
    number: int = 0
    error: int = errno.EIO
    for_ever: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.number} {errno.errorcode[self.error]}{' for ever' if self.for_ever else ''}"


def build(work: Path) -> Path:
    """Compile the shim into a directory; the library. The test is skipped where there is no compiler."""
    library = work / "faults.so"
    command: list[str | Path] = [
        require("gcc"),
        "-std=gnu11",
        "-O2",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-shared",
        "-fPIC",
        "-o",
        library,
        _SOURCE,
        "-ldl",
    ]
    subprocess.run(command, check=True)
    return library


class Paused:
    """A command that stops right before a call to the disk, until it is told to go on. A context manager, which kills it.

    Args:
        library: what :func:`build` made.
        at: the call; its ``error`` does not matter.
        command: the arguments of airgap.
        environment: of the command, beside ``PATH``.
    """

    def __init__(self, library: Path, at: Fault, command: Sequence[object], environment: Mapping[str, str]) -> None:
        job = json.dumps(asdict(replace(at, error=-signal.SIGSTOP)))
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, job, *map(str, command)],
            cwd=_ROOT,
            env={"PATH": os.environ["PATH"], "LD_PRELOAD": str(library), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Paused:
        _, status = os.waitpid(self._process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), f"ended before that call: {os.waitstatus_to_exitcode(status)}"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()

    def go_on(self) -> subprocess.Popen[str]:
        """Let it go on; the process."""
        self._process.send_signal(signal.SIGCONT)
        return self._process

    def end(self) -> subprocess.CompletedProcess[str]:
        """Let it go on to its end."""
        self.go_on()
        output, errors = self._process.communicate()
        return subprocess.CompletedProcess(self._process.args, self._process.returncode, output, errors)


def arm(fault: Mapping[str, Any], log: str) -> None:
    """In the process with the shim: from now on the fault is there; the calls are written to a file."""
    opened = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    shim = ctypes.CDLL(None)
    shim.faults_arm.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_long, ctypes.c_int, ctypes.c_int, ctypes.c_int]
    below, kind = fault["below"].encode(), fault["kind"].encode()
    for_ever = fault["for_ever"] and fault["number"] > 0
    shim.faults_arm(below, kind, fault["number"], fault["error"], for_ever, opened)


def _main() -> None:
    """Run a command in this process with a fault: ``python -m tests.support.faults FAULT ARGUMENT...``."""
    arm(json.loads(sys.argv[1]), os.devnull)
    sys.argv = ["airgap", *sys.argv[2:]]
    airgap_main()


if __name__ == "__main__":
    _main()
