"""The journal of an unfinished bundle: the request, and which blobs were verified and written. A hint, never a proof."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airgap import fsio
from airgap.bundle import piecewise
from airgap.errors import UsageError
from airgap.format import names
from airgap.oci import strictjson
from airgap.text import printable

LOCK = "lock.json"
SCHEMA = "airgap.journal/1"
#: No journal has more blobs: what is beyond is fetched again.
_MOST, _LONGEST_NAME = 1_000_000, 200
#: Bytes of a line: the first one is the longest.
_LONGEST = 64 * 1024
_SEAL = "sha256"


@dataclass
class Journal:
    """An append-only file of JSON lines in the partial bundle.

    Attributes:
        header: what the bundle is made of (inputs digest, lock digest, serial, created, ...), fixed at the start.
        progress: bytes written of every blob, by digest, according to the lines; a complete blob counts its size.
    """

    header: dict[str, Any]
    progress: dict[str, int] = field(default_factory=dict)
    _fd: int = -1
    _guard: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def begin(cls, directory: Path, header: dict[str, Any]) -> Journal:
        """Start a new journal, which is durable before any data."""
        fsio.write_durable(directory / names.JOURNAL, strictjson.canonical({**header, _SEAL: _sum(header)}) + b"\n")
        return cls(header)._attach(directory)

    @classmethod
    def resume(cls, directory: Path) -> Journal:
        """Read the journal of an earlier run; torn or damaged lines are ignored.

        Raises:
            UsageError: its first line is unreadable.
        """
        path = directory / names.JOURNAL
        lines = piecewise.lines(path, _LONGEST)
        header = _parse(next(lines, b""))
        if not isinstance(header, dict) or header.pop(_SEAL, "") != _sum(header) or header.get("schema") != SCHEMA:
            raise unusable("the journal of the unfinished bundle is unreadable", path)
        journal = cls(header)
        for line in lines:
            match _parse(line):
                case [str(digest), int(count)] if count >= 0 and len(digest) < _LONGEST_NAME and len(journal.progress) < _MOST:
                    journal.progress[digest] = count
        return journal._attach(directory)

    def note(self, digest: str, count: int) -> None:
        """Record that the first ``count`` bytes of a blob are written."""
        line = json.dumps([digest, count]).encode() + b"\n"
        with self._guard:
            os.write(self._fd, line)

    def close(self) -> None:
        """Close the file; a writer that is still running gets an error, never another file's descriptor."""
        with self._guard:
            if self._fd >= 0:
                fsio.release(self._fd)
                self._fd = -1

    def _attach(self, directory: Path) -> Journal:
        self._fd = os.open(directory / names.JOURNAL, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
        os.write(self._fd, b"\n")  # ends a line that a crash tore
        return self


def unusable(what: str, path: Path) -> UsageError:
    """The error for an unfinished bundle that cannot be resumed."""
    return UsageError(what, where=printable(str(path)), hint="add --restart to start this bundle again")


def _sum(header: dict[str, Any]) -> str:
    """What tells a damaged header: its times go into the catalog and would be signed."""
    return hashlib.sha256(strictjson.canonical(header)).hexdigest()


def _parse(line: bytes) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
