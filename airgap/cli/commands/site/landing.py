"""``airgap watch s3://BUCKET/PREFIX``: bundles that arrive in a bucket, copied here while they are wanted."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from airgap.admission.door import believed_by
from airgap.buckets.landing import Landing
from airgap.buckets.place import BucketPlace, place_of
from airgap.cli.terminal.console import Console
from airgap.errors import MediaError
from airgap.oci.digest import Digest
from airgap.watch.arrivals import Arrivals, Folder
from airgap.watch.attempts import Attempts
from airgap.watch.results import Results
from airgap.watch.watching import Site, WatchEvent, hashed

#: So many bundles of a bucket at a time are told to be in trouble.
_MOST_TOLD = 20


@dataclass(frozen=True)
class FromBucket:
    """A place in a bucket as ``watch`` wants it.

    Attributes:
        place: the place.
        root: where its copies are on this machine.
        arrivals: brings them up to date before it looks.
        results: written on this machine; nothing is written into the bucket.
    """

    place: BucketPlace
    root: Path
    arrivals: Arrivals
    results: Results

    def renamed_event(self, event: WatchEvent) -> WatchEvent:
        """The same in names that a person knows."""
        renamed: Any = _renamed({"text": event.text, "facts": dict(event.facts)}, self.root, self.place)
        return replace(event, **renamed)


def landing_of(
    directory: Path, site: Site, attempts: Attempts, scratch: Path, state: Path, results: Path | None, console: Console
) -> FromBucket | None:
    """The place in a bucket that the argument names; None for a directory.

    Args:
        directory: the argument of the command.
        site: what the site does with bundles.
        attempts: earlier outcomes: of what was imported no volumes are kept.
        scratch: a directory that is there at the next start, with room for the bundles that wait.
        state: a directory for results.
        results: the directory for them that the operator chose.
        console: told about every byte.

    Raises:
        UsageError: it is no place, or the extra is not installed.
    """
    place = place_of(directory)
    if place is None:
        return None
    landing = Landing(place, scratch / "landing" / hashlib.sha256(str(place).encode()).hexdigest()[:16])

    def wanted(copy: Path, catalog: Digest) -> bool:
        done = str(catalog) in attempts.imported(hashed(site.purpose))
        return not done and believed_by(site.terms())([copy]) is not None

    def refresh() -> None:
        try:
            landing.refresh(wanted, console)
        finally:
            console.end()  # what was copied may not be news: then no event ends the stage

    arrivals = _Arrivals(landing, refresh)
    return FromBucket(place, landing.root, arrivals, _Results(landing.root, results or state, place))


class _Arrivals(Arrivals):
    """Looks into the copies, after they were brought up to date. Objects appear whole: nothing has to settle."""

    def __init__(self, landing: Landing, refresh: Callable[[], None]) -> None:
        super().__init__(landing.root, 0.0)
        self._landing, self._refresh = landing, refresh

    def look(self) -> list[Folder]:
        """As ``Arrivals.look``. Raises besides as ``Landing.refresh``."""
        self._refresh()
        folders = super().look()
        self.remarks += [str(error) for error in self._landing.problems[:_MOST_TOLD]]
        self.failures += [error for error in self._landing.problems if isinstance(error, MediaError)]
        return folders


class _Results(Results):
    """Results that name the bucket and not the copy."""

    def __init__(self, root: Path, directory: Path, place: BucketPlace) -> None:
        super().__init__(root, directory, directory)
        self._copies, self._place = root, place

    def write(self, name: str, folder: Path, facts: Mapping[str, Any], lines: Sequence[str]) -> Path:
        """As ``Results.write``."""
        told = _renamed([dict(facts), list(lines)], self._copies, self._place)
        return super().write(name, folder, told[0], told[1])


def _renamed(value: Any, root: Path, place: BucketPlace) -> Any:
    if isinstance(value, str):
        return value.replace(str(root), str(place))
    if isinstance(value, Mapping):
        return {key: _renamed(one, root, place) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_renamed(one, root, place) for one in value]
    return value
