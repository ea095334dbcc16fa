"""Kill airgap by SIGKILL at a chosen point of its work: a driver process, and the client that tests use.

The driver loads airgap once. Every job runs in a forked child; in the child, and nowhere else, the functions that change a disk,
a registry or the state are wrapped, so that each call is a point right before, right after and, where a part of it can be done,
inside. A point has a number (the order in which points are reached) and a name: ``inside write volume-0002.tar #3``.

By hand: ``python -m tests.support.crash --at "after rename catalog.json #1" export ...``; without ``--at`` nothing dies and the
points are printed.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from airgap import fsio
from airgap.cli.application import application
from airgap.cli.main import main as airgap_main
from airgap.cli.main import run as airgap_run
from airgap.cli.options.outputs import Output
from airgap.exporter import fill
from airgap.exporter.journal import Journal
from airgap.fsio import NewFile
from airgap.layout import LayoutStore, PrunableLayout
from airgap.oci.descriptor import Descriptor
from airgap.oci.stores import Reader
from airgap.registry import PrunableRegistry, RegistryStore
from airgap.state import State
from airgap.state.catalogs import Catalogs
from airgap.state.intents import Intents
from tests.support import faults

_ROOT = Path(__file__).resolve().parents[2]
_SIGNATURE = re.compile(r"catalog\.json\.[0-9a-z]+\.(?:sig|asc)")
_BLOB = re.compile(r"[0-9a-f]{64}")
_TEMPORARY = re.compile(r"\.(.+)\.airgap-[0-9a-f]{16}\.tmp")


_RECORDS = (
    "record_sealing",
    "record_export",
    "record_import",
    "record_generation",
    "record_prune",
    "record_rollback",
    "record_sigstore_root",
    "_history",
)


# in the child


class Points:
    """Counts the points that are reached, writes their names to ``log``, and is struck at the one named or numbered ``at``."""

    def __init__(self, at: str, log: int, number: int = signal.SIGKILL) -> None:
        self._number = number
        self._at = at
        self._log = log
        self._count = 0
        self._seen: Counter[str] = Counter()
        self._guard = threading.Lock()

    def reach(self, what: str, last_act: Callable[[], object] | None = None) -> None:
        """Be at a point; ``last_act`` is what is still done when it is the last one."""
        with self._guard:
            self._count += 1
            self._seen[what] += 1
            name = f"{what} #{self._seen[what]}"
            os.write(self._log, f"{name}\n".encode())
            if self._at in (name, str(self._count)):
                if last_act is not None:
                    last_act()
                os.kill(os.getpid(), self._number)


def _wrap(points: Points, owner: Any, function: str, name: Callable[..., str]) -> None:
    original = getattr(owner, function)

    @functools.wraps(original)
    def wrapped(*args: Any, **options: Any) -> Any:
        what = name(*args)
        points.reach(f"before {what}")
        result = original(*args, **options)
        points.reach(f"after {what}")
        return result

    setattr(owner, function, wrapped)


def _arm(points: Points) -> None:
    """Wrap everything that changes something outside this process."""
    _arm_partial_acts(points)
    _wrap(points, fsio, "write_at", lambda fd, *_: f"write {_open_file(fd)}")
    _wrap(points, fsio, "make_directory", lambda *_: "make directory")
    _wrap(points, Path, "rename", lambda _, new: f"rename {_file(new)}")
    _wrap(points, NewFile, "take_name", lambda file: f"rename {_file(file.path)}")
    _wrap(points, Path, "unlink", lambda path, *_: f"remove {_file(path)}")
    _wrap(points, Journal, "note", lambda *_: "note")
    for owner, acts in ((State, _RECORDS), (Intents, ("appear", "settle")), (Catalogs, ("keep",)), (Output, ("write",))):
        for act in acts:
            _wrap(points, owner, act, lambda *_, act=act: act.strip("_"))
    for prunable in (PrunableLayout, PrunableRegistry):
        _wrap(points, prunable, "remove", lambda *_: "remove at target")
    for store in (RegistryStore, LayoutStore):
        for act in ("mount", "write", "put_manifest", "link_referrers", "tag", "commit"):
            _wrap(points, store, act, lambda *_, act=act: f"{act} at target")


def _arm_partial_acts(points: Points) -> None:
    """Points in the middle: half of a buffer written, a journal line torn, a blob sent in part."""
    write_at, note = fsio.write_at, Journal.note

    def write_half(fd: int, data: memoryview | bytes, offset: int) -> None:
        points.reach(f"inside write {_open_file(fd)}", lambda: write_at(fd, data[: len(data) // 2], offset))
        write_at(fd, data, offset)

    def note_half(self: Journal, digest: str, count: int) -> None:
        line = json.dumps([digest, count]).encode()
        points.reach("inside note", lambda: os.write(self._fd, line[: len(line) // 2]))
        note(self, digest, count)

    def send_half(store: Any, write: Any, repository: Any, blob: Descriptor, opener: Callable[[], Reader]) -> None:
        write(store, repository, blob, lambda: _Watched(opener(), blob.size, points))

    fsio.write_at = write_half
    Journal.note = note_half  # type: ignore[method-assign]
    write = RegistryStore.write
    RegistryStore.write = lambda self, *args: send_half(self, write, *args)  # type: ignore[method-assign]


class _Watched:
    """A reader with a point when the first half of the blob has been sent."""

    def __init__(self, reader: Reader, size: int, points: Points) -> None:
        self._reader = reader
        self._half = size // 2 or -1
        self._points = points

    def readinto(self, buffer: memoryview, /) -> int:
        if self._half == 0:  # the sender asks for more, so it has sent what it got
            self._half = -1
            self._points.reach("inside write at target")
        if self._half < 0:
            return self._reader.readinto(buffer)
        count = self._reader.readinto(buffer[: min(len(buffer), self._half)])
        self._half -= count
        return count

    def close(self) -> None:
        self._reader.close()


def _open_file(fd: int) -> str:
    return _file(Path(f"/proc/self/fd/{fd}").readlink())


def _file(path: str | Path) -> str:
    """A file's name without what is random in it."""
    name = Path(path).name
    if name.endswith(" (deleted)"):
        return "new file"
    if temporary := _TEMPORARY.fullmatch(name):
        name = f"{temporary[1]} (temporary)"
    name = _SIGNATURE.sub("signature", name)
    return _BLOB.sub("blob", name)


