"""The files of a search: directories walked in a fixed order, within limits, never out of the tree that was named."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from airgap import fsio
from airgap.discover.findings import Findings, Position, Remark
from airgap.errors import Damaged, MediaError, UsageError
from airgap.text import human_size, printable

# What tools put beside people's files: dependencies and caches, never what is deployed.
_SKIPPED = frozenset(("node_modules", "__pycache__", "CVS"))
_HISTORIES = frozenset((".git", ".hg", ".svn"))
_TELLING = frozenset((".yaml", ".yml", ".json", ".container", ".image", ".kube", ".volume", ".artifact", ".pod", ".build"))
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WIDE = tuple(mark for mark, _ in _MARKS)
_HEAD = 8192
_NARROWER = "give only the directories and files that matter"


@dataclass(frozen=True)
class SearchLimits:
    """How much is looked through: levels of directories, files, bytes of one file, bytes of all text together."""

    depth: int = 40
    files: int = 200_000
    size: int = 16 * 1024 * 1024
    total: int = 1024 * 1024 * 1024


class SearchTree:
    """One PATH of the command line, and what below it was read. Several share ``seen``, so that no file is read twice.

    Args:
        path: a directory or a file.
        seen: the real paths of what was visited.
        others: the roots of all paths: what one of them names may stand below another.
    """

    def __init__(self, path: Path, limits: SearchLimits, findings: Findings, seen: set[str], others: Sequence[str] = ()) -> None:
        self.path = path
        self._roots = {root_of(path), *others}
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
        """Whether a path, with all links followed, is in the tree or in another that was named."""
        real = os.path.realpath(path)
        return any(real == root or real.startswith(root.rstrip("/") + "/") for root in self._roots)

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
            raise UsageError("too much text to search", where=printable(str(self.path)), expected=most, hint=_NARROWER)
        text = decode(data)
        if text is None:
            self._unread(path, "not UTF-8 text")
        return text

    def _entries(self, path: Path) -> list[str]:
        try:
            with os.scandir(path) as entries:
                # directories under their own name first, so that a link to one is not what is shown of it
                found = sorted(entries, key=lambda entry: (entry.is_symlink() and _kind(entry) == "directory", entry.name))
                return [entry.name for entry in found if self._wanted(entry)]
        except OSError as error:
            self._unreadable(path, f"cannot read the directory: {error.strerror}")
            return []

    def _wanted(self, entry: os.DirEntry[str]) -> bool:
        name = printable(entry.path)
        if entry.name in _HISTORIES:
            return False
        if entry.name.startswith("."):
            self._findings.pass_over(name, "hidden, so not searched")
        elif entry.name in _SKIPPED:
            self._findings.pass_over(name, "dependencies and caches, not searched")
        elif entry.is_symlink() and not self.inside(Path(entry.path)):
            hint = "give its target too, if it deploys something"
            self._findings.unresolved.append(
                Remark(Position(name, 1), "a link that leads out of the tree is not followed", "", hint)
            )
        elif not _kind(entry):
            self._findings.pass_over(name, "a dangling link" if entry.is_symlink() else "a device, socket or pipe, not read")
        else:
            return True
        return False

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
            fsio.release(fd)
        if b"\0" in head[:count] and not head.startswith(_WIDE):
            self._unread(path, "binary data")
            return None
        if size > self._limits.size and not _tells(path):
            self._unread(path, "too large")
            return None
        return fsio.read_capped(path, self._limits.size)

    def _unread(self, path: Path, what: str) -> None:
        """Say that a file is not looked into: as unresolved where its name says that it may name images."""
        if _tells(path):
            self._unreadable(path, what)
        else:
            self._findings.pass_over(printable(str(path)), f"{what}, so not searched")

    def _unreadable(self, path: Path, what: str) -> None:
        hint = "it may hold images: check it by hand"
        self._findings.unresolved.append(Remark(Position(printable(str(path)), 1), what, "", hint))


def root_of(path: Path) -> str:
    """The real path of the directory that a PATH opens: itself, or the one that the file is in."""
    return os.path.realpath(path if path.is_dir() else path.parent)


def decode(data: bytes) -> str | None:
    """The text of a file, its line ends as line feeds; UTF-8, or what its byte order mark says. None when it is neither."""
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8-sig")
    try:
        return data.decode(encoding).replace("\r\n", "\n")
    except UnicodeDecodeError:
        return None


def _kind(entry: os.DirEntry[str]) -> str:
    """``file`` or ``directory``, links followed; empty for anything else, also for a link that leads to itself."""
    try:
        return "file" if entry.is_file() else "directory" if entry.is_dir() else ""
    except OSError:
        return ""


def _tells(path: Path) -> bool:
    """Whether a file's name says that it may name images."""
    return path.suffix.lower() in _TELLING or path.name.lower().startswith(("containerfile", "dockerfile"))
