"""Answers without end, in every part of an exchange and in both directions: each ends with an error that says what it was."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from airgap.archives.engines import save_from_daemon
from airgap.errors import RegistryError
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.reference import Repository
from airgap.oci.verify import BytesReader, read_all
from airgap.pace import MAX_HEAD
from airgap.registry import RegistryStore
from tests.support.hostile import Hostile, Reply, Request, client
from tests.support.rawserver import Talk, endlessly, raw_server, slowly

DATA = bytes(range(256)) * 4096
BLOB = Descriptor(media.OCTETS, Digest.of(DATA), len(DATA))
OK = b"HTTP/1.1 200 OK\r\n"
LONG = OK + b"Content-Length: 1000000\r\n\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def store(**options: object) -> RegistryStore:
    """A client without patience."""
    return client(**{"retries": 0, "timeout": 0.3, "document": 0.3, "least_rate": 100_000, **options})


def manifest(address: str, **options: object) -> object:
    with store(**options) as one:
        return one.manifest(Repository(address, "a"), "1")


def blob(address: str, **options: object) -> bytes:
    with store(**options) as one:
        return read_all(one.open(Repository(address, "a"), BLOB), 10**7, "test")


ENDLESS: dict[str, tuple[bytes, bytes]] = {
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "interim answers with headers": (b"", b"HTTP/1.1 100 Continue\r\n" + b"X: y\r\n" * 90 + b"\r\n"),
    "a status line": (b"HTTP/1.1 200 ", b"O"),
    "headers": (OK, b"X: y\r\n"),
    "a trailer": (CHUNKED + b"2\r\n{}\r\n0\r\n", b"X: y\r\n"),
    "the extensions of a chunk": (CHUNKED, b"1;" + b"x" * 60_000 + b"\r\n \r\n"),
}


@pytest.mark.parametrize("pause", [0.0, 0.02], ids=["fast", "slow"])
@pytest.mark.parametrize("what", ENDLESS)
@pytest.mark.parametrize("read", [manifest, blob])
def test_endless_answer_is_given_up(read: Callable[..., object], what: str, pause: float) -> None:
    with raw_server(endlessly(*ENDLESS[what], pause)) as address, pytest.raises(RegistryError) as caught:
        read(address)
    assert caught.value.where.startswith("GET http://127.0.0.1:")


def test_an_answer_may_take_longer_to_begin_than_a_connection_to_come_about() -> None:
    def late(connection: socket.socket, head: bytes) -> None:
        time.sleep(1.0)
        connection.sendall(OK + b"Content-Length: " + str(len(DATA)).encode() + b"\r\n\r\n" + DATA)

    with raw_server(late) as address:
        assert blob(address, connect_timeout=0.3, timeout=20, document=20) == DATA


def test_interim_answers_in_reasonable_number_are_no_attack() -> None:
    talk = slowly(b"HTTP/1.1 100 Continue\r\n\r\n" * 20 + OK + b"Content-Length: %d\r\n\r\n" % len(DATA) + DATA, 10**6, 0)
    with raw_server(talk) as address:
        assert blob(address) == DATA


def test_manifest_that_drips_is_given_up_although_bytes_always_come() -> None:
    with raw_server(endlessly(LONG, b" ", 0.02)) as address, pytest.raises(RegistryError) as caught:
        manifest(address)
    assert caught.value.what == "the registry is too slow: the answer did not end in time"


def test_error_that_drips_keeps_its_status_and_loses_its_words() -> None:
    head = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 60000\r\n\r\n"
    with raw_server(endlessly(head, b"x", 0.02)) as address, pytest.raises(RegistryError) as caught:
        manifest(address)
    assert caught.value.got == "403 Forbidden"


def test_token_server_that_drips_is_given_up() -> None:
    with raw_server(endlessly(LONG, b" ", 0.02)) as tokens:
        challenge = {"WWW-Authenticate": f'Bearer realm="http://{tokens}/token"'}
        with Hostile(lambda _: Reply(401, headers=challenge)) as server, pytest.raises(RegistryError) as caught:
            manifest(server.address)
    assert "too slow" in caught.value.what or "in time" in caught.value.what


def test_lookaside_that_drips_is_given_up() -> None:
    with raw_server(endlessly(LONG, b" ", 0.02)) as address, store() as one, pytest.raises(RegistryError) as caught:
        one.fetch_file(f"http://{address}/signature-1", 10**7)
    assert "too slow" in caught.value.what


def test_blob_below_the_least_rate_is_given_up_and_what_to_do_is_said() -> None:
    with raw_server(endlessly(LONG.replace(b"1000000", b"%d" % len(DATA)), b"x" * 100, 0.02)) as address:
        with pytest.raises(RegistryError) as caught:
            blob(address)
        assert caught.value.what.endswith("the registry is too slow: fewer than 100000 bytes per second are transferred")


def test_storage_behind_a_redirect_that_drips_is_given_up() -> None:
    with raw_server(endlessly(LONG.replace(b"1000000", b"%d" % len(DATA)), b"x" * 100, 0.02)) as storage:
        lead = Reply(307, headers={"Location": f"http://{storage}/blob"})
        with Hostile(lambda _: lead) as server, pytest.raises(RegistryError) as caught:
            blob(server.address)
    assert "too slow" in caught.value.what


def test_blob_that_begins_fast_has_no_credit_for_dripping_afterwards() -> None:
    first = LONG.replace(b"1000000", b"%d" % len(DATA)) + DATA[:1_000_000]
    with raw_server(endlessly(first, b"x" * 100, 0.02)) as address, pytest.raises(RegistryError) as caught:
        blob(address)
    assert "too slow" in caught.value.what


def test_dripping_is_no_progress_however_often_it_begins_again() -> None:
    drip = endlessly(LONG.replace(b"1000000", b"%d" % len(DATA)), b"x" * 2000, 0.02)
    with raw_server(drip) as address, pytest.raises(RegistryError) as caught:
        blob(address, retries=2, timeout=0.2, least_rate=10**6)
    assert "too slow" in caught.value.what


def test_least_rate_can_be_turned_off() -> None:
    talk = slowly(OK + b"Content-Length: %d\r\n\r\n" % len(DATA) + DATA, 100_000, 0.05)
    with raw_server(talk) as address:
        assert blob(address, least_rate=0, document=0.01) == DATA


def test_reader_that_takes_its_time_is_not_taken_for_a_slow_registry() -> None:
    with Hostile(lambda _: Reply(200, DATA)) as server, store(timeout=0.1, least_rate=10**7) as one:
        reader, found, buffer = one.open(Repository(server.address, "a"), BLOB), 0, memoryview(bytearray(300_000))
        while count := reader.readinto(buffer):
            found += count
            time.sleep(0.15)
        reader.close()
    assert found == len(DATA)


def _registry_that_reads(piece: int, pause: float) -> Talk:
    def talk(one: socket.socket, head: bytes) -> None:
        if head.startswith(b"HEAD"):
            one.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        elif head.startswith(b"POST"):
            one.sendall(b"HTTP/1.1 202 Accepted\r\nLocation: /up\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        else:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            while one.recv(piece):
                time.sleep(pause)

    return talk


@pytest.mark.parametrize(("piece", "pause"), [(1, 0.02), (20_000, 0.1)])
def test_upload_to_a_registry_that_hardly_reads_is_given_up(piece: int, pause: float) -> None:
    data = bytes(8_000_000)
    large = Descriptor(media.OCTETS, Digest.of(data), len(data))
    slow = raw_server(_registry_that_reads(piece, pause))
    with slow as address, store(least_rate=10**7) as one, pytest.raises(RegistryError) as caught:
        one.write(Repository(address, "a"), large, lambda: BytesReader(data))
    assert "too slow" in caught.value.what or "in time" in caught.value.what


def test_proxy_whose_greeting_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(endlessly(b"HTTP/1.1 200 Connection established\r\n", b"X: y\r\n")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy}")
        with pytest.raises(RegistryError):
            manifest("registry.invalid")


def test_docker_daemon_whose_answer_does_not_begin_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"
    talk = endlessly(*ENDLESS["interim answers"])
    with raw_server(talk, path), pytest.raises(RegistryError) as caught:
        save_from_daemon("web:1", tmp_path / "web.tar", {"DOCKER_HOST": f"unix://{path}"})
    assert "besides its content" in caught.value.got
    assert not (tmp_path / "web.tar").exists()


def test_heads_are_capped_below_what_the_library_would_read() -> None:
    assert MAX_HEAD < 100 * http.client._MAXLINE  # type: ignore[attr-defined]


def test_requests_on_a_connection_that_is_used_again_have_their_own_time() -> None:
    def app(request: Request) -> Reply:
        return Reply(200, b"{}", {"Content-Type": media.OCI_INDEX})

    with Hostile(app) as server, store(timeout=0.2) as one:
        for _ in range(3):
            with pytest.raises(RegistryError):
                one.manifest(Repository(server.address, "a"), "1")
            time.sleep(0.15)
        assert len(server.requests) == 3
