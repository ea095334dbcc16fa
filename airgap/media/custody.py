"""Write the custody logs on media: one more entry at the end of each. See ``documents/custody.py``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from airgap import fsio
from airgap.bundle.carried import read_log
from airgap.documents.custody import CustodyEntry, Log, Seal
from airgap.errors import MediaError
from airgap.format import names
from airgap.text import printable
from airgap.trust.keys.signers import Signer


@dataclass(frozen=True)
class LoggedMedium:
    """One medium: where the log is, the entry that was written, and what was wrong with the log before."""

    path: Path
    entry: CustodyEntry
    problems: tuple[str, ...]


def append(directories: Sequence[Path], entry: CustodyEntry, signer: Signer | None) -> list[LoggedMedium]:
    """Put an entry behind the log of every medium.

    All logs are read before the first is written. What was in a log stays there byte for byte, also when it is broken; only a torn
    line at its end is cut off, and the new entry says so.

    Args:
        directories: where the catalogs are.
        entry: without its place in a log (``bundle.custody.new_entry``).
        signer: signs it, or None.

    Raises:
        UsageError: a log is full.
        Damaged: a log is no regular file.
        MediaError: a medium cannot be written, or somebody else writes its log at this moment.
    """
    logs = [(directory, read_log(directory, entry.catalog) or Log()) for directory in directories]
    for _, log in logs:
        log.next(entry)
    return [_append(directory, entry, signer) for directory, _ in logs]


def _append(directory: Path, entry: CustodyEntry, signer: Signer | None) -> LoggedMedium:
    path = directory / names.CUSTODY
    busy = MediaError("another command is writing this log", where=printable(str(path)), hint="run the command again")
    with fsio.exclusive_directory(directory, busy):
        with fsio.disk_errors("cannot read the log", path):
            fsio.settle(path)  # an entry that an earlier run could not flush is no part of the log
        log = read_log(directory, entry.catalog) or Log()
        placed = log.next(entry)
        if signer is not None:
            signature = signer.sign(placed.signed_bytes()).decode("ascii")
            placed = replace(placed, seal=Seal(signer.key_id, signer.file_suffix, signature))
        fsio.append_durable(path, placed.line() + b"\n", log.end)
    return LoggedMedium(path, placed, log.problems)
