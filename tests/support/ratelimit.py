"""Registries that allow only so many requests in a time, before a real one."""

from __future__ import annotations

import threading
import time
from collections import deque

from tests.support.hostile import Reply, Request


class Allowance:
    """Allows so many requests in a window, as Docker Hub does with pulls; the ``before`` of a ``Gateway``.

    Args:
        most: requests in a window.
        seconds: how long the window is; it begins with its first request.
        told: whether ``Retry-After`` says when the next one begins.
        counts: what a request's path must have in it to be counted.
        method: which method is counted; ``""`` for all.

    Attributes:
        allowed: when each counted request came that was allowed (clock).
        refused: when each one came that was not.
        answered: what was asked by those that were allowed.
    """

    def __init__(self, most: int, seconds: float, *, told: bool = True, counts: str = "/v2/", method: str = "") -> None:
        self._most, self._seconds, self._told, self._counts, self._method = most, seconds, told, counts, method
        self._lock = threading.Lock()
        self._until = 0.0
        self.allowed: deque[float] = deque()
        self.refused: list[float] = []
        self.answered: list[str] = []
        self._left = 0

    def __call__(self, request: Request) -> Reply | None:
        if self._counts not in request.path or self._method not in ("", request.method):
            return None
        with self._lock:
            now = time.monotonic()
            if now >= self._until:
                self._until, self._left = now + self._seconds, self._most
            if self._left:
                self._left -= 1
                self.allowed.append(now)
                self.answered.append(request.target)
                return None
            self.refused.append(now)
            wait = max(1, -int(-(self._until - now) // 1)) if self._told else 0
        headers = {"ratelimit-limit": f"{self._most};w={self._seconds:.0f}", "ratelimit-remaining": f"0;w={self._seconds:.0f}"}
        return Reply(429, b'{"errors":[{"code":"TOOMANYREQUESTS"}]}', headers | ({"Retry-After": str(wait)} if wait else {}))
