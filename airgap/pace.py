"""HTTP that comes to an end: how much may come before, between and after what was asked for, and how slowly anything may move.

``http.client`` limits single lines and single waits. A server that sends interim answers, header lines or trailers for ever, or one
byte whenever the wait would end, keeps it busy without end. Here every part of an exchange has an end of its own:

* a head, with all interim answers before it: :data:`MAX_HEAD` bytes, and as many seconds as the caller has patience for an answer;
* a document (a manifest, a list, a token, an error): as many seconds as :attr:`Pacing.document`, its size is the reader's to limit;
* a stream (a blob, in either direction): within every :attr:`Pacing.idle` seconds of waiting at least that many times
  :attr:`Pacing.rate` bytes. Only the waiting counts: who is slow to ask for more is no slow server;
* what frames a chunked body: never more than a few times the body itself, and a trailer of :data:`MAX_TRAILER` bytes.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from dataclasses import dataclass
from typing import Any

#: The most bytes of a status line and headers, interim answers included.
MAX_HEAD = 256 * 1024
#: The most bytes after the last chunk of a body (RFC 9112 section 7.1.2).
MAX_TRAILER = 64 * 1024
#: A chunked body may have this many times its own bytes on the wire, and this many more.
_FRAMING, _FRAMING_FLOOR = 4, 1024 * 1024
#: No wait is shorter: a socket takes 0 for "do not wait at all".
_LEAST_WAIT = 0.001


class TooSlow(TimeoutError):
    """The other side is there, and so slow that the end cannot be waited for."""


class Endless(OSError):
    """What comes beside the content has no end in sight."""


@dataclass(frozen=True)
class Pacing:
    """How slowly an answer may come.

    Attributes:
        idle: seconds without a byte after which a connection counts as broken, and the stretch over which the rate is taken.
        rate: bytes a second, the least that a stream must bring; 0 for no such limit.
        document: seconds for a whole document.
    """

    idle: float = 60.0
    rate: int = 1024
    document: float = 120.0


class Pace:
    """Watches one direction of one connection. Not thread-safe.

    Begins as that of a stream; :meth:`head` and :meth:`document` set a date and a size, :meth:`stream` takes them away again.

    Attributes:
        came: whether anything has moved of what is expected now.
    """

    def __init__(self, pacing: Pacing) -> None:
        self._pacing = pacing
        self._until: float | None = None
        self._left: int | None = None
        self._waited = 0.0
        self._moved = 0
        self._what = ""
        self.came = False

    def head(self, seconds: float) -> None:
        """From now on a head comes, in that many seconds."""
        self.stream()
        self._until = time.monotonic() + seconds
        self._left = MAX_HEAD
        self._what = "the answer did not start"

    def document(self, seconds: float | None = None) -> None:
        """From now on a document comes, in the usual time for one or in fewer seconds."""
        self.stream()
        self._until = time.monotonic() + min(self._pacing.document, self._pacing.document if seconds is None else seconds)
        self._what = "the answer did not end"

    def stream(self) -> None:
        """From now on a stream comes or goes."""
        self._until = self._left = None
        self._waited, self._moved = 0.0, 0
        self.came = False

    def expect(self, most: int) -> None:
        """No more bytes than this may come from now on."""
        self._left = most

    def patience(self) -> float:
        """Seconds to wait for the next bytes.

        Raises:
            TooSlow: it was waited long enough.
            Endless: too much has come.
        """
        if self._left is not None and self._left <= 0:
            raise Endless("the answer has too much data besides its content")
        if self._until is None:
            return self._pacing.idle
        left = self._until - time.monotonic()
        if left <= 0:
            raise TooSlow(f"{self._what} in time")
        return max(min(left, self._pacing.idle), _LEAST_WAIT)

    def moved(self, count: int, seconds: float) -> None:
        """So many bytes moved after a wait of so many seconds. Raises ``TooSlow``."""
        self.came = True
        if self._left is not None:
            self._left -= count
        if self._until is not None:
            return
        self._waited += seconds
        self._moved += count
        if self._waited < self._pacing.idle:
            return
        if self._moved < self._pacing.rate * self._waited:
            raise TooSlow(f"fewer than {self._pacing.rate} bytes per second are transferred")
        self._waited, self._moved = 0.0, 0


class _Paced(io.RawIOBase):
    """What a socket brings, watched."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, pace: Pace) -> None:
        self._raw = raw
        self._socket = sock
        self._pace = pace

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        self._socket.settimeout(self._pace.patience())
        began = time.monotonic()
        try:
            count: int | None = self._raw.readinto(buffer)
        except TimeoutError:
            if self._pace.came:
                self._pace.patience()  # says so when it was not this one wait that took too long
            raise
        if count:
            self._pace.moved(count, time.monotonic() - began)
        return count

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._raw.close()


class PacedResponse(http.client.HTTPResponse):
    """An HTTP response that comes to an end. Give ``functools.partial(PacedResponse, pacing)`` to a connection as its
    ``response_class``; the socket's timeout is the patience for the head.

    Attributes:
        pace: watches what comes; that of a stream once the head is read.

    Raises:
        TooSlow, Endless: (when read) as the module says.
    """

    def __init__(self, pacing: Pacing, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.pace = Pace(pacing)
        patience = sock.gettimeout()
        self.pace.head(pacing.idle if patience is None else patience)
        self._payload = 0
        self.fp: Any = io.BufferedReader(_Paced(self.fp.detach(), sock, self.pace))

    def begin(self) -> None:
        """As that of ``http.client``."""
        super().begin()
        self.pace.stream()

    def readinto(self, buffer: Any, /) -> int:
        """As that of ``http.client``."""
        if self.chunked:
            self.pace.expect(_FRAMING * len(buffer) + _FRAMING_FLOOR)
        return super().readinto(buffer)

    def _read_and_discard_trailer(self) -> None:
        """Only the size of single lines is limited there."""
        self.pace.expect(MAX_TRAILER)
        super()._read_and_discard_trailer()  # type: ignore[misc] # it is theirs, and has been there since Python 2


def send_all(sock: socket.socket, data: Any, pace: Pace, piece: int) -> None:
    """``sock.sendall``, watched.

    Args:
        sock: a connected socket.
        data: bytes, or a buffer of them.
        pace: of what is sent over this connection.
        piece: bytes handed over at a time.

    Raises:
        TooSlow: the other side takes too little.
    """
    view = memoryview(data).cast("B")
    while view:
        sock.settimeout(pace.patience())
        began = time.monotonic()
        count = sock.send(view[:piece])
        pace.moved(count, time.monotonic() - began)
        view = view[count:]
