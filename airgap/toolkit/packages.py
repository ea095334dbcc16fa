"""Get the wheels that airgap needs, with pip, for other machines than this one.

pip is a command of the user's: which index it asks, through which proxy and with which certificates is for its own settings to say.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from airgap import fsio, programs
from airgap.errors import Damaged, RegistryError, UsageError
from airgap.oci.descriptor import Platform
from airgap.text import listing, printable

#: ``uname -m`` and the name in wheels by architecture (and variant) as images name them.
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64", "ppc64le": "ppc64le", "s390x": "s390x", "386": "i686", "arm": "armv7l"}
#: Names of glibc floors before PEP 600.
_LEGACY = {5: "manylinux1", 12: "manylinux2010", 17: "manylinux2014"}
_FIRST_GLIBC = 5
#: musl 1.1 is the oldest for which there are wheels (PEP 656).
_FIRST_MUSL = 1
_PYTHON = re.compile(r"3\.([0-9]{1,2})", re.ASCII)
_GLIBC = re.compile(r"2\.([0-9]{1,2})", re.ASCII)
_MUSL = re.compile(r"1\.([0-9]{1,2})", re.ASCII)
_OLDEST_PYTHON = 11
_WHEEL = re.compile(r"([A-Za-z0-9_.]+)-([A-Za-z0-9_.!+]+)(?:-\d[A-Za-z0-9_.]*)?-[A-Za-z0-9_.]+-[A-Za-z0-9_.]+-[A-Za-z0-9_.]+\.whl")
_BY_VERSION = re.compile(r"([^;]+);\s*python_version\s*(<=|>=|<|>|==|!=)\s*[\"']3\.([0-9]{1,2})[\"']\s*", re.ASCII)
_MAX_WHEEL = 1024 * 1024 * 1024
#: What airgap runs without, and what it then cannot do; there are no wheels of these for every machine.
OPTIONAL = {
    "zfec": "parity cannot be computed or used there",
    "rfc3161-client": "Sigstore bundles that need a timestamp are refused there",
    "google-re2": "lists with regular expressions cannot be read there",
}
_TAIL = 6  # lines of pip's that are shown


@dataclass(frozen=True)
class Machine:
    """A kind of machine.

    Attributes:
        platform: as images name it.
        python: the minor version of CPython 3.
        libc: the minor version of glibc 2 or musl 1 at least.
        musl: which of the two it is.
    """

    platform: Platform
    python: int
    libc: int
    musl: bool = False

    @classmethod
    def parse(cls, platform: str, python: str, glibc: str, musl: str = "") -> Machine:
        """From what a person writes: ``linux/arm64``, ``3.12``, ``2.28``, for musl also ``1.2``. Raises ``UsageError``."""
        found, version, floor = Platform.parse(platform), _PYTHON.fullmatch(python), _GLIBC.fullmatch(glibc)
        if found.os != "linux" or found.architecture not in _MACHINES:
            expected = f"linux and one of {', '.join(_MACHINES)}"
            raise UsageError("no packages for this platform", where="--platform", expected=expected, got=printable(platform))
        if version is None or int(version[1]) < _OLDEST_PYTHON:
            raise UsageError(
                "unsupported Python version", where="--python", expected=f"3.{_OLDEST_PYTHON} or newer", got=printable(python)
            )
        if floor is None or int(floor[1]) < _FIRST_GLIBC:
            raise UsageError("not a valid glibc version", where="--glibc", expected="such as 2.28", got=printable(glibc))
        if musl:
            floor = _MUSL.fullmatch(musl)
            if floor is None or int(floor[1]) < _FIRST_MUSL:
                raise UsageError("not a valid musl version", where="--musl", expected="such as 1.2", got=printable(musl))
        return cls(found, int(version[1]), int(floor[1]), bool(musl))

    @property
    def name(self) -> str:
        """As the install script asks for it: ``3.11-x86_64``, ``3.12-aarch64-musl``."""
        return f"3.{self.python}-{_MACHINES[self.platform.architecture]}{'-musl' if self.musl else ''}"

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.platform}, Python 3.{self.python}{', musl' if self.musl else ''}"

    @property
    def floor(self) -> str:
        """The oldest C library, for people."""
        return f"musl 1.{self.libc}" if self.musl else f"glibc 2.{self.libc}"

    def options(self) -> list[str]:
        """What tells pip about it."""
        machine = _MACHINES[self.platform.architecture]
        floors = range(self.libc, (_FIRST_MUSL if self.musl else _FIRST_GLIBC) - 1, -1)
        tags = [f"musllinux_1_{minor}" if self.musl else f"manylinux_2_{minor}" for minor in floors]
        tags += [] if self.musl else [_LEGACY[minor] for minor in floors if minor in _LEGACY]
        abis = [f"cp3{self.python}", "abi3", "none"]
        told = ["--python-version", f"3.{self.python}", "--implementation", "cp"]
        told += [word for abi in abis for word in ("--abi", abi)]
        return told + [word for tag in tags for word in ("--platform", f"{tag}_{machine}")]


@dataclass(frozen=True)
class Wheel:
    """A wheel file."""

    path: Path
    name: str
    version: str
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Wheel:
        """Read one. Raises ``Damaged``: it has no wheel's name."""
        parts = _WHEEL.fullmatch(path.name)
        if parts is None:
            raise Damaged("not a valid wheel name", where=printable(str(path)))
        digest = hashlib.sha256(fsio.read_capped(path, _MAX_WHEEL)).hexdigest()
        return cls(path, re.sub(r"[-_.]+", "-", parts[1]).lower(), parts[2], digest)


