"""Debian packages and Python wheels for any architecture, by the ordinary clients, without touching the host's set-up."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

#: Debian's and the wheels' names for the two architectures of the corpus.
ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}


class Debs:
    """apt-get with its state, cache and sources in a directory of its own, for one architecture.

    The host's apt sources of its own release are copied; the host's package state is neither read nor written.
    """

    def __init__(self, directory: Path, architecture: str) -> None:
        self._directory = directory / architecture
        self._architecture = architecture
        self._codename = _codename()
        self._prepare()

    def download(self, names: list[str], *, updated: bool) -> list[Path]:
        """Fetch packages and all they depend on; with ``updated`` in their newest version, else as released. Sorted by name."""
        options = [] if updated else ["-o", f"APT::Default-Release={self._codename}"]
        command = ["install", "-y", "-qq", "--no-install-recommends", *options]
        # apt gives no URI for what is in its cache already: the names come from a simulation with an empty cache
        empty = ["-o", f"Dir::Cache::archives={self._directory / 'empty'}/"]
        listed = self._apt(*command, *empty, "--print-uris", *names)
        files = [shlex.split(line)[1] for line in listed.splitlines() if line.startswith("'")]
        self._apt(*command, "--download-only", *names)
        return sorted(self._directory / "cache/archives" / name for name in files)

    def _prepare(self) -> None:
        for part in ("state/lists/partial", "cache/archives/partial", "empty/partial", "sources"):
            (self._directory / part).mkdir(parents=True, exist_ok=True)
        (self._directory / "status").touch()
        for old in (self._directory / "sources").iterdir():
            old.unlink()
        for path in [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]:
            if path.suffix in (".list", ".sources") and path.is_file() and self._codename in path.read_text().split():
                (self._directory / "sources" / path.name).write_text(path.read_text())
        (self._directory / "apt.conf").write_text(self._configuration())
        if not list((self._directory / "state/lists").glob("*Packages*")):
            self._apt("update", "-qq")

    def _configuration(self) -> str:
        home = self._directory
        return f"""\
APT::Architecture "{self._architecture}";
APT::Architectures {{ "{self._architecture}"; }};
APT::Sandbox::User "root";
Acquire::Retries "3";
Dir::State "{home}/state";
Dir::State::status "{home}/status";
Dir::Cache "{home}/cache";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "{home}/sources";
"""

    def _apt(self, *arguments: str) -> str:
        environment = {**os.environ, "APT_CONFIG": str(self._directory / "apt.conf"), "LC_ALL": "C"}
        done = subprocess.run(["apt-get", *arguments], env=environment, check=True, stdout=subprocess.PIPE, text=True)
        return done.stdout


def wheels(directory: Path, architecture: str, requirements: list[str]) -> list[Path]:
    """Fetch wheels and all they depend on for CPython 3.11 on a Linux architecture. Sorted by name."""
    directory.mkdir(parents=True, exist_ok=True)
    machine = ARCHITECTURES[architecture]
    stamp = directory / "complete"
    wanted = "\n".join(requirements)
    if not stamp.exists() or stamp.read_text() != wanted:
        for old in directory.glob("*.whl"):
            old.unlink()
        platforms = [f"--platform=manylinux{kind}_{machine}" for kind in ("_2_17", "2014", "_2_24", "_2_27", "_2_28")]
        target = [*platforms, "--only-binary=:all:", "--python-version=3.11", "--implementation=cp"]
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "-qq", *target, "-d", str(directory), *requirements],
            check=True,
            stdin=subprocess.DEVNULL,
        )
        stamp.write_text(wanted)
    return sorted(directory.glob("*.whl"))


def _codename() -> str:
    for line in Path("/etc/os-release").read_text().splitlines():
        name, _, value = line.partition("=")
        if name == "VERSION_CODENAME":
            return value.strip('"')
    raise SystemExit("bench: this host is not a Debian release (no VERSION_CODENAME in /etc/os-release)")
