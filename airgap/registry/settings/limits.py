"""Limits: bytes per second, concurrent transfers per registry, and the quota that a registry reports."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

#: A registry's allowance is spoken of when less than this part of it is left.
_LOW = 0.2
_QUOTA = re.compile(r"(\d{1,12})(?!\d)(?:[^w]*w=(\d{1,9}))?.*", re.ASCII)


class Bucket:
    """Lets ``rate`` bytes pass in a second, over all threads together; after a rest, at once what one second would have let pass.

    Args:
        rate: bytes per second.
        clock: seconds since some moment.
        sleep: waits that many seconds.
    """

    def __init__(self, rate: int, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep) -> None:
        self._rate = rate
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._paid_until = clock() - 1.0
        #: How many bytes to ask for at a time, so that the stream stays even and nobody waits for long.
        self.piece = max(rate // 4, 4096)

    def take(self, count: int) -> None:
        """Wait until ``count`` bytes may pass."""
        with self._lock:
            now = self._clock()
            self._paid_until = max(self._paid_until, now - 1.0) + count / self._rate
            wait = self._paid_until - now
        if wait > 0:
            self._sleep(wait)


class Slots:
    """At most ``limit`` holders at a time for each registry; 0 for no limit.

    A thread that holds one gets further ones of the same registry at once: a blob that is sent may be made from one that is read
    there, and whoever would wait for another while he holds one could wait for ever.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._semaphores: dict[str, threading.Semaphore] = {}
        self._mine = threading.local()

    def acquire(self, host: str) -> Callable[[], None]:
        """Wait for a slot; what gives it back. That may be called more than once."""
        if not self._limit:
            return _nothing
        with self._lock:
            semaphore = self._semaphores.setdefault(host, threading.Semaphore(self._limit))
        holders: set[object] = self._mine.__dict__.setdefault(host, set())
        mine = object()
        with self._lock:
            further = bool(holders)
            if further:
                holders.add(mine)
        if not further:
            semaphore.acquire()
            with self._lock:
                holders.add(mine)

        def release() -> None:
            with self._lock:
                last = holders == {mine}
                holders.discard(mine)
            if last:
                semaphore.release()

        return release

    @contextlib.contextmanager
    def held(self, host: str) -> Iterator[None]:
        """A slot for the time of the block."""
        release = self.acquire(host)
        try:
            yield
        finally:
            release()


def _nothing() -> None:
    """There is no limit, so there is nothing to give back."""


@dataclass(frozen=True)
class Quota:
    """What a registry still allows: ``remaining`` of ``limit`` manifests within ``window`` seconds (0 when it does not say)."""

    limit: int
    remaining: int
    window: int = 0

    @property
    def is_low(self) -> bool:
        """Whether it may soon be used up."""
        return self.remaining < self.limit * _LOW

    def __str__(self) -> str:
        period = f" in {self.window / 3600:.0f} h" if self.window >= 3600 else f" in {self.window} s" if self.window else ""
        return f"{self.remaining} more manifests of {self.limit}{period}"


def read_quota(limit: str, remaining: str) -> Quota | None:
    """Read Docker Hub's ``ratelimit-limit`` and ``ratelimit-remaining`` (``100;w=21600``), None when they say nothing."""
    allowed, left = _QUOTA.fullmatch(limit.strip()), _QUOTA.fullmatch(remaining.strip())
    if allowed is None or left is None or not int(allowed[1]):
        return None
    return Quota(int(allowed[1]), int(left[1]), int(allowed[2] or 0))
