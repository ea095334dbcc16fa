"""Write the result for a bundle beside it, for the people who carry the media: ``STREAM-SERIAL.result.json`` and ``.txt``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from airgap import fsio
from airgap.errors import MediaError
from airgap.limits import MAX_LINE
from airgap.text import printable

SCHEMA = "airgap.result/1"


class Results:
    """Writes results.

    Args:
        root: the drop directory; no result beside a bundle is written outside it, whatever links there are.
        directory: the directory for all results instead, or None.
        fallback: the directory for results that cannot be written beside their bundle; created on demand.
    """

    def __init__(self, root: Path, directory: Path | None, fallback: Path) -> None:
        self._root = root.resolve()
        self._directory = directory
        self._fallback = fallback

    def write(self, name: str, folder: Path, facts: Mapping[str, Any], lines: Sequence[str]) -> Path:
        """Write one result and return the path of its JSON.

        Args:
            name: the bundle's name, computed and never read from a medium.
            folder: the bundle's folder.
            facts: for machines.
            lines: for people.

        Raises:
            MediaError: it cannot be written anywhere.
        """
        document = json.dumps({"schema": SCHEMA, **facts}, indent=2).encode() + b"\n"
        text = "".join(f"{printable(line, MAX_LINE)}\n" for line in lines).encode("utf-8", "backslashreplace")
        if self._directory is None:
            try:
                return _write(self._beside(name, folder), name, document, text)
            except MediaError:
                pass  # the medium is full or read-only, or gone already
        place = self._directory or self._fallback
        fsio.make_directory(place)
        return _write(place, name, document, text)

    def _beside(self, name: str, folder: Path) -> Path:
        """A folder of the bundle's own name has the result beside it, any other, such as a mount point, in it."""
        place = folder.parent if folder.name == name and folder.resolve() != self._root else folder
        with fsio.disk_errors("cannot write the result", place):
            status = os.statvfs(place)
        if status.f_flag & os.ST_RDONLY or not os.access(place, os.W_OK):
            raise MediaError("the medium is read-only", where=printable(str(place)))
        if not place.resolve().is_relative_to(self._root):
            raise MediaError("the folder leads out of the drop directory", where=printable(str(place)))
        return place


def _write(place: Path, name: str, document: bytes, text: bytes) -> Path:
    path = place / f"{name}.result.json"
    fsio.write_durable(path.with_suffix(".txt"), text)
    fsio.write_durable(path, document)
    return path
