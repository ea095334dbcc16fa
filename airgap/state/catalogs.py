"""Exported catalogs with their signatures and locks, kept so that parts of a bundle can be resent after it is gone."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from airgap import fsio
from airgap.errors import Damaged

_CATALOG, _LOCK = "catalog.json", "lock.json"
_INPUTS, _MAX_INPUTS = "inputs", 256
_MAX_FILE = 1 << 30
#: So many bundles of a stream are kept, the latest. A request for an older one needs the bundle itself or its catalog.
KEPT = 32


class Catalogs:
    """The directory ``catalogs`` in the state directory. Its content proves nothing: compare digests.

    Args:
        state: the state directory.
    """

    def __init__(self, state: Path) -> None:
        self._root = state / "catalogs"

    def keep(self, stream: str, serial: int, raw: bytes, signatures: Mapping[str, bytes], lock: bytes) -> None:
        """Store a catalog, its signature files by name, and the lock it was made from. Raises ``MediaError``."""
        place = self._root / stream / str(serial)
        fsio.make_directory(place, fsio.PRIVATE)
        with fsio.disk_errors("cannot store the catalog in the state", place):
            for entry in place.iterdir():
                entry.unlink()
        for name, content in {**signatures, _LOCK: lock, _CATALOG: raw}.items():
            fsio.write_durable(place / name, content, 0o600)
        self._drop_oldest(place.parent)

    def note(self, stream: str, serial: int, inputs: str) -> None:
        """Store the digest over what was asked of a bundle that is kept. Raises ``MediaError``."""
        place = self._root / stream / str(serial)
        if fsio.is_there(place / _CATALOG):
            fsio.write_durable(place / _INPUTS, inputs.encode(), 0o600)

    def noted(self, stream: str, serial: int) -> str:
        """What :meth:`note` has stored, or an empty string. Raises ``MediaError``."""
        try:
            raw = fsio.read_if_there(self._root / stream / str(serial) / _INPUTS, _MAX_INPUTS)
        except Damaged:
            return ""
        return (raw or b"").decode("ascii", "replace")

    def find(self, stream: str, serial: int) -> tuple[bytes, dict[str, bytes], bytes] | None:
        """The catalog of a bundle, its signature files by name, and its lock; None if unknown.

        Raises:
            Damaged, MediaError: it cannot be read.
        """
        place = self._root / stream / str(serial)
        if not fsio.is_there(place / _CATALOG):
            return None
        with fsio.disk_errors("cannot read the directory", place):
            found = sorted(entry.name for entry in place.iterdir())
        kept = {name: fsio.read_capped(place / name, _MAX_FILE) for name in found}
        return kept.pop(_CATALOG), {name: kept[name] for name in kept if name.startswith(f"{_CATALOG}.")}, kept.get(_LOCK, b"")

    def _drop_oldest(self, stream: Path) -> None:
        with fsio.disk_errors("cannot remove an old catalog from the state", stream):
            serials = sorted(int(entry.name) for entry in stream.iterdir() if entry.name.isdigit())
            for serial in serials[:-KEPT]:
                shutil.rmtree(stream / str(serial))
