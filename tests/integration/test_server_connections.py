"""Connections as clients really use them: pipelined, in pieces, broken off, slow, all at once; with and without TLS."""

from __future__ import annotations

import contextlib
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from airgap.layout import LayoutStore
from airgap.oci import media
from airgap.server import Catalogue
from airgap.server.http import USUAL, HttpServer, Limits, Listener
from airgap.server.monitor import Monitor
from airgap.server.service import registry_service
from airgap.server.tls import server_context
from tests.support import images
from tests.support.privateca import PrivateCa

pytestmark = pytest.mark.slow("waits for retries, timeouts or a service")

SIZES = (300, 70_000, 1_500_000)
BASE = b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n"


@dataclass
class Site:
    """A store with blobs of several sizes, and how to reach what serves it."""

    store: Path
    blobs: list[images.Content]
    files: tuple[Path, Path] | None
    trust: ssl.SSLContext | None
    monitor: Monitor

    @contextlib.contextmanager
    def serving(self, limits: Limits = USUAL) -> Iterator[HttpServer]:
        catalogue = Catalogue(LayoutStore(self.store))
        context = server_context(*self.files) if self.files else None
        listener = Listener("127.0.0.1", 0, registry_service(lambda: catalogue))
        with HttpServer([listener], self.monitor, (lambda: context) if context else None, limits) as server:
            yield server

    def connect(self, server: HttpServer, receive: int = 0) -> socket.socket:
        host, _, port = server.address.partition(":")
        plain = socket.socket()
        try:
            plain.settimeout(120)
            if receive:
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
            plain.connect((host, int(port)))
            return plain if self.trust is None else self.trust.wrap_socket(plain, server_hostname=host)
        except BaseException:
            plain.close()
            raise

    def metric(self, name: str) -> float:
        lines = self.monitor.exposition().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


