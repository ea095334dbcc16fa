"""The files of a search: directories walked in a fixed order, within limits, never out of the tree that was named."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from airgap import fsio
from airgap.discover.findings import Findings, Remark, Sheet
from airgap.errors import Damaged, MediaError, UsageError
from airgap.text import human_size, printable

# What tools put beside people's files: dependencies and caches, never what is deployed.
_SKIPPED = frozenset(("node_modules", "__pycache__", "CVS"))
_TELLING = (".yaml", ".yml", ".container", ".image", ".kube", ".volume")
_HEAD = 8192
_NARROWER = "name the directories and files that matter"


@dataclass(frozen=True)
class Limits:
    """How much is looked through: levels of directories, files, bytes of one file, bytes of all text together."""

    depth: int = 40
    files: int = 200_000
    size: int = 16 * 1024 * 1024
    total: int = 1024 * 1024 * 1024


class Tree:
    """One PATH of the command line, and what below it was read. Several share ``seen``, so that no file is read twice.

    Args:
        path: a directory or a file.
        seen: the real paths of what was visited.
    """

    def __init__(self, path: Path, limits: Limits, findings: Findings, seen: set[str]) -> None:
        self.path = path
        self.root = os.path.realpath(path if path.is_dir() else path.parent)
        self._limits = limits
        self._findings = findings
        self._seen = seen
        self._files = 0
        self._bytes = 0

    def walk(self, path: Path | None = None, depth: int = 0) -> Iterator[Path]:
        """The files below a directory (of the whole tree without one), or the file itself, those already seen left out.

        Raises:
            UsageError: there are more files or levels than the limits allow.
        """
        path = self.path if path is None else path
        real = os.path.realpath(path)
        if real in self._seen:
            return
        self._seen.add(real)
        if not path.is_dir():
            self._files += 1
            if self._files > self._limits.files:
                raise UsageError(
                    "too many files", where=printable(str(self.path)), expected=str(self._limits.files), hint=_NARROWER
                )
            yield path
            return
        if depth > self._limits.depth:
            raise UsageError("nested too deep", where=printable(str(path)), expected=f"{self._limits.depth} levels", hint=_NARROWER)
        for entry in self._entries(path):
            yield from self.walk(path / entry, depth + 1)

    def inside(self, path: Path) -> bool:
        """Whether a path, with all links followed, is in the tree."""
        real = os.path.realpath(path)
        return real == self.root or real.startswith(self.root.rstrip("/") + "/")

    def read(self, path: Path) -> str | None:
        """The text of a file; None when it is binary or cannot be read, which is noted where it could matter.

        Raises:
            UsageError: all text together is more than the limits allow.
        """
        try:
            data = self._text(Path(os.path.realpath(path)))
        except (Damaged, MediaError) as error:
            self._unreadable(path, error.what)
            return None
        if data is None:
            return None
        self._bytes += len(data)
        if self._bytes > self._limits.total:
            most = human_size(self._limits.total)
            raise UsageError("too much text to look through", where=printable(str(self.path)), expected=most, hint=_NARROWER)
        try:
            return data.decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError:
            if path.suffix in _TELLING:
                self._unreadable(path, "not UTF-8 text")
            return None

    def _entries(self, path: Path) -> list[str]:
        try:
            with os.scandir(path) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            self._unreadable(path, f"cannot read the directory: {error.strerror}")
            return []
        return [entry.name for entry in found if self._wanted(entry)]

    def _wanted(self, entry: os.DirEntry[str]) -> bool:
        if entry.name.startswith(".") or entry.name in _SKIPPED:
            return False
        if entry.is_symlink():
            if not self.inside(Path(entry.path)):
                sheet = Sheet(printable(entry.path), self._findings)
                sheet.note(1, "a link out of the tree is not followed")
                return False
            return entry.is_file()  # a directory inside the tree is met under its own name
        return entry.is_file() or entry.is_dir()

    def _text(self, path: Path) -> bytes | None:
        """The bytes of a file that is text. Raises ``Damaged`` and ``MediaError``."""
        fd = fsio.open_regular(path)
        try:
            head = bytearray(_HEAD)
            count = fsio.read_at(fd, memoryview(head), 0)
            size = os.fstat(fd).st_size
        except OSError as error:
            raise MediaError(f"cannot read: {error.strerror}") from error
        finally:
            os.close(fd)
        if b"\0" in head[:count]:
            return None
        if size > self._limits.size and path.suffix not in _TELLING:
            return None
        return fsio.read_capped(path, self._limits.size)

    def _unreadable(self, path: Path, what: str) -> None:
        remark = Remark(Sheet(printable(str(path)), self._findings).place(1), what, "", "it may hold images: look at it yourself")
        self._findings.unresolved.append(remark)