def _child(at: str, log: Path, arguments: Sequence[str], note_every: int | None, number: int = signal.SIGKILL) -> None:
    """Run one command and end the process."""
    if note_every is not None:
        fill._NOTE_EVERY = note_every
    _arm(Points(at, os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), number))
    _run(arguments)


def _run(arguments: Sequence[str]) -> None:
    sys.argv = ["airgap", *arguments]
    try:
        airgap_main()
    except SystemExit as leaving:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(leaving.code if isinstance(leaving.code, int) else 1)


# the driver


def _serve() -> None:
    """Jobs as JSON lines on standard input, results on standard output. Each job is a process of its own."""
    results = os.fdopen(os.dup(1), "w")
    _warm_up()
    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _redirect(job["output"], job["errors"])
            os.environ.update(job["environment"])
            if job["fault"] is not None:
                faults.arm(job["fault"], job["log"])
            if job["cap"]:
                signal.alarm(job["cap"])
            if job["at"] is None:
                _run(job["arguments"])
            _child(job["at"], Path(job["log"]), job["arguments"], job["note_every"], job["number"])
        _, status = os.waitpid(pid, 0)
        results.write(f"{os.waitstatus_to_exitcode(status)}\n")
        results.flush()


def _warm_up() -> None:
    """Let the command line load what it loads late, once for all children."""
    list(application().commands.values())
    with contextlib.redirect_stderr(io.StringIO()):
        airgap_run(["inspect", os.devnull])


def _redirect(output: str, errors: str) -> None:
    for path, fd in ((os.devnull, 0), (output, 1), (errors, 2)):
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(opened, fd)
        os.close(opened)


