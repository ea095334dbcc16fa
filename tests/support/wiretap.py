"""A listener between the ends of a TCP connection: it passes everything on, and keeps it."""

from __future__ import annotations

import contextlib
import socket
import threading
from urllib.parse import urlsplit


class Wiretap:
    """Leads every connection to an address ``tcp://HOST:PORT``; ``heard`` is all that was said. A context manager."""

    def __init__(self, address: str) -> None:
        there = urlsplit(address)
        self._there = (there.hostname or "", there.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self._kept: list[bytearray] = []
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def __enter__(self) -> Wiretap:
        return self

    def __exit__(self, *error: object) -> None:
        for one in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for one in [self._listener, *self._open]:
            one.close()

    @property
    def heard(self) -> bytes:
        """Each direction of each connection, one after the other."""
        return b"\n".join(map(bytes, self._kept))

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                one, _ = self._listener.accept()
                other = socket.create_connection(self._there)
                self._open += [one, other]
                for pair in ((one, other), (other, one)):
                    self._kept.append(kept := bytearray())
                    self._threads.append(threading.Thread(target=_pass_on, args=(*pair, kept)))
                    self._threads[-1].start()


def _pass_on(one: socket.socket, other: socket.socket, kept: bytearray) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(65536):
            kept += data
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)