def download(requires: Sequence[str], machine: Machine, directory: Path) -> list[Wheel]:
    """Let pip put everything that is required into a directory. What is optional may be missing from it.

    Args:
        requires: as wheels name it.
        machine: where it is to run.
        directory: empty.

    Raises:
        UsageError: this Python has no pip.
        RegistryError: pip did not get all of it.
    """
    wanted = [requirement for one in requires if (requirement := _for_python(one, machine.python))]
    complete, complaints = _pip(wanted, machine, directory)
    while not complete and len(left := [one for one in wanted if not _is_lost(one, complaints)]) < len(wanted):
        wanted = left  # pip names one at a time
        complete, complaints = _pip(wanted, machine, directory)
    if not complete:
        raise _failure(complaints, machine)
    found = [Wheel.of(path) for path in sorted(directory.iterdir())]
    if not found:
        raise RegistryError("pip fetched nothing", where=machine.title, hint="run pip download by hand to find out why")
    return found


def _is_lost(requirement: str, complaints: str) -> bool:
    """Whether something optional is not to be had, by what pip says."""
    name = re.split(r"[^A-Za-z0-9._-]", requirement)[0]
    return name in OPTIONAL and re.search(rf"No matching distribution found for {name}(?![\w-])", complaints) is not None


def _pip(wanted: Sequence[str], machine: Machine, directory: Path) -> tuple[bool, str]:
    """Whether pip got all of it, and what it complained about."""
    if getattr(sys, "frozen", False):  # a build with its interpreter inside: sys.executable is airgap itself
        hint = "make the toolkit with an airgap that pip or pipx installed"
        raise UsageError("this airgap has no pip", where=printable(sys.executable), expected="Python with pip", hint=hint)
    command = [sys.executable, "-P", "-m", "pip", "download", "--disable-pip-version-check", "--no-input", "--quiet"]
    command += ["--only-binary", ":all:", "--dest", str(directory), *machine.options(), *wanted]
    done = programs.run(command, output=False)
    return done.returncode == 0, done.stderr.decode("utf-8", "replace")


def _failure(said: str, machine: Machine) -> RegistryError | UsageError:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if any("No module named pip" in line for line in lines):
        return UsageError(
            "this Python has no pip", where=printable(sys.executable), hint="install it (python3-pip), then run the command again"
        )
    errors = [line for line in lines if line.startswith("ERROR")] or lines
    return RegistryError(
        f"pip could not fetch the packages for {machine.title}",
        got=printable(listing(errors[-_TAIL:], _TAIL), 2000),
        hint="see that pip reaches its package index (pip.conf, PIP_INDEX_URL, PIP_FIND_LINKS), or ask for another --platform, "
        "--python or --glibc, then run the command again",
    )


def _for_python(requirement: str, minor: int) -> str:
    """A requirement for a version of Python, or an empty string if it does not apply: pip would use its own version."""
    if re.search(r";.*\bextra\b", requirement):
        return ""
    found = _BY_VERSION.fullmatch(requirement.strip())
    if found is None:
        return requirement
    bound = int(found[3])
    order = (minor > bound) - (minor < bound)
    holds = {"<": order < 0, "<=": order <= 0, ">": order > 0, ">=": order >= 0, "==": order == 0, "!=": order != 0}
    return found[1].strip() if holds[found[2]] else ""