def main() -> None:
    """The driver's command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--at", default="", help="number or name of the point to die at")
    parser.add_argument("--note-every", type=int, help="journal long blobs every so many bytes")
    parser.add_argument("--serve", action="store_true", help="take jobs on standard input (for tests)")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="an airgap command")
    options = parser.parse_args()
    if options.serve:
        _serve()
    else:
        _child(options.at, Path("/dev/stderr"), options.arguments, options.note_every)


# the client


@dataclass(frozen=True)
class Ended:
    """How a run ended. ``points`` are the names of the points it reached, in order."""

    returncode: int
    stdout: str
    stderr: str
    points: tuple[str, ...] = ()

    @property
    def killed(self) -> bool:
        """Whether it died by SIGKILL."""
        return self.returncode == -signal.SIGKILL

    @property
    def json(self) -> Any:
        """What it printed with ``--json``."""
        return json.loads(self.stdout)


class Crasher:
    """Runs airgap in children of one driver process, with or without a point to die at. A context manager.

    Args:
        environment: further environment of every run.
        preload: what :func:`faults.build` made, for :meth:`fail`.
    """

    def __init__(self, environment: Mapping[str, str], preload: Path | None = None) -> None:
        kept = {name: os.environ[name] for name in ("PATH", "TMPDIR", "LANG") if name in os.environ}
        self._directory = tempfile.TemporaryDirectory(prefix="crash")
        self._environment = dict(environment)
        self._driver = subprocess.Popen(
            [sys.executable, "-m", "tests.support.crash", "--serve"],
            cwd=_ROOT,
            env=kept if preload is None else kept | {"LD_PRELOAD": str(preload)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Crasher:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._driver.communicate()
        self._directory.cleanup()

    def run(self, *arguments: object) -> Ended:
        """Run one command as it is: nothing is wrapped."""
        return self._job(None, arguments, None)

    def crash(self, at: str | int, *arguments: object, note_every: int | None = None, number: int = signal.SIGKILL) -> Ended:
        """Run one command and let it die at a point, or get another signal there; ``""`` for none, to learn the points."""
        return self._job(str(at), arguments, note_every, number)

    def fail(self, fault: faults.Fault, *arguments: object, cap: int = 0) -> Ended:
        """Run one command whose disk fails; its points are the calls it made, those that failed with a ``!`` before them.

        Args:
            fault: which call fails, and how.
            arguments: the command.
            cap: seconds after which it is killed by SIGALRM, or 0; for scripts, which have to come to an end.
        """
        return self._job(None, arguments, None, fault=fault, cap=cap)

    def _job(
        self,
        at: str | None,
        arguments: tuple[object, ...],
        note_every: int | None,
        number: int = signal.SIGKILL,
        *,
        fault: faults.Fault | None = None,
        cap: int = 0,
    ) -> Ended:
        work = Path(self._directory.name)
        output, errors, log = work / "output", work / "errors", work / "log"
        log.write_bytes(b"")
        job = {
            "at": at,
            "fault": asdict(fault) if fault else None,
            "cap": cap,
            "note_every": note_every,
            "number": int(number),
            "arguments": [str(argument) for argument in arguments],
            "environment": self._environment,
            "output": str(output),
            "errors": str(errors),
            "log": str(log),
        }
        assert self._driver.stdin is not None
        assert self._driver.stdout is not None
        self._driver.stdin.write(json.dumps(job) + "\n")
        self._driver.stdin.flush()
        code = int(self._driver.stdout.readline())
        return Ended(code, output.read_text(), errors.read_text(), tuple(log.read_text().splitlines()))


@contextlib.contextmanager
def crasher(home: Path, preload: Path | None = None) -> Iterator[Crasher]:
    """A crasher with a home of its own and keys without a passphrase."""
    home.mkdir(parents=True, exist_ok=True)
    with Crasher({"HOME": str(home), "AIRGAP_KEY_PASSPHRASE": ""}, preload) as made:
        yield made


if __name__ == "__main__":
    main()
