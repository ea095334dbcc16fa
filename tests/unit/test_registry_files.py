"""Static files over the registry's transport: nobody's credentials go there, and only 404 means that there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from airgap.errors import RegistryError, UsageError
from tests.support.hostile import HANG_UP, Hostile, Reply, Request, client
from tests.unit.test_registry_auth import BASIC, CANARY, credentials


def test_file_is_fetched_and_404_means_none() -> None:
    with Hostile(lambda r: Reply(200, b"data") if r.path == "/a@sha256=b/c-1" else Reply(404)) as server, client() as store:
        assert store.fetch_file(f"{server.url}/a@sha256=b/c-1", 4) == b"data"
        assert store.fetch_file(f"{server.url}/a@sha256=b/c-2", 4) is None
        with pytest.raises(RegistryError):
            store.fetch_file(f"{server.url}/a@sha256=b/c-1", 3)


@pytest.mark.parametrize("status", [201, 204, 400, 401, 403, 405, 410, 500, 503])
def test_any_other_status_is_an_error(status: int) -> None:
    with Hostile(lambda _: Reply(status)) as server, client(retries=1) as store, pytest.raises(RegistryError):
        store.fetch_file(f"{server.url}/x", 100)


def test_failures_that_may_pass_are_tried_again() -> None:
    replies = [HANG_UP, Reply(503), Reply(200, b"data", cut=2), Reply(429, headers={"Retry-After": "1"}), Reply(200, b"data")]
    with Hostile(lambda _: replies.pop(0)) as server, client() as store:
        assert store.fetch_file(f"{server.url}/x", 100) == b"data"
    assert replies == []


def test_redirects_are_followed_and_404_behind_them_means_none() -> None:
    with Hostile(lambda r: Reply(200, b"data") if r.path == "/there" else Reply(404)) as storage, client() as store:

        def app(request: Request) -> Reply:
            return Reply(302, headers={"Location": f"{storage.url}/{'there' if request.path == '/x' else 'not'}"})

        with Hostile(app) as server:
            assert store.fetch_file(f"{server.url}/x", 100) == b"data"
            assert store.fetch_file(f"{server.url}/y", 100) is None


def test_redirects_in_a_circle_are_an_error() -> None:
    with Hostile(lambda r: Reply(302, headers={"Location": r.path})) as server, client() as store, pytest.raises(RegistryError):
        store.fetch_file(f"{server.url}/x", 100)


@pytest.mark.parametrize("challenge", ['Basic realm="r"', 'Bearer realm="{url}/token",service="s"'])
def test_credentials_of_a_registry_on_the_same_host_are_never_sent(tmp_path: Path, challenge: str) -> None:
    with Hostile(lambda _: Reply()) as server:
        server.app = lambda _: Reply(401, headers={"WWW-Authenticate": challenge.format(url=server.url)})
        with client(credentials=credentials(tmp_path / "auth.json", server)) as store, pytest.raises(RegistryError) as caught:
            store.fetch_file(f"{server.url}/x?token={CANARY}", 100)
        assert len(server.requests) == 1
        assert not any("Authorization" in one.headers for one in server.requests)
        assert CANARY not in str(caught.value)
        assert BASIC not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://h/x", "/x", "http:///x", "https://u:p@h/x", "http://h:x/", "http://[h/"]
)
def test_anything_but_a_plain_web_address_is_refused(url: str) -> None:
    with client() as store, pytest.raises(UsageError) as caught:
        store.fetch_file(url, 100)
    assert "u:p" not in str(caught.value)
