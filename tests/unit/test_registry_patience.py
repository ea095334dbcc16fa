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
from airgap.oci.verify import BytesReader
from tests.support.hostile import HANG_UP, Hostile, Reply, client, ranged

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
