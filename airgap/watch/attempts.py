"""Remember the outcome for each catalog, so that nothing is tried twice without reason: a small file in the state directory.

It saves work and decides nothing: a repeated import finds that everything is already there, so a lost or damaged file is simply
started again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from airgap import fsio
from airgap.errors import Damaged
from airgap.oci import strictjson

_SCHEMA = "airgap.watch/1"
_MAX_FILE = 16 * 1024 * 1024
_MAX_KEPT = 4096


@dataclass(frozen=True)
class Attempt:
    """How the latest attempt at a catalog ended.

    Attributes:
        name: the bundle's name.
        outcome: ``imported``, ``refused``, ``failed`` or ``waiting``.
        code: the exit code that an import would have had.
        key: the bundle is tried again when this changes.
    """

    name: str
    outcome: str
    code: int
    key: str


class Attempts:
    """The attempts by catalog digest.

    Args:
        path: the file.

    Attributes:
        remark: why the file was started again, or empty.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: dict[str, Attempt] = {}
        self.remark = ""
        try:
            raw = fsio.read_if_there(path, _MAX_FILE)
            self._kept = _parse(raw, str(path)) if raw is not None else {}
        except Damaged as error:  # a disk that does not answer says nothing about it
            self.remark = f"earlier outcomes are lost, so bundles are examined again: {error}"

    def find(self, digest: str) -> Attempt | None:
        """The latest attempt at a catalog."""
        return self._kept.get(digest)

    def keep(self, digest: str, attempt: Attempt) -> None:
        """Remember an attempt. Raises ``MediaError``."""
        self._kept.pop(digest, None)
        self._kept[digest] = attempt
        for oldest in list(self._kept)[:-_MAX_KEPT]:
            del self._kept[oldest]
        top = {"schema": _SCHEMA, "catalogs": {digest: asdict(kept) for digest, kept in self._kept.items()}}
        fsio.write_durable(self._path, json.dumps(top, indent=1).encode() + b"\n", 0o600)

    def imported(self, key: str) -> set[str]:
        """The catalogs that were imported under a key."""
        return {digest for digest, attempt in self._kept.items() if attempt.outcome == "imported" and attempt.key == key}


def _parse(raw: bytes, where: str) -> dict[str, Attempt]:
    top = strictjson.parse_object(raw, where)
    if top.get("schema") != _SCHEMA:
        raise Damaged("unknown schema", where=where, expected=_SCHEMA)
    return {digest: _attempt(value, where) for digest, value in strictjson.mapping(top.get("catalogs"), where).items()}


def _attempt(value: Any, where: str) -> Attempt:
    fields = strictjson.mapping(value, where)
    texts = [strictjson.string(fields.get(name), where) for name in ("name", "outcome", "key")]
    return Attempt(texts[0], texts[1], strictjson.integer(fields.get("code"), where), texts[2])
