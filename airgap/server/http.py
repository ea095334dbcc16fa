"""The HTTP side of ``airgap serve``: one thread watches all connections, others answer those that have sent a request.

A waiting connection costs only a descriptor, so deliberately slow or silent clients occupy no thread. Without TLS, blobs go from
the file to the socket inside the kernel. Read-only, HTTP/1.1 with keep-alive.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Self

from airgap.errors import AirgapError, Damaged, UsageError
from airgap.oci.stores import Reader
from airgap.server.connection import Connection, FilledBuffer
from airgap.server.monitor import Monitor
from airgap.server.wire import Refusal, Request, Response, problem, response_head, take_request
from airgap.text import printable

#: Answers one request. Raises ``AirgapError`` when the store itself failed.
Service = Callable[[Request], Response]

_WAITS = {FilledBuffer.READ: select.EPOLLIN, FilledBuffer.WRITE: select.EPOLLOUT}
_TICK = 0.5
#: Seconds to wait when the system gives no descriptors.
_PAUSE = 1.0


@dataclass(frozen=True)
class Limits:
    """The resources that clients may use.

    Attributes:
        connections: open at once; more wait in the kernel. Each uses a socket, and while it is answered a thread and a file.
        head: seconds for a whole request head, the TLS handshake included.
        idle: seconds between two requests.
        patience: seconds after which a waiting connection may be closed if all are in use and another client wants one.
    """

    connections: int = 512
    head: float = 20.0
    idle: float = 60.0
    patience: float = 5.0


USUAL = Limits()


@dataclass(frozen=True)
class Listener:
    """An address and the service that answers there."""

    host: str
    port: int
    service: Service


class HttpServer:
    """Serves in its own threads while used as a context manager.

    Args:
        listeners: the addresses; port 0 picks a free port.
        monitor: told about everything that happens.
        tls: returns the TLS settings for a new connection; None for plain HTTP.
        limits: the resources that clients may use.

    Attributes:
        addresses: of the listeners, each as a client writes it.

    Raises:
        UsageError: an address cannot be listened on.
    """

    def __init__(
        self,
        listeners: Sequence[Listener],
        monitor: Monitor,
        tls: Callable[[], ssl.SSLContext] | None = None,
        limits: Limits = USUAL,
    ) -> None:
        self._listeners = listeners
        self._monitor = monitor
        self._tls = tls
        self._limits = limits
        self._guard = threading.Lock()
        self._open: set[Connection] = set()
        self._parked: dict[int, tuple[Connection, float]] = {}
        self._stopping = threading.Event()
        self._until = 0.0
        self._thread: threading.Thread | None = None
        with contextlib.ExitStack() as stack:
            self._sockets = {found.fileno(): (found, n) for n, one in enumerate(listeners) for found in [_listen(one, stack)]}
            self._epoll = stack.enter_context(select.epoll())
            self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            stack.callback(os.close, self._wake)
            self._resources = stack.pop_all()
        self.addresses = [_written(found) for found, _ in self._sockets.values()]
        self._accepting = True
        self._resume = self._look = 0.0
        self._closed = False
        for fd in (*self._sockets, self._wake):
            self._epoll.register(fd, select.EPOLLIN)
        self._pool = ThreadPoolExecutor(limits.connections, "serve")

    @property
    def address(self) -> str:
        """``HOST:PORT`` of the first listener as a client writes it."""
        return self.addresses[0]

    @property
    def running(self) -> bool:
        """Whether the server is running."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def stopping(self) -> bool:
        """Whether the server no longer accepts requests."""
        return self._stopping.is_set()

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, name="connections", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.shutdown()

    def shutdown(self, grace: float = 0.0) -> None:
        """Accept no more requests, finish active answers for up to ``grace`` seconds, then close everything."""
        if self._closed:
            return
        self._closed = True
        self._until = time.monotonic() + grace
        self._stopping.set()
        os.eventfd_write(self._wake, 1)
        if self._thread is not None:
            self._thread.join()
        self._pool.shutdown()
        self._resources.close()

    # the thread that watches

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._turn(_TICK)
                self._make_room()
                if time.monotonic() > self._look:
                    self._look = time.monotonic() + _TICK
                    self._expire()
        finally:
            self._drain()

    def _turn(self, timeout: float) -> None:
        for fd, _ in self._epoll.poll(timeout):
            if fd in self._sockets:
                self._accept(*self._sockets[fd])
            elif fd == self._wake:
                os.eventfd_read(fd)
            else:
                with self._guard:
                    found = self._parked.pop(fd, None)
                if found is not None:
                    self._give(found[0])

    def _give(self, connection: Connection) -> None:
        """Have another thread answer."""
        try:
            self._pool.submit(self._work, connection)
        except RuntimeError as error:  # the system gives no more threads: those that run take it when they are free
            self._monitor.trouble("threads", f"cannot start another thread: {error}")

    def _accept(self, listening: socket.socket, number: int) -> None:
        free = self._limits.connections - len(self._open)
        if free <= 0:  # somebody waits
            self._accept_from_now_on(False)
        for _ in range(min(free, 64)):
            try:
                plain, address = listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._monitor.trouble("descriptors", f"cannot accept a connection: {error.strerror}")
                    self._accept_from_now_on(False)
                    self._resume = time.monotonic() + _PAUSE
                    return
                continue
            try:
                connection = Connection(plain, str(address[0]), number, self._tls() if self._tls else None)
            except OSError:
                self._monitor.client_failed("client")
                continue
            connection.deadline = time.monotonic() + self._limits.head
            with self._guard:
                self._open.add(connection)
            self._monitor.connections.inc()
            self._epoll.register(connection.fileno(), 0)
            self._park(connection, select.EPOLLIN)

    def _accept_from_now_on(self, wanted: bool) -> None:
        self._accepting = wanted
        for fd in self._sockets:
            self._epoll.modify(fd, select.EPOLLIN if wanted else 0)

    def _make_room(self) -> None:
        """When all connections are taken, close the one that has waited longest, if it has waited for long."""
        if self._accepting:
            return
        with self._guard:
            oldest = next(iter(self._parked.values()), None) if len(self._open) >= self._limits.connections else None
            if oldest is not None and time.monotonic() - oldest[1] > self._limits.patience:
                del self._parked[oldest[0].fileno()]
            else:
                oldest = None
        if oldest is not None:
            self._drop(oldest[0])
        if len(self._open) < self._limits.connections and time.monotonic() > self._resume:
            self._accept_from_now_on(True)

    def _expire(self) -> None:
        now = time.monotonic()
        with self._guard:
            late = [connection for connection, _ in self._parked.values() if connection.deadline < now]
            for connection in late:
                del self._parked[connection.fileno()]
        for connection in late:
            if not connection.idle:
                self._monitor.client_failed("timeout")
            self._drop(connection)

    def _drain(self) -> None:
        """Finish what is under way, as long as there is time for it."""
        self._stopping.set()
        for listening, _ in self._sockets.values():
            listening.close()
        while True:
            with self._guard:
                waiting = [connection for connection, _ in self._parked.values()]
                self._parked.clear()
            for connection in waiting:
                self._drop(connection)
            with self._guard:
                left = list(self._open)
            if not left:
                return
            if time.monotonic() >= self._until:
                for connection in left:
                    connection.break_off()
            time.sleep(0.02)

    # the threads that answer

    def _park(self, connection: Connection, events: int) -> None:
        """Watch a connection again; it may be another thread's from here on."""
        fd = connection.fileno()
        with self._guard:  # until it is watched nobody may close it: the descriptor would be another client's
            self._parked[fd] = connection, time.monotonic()
            self._epoll.modify(fd, events | select.EPOLLONESHOT)

    def _drop(self, connection: Connection) -> None:
        connection.close()
        with self._guard:
            self._open.discard(connection)
        self._monitor.connections.dec()
        if not self._accepting:
            os.eventfd_write(self._wake, 1)

    def _work(self, connection: Connection) -> None:
        events = 0
        try:
            events = self._advance(connection)
        except ssl.SSLError:
            self._monitor.client_failed("tls")
        except TimeoutError:
            self._monitor.client_failed("timeout")
            connection.break_off()  # a client that takes too little would go on with what the kernel holds for it
        except OSError:
            self._monitor.client_failed("client")
        except Exception as error:  # noqa: BLE001 - the last line of defence: one connection must not take the others along
            self._monitor.trouble("bug", f"{type(error).__name__}: {error}")
        if events:
            self._park(connection, events)
        else:
            self._drop(connection)

    def _advance(self, connection: Connection) -> int:
        """Response everything that has come whole; the events to wait for, 0 when the connection is done with."""
        while True:
            try:
                request = take_request(connection.received, connection.client)
            except Refusal as refusal:
                nobody = Request("-", "-", {}, False, connection.client)
                self._send(connection, nobody, refusal.answer, None, time.monotonic())
                connection.linger()
                return 0
            if request is None:
                filled = connection.fill()
                if filled is FilledBuffer.END:
                    return 0
                if connection.idle and connection.received:
                    connection.idle, connection.deadline = False, time.monotonic() + self._limits.head
                if filled is not FilledBuffer.SOME:
                    if connection.deadline < time.monotonic():  # one that says a little again and again is seldom seen parked
                        raise TimeoutError("the request was not completed in time")
                    return _WAITS[filled]
            elif not self._respond(connection, request):
                connection.linger()
                return 0
            else:
                connection.idle, connection.deadline = True, time.monotonic() + self._limits.idle

    def _respond(self, connection: Connection, request: Request) -> bool:
        """Response one request; whether the connection can be used again."""
        start, reader = time.monotonic(), None
        self._monitor.in_flight.inc()
        try:
            try:
                reply = self._listeners[connection.listener].service(request)
                if reply.content is not None and request.method != "HEAD":
                    reader = reply.content()
            except AirgapError as error:
                self._monitor.trouble("store", f"{request.method} {request.target}: {error}")
                message = "the store behind this registry failed"
                reply = problem(HTTPStatus.INTERNAL_SERVER_ERROR, "UNKNOWN", message)
            return self._send(connection, request, reply, reader, start)
        finally:
            self._monitor.in_flight.dec()
            if reader is not None:
                reader.close()

    def _send(self, connection: Connection, request: Request, reply: Response, reader: Reader | None, start: float) -> bool:
        keep, sent = request.keep_alive and not self._stopping.is_set(), 0
        head = response_head(reply, keep)
        try:
            if reader is not None:
                connection.stream(head, reader, reply.length)
                if (got := connection.streamed) < reply.length:
                    raise Damaged("a blob has become shorter", expected=f"{reply.length} bytes", got=f"{got} bytes")
            else:
                body = b"" if request.method == "HEAD" else reply.body
                connection.send(head + body)
                sent = len(body)
        except Damaged as error:  # too late for a status: the client sees a short body
            self._monitor.damaged(request.target.partition("?")[0], str(error))
            keep = False
        except AirgapError as error:
            self._monitor.trouble("store", f"{request.target}: {error}")
            keep = False
        finally:
            self._monitor.answered(request, reply, sent if reader is None else connection.streamed, time.monotonic() - start)
        return keep


def _written(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _listen(listener: Listener, stack: contextlib.ExitStack) -> socket.socket:
    family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
    found = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.setblocking(False)
        found.bind((listener.host, listener.port))
        found.listen(512)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"cannot listen: {printable(reason)}",
            where=printable(f"{listener.host}:{listener.port}"),
            hint="choose another HOST:PORT; port 0 picks a free port",
        ) from error
    return found
