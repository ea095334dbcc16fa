"""The HTTP side of ``airgap serve``: threads, sockets, bodies. Read-only, HTTP/1.1 with keep-alive."""

from __future__ import annotations

import os
import select
import socket
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

from airgap.errors import AirgapError, UsageError
from airgap.oci.stores import Reader
from airgap.server.catalogue import Catalogue
from airgap.server.routes import Answer, answer, problem
from airgap.text import printable

#: So many connections are served at once; more wait in the backlog. Each uses a socket and at most one file.
MAX_CONNECTIONS = 128
#: Seconds after which a silent connection is closed.
IDLE = 60
_BUFFER = 256 * 1024
_SENDFILE = 8 * 1024 * 1024


@runtime_checkable
class _PlainFile(Protocol):
    """A reader whose bytes are one stretch of one open file, so that the kernel can send them."""

    def fileno_range(self) -> tuple[int, int, int]: ...


class RegistryServer:
    """A read-only registry over a catalogue.

    Used as a context manager it serves in a thread of its own; ``serve_forever`` serves in this one.

    Args:
        catalogue: what is served.
        host: the address to listen on.
        port: the port; 0 takes a free one.
        log: gets one line for each request; called from many threads.

    Raises:
        UsageError: the address cannot be listened on.
    """

    def __init__(self, catalogue: Catalogue, host: str, port: int, log: Callable[[str], None]) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._http = _Server(catalogue, log, family, host, port)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UsageError(
                f"cannot listen: {printable(reason)}",
                where=printable(f"{host}:{port}"),
                hint="choose another --listen HOST:PORT; port 0 takes a free one",
            ) from error
        self._thread: threading.Thread | None = None
        self._serving = False

    @property
    def address(self) -> str:
        """``HOST:PORT`` as a client writes it."""
        host, port = self._http.server_address[:2]
        name = host.decode() if isinstance(host, bytes) else str(host)
        return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"

    def serve_forever(self) -> None:
        """Serve until ``shutdown`` is called from another thread, or a ``KeyboardInterrupt``."""
        self._serving = True
        try:
            self._http.serve_forever(poll_interval=0.1)
        finally:
            self._http.close_everything()

    def shutdown(self) -> None:
        """Stop serving, close every connection, and wait for the threads."""
        if self._serving:
            self._http.shutdown()
        self._http.close_everything()

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.serve_forever, name="registry", daemon=True)
        self._serving = True  # ``shutdown`` may come before the thread has begun: then it ends at once
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.shutdown()
        if self._thread is not None:
            self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, catalogue: Catalogue, log: Callable[[str], None], family: int, host: str, port: int) -> None:
        self.catalogue = catalogue
        self.log = log
        self.address_family = family
        self._slots = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._guard = threading.Lock()
        self._stopping = threading.Event()
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """As ``TCPServer``; ``HTTPServer`` would ask the name service for our name, which an offline host has to wait for."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread when there is a slot for it."""
        while not self._slots.acquire(timeout=0.2):
            if self._stopping.is_set():
                self.shutdown_request(request)
                return
        thread = threading.Thread(target=self._serve, args=(request, client_address), daemon=True)
        with self._guard:
            self._connections[request] = thread
        thread.start()

    def _serve(self, request: Any, client_address: Any) -> None:
        try:
            self.process_request_thread(request, client_address)
        finally:
            with self._guard:
                self._connections.pop(request, None)
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """A client that went away is daily business; anything else is said in one line."""
        error = sys.exc_info()[1]
        if not isinstance(error, (ConnectionError, TimeoutError)):
            self.log(printable(f"connection failed: {type(error).__name__}: {error}"))

    def shutdown(self) -> None:
        """As ``BaseServer.shutdown``, also when all slots are taken."""
        self._stopping.set()
        super().shutdown()

    def close_everything(self) -> None:
        """Close the listening socket and every connection, and wait for their threads."""
        self._stopping.set()
        self.server_close()
        with self._guard:
            left = dict(self._connections)
        for connection in left:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it has just closed by itself
        for thread in left.values():
            thread.join(timeout=5)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.1"  # else a malformed request line is answered without a status line, as HTTP/0.9
    server_version = "airgap"
    sys_version = ""
    timeout = IDLE
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Pull and content discovery."""
        if self.headers.get("Transfer-Encoding") or self.headers.get("Content-Length", "0").strip() != "0":
            self._refuse(problem(HTTPStatus.BAD_REQUEST, "UNSUPPORTED", "a request body is not wanted"))
            return
        try:
            headers = {name.lower(): text for name, text in self.headers.items()}
            self._send(answer(self.server.catalogue, self.path, headers))
        except AirgapError as error:
            self.server.log(printable(f"{self.command} {self.path}: {error}"))
            self._refuse(problem(HTTPStatus.INTERNAL_SERVER_ERROR, "UNKNOWN", "the store behind this registry failed"))

    do_HEAD = do_GET  # noqa: N815

    def _read_only(self) -> None:
        message = "this registry is read-only"
        self._refuse(problem(HTTPStatus.METHOD_NOT_ALLOWED, "UNSUPPORTED", message, {"Allow": "GET, HEAD"}))

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _read_only  # noqa: N815

    def handle_expect_100(self) -> bool:
        """Never invite a body: it is going to be refused."""
        return True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Requests that http.server itself refuses: malformed, too long, unknown methods."""
        self.command = getattr(self, "command", "") or ""
        self._refuse(problem(HTTPStatus(code), "UNSUPPORTED", HTTPStatus(code).phrase))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """One harmless line for each request."""
        self.server.log(printable(f"{self.client_address[0]} {format % args}"))

    def _refuse(self, refusal: Answer) -> None:
        """Answer and close: what may follow on this connection is a body that nobody reads."""
        self.close_connection = True
        self._send(refusal)

    def _send(self, reply: Answer) -> None:
        if reply.blob is None or self.command == "HEAD":
            self._head(reply)
            if self.command != "HEAD":
                self.wfile.write(reply.body)
            return
        reader = self.server.catalogue.open_blob(reply.blob, reply.start)
        try:
            self._head(reply)
            try:
                self._stream(reader, reply.length)
            except (AirgapError, OSError) as error:  # too late for a status: the client sees a short body
                self.close_connection = True
                if not isinstance(error, (ConnectionError, TimeoutError)):
                    self.server.log(printable(f"{self.command} {self.path}: {error}"))
        finally:
            reader.close()

    def _head(self, reply: Answer) -> None:
        self.send_response(reply.status)
        self.send_header("Docker-Distribution-API-Version", "registry/2.0")
        for name, text in reply.headers.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(reply.length))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _stream(self, reader: Reader, length: int) -> None:
        if isinstance(reader, _PlainFile):
            fd, start, end = reader.fileno_range()
            _send_file(self.connection, fd, start, min(end, start + length))
            self.close_connection |= end - start < length
            return
        buffer = memoryview(bytearray(min(_BUFFER, length)))
        while length:
            count = reader.readinto(buffer[: min(len(buffer), length)])
            if not count:
                self.close_connection = True
                return
            self.wfile.write(buffer[:count])
            length -= count


def _send_file(connection: socket.socket, fd: int, position: int, end: int) -> None:
    """Let the kernel send a stretch of a file. Raises ``OSError``; ``TimeoutError`` when the client takes nothing for long."""
    while position < end:
        try:
            count = os.sendfile(connection.fileno(), fd, position, min(end - position, _SENDFILE))
        except BlockingIOError:  # sockets with a timeout are non-blocking underneath
            poll = select.poll()
            poll.register(connection, select.POLLOUT)
            if not poll.poll(IDLE * 1000):
                raise TimeoutError("the client takes nothing") from None
            continue
        if not count:
            raise ConnectionError("the file became shorter")
        position += count
