"""The five worlds in which an export can find itself when it starts: what is on the disk and in the state decides, once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from airgap import fsio
from airgap.errors import UsageError
from airgap.exporter.request import ExportRequest
from airgap.format import names
from airgap.format.catalog import Catalog
from airgap.format.outer import Sealed, Unverified
from airgap.limits import MAX_CATALOG
from airgap.oci.digest import Digest
from airgap.state import Sealing, State
from airgap.text import printable


@dataclass(frozen=True)
class Paths:
    """Where one bundle of a stream is: in ``final``, or in ``partial`` before it has its name.

    Until then its lock, journal and scratch files lie in ``work``: in ``partial``, or in the state when it is encrypted. They would
    lie in ``other`` if it were of the other kind.
    """

    serial: int
    final: Path
    partial: Path
    work: Path
    other: Path

    @classmethod
    def of(cls, request: ExportRequest, serial: int, state: State) -> Paths:
        """The paths of the bundle with that serial."""
        final = request.out / names.bundle_name(request.label.stream, serial)
        partial, private = final.with_name(final.name + names.PARTIAL), work_of(state, request.label.stream, serial)
        return cls(serial, final, partial, *((private, partial) if request.packing.recipients else (partial, private)))

    def holds(self, sealing: Sealing) -> bool:
        """Whether what was about to be sealed has come as far as its catalog, with its name or without."""
        place = self.final if fsio.is_there(self.final) else self.partial
        raw = fsio.read_if_there(place / names.CATALOG, MAX_CATALOG)
        return raw is not None and Digest.of(raw) == sealing.catalog


@dataclass(frozen=True)
class _World:
    paths: Paths


class Fresh(_World):
    """There is nothing to go on from, or it is to be discarded."""


class Unfinished(_World):
    """A journal is there: it says what an earlier run has written."""


@dataclass(frozen=True)
class Unnamed(_World):
    """An earlier run has made all of it, ``CHECK.txt`` as the last, but for the rename; ``own``: a run of the same command."""

    own: bool


@dataclass(frozen=True)
class NamedBundle(_World):
    """A finished bundle, and its catalog as it lies there."""

    raw: bytes
    catalog: Catalog | Sealed


class Untold(NamedBundle):
    """An earlier run of the same command has sealed and renamed it; nobody was told, and the state may not have recorded it."""


class There(NamedBundle):
    """A bundle has the name already, whoever made it."""


World: TypeAlias = Fresh | Unfinished | Unnamed | Untold | There


def find(request: ExportRequest, state: State) -> World:
    """Decide which world it is. Nothing is changed.

    Raises:
        UsageError: an unfinished bundle of the other kind, encrypted or not, is in the way.
        Damaged: what has the name is no bundle.
        MediaError: the disk refuses.
    """
    for sealing in state.intents.sealings(request.label.stream):
        paths = Paths.of(request, sealing.serial, state)
        if is_own(request, sealing) and paths.holds(sealing):
            return look(request, paths, own=True)
    return look(request, Paths.of(request, request.label.serial or _next_serial(request, state), state))


def look(request: ExportRequest, paths: Paths, own: bool = False) -> World:
    """Decide it for the bundle at these paths; ``own``: a run of the same command was about to seal it. Raises as :func:`find`."""
    if fsio.is_there(paths.final):
        raw = fsio.read_capped(paths.final / names.CATALOG, MAX_CATALOG)
        return (Untold if own else There)(paths, raw, Unverified.read(raw).claims)
    if (paths.partial / names.CHECK).is_file():
        return Unnamed(paths, own)
    if (paths.other / names.JOURNAL).exists():
        raise UsageError(
            f"an unfinished bundle that is {'not ' if request.packing.recipients else ''}encrypted already exists",
            where=printable(str(paths.partial)),
            hint="finish it with the earlier command, choose another --serial, or discard it: "
            f"remove {printable(str(paths.other))}",
        )
    return Fresh(paths) if request.restart or not (paths.work / names.JOURNAL).exists() else Unfinished(paths)


def is_own(request: ExportRequest, sealing: Sealing) -> bool:
    """Whether what was about to be sealed is the answer to this very request."""
    return sealing.inputs == request.asked and request.label.serial in (None, sealing.serial)


def work_of(state: State, stream: str, serial: int) -> Path:
    """The directory in the state for an unfinished encrypted bundle."""
    return state.unfinished / f"{stream}-{serial}"


def _next_serial(request: ExportRequest, state: State) -> int:
    """The unfinished bundle's serial where there is one, else one more than the highest in the state or in the directory."""
    stream = request.label.stream
    pattern = re.compile(re.escape(stream) + r"-(\d{4,15})(\.partial)?")
    with fsio.disk_errors("cannot read the directory", request.out):
        entries = list(request.out.iterdir()) if request.out.is_dir() else []
        found = [match for entry in entries if (match := pattern.fullmatch(entry.name))]
    unfinished = [int(match[1]) for match in found if match[2]]
    if unfinished:
        return max(unfinished)
    known = (state.last_exported(stream), request.far_side.follows, *state.intents.sealings(stream))
    return 1 + max([*request.taken, *(int(match[1]) for match in found), *(one.serial for one in known if one)], default=0)
