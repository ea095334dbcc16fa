"""The real containerd, for tests: a daemon of one's own, and what its ``ctr`` does."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def own_containerd() -> Iterator[Path]:
    """A containerd of one's own; its socket, in a place whose name is short enough for one."""
    if shutil.which("containerd") is None or shutil.which("ctr") is None:
        pytest.skip("containerd is not installed")
    with tempfile.TemporaryDirectory(prefix="airgap-") as directory:
        root = Path(directory)
        settings = f'version = 2\nroot = "{root}/root"\nstate = "{root}/state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
        (root / "config.toml").write_text(f'{settings}[grpc]\naddress = "{root}/socket"\n')
        process = subprocess.Popen(
            ["containerd", "-c", root / "config.toml", "-l", "error"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            while not (root / "socket").exists():
                if process.poll() is not None:
                    pytest.skip("containerd does not run here")
                time.sleep(0.02)
            yield root / "socket"
        finally:
            process.terminate()
            process.wait()


def ctr(socket: Path, *words: object) -> str:
    """Run ``ctr`` on such a daemon; what it printed."""
    done = subprocess.run(["ctr", "-a", str(socket), *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
