"""``airgap serve`` below the endpoints: connections, limits, hostile requests, damage."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from airgap.errors import UsageError
from airgap.layout import LayoutStore
from airgap.oci.digest import Digest
from airgap.oci.stores import Reader
from airgap.server import Catalogue, RegistryServer
from airgap.server.http import Limits
from tests.support import images
from tests.support.served import World, serve_everything


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """For tests that only ask."""
    yield from serve_everything(tmp_path_factory.mktemp("world"))


@pytest.fixture
def own_world(tmp_path: Path) -> Iterator[World]:
    """For tests that change it or look at its log."""
    yield from serve_everything(tmp_path)


def raw_exchange(address: str, request: bytes) -> bytes:
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def test_request_bodies_malformed_and_oversized_requests_are_refused_and_the_connection_closed(world):
    body = raw_exchange(world.address, b"GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhelloGET /v2/ HTTP/1.1\r\n\r\n")
    assert body.startswith(b"HTTP/1.1 400 ")
    assert body.count(b"HTTP/1.1") == 1
    assert raw_exchange(world.address, b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 414 ")
    assert b" 400 " in raw_exchange(world.address, b"nonsense here and there\r\n\r\n").splitlines()[0]
    many = b"".join(b"X-%d: y\r\n" % i for i in range(200))
    assert raw_exchange(world.address, b"GET /v2/ HTTP/1.1\r\n" + many + b"\r\n").startswith(b"HTTP/1.1 431 ")
    assert raw_exchange(world.address, b"BREW /v2/ HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 501 ")


def test_several_requests_use_one_connection(world):
    connection = http.client.HTTPConnection(world.address, timeout=20)
    try:
        used = set()
        for path in ("/v2/", "/v2/no/such/tags/list", f"/v2/shop/web/manifests/{world.web.digest}", "/v2/_catalog"):
            connection.request("GET", path)
            connection.getresponse().read()
            used.add(connection.sock.getsockname())
        assert len(used) == 1
    finally:
        connection.close()


def test_a_client_that_goes_away_is_no_error(own_world):
    host, _, port = own_world.address.partition(":")
    for _ in range(3):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(f"GET /v2/shop/web/manifests/{own_world.web.digest} HTTP/1.1\r\n\r\n".encode())
    assert own_world.ask("/v2/").status == 200
    assert not [line for line in own_world.log if "failed" in line or "Traceback" in line]


def test_requests_are_logged_in_one_harmless_line(own_world):
    raw_exchange(own_world.address, b"GET /v2/\x1b]0;evil\x07 HTTP/1.1\r\n\r\n")
    assert len(own_world.log) == 1
    assert own_world.log[0].isprintable()


def test_damage_in_the_store_is_a_500_and_not_the_wrong_bytes(own_world):
    file = own_world.layout / "blobs" / "sha256" / own_world.web.digest.hex
    file.write_bytes(b"x" * file.stat().st_size)
    reply = own_world.ask("/v2/shop/web/manifests/1.0")
    assert (reply.status, reply.code) == (500, "UNKNOWN")


def test_a_taken_port_is_a_usage_error(world):
    host, _, port = world.address.partition(":")
    with pytest.raises(UsageError):
        RegistryServer(Catalogue(LayoutStore(world.layout)), host, int(port), print)


class Slow(LayoutStore):
    """A store whose blobs are not plain files, as those of a bundle in several volumes."""

    def open_blob(self, digest: Digest, offset: int = 0) -> Reader:  # type: ignore[override] # no ``FileReader``: that is the point
        with_range = super().open_blob(digest, offset)

        class Plain:
            readinto = with_range.readinto
            close = with_range.close

        return Plain()


def test_blobs_that_are_not_plain_files_are_copied(own_world):
    blob = own_world.plain.blobs[1]
    with RegistryServer(Catalogue(Slow(own_world.layout)), "127.0.0.1", 0, print) as server:
        own_world.address = server.address
        path = f"/v2/library/plain/blobs/{blob.descriptor.digest}"
        assert own_world.ask(path).body == blob.raw
        assert own_world.ask(path, Range="bytes=5-9").body == blob.raw[5:10]


def test_a_large_blob_arrives_whole_by_way_of_many_writes(tmp_path):
    big = images.tar_layer({"big": images.seeded("big", 12_000_000)})
    with LayoutStore(tmp_path / "s") as store:
        images.publish(store, "quay.io/big/one:1", images.image([big]))
        store.commit()
    with RegistryServer(Catalogue(LayoutStore(tmp_path / "s")), "127.0.0.1", 0, print) as server:
        connection = http.client.HTTPConnection(server.address, timeout=20)
        connection.request("GET", f"/v2/big/one/blobs/{big.descriptor.digest}")
        assert connection.getresponse().read() == big.raw
        connection.close()


def test_a_server_that_never_served_shuts_down(own_world):
    catalogue = Catalogue(LayoutStore(own_world.layout))
    RegistryServer(catalogue, "127.0.0.1", 0, print).shutdown()


def test_more_clients_than_slots_are_all_served_with_bounded_descriptors(own_world):
    host, _, port = own_world.address.partition(":")
    clients = [socket.create_connection((host, int(port)), timeout=60) for _ in range(Limits().connections + 20)]
    for client in clients:
        client.sendall(b"GET /v2/ HTTP/1.1\r\nConnection: close\r\n\r\n")
    for client in clients:
        with client:
            assert client.recv(64).startswith(b"HTTP/1.1 200 ")
