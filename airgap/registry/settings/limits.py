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


#: A registry that refuses once is usually sent more refusals at the same moment: they count as one.
_ONE_REFUSAL = 1.0


class Slots:
    """At most ``limit`` holders at a time for each registry; 0 for no limit.

    A registry that answers 429 gets half as many, and one more after every two rounds without another 429.

    A thread that holds one gets further ones of the same registry at once: a blob that is sent may be made from one that is read
    there, and whoever would wait for another while he holds one could wait for ever.
    """

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._lock = threading.Lock()
        self._hosts: dict[str, _Host] = {}
        self._mine = threading.local()

    def acquire(self, host: str) -> Callable[[], None]:
        """Wait for a slot; what gives it back. That may be called more than once."""
        if not self._limit:
            return _nothing
        holders: set[object] = self._mine.__dict__.setdefault(host, set())
        mine = object()
        with self._lock:
            one = self._host(host)
            if not holders:
                one.free.wait_for(lambda: one.used < one.limit)
                one.used += 1
            holders.add(mine)

        def release() -> None:
            with self._lock:
                if holders == {mine}:
                    one.used -= 1
                    one.free.notify()  # one thread for one slot: all that wait would wake up to wait again
                holders.discard(mine)

        return release

    def answered(self, host: str, *, refused: bool) -> None:
        """Take notice of an answer: whether the registry says that it is asked too much (status 429)."""
        with self._lock:
            one, now = self._host(host), self._clock()
            if not refused:
                one.good += 1
                if one.good >= 2 * one.limit and one.limit < self._limit:
                    one.limit, one.good = one.limit + 1, 0
                    one.free.notify()
            elif now - one.refused >= _ONE_REFUSAL:
                one.limit, one.good, one.refused = max(1, one.limit // 2), 0, now

    def _host(self, host: str) -> _Host:
        found = self._hosts.get(host)
        if found is None:
            found = self._hosts[host] = _Host(self._limit, threading.Condition(self._lock))
        return found

    @contextlib.contextmanager
    def held(self, host: str) -> Iterator[None]:
        """A slot for the time of the block."""
        release = self.acquire(host)
        try:
            yield
        finally:
            release()


@dataclass
class _Host:
    """How many slots a registry has at the moment, who waits for one, and how many are used; answers since the number changed;
    when it refused last (clock)."""

    limit: int
    free: threading.Condition
    used: int = 0
    good: int = 0
    refused: float = -_ONE_REFUSAL


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
