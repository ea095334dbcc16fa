"""Toolkits made without a network, out of wheels at hand, and their install script run as on a bare machine."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from airgap.toolkit.packages import Machine
from airgap.toolkit.wheel import running_package
from tests.support.tools import require
from tests.support.wheels import wheel_house

#: The running Python.
THIS = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True)
class Kit:
    """A toolkit, the wheels that it was made from, and what installs from it."""

    path: Path
    house: Path
    work: Path

    @classmethod
    def make(cls, work: Path) -> Kit:
        """One for this machine."""
        made = cls(work / "kit", wheel_house(work / "house", running_package().requires), work)
        done = toolkit(made.path, made.environment(PIP_NO_INDEX="1", PIP_FIND_LINKS=str(made.house)), "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["machines"] == [Machine.parse("linux/amd64", THIS, "2.44").name]
        return made

    def environment(self, **more: str) -> dict[str, str]:
        """Nothing of this environment's, and no index that could be reached."""
        fixed = {"PATH": os.environ["PATH"], "HOME": str(self.work), "PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "0"}
        return {
            **fixed,
            "PIP_INDEX_URL": f"http://127.0.0.1:{free_port()}/simple",
            "AIRGAP_STATE": str(self.work / "state"),
            **more,
        }

    def install(
        self,
        kit: Path,
        target: Path,
        cwd: Path | None = None,
        umask: int = -1,
        shell: Sequence[str] = ("dash",),
        options: Sequence[str] = (),
        **more: str,
    ) -> subprocess.CompletedProcess[str]:
        """Run the install script."""
        require(shell[0])
        command = [*shell, str(kit / "install.sh"), *options, str(target)]
        environment = self.environment(**{"PYTHON": sys.executable, **more})
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, cwd=cwd, umask=umask)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def toolkit(
    out: Path, environment: dict[str, str], *options: str, python: Path = Path(sys.executable)
) -> subprocess.CompletedProcess[str]:
    command = [str(python), "-m", "airgap", "toolkit", "--out", str(out), "--glibc", "2.44", *options]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=environment["HOME"], check=False)


def edit_sums(kit: Path, edit: Callable[[bytes], bytes]) -> None:
    """Change ``SHA256SUMS`` of a toolkit."""
    (kit / "SHA256SUMS").write_bytes(edit((kit / "SHA256SUMS").read_bytes()))
