"""Commands that run beside the test, and others beside them: started, listened to, stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import TracebackType

from tests.support.hostile import Reply, Request
from tests.support.site import Site


class Started:
    """``airgap`` as a process of its own; a context manager that ends it.

    Args:
        site: whose command it is.
        state: the state directory, below the site's.
    """

    def __init__(self, site: Site, *arguments: object, state: str = "site-state") -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(site.root / "home"),
            "AIRGAP_STATE": str(site.root / state),
            "AIRGAP_KEY_PASSPHRASE": "",
        }
        self._out, self._err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self.process = subprocess.Popen(
            [sys.executable, "-m", "airgap", *map(str, arguments)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._err,
        )

    def __enter__(self) -> Started:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.process.kill()
        self.process.wait()
        self._out.close()
        self._err.close()

    @property
    def errors(self) -> str:
        """What it said to a person so far."""
        return os.pread(self._err.fileno(), 1 << 20, 0).decode()

    @property
    def output(self) -> str:
        """What it printed so far."""
        return os.pread(self._out.fileno(), 1 << 20, 0).decode()

    def says(self, text: str) -> str:
        """Wait until it says something; the line."""
        while text not in self.errors:
            assert self.process.poll() is None or text in self.errors, f"ended with {self.process.returncode}: {self.errors}"
            threading.Event().wait(0.02)
        return next(line for line in self.errors.splitlines() if text in line)

    def ends(self, code: int = 0) -> str:
        """Wait for its end; what it said to a person."""
        self.process.wait()
        assert self.process.returncode == code, f"exit {self.process.returncode}, not {code}: {self.errors}{self.output}"
        assert "Traceback" not in self.errors, self.errors
        return self.errors

    def stop(self, number: int = signal.SIGINT) -> None:
        """Send a signal."""
        self.process.send_signal(number)


class Held:
    """Stops the requests of a ``Gateway`` whose path ends in a text, until they are let go; then they are passed on."""

    def __init__(self, method: str, end: str) -> None:
        self._method, self._end = method, end
        self.reached, self._free = threading.Event(), threading.Event()

    def __call__(self, request: Request) -> Reply | None:
        if request.method == self._method and request.path.endswith(self._end):
            self.reached.set()
            self._free.wait()
        return None

    def let_go(self) -> None:
        """From now on nothing is stopped."""
        self._free.set()


def import_of(target: str, bundle: Path, policy: Path, *options: object) -> tuple[object, ...]:
    """The arguments of an import."""
    return ("import", bundle, "--to", target, "--policy", policy, *options)
