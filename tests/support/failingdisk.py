"""A disk that stops taking bytes for a while: ext4 on a loop device, whose backing store has no room for what is new on it.

What is written goes into the page cache and seems to be well. When it is written back, the device answers with an I/O error, as a
thin volume does that is full, or a cable that is loose; after ``feed`` it takes everything again.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import TracebackType

import pytest

_DISK = "64M"
_ROOM = 256 * 1024 * 1024


class FailingDisk:
    """A context manager; the test is skipped where this machine does not let it mount.

    Attributes:
        point: where the disk is mounted.
    """

    def __init__(self, work: Path) -> None:
        self.point, self._store = work / "disk", work / "backing"
        self._device = ""

    def __enter__(self) -> FailingDisk:
        if os.geteuid() != 0:
            pytest.skip("only root may mount a loop device")
        self.point.mkdir(parents=True)
        self._store.mkdir()
        try:
            _run("mount", "-t", "tmpfs", "-o", f"size={_ROOM}", "tmpfs", str(self._store))
            image = self._store / "image"
            _run("truncate", "-s", _DISK, str(image))
            # all that the file system itself needs is there from the beginning: data is what does not fit
            written = "nodiscard,lazy_itable_init=0,lazy_journal_init=0"
            _run("mkfs.ext4", "-q", "-E", written, str(image))
            self._device = _run("losetup", "-f", "--show", str(image)).strip()
            self._mount()
        except subprocess.CalledProcessError as error:
            self.__exit__(None, None, None)
            pytest.skip(f"this machine does not let root mount: {error.stderr.strip()}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for command in (["umount", self.point], ["losetup", "-d", self._device], ["umount", self._store]):
            subprocess.run([str(word) for word in command], check=False, capture_output=True)

    def starve(self, room: int) -> None:
        """From now on the device takes ``room`` more bytes in new places."""
        _run("sync", "-f", str(self.point))
        _run("fstrim", str(self.point))  # places that were in use before are new ones again
        status = os.statvfs(self._store)
        used = (status.f_blocks - status.f_bfree) * status.f_frsize
        _run("mount", "-o", f"remount,size={used + room}", str(self._store))

    def feed(self) -> None:
        """It takes everything again."""
        _run("mount", "-o", f"remount,size={_ROOM}", str(self._store))

    def pull_out(self) -> None:
        """Take the disk out and put it back: what is there now is what it has."""
        _run("umount", str(self.point))
        self._mount()

    def _mount(self) -> None:
        _run("mount", "-t", "ext4", self._device, str(self.point))


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout
