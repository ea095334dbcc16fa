"""A gateway before a real registry: it keeps every request, and can let some of them wait for ever."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from types import TracebackType

from tests.support.hostile import HANG_UP, Hostile, Reply, Request

_PASSED_ON = (
    "Content-Type", "Content-Range", "Docker-Content-Digest", "Docker-Distribution-Api-Version", "Docker-Upload-UUID", "Location",
    "Range", "OCI-Subject", "WWW-Authenticate",
)  # fmt: skip
_SENT_ON = ("Accept", "Authorization", "Content-Type", "Content-Range", "Range", "Host")


class Gateway:
    """Passes everything on to the registry at ``upstream``. A context manager.

    Attributes:
        address: where clients find it.
        stuck: set as soon as a request waits.
        before: may answer a request in the registry's place.
        tamper: makes what clients get out of what the registry answered.
    """

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._holds: Callable[[Request], bool] = lambda _: False
        self.before: Callable[[Request], Reply | None] = lambda _: None
        self.tamper: Callable[[Request, Reply], Reply] = lambda _, reply: reply
        self._released = threading.Event()
        self.stuck = threading.Event()
        self._server = Hostile(self._answer)
        self.address = self._server.address

    def __enter__(self) -> Gateway:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()
        self._server.stop()

    @property
    def requests(self) -> list[Request]:
        """Everything that came in, in order; may be emptied."""
        return self._server.requests

    def hold(self, holds: Callable[[Request], bool]) -> None:
        """From now on requests of that kind get no answer."""
        self.stuck.clear()
        self._released.clear()
        self._holds = holds

    def release(self) -> None:
        """Hang up on those that wait, and answer everything from now on."""
        self._holds = lambda _: False
        self._released.set()

    def _answer(self, request: Request) -> Reply:
        if self._holds(request):
            self.stuck.set()
            self._released.wait()
            return HANG_UP
        if (own := self.before(request)) is not None:
            return own
        headers = {name: request.headers[name] for name in _SENT_ON if name in request.headers}
        connection = http.client.HTTPConnection(self._upstream)
        try:
            connection.request(request.method, request.target, request.body or None, headers)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        passed = {name: response.headers[name] for name in _PASSED_ON if name in response.headers}
        length = int(response.headers.get("Content-Length", 0)) if request.method == "HEAD" else None
        return self.tamper(request, Reply(response.status, body, passed, length))
