"""A wire that breaks: passes TCP on to one place and cuts connections after a random number of bytes."""

from __future__ import annotations

import contextlib
import random
import socket
import threading


class Cutting:
    """Leads connections to ``address``; as long as there are ``cuts`` left, one that has sent many bytes is cut. A context manager.

    Args:
        address: of the registry behind it.
        cuts: how often at most.
        most: a connection is cut after at most so many bytes of the client.
        seed: of the random numbers.
    """

    def __init__(self, address: str, cuts: int, most: int, seed: int) -> None:
        host, _, port = address.rpartition(":")
        self._upstream = (host, int(port))
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._most = most
        self.left = cuts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def __enter__(self) -> Cutting:
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for one in list(self._open):
            _hang_up(one)
        for thread in self._threads:
            thread.join()
        for one in [self._listener, *self._open]:
            one.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._upstream)
                self._open += [client, server]
                for work in (self._up, _down):
                    self._threads.append(threading.Thread(target=work, args=(client, server)))
                    self._threads[-1].start()

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        with self._lock:
            left = self._random.randrange(self._most)
        with contextlib.suppress(OSError):
            while data := client.recv(4096):
                left -= len(data)
                if left < 0 and self._may_cut():
                    break
                server.sendall(data)
        _hang_up(client)
        _hang_up(server)

    def _may_cut(self) -> bool:
        with self._lock:
            self.left -= 1
            return self.left >= 0


def _down(client: socket.socket, server: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := server.recv(65536):
            client.sendall(data)
    _hang_up(client)


def _hang_up(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
