"""A small in-process HTTP server that answers whatever a test wants: cut, late, lying or correct."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from airgap.registry import CredentialStore, RegistryOptions, RegistryStore


@dataclass(frozen=True)
class Request:
    """What came in. ``body`` is what was received of it."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Message
    body: bytes
    target: str


@dataclass(frozen=True)
class Reply:
    """What goes out.

    Args:
        length: the ``Content-Length`` to claim; -1 for none at all, None for the true one.
        cut: how many body bytes are really sent before the connection is closed; None for all.
        reset: close by a TCP reset rather than in order.
        chunked: send the body in chunks, without a length.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None
    cut: int | None = None
    reset: bool = False
    chunked: bool = False


#: A reply that closes the connection without any answer.
HANG_UP = Reply(status=0)

App = Callable[[Request], Reply]


class Hostile:
    """Serves ``app`` on a free loopback port and keeps every request in ``requests``; a context manager.

    Args:
        app: answers one request; runs in the connection's thread.
        tls: serve TLS with this context.
        body_limit: read only so many bytes of a request body, then answer with what ``app`` says and close.
    """

    def __init__(self, app: App, tls: ssl.SSLContext | None = None, body_limit: int | None = None) -> None:
        self.app = app
        self.requests: list[Request] = []
        self.body_limit = body_limit
        self._server = _Server(self, tls)
        self.port = int(self._server.server_address[1])
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"{'https' if tls else 'http'}://{self.address}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def __enter__(self) -> Hostile:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Close the listener and all connections."""
        self._server.shutdown()
        self._server.drop_connections()
        self._server.server_close()
        self._thread.join()

    def connections(self) -> list[socket.socket]:
        """The connections that are open now."""
        return self._server.connections()

    def seen(self, method: str = "") -> list[str]:
        """``METHOD path`` of every request so far, or the paths of one method."""
        return [one.path if method else f"{one.method} {one.path}" for one in self.requests if one.method == method or not method]


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 64

    def __init__(self, owner: Hostile, tls: ssl.SSLContext | None) -> None:
        self.owner = owner
        self._tls = tls
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        raw = request
        with self._lock:
            self._open.add(raw)
        try:
            with contextlib.suppress(OSError):  # among them ssl.SSLError
                if self._tls is not None:
                    request = self._tls.wrap_socket(raw, server_side=True)
                    with self._lock:
                        self._open.add(request)
                self.finish_request(request, client_address)
        finally:
            with self._lock:
                self._open -= {raw, request}
            request.close()
            raw.close()

    def connections(self) -> list[socket.socket]:
        with self._lock:
            return list(self._open)

    def drop_connections(self) -> None:
        with self._lock:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes
    server: _Server

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        owner = self.server.owner
        length = int(self.headers.get("Content-Length") or 0)
        limited = owner.body_limit is not None and length > owner.body_limit
        body = self.rfile.read(owner.body_limit if limited else length)
        parts = urlsplit(self.path)
        request = Request(self.command, parts.path, parse_qs(parts.query, keep_blank_values=True), self.headers, body, self.path)
        owner.requests.append(request)
        broken_off = len(body) < length and not limited
        if not broken_off:
            self._send(owner.app(request))
        if limited or broken_off:
            self.close_connection = True

    def _send(self, reply: Reply) -> None:
        if reply.status == 0:
            self._hang_up(reply.reset)
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif reply.length != -1 and reply.status != 204:
            self.send_header("Content-Length", str(len(reply.body) if reply.length is None else reply.length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(_framed(reply))
        if reply.cut is not None or reply.length == -1:
            self._hang_up(reply.reset)

    def _hang_up(self, reset: bool) -> None:
        self.close_connection = True
        if reset:
            self.wfile.flush()
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.rfile.close()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the base class names it so
        """Say nothing."""


def _framed(reply: Reply) -> bytes:
    body = reply.body if reply.cut is None else reply.body[: reply.cut]
    if not reply.chunked:
        return body
    pieces = [body[i : i + 1000] for i in range(0, len(body), 1000)]
    framed = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return framed if reply.cut is not None else framed + b"0\r\n\r\n"


def ranged(data: bytes, request: Request) -> Reply:
    """A correct answer to a GET with or without a closed ``Range``."""
    text = request.headers.get("Range")
    if text is None:
        return Reply(200, data)
    first, _, last = text.removeprefix("bytes=").partition("-")
    begin, end = int(first), int(last) + 1
    return Reply(206, data[begin:end], {"Content-Range": f"bytes {begin}-{end - 1}/{len(data)}"})


def client(**options: Any) -> RegistryStore:
    """A registry client without credentials that never really sleeps."""
    return RegistryStore(RegistryOptions(**{"sleep": lambda _: None, "credentials": CredentialStore(), "timeout": 10.0, **options}))
