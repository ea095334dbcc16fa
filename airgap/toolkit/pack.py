"""The toolkit: a directory with everything that a bare Linux machine with Python and no network needs to run airgap."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from airgap import __version__, fsio
from airgap.errors import UsageError
from airgap.progress import Progress
from airgap.text import command, human_size, plural, printable
from airgap.toolkit.checker import CHECKER, checker
from airgap.toolkit.packages import OPTIONAL, Machine, Wheel, download
from airgap.toolkit.wheel import own_wheel, running_package

SUMS = "SHA256SUMS"
INSTALLER = "install.sh"
README = "README.txt"
WHEELS = "wheels"
#: The installing pip comes along: a bare machine's Python may have none.
_PIP = "pip"
_MAX_FILE = 1024 * 1024 * 1024
#: What ``scripts/release`` calls a build with the interpreter inside; install.sh looks for this name.
_STANDALONE = re.compile(rf"airgap-{re.escape(__version__)}-linux-[a-z0-9_]+-standalone\.tar\.gz", re.ASCII)


@dataclass(frozen=True)
class Toolkit:
    """What was made: where, the wheels, bytes of everything, and what of it some machines will not have, for people."""

    path: Path
    wheels: tuple[Wheel, ...]
    size: int
    lacking: tuple[str, ...] = ()


def write_checker(directory: Path, entry: str) -> Path:
    """Put the checker alone into a directory, which may have other files; its path.

    Args:
        directory: made where it is missing.
        entry: the module with its ``main``.
    """
    fsio.make_directory(directory, fsio.UNCHANGEABLE)
    path = directory / CHECKER
    fsio.write_durable(path, checker(entry), 0o755)
    return path


def make_toolkit(
    directory: Path, machines: Sequence[Machine], entry: str, progress: Progress, standalone: Sequence[Path] = ()
) -> Toolkit:
    """Make the directory: all of it, or nothing.

    Args:
        directory: new, or empty.
        machines: for which it is.
        entry: the module with the checker's ``main``.
        progress: told about the steps.
        standalone: builds with the interpreter inside, of this version, for machines without Python.

    Raises:
        UsageError: the directory has something in it, a build is not one of this version, or this airgap or pip is not as it
            should be.
        RegistryError: pip did not get the packages.
        MediaError: the disk refuses.
    """
    _check_new(directory)
    for build in standalone:
        _check_build(build)
    fsio.make_directory(directory.parent, fsio.UNCHANGEABLE)
    package = running_package()
    with fsio.disk_errors("cannot make the toolkit", directory):
        temporary = fsio.TemporaryDirectory(directory)
    with temporary as work:
        fsio.make_directory(work / WHEELS, fsio.UNCHANGEABLE)
        own = Wheel.of(own_wheel(work / WHEELS, package))
        wheels = {own.path.name: own}
        lacking: list[str] = []
        for machine in machines:
            progress.stage(f"fetching packages for {machine.title}", 0)
            found = _fetch(package.requires, machine, work, wheels)
            lacking += [f"{name} on {machine.title}" for name in OPTIONAL if all(one.name != name for one in found)]
            fsio.write_durable(work / f"requirements-{machine.name}.txt", _requirements([own, *found]))
        for build in standalone:
            fsio.write_durable(work / build.name, fsio.read_input(build, _MAX_FILE, "standalone build"))
        _write_rest(work, machines, lacking, entry)
        size = _write_sums(work)
        with fsio.disk_errors("cannot make the toolkit", directory):
            work.chmod(0o755)
        fsio.rename_durable(work, directory)  # over the empty directory, if there is one
    return Toolkit(directory, tuple(wheels[name] for name in sorted(wheels)), size, tuple(lacking))


def _check_new(directory: Path) -> None:
    with fsio.disk_errors("cannot read the directory", directory):
        if directory.is_symlink() or (directory.exists() and (not directory.is_dir() or any(directory.iterdir()))):
            raise UsageError(
                "the toolkit needs its own directory",
                where=printable(str(directory)),
                expected="a new or empty directory",
                hint="choose another --out, or use --check-only, which can write anywhere",
            )


def _check_build(build: Path) -> None:
    if _STANDALONE.fullmatch(build.name) is None:
        raise UsageError(
            "not a standalone build of this version",
            where=f"--standalone {printable(str(build))}",
            expected=f"a file of the release, named airgap-{__version__}-linux-MACHINE-standalone.tar.gz",
            hint="take the build and this airgap from the same release",
        )


def _fetch(requires: Sequence[str], machine: Machine, work: Path, wheels: dict[str, Wheel]) -> list[Wheel]:
    """The wheels for one kind of machine; those that another has already are not kept twice."""
    fresh = work / "fetched"
    fsio.make_directory(fresh, fsio.UNCHANGEABLE)
    found = download([*requires, _PIP], machine, fresh)
    for wheel in found:
        known = wheels.get(wheel.path.name)
        if known is None:
            with fsio.disk_errors("cannot move a file", wheel.path):
                wheels[wheel.path.name] = Wheel(
                    wheel.path.rename(work / WHEELS / wheel.path.name), wheel.name, wheel.version, wheel.sha256
                )
        elif known.sha256 != wheel.sha256:
            raise UsageError("pip returned two different files with the same name", got=printable(wheel.path.name))
    shutil.rmtree(fresh)
    return found


def _requirements(wheels: Sequence[Wheel]) -> bytes:
    """As ``pip install --require-hashes`` wants them; pip itself is not installed."""
    lines = [f"{one.name}=={one.version} --hash=sha256:{one.sha256}\n" for one in wheels if one.name != _PIP]
    return "".join(sorted(lines)).encode()


def _write_rest(work: Path, machines: Sequence[Machine], lacking: Sequence[str], entry: str) -> None:
    folder = resources.files("airgap.toolkit") / "kit"
    fsio.write_durable(work / INSTALLER, (folder / INSTALLER).read_bytes(), 0o755)
    text = (folder / README).read_text("utf-8")
    listed = "".join(f"  {machine.title} ({machine.floor} or newer)\n" for machine in machines)
    listed += "".join(f"There is no {one}: {_without(one)}; everything else works.\n" for one in lacking)
    text = text.replace("@VERSION@", __version__).replace("@MACHINES@", listed.rstrip("\n"))
    fsio.write_durable(work / README, text.replace("\n", "\r\n").encode())
    write_checker(work, entry)


def _write_sums(work: Path) -> int:
    """Write ``SHA256SUMS``; bytes of everything."""
    lines, size = [], 0
    for path in sorted(path for path in work.rglob("*") if path.is_file()):
        data = fsio.read_capped(path, _MAX_FILE)
        size += len(data)
        lines.append(f"{hashlib.sha256(data).hexdigest()}  {path.relative_to(work).as_posix()}\n")
    fsio.write_durable(work / SUMS, "".join(lines).encode())
    return size


def _without(lacking: str) -> str:
    """What cannot be done for want of a package, which is named before the machine."""
    return OPTIONAL[lacking.partition(" ")[0]]


def describe(kit: Toolkit) -> list[str]:
    """For people."""
    return [
        f"toolkit      {kit.path}: {plural(len(kit.wheels), 'wheel')}, {human_size(kit.size)}",
        *(f"without      {one}: no package for it; {_without(one)}" for one in kit.lacking),
        f"install      {command('sh', kit.path / INSTALLER)} DIR, on the offline machine",
        f"check        {command('python3', kit.path / CHECKER)} PATH..., anywhere",
    ]