@pytest.fixture(params=["plain", "tls"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    blobs = [images.content(images.seeded(str(size), size), media.OCI_LAYER_GZIP) for size in SIZES]
    with LayoutStore(tmp_path / "store") as store:
        images.publish(store, "quay.io/some/image:1", images.image(blobs))
        store.commit()
    files, trust = None, None
    if request.param == "tls":
        ca = PrivateCa(tmp_path / "ca")
        files, trust = ca.issue("server"), ssl.create_default_context(cafile=str(ca.file))
    return Site(tmp_path / "store", blobs, files, trust, Monitor())


def asked(blob: images.Content, *headers: str) -> bytes:
    lines = [f"GET /v2/some/image/blobs/{blob.descriptor.digest} HTTP/1.1", "Host: x", *headers, "", ""]
    return "\r\n".join(lines).encode()


def answers(client: socket.socket, slowly: Callable[[], None] = lambda: None) -> Iterator[bytes]:
    """The bodies of all answers until the server closes."""
    received = b""
    while True:
        while b"\r\n\r\n" not in received:
            if not (part := client.recv(1 << 16)):
                assert not received
                return
            received += part
        head, _, received = received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        body = bytearray(received)
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(body) < length:
            slowly()
            if not (part := client.recv(1 << 16)):
                raise AssertionError(f"{length - len(body)} bytes are missing")
            body += part
        received = bytes(body[length:])
        yield bytes(body[:length])


def test_more_requests_than_the_kernel_holds_answers_for_are_answered_in_order(site):
    order = [site.blobs[number] for number in random.Random(1).choices(range(len(SIZES)), k=40)]
    with site.serving() as server, site.connect(server, receive=4096) as client:
        client.sendall(b"".join(asked(blob) for blob in order[:-1]) + asked(order[-1], "Connection: close"))
        assert list(answers(client)) == [blob.raw for blob in order]
    assert site.metric("airgap_http_sent_bytes_total") == sum(len(blob.raw) for blob in order)


def test_the_last_answer_is_whole_although_the_client_has_asked_for_more(site):
    with site.serving() as server, site.connect(server, receive=4096) as client:
        client.sendall(BASE + asked(site.blobs[2], "Connection: close") + BASE * 300)
        assert list(answers(client)) == [b"{}", site.blobs[2].raw]


def test_requests_may_come_in_any_pieces(site):
    text, random_ = asked(site.blobs[0]) * 3 + b"\r\n" + BASE + asked(site.blobs[1], "Connection: close"), random.Random(2)
    with site.serving() as server, site.connect(server) as client:
        while text:
            count = random_.choice((1, 2, 3, 40, 100))
            client.sendall(text[:count])
            text = text[count:]
            time.sleep(random_.choice((0, 0, 0.001)))
        assert list(answers(client)) == [*[site.blobs[0].raw] * 3, b"{}", site.blobs[1].raw]


def test_connections_that_were_idle_for_longer_than_a_thread_stays_are_answered_again(site):
    with site.serving() as server, site.connect(server) as client:
        replies = answers(client)
        for pause in (0, 0.3, 0.05, 0.11, 0.09):
            time.sleep(pause)
            client.sendall(asked(site.blobs[1]))
            assert next(replies) == site.blobs[1].raw


def test_nobody_is_sent_away_while_nobody_waits(site):
    limits = Limits(connections=4, patience=0.0)
    with site.serving(limits) as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(site.connect(server)) for _ in range(limits.connections)]
        replies = [answers(client) for client in clients]
        for _ in range(4):
            for client, reply in zip(clients, replies, strict=True):
                client.sendall(BASE)
                assert next(reply) == b"{}"
            time.sleep(0.2)  # longer than a thread stays with an idle connection


def test_clients_that_want_tls_are_told_at_once_that_there_is_none(site):
    """They try without it then: engines do for registries that are marked as insecure."""
    site.files = None
    with site.serving(Limits(head=3600)) as server:
        host, _, port = server.address.partition(":")
        with socket.create_connection((host, int(port))) as plain, pytest.raises(ssl.SSLError):
            ssl.create_default_context().wrap_socket(plain, server_hostname=host)


#: What clients send that do not wait for what they asked for.
_RUDE: dict[str, Callable[[random.Random, bytes], bytes]] = {
    "gone": lambda _, text: text,
    "cut": lambda source, text: text[: source.randrange(len(text))],
    "nonsense": lambda source, _: source.randbytes(99),
    "silent": lambda *_: b"",
}


def visit(site: Site, server: HttpServer, source: random.Random, wrong: list[str]) -> None:
    """One client: it asks well, or badly, or goes away in the middle."""
    manner = source.choice(("well", "well", "pipelined", "slow", *_RUDE))
    wanted = [source.choice(site.blobs) for _ in range(source.randint(1, 6))]
    text = b"".join(asked(blob) for blob in wanted[:-1]) + asked(wanted[-1], "Connection: close")
    try:
        with site.connect(server, receive=source.choice((0, 0, 4096))) as client:
            if manner in _RUDE:
                client.sendall(_RUDE[manner](source, text))
                if manner == "gone" and source.random() < 0.7:
                    client.recv(source.choice((10, 5000)))
                return
            if manner == "well":
                replies = answers(client)
                for blob in wanted[:-1]:
                    client.sendall(asked(blob))
                    if next(replies) != blob.raw:
                        wrong.append("a wrong blob")
                return
            client.sendall(text)
            pause = (lambda: time.sleep(0.002)) if manner == "slow" else (lambda: None)
            if list(answers(client, pause)) != [blob.raw for blob in wanted]:
                wrong.append("wrong blobs")
    except (OSError, AssertionError) as error:
        wrong.append(f"{manner}: {error!r}")


def crowd(site: Site, server: HttpServer, clients: int, visits: int) -> list[str]:
    """So many clients at a time, each comes again and again; what went wrong."""
    wrong: list[str] = []

    def run(seed: int) -> None:
        source = random.Random(seed)
        for _ in range(visits):
            visit(site, server, source, wrong)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong


@pytest.mark.parametrize("connections", [3, 512])
def test_a_crowd_with_bad_manners_takes_nothing_from_the_others_and_leaves_nothing_behind(site, connections):
    files, threads = len(list(Path("/proc/self/fd").iterdir())), threading.active_count()
    with site.serving(Limits(connections=connections, head=1.0)) as server:
        assert crowd(site, server, 12, 5) == []
        while site.metric("airgap_http_connections"):
            time.sleep(0.05)
    assert site.metric("airgap_http_connections") == 0
    assert site.metric("airgap_http_requests_in_flight") == 0
    assert site.monitor.last_troubles() == []
    assert (len(list(Path("/proc/self/fd").iterdir())), threading.active_count()) == (files, threads)


def test_a_server_that_ends_finishes_what_it_began_and_nothing_more(site):
    with site.serving() as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(site.connect(server, receive=4096)) for _ in range(12)]
        for client in clients:
            client.sendall(asked(site.blobs[2]) * 2)
        while site.metric("airgap_http_requests_in_flight") < len(clients):
            time.sleep(0.01)
        ending = threading.Thread(target=server.shutdown, args=(60.0,))
        ending.start()
        for client in clients:
            got = list(answers(client))
            assert got
            assert set(got) == {site.blobs[2].raw}
        ending.join()
        with pytest.raises(OSError):
            site.connect(server)
