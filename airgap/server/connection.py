"""One client's connection: a socket that never blocks, with or without TLS, read into a buffer and written at the client's pace."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from enum import Enum

from airgap.oci.stores import Reader
from airgap.text import printable

#: Seconds for which a client may take nothing of an answer.
STALL = 60.0
#: Bytes a second that a client must take in the long run, or a transfer is given up; it binds a thread all the while.
MIN_RATE = 1024
#: Bytes and seconds spent on reading what a refused client still sends, so that it gets to see why.
_LINGER_BYTES, _LINGER_SECONDS = 4 * 1024 * 1024, 2.0
_RECEIVE = 64 * 1024
_BUFFER = 256 * 1024
_SENDFILE = 4 * 1024 * 1024
_TOO_SLOW = "the client takes the answer too slowly"
_TIMEOUT = struct.pack("ll", int(STALL), 0)
_BUFFERS = threading.local()


class Filled(Enum):
    """What came of an attempt to receive."""

    SOME = "some"
    READ = "wait until there is something to read"
    WRITE = "wait until something can be written"
    END = "the client has closed"


class Connection:
    """A client. Owned by one thread at a time.

    Args:
        plain: the accepted socket; owned from now on.
        client: the client's address, for people.
        listener: which of the server's addresses it came to.
        tls: speak TLS.

    Attributes:
        received: what came and was not yet understood.
        deadline: when to give up waiting, by the monotonic clock.
        idle: between two requests, with nothing of the next one here.

    Raises:
        OSError: the client has gone already.
    """

    def __init__(self, plain: socket.socket, client: str, listener: int, tls: ssl.SSLContext | None) -> None:
        self.client = printable(client)
        self.listener = listener
        self.received = bytearray()
        self.deadline = 0.0
        self.idle = False
        self._shaken = tls is None
        try:
            plain.setblocking(False)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEOUT)
            self._socket = tls.wrap_socket(plain, server_side=True, do_handshake_on_connect=False) if tls else plain
        except BaseException:
            plain.close()
            raise
        self._take, self._hear = select.poll(), select.poll()
        self._take.register(self._socket, select.POLLOUT)
        self._hear.register(self._socket, select.POLLIN)

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def fill(self) -> Filled:
        """Receive what is there, without waiting. Raises ``OSError``."""
        try:
            if isinstance(self._socket, ssl.SSLSocket) and not self._shaken:
                self._socket.do_handshake()
                self._shaken = True
            part = self._socket.recv(_RECEIVE)
        except (BlockingIOError, ssl.SSLWantReadError):
            return Filled.READ
        except ssl.SSLWantWriteError:
            return Filled.WRITE
        except ssl.SSLEOFError:
            return Filled.END
        self.received += part
        return Filled.SOME if part else Filled.END

    def speaks_within(self, seconds: float) -> bool:
        """Whether the client says something in this time."""
        return bool(self._hear.poll(seconds * 1000))

    def send(self, head: bytes, body: bytes = b"") -> None:
        """Send a small answer. Raises ``OSError``; ``TimeoutError`` when the client takes nothing for long."""
        view, pace = memoryview(head + body), _Pace()
        while view:
            count = self._send_some(view)
            view = view[count:]
            if view:
                self._wait(pace.moved(count))

    def stream(self, head: bytes, reader: Reader, length: int) -> int:
        """Send a head and ``length`` bytes of a reader; how many of them there were.

        Raises:
            OSError: the client went away, or takes nothing for long.
            AirgapError: the store failed.
        """
        stretch: Callable[[], tuple[int, int, int]] | None = getattr(reader, "fileno_range", None)
        if stretch is None or isinstance(self._socket, ssl.SSLSocket):
            self.send(head)
            return self._copy(reader, length)
        # the reader is one stretch of one open file, so the kernel can send it
        fd, start, end = stretch()
        end = min(end, start + length)
        more = socket.MSG_MORE if start < end else 0  # head and first bytes in one packet
        if self._socket.send(head, more) != len(head):
            raise ConnectionError("the client takes nothing")
        return self._send_file(fd, start, end) - start

    def close(self) -> None:
        """Close the connection; TLS says goodbye where that needs no waiting. May be called twice."""
        with contextlib.suppress(OSError, ValueError):
            if isinstance(self._socket, ssl.SSLSocket) and self._shaken:
                self._socket.unwrap()
        self._socket.close()

    def break_off(self) -> None:
        """Make every operation fail from now on, also one that another thread is in."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def linger(self) -> None:
        """Say that no more comes, and read what the client still sends: closing at once would destroy the answer under way."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
            poll, until, left = select.poll(), time.monotonic() + _LINGER_SECONDS, _LINGER_BYTES
            poll.register(self._socket, select.POLLIN)
            while left > 0 and poll.poll(max(0.0, until - time.monotonic()) * 1000):
                part = self._socket.recv(_RECEIVE)
                left = left - len(part) if part else 0

    def _send_file(self, fd: int, position: int, end: int) -> int:
        """The kernel waits for the client: being woken for every bit that it takes would cost as much again as the sending."""
        pace = _Pace()
        self._socket.setblocking(True)
        try:
            while position < end:
                count = os.sendfile(self._socket.fileno(), fd, position, min(end - position, _SENDFILE))
                if not count:
                    return position
                position += count
                if pace.moved(count).too_slow():
                    raise TimeoutError(_TOO_SLOW)
        except BlockingIOError:
            raise TimeoutError(_TOO_SLOW) from None
        finally:
            self._socket.setblocking(False)
        return position

    def _copy(self, reader: Reader, length: int) -> int:
        buffer, pace, done = _buffer(), _Pace(), 0
        while done < length and (count := reader.readinto(buffer[: min(_BUFFER, length - done)])):
            view = buffer[:count]
            while view:
                sent = self._send_some(view)
                view = view[sent:]
                pace.moved(sent)
                if view:
                    self._wait(pace)
            done += count
        return done

    def _send_some(self, view: memoryview) -> int:
        try:
            return self._socket.send(view)
        except (BlockingIOError, ssl.SSLWantWriteError):
            return 0

    def _wait(self, pace: _Pace) -> None:
        if not self._take.poll(STALL * 1000) or pace.too_slow():
            raise TimeoutError(_TOO_SLOW)


class _Pace:
    """How fast a client takes an answer."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._count = 0

    def moved(self, count: int) -> _Pace:
        self._count += count
        return self

    def too_slow(self) -> bool:
        return self._count < (time.monotonic() - self._since - STALL) * MIN_RATE


def _buffer() -> memoryview:
    """A buffer of this thread's own, used again and again."""
    found: memoryview | None = getattr(_BUFFERS, "view", None)
    if found is None:
        found = _BUFFERS.view = memoryview(bytearray(_BUFFER))
    return found
