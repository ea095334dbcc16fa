"""A TCP server below HTTP: whatever a function writes, as slowly as it likes."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

Talk = Callable[[socket.socket, bytes], None]


@contextlib.contextmanager
def raw_server(talk: Talk, path: Path | None = None) -> Iterator[str]:
    """Call ``talk`` with every connection and the request head that came; ``HOST:PORT``. It is cut off at the end.

    Args:
        path: of a Unix socket, in place of a free loopback port.
    """
    if path is None:
        listening = socket.create_server(("127.0.0.1", 0))
    else:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(path))
        listening.listen()
    threads: list[threading.Thread] = []
    open_now: list[socket.socket] = []

    def serve(one: socket.socket) -> None:
        with one, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head and (part := one.recv(1)):
                head += part
            if head:
                talk(one, head)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                one, _ = listening.accept()
                open_now.append(one)
                threads.append(threading.Thread(target=serve, args=(one,)))
                threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield "{}:{}".format(*listening.getsockname()) if path is None else str(path)
    finally:
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        accepting.join()
        for one in open_now:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()  # what it has still to read would keep a slow reader for long
        for thread in threads:
            thread.join()


def endlessly(first: bytes, again: bytes, pause: float = 0.0) -> Talk:
    """First the one, then the other for ever, until the client has gone."""

    def talk(one: socket.socket, head: bytes) -> None:
        one.sendall(first)
        piece = again if pause else again * max(1, 4096 // len(again))
        while True:
            one.sendall(piece)
            if pause:
                time.sleep(pause)

    return talk


def slowly(data: bytes, piece: int, pause: float) -> Talk:
    """All of it, so many bytes at a time, then hang up."""

    def talk(one: socket.socket, head: bytes) -> None:
        for at in itertools.count(0, piece):
            if at >= len(data):
                return
            one.sendall(data[at : at + piece])
            time.sleep(pause)

    return talk
