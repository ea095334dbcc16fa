"""Read the custody logs on media; see ``documents/custody.py``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from airgap import fsio
from airgap.documents.custody import Custody, Log
from airgap.errors import Damaged
from airgap.format import names
from airgap.limits import MAX_LOG
from airgap.oci.digest import Digest


def read_log(directory: Path, catalog: Digest) -> Log | None:
    """The log on one medium, or None.

    Args:
        directory: where the catalog is.
        catalog: its digest.

    Raises:
        Damaged, MediaError: it is no regular file, too large, or cannot be read.
    """
    raw = fsio.read_if_there(directory / names.CUSTODY, MAX_LOG)
    return None if raw is None else Log.parse(raw, catalog)


def read_custody(directories: Iterable[Path], catalog: Digest) -> Custody:
    """The logs of several media, merged. A damaged one is a problem of its medium and does not hide the others.

    Raises:
        MediaError: a disk does not give a log, which says nothing about it.
    """
    logs: list[tuple[str, Log]] = []
    for directory in directories:
        try:
            log = read_log(directory, catalog)
        except Damaged as error:
            log = Log(problems=(f"its custody log cannot be read: {error.what}" + (f" ({error.got})" if error.got else ""),))
        if log is not None:
            logs.append((str(directory), log))
    return Custody.merge(logs)
