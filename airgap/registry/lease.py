"""A lease: machines that share only a registry take turns there.

It is a tag of ours, ``PREFIX/airgap-lease:turn``, on an index that lists nothing (no blob has to be sent) and whose annotations
say who is at work. The distribution-spec knows no conditional PUT, so a lease is written, and has been got by whoever reads their
own one a moment later. Its owner rewrites it again and again; one that does not change for the time it states is dead. Only
time that was observed here counts, so clocks may differ. It is a courtesy among machines that mean well, not a lock: whoever finds
that it was taken away stops before names are moved.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from airgap.errors import AirgapError, Busy, NotFound, NotTaken, RegistryError
from airgap.oci import media, strictjson
from airgap.oci.manifest import Manifest
from airgap.oci.reference import Reference, Repository
from airgap.progress import Silent
from airgap.registry.deletion import PrunableRegistry
from airgap.registry.listing import LEASES
from airgap.registry.settings.options import RegistryOptions
from airgap.text import printable

_TAG: Final = "turn"
_ARTIFACT: Final = "application/vnd.airgap.lease.v1"
_ID, _OWNER, _SECONDS, _TICK = (f"io.airgap.lease.{name}" for name in ("id", "owner", "seconds", "tick"))
#: Seconds between renewals of a lease, and until an unchanged one is dead.
RENEWED, LAPSES = 20.0, 120.0
#: Seconds at most that somebody else's lease may ask us to watch it for.
_LONGEST_LAPSE = 900.0
_LEAST_MOMENT, _MOMENTS = 0.2, 4
_PAUSE = 2.0
_FREE: Final = "nobody"


class Lease:
    """The lease of one prefix of a registry; made by :func:`leased`.

    Attributes:
        remarks: what a person must know about how it was got.
    """

    def __init__(self, store: PrunableRegistry, brisk: PrunableRegistry, repository: Repository, own: str, owner: str) -> None:
        self._store, self._brisk = store, brisk
        self._repository = repository
        self._own = f"{own}-"
        self._id = self._own + secrets.token_hex(8)
        # two documents in turn, so that a long import leaves two manifests and not hundreds
        self._mine = [_document(self._id, owner, tick) for tick in (0, 1)]
        self._ended = threading.Event()
        self._guard = threading.Lock()
        self._tick = 0
        self._lost = ""
        self.remarks: list[str] = []

    def check(self) -> None:
        """See that it is still ours.

        Raises:
            Busy: somebody else has taken over.
            RegistryError: the registry does not tell.
        """
        with self._guard:
            self._renew()
        if self._lost:
            raise Busy(
                "another machine has taken over the lease at the registry",
                where=str(self._repository.tagged(_TAG)),
                got=self._lost,
                hint="no tags were changed since; run the command again when the other one has finished",
            )

    def take(self, patience: float, told: Callable[[str], None], *, breaking: bool) -> None:
        """Wait until nobody has it, then have it. Raises ``Busy`` and ``RegistryError``."""
        end = time.monotonic() + patience
        seen, since = "", time.monotonic()
        while True:
            begun = time.monotonic()
            there = self._read()
            owner = "" if self._is_left(there) else _owner(there)
            if there is None or not owner or breaking:
                if there is not None and owner:
                    self.remarks.append(f"the lease at the registry was taken away from {owner}")
                    told(self.remarks[-1])
                    breaking = False
                self._write()
                time.sleep(max(_LEAST_MOMENT, _MOMENTS * (time.monotonic() - begun)))
                if self._is_mine(self._read()):
                    return
                continue
            if there.digest != seen:
                if not seen:
                    told(f"waiting for {owner}, which uses {self._repository.host} from another machine or state")
                seen, since = there.digest, time.monotonic()
            elif time.monotonic() - since > _lapses(there):
                told(f"{owner} has not renewed its lease for {_lapses(there):.0f} seconds")
                breaking = True
                continue
            if time.monotonic() >= end:
                raise Busy(
                    "another machine or state directory is using this registry",
                    where=str(self._repository.tagged(_TAG)),
                    got=owner,
                    hint="nothing was changed; run the command again later, wait longer (--wait SECONDS) or, if the other command "
                    "is no longer running, use --break-lease",
                )
            time.sleep(min(_PAUSE, max(0.05, end - time.monotonic())))

    def keep(self) -> threading.Thread:
        """Renew it from now on, in a thread of its own, until :meth:`give_back`."""
        thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        thread.start()
        return thread

    def give_back(self) -> None:
        """Let others have it: remove it, or where nothing may be removed say that nobody has it. It lapses where that fails."""
        self._ended.set()
        with self._guard, contextlib.suppress(AirgapError):
            self._store = self._brisk  # somebody may have pressed Ctrl-C because the registry does not answer
            if not self._is_mine(self._read()):
                return
            try:
                self._store.remove(self._repository, (), [one.digest for one in self._mine], (), Silent())
            except RegistryError:
                self._put(_document(_FREE, "", 0))

    def _keep(self) -> None:
        while not self._ended.wait(RENEWED):
            with self._guard, contextlib.suppress(RegistryError):  # the next time may be better, and check() has the last word
                if not self._ended.is_set() and not self._lost:
                    self._renew()

    def _renew(self) -> None:
        there = self._read()
        if there is not None and not self._is_mine(there):
            self._lost = _owner(there) or "nobody: another process released it"
            return
        self._tick = 1 - self._tick
        self._write()

    def _write(self) -> None:
        self._put(self._mine[self._tick])

    def _put(self, document: Manifest) -> None:
        self._store.tag(self._reference, document)

    def _read(self) -> Manifest | None:
        try:
            return self._store.manifest(self._repository, _TAG)
        except NotFound:
            return None

    def _is_left(self, there: Manifest | None) -> bool:
        """Whether it is that of a run which died: of those with our state nobody else has the turn."""
        return there is not None and there.annotations.get(_ID, "").startswith(self._own)

    def _is_mine(self, there: Manifest | None) -> bool:
        return there is not None and there.annotations.get(_ID) == self._id

    @property
    def _reference(self) -> Reference:
        return self._repository.tagged(_TAG)


@contextlib.contextmanager
def leased(
    options: RegistryOptions,
    host: str,
    prefix: str,
    own: str,
    owner: str,
    patience: float,
    told: Callable[[str], None],
    *,
    breaking: bool,
) -> Iterator[Lease | str]:
    """Have the lease of a prefix until the block ends; why not, in a sentence, where the registry does not take one.

    Args:
        options: how the registry is spoken to.
        host, prefix: of the target.
        own: what the leases of those begin with of whom one at a time comes here, such as the commands of one state.
        owner: what others are told.
        patience: seconds to wait for others at most.
        told: hears whom it waits for.
        breaking: take it away from whoever has it.

    Raises:
        Busy: somebody else has it.
        RegistryError: the registry cannot be reached, or fails.
    """
    with (
        contextlib.closing(PrunableRegistry(options)) as store,
        contextlib.closing(PrunableRegistry(replace(options, retries=0))) as brisk,
    ):
        lease = Lease(store, brisk, Repository(host, f"{prefix}/{LEASES}" if prefix else LEASES), own, owner)
        try:
            lease.take(patience, told, breaking=breaking)
        except RegistryError as error:
            if not isinstance(error, NotTaken) and not error.got.startswith(("4", "501")):
                raise
            why = error.got or error.what
            yield f"the registry does not support leases, so only commands that share this state directory take turns ({why})"
            return
        lease.keep()
        try:
            yield lease
        finally:
            lease.give_back()


def _document(identity: str, owner: str, tick: int) -> Manifest:
    annotations = {_ID: identity, _OWNER: owner, _SECONDS: f"{LAPSES:.0f}", _TICK: str(tick)}
    top = {
        "schemaVersion": 2,
        "mediaType": media.OCI_INDEX,
        "artifactType": _ARTIFACT,
        "manifests": [],
        "annotations": annotations,
    }
    return Manifest.parse(strictjson.canonical(top), media.OCI_INDEX, "lease")


def _owner(there: Manifest | None) -> str:
    """Who has it; empty when nobody has."""
    if there is None or there.annotations.get(_ID) == _FREE:
        return ""
    return printable(there.annotations.get(_OWNER) or "an unnamed owner")


def _lapses(there: Manifest) -> float:
    text = there.annotations.get(_SECONDS, "")
    return min(float(text), _LONGEST_LAPSE) if text.isascii() and text.isdigit() else LAPSES
