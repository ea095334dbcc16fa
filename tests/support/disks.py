"""Real file systems of what people carry, in image files: formatted; mounted where this machine lets us, or filled by tools."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.tools import require

SIZE = 64 * 1024 * 1024


class Disk:
    """An image file with a file system, which can be put in and pulled out."""

    def __init__(self, work: Path, kind: str) -> None:
        self.kind = kind
        self.image = work / f"{kind}.img"
        self.point = work / f"{kind}-mounted"
        self.point.mkdir(parents=True)
        with self.image.open("wb") as file:
            file.truncate(SIZE)
        command = {
            "fat32": ["mformat", "-F", "-i"],
            "exfat": ["mkfs.exfat"],
            "ntfs": ["mkntfs", "-F", "-q"],
            "ext4": ["mkfs.ext4", "-q"],
        }[kind]
        _run(require(command[0]), *command[1:], str(self.image), *(["::"] if kind == "fat32" else []))

    @contextlib.contextmanager
    def mounted(self) -> Iterator[Path]:
        """The mount point; the test is skipped where mounting is not permitted."""
        if os.geteuid() != 0:
            pytest.skip("only root may mount an image")
        with contextlib.ExitStack() as stack:
            if self.kind == "ntfs":
                _mount(require("ntfs-3g"), str(self.image), str(self.point))
            else:
                device = _mount("losetup", "-f", "--show", str(self.image)).strip()
                stack.callback(_run, "losetup", "-d", device)
                types = {"fat32": "vfat", "ext4": "ext4"}
                command = [require("mount.exfat-fuse")] if self.kind == "exfat" else ["mount", "-t", types[self.kind]]
                _mount(*command, device, str(self.point))
            try:
                yield self.point
            finally:
                _run("umount", str(self.point))


@contextlib.contextmanager
def disc(image: Path, point: Path) -> Iterator[Path]:
    """An ISO 9660 image, mounted read-only; the test is skipped where that is not permitted."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount an image")
    point.mkdir(parents=True, exist_ok=True)
    _mount(require("fuseiso"), str(image), str(point))
    try:
        yield point
    finally:
        _run("umount", str(point))


def burn(source: Path, image: Path, *options: str) -> None:
    """Make an ISO 9660 image of a directory."""
    _run(require("xorriso"), "-as", "mkisofs", "-quiet", *options, "-o", str(image), str(source))


def fill_with_mtools(image: Path, source: Path) -> None:
    """Copy a directory into a FAT image without mounting it."""
    _run(require("mcopy"), "-s", "-Q", "-i", str(image), str(source), "::/")


def take_with_mtools(image: Path, name: str, target: Path) -> None:
    """Copy a directory out of a FAT image without mounting it."""
    _run(require("mcopy"), "-s", "-Q", "-n", "-i", str(image), f"::/{name}", str(target))


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout


def _mount(*command: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode or (shutil.which(command[0]) is None):
        pytest.skip(f"this machine does not let {command[0]} mount: {done.stderr.strip()[-200:]}")
    return done.stdout
