"""Proxies that only tunnel (HTTP's CONNECT, SOCKS 5), to one place whatever name they are asked for."""

from __future__ import annotations

import contextlib
import socket
import threading


class Tunnel:
    """Leads every CONNECT to a port of this machine; ``asked`` keeps the names. A context manager.

    Args:
        refusal: the status line's end with which it refuses instead.
    """

    def __init__(self, port: int, refusal: str = "") -> None:
        self._port = port
        self._refusal = refusal
        self.asked: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def __enter__(self) -> Tunnel:
        return self

    def __exit__(self, *error: object) -> None:
        for one in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for one in [self._listener, *self._open]:
            one.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._open.append(client)
                head = b""
                while b"\r\n\r\n" not in head and (more := client.recv(4096)):
                    head += more
                self.asked.append(head.decode("latin-1").split(" ")[1])
                if self._refusal:
                    client.sendall(f"HTTP/1.1 {self._refusal}\r\nContent-Length: 0\r\n\r\n".encode())
                    client.shutdown(socket.SHUT_WR)
                    continue
                self._lead(client, b"HTTP/1.1 200 OK\r\n\r\n")

    def _lead(self, client: socket.socket, said: bytes) -> None:
        server = socket.create_connection(("127.0.0.1", self._port))
        self._open.append(server)
        client.sendall(said)
        for pair in ((client, server), (server, client)):
            self._threads.append(threading.Thread(target=_pass_on, args=pair))
            self._threads[-1].start()


class Socks(Tunnel):
    """The same for SOCKS 5 without a login (RFC 1928); ``refusal`` is the reply code in decimal."""

    def __init__(self, port: int, refusal: str = "") -> None:
        super().__init__(port, refusal)
        self.url = self.url.replace("http://", "socks5h://")

    def _serve(self) -> None:
        with contextlib.suppress(OSError, ValueError, IndexError):  # a client may end in the middle
            while True:
                client, _ = self._listener.accept()
                self._open.append(client)
                _, count = client.recv(2)
                client.recv(count)
                client.sendall(b"\x05\x00")
                _, _, _, kind = client.recv(4)
                size = client.recv(1)[0] if kind == 3 else 4
                name, port = client.recv(size), int.from_bytes(client.recv(2), "big")
                self.asked.append(f"{name.decode() if kind == 3 else socket.inet_ntoa(name)}:{port}")
                code = int(self._refusal or 0)
                reply = bytes([5, code, 0, 1]) + bytes(6)
                if code:
                    client.sendall(reply)
                    client.shutdown(socket.SHUT_WR)
                else:
                    self._lead(client, reply)


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)
