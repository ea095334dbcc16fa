"""What one client may use up, and what others get to feel of it."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from airgap.errors import UsageError
from airgap.layout import LayoutStore
from airgap.oci import media
from airgap.server import Catalogue, RegistryServer, connection
from airgap.server.http import Limits
from airgap.server.monitor import Monitor
from airgap.server.watched import Watch, Watched
from airgap.server.wire import Request, Response
from tests.support import images

pytestmark = pytest.mark.slow("waits for retries, timeouts or a service")

REQUEST = b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n"


@contextlib.contextmanager
def serving(tmp_path: Path, limits: Limits, blob: images.Content | None = None) -> Iterator[RegistryServer]:
    if not (tmp_path / "s").exists():
        with LayoutStore(tmp_path / "s") as store:
            images.publish(store, "quay.io/big/one:1", images.image([blob or images.layer("x")]))
            store.commit()
    with RegistryServer(Catalogue(LayoutStore(tmp_path / "s")), "127.0.0.1", 0, lambda _: None, limits) as server:
        yield server


def connect(server: RegistryServer, send: bytes = b"") -> socket.socket:
    host, _, port = server.address.partition(":")
    client = socket.create_connection((host, int(port)), timeout=60)
    client.sendall(send)
    return client


def answered(client: socket.socket) -> bool:
    return client.recv(64).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("said", [b"", b"GET", b"GET /v2/ HTTP/1.1\r\nHost: x\r\n"])
def test_a_head_that_does_not_come_to_an_end_is_not_waited_for(tmp_path, said):
    with serving(tmp_path, Limits(head=0.3)) as server, connect(server, said) as client:
        assert client.recv(64) == b""


def test_a_head_that_drips_in_is_not_waited_for_either(tmp_path):
    with serving(tmp_path, Limits(head=1.0)) as server, connect(server) as client:
        ended = threading.Event()

        def drip() -> None:
            with contextlib.suppress(OSError):
                client.sendall(b"GET /v2/ HTTP/1.1\r\nA: ")
                while not ended.wait(0.1):
                    client.sendall(b"a")

        dripping = threading.Thread(target=drip)
        dripping.start()
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(64) == b""
        ended.set()
        dripping.join()


def test_a_connection_that_is_not_used_any_more_is_closed(tmp_path):
    with serving(tmp_path, Limits(idle=0.3)) as server, connect(server, REQUEST) as client:
        assert answered(client)
        while client.recv(4096):
            pass


def test_silent_clients_bind_no_threads_and_keep_nobody_out(tmp_path):
    with serving(tmp_path, Limits(connections=20, patience=0.0)) as server, contextlib.ExitStack() as stack:
        silent = [stack.enter_context(connect(server, b"GET /v2/ ")) for _ in range(20)]
        for _ in range(5):
            with connect(server, REQUEST) as client:
                assert answered(client)
        assert silent[0].recv(64) == b""  # the one that waited longest had to go


def test_a_client_that_takes_too_little_is_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr(connection, "STALL", 0.3)
    blob = images.content(images.seeded("big", 20_000_000), media.OCI_LAYER_GZIP)
    with serving(tmp_path, Limits(), blob) as server, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host, _, port = server.address.partition(":")
        client.connect((host, int(port)))
        client.sendall(f"GET /v2/big/one/blobs/{blob.descriptor.digest} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        while 'airgap_errors_total{kind="timeout"} 1.0' not in server._monitor.exposition().decode():
            time.sleep(0.05)
        total = 0
        with contextlib.suppress(ConnectionResetError):
            while part := client.recv(1 << 20):
                total += len(part)
        assert total < len(blob.raw)


def test_a_client_that_took_much_at_first_has_no_credit_for_dripping_afterwards(tmp_path, monkeypatch):
    monkeypatch.setattr(connection, "STALL", 0.4)
    monkeypatch.setattr(connection, "MIN_RATE", 10**6)
    given_up = 'airgap_errors_total{kind="timeout"} 1.0'
    blob = images.content(images.seeded("big", 30_000_000), media.OCI_LAYER_GZIP)
    with serving(tmp_path, Limits(), blob) as server, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        host, _, port = server.address.partition(":")
        client.connect((host, int(port)))
        client.sendall(f"GET /v2/big/one/blobs/{blob.descriptor.digest} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        took = 0
        while took < 10_000_000:
            took += len(client.recv(1 << 20))
        with contextlib.suppress(ConnectionResetError):
            for _ in range(60):  # 320 kB a second: enough to never stall, too little for the limit
                client.recv(16384)
                time.sleep(0.05)
                if given_up in server._monitor.exposition().decode():
                    break
        assert given_up in server._monitor.exposition().decode()


def test_refused_clients_get_to_see_why_although_they_are_still_sending(tmp_path):
    with serving(tmp_path, Limits()) as server, connect(server) as client:
        client.sendall(b"PUT /v2/big/one/manifests/1 HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n" + bytes(1_000_000))
        assert client.recv(64).startswith(b"HTTP/1.1 405 ")


def test_requests_of_strangers_make_no_new_series(tmp_path):
    monitor = Monitor()
    for number in range(50):
        request = Request("GET", f"/{number}", {"user-agent": f"agent {number}"}, True, f"192.0.2.{number}")
        monitor.answered(request, Response(), 1, 0.1)
    text = monitor.exposition().decode()
    assert text.count("airgap_http_requests_total{") == 1
    assert 'airgap_http_requests_total{route="other",status="200"} 50.0' in text


def test_what_is_watched_is_read_again_when_it_changes_and_stays_when_that_fails(tmp_path):
    said: list[str] = []
    troubles: list[tuple[str, str]] = []
    file = tmp_path / "f"
    file.write_text("1")

    def load() -> int:
        try:
            return int(file.read_text())
        except ValueError as error:
            raise UsageError("not a number") from error

    value = Watched("the file", load, lambda: (file.stat().st_mtime_ns, file.stat().st_ino))
    watch = Watch([value], said.append, lambda kind, text: troubles.append((kind, text)))
    for content, expected in (("1", 1), ("2", 2), ("x", 2), ("x", 2), ("3", 3)):
        if file.read_text() != content:
            (tmp_path / "new").write_text(content)
            (tmp_path / "new").replace(file)
        watch.look()
        assert value() == expected
    file.unlink()
    for _ in range(3):
        watch.look()
    assert value() == 3
    assert said == ["the file: reloaded"] * 2
    assert [kind for kind, _ in troubles] == ["reload", "reload"]
    assert "not a number; the previous version stays in use" in troubles[0][1]
