"""One client's connection, with or without TLS: receiving never blocks, sending follows the client's pace down to a minimum.

Without TLS the kernel waits for the client, with a timeout: a wake-up for every piece that a client takes would double the cost of
sending. OpenSSL would wait for ever, so with TLS the socket does not block and this module waits.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from enum import Enum

from airgap.errors import disk_error
from airgap.oci.stores import Reader
from airgap.text import printable

#: Seconds for which a client may take nothing of an answer.
STALL = 60.0
#: Bytes a second that a client must take within every :data:`STALL` seconds, or a transfer is given up; it binds a thread all the
#: while. What it took faster before does not count: a stranger could buy himself days that way.
MIN_RATE = 1024
#: Bytes and seconds spent on reading what a refused client still sends, so that it gets to see why.
_LINGER_BYTES, _LINGER_SECONDS = 4 * 1024 * 1024, 2.0
_RECEIVE = 16 * 1024
_BUFFER = 256 * 1024
#: Seconds for which the next request of a client that was just answered is waited for: most have it ready, and the way through
#: another thread and back takes longer than answering it.
_SOON = 0.1
_TOO_SLOW = "the client reads the answer too slowly"
_BUFFERS = threading.local()


class FilledBuffer(Enum):
    """The result of an attempt to receive."""

    SOME = "some"
    READ = "wait until there is something to read"
    WRITE = "wait until something can be written"
    END = "the client has closed"


class Connection:
    """A client's connection, owned by one thread at a time.

    Args:
        plain: the accepted socket, owned from now on.
        client: the client's address, for people.
        listener: the server's address that it connected to.
        tls: the TLS settings, if TLS is used.

    Attributes:
        received: received bytes that are not parsed yet.
        deadline: when to give up waiting, by the monotonic clock.
        idle: whether it is between two requests, with nothing received of the next one.
        streamed: bytes of the latest ``stream`` that were sent.

    Raises:
        OSError: the client has already gone.
    """

    def __init__(self, plain: socket.socket, client: str, listener: int, tls: ssl.SSLContext | None) -> None:
        self.client = printable(client)
        self.listener = listener
        self.received = bytearray()
        self.deadline = 0.0
        self.idle = False
        self.streamed = 0
        self._shaken = tls is None
        try:
            plain.setblocking(tls is None)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(STALL))
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(_SOON))
            self._socket = tls.wrap_socket(plain, server_side=True, do_handshake_on_connect=False) if tls else plain
        except BaseException:
            plain.close()
            raise

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def fill(self) -> FilledBuffer:
        """Receive what is available; between two requests also what arrives within a moment. Raises ``OSError``."""
        try:
            if isinstance(self._socket, ssl.SSLSocket):
                part = self._receive_tls(self._socket)
            else:
                part = self._socket.recv(_RECEIVE, 0 if self.idle else socket.MSG_DONTWAIT)
        except (BlockingIOError, ssl.SSLWantReadError):
            return FilledBuffer.READ
        except ssl.SSLWantWriteError:
            return FilledBuffer.WRITE
        except ssl.SSLEOFError:
            return FilledBuffer.END
        self.received += part
        return FilledBuffer.SOME if part else FilledBuffer.END

    def send(self, data: bytes, more: bool = False) -> None:
        """Send a head or a small answer; ``more``: more follows. Raises ``OSError``; ``TimeoutError`` for a slow client."""
        view, pace = memoryview(data), _Pace()
        while view:
            sent = self._send_some(view, socket.MSG_MORE if more else 0)
            view = view[sent:]
            pace.moved(sent)

    def stream(self, head: bytes, reader: Reader, length: int) -> None:
        """Send a head and ``length`` bytes of a reader, or as many as there are; ``streamed`` says how many.

        Raises:
            OSError: the client has gone or reads nothing for too long.
            AirgapError: the store failed.
        """
        self.streamed = 0
        stretch: Callable[[], tuple[int, int, int]] | None = getattr(reader, "fileno_range", None)
        if stretch is None or isinstance(self._socket, ssl.SSLSocket):
            self.send(head)
            self._copy(reader, length)
            return
        # the reader is one stretch of one open file, so the kernel can send it
        fd, start, end = stretch()
        end = min(end, start + length)
        self.send(head, more=start < end)  # head and first bytes in one packet
        self._send_file(fd, start, end)

    def close(self) -> None:
        """Close the connection. May be called twice."""
        self._say_goodbye()
        self._socket.close()

    def break_off(self) -> None:
        """Make every operation fail from now on, also a running one of another thread; unsent data is discarded."""
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def linger(self) -> None:
        """Signal the end, and read what the client still sends: closing at once would destroy the answer in transit."""
        self._say_goodbye()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
            until, left = time.monotonic() + _LINGER_SECONDS, _LINGER_BYTES
            while left > 0 and _ready(self._socket, select.POLLIN, max(0.0, until - time.monotonic())):
                part = self._socket.recv(_RECEIVE)
                left = left - len(part) if part else 0

    def _say_goodbye(self) -> None:
        """What TLS says at the end, where that needs no waiting."""
        with contextlib.suppress(OSError, ValueError):
            if isinstance(self._socket, ssl.SSLSocket) and self._shaken:
                self._socket.unwrap()

    def _receive_tls(self, tls: ssl.SSLSocket) -> bytes:
        if not self._shaken:
            tls.do_handshake()
            self._shaken = True
        try:
            return tls.recv(_RECEIVE)
        except ssl.SSLWantReadError:
            if not (self.idle and _ready(tls, select.POLLIN, _SOON)):
                raise
            return tls.recv(_RECEIVE)

    def _send_file(self, fd: int, position: int, end: int) -> None:
        pace = _Pace()
        while position < end:
            try:
                # in pieces: the kernel comes back from each only when it is gone or nothing of it goes any more
                count = os.sendfile(self._socket.fileno(), fd, position, min(_BUFFER, end - position))
            except BlockingIOError:
                raise TimeoutError(_TOO_SLOW) from None
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                raise disk_error(error, "cannot read", "a file that is being sent") from error
            if not count:
                break
            position += count
            self.streamed += count
            pace.moved(count)

    def _copy(self, reader: Reader, length: int) -> None:
        buffer, pace = _buffer(), _Pace()
        while (left := length - self.streamed) and (count := reader.readinto(buffer[: min(_BUFFER, left)])):
            view = buffer[:count]
            while view:
                sent = self._send_some(view)
                view = view[sent:]
                self.streamed += sent
                pace.moved(sent)

    def _send_some(self, view: memoryview, flags: int = 0) -> int:
        """Send some of it; how many bytes, at least one but for TLS."""
        try:
            if not isinstance(self._socket, ssl.SSLSocket):
                return self._socket.send(view, flags)
            return self._socket.send(view)
        except ssl.SSLWantWriteError:
            if _ready(self._socket, select.POLLOUT, STALL):
                return 0
            raise TimeoutError(_TOO_SLOW) from None
        except BlockingIOError:
            raise TimeoutError(_TOO_SLOW) from None


class _Pace:
    """Measures how fast a client reads an answer."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._count = 0

    def moved(self, count: int) -> None:
        """Count more sent bytes. Raises ``TimeoutError`` if they are too few for the time."""
        self._count += count
        now = time.monotonic()
        if now - self._since < STALL:
            return
        if self._count < (now - self._since) * MIN_RATE:
            raise TimeoutError(_TOO_SLOW)
        self._since, self._count = now, 0


def _ready(watched: socket.socket, event: int, seconds: float) -> bool:
    """Whether a socket gets ready for this within that time."""
    poll = select.poll()
    poll.register(watched, event)
    return bool(poll.poll(seconds * 1000))


def _timeval(seconds: float) -> bytes:
    return struct.pack("ll", int(seconds), int(seconds % 1 * 1_000_000))


def _buffer() -> memoryview:
    """A buffer of this thread's own, used again and again."""
    found: memoryview | None = getattr(_BUFFERS, "view", None)
    if found is None:
        found = _BUFFERS.view = memoryview(bytearray(_BUFFER))
    return found
