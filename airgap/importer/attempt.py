"""One attempt at an import: who helps with it, what is rebuilt for it, and how it ends.

The history has every attempt, refused, failed and interrupted ones as well, and those whose command is killed.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TypeAlias

from airgap.admission.door import Signed
from airgap.bundle.damage import Damage
from airgap.bundle.store import BundleStore
from airgap.errors import AirgapError, Interrupted, Refused, exit_code, system_error
from airgap.format.times import format_time
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.reference import Repository
from airgap.progress import Progress
from airgap.state import Beginning, Event, State
from airgap.text import plural

_INTERRUPTED = exit_code(Interrupted())


@dataclass(frozen=True)
class MendedVolume:
    """A volume that was rebuilt.

    Attributes:
        name: its file name.
        title: for people, ``volume 3 of 7 (volume-0003.tar)``.
        present: whether there was a file of that name.
        rebuilt: how many blocks were made from parity.
        copied: how many came from another copy.
    """

    name: str
    title: str
    present: bool
    rebuilt: int
    copied: int

    def __str__(self) -> str:
        parts = [f"{plural(self.rebuilt, 'block')} rebuilt from parity"] if self.rebuilt else []
        parts += [f"{plural(self.copied, 'block')} taken from the media"] if self.copied else []
        return f"{self.title}: {', '.join(parts) or 'its length corrected'}"


@dataclass(frozen=True)
class Mended:
    """The rebuilt volumes, and the directory that they are in."""

    directory: Path
    volumes: tuple[MendedVolume, ...]


#: Rebuilds what is damaged of the bundle on some media, until the block ends. Raises ``Damaged`` and ``MediaError``.
Mend: TypeAlias = Callable[[Damage, Sequence[Path]], contextlib.AbstractContextManager[Mended]]

#: Blobs, each with a repository that gets it.
Sending: TypeAlias = Sequence[tuple[Repository, Descriptor]]


class Crew(Protocol):
    """Other machines that send blobs."""

    def send(
        self, store: BundleStore, wanted: Sending, held: Mapping[Digest, Repository], progress: Progress
    ) -> Collection[Digest]:
        """Send blobs to the target; those that were not there before. Nobody relies on that: the target is asked."""


class Attempt:
    """An import from its first look at the media to its end. A context manager.

    What an unsigned catalog says about itself is not kept: a bundle has a name when its signatures hold.

    Args:
        state: where it is recorded.
        target: the target as recorded.
        again: whether a service tries by itself again what has failed just so before.
    """

    def __init__(self, state: State, target: str, *, again: bool = False) -> None:
        self._state = state
        self._target = target
        self._again = again
        self._catalog: Digest | None = None
        self._stream, self._serial = "", 0
        self._noted = contextlib.ExitStack()

    def found(self, catalog: Digest) -> None:
        """Files of a bundle are there, with a catalog of this digest."""
        self._catalog = catalog

    def signed(self, bundle: Signed) -> None:
        """Its signatures hold: from now on a killed command leaves a trace as well. Raises ``MediaError``."""
        if not self._stream:
            self._stream, self._serial = bundle.catalog.stream, bundle.catalog.serial
            at = format_time(dt.datetime.now(dt.UTC))
            beginning = Beginning(at, self._stream, self._serial, str(bundle.digest), self._target)
            self._noted.enter_context(self._state.underway.noted(beginning))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._noted:
            if error is not None:
                self._record(error)

    def _record(self, error: BaseException) -> None:
        """What ends a command otherwise must not be hidden by a state that cannot be written."""
        if isinstance(error, OSError):
            error = system_error(error)
        code = exit_code(error)
        facts: dict[str, str] = {}
        if isinstance(error, (AirgapError, Interrupted)):
            facts = error.facts()
            what = facts.pop("error")
        else:
            what = "interrupted" if code == _INTERRUPTED else f"a bug in airgap: {type(error).__name__}"
        word = "refused" if isinstance(error, Refused) else "interrupted" if code == _INTERRUPTED else "failed"
        reason = "\n".join(f"{name} {value.strip()}" for name, value in facts.items())
        event = Event("", word, self._stream, self._serial, str(self._catalog or ""), self._target, what, reason, code)
        with contextlib.suppress(AirgapError):
            self._state.record_failure(event, again=self._again)
