"""A containerd for a test, and ``ctr`` that speaks to it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.tools import require


@dataclass(frozen=True)
class Containerd:
    """A running containerd without CRI."""

    socket: Path

    def ctr(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run ``ctr``. Layers are unpacked as plain directories, which works everywhere."""
        command = ["ctr", "-a", str(self.socket), *map(str, arguments)]
        environment = {**os.environ, "CONTAINERD_SNAPSHOTTER": "native"}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def images(self) -> dict[str, str]:
        """The digest of every image by its name."""
        done = self.ctr("images", "list")
        assert done.returncode == 0, done.stderr
        return {name: digest for name, _, digest, *_ in map(str.split, done.stdout.splitlines()[1:])}


@contextlib.contextmanager
def running_containerd() -> Iterator[Containerd]:
    """Start one, in a place whose name is short enough for a socket; skips the test where it is not installed or does not run."""
    containerd = require("containerd")
    with tempfile.TemporaryDirectory(prefix="airgap-") as directory:
        root = Path(directory)
        settings = f'version = 2\nroot = "{root}/root"\nstate = "{root}/state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
        (root / "config.toml").write_text(f'{settings}[grpc]\naddress = "{root}/socket"\n')
        process = subprocess.Popen(
            [containerd, "-c", root / "config.toml", "-l", "error"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            while not (root / "socket").exists():
                if process.poll() is not None:
                    pytest.skip("containerd does not run here")
                time.sleep(0.02)
            yield Containerd(root / "socket")
        finally:
            process.terminate()
            process.wait()
