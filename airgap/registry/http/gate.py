"""Nobody asks a registry that has just said that it is asked too much (429), but for one who finds out when it answers again.

Without this every call in flight would wait and ask for itself: thirty-two requests for one answer, and new ones all the while.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from airgap.errors import RegistryError

Place = tuple[str, str, int]
#: Seconds for the one who asks first; then the others do not wait for him any more.
_GRACE = 10.0
#: How many may go for each one that was answered well: first one, then two, four, eight.
_MORE = 2


@dataclass
class _Shut:
    """A place that is not to be asked: who will ask it first (a thread, 0 for nobody), and when (clock); how many may ask by now;
    and whether it is waited for at all."""

    scout: int
    until: float
    allowed: int = 0
    waiting: int = 0
    given_up: bool = False


class Gate:
    """Lets requests through to places (``origin`` of a URL). Thread-safe; it costs nothing as long as nobody refuses."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._shut: dict[Place, _Shut] = {}

    def enter(self, place: Place) -> None:
        """Wait until the place may be asked. Raises ``RegistryError`` if it said until when, and that is not waited for."""
        if place not in self._shut:
            return
        with self._changed:
            shut = self._wait(place)
            if shut is None or shut.scout == threading.get_ident():
                return
            if shut.allowed:
                shut.allowed -= 1
            elif shut.given_up and (left := shut.until - time.monotonic()) > 0:
                raise RegistryError(
                    "the registry asks to wait longer than it is waited for",
                    where=place[1],
                    expected="an answer other than 429 (too many requests)",
                    got=f"another {left:.0f} s to wait",
                    hint=f"run the same command again then, or wait with --registry-patience {left:.0f}",
                )

    def answered(self, place: Place) -> None:
        """The place has answered with something other than 429."""
        if place not in self._shut:
            return
        with self._changed:
            if shut := self._shut.get(place):
                shut.scout, shut.given_up = 0, False
                shut.allowed += _MORE
                if not shut.waiting:
                    del self._shut[place]
                self._changed.notify_all()

    def shut(self, place: Place, seconds: float) -> bool:
        """The place has answered 429. True: the caller waits so many seconds and then asks first. False: somebody else does, and
        has found out by now."""
        with self._changed:
            me, now = threading.get_ident(), time.monotonic()
            shut = self._shut.get(place)
            if shut is None:
                self._shut[place] = _Shut(me, now + seconds)
                return True
            if shut.scout in (0, me) or now > shut.until + _GRACE:
                shut.scout, shut.until, shut.allowed, shut.given_up = me, now + seconds, 0, False
                return True
            shut = self._wait(place)
            if shut is not None and shut.allowed:
                shut.allowed -= 1
            return False

    def give_up(self, place: Place, seconds: float) -> None:
        """The place is not waited for any longer, although it asked to wait so many seconds more."""
        with self._changed:
            shut = self._shut.setdefault(place, _Shut(0, 0.0))
            shut.scout, shut.allowed, shut.given_up = 0, 0, True
            shut.until = max(shut.until, time.monotonic() + seconds)
            self._changed.notify_all()

    def is_given_up(self, place: Place) -> bool:
        """Whether :meth:`give_up` was said of a place that has not answered since."""
        shut = self._shut.get(place)
        return shut is not None and shut.given_up

    def _wait(self, place: Place) -> _Shut | None:
        """Until this thread may ask; what still stands in the way of others."""
        me = threading.get_ident()
        while (shut := self._shut.get(place)) is not None and not (shut.scout == me or shut.allowed or shut.given_up):
            left = shut.until + _GRACE - time.monotonic()
            if left <= 0:
                break
            shut.waiting += 1
            try:
                self._changed.wait(left)
            finally:
                shut.waiting -= 1
        return shut
