"""A registry that restarts, as its clients see it: connections end, new ones are refused for a while, then all is as before."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading


class Restarting:
    """Passes TCP on to ``address``; after so many bytes of clients it is away for a while, once each. A context manager.

    Args:
        address: of the registry behind it.
        after: bytes that clients have sent in all, before each restart.
        away: seconds in which connections are refused.

    Attributes:
        address: where clients find it.
        restarts: how many there were.
    """

    def __init__(self, address: str, after: list[int], away: float) -> None:
        host, _, port = address.rpartition(":")
        self._upstream = (host, int(port))
        self._after = sorted(after)
        self._away = away
        self._passed = 0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port = self._listener.getsockname()[1]
        self.address = f"127.0.0.1:{self._port}"
        self.restarts = 0
        self._open: list[socket.socket] = []
        self._all: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def __enter__(self) -> Restarting:
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        _hang_up(self._listener)
        for one in list(self._open):
            _hang_up(one)
        for thread in self._threads:
            thread.join()
        for one in [self._listener, *self._all]:
            one.close()

    def _serve(self) -> None:
        while not self._ended.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                if not self._ended.is_set():
                    self._restart()
                continue
            server = socket.create_connection(self._upstream)
            self._open += [client, server]
            self._all += [client, server]
            for work in (self._up, self._down):
                self._threads.append(threading.Thread(target=work, args=(client, server)))
                self._threads[-1].start()

    def _restart(self) -> None:
        self._listener.close()
        for one in self._open:
            _hang_up(one)
        self._open.clear()
        self.restarts += 1
        self._ended.wait(self._away)
        self._listener = socket.create_server(("127.0.0.1", self._port))

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(4096):
                if self._is_time(len(data)):
                    _hang_up(self._listener)  # whoever accepts does the rest
                    break
                server.sendall(data)
        _hang_up(server)
        _reset(client)

    def _down(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data)
        _hang_up(client)
        _hang_up(server)

    def _is_time(self, count: int) -> bool:
        with self._lock:
            self._passed += count
            due = bool(self._after) and self._passed >= self._after[0]
            if due:
                self._after.pop(0)
            return due


def _hang_up(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


def _reset(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.close()
