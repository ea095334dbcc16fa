"""A registry that has answered in this run is waited for when it is away; what is waited for is said once."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from airgap.errors import RegistryError
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.reference import Repository
from airgap.oci.verify import BytesReader, read_all
from tests.support import images
from tests.support.hostile import HANG_UP, Hostile, Reply, Request, client, ranged

DATA = b"layer" * 1000
BLOB = Descriptor(media.OCI_LAYER, Digest.of(DATA), len(DATA))


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> list[OSError]:
    """As long as there are errors in it, connections end with the first of them, in place of being made."""
    errors: list[OSError] = []
    real = socket.getaddrinfo

    def resolve(*arguments: Any, **more: Any) -> Any:
        if errors:
            raise errors.pop(0)
        return real(*arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return errors


@pytest.mark.parametrize(
    "error",
    [ConnectionRefusedError(111, "Connection refused"), socket.gaierror(socket.EAI_NONAME, "Name or service not known")],
    ids=["refuses", "unknown name"],
)
def test_registry_that_answered_before_and_is_away_for_a_moment_ends_nothing(away: list[OSError], error: OSError) -> None:
    said: list[str] = []
    waits: list[float] = []
    with Hostile(lambda request: ranged(DATA, request)) as server, client(sleep=waits.append, say=said.append) as store:
        assert store.has(Repository(server.address, "a"), BLOB)
        store.close()  # idle connections would not notice
        away += [error] * 4
        assert store.has(Repository(server.address, "a"), BLOB)
    assert len(waits) == 4
    assert waits == sorted(waits)
    assert sum(waits) < 12
    assert len(said) == 2
    assert said[0].endswith(": trying again for a while")
    assert said[1] == f"registry {server.address} is answering again"


def test_registry_that_one_client_of_a_run_has_heard_is_waited_for_by_the_others(away: list[OSError]) -> None:
    heard: set[tuple[str, str, int]] = set()
    with Hostile(lambda request: ranged(DATA, request)) as server:
        with client(heard=heard) as first:
            assert first.has(Repository(server.address, "a"), BLOB)
        away += [ConnectionRefusedError(111, "Connection refused")] * 3
        with client(heard=heard) as second:
            assert second.has(Repository(server.address, "a"), BLOB)


def test_registry_that_goes_away_during_its_first_answer_is_waited_for(away: list[OSError]) -> None:
    left = [HANG_UP]

    def app(request: Any) -> Reply:
        if left:
            away.extend([ConnectionRefusedError(111, "Connection refused")] * 3)
            return left.pop()
        return ranged(DATA, request)

    with Hostile(app) as server, client() as store:
        assert store.has(Repository(server.address, "a"), BLOB)


def test_upload_survives_a_name_that_is_unknown_for_a_moment(away: list[OSError]) -> None:
    left = [socket.gaierror(socket.EAI_NONAME, "Name or service not known")]

    def app(request: Any) -> Reply:
        if request.method == "POST":
            away.extend(left.pop() for _ in left[:])
            return Reply(202, headers={"Location": "/v2/a/blobs/uploads/1", "Connection": "close"})
        return Reply(201 if request.method == "PUT" else 404)

    with Hostile(app) as server, client() as store:
        store.write(Repository(server.address, "a"), BLOB, lambda: BytesReader(DATA))
        assert any(request.method == "PUT" for request in server.requests)


def test_registry_that_stays_away_is_given_up_after_a_bounded_wait(away: list[OSError]) -> None:
    waits: list[float] = []
    with Hostile(lambda request: ranged(DATA, request)) as server, client(sleep=waits.append) as store:
        store.has(Repository(server.address, "a"), BLOB)
        store.close()
        away += [ConnectionRefusedError(111, "Connection refused")] * 50
        with pytest.raises(RegistryError, match="refuses connections"):
            store.has(Repository(server.address, "a"), BLOB)
    assert len(waits) == 5
    assert sum(waits) < 25


class Busy:
    """A registry that is asked too much for a while: it refuses some kinds of requests so many times."""

    def __init__(self, times: int, *methods: str) -> None:
        self.left, self.methods = times, methods
        self.stored = b""

    def __call__(self, request: Request) -> Reply:
        if self.left and request.method in self.methods:
            self.left -= 1
            return Reply(429)
        if request.method == "POST":
            return Reply(202, headers={"Location": "/v2/a/blobs/uploads/1"})
        if request.method == "PATCH":
            self.stored += request.body
            return Reply(202, headers={"Location": "/v2/a/blobs/uploads/1", "Range": f"0-{len(self.stored) - 1}"})
        if request.method == "GET" and "uploads" in request.target:
            return Reply(204, headers={"Range": f"0-{max(len(self.stored) - 1, 0)}"})
        if request.method == "PUT":
            self.stored = self.stored or request.body
            return Reply(201)
        return ranged(DATA, request) if request.method == "GET" else Reply(404)


def test_registry_that_refuses_for_long_is_waited_for_with_growing_pauses_and_said_once() -> None:
    waits: list[float] = []
    said: list[str] = []
    with Hostile(Busy(12, "GET")) as server, client(sleep=waits.append, say=said.append, patience=600) as store:
        assert read_all(store.open(Repository(server.address, "a"), BLOB), 10**6, "") == DATA
    assert len(waits) == 12, "more than other failures are repeated"
    assert waits[0] < 1 < 20 < waits[-1] <= 37.5
    assert len(said) == 1, "the pauses of one registry overlap"
    assert said[0].startswith(f"registry {server.address} answered 429 (too many requests), waiting ")
    assert said[0].endswith("; giving up after 600 s (--registry-patience)")


@pytest.mark.parametrize("refused", ["POST", "PUT"])
def test_blobs_and_manifests_are_sent_to_a_registry_that_refuses_for_long(refused: str) -> None:
    waits: list[float] = []
    busy = Busy(10, refused)
    with Hostile(busy) as server, client(sleep=waits.append, patience=600) as store:
        store.write(Repository(server.address, "a"), BLOB, lambda: BytesReader(DATA))
        assert (len(waits), busy.stored) == (10, DATA)
        busy.left = 10
        built = images.image([images.layer("busy")])
        store.put_manifest(Repository(server.address, "a"), built.manifest)
    assert len(waits) == (20 if refused == "PUT" else 10)


def test_an_upload_in_pieces_goes_on_where_it_was_refused() -> None:
    data = DATA * 60
    blob = Descriptor(media.OCI_LAYER, Digest.of(data), len(data))
    waits: list[float] = []
    busy = Busy(0, "PATCH")
    asked: list[int] = []

    def app(request: Request) -> Reply:
        if request.method == "PUT" and request.body:
            return Reply(413)
        if request.method == "PATCH" and busy.stored and not asked:
            asked.append(len(busy.stored))
            busy.left = 9
        return busy(request)

    with Hostile(app) as server, client(sleep=waits.append, patience=600) as store:
        store.write(Repository(server.address, "a"), blob, lambda: BytesReader(data))
    assert len(waits) == 9
    assert busy.stored == data, "nothing was sent twice"


def test_patience_ends_with_an_error_that_names_it() -> None:
    waits: list[float] = []
    store = client(sleep=waits.append, patience=60)
    with Hostile(lambda _: Reply(429)) as server, store, pytest.raises(RegistryError, match="rejected the request") as caught:
        store.open(Repository(server.address, "a"), BLOB)
    assert 59.9 < sum(waits) < 60.1
    assert "--registry-patience SECONDS" in caught.value.hint


def test_what_the_registry_asks_for_is_waited_for_wholly_or_not_at_all() -> None:
    waits: list[float] = []
    left = [Reply(429, headers={"Retry-After": "20"})] * 4
    with Hostile(lambda request: left.pop() if left else ranged(DATA, request)) as server:
        with client(sleep=waits.append, patience=30) as store, pytest.raises(RegistryError) as caught:
            store.has(Repository(server.address, "a"), BLOB)
        assert (waits, len(server.requests)) == ([20], 2), "ten seconds more would have been for nothing"
        assert "in 20 s" in caught.value.hint
        with client(sleep=waits.append, patience=45) as store:
            assert store.has(Repository(server.address, "a"), BLOB)
    assert waits == [20, 20, 20]
